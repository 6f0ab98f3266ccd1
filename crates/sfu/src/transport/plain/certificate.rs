//! Certificates that nobody has signed: each side knows the other's by the fingerprint in its SDP
//! (RFC 8122). For DTLS-SRTP, and for whatever else of a call goes over TLS.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{self, digest};
use dimpl::DtlsCertificate;
use types::{FingerprintHash, Fingerprints};

/// A certificate of ours, made for one call: nobody can tell by it that two calls are ours.
pub struct Certificate(pub(super) DtlsCertificate);

/// No certificate could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no certificate for a call could be made")]
pub struct NoCertificate;

impl Certificate {
    /// A new one, with an ECDSA key on P-256.
    ///
    /// # Errors
    /// [`NoCertificate`], where the system has no randomness.
    pub fn generate() -> Result<Arc<Self>, NoCertificate> {
        let made = dimpl::certificate::generate_self_signed_certificate();
        made.map(|it| Arc::new(Self(it))).map_err(|_| NoCertificate)
    }

    /// The value of `a=fingerprint` (RFC 8122): hash function and digest.
    pub fn fingerprint(&self) -> String {
        format!("sha-256 {}", self.0.fingerprint_str())
    }

    /// The certificate itself, as DER.
    pub fn der(&self) -> &[u8] {
        &self.0.certificate
    }

    /// Its private key, as DER of PKCS #8.
    pub fn private_key(&self) -> &[u8] {
        &self.0.private_key
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.fingerprint()).finish()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.certificate == other.0.certificate
    }
}

impl Eq for Certificate {}

/// Whether a peer's certificate, as DER, is one that its SDP tells of.
pub fn is_known(der: &[u8], fingerprints: &Fingerprints) -> bool {
    let algorithm = match fingerprints.hash {
        FingerprintHash::Sha256 => &digest::SHA256,
        FingerprintHash::Sha384 => &digest::SHA384,
        FingerprintHash::Sha512 => &digest::SHA512,
    };
    let its = digest(algorithm, der);
    fingerprints.digests.iter().any(|it| it == its.as_ref())
}
