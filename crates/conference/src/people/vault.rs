//! What needs ciphers and time to compute: an adapter does it.

use async_trait::async_trait;
use types::Timestamp;

/// Why something secret was not computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Too many others wait for the same.
    #[error("too many sign-ins at once: try again in a moment")]
    Busy,
    /// It was sealed with another key, or is damaged.
    #[error(
        "a sealed secret cannot be opened: the key in the data folder is not the one that sealed it"
    )]
    Sealed,
    /// Anything else. The text is for the log.
    #[error("{0}")]
    Failed(String),
}

/// A secret for one-time codes, as its owner's device needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeSecret {
    /// To type in: base32.
    pub base32: String,
    /// To scan: `otpauth://…`.
    pub url: String,
}

/// Hashes, seals and counts.
#[async_trait]
pub trait Vault: Send + Sync + std::fmt::Debug {
    /// A hash that costs time and memory to compute, of a password or PIN.
    ///
    /// # Errors
    /// [`VaultError`].
    async fn hash(&self, secret: &str) -> Result<String, VaultError>;

    /// Whether `secret` has this hash. Without one it takes as long, and says no.
    ///
    /// # Errors
    /// [`VaultError`].
    async fn verify(&self, secret: &str, hash: Option<&str>) -> Result<bool, VaultError>;

    /// A text that only this server can read.
    ///
    /// # Errors
    /// [`VaultError`].
    fn seal(&self, clear: &str) -> Result<String, VaultError>;

    /// The text that was sealed.
    ///
    /// # Errors
    /// [`VaultError::Sealed`].
    fn open(&self, sealed: &str) -> Result<String, VaultError>;

    /// A new secret for the one-time codes of `account`.
    fn new_code_secret(&self, account: &str) -> CodeSecret;

    /// The step of time that `code` stands for (RFC 6238), of those about now; `None`: it is wrong.
    fn code_step(&self, base32: &str, code: &str, now: Timestamp) -> Option<u64>;
}
