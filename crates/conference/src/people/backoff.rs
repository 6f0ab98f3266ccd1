//! Wrong sign-ins under one name: after a few, each has to wait longer. Names that exist and those
//! that do not are counted alike, so that the wait tells nothing.

use std::collections::HashMap;
use std::time::Duration;

use types::Timestamp;

/// Wrong tries that cost nothing: people mistype.
const FREE: u32 = 4;
/// The wait after the first that is too many.
const FIRST: Duration = Duration::from_secs(15);
/// The longest wait: an owner who is attacked gets in after it.
const LONGEST: Duration = Duration::from_secs(900);
/// After so long without a try all is forgotten.
const FORGET: Duration = Duration::from_secs(24 * 3600);
/// Names that are remembered at a time.
const NAMES: usize = 50_000;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    fn open_at(self) -> Timestamp {
        match self.count.checked_sub(FREE) {
            None | Some(0) => self.last,
            Some(over) => {
                let wait = FIRST.saturating_mul(1_u32.checked_shl(over - 1).unwrap_or(u32::MAX));
                self.last.after(wait.min(LONGEST))
            }
        }
    }
}

/// Wrong tries by name.
#[derive(Debug, Default)]
pub struct Backoff {
    names: HashMap<String, Failures>,
}

impl Backoff {
    /// How long a try under this name has to wait yet; zero: it may.
    pub fn wait(&self, name: &str, now: Timestamp) -> Duration {
        self.names.get(name).map_or(Duration::ZERO, |it| it.open_at().since(now))
    }

    /// A try was wrong. Says how many in a row that makes.
    pub fn failed(&mut self, name: &str, now: Timestamp) -> u32 {
        if self.names.len() >= NAMES && !self.names.contains_key(name) {
            self.make_room(now);
        }
        let entry = self.names.entry(name.to_owned()).or_insert(Failures { count: 0, last: now });
        if now.since(entry.last) > FORGET {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
        entry.count
    }

    /// A try was right.
    pub fn succeeded(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Drops what is forgotten anyway; failing that, the name that has least to wait.
    fn make_room(&mut self, now: Timestamp) {
        self.names.retain(|_, it| now.since(it.last) <= FORGET);
        if self.names.len() < NAMES {
            return;
        }
        let least =
            self.names.iter().min_by_key(|it| (it.1.count, it.1.last)).map(|it| it.0.clone());
        if let Some(name) = least {
            self.names.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_wrong_tries_each_has_to_wait_longer() {
        let mut backoff = Backoff::default();
        let mut now = Timestamp(0);
        for _ in 0..FREE {
            assert_eq!(backoff.wait("anna", now), Duration::ZERO);
            backoff.failed("anna", now);
        }
        assert_eq!(backoff.wait("anna", now), Duration::ZERO);
        let mut waits = Vec::new();
        for _ in 0..8 {
            backoff.failed("anna", now);
            let wait = backoff.wait("anna", now);
            waits.push(wait.as_secs());
            now = now.after(wait);
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(backoff.wait("boris", now), Duration::ZERO, "others are not held up");
        backoff.succeeded("anna");
        assert_eq!(backoff.wait("anna", now), Duration::ZERO);
    }

    #[test]
    fn it_forgets_after_a_day_and_remembers_a_bounded_number_of_names() {
        let mut backoff = Backoff::default();
        let now = Timestamp(0);
        for _ in 0..20 {
            backoff.failed("anna", now);
        }
        for number in 0..NAMES + 10 {
            backoff.failed(&format!("name{number}"), now);
        }
        assert_eq!(backoff.names.len(), NAMES);
        assert!(backoff.wait("anna", now) > Duration::ZERO, "who has most to wait stays");
        let later = now.after(FORGET).after(Duration::from_secs(1));
        assert_eq!(backoff.failed("anna", later), 1);
    }
}
