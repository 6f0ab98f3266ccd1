//! One function for each parser of what a peer sends that is our own, for fuzzers. None may panic.

use super::framing::{Frame, Framer};
use super::session_timer::SessionExpires;
use super::{info, ingress};

/// A stream, cut into messages: the first byte says into pieces of how many bytes it comes.
pub fn framing(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let mut framer = Framer::default();
    let mut framed = 0;
    for piece in stream.chunks(usize::from(*step) + 1) {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(message))) => framed += message.len(),
                Ok(Some(Frame::Ping)) => framed += 4,
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(framed <= stream.len());
}

/// A message, read as far as it is before a transaction is looked for.
pub fn message(data: &[u8]) {
    let _ = ingress::read(data);
}

/// The body of an INFO after its type, one on each line; the type is also read as a
/// `Session-Expires`.
pub fn info(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (kind, body) = text.split_once('\n').unwrap_or((&text, ""));
    let _ = info::parse(Some(kind.trim()), body.as_bytes());
    let _ = SessionExpires::parse(kind);
}
