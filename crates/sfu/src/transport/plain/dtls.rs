//! DTLS-SRTP: the keys of a stream are made by a handshake on its port (RFC 5763, RFC 5764).
//!
//! [`Association`] is sans-IO. Whoever it shakes hands with has to have the certificate that the
//! peer's SDP told of, and has to finish within [`WITHIN`] of the agreement. Strangers that reach
//! the port can begin handshakes, a few at most, and gain nothing by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, KeyingMaterial, Output, SrtpProfile};
use rtp::srtp::Suite;
use types::Fingerprints;

use super::SrtpKeys;
use super::certificate::{Certificate, is_known};

/// From the agreement to the keys at most.
pub const WITHIN: Duration = Duration::from_secs(15);
/// One handshake at most: after it another address may try.
const ONE_WITHIN: Duration = Duration::from_secs(7);
/// Before a flight is sent again; it doubles each time.
const AGAIN_AFTER: Duration = Duration::from_millis(400);
/// Handshakes of one agreement: each costs us a signature.
const MAX_HANDSHAKES: u32 = 6;
/// Bytes of a record of ours, or of a peer's certificate.
const MAX_OUTPUT: usize = 16 * 1024;

/// What was agreed on for the handshake of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsKeys {
    /// Our certificate.
    pub certificate: Arc<Certificate>,
    /// We begin.
    pub active: bool,
    /// By what the peer's certificate is known.
    pub fingerprints: Fingerprints,
}

/// Why a stream has no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The peer never began, or never answered.
    #[error("no DTLS handshake came in time")]
    Absent,
    /// The peer's certificate is not the one of its SDP.
    #[error("the DTLS certificate is not the one whose fingerprint the SDP has")]
    Mismatch,
    /// There was one that came to no end: no ECDSA certificate, no SRTP profile in common.
    #[error("the DTLS handshake failed; an ECDSA certificate and DTLS 1.2 are needed")]
    Failed,
}

/// What comes of an input.
#[derive(Debug, Default)]
pub struct Made {
    /// Records to send.
    pub transmits: Vec<(SocketAddr, Vec<u8>)>,
    /// Keys, and where the peer is.
    pub keys: Option<(SrtpKeys, SocketAddr)>,
    /// There will be none.
    pub failed: Option<HandshakeError>,
}

/// The handshakes of one agreement.
#[derive(Debug)]
pub struct Association {
    agreed: DtlsKeys,
    /// Where the peer's SDP says that it is; of no use where ICE shows that.
    told: Option<SocketAddr>,
    handshake: Option<Handshake>,
    handshakes: u32,
    /// Of the last one that failed.
    fault: HandshakeError,
    /// `None`: the keys are there, or never will be.
    deadline: Option<Instant>,
    keyed: bool,
}

#[derive(Debug)]
struct Handshake {
    dtls: Box<Dtls>,
    with: SocketAddr,
    trusted: bool,
    /// It has shown the right certificate.
    known: Option<bool>,
    timeout: Instant,
}

/// Whether a datagram on a media port is a DTLS record (RFC 7983).
pub fn is_dtls(contents: &[u8]) -> bool {
    matches!(contents.first(), Some(20..=63))
}

/// Whether a record begins a handshake: a ClientHello in the clear (RFC 6347 section 4.2.2).
fn begins(contents: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    contents.first() == Some(&HANDSHAKE) && contents.get(13) == Some(&CLIENT_HELLO)
}

impl Association {
    /// Waits for the peer from now on, or begins.
    pub fn new(agreed: DtlsKeys, told: Option<SocketAddr>, now: Instant) -> Self {
        Self {
            agreed,
            told,
            handshake: None,
            handshakes: 0,
            fault: HandshakeError::Absent,
            deadline: Some(now + WITHIN),
            keyed: false,
        }
    }

    /// The same was agreed on again: keys stay (RFC 8842 section 4). A peer on hold tells no
    /// address, and may be where it was.
    pub fn is_still(&self, agreed: &DtlsKeys, told: Option<SocketAddr>) -> bool {
        self.agreed == *agreed && (told.is_none() || self.told.is_none() || told == self.told)
    }

    /// There are keys.
    pub fn is_keyed(&self) -> bool {
        self.keyed
    }

    /// A DTLS record came; `trusted`: hardly anybody but the peer can send from there. `None`: it is
    /// a stranger's.
    pub fn receive(
        &mut self,
        source: SocketAddr,
        trusted: bool,
        record: &[u8],
        now: Instant,
    ) -> Option<Made> {
        let with = self.handshake.as_ref().map(|it| it.with);
        // A stranger must not keep the peer out by being first.
        let displaced = trusted && !self.keyed;
        let fresh = with.is_none() || (with != Some(source) && displaced);
        if fresh && !self.agreed.active && begins(record) {
            self.begin(source, trusted, now)?;
        }
        let handshake = self.handshake.as_mut().filter(|it| it.with == source)?;
        let taken = handshake.dtls.handle_timeout(now).and_then(|()| {
            // Whatever comes of it is drained before the next.
            handshake.dtls.handle_packet(record)
        });
        Some(self.drain(taken))
    }

    /// Lets time pass. `destination`: where the peer is thought to be.
    pub fn handle_timeout(&mut self, destination: Option<SocketAddr>, now: Instant) -> Made {
        let mut made = Made::default();
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.handshake = None;
            made.failed = Some(self.fault);
            return made;
        }
        if self.deadline.is_some() && self.agreed.active && self.handshake.is_none() {
            // Whoever answers there is asked at an address that the peer told of.
            destination.and_then(|it| self.begin(it, true, now));
        }
        if let Some(handshake) = self.handshake.as_mut().filter(|it| it.timeout <= now) {
            let taken = handshake.dtls.handle_timeout(now);
            made = self.drain(taken);
        }
        made
    }

    /// When to call [`Self::handle_timeout`] next.
    pub fn timeout(&self) -> Option<Instant> {
        let handshake = self.handshake.as_ref().map(|it| it.timeout);
        [handshake, self.deadline].into_iter().flatten().min()
    }

    fn begin(&mut self, with: SocketAddr, trusted: bool, now: Instant) -> Option<()> {
        if self.handshakes >= MAX_HANDSHAKES {
            return None;
        }
        let config = Config::builder()
            .handshake_timeout(ONE_WITHIN)
            .flight_start_rto(AGAIN_AFTER)
            .build()
            .inspect_err(|error| tracing::error!(%error, "DTLS cannot be set up"))
            .ok()?;
        let certificate = self.agreed.certificate.0.clone();
        let mut dtls = Box::new(Dtls::new_12(Arc::new(config), certificate, now));
        dtls.set_active(self.agreed.active);
        self.handshakes += 1;
        self.handshake = Some(Handshake { dtls, with, trusted, known: None, timeout: now });
        Some(())
    }

    /// What the handshake gives; it is thrown away where it has failed.
    fn drain(&mut self, taken: Result<(), dimpl::Error>) -> Made {
        let mut made = Made::default();
        let Some(handshake) = &mut self.handshake else { return made };
        let mut keys = None;
        let mut buffer = vec![0; 2048];
        loop {
            match handshake.dtls.poll_output(&mut buffer) {
                Output::Packet(record) => made.transmits.push((handshake.with, record.to_vec())),
                Output::BufferTooSmall { needed } if needed <= MAX_OUTPUT => {
                    buffer.resize(needed, 0);
                }
                Output::PeerCert(der) => {
                    handshake.known = Some(is_known(der, &self.agreed.fingerprints));
                }
                Output::KeyingMaterial(material, profile) => {
                    keys = cut(&material, profile, self.agreed.active);
                }
                Output::Timeout(at) => {
                    handshake.timeout = at;
                    break;
                }
                Output::BufferTooSmall { .. } => break,
                _ => {}
            }
        }
        let (with, trusted) = (handshake.with, handshake.trusted);
        if handshake.known == Some(false) {
            self.handshake = None;
            self.fault = HandshakeError::Mismatch;
            // Whoever is not where the peer's SDP says may be anybody.
            if trusted && !self.keyed {
                self.deadline = None;
                made.failed = Some(HandshakeError::Mismatch);
            }
            return made;
        }
        if handshake.known == Some(true)
            && let Some(keys) = keys
        {
            self.keyed = true;
            self.deadline = None;
            made.keys = Some((keys, with));
        }
        if let Err(error) = taken {
            tracing::info!(%with, %error, "a DTLS handshake failed");
            self.handshake = None;
            if self.fault == HandshakeError::Absent {
                self.fault = HandshakeError::Failed;
            }
        }
        made
    }
}

/// Both keys out of what was exported: the client's key, the server's, then the salts in the same
/// order (RFC 5764 section 4.2). Whoever begins is the client.
fn cut(material: &KeyingMaterial, profile: SrtpProfile, active: bool) -> Option<SrtpKeys> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128Sha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        _ => return None,
    };
    let (keys, salts) = material.split_at_checked(2 * suite.key_len())?;
    let (client, server) = keys.split_at_checked(suite.key_len())?;
    let (client_salt, server_salt) = salts.split_at_checked(suite.salt_len())?;
    let (client, server) = ([client, client_salt].concat(), [server, server_salt].concat());
    let (local, remote) = if active { (client, server) } else { (server, client) };
    Some(SrtpKeys { suite, local, remote })
}
