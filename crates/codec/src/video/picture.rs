//! Pictures: I420 in one buffer, which goes back to a pool when nobody looks at it any more.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::yuv::{self, Planes, PlanesMut};
use super::{TextImage, check_size};
use crate::CodecError;

/// A colour: luma 16..=235, chroma 16..=240 around 128 (BT.601, limited range).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yuv {
    /// Luma.
    pub y: u8,
    /// Blue difference.
    pub u: u8,
    /// Red difference.
    pub v: u8,
}

/// Black in limited range.
pub const BLACK: Yuv = Yuv { y: 16, u: 128, v: 128 };

/// A part of a picture, in luma pixels. Drawing rounds `x` and `y` down to even numbers, because
/// chroma has half of the luma's resolution, and clips to the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// To the right.
    pub width: u32,
    /// Downward.
    pub height: u32,
}

impl Rect {
    /// A part of a picture.
    pub const fn new(x: u32, y: u32, width: u32, height: u32) -> Self {
        Self { x, y, width, height }
    }

    fn clipped(self, width: u32, height: u32) -> Option<Self> {
        let (x, y) = (self.x & !1, self.y & !1);
        let width = self.width.min(width.checked_sub(x)?);
        let height = self.height.min(height.checked_sub(y)?);
        (width > 0 && height > 0).then_some(Self { x, y, width, height })
    }
}

/// The largest part of `space` with the aspect of `width` × `height`, centred; even coordinates.
pub fn letterbox(width: u32, height: u32, space: Rect) -> Rect {
    let (w, h) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let (sw, sh) = (u64::from(space.width), u64::from(space.height));
    let (fit_w, fit_h) = if sw * h <= sh * w { (sw, sw * h / w) } else { (sh * w / h, sh) };
    let even =
        |value: u64, most: u32| (u32::try_from(value).unwrap_or(most) & !1).clamp(2, most.max(2));
    let (fit_w, fit_h) = (even(fit_w, space.width), even(fit_h, space.height));
    let centre = |start: u32, most: u32, fit: u32| (start + most.saturating_sub(fit) / 2) & !1;
    Rect::new(
        centre(space.x, space.width, fit_w),
        centre(space.y, space.height, fit_h),
        fit_w,
        fit_h,
    )
}

/// Where pictures' buffers come from and go back to. Cloning gives another handle to it.
#[derive(Clone, Debug)]
pub struct PicturePool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    kept: usize,
}

impl PicturePool {
    /// A pool that keeps at most `kept` unused buffers.
    pub fn new(kept: usize) -> Self {
        Self { free: Arc::default(), kept }
    }

    /// A picture with undefined content.
    pub fn picture(&self, width: u32, height: u32) -> Result<Picture, CodecError> {
        check_size(width, height)?;
        // Rows begin at multiples of 32 bytes for vector loads.
        let stride = (width as usize).next_multiple_of(64);
        let bytes = stride * height as usize + stride * height.div_ceil(2) as usize;
        let mut data = self.free.lock().ok().and_then(|mut free| free.pop()).unwrap_or_default();
        data.resize(bytes, 0);
        Ok(Picture { width, height, stride, data, pool: self.clone() })
    }
}

/// One picture, 8 bits, 4:2:0 (I420). Put it into an `Arc` to share it.
pub struct Picture {
    width: u32,
    height: u32,
    /// Of luma; chroma's is half of it.
    stride: usize,
    data: Vec<u8>,
    pool: PicturePool,
}

impl Picture {
    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The whole picture.
    pub fn bounds(&self) -> Rect {
        Rect::new(0, 0, self.width, self.height)
    }

    /// The colour at a point; black outside.
    pub fn pixel(&self, x: u32, y: u32) -> Yuv {
        if x >= self.width || y >= self.height {
            return BLACK;
        }
        let planes = self.planes();
        let chroma = y as usize / 2 * planes.uv_stride + x as usize / 2;
        Yuv {
            y: planes.y.get(y as usize * planes.y_stride + x as usize).copied().unwrap_or(16),
            u: planes.u.get(chroma).copied().unwrap_or(128),
            v: planes.v.get(chroma).copied().unwrap_or(128),
        }
    }

    /// The three planes with their strides.
    pub(super) fn planes(&self) -> Planes<'_> {
        let (y, uv) = self.data.split_at(self.stride * self.height as usize);
        let (u, v) = uv.split_at(uv.len() / 2);
        Planes { y, u, v, y_stride: self.stride, uv_stride: self.stride / 2 }
    }

    pub(super) fn planes_mut(&mut self) -> PlanesMut<'_> {
        let (y, uv) = self.data.split_at_mut(self.stride * self.height as usize);
        let (u, v) = uv.split_at_mut(uv.len() / 2);
        PlanesMut { y, u, v, y_stride: self.stride, uv_stride: self.stride / 2 }
    }

    /// Fills a part with one colour.
    pub fn fill(&mut self, part: Rect, colour: Yuv) {
        if let Some(part) = part.clipped(self.width, self.height) {
            yuv::fill(&mut self.planes_mut(), part, colour);
        }
    }

    /// Draws the whole of `source` into `part`, scaled to its size whatever the aspect (see
    /// [`letterbox`]).
    pub fn draw(&mut self, source: &Self, part: Rect) {
        let Some(part) = part.clipped(self.width, self.height) else { return };
        let planes = source.planes();
        if (part.width, part.height) == (source.width, source.height) {
            yuv::copy(&planes, &mut self.planes_mut(), part);
        } else {
            yuv::scale(&planes, source.width, source.height, &mut self.planes_mut(), part);
        }
    }

    /// Mixes a rendered text in one colour into the picture; its upper left corner is at (x, y).
    pub fn draw_text(&mut self, text: &TextImage, x: u32, y: u32, colour: Yuv) {
        let part = Rect::new(x, y, text.width(), text.height());
        if let Some(part) = part.clipped(self.width, self.height) {
            yuv::blend(&mut self.planes_mut(), part, text, colour);
        }
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        if let Ok(mut free) = self.pool.free.lock()
            && free.len() < self.pool.kept
        {
            free.push(std::mem::take(&mut self.data));
        }
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}
