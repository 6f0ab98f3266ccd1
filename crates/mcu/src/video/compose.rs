//! Drawing the tiles of one composition. Only what has changed is drawn.

use std::sync::Arc;
use std::time::Instant;

use codec::{CodecError, Picture, PicturePool, Rect, TextImage, Yuv, letterbox, render_text};

use super::layout::arrange;
use super::slot::{Shown, Slot};
use crate::types::{Layout, SourceId};

/// Between and behind tiles: a dark grey that is clearly not a lost picture.
const BACKGROUND: Yuv = Yuv { y: 24, u: 130, v: 127 };
/// A participant without a picture: slate.
const CALM: Yuv = Yuv { y: 62, u: 138, v: 122 };
const INK: Yuv = Yuv { y: 225, u: 128, v: 128 };
/// Behind a name that stands on a picture.
const STRIP: Yuv = Yuv { y: 32, u: 130, v: 127 };
/// Letters below this height are no letters.
const SMALLEST: u32 = 12;
/// Lines of a text on a tile without a picture.
const MAX_LINES: usize = 3;

/// Who is to be seen, in the order of their coming. A new scene replaces the old one.
#[derive(Clone, Default)]
pub(super) struct Scene {
    pub(super) version: u64,
    pub(super) sources: Vec<(SourceId, Arc<Slot>)>,
    /// Who stands out among them, the most important first.
    pub(super) foremost: Vec<SourceId>,
    /// What stands over the whole picture.
    pub(super) message: Option<Arc<str>>,
}

pub(super) struct Canvas {
    picture: Picture,
    layout: Layout,
    scene: Option<u64>,
    tiles: Vec<Tile>,
    message: Option<Message>,
}

struct Tile {
    slot: Arc<Slot>,
    part: Rect,
    /// The version of the slot that is on the canvas.
    drawn: Option<u64>,
    capture: Option<Instant>,
    moving: bool,
    label: Label,
}

/// What stands over the whole picture, where subtitles do.
struct Message {
    text: Arc<str>,
    lines: Vec<TextImage>,
    strip: Rect,
}

impl Message {
    fn new(text: Arc<str>, whole: Rect) -> Self {
        let most = whole.width.saturating_sub(whole.width / 8);
        let lines: Vec<&str> = text.lines().take(MAX_LINES).collect();
        let size = legible(&lines, (whole.height / 14).clamp(SMALLEST, 64), most);
        let lines: Vec<_> = lines.iter().map(|line| render_text(line, size, most)).collect();
        let widest = lines.iter().map(TextImage::width).max().unwrap_or_default();
        let (width, height) = (widest + size, lines.len() as u32 * size + size / 2);
        let x = whole.width.saturating_sub(width) / 2;
        let y = whole.height.saturating_sub(height + whole.height / 8);
        let strip = Rect::new(x & !1, y & !1, width, height);
        Self { text, lines, strip }
    }

    fn draw(&self, canvas: &mut Picture) {
        canvas.fill(self.strip, STRIP);
        let mut y = self.strip.y + 2;
        for line in &self.lines {
            let x = self.strip.x + self.strip.width.saturating_sub(line.width()) / 2;
            canvas.draw_text(line, x, y, INK);
            y += line.height();
        }
    }
}

/// A tile's name, rendered when it is needed.
#[derive(Default)]
struct Label {
    name: Arc<str>,
    /// For the strip, with the width that it had to fit into.
    small: Option<(u32, TextImage)>,
    /// Line by line.
    large: Vec<TextImage>,
}

impl Canvas {
    pub(super) fn new(
        pool: &PicturePool,
        layout: Layout,
        width: u32,
        height: u32,
    ) -> Result<Self, CodecError> {
        let picture = pool.picture(width, height)?;
        Ok(Self { picture, layout, scene: None, tiles: Vec::new(), message: None })
    }

    pub(super) fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Draws what has changed; `false` if nothing has.
    pub(super) fn update(&mut self, scene: &Scene) -> bool {
        let rearranged = self.scene != Some(scene.version) && self.rearrange(scene);
        let mut changed = self.set_message(scene.message.as_ref()) || rearranged;
        let named = !matches!(self.layout, Layout::Single(_));
        for tile in &mut self.tiles {
            if tile.drawn != Some(tile.slot.version()) {
                tile.draw(&mut self.picture, named);
                changed = true;
            }
        }
        if changed && let Some(message) = &self.message {
            message.draw(&mut self.picture);
        }
        changed
    }

    /// Whether that is another message, or another or none; then everything is drawn anew.
    fn set_message(&mut self, text: Option<&Arc<str>>) -> bool {
        if self.message.as_ref().map(|it| &it.text) == text {
            return false;
        }
        let whole = self.picture.bounds();
        self.message = text.map(|text| Message::new(text.clone(), whole));
        self.picture.fill(whole, BACKGROUND);
        self.tiles.iter_mut().for_each(|it| it.drawn = None);
        true
    }

    /// The capture time of the newest picture that is shown, where one is known.
    pub(super) fn capture(&self) -> Option<Instant> {
        self.tiles.iter().filter_map(|tile| tile.capture).max()
    }

    /// Whether any tile has a picture and not only a name.
    pub(super) fn has_pictures(&self) -> bool {
        self.tiles.iter().any(|tile| tile.moving)
    }

    /// `false` if everybody stands where they stood, as when another speaks on a grid.
    fn rearrange(&mut self, scene: &Scene) -> bool {
        let first = self.scene.replace(scene.version).is_none();
        let ids: Vec<SourceId> = scene.sources.iter().map(|(id, _)| *id).collect();
        let (width, height) = (self.picture.width(), self.picture.height());
        let places = arrange(self.layout, width, height, &ids, &scene.foremost);
        let placed: Vec<(Arc<Slot>, Rect)> = places
            .into_iter()
            .filter_map(|place| {
                let (_, slot) = scene.sources.iter().find(|(id, _)| *id == place.source)?;
                Some((slot.clone(), place.part))
            })
            .collect();
        let same = placed.len() == self.tiles.len()
            && placed
                .iter()
                .zip(&self.tiles)
                .all(|((slot, part), tile)| Arc::ptr_eq(slot, &tile.slot) && *part == tile.part);
        if same && !first {
            return false;
        }
        let whole = self.picture.bounds();
        self.picture.fill(whole, BACKGROUND);
        self.tiles = placed.into_iter().map(|(slot, part)| Tile::new(slot, part)).collect();
        true
    }
}

impl Tile {
    fn new(slot: Arc<Slot>, part: Rect) -> Self {
        Self { slot, part, drawn: None, capture: None, moving: false, label: Label::default() }
    }

    fn draw(&mut self, canvas: &mut Picture, named: bool) {
        let shown = self.slot.shown();
        self.drawn = Some(shown.version);
        self.capture = shown.capture;
        self.moving = shown.picture.is_some();
        if self.label.name != shown.name {
            self.label = Label { name: shown.name.clone(), ..Label::default() };
        }
        match &shown {
            Shown { picture: Some(picture), .. } => {
                let part = self.draw_picture(picture, canvas);
                if named {
                    self.draw_strip(part, canvas);
                }
            }
            Shown { picture: None, .. } => self.draw_name(canvas),
        }
    }

    /// Where in the tile it stands.
    fn draw_picture(&self, picture: &Picture, canvas: &mut Picture) -> Rect {
        let part = letterbox(picture.width(), picture.height(), self.part);
        // A row or column more is not worth bars: 640×360 into 426×240 would leave some.
        let nearly = part.width + 4 >= self.part.width && part.height + 4 >= self.part.height;
        let part = if nearly { self.part } else { part };
        if part != self.part {
            canvas.fill(self.part, BACKGROUND);
        }
        canvas.draw(picture, part);
        part
    }

    /// The name, in the lower left corner of the picture.
    fn draw_strip(&mut self, picture: Rect, canvas: &mut Picture) {
        let size = (self.part.height / 16).clamp(12, 40) & !1;
        // From the picture's left to the tile's right: a tall picture is narrower than a name.
        let indent = picture.x.saturating_sub(self.part.x);
        let most = self.part.width.saturating_sub(indent + size * 2);
        let name = &self.label.name;
        self.label.small.take_if(|(fits, _)| *fits != most);
        let (_, text) =
            self.label.small.get_or_insert_with(|| (most, render_text(name, size, most)));
        if text.width() == 0 {
            return;
        }
        let strip = Rect::new(
            picture.x,
            picture.y + picture.height.saturating_sub(size + 4),
            text.width() + size,
            size + 4,
        );
        canvas.fill(strip, STRIP);
        canvas.draw_text(text, strip.x + size / 2, strip.y + 2, INK);
    }

    fn draw_name(&mut self, canvas: &mut Picture) {
        canvas.fill(self.part, CALM);
        let size = (self.part.height / 8).clamp(12, 96);
        let most = self.part.width.saturating_sub(size);
        let Label { name, large, .. } = &mut self.label;
        if large.is_empty() {
            let lines: Vec<&str> = name.lines().take(MAX_LINES).collect();
            let size = legible(&lines, size, most);
            large.extend(lines.iter().map(|line| render_text(line, size, most)));
        }
        let height = large.iter().map(TextImage::height).sum();
        let mut y = self.part.y + self.part.height.saturating_sub(height) / 2;
        for line in large.iter() {
            let x = self.part.x + self.part.width.saturating_sub(line.width()) / 2;
            canvas.draw_text(line, x, y, INK);
            y += line.height();
        }
    }
}

/// A text of several lines is a message: smaller letters rather than a cut end. A name is cut.
fn legible(lines: &[&str], size: u32, most: u32) -> u32 {
    if lines.len() < 2 {
        return size;
    }
    let whole = most.saturating_mul(4);
    let widths = lines.iter().map(|line| render_text(line, size, whole).width());
    match widths.max() {
        // One less: letters of another size are not as wide to the pixel.
        Some(widest) if widest > most => (size * most / widest).saturating_sub(1).max(SMALLEST),
        _ => size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEN: Yuv = Yuv { y: 145, u: 54, v: 34 };

    #[test]
    fn an_empty_scene_a_name_and_a_picture_are_drawn_once_each() {
        let pool = PicturePool::new(4);
        let mut canvas = Canvas::new(&pool, Layout::Grid, 640, 360).unwrap();
        let mut scene = Scene::default();
        assert!(canvas.update(&scene), "the background");
        assert!(!canvas.update(&scene));
        let slot = Arc::new(Slot::new("Марина"));
        scene.version = 1;
        scene.sources.push((SourceId(1), slot.clone()));
        assert!(canvas.update(&scene));
        assert_eq!(canvas.picture().pixel(20, 20), CALM);
        let ink = (0..640).filter(|x| canvas.picture().pixel(*x, 180).y > 150).count();
        assert!(ink > 10, "the name stands in the middle: {ink}");
        assert!(!canvas.update(&scene));

        // 4:3 in a 16:9 tile: bars at the sides, and its name on it.
        let mut picture = pool.picture(320, 240).unwrap();
        let bounds = picture.bounds();
        picture.fill(bounds, GREEN);
        slot.show(Arc::new(picture), None);
        assert!(canvas.update(&scene));
        assert_eq!(canvas.picture().pixel(320, 100), GREEN);
        assert_eq!(canvas.picture().pixel(20, 180), BACKGROUND);
        assert_eq!(canvas.picture().pixel(82, 340), STRIP);
        slot.set_muted(true);
        assert!(canvas.update(&scene));
        assert_eq!(canvas.picture().pixel(20, 20), CALM);
    }

    #[test]
    fn a_message_is_written_smaller_rather_than_cut() {
        let message =
            ["Подождите, организатор вас впустит", "Please wait: the host will let you in"];
        for (width, height) in [(1280, 720), (640, 360), (352, 288)] {
            let size = (height / 8).clamp(12, 96);
            let most = width - size;
            let legible = legible(&message, size, most);
            assert!(legible < size && legible > size / 3, "{legible} of {size}");
            for line in message {
                let (drawn, whole) =
                    (render_text(line, legible, most), render_text(line, legible, most * 9));
                assert_eq!(drawn.width(), whole.width(), "{line} is cut at {width}×{height}");
            }
        }
        assert_eq!(super::legible(&["x".repeat(500).as_str()], 90, 1000), 90, "a name is cut");
    }

    #[test]
    fn a_message_stands_over_everything_stays_over_what_moves_and_goes_without_a_trace() {
        let pool = PicturePool::new(4);
        let mut canvas = Canvas::new(&pool, Layout::Grid, 640, 360).unwrap();
        let slot = Arc::new(Slot::new("Марина"));
        let mut scene = Scene { version: 1, ..Scene::default() };
        scene.sources.push((SourceId(1), slot.clone()));
        let film = |colour| {
            let mut picture = pool.picture(640, 360).unwrap();
            let bounds = picture.bounds();
            picture.fill(bounds, colour);
            slot.show(Arc::new(picture), None);
        };
        film(GREEN);
        canvas.update(&scene);
        let count = |canvas: &Canvas, wanted: fn(Yuv) -> bool| {
            let points = (200..330).flat_map(|y| (0..640).map(move |x| (x, y)));
            points.filter(|(x, y)| wanted(canvas.picture().pixel(*x, *y))).count()
        };
        let is_ink = |it: Yuv| it.y > 180;
        assert_eq!(count(&canvas, is_ink), 0);
        scene.message = Some("Микрофон выключен\nMicrophone off".into());
        scene.version += 1;
        assert!(canvas.update(&scene));
        let ink = count(&canvas, is_ink);
        assert!(ink > 500, "{ink}");
        film(CALM);
        assert!(canvas.update(&scene));
        assert_eq!(count(&canvas, is_ink), ink, "it stays");
        scene.message = None;
        scene.version += 1;
        assert!(canvas.update(&scene));
        assert_eq!(count(&canvas, |it| it != CALM), 0);
        assert!(!canvas.update(&scene));
    }

    #[test]
    fn a_text_of_two_lines_stands_above_and_below_the_middle() {
        let pool = PicturePool::new(1);
        let mut canvas = Canvas::new(&pool, Layout::Grid, 640, 360).unwrap();
        let mut scene = Scene { version: 1, ..Scene::default() };
        scene.sources.push((SourceId(1), Arc::new(Slot::new("Введите PIN и #\nEnter the PIN"))));
        assert!(canvas.update(&scene));
        let ink = |rows: std::ops::Range<u32>| {
            let points = rows.flat_map(|y| (0..640).map(move |x| (x, y)));
            points.filter(|(x, y)| canvas.picture().pixel(*x, *y).y > 150).count()
        };
        let (above, below) = (ink(130..180), ink(180..230));
        assert!(above > 200 && below > 200, "{above} above, {below} below");
        assert_eq!(ink(0..130) + ink(230..360), 0);
    }
}
