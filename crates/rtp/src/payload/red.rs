//! Redundant audio (RFC 2198): a packet repeats older frames before its newest one, so that a lost
//! packet costs nothing.

use std::sync::Arc;

/// The newest frame of a packet, as a receiver without redundancy gets it. `None` for what is no
/// such packet.
pub fn primary(payload: &[u8]) -> Option<&[u8]> {
    let Layout { last_header, older } = layout(payload)?;
    payload.get(last_header + 1 + older..).filter(|it| !it.is_empty())
}

/// The packet for a receiver that knows the frames' codec by another payload type.
pub fn with_payload_type(payload: &Arc<[u8]>, payload_type: u8) -> Arc<[u8]> {
    let Some(Layout { last_header, .. }) = layout(payload) else { return payload.clone() };
    let Some(old) = payload.get(last_header).map(|it| it & 0x7f) else { return payload.clone() };
    if old == payload_type {
        return payload.clone();
    }
    let mut changed = payload.to_vec();
    // Headers of older frames are four bytes long, the last one is a single byte.
    for header in changed.iter_mut().take(last_header + 1).step_by(4) {
        if *header & 0x7f == old {
            *header = *header & 0x80 | payload_type & 0x7f;
        }
    }
    changed.into()
}

struct Layout {
    /// Where the newest frame's header stands.
    last_header: usize,
    /// Bytes of all older frames, which follow the headers.
    older: usize,
}

fn layout(payload: &[u8]) -> Option<Layout> {
    let (mut at, mut older) = (0, 0);
    loop {
        // F, then the payload type; with F set, 14 bits of age and 10 of length follow.
        if payload.get(at)? & 0x80 == 0 {
            return Some(Layout { last_header: at, older });
        }
        let &[_, _, high, low] = payload.get(at..)?.first_chunk::<4>()?;
        older += usize::from(high & 0b11) << 8 | usize::from(low);
        at += 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One older frame `[1, 2, 3]`, 960 ticks ago, and the newest, `[9]`.
    const TWO: [u8; 9] = [0x80 | 111, 0x0f, 0x00, 3, 111, 1, 2, 3, 9];

    #[test]
    fn the_newest_frame_is_found() {
        assert_eq!(primary(&TWO), Some(&[9][..]));
        assert_eq!(primary(&[111, 9, 8]), Some(&[9, 8][..]), "nothing older");
    }

    #[test]
    fn damaged_packets_give_nothing() {
        for length in 0..TWO.len() {
            assert_eq!(primary(&TWO[..length]), None, "cut to {length}");
        }
        assert_eq!(primary(&[0xff; 64]), None, "headers without an end");
        let longer_than_it_is = [0x80 | 111, 0, 3, 255, 111, 1, 2];
        assert_eq!(primary(&longer_than_it_is), None);
    }

    #[test]
    fn frames_are_named_by_the_receivers_payload_type() {
        let packet: Arc<[u8]> = TWO.into();
        let changed = with_payload_type(&packet, 109);
        assert_eq!((changed[0], changed[4]), (0x80 | 109, 109));
        assert_eq!((&changed[1..4], &changed[5..]), (&packet[1..4], &packet[5..]));
        assert!(Arc::ptr_eq(&with_payload_type(&packet, 111), &packet), "nothing to change");
        let other: Arc<[u8]> = [0x80, 0, 0, 1, 111, 7, 9].into();
        assert_eq!(with_payload_type(&other, 109)[..], [0x80, 0, 0, 1, 109, 7, 9]);
    }
}
