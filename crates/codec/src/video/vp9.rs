//! As much of VP9's frame header (VP9 bitstream specification, section 6.2) as says how large a
//! frame is: libvpx would allocate for any size that is written there.

use super::bits::Bits;
use super::check_size;
use crate::CodecError;

const DAMAGED: CodecError = CodecError::Damaged { codec: "VP9", code: 0 };

/// Refuses frames larger than the bound, and profiles with other than 8 bits and 4:2:0.
pub(super) fn check_frames(data: &[u8]) -> Result<(), CodecError> {
    for frame in frames(data) {
        let size = frame_size(&mut Bits::new(frame)).ok_or(DAMAGED)??;
        if let Some((width, height)) = size {
            check_size(width, height)?;
        }
    }
    Ok(())
}

/// The frames of a superframe (annex B), or the one that there is.
fn frames(data: &[u8]) -> Vec<&[u8]> {
    superframe(data).unwrap_or_else(|| vec![data])
}

fn superframe(data: &[u8]) -> Option<Vec<&[u8]>> {
    let marker = *data.last()?;
    if marker & 0xe0 != 0xc0 {
        return None;
    }
    let count = usize::from(marker & 7) + 1;
    let bytes = usize::from(marker >> 3 & 3) + 1;
    let (mut rest, index) = data.split_at_checked(data.len().checked_sub(2 + count * bytes)?)?;
    if *index.first()? != marker {
        return None;
    }
    let mut frames = Vec::with_capacity(count);
    for size in index.get(1..=count * bytes)?.chunks_exact(bytes) {
        let size = size.iter().rev().fold(0usize, |all, byte| all << 8 | usize::from(*byte));
        let (frame, after) = rest.split_at_checked(size)?;
        if !frame.is_empty() {
            frames.push(frame);
        }
        rest = after;
    }
    Some(frames)
}

type Size = Option<(u32, u32)>;

/// The size that is written in a frame's header; `Ok(None)` where it is that of a reference.
fn frame_size(bits: &mut Bits<'_>) -> Option<Result<Size, CodecError>> {
    if bits.take(2)? != 2 {
        return None;
    }
    if bits.take(2)? != 0 {
        return Some(Err(CodecError::Unsupported("a VP9 profile other than 0")));
    }
    if bits.bit()? {
        return Some(Ok(None));
    }
    let inter = bits.bit()?;
    let shown = bits.bit()?;
    let resilient = bits.bit()?;
    if !inter {
        let synchronised = bits.take(24)? == 0x49_83_42;
        let rgb = bits.take(3)? == 7;
        bits.bit()?;
        return (synchronised && !rgb).then_some(Ok(Some(written_size(bits)?)));
    }
    let intra_only = !shown && bits.bit()?;
    if !resilient {
        bits.take(2)?;
    }
    if intra_only {
        let synchronised = bits.take(24)? == 0x49_83_42;
        bits.take(8)?;
        return synchronised.then_some(Ok(Some(written_size(bits)?)));
    }
    bits.take(8 + 3 * 4)?;
    for _ in 0..3 {
        if bits.bit()? {
            return Some(Ok(None));
        }
    }
    Some(Ok(Some(written_size(bits)?)))
}

fn written_size(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    Some((bits.take(16)? + 1, bits.take(16)? + 1))
}
