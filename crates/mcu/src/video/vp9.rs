//! VP9 over RTP (RFC 9628), as far as a decoder needs it: browsers publish it, no room system does.

use rtp::payload::MAX_FRAME;

/// Puts one stream's payloads, in order and without gaps, together to the frames of its layers.
#[derive(Default)]
pub(super) struct Vp9Depacketizer {
    data: Vec<u8>,
    key: bool,
    open: bool,
}

/// A payload that its format does not allow, or whose frame's beginning is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incomplete;

impl Vp9Depacketizer {
    /// Drops the frame at work.
    pub(super) fn clear(&mut self) {
        self.data.clear();
        (self.key, self.open) = (false, false);
    }

    /// Takes a payload; the frame that it ends, and whether that is a key frame.
    pub(super) fn push(&mut self, payload: &[u8]) -> Result<Option<(Vec<u8>, bool)>, Incomplete> {
        let ended = self.add(payload);
        if ended.is_none() {
            self.clear();
        }
        if !ended.ok_or(Incomplete)? {
            return Ok(None);
        }
        self.open = false;
        Ok(Some((std::mem::take(&mut self.data), self.key)))
    }

    /// Whether the payload ends a layer's frame.
    fn add(&mut self, payload: &[u8]) -> Option<bool> {
        let (flags, mut rest) = payload.split_first()?;
        let has = |bit: u8| flags & bit != 0;
        let mut spatial = 0;
        if has(0x80) {
            let long = rest.first()? & 0x80 != 0;
            rest = rest.get(if long { 2 } else { 1 }..)?;
        }
        if has(0x20) {
            spatial = rest.first()? >> 1 & 7;
            rest = rest.get(if has(0x10) { 1 } else { 2 }..)?;
        }
        if has(0x10) && has(0x40) {
            for _ in 0..3 {
                let (reference, after) = rest.split_first()?;
                rest = after;
                if reference & 1 == 0 {
                    break;
                }
            }
        }
        if has(0x02) {
            rest = skip_scalability(rest)?;
        }
        if has(0x08) == self.open || self.data.len() + rest.len() > MAX_FRAME {
            return None;
        }
        if has(0x08) {
            self.open = true;
            self.key = !has(0x40) && spatial == 0;
        }
        self.data.extend_from_slice(rest);
        Some(has(0x04))
    }
}

/// The scalability structure of RFC 9628 section 4.2.1.
fn skip_scalability(data: &[u8]) -> Option<&[u8]> {
    let (head, mut rest) = data.split_first()?;
    if head & 0x10 != 0 {
        rest = rest.get((usize::from(head >> 5) + 1) * 4..)?;
    }
    if head & 0x08 != 0 {
        let (pictures, after) = rest.split_first()?;
        rest = after;
        for _ in 0..*pictures {
            let (picture, after) = rest.split_first()?;
            rest = after.get(usize::from(picture >> 2 & 3)..)?;
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_browsers_are_read() {
        // Picture id of 15 bits, layer indices, begin and end, with a scalability structure.
        let payload = [0xae, 0x81, 0x23, 0x00, 0x07, 0x18, 1, 64, 0, 180, 1, 0x04, 2, 0xaa, 0xbb];
        let mut depacketizer = Vp9Depacketizer::default();
        assert_eq!(depacketizer.push(&payload), Ok(Some((vec![0xaa, 0xbb], true))));
        // A delta frame in two payloads.
        assert_eq!(depacketizer.push(&[0xc8, 0x01, 1, 2]), Ok(None));
        assert_eq!(depacketizer.push(&[0xc4, 0x01, 3]), Ok(Some((vec![1, 2, 3], false))));
        assert_eq!(depacketizer.push(&[0xc4, 0x02, 3]), Err(Incomplete), "its beginning is lost");
    }

    #[test]
    fn garbage_never_panics_and_stays_bounded() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u8
        };
        let mut depacketizer = Vp9Depacketizer::default();
        for _ in 0..50_000u32 {
            let payload: Vec<u8> = (0..random() % 40).map(|_| random()).collect();
            let _ = depacketizer.push(&payload);
            assert!(depacketizer.data.len() <= MAX_FRAME);
        }
    }
}
