//! Writes down what a call's two sides say to each other, for whoever asks why it failed.
//!
//! [`Ladders`] is sans-IO. Calls alone are written down, not what registers or asks; and of calls that
//! were refused only a few a minute, since anybody can make those.

mod inspector;
mod mask;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use conference::telephony::{Ladder, LadderHead, LadderMessage};
use types::{RecordId, Timestamp};

use super::limit::Bucket;
use super::limit::RateLimit;

pub(super) use inspector::Inspector;
use mask::masked;

/// Calls that are written down at a time.
const MAX_CALLS: usize = 2_000;
/// Messages of one call that are kept.
const MAX_MESSAGES: usize = 200;
/// Bytes of one call that are kept.
const MAX_BYTES: usize = 128 * 1024;
/// Bytes of all calls together.
const MAX_TOTAL: usize = 32 * 1024 * 1024;
/// Bytes of a message that are kept.
const MAX_TEXT: usize = 16 * 1024;
/// After its last words a call may have a few more: answers, and retransmissions.
const LINGERS: Duration = Duration::from_secs(5);
/// So long nothing at all is said in a call that rings or is set up.
const SETS_UP: Duration = Duration::from_secs(300);
/// So long nothing at all may be said in a call that was answered.
const LASTS: Duration = Duration::from_secs(24 * 3600);
/// Calls of others that were not answered.
const REFUSED: RateLimit = RateLimit { per_second: 1, burst: 60 };

/// A message as it passes.
pub(super) struct Passing<'a> {
    /// `Call-ID`.
    pub call: &'a str,
    /// Of the request, or of the request that is answered.
    pub method: &'a str,
    /// Of an answer.
    pub status: Option<u16>,
    /// Ours, or the other side's.
    pub sent: bool,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub transport: &'a str,
    /// The text as it is on the wire.
    pub text: &'a str,
}

/// All calls that are written down now.
#[derive(Debug)]
pub(super) struct Ladders {
    open: HashMap<String, Open>,
    bytes: usize,
    refused: Bucket,
}

#[derive(Debug)]
struct Open {
    messages: Vec<LadderMessage>,
    left_out: u32,
    bytes: usize,
    last: Instant,
    ended_us: i64,
    outcome: Option<u16>,
    answered: bool,
    over: bool,
}

impl Ladders {
    pub(super) fn new(now: Instant) -> Self {
        Self { open: HashMap::new(), bytes: 0, refused: Bucket::full(REFUSED, now) }
    }

    /// Whether a message of this call is written down: its text is not needed otherwise.
    pub(super) fn wants(&self, call: &str, method: &str) -> bool {
        self.open.contains_key(call)
            || (method == "INVITE" && self.open.len() < MAX_CALLS && self.bytes < MAX_TOTAL)
    }

    /// Writes a message down. `at_us`: microseconds since 1970.
    pub(super) fn note(&mut self, passing: &Passing<'_>, at_us: i64, now: Instant) {
        if !self.wants(passing.call, passing.method) {
            return;
        }
        let open = self.open.entry(passing.call.to_owned()).or_insert_with(|| Open {
            messages: Vec::new(),
            left_out: 0,
            bytes: 0,
            last: now,
            ended_us: at_us,
            outcome: None,
            answered: false,
            over: false,
        });
        (open.last, open.ended_us) = (now, at_us);
        match (passing.method, passing.status) {
            // Whoever was asked who it is calls once more under the same name.
            ("INVITE", None) => open.over = open.over && open.answered,
            ("INVITE", Some(status)) if status >= 200 => {
                open.outcome = Some(status);
                open.answered |= status < 300;
                open.over |= status >= 300 && !open.answered;
            }
            ("BYE", None) => open.over = true,
            _ => {}
        }
        let text = masked(passing.text);
        let text = cut(text, MAX_TEXT);
        if open.messages.len() >= MAX_MESSAGES || open.bytes + text.len() > MAX_BYTES {
            open.left_out = open.left_out.saturating_add(1);
            return;
        }
        open.bytes += text.len();
        self.bytes += text.len();
        open.messages.push(LadderMessage {
            at_us,
            sent: passing.sent,
            peer: passing.peer,
            local: passing.local,
            transport: passing.transport.to_owned(),
            text,
        });
    }

    /// Calls that are over, but for those of others beyond the measure of refused ones.
    pub(super) fn take_over(&mut self, now: Instant) -> Vec<Ladder> {
        self.take(
            |open| {
                let patience = match (open.over, open.answered) {
                    (true, _) => LINGERS,
                    (false, false) => SETS_UP,
                    (false, true) => LASTS,
                };
                now.saturating_duration_since(open.last) >= patience
            },
            now,
        )
    }

    /// All calls, as they stand.
    pub(super) fn take_all(&mut self, now: Instant) -> Vec<Ladder> {
        self.take(|_| true, now)
    }

    fn take(&mut self, is_over: impl Fn(&Open) -> bool, now: Instant) -> Vec<Ladder> {
        let over: Vec<(String, Open)> = self.open.extract_if(|_, open| is_over(open)).collect();
        let mut ladders = Vec::new();
        for (call, open) in over {
            self.bytes = self.bytes.saturating_sub(open.bytes);
            let ours = open.messages.first().is_some_and(|it| it.sent);
            if open.answered || ours || self.refused.take(REFUSED, now) {
                ladders.extend(open.ladder(call));
            }
        }
        ladders.sort_by_key(|it| it.head.began_at);
        ladders
    }
}

impl Open {
    fn ladder(self, call: String) -> Option<Ladder> {
        let first = self.messages.first()?;
        let head = LadderHead {
            // Whoever keeps it gives it one.
            id: RecordId::new(""),
            call,
            began_at: Timestamp(first.at_us / 1_000),
            ended_at: Timestamp(self.ended_us / 1_000),
            peer: first.peer.to_string(),
            outcome: self.outcome.map(|it| it.to_string()).unwrap_or_default(),
        };
        Some(Ladder { head, messages: self.messages, left_out: self.left_out })
    }
}

fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        ladders: Ladders,
        now: Instant,
        passed: Duration,
    }

    impl World {
        fn new() -> Self {
            let now = Instant::now();
            Self { ladders: Ladders::new(now), now, passed: Duration::ZERO }
        }

        fn pass(&mut self, time: Duration) -> Vec<Ladder> {
            self.passed += time;
            self.ladders.take_over(self.now + self.passed)
        }

        fn says(&mut self, call: &str, sent: bool, method: &str, status: Option<u16>) {
            self.passed += Duration::from_millis(10);
            let text = format!("{method} {status:?}\r\n\r\n");
            let passing = Passing {
                call,
                method,
                status,
                sent,
                peer: "192.0.2.5:5060".parse().unwrap(),
                local: "192.0.2.1:5060".parse().unwrap(),
                transport: "udp",
                text: &text,
            };
            let at = i64::try_from(self.passed.as_micros()).unwrap();
            self.ladders.note(&passing, at, self.now + self.passed);
        }
    }

    #[test]
    fn a_call_is_whole_a_while_after_its_end() {
        let mut world = World::new();
        for (sent, method, status) in [
            (false, "INVITE", None),
            (true, "INVITE", Some(401)),
            (false, "ACK", None),
            (false, "INVITE", None),
            (true, "INVITE", Some(200)),
            (false, "ACK", None),
        ] {
            world.says("a", sent, method, status);
        }
        assert!(world.pass(Duration::from_secs(3600)).is_empty(), "it goes on");
        world.says("a", true, "BYE", None);
        assert!(world.pass(Duration::from_secs(1)).is_empty());
        world.says("a", false, "BYE", Some(200));
        let ladders = world.pass(LINGERS);
        assert_eq!(ladders.len(), 1);
        let head = &ladders[0].head;
        assert_eq!((head.call.as_str(), head.outcome.as_str()), ("a", "200"));
        assert_eq!(ladders[0].messages.len(), 8);
        assert_eq!(world.ladders.bytes, 0);
    }

    #[test]
    fn what_is_no_call_is_not_written_down() {
        let mut world = World::new();
        world.says("r", false, "REGISTER", None);
        world.says("o", false, "OPTIONS", None);
        world.says("b", false, "BYE", None);
        assert!(world.ladders.take_all(world.now).is_empty());
    }

    #[test]
    fn of_refused_calls_a_few_are_kept_and_all_others() {
        let mut world = World::new();
        for number in 0..200 {
            world.says(&format!("scan{number}"), false, "INVITE", None);
            world.says(&format!("scan{number}"), true, "INVITE", Some(404));
        }
        world.says("ours", true, "INVITE", None);
        world.says("ours", false, "INVITE", Some(486));
        let ladders = world.pass(LINGERS);
        assert!(ladders.iter().any(|it| it.head.call == "ours" && it.head.outcome == "486"));
        assert!((60..80).contains(&ladders.len()), "{}", ladders.len());
    }

    #[test]
    fn neither_calls_nor_messages_nor_bytes_grow_without_end() {
        let mut world = World::new();
        world.says("long", false, "INVITE", None);
        for _ in 1..1_000 {
            world.says("long", true, "INVITE", Some(200));
        }
        for number in 0..5_000 {
            world.says(&format!("n{number}"), false, "INVITE", None);
        }
        assert_eq!(world.ladders.open.len(), MAX_CALLS);
        let ladders = world.ladders.take_all(world.now);
        let long = ladders.iter().find(|it| it.head.call == "long").unwrap();
        assert_eq!((long.messages.len(), long.left_out), (MAX_MESSAGES, 800));
        assert_eq!(world.ladders.bytes, 0);
    }
}
