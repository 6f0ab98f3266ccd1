//! Drawing on planes through libyuv. Every function takes a part that its caller has clipped to the
//! target, and checks it against the planes' lengths once more before it hands out a pointer.
#![allow(unsafe_code)]

use std::ffi::c_int;

use super::TextImage;
use super::picture::{Rect, Yuv};

/// The three planes of an I420 picture.
pub(super) struct Planes<'a> {
    pub y: &'a [u8],
    pub u: &'a [u8],
    pub v: &'a [u8],
    pub y_stride: usize,
    pub uv_stride: usize,
}

/// The same, to draw on.
pub(super) struct PlanesMut<'a> {
    pub y: &'a mut [u8],
    pub u: &'a mut [u8],
    pub v: &'a mut [u8],
    pub y_stride: usize,
    pub uv_stride: usize,
}

/// libyuv's `kFilterBox`: averages going down, interpolates going up.
const FILTER_BOX: c_int = 3;

#[link(name = "yuv")]
unsafe extern "C" {
    fn ScalePlane(
        src: *const u8,
        src_stride: c_int,
        src_width: c_int,
        src_height: c_int,
        dst: *mut u8,
        dst_stride: c_int,
        dst_width: c_int,
        dst_height: c_int,
        filter: c_int,
    );
    fn CopyPlane(
        src: *const u8,
        src_stride: c_int,
        dst: *mut u8,
        dst_stride: c_int,
        width: c_int,
        height: c_int,
    );
    fn SetPlane(dst: *mut u8, dst_stride: c_int, width: c_int, height: c_int, value: u32);
}

/// A part of one plane: `width` × `height` bytes, rows `stride` apart, all inside of the slice.
struct Window<'a> {
    data: &'a mut [u8],
    stride: usize,
    width: usize,
    height: usize,
}

fn holds(length: usize, stride: usize, width: usize, height: usize) -> bool {
    width > 0 && height > 0 && width <= stride && stride * (height - 1) + width <= length
}

impl<'a> Window<'a> {
    fn new(
        plane: &'a mut [u8],
        stride: usize,
        at: (usize, usize),
        size: (usize, usize),
    ) -> Option<Self> {
        let data = plane.get_mut(at.1 * stride + at.0..)?;
        holds(data.len(), stride, size.0, size.1).then_some(Self {
            data,
            stride,
            width: size.0,
            height: size.1,
        })
    }
}

impl PlanesMut<'_> {
    fn windows(&mut self, part: Rect) -> [Option<Window<'_>>; 3] {
        let (x, y) = (part.x as usize, part.y as usize);
        let (w, h) = (part.width as usize, part.height as usize);
        let chroma = ((x / 2, y / 2), (w.div_ceil(2), h.div_ceil(2)));
        [
            Window::new(self.y, self.y_stride, (x, y), (w, h)),
            Window::new(self.u, self.uv_stride, chroma.0, chroma.1),
            Window::new(self.v, self.uv_stride, chroma.0, chroma.1),
        ]
    }
}

/// Fills `part`.
pub(super) fn fill(target: &mut PlanesMut<'_>, part: Rect, colour: Yuv) {
    let values = [colour.y, colour.u, colour.v];
    for (window, value) in target.windows(part).into_iter().zip(values) {
        let Some(w) = window else { continue };
        // SAFETY: `Window` holds `height` rows of `width` bytes, `stride` apart.
        unsafe {
            SetPlane(
                w.data.as_mut_ptr(),
                w.stride as c_int,
                w.width as c_int,
                w.height as c_int,
                u32::from(value),
            );
        }
    }
}

/// Copies the upper left of `source` into `part`.
pub(super) fn copy(source: &Planes<'_>, target: &mut PlanesMut<'_>, part: Rect) {
    let sources =
        [(source.y, source.y_stride), (source.u, source.uv_stride), (source.v, source.uv_stride)];
    for (window, (plane, stride)) in target.windows(part).into_iter().zip(sources) {
        let Some(w) = window else { continue };
        if !holds(plane.len(), stride, w.width, w.height) {
            continue;
        }
        // SAFETY: `Window` holds the rows that are written, `holds` has checked those that are read;
        // the one is borrowed mutably, so they do not overlap.
        unsafe {
            CopyPlane(
                plane.as_ptr(),
                stride as c_int,
                w.data.as_mut_ptr(),
                w.stride as c_int,
                w.width as c_int,
                w.height as c_int,
            );
        }
    }
}

/// Scales the whole of `source`, `width` × `height`, into `part`.
pub(super) fn scale(
    source: &Planes<'_>,
    width: u32,
    height: u32,
    target: &mut PlanesMut<'_>,
    part: Rect,
) {
    let (width, height) = (width as usize, height as usize);
    let chroma = (width.div_ceil(2), height.div_ceil(2));
    let sources = [
        (source.y, source.y_stride, (width, height)),
        (source.u, source.uv_stride, chroma),
        (source.v, source.uv_stride, chroma),
    ];
    for (window, (plane, stride, (width, height))) in target.windows(part).into_iter().zip(sources)
    {
        let Some(w) = window else { continue };
        if !holds(plane.len(), stride, width, height) {
            continue;
        }
        // SAFETY: as in `copy`.
        unsafe {
            ScalePlane(
                plane.as_ptr(),
                stride as c_int,
                width as c_int,
                height as c_int,
                w.data.as_mut_ptr(),
                w.stride as c_int,
                w.width as c_int,
                w.height as c_int,
                FILTER_BOX,
            );
        }
    }
}

/// Mixes `colour` into `part` by the text's coverage.
pub(super) fn blend(target: &mut PlanesMut<'_>, part: Rect, text: &TextImage, colour: Yuv) {
    let [y, u, v] = target.windows(part);
    for (window, value, step) in [(y, colour.y, 1), (u, colour.u, 2), (v, colour.v, 2)] {
        let Some(w) = window else { continue };
        for (row, line) in w.data.chunks_mut(w.stride).take(w.height).enumerate() {
            for (column, pixel) in line.iter_mut().take(w.width).enumerate() {
                let cover = u32::from(text.coverage(column * step, row * step));
                let mixed = u32::from(*pixel) * (255 - cover) + u32::from(value) * cover;
                *pixel = (mixed / 255) as u8;
            }
        }
    }
}
