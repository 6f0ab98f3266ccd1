//! Names on pictures, in every script of the font that comes with the program (Latin, Cyrillic,
//! Greek and more; see `assets/DejaVuSans.LICENSE`).

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

/// A name longer than this is cut: nobody reads it on a tile, and it comes from a peer.
const MAX_CHARS: usize = 80;

static FONT: OnceLock<Option<FontRef<'static>>> = OnceLock::new();

fn font() -> Option<&'static FontRef<'static>> {
    FONT.get_or_init(|| FontRef::try_from_slice(include_bytes!("../../assets/DejaVuSans.ttf")).ok())
        .as_ref()
}

/// A rendered line of text: how much of each pixel it covers, 0..=255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextImage {
    width: u32,
    height: u32,
    coverage: Vec<u8>,
}

impl TextImage {
    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows: the line's height, the same for every text of one size.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Coverage at a point; 0 outside.
    pub fn coverage(&self, x: usize, y: usize) -> u8 {
        if x >= self.width as usize {
            return 0;
        }
        self.coverage.get(y * self.width as usize + x).copied().unwrap_or(0)
    }
}

/// Renders one line, `height` pixels high (8..=200). Control characters are left out; what is wider
/// than `max_width` pixels ends in "…".
pub fn render_text(text: &str, height: u32, max_width: u32) -> TextImage {
    let height = height.clamp(8, 200);
    let max_width = max_width.min(crate::MAX_SIDE);
    let empty = TextImage { width: 0, height, coverage: Vec::new() };
    let Some(font) = font() else { return empty };
    let scale = PxScale::from(height as f32);
    let scaled = font.as_scaled(scale);
    let letters: Vec<char> = text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    let advance = |c: char| scaled.h_advance(font.glyph_id(c));
    let total: f32 = letters.iter().map(|c| advance(*c)).sum();
    let mut letters = letters;
    let mut width = total;
    if width > max_width as f32 {
        let room = max_width as f32 - advance('…');
        while width > room {
            let Some(last) = letters.pop() else { return empty };
            width -= advance(last);
        }
        letters.push('…');
        width += advance('…');
    }
    let width = (width.ceil() as u32).min(max_width);
    let mut image = TextImage { width, height, coverage: vec![0; (width * height) as usize] };
    let mut pen = 0.0;
    for letter in letters {
        let id = font.glyph_id(letter);
        let glyph = id.with_scale_and_position(scale, point(pen, scaled.ascent()));
        pen += scaled.h_advance(id);
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let origin = outline.px_bounds().min;
        outline.draw(|x, y, cover| {
            let (x, y) = (origin.x + x as f32, origin.y + y as f32);
            if x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32 {
                let at = y as usize * width as usize + x as usize;
                if let Some(pixel) = image.coverage.get_mut(at) {
                    *pixel = pixel.saturating_add((cover * 255.0) as u8);
                }
            }
        });
    }
    image
}
