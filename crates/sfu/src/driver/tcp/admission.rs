//! How many connections there may be, of all and of one source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Connections at a time: each may hold some 70 kB, and as much again in the system.
const MAX_CONNECTIONS: usize = 4096;
/// Connections at a time of one source. An office without UDP sits behind one address, and clients
/// of two peer connections make two.
const MAX_PER_SOURCE: usize = 256;

/// Counts connections. Held by the acceptor alone: a permit comes back through a channel, so that
/// no shard ever takes a lock.
pub(super) struct Admission {
    sources: HashMap<IpAddr, usize>,
    total: usize,
    give_back: Sender<IpAddr>,
    returned: Receiver<IpAddr>,
}

/// One connection's place, given back when it is dropped.
pub(super) struct Permit {
    source: IpAddr,
    give_back: Sender<IpAddr>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Nobody counts any more once the acceptor has ended.
        let _ = self.give_back.send(self.source);
    }
}

impl Default for Admission {
    fn default() -> Self {
        let (give_back, returned) = channel();
        Self { sources: HashMap::new(), total: 0, give_back, returned }
    }
}

impl Admission {
    /// A place for a connection of `source`, if there is one.
    pub(super) fn admit(&mut self, source: IpAddr) -> Option<Permit> {
        while let Ok(source) = self.returned.try_recv() {
            self.forget(source);
        }
        let source = types::client_network(source);
        let count = self.sources.get(&source).copied().unwrap_or_default();
        if self.total >= MAX_CONNECTIONS || count >= MAX_PER_SOURCE {
            return None;
        }
        self.total += 1;
        self.sources.insert(source, count + 1);
        Some(Permit { source, give_back: self.give_back.clone() })
    }

    fn forget(&mut self, source: IpAddr) {
        self.total = self.total.saturating_sub(1);
        if let Some(count) = self.sources.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_source_has_its_share_and_gets_it_back() {
        let mut admission = Admission::default();
        let first = ip("2001:db8::1");
        let permits: Vec<_> =
            (0..MAX_PER_SOURCE).map(|_| admission.admit(first).unwrap()).collect();
        assert!(admission.admit(ip("2001:db8::2")).is_none(), "a /64 is one source");
        assert!(admission.admit(ip("2001:db8:0:1::1")).is_some());
        drop(permits);
        assert!(admission.admit(first).is_some());
        assert_eq!(admission.sources.len(), 1, "nothing is kept of who is gone");
    }

    #[test]
    fn all_together_are_bounded() {
        let mut admission = Admission::default();
        let source = |index: usize| IpAddr::from((index as u32 + (10 << 24)).to_be_bytes());
        let permits: Vec<_> =
            (0..MAX_CONNECTIONS).map(|it| admission.admit(source(it)).unwrap()).collect();
        assert!(admission.admit(ip("192.0.2.1")).is_none());
        drop(permits);
        assert!(admission.admit(ip("192.0.2.1")).is_some());
    }
}
