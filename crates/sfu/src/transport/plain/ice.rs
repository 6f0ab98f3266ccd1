//! ICE-lite (RFC 8445 section 2.5): the peer checks the ways to our one candidate. We answer its
//! checks, take media from where a check came from, and send to where it wants them.

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use is::stun::StunMessage;
use types::IceCredentials;

/// Addresses of the peer's that may send at once. Whoever makes more has them forgotten, the oldest
/// first.
const MAX_CHECKED: usize = 8;
/// Bytes of an answer at most: its longest attributes are an IPv6 address and our error's words.
const MAX_ANSWER: usize = 256;

/// What was agreed on for the checks of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceKeys {
    /// Ours, by which the peer's requests are known.
    pub local: IceCredentials,
    /// The peer's.
    pub remote: IceCredentials,
}

/// Our side of the checks of one stream.
#[derive(Clone, Debug)]
pub struct Lite {
    keys: IceKeys,
    /// Where checks came from, the oldest first.
    checked: Vec<SocketAddr>,
    nominated: Option<SocketAddr>,
}

/// Whether a datagram on a media port is a STUN message (RFC 7983).
pub fn is_stun(contents: &[u8]) -> bool {
    matches!(contents.first(), Some(0..=3))
}

impl Lite {
    /// Waits for checks.
    pub fn new(keys: IceKeys) -> Self {
        Self { keys, checked: Vec::new(), nominated: None }
    }

    /// Whether these are the keys: others begin the checks anew (RFC 8445 section 9).
    pub fn has(&self, keys: &IceKeys) -> bool {
        self.keys == *keys
    }

    /// Where to send.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.nominated
    }

    /// Whether the peer is there, as a check has shown.
    pub fn admits(&self, source: SocketAddr) -> bool {
        self.checked.contains(&source)
    }

    /// Answers a check; `None`: it is no check of the peer's, and gets no answer that would help to
    /// guess.
    pub fn receive(&mut self, source: SocketAddr, contents: &[u8]) -> Option<Vec<u8>> {
        let request = StunMessage::parse(contents).ok().filter(StunMessage::is_binding_request)?;
        let IceKeys { local, remote } = &self.keys;
        let named = request.split_username() == Some((&local.ufrag, &remote.ufrag));
        let password = local.password.as_bytes();
        if !named || !request.verify(password, hmac_sha1) {
            return None;
        }
        let transaction = request.trans_id();
        // Whoever is lite never controls (RFC 8445 section 7.3.1.1).
        let answer = if request.ice_controlled().is_some() {
            StunMessage::binding_role_conflict_reply(transaction)
        } else {
            if !self.checked.contains(&source) {
                let idle = self.checked.iter().position(|it| Some(*it) != self.nominated);
                if let Some(oldest) = idle.filter(|_| self.checked.len() >= MAX_CHECKED) {
                    self.checked.remove(oldest);
                }
                self.checked.push(source);
            }
            if request.use_candidate() {
                self.nominated = Some(source);
            }
            StunMessage::binding_reply(transaction, source)
        };
        let mut buffer = vec![0; MAX_ANSWER];
        let length = answer.to_bytes(Some(password), &mut buffer, hmac_sha1).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }
}

pub(super) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    // It always has this length.
    context.sign().as_ref().try_into().unwrap_or_default()
}
