//! Cutting a byte stream into SIP messages (RFC 3261 section 18.3).

/// The longest message, in bytes, header and body together.
pub(super) const MAX_MESSAGE: usize = 65_535;

/// Why a stream cannot be followed any further: it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FramingError {
    #[error("a message is longer than {MAX_MESSAGE} bytes")]
    TooLong,
    #[error("a message has no usable Content-Length")]
    NoLength,
}

/// What a stream brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    Message(Vec<u8>),
    /// A double CRLF: answer with one (RFC 5626 section 4.4.1).
    Ping,
}

/// Bytes that have come and are not a whole message yet; at most two messages' worth.
#[derive(Debug, Default)]
pub(super) struct Framer {
    buffer: Vec<u8>,
    /// Bytes at the front that hold no end of a header: a peer that sends byte by byte must not
    /// have them searched again each time.
    searched: usize,
}

impl Framer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and is not whole. What may be a pong, or a ping that has begun, is
    /// none: nothing has to follow it.
    pub(super) fn is_partial(&self) -> bool {
        !matches!(self.buffer.as_slice(), b"" | b"\r" | b"\r\n" | b"\r\n\r")
    }

    /// The next frame, when there is a whole one.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, FramingError> {
        if self.buffer.starts_with(b"\r\n\r\n") {
            self.take(4);
            return Ok(Some(Frame::Ping));
        }
        // A single CRLF between messages is a pong, or noise.
        if self.buffer.starts_with(b"\r\n")
            && self.buffer.len() > 2
            && self.buffer.get(2) != Some(&b'\r')
        {
            self.take(2);
        }
        let from = self.searched.saturating_sub(3);
        let unsearched = self.buffer.get(from..).unwrap_or_default();
        let Some(found) = unsearched.windows(4).position(|window| window == b"\r\n\r\n") else {
            self.searched = self.buffer.len();
            return if self.searched > MAX_MESSAGE { Err(FramingError::TooLong) } else { Ok(None) };
        };
        let head = from + found;
        self.searched = head;
        let length = content_length(self.buffer.get(..head).unwrap_or_default())?;
        let total = head + 4 + length;
        if total > MAX_MESSAGE {
            return Err(FramingError::TooLong);
        }
        if self.buffer.len() < total {
            return Ok(None);
        }
        Ok(Some(Frame::Message(self.take(total))))
    }

    fn take(&mut self, bytes: usize) -> Vec<u8> {
        self.searched = 0;
        self.buffer.drain(..bytes).collect()
    }
}

/// The body's length in bytes. A stream's message must have one (RFC 3261 section 20.14), but
/// those without a body are sent without it often enough.
fn content_length(head: &[u8]) -> Result<usize, FramingError> {
    for line in head.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            return std::str::from_utf8(value)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .filter(|&length: &usize| length <= MAX_MESSAGE)
                .ok_or(FramingError::NoLength);
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let first = b"INFO sip:a SIP/2.0\r\nl : 5\r\n\r\nhello".to_vec();
        let second = b"BYE sip:a SIP/2.0\r\nX: y\r\n\r\n".to_vec();
        let stream = [b"\r\n\r\n".as_slice(), &first, b"\r\n", &second].concat();
        for step in 1..stream.len() {
            let (mut framer, mut frames) = (Framer::default(), Vec::new());
            for chunk in stream.chunks(step) {
                framer.push(chunk);
                while let Some(frame) = framer.next().unwrap() {
                    frames.push(frame);
                }
            }
            let expected =
                [Frame::Ping, Frame::Message(first.clone()), Frame::Message(second.clone())];
            assert_eq!(frames, expected, "cut every {step} bytes");
            assert!(!framer.is_partial());
        }
    }

    #[test]
    fn a_pong_is_no_message_that_has_begun() {
        let mut framer = Framer::default();
        framer.push(b"\r\n");
        assert_eq!(framer.next(), Ok(None));
        assert!(!framer.is_partial());
        framer.push(b"B");
        assert_eq!(framer.next(), Ok(None));
        assert!(framer.is_partial());
        framer.push(b"YE sip:a SIP/2.0\r\n\r\n");
        let bye = b"BYE sip:a SIP/2.0\r\n\r\n".to_vec();
        assert_eq!(framer.next(), Ok(Some(Frame::Message(bye))));
        assert!(!framer.is_partial());
    }

    #[test]
    fn what_cannot_be_followed_ends_the_stream() {
        for length in ["-1", "18446744073709551615", "65536", "1a", ""] {
            let mut framer = Framer::default();
            framer.push(format!("A b SIP/2.0\r\nContent-Length: {length}\r\n\r\n").as_bytes());
            assert_eq!(framer.next(), Err(FramingError::NoLength), "{length}");
        }
        let mut framer = Framer::default();
        framer.push(&vec![b'a'; MAX_MESSAGE + 1]);
        assert_eq!(framer.next(), Err(FramingError::TooLong));
    }
}
