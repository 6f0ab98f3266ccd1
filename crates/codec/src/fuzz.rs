//! One function for each decoder of what a peer sends, for fuzzers. None may panic, none may grow.

use types::{AudioCodec, VideoCodec};

use crate::{AudioDecoder, Decoder, MAX_FRAME_SAMPLES, PicturePool, SequenceParameters};

/// [`AudioDecoder`]: the first byte chooses the codec, packets follow, each after its length in
/// one byte. Length 0 is a loss.
pub fn audio(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let codec = match choice % 4 {
        0 => AudioCodec::Opus,
        1 => AudioCodec::G722,
        2 => AudioCodec::Pcma,
        _ => AudioCodec::Pcmu,
    };
    let Ok(mut decoder) = AudioDecoder::new(codec) else { return };
    let mut out = Vec::new();
    while let Some((&length, tail)) = rest.split_first() {
        let (packet, next) = tail.split_at_checked(usize::from(length)).unwrap_or((tail, &[]));
        rest = next;
        out.clear();
        let result = match length {
            0 => decoder.conceal(960, None, &mut out),
            _ => decoder.decode(packet, &mut out).map(|_| ()),
        };
        assert!(result.is_err() || out.len() <= MAX_FRAME_SAMPLES);
    }
}

/// [`Decoder`]: the first byte chooses the codec, frames follow, each after its length in two
/// bytes.
pub fn video(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let codec = match choice % 3 {
        0 => VideoCodec::H264,
        1 => VideoCodec::Vp8,
        _ => VideoCodec::Vp9,
    };
    let Ok(mut decoder) = Decoder::new(codec, PicturePool::new(2)) else { return };
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (frame, next) = tail.split_at_checked(length).unwrap_or((tail, &[]));
        rest = next;
        let _ = decoder.decode(frame);
    }
}

/// [`SequenceParameters::parse`].
pub fn sps(data: &[u8]) {
    let _ = SequenceParameters::parse(data);
}
