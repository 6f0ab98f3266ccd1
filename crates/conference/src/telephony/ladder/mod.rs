//! What the two sides of a call said to each other in SIP: kept for whoever asks why it failed, drawn
//! as a ladder, and packed as a capture for the tools that read those.

mod draw;
mod pcap;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use types::{RecordId, Timestamp};

/// The SIP messages of one call, without what is nobody's business: credentials, keys, PINs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// Which call.
    pub head: LadderHead,
    /// All messages, retransmissions too, as they came and went.
    pub messages: Vec<LadderMessage>,
    /// Messages after these that were too many to be kept.
    pub left_out: u32,
}

/// A call whose messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LadderHead {
    /// Its id in the history.
    pub id: RecordId,
    /// Its `Call-ID`.
    pub call: String,
    /// The first message.
    pub began_at: Timestamp,
    /// The last one.
    pub ended_at: Timestamp,
    /// Whose first message that was, or who was sent it: an address with its port.
    pub peer: String,
    /// How its first request was answered last, such as `200` or `486`; empty: not at all.
    pub outcome: String,
}

/// A message of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderMessage {
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// Ours, or the other side's.
    pub sent: bool,
    /// The other side. Of an answer of ours over datagrams: where the request came from.
    pub peer: SocketAddr,
    /// Our address as it is known outside.
    pub local: SocketAddr,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// The text.
    pub text: String,
}

impl LadderMessage {
    /// The request's method or the answer's status and phrase, and whether it describes a session.
    fn title(&self) -> String {
        let first = self.text.lines().next().unwrap_or_default();
        let title = match first.strip_prefix("SIP/2.0 ") {
            Some(status) => status.to_owned(),
            None => first.split(' ').take(2).collect::<Vec<_>>().join(" "),
        };
        let body = self.text.split_once("\r\n\r\n").map(|it| it.1);
        let describes = body.is_some_and(|it| it.starts_with("v=0"));
        if describes { format!("{title} (SDP)") } else { title }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A call that was answered and ended.
    pub fn short_call(peer: &str) -> Ladder {
        let message = |at_us, sent, text: &str| LadderMessage {
            at_us,
            sent,
            peer: peer.parse().unwrap(),
            local: peer.replace('5', "7").parse().unwrap(),
            transport: "udp".to_owned(),
            text: text.replace('\n', "\r\n"),
        };
        let invite = "INVITE sip:board@example.org SIP/2.0\nCall-ID: a@b\n\nv=0\n";
        let head = LadderHead {
            id: RecordId::new("l1"),
            call: "a@b".to_owned(),
            began_at: Timestamp(1_700_000_000_000),
            ended_at: Timestamp(1_700_000_002_500),
            peer: peer.to_owned(),
            outcome: "200".to_owned(),
        };
        Ladder {
            head,
            messages: vec![
                message(1_700_000_000_000_000, false, invite),
                message(1_700_000_000_004_000, true, "SIP/2.0 100 Trying\nCall-ID: a@b\n\n"),
                message(1_700_000_000_500_000, false, invite),
                message(1_700_000_000_700_000, true, "SIP/2.0 200 OK\nCall-ID: a@b\n\nv=0\n"),
            ],
            left_out: 0,
        }
    }
}
