//! Datagrams on a stream: each after its length in two bytes (RFC 4571 section 2).

/// The longest frame that is taken, in bytes: what WebRTC sends over UDP fits an Ethernet frame,
/// and over TCP no client sends more.
pub(super) const MAX_FRAME: usize = 2048;
/// The bytes of a length.
pub(super) const LENGTH: usize = 2;

/// A peer announced a frame that is longer than any that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Bytes of a stream, until they make whole frames. What is not taken out stays: the owner takes
/// all frames after each push, so never more than one unfinished frame is kept.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// Adds what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next whole frame out. Empty ones are skipped: they carry nothing.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, TooLong> {
        loop {
            let rest = self.bytes.get(self.taken..).unwrap_or_default();
            let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes(*length));
            if length > MAX_FRAME {
                return Err(TooLong);
            }
            if rest.len() < length {
                return Ok(None);
            }
            let start = self.taken + LENGTH;
            self.taken = start + length;
            if length > 0 {
                return Ok(self.bytes.get(start..self.taken));
            }
        }
    }
}

/// What waits to be written, bounded.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
    limit: usize,
}

impl Outgoing {
    /// Keeps at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), written: 0, limit }
    }

    /// Adds a datagram as a frame; `false`: it has no room, and is dropped whole.
    pub(super) fn push(&mut self, datagram: &[u8]) -> bool {
        let Ok(length) = u16::try_from(datagram.len()) else { return false };
        if self.waiting().len() + LENGTH + datagram.len() > self.limit {
            return false;
        }
        self.bytes.drain(..self.written);
        self.written = 0;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(datagram);
        true
    }

    /// What is to be written next.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// So many of the waiting bytes were written.
    pub(super) fn advance(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(frames: &mut Frames) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(frame) = frames.next().unwrap() {
            all.push(frame.to_vec());
        }
        all
    }

    #[test]
    fn frames_come_out_whole_wherever_the_stream_is_cut() {
        let stream = b"\0\x03abc\0\0\0\x01d\0\x02ef";
        for cut in 0..=stream.len() {
            let mut frames = Frames::default();
            frames.push(&stream[..cut]);
            let mut all = drain(&mut frames);
            frames.push(&stream[cut..]);
            all.extend(drain(&mut frames));
            assert_eq!(all, [b"abc".to_vec(), b"d".to_vec(), b"ef".to_vec()], "cut at {cut}");
            frames.push(b"");
            assert!(frames.bytes.is_empty(), "nothing is kept");
        }
    }

    #[test]
    fn a_frame_that_no_client_sends_is_refused_at_its_length() {
        let mut frames = Frames::default();
        frames.push(&(MAX_FRAME as u16 + 1).to_be_bytes());
        assert_eq!(frames.next(), Err(TooLong));
        let mut frames = Frames::default();
        frames.push(&(MAX_FRAME as u16).to_be_bytes());
        assert_eq!(frames.next(), Ok(None));
        frames.push(&[7; MAX_FRAME]);
        assert_eq!(frames.next().unwrap().unwrap().len(), MAX_FRAME);
    }

    #[test]
    fn what_waits_is_bounded_and_frames_are_never_cut() {
        let mut outgoing = Outgoing::new(10);
        assert!(outgoing.push(b"abc") && outgoing.push(b"de"));
        assert!(!outgoing.push(b""), "nine of ten bytes are used");
        outgoing.advance(1);
        assert!(outgoing.push(b""));
        assert_eq!(outgoing.waiting(), b"\x03abc\0\x02de\0\0");
        outgoing.advance(10);
        assert!(outgoing.waiting().is_empty());
        assert!(!outgoing.push(&[0; 70_000]), "no length for it");
        assert!(outgoing.push(b"12345678"));
    }
}
