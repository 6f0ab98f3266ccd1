//! How much a source may ask of us: token buckets by address, bounded in number, and shares of what
//! lasts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Sources that are remembered at once (about 4 MiB). Beyond them strangers share one bucket.
const MAX_SOURCES: usize = 65_536;

/// A sustained rate and how far it may be exceeded for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second.
    pub per_second: u32,
    /// Requests at once after a pause.
    pub burst: u32,
}

impl RateLimit {
    /// The same limit, `factor` times as wide.
    pub(super) fn times(self, factor: u32) -> Self {
        Self {
            per_second: self.per_second.saturating_mul(factor),
            burst: self.burst.saturating_mul(factor),
        }
    }
}

/// One source's measure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn full(limit: RateLimit, now: Instant) -> Self {
        Self { tokens: f64::from(limit.burst), filled: now }
    }

    /// Whether there is something left, which is one less then.
    pub(super) fn take(&mut self, limit: RateLimit, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens =
            (self.tokens + elapsed * f64::from(limit.per_second)).min(f64::from(limit.burst));
        let takes = self.tokens >= 1.0;
        if takes {
            self.tokens -= 1.0;
        }
        takes
    }

    fn is_full(&self, limit: RateLimit, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens + elapsed * f64::from(limit.per_second) >= f64::from(limit.burst)
    }
}

/// One limit, applied to every source by itself.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: RateLimit,
    sources: HashMap<IpAddr, Bucket>,
    strangers: Option<Bucket>,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, sources: HashMap::new(), strangers: None }
    }

    /// Whether `source` may do one more thing.
    pub(super) fn allow(&mut self, source: IpAddr, now: Instant) -> bool {
        let limit = self.limit;
        let full = Bucket::full(limit, now);
        let source = types::client_network(source);
        if !self.sources.contains_key(&source) && self.sources.len() >= MAX_SOURCES {
            self.sources.retain(|_, bucket| !bucket.is_full(limit, now));
            if self.sources.len() >= MAX_SOURCES {
                return self.strangers.get_or_insert(full).take(limit, now);
            }
        }
        self.sources.entry(source).or_insert(full).take(limit, now)
    }
}

/// How many each source has at once of something that lasts. No more sources are remembered than have
/// one.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<HashMap<IpAddr, usize>>);

/// One of them: its source has one less once this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    source: IpAddr,
}

impl Shares {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more for `source`, unless its network has `most` of them.
    pub(crate) fn take(self: &Arc<Self>, source: IpAddr, most: usize) -> Option<Share> {
        let source = types::client_network(source);
        let mut shares = self.lock();
        let has = shares.get(&source).copied().unwrap_or_default();
        if has >= most {
            return None;
        }
        shares.insert(source, has + 1);
        Some(Share { shares: self.clone(), source })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.shares.lock();
        if let Some(has) = shares.get_mut(&self.source) {
            *has -= 1;
            if *has == 0 {
                shares.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_leaves_its_neighbour_alone_and_is_forgiven_in_time() {
        let start = Instant::now();
        let mut limiter = Limiter::new(RateLimit { per_second: 50, burst: 100 });
        let (loud, calm) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        assert_eq!((0..1000).filter(|_| limiter.allow(loud, start)).count(), 100);
        assert!(limiter.allow(calm, start));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| limiter.allow(loud, later)).count(), 50);
    }

    #[test]
    fn a_v6_network_is_one_source() {
        let start = Instant::now();
        let mut limiter = Limiter::new(RateLimit { per_second: 1, burst: 1 });
        assert!(limiter.allow("2001:db8::1".parse().unwrap(), start));
        assert!(!limiter.allow("2001:db8::2".parse().unwrap(), start));
        assert!(limiter.allow("2001:db8:0:1::1".parse().unwrap(), start));
    }

    #[test]
    fn a_network_has_its_share_and_leaves_nothing_behind() {
        let shares = Arc::new(Shares::default());
        let take = |source: &str| shares.take(source.parse().unwrap(), 2);
        let held = [take("2001:db8::1"), take("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(take("2001:db8::3").is_none(), "whoever has one address has its neighbours");
        assert!(take("2001:db8:0:1::1").is_some() && take("192.0.2.1").is_some());
        let [first, second] = held;
        drop(first);
        assert!(take("2001:db8::3").is_some());
        drop(second);
        assert!(shares.lock().is_empty());
    }

    #[test]
    fn memory_is_bounded_and_idle_sources_make_room() {
        let start = Instant::now();
        let mut limiter = Limiter::new(RateLimit { per_second: 1, burst: 2 });
        for n in 0..MAX_SOURCES as u32 + 10 {
            limiter.allow(IpAddr::V4(n.into()), start);
        }
        assert_eq!(limiter.sources.len(), MAX_SOURCES);
        assert!(!limiter.allow([255, 0, 0, 1].into(), start), "strangers share what they used up");
        assert!(limiter.allow([255, 0, 0, 1].into(), start + Duration::from_secs(2)));
        assert_eq!(limiter.sources.len(), 1);
    }
}
