//! Keys of a remote control that may be told in more than one way: each counts once. Sans-IO.

use std::time::{Duration, Instant};

/// A way to tell keys, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Heard in the sound.
    Sound,
    /// INFO.
    Signalling,
    /// Telephone events (RFC 4733).
    Event,
}

/// A key that comes by a better way this soon after the same one came by a worse one is that one.
const SAME: Duration = Duration::from_secs(1);

/// By which way a room system tells its keys: the best that it was seen to use.
#[derive(Debug, Default)]
pub(super) struct Ways {
    last: Option<(Way, char, Instant)>,
}

impl Ways {
    /// Whether this is a key that was not told yet.
    pub(super) fn take(&mut self, way: Way, key: char, now: Instant) -> bool {
        let is_new = match self.last {
            Some((best, ..)) if way < best => return false,
            Some((best, same, at)) if way > best => {
                key != same || now.saturating_duration_since(at) >= SAME
            }
            _ => true,
        };
        self.last = Some((way, key, now));
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_told_by_several_ways_counts_once() {
        let mut now = Instant::now();
        let mut ways = Ways::default();
        let mut take = |way, key, ms| {
            now += Duration::from_millis(ms);
            ways.take(way, key, now)
        };
        assert!(take(Way::Sound, '*', 0) && take(Way::Sound, '*', 300), "twice is twice");
        assert!(!take(Way::Signalling, '*', 50), "it was heard already");
        assert!(take(Way::Signalling, '6', 300));
        assert!(!take(Way::Sound, '6', 80), "there is a better way");
        assert!(take(Way::Signalling, '6', 300) && !take(Way::Event, '6', 20));
        assert!(take(Way::Event, '6', 300) && !take(Way::Signalling, '6', 20));
        assert!(!take(Way::Sound, '7', 5000));
        let (mut late, now) = (Ways::default(), Instant::now());
        assert!(late.take(Way::Signalling, '1', now) && late.take(Way::Event, '1', now + SAME));
    }
}
