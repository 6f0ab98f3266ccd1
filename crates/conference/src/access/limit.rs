//! How often one address may try: a token bucket for each, in a table of bounded size.

use std::collections::HashMap;
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

/// Token buckets by address. An IPv6 client owns a whole /64, so all of it shares a bucket.
///
/// Each bucket is one instant, the time at which it will be full again (the generic cell rate
/// algorithm): a full bucket needs no memory and is dropped when room is needed.
#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    capacity: usize,
    full_at: HashMap<IpAddr, Instant>,
}

impl Limiter {
    /// A limiter that remembers at most `capacity` (at least 1) addresses at a time.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        let rate = Rate { burst: rate.burst.max(1), ..rate };
        Self { rate, capacity: capacity.max(1), full_at: HashMap::new() }
    }

    /// Takes one try out of the bucket of `address`.
    pub fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), TooMany> {
        self.check(address, now)?;
        self.charge(address, now);
        Ok(())
    }

    /// Says whether a try would be allowed, without taking one: for tries of which only the
    /// failures count, such as PINs.
    pub fn check(&self, address: IpAddr, now: Instant) -> Result<(), TooMany> {
        let Some(full_at) = self.full_at.get(&types::client_network(address)) else {
            return Ok(());
        };
        let missing = full_at.saturating_duration_since(now) + self.rate.interval;
        let depth = self.rate.interval.saturating_mul(self.rate.burst);
        match missing.checked_sub(depth) {
            Some(retry_after) if !retry_after.is_zero() => Err(TooMany { retry_after }),
            _ => Ok(()),
        }
    }

    /// Takes one try whether the bucket has one or not; a bucket never owes more than one burst.
    pub fn charge(&mut self, address: IpAddr, now: Instant) {
        let bucket = types::client_network(address);
        if !self.full_at.contains_key(&bucket) && self.full_at.len() >= self.capacity {
            self.make_room(now);
        }
        let depth = self.rate.interval.saturating_mul(self.rate.burst);
        let full_at = self.full_at.entry(bucket).or_insert(now);
        *full_at = ((*full_at).max(now) + self.rate.interval).min(now + depth);
    }

    /// Addresses remembered now.
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    /// Whether no address is remembered.
    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }

    /// Drops what is full again; failing that, the bucket nearest to it, which forgives least.
    fn make_room(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.capacity {
            return;
        }
        let fullest = self.full_at.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| *key);
        if let Some(key) = fullest {
            self.full_at.remove(&key);
        }
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
