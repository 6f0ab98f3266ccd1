//! Counters, for the metrics.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the endpoint has seen since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SipStats {
    /// Calls that are up or being set up.
    pub active_calls: usize,
    /// Open streams, both ways.
    pub open_streams: usize,
    /// Messages dropped because their source sent too many.
    pub rate_limited: u64,
    /// Messages that could not be read, or were too long.
    pub malformed: u64,
    /// Requests refused: method, extension, body type, address not ours.
    pub refused_requests: u64,
    /// Calls refused because there were too many.
    pub refused_calls: u64,
    /// Streams closed because there were too many, or they broke the rules.
    pub refused_streams: u64,
    /// Events that a call's owner did not take in time.
    pub lost_events: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) active_calls: AtomicUsize,
    pub(super) open_streams: AtomicUsize,
    pub(super) rate_limited: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) refused_requests: AtomicU64,
    pub(super) refused_calls: AtomicU64,
    pub(super) refused_streams: AtomicU64,
    pub(super) lost_events: AtomicU64,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> SipStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SipStats {
            active_calls: self.active_calls.load(Ordering::Relaxed),
            open_streams: self.open_streams.load(Ordering::Relaxed),
            rate_limited: read(&self.rate_limited),
            malformed: read(&self.malformed),
            refused_requests: read(&self.refused_requests),
            refused_calls: read(&self.refused_calls),
            refused_streams: read(&self.refused_streams),
            lost_events: read(&self.lost_events),
        }
    }
}

/// Counts something for as long as it lives, up to a limit.
#[derive(Debug)]
pub(super) struct Slot {
    counters: std::sync::Arc<Counters>,
    which: fn(&Counters) -> &AtomicUsize,
}

impl Slot {
    /// A slot, unless `limit` of them are taken.
    pub(super) fn take(
        counters: &std::sync::Arc<Counters>,
        which: fn(&Counters) -> &AtomicUsize,
        limit: usize,
    ) -> Option<Self> {
        let more = |taken| (taken < limit).then_some(taken + 1);
        which(counters).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { counters: counters.clone(), which })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        (self.which)(&self.counters).fetch_sub(1, Ordering::Relaxed);
    }
}
