//! DTLS-SRTP: who begins the handshake, and by which certificate the peer is known (RFC 5763,
//! RFC 8122, RFC 8842).

use sdp_types::Attribute;
use types::{FingerprintHash, Fingerprints};

use crate::{
    local::{LocalSrtp, SrtpPolicy},
    model::{Media, Proto},
    negotiated::Rejection,
    parse::values,
};

/// Fingerprints that are read of one m-line; two is the most that certificates give reason for.
const MAX_FINGERPRINTS: usize = 8;

/// A certificate's fingerprint (RFC 8122 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Hash function in lower case (`sha-256`).
    pub hash: String,
    /// The digest; empty where it is no row of hexadecimal bytes.
    pub digest: Vec<u8>,
}

impl Fingerprint {
    fn read(value: &str) -> Option<Self> {
        let (hash, digest) = value.split_once(' ')?;
        let bytes = digest.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).ok());
        Some(Self {
            hash: hash.to_ascii_lowercase(),
            digest: bytes.collect::<Option<_>>().unwrap_or_default(),
        })
    }

    /// All of these attributes.
    pub(crate) fn all(attributes: &[Attribute]) -> Vec<Self> {
        values(attributes, "fingerprint").filter_map(Self::read).take(MAX_FINGERPRINTS).collect()
    }
}

/// What `a=setup` says of who begins (RFC 4145).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The writer begins.
    Active,
    /// The writer waits.
    Passive,
    /// The writer does either: an offer's word.
    ActPass,
    /// Nobody begins yet.
    HoldConn,
}

impl Setup {
    pub(crate) fn read(attributes: &[Attribute]) -> Option<Self> {
        match values(attributes, "setup").next()?.to_ascii_lowercase().as_str() {
            "active" => Some(Self::Active),
            "passive" => Some(Self::Passive),
            "actpass" => Some(Self::ActPass),
            "holdconn" => Some(Self::HoldConn),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

fn hash_of(fingerprint: &Fingerprint) -> Option<FingerprintHash> {
    let hash = FingerprintHash::read(&fingerprint.hash)?;
    (fingerprint.digest.len() == hash.len()).then_some(hash)
}

/// Those by the strongest hash function that a line has; `None` where anybody could be the peer.
pub(crate) fn strongest(peer: &Media) -> Option<Fingerprints> {
    let known = peer.fingerprints.iter().filter_map(|it| Some((hash_of(it)?, it)));
    let hash = known.clone().map(|(hash, _)| hash).max()?;
    let digests = known.filter(|(it, _)| *it == hash).map(|(_, it)| it.digest.clone()).collect();
    Some(Fingerprints { hash, digests })
}

/// Agreed DTLS-SRTP of an m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtls {
    /// We begin the handshake.
    pub active: bool,
    /// By what the peer's certificate is known.
    pub fingerprints: Fingerprints,
}

/// What a line for DTLS-SRTP lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DtlsFault {
    /// We have no certificate, or offered none.
    #[error("DTLS-SRTP was not to be had")]
    NotHere,
    /// RTP and RTCP would need a handshake each.
    #[error("the peer has DTLS-SRTP without a=rtcp-mux")]
    NoMux,
    /// Nobody would begin.
    #[error("the peer has DTLS-SRTP without an a=setup that fits")]
    NoSetup,
    /// Anybody could be the peer.
    #[error("the peer has DTLS-SRTP without a fingerprint by SHA-256, SHA-384 or SHA-512")]
    NoFingerprint,
}

/// Whether the line has its keys by DTLS and in no other way. A fingerprint beside a plain profile
/// may be meant for another line's TLS.
pub(crate) fn is_meant(line: &Media) -> bool {
    let by_fingerprint = !line.fingerprints.is_empty() && line.crypto.is_empty();
    line.proto == Proto::Dtls || (line.proto.is_secure() && by_fingerprint)
}

/// Our answer to an offered line, or what an answer to ours comes to.
pub(crate) fn agree(peer: &Media, local: &LocalSrtp) -> Result<Dtls, Rejection> {
    if local.policy == SrtpPolicy::Never {
        return Err(Rejection::SrtpForbidden);
    }
    let fault = |fault| Err(Rejection::Dtls(fault));
    if local.fingerprint.is_none() {
        return fault(DtlsFault::NotHere);
    }
    if !peer.rtcp_mux {
        return fault(DtlsFault::NoMux);
    }
    // Whoever may be behind a NAT begins: its first packet opens the way, and shows where it is.
    let active = match peer.setup {
        Some(Setup::ActPass | Setup::Active) => false,
        Some(Setup::Passive) => true,
        Some(Setup::HoldConn) | None => return fault(DtlsFault::NoSetup),
    };
    let Some(fingerprints) = strongest(peer) else { return fault(DtlsFault::NoFingerprint) };
    Ok(Dtls { active, fingerprints })
}

impl Dtls {
    /// What we say in the answer to the line.
    pub(crate) fn setup(&self) -> Setup {
        if self.active { Setup::Active } else { Setup::Passive }
    }
}
