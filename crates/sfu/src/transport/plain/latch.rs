//! Symmetric RTP (RFC 4961): where a peer is, whatever its SDP says.

use std::net::{IpAddr, SocketAddr};

use super::ice::{IceKeys, Lite};

/// The peer's address on one of our ports: what its SDP told, until its first valid packet shows
/// another. That one stays, so that nobody else can take the stream over.
#[derive(Clone, Debug, Default)]
pub struct Latch {
    told: Option<SocketAddr>,
    learnt: Option<SocketAddr>,
    /// Instead of both, where the peer does ICE.
    ice: Option<Lite>,
}

impl Latch {
    /// What the SDP tells now. Only another address than before lets the peer be found anew.
    pub fn tell(&mut self, told: Option<SocketAddr>) {
        if told != self.told {
            (self.told, self.learnt) = (told, None);
        }
    }

    /// The peer checks the way, by these keys, or does not.
    pub fn check_by(&mut self, keys: Option<&IceKeys>) {
        let same = self.ice.take().filter(|lite| keys.is_some_and(|keys| lite.has(keys)));
        self.ice = same.or_else(|| keys.cloned().map(Lite::new));
    }

    /// The answer to a check of the peer's.
    pub fn answer(&mut self, source: SocketAddr, contents: &[u8]) -> Option<Vec<u8>> {
        self.ice.as_mut().filter(|_| is_usable(&source))?.receive(source, contents)
    }

    /// Whether nobody but the peer can send from there, or hardly: its SDP or a check says so.
    pub fn vouches_for(&self, source: SocketAddr) -> bool {
        self.ice.as_ref().map_or(self.told == Some(source), |lite| lite.admits(source))
    }

    /// Where to send.
    pub fn destination(&self) -> Option<SocketAddr> {
        if let Some(lite) = &self.ice {
            return lite.destination();
        }
        self.learnt.or(self.told.filter(is_usable))
    }

    /// Whether the peer may be there.
    pub fn admits(&self, source: SocketAddr) -> bool {
        if let Some(lite) = &self.ice {
            return lite.admits(source);
        }
        self.learnt.map_or_else(|| is_usable(&source), |learnt| learnt == source)
    }

    /// A valid packet came from there.
    pub fn learn(&mut self, source: SocketAddr) {
        self.learnt.get_or_insert(source);
    }
}

/// Whether one peer can be there.
fn is_usable(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}
