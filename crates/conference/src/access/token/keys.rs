//! The keys that sign tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Deserialize;
use thiserror::Error;

use super::claims::Claims;
use super::{Grant, LEEWAY, MAX_TOKEN_BYTES, TokenError};

/// What a key's tokens can grant at most; rights over a room that exists need none of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyRights {
    /// May create rooms: by the server API, and by joining one that does not exist.
    pub create_rooms: bool,
    /// May dial out.
    pub sip_call: bool,
}

impl KeyRights {
    /// Every right.
    pub const ALL: Self = Self { create_rooms: true, sip_call: true };
}

/// A key is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeysError {
    /// The id is empty or too long.
    #[error("a key's id has 1 to {} characters", Keys::MAX_ID_BYTES)]
    Id,
    /// Too short to withstand guessing; the secret is not shown.
    #[error("the secret of key {id} has fewer than {} characters", Keys::MIN_SECRET_BYTES)]
    WeakSecret {
        /// The key.
        id: String,
    },
    /// Longer than any secret needs to be.
    #[error("the secret of key {id} has more than {} characters", Keys::MAX_SECRET_BYTES)]
    LongSecret {
        /// The key.
        id: String,
    },
    /// Two keys have this id.
    #[error("there are two keys {id}")]
    Duplicate {
        /// The key.
        id: String,
    },
    /// More than [`Keys::MAX`].
    #[error("there are more than {} keys", Keys::MAX)]
    TooMany,
}

/// A token cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// No key has the grant's issuer as its id.
    #[error("there is no key {0} to sign with")]
    UnknownKey(String),
    /// The grant does not fit into a token.
    #[error(transparent)]
    Grant(#[from] TokenError),
    /// The library refused; does not happen with HS256.
    #[error("signing failed: {0}")]
    Library(String),
}

struct Key {
    /// The newest first, which signs; at least one.
    secrets: Vec<Secret>,
    rights: KeyRights,
}

struct Secret {
    decoding: DecodingKey,
    encoding: EncodingKey,
    /// Until when tokens that it signed are taken.
    until: Option<SystemTime>,
}

impl Secret {
    fn new(secret: &[u8], until: Option<SystemTime>) -> Self {
        let (decoding, encoding) =
            (DecodingKey::from_secret(secret), EncodingKey::from_secret(secret));
        Self { decoding, encoding, until }
    }
}

/// Keys by their id: those of the configuration, and those that are kept ([`super::super::Keyring`]),
/// which come and go while the program runs. `Debug` shows the ids alone.
#[derive(Default)]
pub struct Keys {
    by_id: BTreeMap<String, Arc<Key>>,
    kept: RwLock<BTreeMap<String, Arc<Key>>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(self.by_id.keys().chain(kept.keys())).finish()
    }
}

impl Keys {
    /// The most keys.
    pub const MAX: usize = 1000;
    /// The longest id, in bytes.
    pub const MAX_ID_BYTES: usize = 128;
    /// The shortest secret outside of development, in bytes: HS256 wants a key of at least the
    /// hash's 256 bits (RFC 7518 section 3.2).
    pub const MIN_SECRET_BYTES: usize = 32;
    /// The longest secret, in bytes.
    pub const MAX_SECRET_BYTES: usize = 1024;

    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key whose secret is at least [`Keys::MIN_SECRET_BYTES`] long.
    pub fn add(&mut self, id: &str, secret: &str, rights: KeyRights) -> Result<(), KeysError> {
        if secret.len() < Self::MIN_SECRET_BYTES {
            return Err(KeysError::WeakSecret { id: id.to_owned() });
        }
        self.insert(id, secret.as_bytes(), rights)
    }

    /// Adds a key whose secret may be short: for development, where it is public anyway.
    pub fn add_weak(&mut self, id: &str, secret: &str, rights: KeyRights) -> Result<(), KeysError> {
        self.insert(id, secret.as_bytes(), rights)
    }

    /// Adds a key with a random secret that nobody outside learns: for tokens that this program
    /// makes for itself. They end with the process.
    pub fn add_random(&mut self, id: &str, rights: KeyRights) -> Result<(), KeysError> {
        let secret: [u8; 32] = rand::random();
        self.insert(id, &secret, rights)
    }

    /// The rights of the key `id`.
    pub fn rights(&self, id: &str) -> Option<KeyRights> {
        self.find(id).map(|key| key.rights)
    }

    /// Whether the configuration has a key `id`, over which none is kept.
    pub fn configured(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Takes a kept key in, or another state of it: its secrets, the newest first, and until when
    /// tokens of each are taken (`None`: as long as the key is there). A configured one of the same id
    /// stands before it.
    pub fn keep(&self, id: &str, secrets: &[(String, Option<SystemTime>)], rights: KeyRights) {
        let secrets = secrets.iter().map(|(it, until)| Secret::new(it.as_bytes(), *until));
        let key = Arc::new(Key { secrets: secrets.collect(), rights });
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.insert(id.to_owned(), key);
    }

    /// A kept key is no key any more.
    pub fn forget(&self, id: &str) {
        self.kept.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn find(&self, id: &str) -> Option<Arc<Key>> {
        let kept = || self.kept.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        self.by_id.get(id).cloned().or_else(kept)
    }

    /// A configured key with such rights, the first by its id.
    pub fn with(&self, wanted: impl Fn(KeyRights) -> bool) -> Option<&str> {
        let fits = self.by_id.iter().filter(|(_, key)| wanted(key.rights));
        fits.map(|(id, _)| id.as_str()).min()
    }

    /// Reads a token. The rights in it are cut down to those of its key; its issuer tells which
    /// key that was.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Grant, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge);
        }
        check_algorithm(token)?;
        let issuer = jsonwebtoken::dangerous::insecure_decode::<Issuer>(token)
            .map_err(|_| TokenError::Malformed("its claims cannot be read"))?
            .claims
            .iss;
        let key = issuer.and_then(|id| self.find(&id)).ok_or(TokenError::UnknownKey)?;
        let claims = key.claims(token, now)?;
        check_times(&claims, now)?;
        let mut grant = claims.grant()?;
        grant.check_sizes()?;
        grant.video.room_create &= key.rights.create_rooms;
        grant.sip.call &= key.rights.sip_call;
        Ok(grant)
    }

    /// Signs a grant with the key that its issuer names; the token is valid from `now` for `ttl`.
    pub fn sign(&self, grant: &Grant, ttl: Duration, now: SystemTime) -> Result<String, SignError> {
        let unknown = || SignError::UnknownKey(grant.issuer.clone());
        let key = self.find(&grant.issuer).ok_or_else(unknown)?;
        let secret = key.secrets.first().ok_or_else(unknown)?;
        grant.check_sizes()?;
        let seconds = unix_seconds(now);
        let mut claims = Claims::of(grant);
        claims.nbf = Some(seconds.floor());
        claims.exp = Some((seconds + ttl.as_secs_f64()).ceil());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret.encoding)
            .map_err(|error| SignError::Library(error.to_string()))?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge.into());
        }
        Ok(token)
    }

    fn insert(&mut self, id: &str, secret: &[u8], rights: KeyRights) -> Result<(), KeysError> {
        if id.is_empty() || id.len() > Self::MAX_ID_BYTES {
            return Err(KeysError::Id);
        }
        let id = id.to_owned();
        if secret.len() > Self::MAX_SECRET_BYTES {
            return Err(KeysError::LongSecret { id });
        }
        if self.by_id.contains_key(&id) {
            return Err(KeysError::Duplicate { id });
        }
        if self.by_id.len() >= Self::MAX {
            return Err(KeysError::TooMany);
        }
        let key = Key { secrets: vec![Secret::new(secret, None)], rights };
        self.by_id.insert(id, Arc::new(key));
        Ok(())
    }
}

impl Key {
    /// The claims of a token that one of the secrets signed.
    fn claims(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        let good = self.secrets.iter().filter(|it| it.until.is_none_or(|until| now < until));
        let mut refused = TokenError::UnknownKey;
        for secret in good {
            refused =
                match jsonwebtoken::decode::<Claims>(token, &secret.decoding, &signature_only()) {
                    Ok(read) => return Ok(read.claims),
                    Err(error) => match error.kind() {
                        ErrorKind::InvalidSignature => TokenError::BadSignature,
                        ErrorKind::InvalidAlgorithm => return Err(TokenError::WrongAlgorithm),
                        _ => return Err(TokenError::Malformed("its claims have the wrong shape")),
                    },
                };
        }
        Err(refused)
    }
}

#[derive(Deserialize)]
struct Issuer {
    iss: Option<String>,
}

/// Read by hand, since the library takes an algorithm that it does not know, `none` included, for
/// bad JSON.
fn check_algorithm(token: &str) -> Result<(), TokenError> {
    #[derive(Deserialize)]
    struct Head {
        alg: String,
    }
    let mut parts = token.split('.');
    let (Some(head), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Malformed("it does not have three parts"));
    };
    let head = URL_SAFE_NO_PAD
        .decode(head)
        .map_err(|_| TokenError::Malformed("its header is not base64url"))?;
    let head: Head = serde_json::from_slice(&head)
        .map_err(|_| TokenError::Malformed("its header names no algorithm"))?;
    if head.alg == "HS256" { Ok(()) } else { Err(TokenError::WrongAlgorithm) }
}

/// Times are checked here rather than by the library, which would read the machine's clock.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

fn check_times(claims: &Claims, now: SystemTime) -> Result<(), TokenError> {
    let now = unix_seconds(now);
    let leeway = LEEWAY.as_secs_f64();
    let expires = claims.exp.ok_or(TokenError::Malformed("it never expires"))?;
    if now > expires + leeway {
        return Err(TokenError::Expired);
    }
    match claims.nbf {
        Some(begins) if now + leeway < begins => Err(TokenError::NotYetValid),
        _ => Ok(()),
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
