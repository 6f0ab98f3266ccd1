//! Where a key frame begins, read from one RTP payload without decoding.

use types::{Codec, VideoCodec};

/// Whether this payload is the first packet of a key frame, from which a decoder can start.
/// Sound can start anywhere.
pub fn starts_key_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Audio(_) => true,
        Codec::Video(VideoCodec::Vp8) => vp8(payload).unwrap_or(false),
        Codec::Video(VideoCodec::Vp9) => vp9(payload).unwrap_or(false),
        Codec::Video(VideoCodec::H264) => h264(payload).unwrap_or(false),
        Codec::Video(VideoCodec::Av1) => av1(payload).unwrap_or(false),
    }
}

/// RFC 7741 section 4: start of partition 0 (S = 1, PID = 0), then the frame header's P bit is 0.
fn vp8(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    if first & 0x10 == 0 || first & 0x07 != 0 {
        return Some(false);
    }
    let mut at = 1;
    if first & 0x80 != 0 {
        let extension = *payload.get(at)?;
        at += 1;
        if extension & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(extension & 0x40 != 0);
        at += usize::from(extension & 0x30 != 0);
    }
    Some(payload.get(at)? & 0x01 == 0)
}

/// RFC 9628 section 4.2: no inter-picture prediction (P = 0) at the start of a frame (B = 1) of
/// the lowest spatial layer.
fn vp9(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let (picture_id, predicted, layers, start) =
        (first & 0x80 != 0, first & 0x40 != 0, first & 0x20 != 0, first & 0x08 != 0);
    if predicted || !start {
        return Some(false);
    }
    if !layers {
        return Some(true);
    }
    let mut at = 1;
    if picture_id {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    let spatial = (payload.get(at)? >> 1) & 0x07;
    Some(spatial == 0)
}

const NAL_SPS: u8 = 7;
const NAL_STAP_A: u8 = 24;

/// RFC 6184: an SPS, alone or in a STAP-A; it is too short for an FU-A. A decoder needs it, and
/// whoever begins behind it would never get it: browsers send it before every IDR slice, and for
/// room systems that do not `transport::plain` puts it there.
fn h264(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    Some(match first & 0x1f {
        NAL_SPS => true,
        NAL_STAP_A => {
            let mut rest = payload.get(1..)?;
            while let Some((size, tail)) = rest.split_first_chunk::<2>() {
                let size = usize::from(u16::from_be_bytes(*size));
                if tail.first()? & 0x1f == NAL_SPS {
                    return Some(true);
                }
                rest = tail.get(size..)?;
            }
            false
        }
        _ => false,
    })
}

/// AV1 RTP payload format section 4.4: the N bit says that a new coded video sequence starts.
fn av1(payload: &[u8]) -> Option<bool> {
    Some(payload.first()? & 0x08 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_key(codec: VideoCodec, payload: &[u8]) -> bool {
        starts_key_frame(Codec::Video(codec), payload)
    }

    #[test]
    fn vp8_key_frames_are_told_by_the_frame_header() {
        // X, S; I with a 15-bit picture id, L, T; then the frame header.
        assert!(is_key(VideoCodec::Vp8, &[0x90, 0xe0, 0x81, 0x02, 0x07, 0x20, 0x10]));
        assert!(!is_key(VideoCodec::Vp8, &[0x90, 0xe0, 0x81, 0x02, 0x07, 0x20, 0x11]));
        assert!(!is_key(VideoCodec::Vp8, &[0x80, 0xe0, 0x81, 0x02, 0x07, 0x20, 0x10]));
        assert!(is_key(VideoCodec::Vp8, &[0x10, 0x10]));
    }

    #[test]
    fn h264_begins_with_its_parameter_sets() {
        assert!(is_key(VideoCodec::H264, &[0x67, 0x42]));
        assert!(!is_key(VideoCodec::H264, &[0x65, 0x88]), "without them it cannot be decoded");
        assert!(!is_key(VideoCodec::H264, &[0x61, 0x88]));
        assert!(is_key(VideoCodec::H264, &[0x78, 0, 2, 0x09, 0xf0, 0, 2, 0x67, 0x42]));
        assert!(!is_key(VideoCodec::H264, &[0x78, 0, 2, 0x09, 0xf0, 0, 2, 0x61, 0x42]));
        assert!(!is_key(VideoCodec::H264, &[0x78, 0, 2, 0x65, 0x88]));
        assert!(!is_key(VideoCodec::H264, &[0x7c, 0x85]));
    }

    #[test]
    fn vp9_and_av1_key_frames() {
        assert!(is_key(VideoCodec::Vp9, &[0x88, 0x01]));
        assert!(!is_key(VideoCodec::Vp9, &[0xc8, 0x01]));
        assert!(is_key(VideoCodec::Vp9, &[0xa8, 0x01, 0x00]));
        assert!(!is_key(VideoCodec::Vp9, &[0xa8, 0x01, 0x02]));
        assert!(is_key(VideoCodec::Av1, &[0x18]));
        assert!(!is_key(VideoCodec::Av1, &[0x10]));
    }

    #[test]
    fn a_cut_payload_is_no_key_frame() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::Av1] {
            assert!(!is_key(codec, &[]));
        }
        assert!(!is_key(VideoCodec::Vp8, &[0x90, 0xe0]));
        assert!(!is_key(VideoCodec::H264, &[0x78, 0, 200, 0x09]));
    }
}
