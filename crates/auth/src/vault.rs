//! Hashing, sealing and counting with the server's own key.

use std::fmt::Write;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use conference::people::{CodeSecret, Vault, VaultError};
use rand::RngCore;
use tokio::sync::Semaphore;
use totp_rs::{Builder, Secret, Totp};
use types::Timestamp;

use crate::MasterKey;

/// Memory of one hash in KiB, passes and lanes: what OWASP advises for Argon2id. About 30 ms.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// Hashes that may wait for a free core; whoever comes then is told to try again.
const WAITING: usize = 64;
/// Bytes of a secret for one-time codes (RFC 4226, section 4, R6).
const CODE_SECRET: usize = 20;
/// What devices show above the code.
const ISSUER: &str = "Plenum";

/// A vault on this machine. Passwords and PINs are hashed together with the server's key, so that a
/// stolen database alone does not tell even a PIN of four digits.
#[derive(Debug)]
pub struct LocalVault {
    hasher: Arc<Hasher>,
    seal: RandomizedNonceKey,
    /// Hashes at work, and those that may wait.
    room: Arc<Semaphore>,
    cores: Arc<Semaphore>,
}

struct Hasher {
    pepper: [u8; 32],
    /// What is compared with where there is no hash: takes as long, and never fits.
    dummy: String,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher(****)")
    }
}

impl Hasher {
    fn argon2(&self) -> Result<Argon2<'_>, VaultError> {
        let (memory, passes, lanes) = COST;
        let params = Params::new(memory, passes, lanes, None).map_err(failed)?;
        Argon2::new_with_secret(&self.pepper, Algorithm::Argon2id, Version::V0x13, params)
            .map_err(failed)
    }

    fn hash(&self, secret: &str) -> Result<String, VaultError> {
        let mut salt = [0; 16];
        rand::rng().fill_bytes(&mut salt);
        let hash = self.argon2()?.hash_password_with_salt(secret.as_bytes(), &salt);
        hash.map(|it| it.to_string()).map_err(failed)
    }

    fn verify(&self, secret: &str, hash: Option<&str>) -> Result<bool, VaultError> {
        let parsed = PasswordHash::new(hash.unwrap_or(&self.dummy)).map_err(failed)?;
        let right = self.argon2()?.verify_password(secret.as_bytes(), &parsed).is_ok();
        Ok(right && hash.is_some())
    }
}

impl LocalVault {
    /// A vault whose secrets are under this key.
    ///
    /// # Errors
    /// [`VaultError`] where the library refuses our own parameters.
    pub fn new(key: &MasterKey) -> Result<Self, VaultError> {
        let mut hasher = Hasher { pepper: key.derive("password hashes"), dummy: String::new() };
        hasher.dummy = hasher.hash("nobody has this password")?;
        let seal = RandomizedNonceKey::new(&AES_256_GCM, &key.derive("sealed secrets"));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Media needs the other half.
        let cores = (cores / 2).max(1);
        Ok(Self {
            hasher: Arc::new(hasher),
            seal: seal.map_err(failed)?,
            room: Arc::new(Semaphore::new(cores + WAITING)),
            cores: Arc::new(Semaphore::new(cores)),
        })
    }

    /// Runs what takes a core for some time, beside the threads that serve others.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Hasher) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let _room = self.room.try_acquire().map_err(|_| VaultError::Busy)?;
        let core = self.cores.clone().acquire_owned().await.map_err(failed)?;
        let hasher = self.hasher.clone();
        let done = tokio::task::spawn_blocking(move || {
            // Until the work is done, even if nobody waits for it any more.
            let _core = core;
            work(&hasher)
        });
        done.await.map_err(failed)?
    }
}

#[async_trait]
impl Vault for LocalVault {
    async fn hash(&self, secret: &str) -> Result<String, VaultError> {
        let secret = secret.to_owned();
        self.compute(move |hasher| hasher.hash(&secret)).await
    }

    async fn verify(&self, secret: &str, hash: Option<&str>) -> Result<bool, VaultError> {
        let (secret, hash) = (secret.to_owned(), hash.map(str::to_owned));
        self.compute(move |hasher| hasher.verify(&secret, hash.as_deref())).await
    }

    fn seal(&self, clear: &str) -> Result<String, VaultError> {
        let mut bytes = clear.as_bytes().to_vec();
        let nonce = self.seal.seal_in_place_append_tag(Aad::empty(), &mut bytes).map_err(failed)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        Ok(BASE64_STANDARD.encode(sealed))
    }

    fn open(&self, sealed: &str) -> Result<String, VaultError> {
        let broken = |_| VaultError::Sealed;
        let bytes = BASE64_STANDARD.decode(sealed).map_err(|_| VaultError::Sealed)?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN).ok_or(VaultError::Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(broken)?;
        let mut rest = rest.to_vec();
        let clear = self.seal.open_in_place(nonce, Aad::empty(), &mut rest).map_err(broken)?;
        String::from_utf8(clear.to_vec()).map_err(|_| VaultError::Sealed)
    }

    fn new_code_secret(&self, account: &str) -> CodeSecret {
        let mut bytes = [0; CODE_SECRET];
        rand::rng().fill_bytes(&mut bytes);
        let base32 = Secret::from(bytes.to_vec()).to_base32();
        let account = percent_encoded(account);
        let url = format!("otpauth://totp/{ISSUER}:{account}?secret={base32}&issuer={ISSUER}");
        CodeSecret { base32, url }
    }

    fn code_step(&self, base32: &str, code: &str, now: Timestamp) -> Option<u64> {
        let code: String = code.chars().filter(|it| !it.is_whitespace()).collect();
        let totp: Totp =
            Builder::new().with_secret(Secret::try_from_base32(base32).ok()?).build().ok()?;
        totp.check(&code, now.0.unsigned_abs() / 1000)
    }
}

fn failed(error: impl std::fmt::Display) -> VaultError {
    VaultError::Failed(error.to_string())
}

/// A text within an address: everything but letters, digits and a few marks is escaped.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> LocalVault {
        LocalVault::new(&MasterKey::random()).unwrap()
    }

    #[tokio::test]
    async fn a_hash_tells_right_from_wrong_with_the_same_key_alone() {
        let (ours, other) = (vault(), vault());
        let hash = ours.hash("five green elephants").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(ours.verify("five green elephants", Some(&hash)).await.unwrap());
        assert!(!ours.verify("five green elephant", Some(&hash)).await.unwrap());
        assert!(!other.verify("five green elephants", Some(&hash)).await.unwrap());
        assert!(!ours.verify("nobody has this password", None).await.unwrap());
        assert_ne!(ours.hash("five green elephants").await.unwrap(), hash, "salted");
    }

    #[tokio::test]
    async fn more_than_can_wait_are_sent_away_and_the_rest_served() {
        let vault = vault();
        let most = vault.room.available_permits();
        let tries = (0..most + 10).map(|_| vault.verify("x", None));
        let answers = futures_util::future::join_all(tries).await;
        let busy = answers.iter().filter(|it| **it == Err(VaultError::Busy)).count();
        assert_eq!(busy, 10);
        assert_eq!(vault.room.available_permits(), most);
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_alone() {
        let (ours, other) = (vault(), vault());
        let sealed = ours.seal("пароль").unwrap();
        assert_eq!(ours.open(&sealed).unwrap(), "пароль");
        assert_ne!(ours.seal("пароль").unwrap(), sealed);
        assert_eq!(other.open(&sealed), Err(VaultError::Sealed));
        let mut bytes = BASE64_STANDARD.decode(&sealed).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        for damaged in [BASE64_STANDARD.encode(bytes), "AAAA".into(), "%".into(), String::new()] {
            assert_eq!(ours.open(&damaged), Err(VaultError::Sealed), "{damaged}");
        }
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B: SHA-1 with the secret "12345678901234567890", the last six digits.
        let base32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let vault = vault();
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")]
        {
            let now = Timestamp(seconds * 1000);
            let step = Some(seconds.unsigned_abs() / 30);
            assert_eq!(vault.code_step(base32, code, now), step);
            assert_eq!(
                vault.code_step(base32, &format!(" {} {} ", &code[..3], &code[3..]), now),
                step
            );
            let late = Timestamp((seconds + 100) * 1000);
            assert_eq!(vault.code_step(base32, code, late), None);
        }
        for wrong in ["", "287083", "2870820", "abcdef", "-87082"] {
            assert_eq!(vault.code_step(base32, wrong, Timestamp(59_000)), None, "{wrong}");
        }
        let made = vault.new_code_secret("anna@example.org");
        assert!(made.url.starts_with("otpauth://totp/Plenum:anna%40example.org?secret="));
        assert_eq!(made.base32.len(), 32);
    }
}
