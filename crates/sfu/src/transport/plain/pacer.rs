//! Requests that come in crowds and go on one by one.

use std::time::{Duration, Instant};

/// An encoder that makes key frames more often than this makes little else.
const INTERVAL: Duration = Duration::from_millis(500);

/// Nobody's rate has to follow news that are younger than this.
const PACE: Duration = Duration::from_millis(200);

/// Lets news pass at a pace; what comes sooner is passed over: whoever means it says it again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace(Option<Instant>);

impl Pace {
    /// Whether this is to be heard; it has then been.
    pub fn passes(&mut self, now: Instant) -> bool {
        let passes = self.0.is_none_or(|last| now >= last + PACE);
        if passes {
            self.0 = Some(now);
        }
        passes
    }
}

/// Lets one request pass in 500 ms; what comes sooner is put off, all of it as one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacer {
    wanted: bool,
    last: Option<Instant>,
}

impl Pacer {
    /// Something is wanted.
    pub fn ask(&mut self) {
        self.wanted = true;
    }

    /// What was wanted came, or is wanted no more.
    pub fn settle(&mut self) {
        self.wanted = false;
    }

    /// Whether a request is to pass now; it has then passed.
    pub fn take(&mut self, now: Instant) -> bool {
        let due = self.wanted && self.last.is_none_or(|last| now >= last + INTERVAL);
        if due {
            *self = Self { wanted: false, last: Some(now) };
        }
        due
    }

    /// When [`Pacer::take`] passes the next one. `None`: nothing is put off.
    pub fn next(&self) -> Option<Instant> {
        self.last.filter(|_| self.wanted).map(|last| last + INTERVAL)
    }
}
