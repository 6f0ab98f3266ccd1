//! A vault that hashes fast, and somebody who asks, for unit tests alone.

use async_trait::async_trait;
use types::{RecordId, Timestamp};

use super::{AccountRole, CodeSecret, Credential, Principal, Vault, VaultError, digest_of};

/// Seals by turning texts round; the code of a step is its number.
#[derive(Debug)]
pub(crate) struct FastVault;

#[async_trait]
impl Vault for FastVault {
    async fn hash(&self, secret: &str) -> Result<String, VaultError> {
        Ok(digest_of(secret))
    }

    async fn verify(&self, secret: &str, hash: Option<&str>) -> Result<bool, VaultError> {
        Ok(hash == Some(&*digest_of(secret)))
    }

    fn seal(&self, clear: &str) -> Result<String, VaultError> {
        Ok(clear.chars().rev().collect())
    }

    fn open(&self, sealed: &str) -> Result<String, VaultError> {
        self.seal(sealed)
    }

    fn new_code_secret(&self, _: &str) -> CodeSecret {
        CodeSecret { base32: "ABC".into(), url: "otpauth://totp/x?secret=ABC".into() }
    }

    fn code_step(&self, base32: &str, code: &str, now: Timestamp) -> Option<u64> {
        let step = now.0.unsigned_abs() / 30_000;
        (base32 == "ABC" && code == step.to_string()).then_some(step)
    }
}

/// Somebody of this role and id.
pub(crate) fn somebody(id: &str, role: AccountRole) -> Principal {
    Principal {
        account: RecordId::new(id),
        name: id.to_owned(),
        role,
        must_change_password: false,
        credential: Credential::Session(RecordId::new("session")),
        from: None,
    }
}

/// Somebody who may everything.
pub(crate) fn administrator() -> Principal {
    somebody("root", AccountRole::Administrator)
}
