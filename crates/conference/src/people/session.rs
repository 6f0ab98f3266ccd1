//! Who is signed in: browsers by a session, programs by an API token. Both show a secret of which
//! only the digest is kept.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use types::{RecordId, Timestamp};

use super::Right;
use crate::store::{Entity, Key, Kind};

/// A session ends when nobody asks for anything for so long.
pub const SESSION_IDLE: Duration = Duration::from_secs(12 * 3600);
/// A session ends after so long whatever happens.
pub const SESSION_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How exactly the time of the last request is kept.
pub const SEEN_STEP: Duration = Duration::from_secs(300);

/// A browser that somebody signed in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose.
    pub account: RecordId,
    /// The digest of its secret.
    pub digest: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was used last, within [`SEEN_STEP`].
    pub seen_at: Timestamp,
    /// From where it began.
    pub address: Option<IpAddr>,
    /// What the browser calls itself.
    #[serde(default)]
    pub user_agent: String,
}

impl Session {
    /// The unique key of the secret's digest.
    pub const DIGEST: &'static str = "digest";
    /// The key of the account.
    pub const ACCOUNT: &'static str = "account";

    /// When it ends if nobody uses it any more.
    pub fn ends_at(&self) -> Timestamp {
        self.seen_at.after(SESSION_IDLE).min(self.began_at.after(SESSION_LIFE))
    }
}

impl Entity for Session {
    const KIND: Kind = Kind::Session;

    fn keys(&self) -> Vec<Key> {
        vec![
            Key::unique(Self::DIGEST, &*self.digest),
            Key::shared(Self::ACCOUNT, self.account.as_str()),
        ]
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.ends_at())
    }

    fn title(&self) -> String {
        self.user_agent.chars().take(80).collect()
    }
}

/// A token for programs that act for an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Whose.
    pub account: RecordId,
    /// What it is for.
    pub name: String,
    /// The digest of its secret.
    pub digest: String,
    /// Its scopes: it may no more than these and its account.
    pub scopes: Vec<String>,
    /// When it ends; `None`: never.
    pub ends_at: Option<Timestamp>,
    /// When it was used last, within [`SEEN_STEP`].
    #[serde(default)]
    pub used_at: Option<Timestamp>,
    /// From where it was used last.
    #[serde(default)]
    pub used_from: Option<IpAddr>,
}

impl ApiToken {
    /// The unique key of the secret's digest.
    pub const DIGEST: &'static str = "digest";
    /// The key of the account.
    pub const ACCOUNT: &'static str = "account";
    /// With what a token's secret begins, so that one that was left in a file is found.
    pub const PREFIX: &'static str = "plenum_";
    /// The most of one account.
    pub const MAX_PER_ACCOUNT: usize = 50;

    /// What it may at most.
    pub fn rights(&self) -> Vec<Right> {
        self.scopes.iter().filter_map(|it| it.parse().ok()).collect()
    }
}

impl Entity for ApiToken {
    const KIND: Kind = Kind::ApiToken;

    fn keys(&self) -> Vec<Key> {
        vec![
            Key::unique(Self::DIGEST, &*self.digest),
            Key::shared(Self::ACCOUNT, self.account.as_str()),
        ]
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.ends_at
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

/// A secret of 256 random bits in letters, digits, `-` and `_`.
pub fn new_secret(prefix: &str) -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of a secret that nobody could guess: SHA-256, hexadecimal.
pub fn digest_of(secret: &str) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest(&SHA256, secret.as_bytes()).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a page sends along with every request that changes something, so that no other site's page
/// can make one: it can be read by who has the session alone.
pub fn csrf_token(session_secret: &str) -> String {
    digest_of(&format!("csrf {session_secret}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_rests_and_after_a_week() {
        let began_at = Timestamp(0);
        let mut session = Session {
            account: RecordId::new("a"),
            digest: digest_of("x"),
            began_at,
            seen_at: began_at,
            address: None,
            user_agent: String::new(),
        };
        assert_eq!(session.ends_at(), began_at.after(SESSION_IDLE));
        session.seen_at = began_at.after(SESSION_LIFE - Duration::from_secs(1));
        assert_eq!(session.ends_at(), began_at.after(SESSION_LIFE));
    }

    #[test]
    fn secrets_differ_and_their_digests_tell_nothing_of_them() {
        let (a, b) = (new_secret(ApiToken::PREFIX), new_secret(ApiToken::PREFIX));
        assert!(a != b && a.starts_with("plenum_") && a.len() == 50, "{a}");
        assert_eq!(digest_of("abc").get(..8), Some("ba7816bf"));
        assert_ne!(csrf_token(&a), digest_of(&a));
    }
}
