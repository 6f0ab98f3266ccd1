//! Touch tones (RFC 4733) and redundant audio (RFC 2198).

/// Timestamps of finished tones that are remembered, against late copies of their packets.
const REMEMBERED: usize = 8;
/// Blocks of one RED packet that are read at most.
const MAX_BLOCKS: usize = 8;

/// A touch tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tone {
    /// `0`..=`9`, `*`, `#`, `A`..=`D`.
    pub digit: char,
    /// How long it lasted, in ticks of the event's clock.
    pub duration: u16,
}

/// Reads telephone-events: one [`Tone`] for each key press, at its end.
///
/// A press is many packets of one timestamp, the last of them sent three times. Where all the last
/// ones were lost the next press ends it.
#[derive(Debug, Default)]
pub struct ToneReader {
    running: Option<(u32, Tone)>,
    finished: [Option<u32>; REMEMBERED],
}

impl ToneReader {
    /// A reader that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the payload of a telephone-event packet. Yields the tones that ended: at most one that
    /// lost its end, and the packet's own.
    pub fn push(&mut self, timestamp: u32, payload: &[u8]) -> [Option<Tone>; 2] {
        let Some(&[event, flags, d0, d1]) = payload.first_chunk::<4>() else { return [None; 2] };
        let Some(digit) = digit(event) else { return [None; 2] };
        if self.finished.contains(&Some(timestamp)) {
            return [None; 2];
        }
        let other = self.running.take_if(|(at, _)| *at != timestamp);
        if let Some((at, _)) = other {
            self.remember(at);
        }
        let tone = Tone { digit, duration: u16::from_be_bytes([d0, d1]) };
        let ended = flags & 0x80 != 0;
        if ended {
            self.running = None;
            self.remember(timestamp);
        } else {
            self.running = Some((timestamp, tone));
        }
        [other.map(|(_, tone)| tone), ended.then_some(tone)]
    }

    fn remember(&mut self, timestamp: u32) {
        self.finished.rotate_right(1);
        if let Some(first) = self.finished.first_mut() {
            *first = Some(timestamp);
        }
    }
}

/// RFC 4733 table 3.
fn digit(event: u8) -> Option<char> {
    Some(match event {
        0..=9 => char::from(b'0' + event),
        10 => '*',
        11 => '#',
        12..=15 => char::from(b'A' + event - 12),
        _ => return None,
    })
}

/// One block of a RED packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedBlock<'a> {
    /// Payload type of its content.
    pub pt: u8,
    /// How much older than the packet's timestamp it is, in ticks, 0..=16383; 0 for the primary.
    pub offset: u16,
    /// Its content.
    pub data: &'a [u8],
}

/// Unwraps a RED payload (RFC 2198 section 3): the copies of earlier frames, oldest first as they
/// are sent, and the primary last. `None` if a length in it lies.
#[must_use]
pub fn unwrap_red(payload: &[u8]) -> Option<Vec<RedBlock<'_>>> {
    let mut headers = Vec::new();
    let mut rest = payload;
    let primary = loop {
        let (first, tail) = rest.split_first()?;
        if first & 0x80 == 0 {
            rest = tail;
            break first & 0x7f;
        }
        let (&[pt, o, ol, l], tail) = rest.split_first_chunk::<4>()?;
        let offset = u16::from_be_bytes([o, ol]) >> 2;
        headers.push((pt & 0x7f, offset, usize::from(ol & 3) << 8 | usize::from(l)));
        if headers.len() >= MAX_BLOCKS {
            return None;
        }
        rest = tail;
    };
    let mut blocks = Vec::with_capacity(headers.len() + 1);
    for (pt, offset, len) in headers {
        let (data, tail) = rest.split_at_checked(len)?;
        blocks.push(RedBlock { pt, offset, data });
        rest = tail;
    }
    blocks.push(RedBlock { pt: primary, offset: 0, data: rest });
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    fn tones(reader: &mut ToneReader, packets: &[(u32, [u8; 4])]) -> String {
        let read = packets.iter().flat_map(|(at, payload)| reader.push(*at, payload));
        read.flatten().map(|tone| tone.digit).collect()
    }

    #[test]
    fn a_pin_is_read_once_though_every_end_comes_three_times_and_late() {
        let mut reader = ToneReader::new();
        let mut packets = Vec::new();
        for (at, event) in [4, 4, 11].into_iter().enumerate() {
            let timestamp = at as u32 * 1600;
            packets.extend((1..4).map(|n| (timestamp, [event, 10, 0, n * 40])));
            packets.extend([(timestamp, [event, 0x8a, 3, 0x20]); 3]);
        }
        packets.push((0, [4, 0x8a, 3, 0x20]));
        packets.push((1600, [4, 10, 0, 40]));
        assert_eq!(tones(&mut reader, &packets), "44#");
    }

    #[test]
    fn a_press_whose_ends_are_lost_is_ended_by_the_next() {
        let mut reader = ToneReader::new();
        let packets = [(0, [1, 10, 0, 80]), (800, [12, 10, 0, 80]), (800, [12, 0x8a, 1, 0])];
        assert_eq!(tones(&mut reader, &packets), "1A");
        assert_eq!(reader.push(1, &[16, 0x80, 0, 1]), [None; 2], "flash is no digit");
        assert_eq!(reader.push(1, &[1, 0x80]), [None; 2]);
    }

    #[test]
    fn red_gives_the_older_frame_and_the_primary() {
        let payload = [0x80 | 111, 0x0f, 0x00, 3, 111, 1, 2, 3, 9, 9];
        let blocks = unwrap_red(&payload).unwrap();
        let old = RedBlock { pt: 111, offset: 960, data: &[1, 2, 3] };
        assert_eq!(blocks, [old, RedBlock { pt: 111, offset: 0, data: &[9, 9] }]);
        for cut in 0..8 {
            assert_eq!(unwrap_red(&payload[..cut]), None, "{cut} bytes");
        }
        assert_eq!(unwrap_red(&[0xff; 1000]), None);
    }

    #[test]
    fn mutated_payloads_never_panic() {
        let mut rng = Rng::new(0x2198);
        let mut reader = ToneReader::new();
        for _ in 0..200_000 {
            let mut data = vec![0x80 | 111, 0x0f, 0x00, 3, 111, 1, 2, 3, 9, 9];
            rng.mutate(&mut data);
            if let Some(blocks) = unwrap_red(&data) {
                assert!(blocks.iter().map(|b| b.data.len()).sum::<usize>() < data.len());
            }
            let _ = reader.push(rng.below(3) as u32, &data);
        }
    }
}
