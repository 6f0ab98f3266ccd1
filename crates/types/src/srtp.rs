//! SRTP crypto suites and certificates' hash functions, for who negotiates them and for who encrypts.

/// An SRTP crypto suite with a registered name (RFC 4568 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpSuite {
    /// AES-128 in counter mode, 80-bit tag.
    AesCm128Sha1_80,
    /// AES-128 in counter mode, 32-bit tag; SRTCP has tags of 80 bits all the same.
    AesCm128Sha1_32,
    /// AES-256 in counter mode, 80-bit tag (RFC 6188).
    AesCm256Sha1_80,
    /// AES-256 in counter mode, 32-bit tag (RFC 6188).
    AesCm256Sha1_32,
    /// AES-128-GCM (RFC 7714).
    AeadAes128Gcm,
    /// AES-256-GCM (RFC 7714).
    AeadAes256Gcm,
}

impl SrtpSuite {
    /// Our order of choice: authenticated encryption, then long tags, then short ones.
    pub const PREFERRED: [Self; 6] = [
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
        Self::AesCm128Sha1_80,
        Self::AesCm256Sha1_80,
        Self::AesCm128Sha1_32,
        Self::AesCm256Sha1_32,
    ];

    /// Reads a suite's name; the vendors' `AES_CM_256_…` is RFC 6188's `AES_256_CM_…`.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "AES_CM_128_HMAC_SHA1_80" => Self::AesCm128Sha1_80,
            "AES_CM_128_HMAC_SHA1_32" => Self::AesCm128Sha1_32,
            "AES_256_CM_HMAC_SHA1_80" | "AES_CM_256_HMAC_SHA1_80" => Self::AesCm256Sha1_80,
            "AES_256_CM_HMAC_SHA1_32" | "AES_CM_256_HMAC_SHA1_32" => Self::AesCm256Sha1_32,
            "AEAD_AES_128_GCM" => Self::AeadAes128Gcm,
            "AEAD_AES_256_GCM" => Self::AeadAes256Gcm,
            _ => return None,
        })
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256Sha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256Sha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Bytes of the master key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256Sha1_80 | Self::AesCm256Sha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            _ => 14,
        }
    }
}

/// A hash function that a certificate may be known by. SHA-1 is none: certificates can be made to
/// fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FingerprintHash {
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl FingerprintHash {
    /// Reads a name as `a=fingerprint` has it, in lower case.
    pub fn read(name: &str) -> Option<Self> {
        match name {
            "sha-256" => Some(Self::Sha256),
            "sha-384" => Some(Self::Sha384),
            "sha-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Bytes of a digest.
    #[expect(clippy::len_without_is_empty, reason = "no digest is empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// By what a peer's certificate is known (RFC 8122 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprints {
    /// The hash function of the digests.
    pub hash: FingerprintHash,
    /// The certificate has one of these.
    pub digests: Vec<Vec<u8>>,
}
