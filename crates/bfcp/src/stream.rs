//! Whole messages out of a TCP stream, and out of the fragments of datagrams (RFC 8855 sections
//! 5.1 and 6.2.3).

use std::time::{Duration, Instant};

use crate::message::{HEADER, Header, Message, ParseError};

/// Bytes of a message that are taken at most: those of floor control have a hundred.
pub const MAX_MESSAGE: usize = 4096;
/// How long the rest of a message in fragments may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Framing {
    bytes: Vec<u8>,
}

impl Framing {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes of the next whole message. To be called until there is none, before more is pushed.
    ///
    /// # Errors
    /// [`ParseError::Length`], where a message is longer than [`MAX_MESSAGE`], or in fragments, which
    /// streams do not have: the stream cannot be read any more.
    pub fn cut(&mut self) -> Result<Option<Vec<u8>>, ParseError> {
        let Some(head) = self.bytes.get(..HEADER) else { return Ok(None) };
        let Ok((header, _)) = Header::split(head) else { return Err(ParseError::Length) };
        let whole = HEADER + header.payload;
        if whole > MAX_MESSAGE || header.fragment.is_some() {
            return Err(ParseError::Length);
        }
        let rest =
            if self.bytes.len() < whole { return Ok(None) } else { self.bytes.split_off(whole) };
        Ok(Some(std::mem::replace(&mut self.bytes, rest)))
    }
}

/// Puts one message at a time together, whose fragments come in their order; a sender whose
/// fragments were lost or overtook each other sends all of them again.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    begun: Option<(Header, Vec<u8>, Instant)>,
}

impl Reassembly {
    /// Takes a datagram: the message that it is, or completes.
    pub fn take(&mut self, bytes: &[u8], now: Instant) -> Result<Option<Message>, ParseError> {
        let (header, payload) = Header::split(bytes)?;
        let Some((offset, length)) = header.fragment else {
            if payload.len() != header.payload {
                return Err(ParseError::Length);
            }
            return header.message(payload).map(Some);
        };
        if payload.len() != length || header.payload > MAX_MESSAGE {
            return Err(ParseError::Length);
        }
        if offset == 0 {
            self.begun = Some((header, Vec::new(), now));
        }
        let Some((first, gathered, since)) = &mut self.begun else { return Ok(None) };
        let same = Header { fragment: first.fragment, ..header } == *first;
        let in_order = gathered.len() == offset && offset + length <= first.payload;
        if !same || !in_order || now.saturating_duration_since(*since) > PATIENCE {
            return Ok(None);
        }
        gathered.extend_from_slice(payload);
        if gathered.len() < first.payload {
            return Ok(None);
        }
        let done = first.message(gathered);
        self.begun = None;
        done.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; 16] = [0x40, 1, 0, 1, 0, 0, 0, 1, 0, 5, 1, 62, 0x05, 4, 0, 2];

    #[test]
    fn a_stream_is_cut_wherever_its_bytes_come_apart() {
        let two = [REQUEST, REQUEST].concat();
        for cut in 0..two.len() {
            let mut framing = Framing::default();
            let mut messages = Vec::new();
            for part in [&two[..cut], &two[cut..]] {
                framing.push(part);
                while let Some(message) = framing.cut().unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages, [REQUEST, REQUEST], "{cut}");
        }
        let mut framing = Framing::default();
        framing.push(&[0x20, 1, 0xff, 0xff, 0, 0, 0, 1, 0, 5, 1, 62]);
        assert_eq!(framing.cut(), Err(ParseError::Length), "a quarter of a megabyte");
    }

    fn fragment(of: &[u8; 20], offset: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = of[..12].to_vec();
        bytes[0] |= 0x08;
        bytes.extend([0, offset, 0, (payload.len() / 4) as u8]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn fragments_make_a_message_in_their_order_and_in_time() {
        let now = Instant::now();
        let whole = [0x40, 1, 0, 2, 0, 0, 0, 1, 0, 5, 1, 62, 0x05, 4, 0, 2, 0x03, 4, 0, 9];
        let (first, second) =
            (fragment(&whole, 0, &whole[12..16]), fragment(&whole, 1, &whole[16..]));
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.take(&second, now), Ok(None), "the first one is missing");
        assert_eq!(reassembly.take(&first, now), Ok(None));
        assert_eq!(reassembly.take(&first, now), Ok(None), "sent again");
        assert_eq!(reassembly.take(&second, now), Ok(Some(Message::parse(&whole).unwrap())));
        assert_eq!(reassembly.take(&first, now), Ok(None));
        assert_eq!(reassembly.take(&second, now + Duration::from_secs(11)), Ok(None), "too late");
        let lie = fragment(&whole, 0, &[0; 64]);
        assert_eq!(reassembly.take(&lie, now), Ok(None), "longer than it says");
        assert!(reassembly.begun.is_some_and(|(_, gathered, _)| gathered.is_empty()));
    }
}
