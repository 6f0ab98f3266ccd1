//! How often one address, or anybody else, may try: a token bucket for each, in a table of bounded size.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use thiserror::Error;

/// A bucket of `burst` tries that gains one every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tries that a rested address may make at once; 0 counts as 1.
    pub burst: u32,
    /// The time in which one try comes back.
    pub interval: Duration,
}

/// The bucket of this address is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many tries: the next one is allowed in {retry_after:?}")]
pub struct TooMany {
    /// When the next try is allowed, counted from now; never zero.
    pub retry_after: Duration,
}

/// Token buckets by whatever tells those apart who try.
///
/// Each bucket is one instant, the time at which it will be full again (the generic cell rate
/// algorithm): a full bucket needs no memory and is dropped when room is needed.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    capacity: usize,
    full_at: HashMap<K, Instant>,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    /// Buckets of which at most `capacity` (at least 1) are remembered at a time.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        let rate = Rate { burst: rate.burst.max(1), ..rate };
        Self { rate, capacity: capacity.max(1), full_at: HashMap::new() }
    }

    /// Takes one try out of a bucket.
    ///
    /// # Errors
    /// [`TooMany`]: it is empty.
    pub fn take(&mut self, key: &K, now: Instant) -> Result<(), TooMany> {
        self.check(key, now)?;
        self.charge(key, now);
        Ok(())
    }

    /// Says whether a try would be allowed, without taking one.
    ///
    /// # Errors
    /// [`TooMany`]: the bucket is empty.
    pub fn check(&self, key: &K, now: Instant) -> Result<(), TooMany> {
        let Some(full_at) = self.full_at.get(key) else { return Ok(()) };
        let missing = full_at.saturating_duration_since(now) + self.rate.interval;
        let depth = self.rate.interval.saturating_mul(self.rate.burst);
        match missing.checked_sub(depth) {
            Some(retry_after) if !retry_after.is_zero() => Err(TooMany { retry_after }),
            _ => Ok(()),
        }
    }

    /// Takes one try whether the bucket has one or not; a bucket never owes more than one burst.
    pub fn charge(&mut self, key: &K, now: Instant) {
        if !self.full_at.contains_key(key) && self.full_at.len() >= self.capacity {
            self.make_room(now);
        }
        let depth = self.rate.interval.saturating_mul(self.rate.burst);
        let full_at = self.full_at.entry(key.clone()).or_insert(now);
        *full_at = ((*full_at).max(now) + self.rate.interval).min(now + depth);
    }

    /// Drops what is full again; failing that, the bucket nearest to it, which forgives least.
    fn make_room(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.capacity {
            return;
        }
        let fullest = self.full_at.iter().min_by_key(|(_, full_at)| **full_at);
        if let Some(key) = fullest.map(|(key, _)| key.clone()) {
            self.full_at.remove(&key);
        }
    }
}

/// Token buckets by address. An IPv6 client owns a whole /64, so all of it shares a bucket.
#[derive(Debug)]
pub struct Limiter(Buckets<IpAddr>);

impl Limiter {
    /// A limiter that remembers at most `capacity` (at least 1) addresses at a time.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self(Buckets::new(rate, capacity))
    }

    /// Takes one try out of the bucket of `address`.
    pub fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), TooMany> {
        self.0.take(&types::client_network(address), now)
    }

    /// Says whether a try would be allowed, without taking one: for tries of which only the
    /// failures count, such as PINs.
    pub fn check(&self, address: IpAddr, now: Instant) -> Result<(), TooMany> {
        self.0.check(&types::client_network(address), now)
    }

    /// Takes one try whether the bucket has one or not; a bucket never owes more than one burst.
    pub fn charge(&mut self, address: IpAddr, now: Instant) {
        self.0.charge(&types::client_network(address), now);
    }

    /// Addresses remembered now.
    pub fn len(&self) -> usize {
        self.0.full_at.len()
    }

    /// Whether no address is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.full_at.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn v4(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_burst_passes_then_one_try_an_interval() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Rate { burst: 3, interval: SECOND }, 10);
        for _ in 0..3 {
            limiter.take(v4(1), start).unwrap();
        }
        let refused = limiter.take(v4(1), start).unwrap_err();
        assert_eq!(refused.retry_after, SECOND);
        limiter.take(v4(2), start).unwrap();
        limiter.take(v4(1), start + SECOND).unwrap();
        assert!(limiter.take(v4(1), start + SECOND).is_err());
        for _ in 0..3 {
            limiter.take(v4(1), start + 60 * SECOND).unwrap();
        }
        assert!(limiter.take(v4(1), start + 60 * SECOND).is_err(), "rest saves up no more");
    }

    #[test]
    fn refusals_cost_nothing_and_debts_stay_small() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Rate { burst: 2, interval: SECOND }, 10);
        for _ in 0..100 {
            limiter.charge(v4(1), start);
            let _ = limiter.take(v4(1), start);
        }
        limiter.take(v4(1), start + SECOND).unwrap();
    }

    #[test]
    fn a_client_cannot_walk_through_its_own_ipv6_network() {
        let now = Instant::now();
        let mut limiter = Limiter::new(Rate { burst: 1, interval: SECOND }, 10);
        limiter.take("2001:db8::1".parse().unwrap(), now).unwrap();
        assert!(limiter.take("2001:db8::2".parse().unwrap(), now).is_err());
        limiter.take("2001:db8:0:1::1".parse().unwrap(), now).unwrap();
        limiter.take("192.0.2.1".parse().unwrap(), now).unwrap();
        assert!(limiter.take("::ffff:192.0.2.1".parse().unwrap(), now).is_err());
    }

    #[test]
    fn the_table_stays_bounded_and_keeps_whoever_tried_most() {
        let now = Instant::now();
        let mut limiter = Limiter::new(Rate { burst: 2, interval: SECOND }, 4);
        limiter.charge(v4(1), now);
        limiter.charge(v4(1), now);
        for last in 2..=200 {
            limiter.charge(v4(last), now);
            assert!(limiter.len() <= 4);
        }
        assert!(limiter.check(v4(1), now).is_err(), "the hammering address is still known");
    }
}
