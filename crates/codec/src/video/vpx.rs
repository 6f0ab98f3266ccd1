//! VP8 and VP9 by libvpx.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_ulong};
use std::mem::MaybeUninit;
use std::ptr;

use vpx_sys::vpx_codec_err_t::VPX_CODEC_OK;
use vpx_sys::{
    VPX_DECODER_ABI_VERSION, VPX_DL_REALTIME, VPX_EFLAG_FORCE_KF, VPX_ENCODER_ABI_VERSION,
    VPX_FRAME_IS_KEY, vp8e_enc_control_id, vpx_codec_ctx_t, vpx_codec_enc_cfg_t, vpx_codec_err_t,
    vpx_image_t, vpx_img_fmt,
};

use super::picture::{Picture, PicturePool};
use super::yuv::Planes;
use super::{EncodedFrame, EncoderSettings, check_size, vp9, yuv};
use crate::CodecError;

/// The longest frame that is decoded, in bytes.
const MAX_FRAME: usize = 2 << 20;

/// A context of libvpx, destroyed when it is dropped.
///
/// The library keeps no pointer to the struct itself, so it may move.
struct Context(Box<vpx_codec_ctx_t>);

// SAFETY: a context has no ties to the thread that made it, and `&mut` guards every use.
unsafe impl Send for Context {}

impl Context {
    fn new(
        call: &'static str,
        init: impl FnOnce(*mut vpx_codec_ctx_t) -> vpx_codec_err_t,
    ) -> Result<Self, CodecError> {
        let mut context = Box::new(MaybeUninit::<vpx_codec_ctx_t>::zeroed());
        let code = init(context.as_mut_ptr());
        if code != VPX_CODEC_OK {
            return Err(CodecError::Library { call, code: code as i32 });
        }
        // SAFETY: all of its fields may be zero, and the library has filled it.
        Ok(Self(unsafe { context.assume_init() }))
    }

    fn raw(&mut self) -> *mut vpx_codec_ctx_t {
        &raw mut *self.0
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context was initialised and is used no more.
        unsafe {
            vpx_sys::vpx_codec_destroy(self.raw());
        }
    }
}

pub(super) struct VpxDecoder {
    context: Context,
    codec: &'static str,
    pool: PicturePool,
}

impl VpxDecoder {
    pub(super) fn vp8(pool: PicturePool) -> Result<Self, CodecError> {
        // SAFETY: returns a pointer to a constant.
        Self::new("VP8", unsafe { vpx_sys::vpx_codec_vp8_dx() }, pool)
    }

    pub(super) fn vp9(pool: PicturePool) -> Result<Self, CodecError> {
        // SAFETY: returns a pointer to a constant.
        Self::new("VP9", unsafe { vpx_sys::vpx_codec_vp9_dx() }, pool)
    }

    fn new(
        codec: &'static str,
        interface: *const vpx_sys::vpx_codec_iface_t,
        pool: PicturePool,
    ) -> Result<Self, CodecError> {
        let context = Context::new("vpx_codec_dec_init", |context| {
            let version = VPX_DECODER_ABI_VERSION as c_int;
            // SAFETY: the context is zeroed, no configuration means the defaults (one thread).
            unsafe { vpx_sys::vpx_codec_dec_init_ver(context, interface, ptr::null(), 0, version) }
        })?;
        Ok(Self { context, codec, pool })
    }

    pub(super) fn decode(&mut self, frame: &[u8]) -> Result<Option<Picture>, CodecError> {
        if frame.is_empty() || frame.len() > MAX_FRAME {
            return Err(CodecError::Damaged { codec: self.codec, code: 0 });
        }
        if self.codec == "VP8" {
            check_vp8(frame)?;
        } else {
            vp9::check_frames(frame)?;
        }
        // SAFETY: the slice is read during the call only.
        let code = unsafe {
            vpx_sys::vpx_codec_decode(
                self.context.raw(),
                frame.as_ptr(),
                frame.len() as u32,
                ptr::null_mut(),
                0 as c_long,
            )
        };
        if code != VPX_CODEC_OK {
            return Err(CodecError::Damaged { codec: self.codec, code: code as i32 });
        }
        let mut iterator = ptr::null();
        let mut last = None;
        loop {
            // SAFETY: the iterator starts at null and is otherwise the library's.
            let image =
                unsafe { vpx_sys::vpx_codec_get_frame(self.context.raw(), &raw mut iterator) };
            // SAFETY: null, or an image that lives until the next decode, which needs `&mut self`.
            let Some(image) = (unsafe { image.as_ref() }) else { break };
            // Of a superframe's layers the last is the largest.
            last = Some(self.copy(image)?);
        }
        Ok(last)
    }

    fn copy(&self, image: &vpx_image_t) -> Result<Picture, CodecError> {
        if image.fmt != vpx_img_fmt::VPX_IMG_FMT_I420 {
            return Err(CodecError::Unsupported("video other than 8 bits in 4:2:0"));
        }
        let mut picture = self.pool.picture(image.d_w, image.d_h)?;
        let [y, u, v, _] = image.planes;
        let [y_stride, u_stride, v_stride, _] = image.stride;
        let damaged = CodecError::Damaged { codec: self.codec, code: 0 };
        if [y, u, v].iter().any(|plane| plane.is_null()) || u_stride != v_stride {
            return Err(damaged);
        }
        let y_stride = usize::try_from(y_stride).map_err(|_| damaged)?;
        let uv_stride = usize::try_from(u_stride).map_err(|_| damaged)?;
        let length = |stride: usize, width: u32, height: u32| {
            stride * (height as usize - 1) + width as usize
        };
        let chroma = length(uv_stride, image.d_w.div_ceil(2), image.d_h.div_ceil(2));
        // SAFETY: a decoded image has `d_h` rows of `d_w` pixels, `stride` bytes apart, and half of
        // that in chroma; it outlives this function. The last row ends with its pixels.
        let planes = unsafe {
            Planes {
                y: std::slice::from_raw_parts(y, length(y_stride, image.d_w, image.d_h)),
                u: std::slice::from_raw_parts(u, chroma),
                v: std::slice::from_raw_parts(v, chroma),
                y_stride,
                uv_stride,
            }
        };
        let bounds = picture.bounds();
        yuv::copy(&planes, &mut picture.planes_mut(), bounds);
        Ok(picture)
    }
}

/// Only a key frame carries a size (RFC 6386 section 9.1).
fn check_vp8(frame: &[u8]) -> Result<(), CodecError> {
    let [tag, _, _, rest @ ..] = frame else {
        return Err(CodecError::Damaged { codec: "VP8", code: 0 });
    };
    if tag & 1 == 1 {
        return Ok(());
    }
    let [0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = rest else {
        return Err(CodecError::Damaged { codec: "VP8", code: 0 });
    };
    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    check_size(side(*w0, *w1), side(*h0, *h1))
}

/// Boxed, for the library keeps a pointer to it.
struct Config(Box<vpx_codec_enc_cfg_t>);

// SAFETY: its pointers, to the statistics of an earlier pass, are null in one-pass encoding.
unsafe impl Send for Config {}

pub(super) struct Vp8Encoder {
    context: Context,
    config: Config,
    duration: c_ulong,
    next: i64,
}

impl Vp8Encoder {
    pub(super) fn new(settings: &EncoderSettings) -> Result<Self, CodecError> {
        // SAFETY: returns a pointer to a constant.
        let interface = unsafe { vpx_sys::vpx_codec_vp8_cx() };
        let config = configuration(interface, settings)?;
        let mut context = Context::new("vpx_codec_enc_init", |context| {
            let version = VPX_ENCODER_ABI_VERSION as c_int;
            // SAFETY: the context is zeroed; the configuration is boxed and outlives it, for the
            // library keeps a pointer to it.
            unsafe {
                vpx_sys::vpx_codec_enc_init_ver(
                    context,
                    interface,
                    &raw const *config.0,
                    0,
                    version,
                )
            }
        })?;
        // Negative: a fixed speed. Positive values follow the wall clock. The faster one costs a
        // little quality, which large pictures can spare.
        let speed = if settings.width * settings.height >= 1280 * 720 { -12 } else { -8 };
        for (control, value) in [
            (vp8e_enc_control_id::VP8E_SET_CPUUSED, speed),
            (vp8e_enc_control_id::VP8E_SET_STATIC_THRESHOLD, 1),
            (vp8e_enc_control_id::VP8E_SET_NOISE_SENSITIVITY, 0),
            // A key frame of at most four average frames: it has to pass narrow links too.
            (vp8e_enc_control_id::VP8E_SET_MAX_INTRA_BITRATE_PCT, 400),
        ] {
            // SAFETY: each of these controls takes an `int` or `unsigned`.
            let code = unsafe {
                vpx_sys::vpx_codec_control_(context.raw(), control as c_int, value as c_int)
            };
            if code != VPX_CODEC_OK {
                return Err(CodecError::Library { call: "vpx_codec_control", code: code as i32 });
            }
        }
        let duration = c_ulong::from(90_000 / settings.fps.max(1));
        Ok(Self { context, config, duration, next: 0 })
    }

    pub(super) fn encode(
        &mut self,
        picture: &Picture,
        key: bool,
        out: &mut Vec<u8>,
    ) -> Result<EncodedFrame, CodecError> {
        let image = borrowed_image(picture);
        let flags = if key { VPX_EFLAG_FORCE_KF as c_long } else { 0 };
        // SAFETY: the image points to the picture's planes, which are read during the call only.
        let code = unsafe {
            vpx_sys::vpx_codec_encode(
                self.context.raw(),
                &raw const image,
                self.next,
                self.duration,
                flags,
                VPX_DL_REALTIME as c_ulong,
            )
        };
        if code != VPX_CODEC_OK {
            return Err(CodecError::Library { call: "vpx_codec_encode", code: code as i32 });
        }
        self.next += self.duration as i64;
        let mut iterator = ptr::null();
        let mut encoded = EncodedFrame { key: false };
        loop {
            // SAFETY: the iterator starts at null and is otherwise the library's.
            let packet =
                unsafe { vpx_sys::vpx_codec_get_cx_data(self.context.raw(), &raw mut iterator) };
            // SAFETY: null, or a packet that lives until the next encode.
            let Some(packet) = (unsafe { packet.as_ref() }) else { break };
            if packet.kind != vpx_sys::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: the packet's kind says which part of the union is in use, and its buffer has
            // `sz` bytes.
            let (bytes, flags) = unsafe {
                let frame = packet.data.frame;
                (std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz), frame.flags)
            };
            out.extend_from_slice(bytes);
            encoded.key |= flags & VPX_FRAME_IS_KEY != 0;
        }
        Ok(encoded)
    }

    pub(super) fn set_bitrate(&mut self, bits: u32) -> Result<(), CodecError> {
        self.config.0.rc_target_bitrate = (bits / 1_000).max(1);
        // SAFETY: the configuration is the one that the context was made with, one field changed.
        let code = unsafe {
            vpx_sys::vpx_codec_enc_config_set(self.context.raw(), &raw const *self.config.0)
        };
        if code == VPX_CODEC_OK {
            Ok(())
        } else {
            Err(CodecError::Library { call: "vpx_codec_enc_config_set", code: code as i32 })
        }
    }
}

fn configuration(
    interface: *const vpx_sys::vpx_codec_iface_t,
    settings: &EncoderSettings,
) -> Result<Config, CodecError> {
    let mut config = MaybeUninit::<vpx_codec_enc_cfg_t>::zeroed();
    // SAFETY: the library fills the whole struct.
    let code = unsafe { vpx_sys::vpx_codec_enc_config_default(interface, config.as_mut_ptr(), 0) };
    if code != VPX_CODEC_OK {
        return Err(CodecError::Library {
            call: "vpx_codec_enc_config_default",
            code: code as i32,
        });
    }
    // SAFETY: filled by the call, which has succeeded.
    let mut config = Box::new(unsafe { config.assume_init() });
    config.g_w = settings.width;
    config.g_h = settings.height;
    config.g_threads = 1;
    config.g_timebase = vpx_sys::vpx_rational { num: 1, den: 90_000 };
    config.g_lag_in_frames = 0;
    config.g_pass = vpx_sys::vpx_enc_pass::VPX_RC_ONE_PASS;
    config.rc_end_usage = vpx_sys::vpx_rc_mode::VPX_CBR;
    config.rc_target_bitrate = (settings.bitrate / 1_000).max(1);
    config.rc_dropframe_thresh = 0;
    config.rc_resize_allowed = 0;
    config.rc_min_quantizer = 4;
    config.rc_max_quantizer = 56;
    config.rc_undershoot_pct = 100;
    config.rc_overshoot_pct = 15;
    config.rc_buf_sz = 1_000;
    config.rc_buf_initial_sz = 500;
    config.rc_buf_optimal_sz = 600;
    // Key frames are made when they are asked for, and only then.
    config.kf_mode = vpx_sys::vpx_kf_mode::VPX_KF_DISABLED;
    Ok(Config(config))
}

fn borrowed_image(picture: &Picture) -> vpx_image_t {
    let planes = picture.planes();
    // SAFETY: a plain C struct of numbers, pointers and enums for which 0 is a value.
    let mut image: vpx_image_t = unsafe { MaybeUninit::zeroed().assume_init() };
    image.fmt = vpx_img_fmt::VPX_IMG_FMT_I420;
    image.bit_depth = 8;
    (image.w, image.h) = (picture.width(), picture.height());
    (image.d_w, image.d_h) = (picture.width(), picture.height());
    (image.x_chroma_shift, image.y_chroma_shift) = (1, 1);
    image.bps = 12;
    image.planes = [
        planes.y.as_ptr().cast_mut(),
        planes.u.as_ptr().cast_mut(),
        planes.v.as_ptr().cast_mut(),
        ptr::null_mut(),
    ];
    let uv_stride = planes.uv_stride as c_int;
    image.stride = [planes.y_stride as c_int, uv_stride, uv_stride, 0];
    image
}
