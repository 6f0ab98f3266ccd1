//! Who we are, for servers that ask (RFC 3261 section 22): what a refusal asks for, and the header that
//! answers it.

use conference::random_id;
use conference::telephony::DigestChallenge;
use rsipstack::sip::{Header, Response, StatusCode};

/// Challenges that are read of one response.
const MAX_CHALLENGES: usize = 8;

/// A user of another server. `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// As who we are known there.
    pub user: String,
    /// That user's password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a 401 or 407 asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// By a proxy on the way.
    proxy: bool,
    /// The first that we can answer.
    digest: Option<DigestChallenge>,
}

impl Challenge {
    /// Whether a response asks for something.
    pub(super) fn asks(response: &Response) -> bool {
        let status = &response.status_code;
        matches!(status, StatusCode::Unauthorized | StatusCode::ProxyAuthenticationRequired)
    }

    /// What it asks for. The status says which header counts, where there are both.
    pub(super) fn of(response: &Response) -> Self {
        let proxy = response.status_code == StatusCode::ProxyAuthenticationRequired;
        let headers = response.headers.iter().filter_map(|header| match header {
            Header::ProxyAuthenticate(it) if proxy => Some(it.value()),
            Header::WwwAuthenticate(it) if !proxy => Some(it.value()),
            _ => None,
        });
        Self { proxy, digest: DigestChallenge::first(headers.take(MAX_CHALLENGES)) }
    }

    /// Whether the proof was right and only came too late.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.digest.as_ref().is_some_and(|it| it.stale)
    }
}

/// Proves who we are in a request that is made again. Its `Debug` has no password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    proxy: bool,
    digest: DigestChallenge,
    pub(super) credentials: Credentials,
}

impl Proof {
    /// For what was asked; `None` where that is nothing that can be answered.
    #[must_use]
    pub fn new(challenge: Challenge, credentials: Credentials) -> Option<Self> {
        let Challenge { proxy, digest } = challenge;
        Some(Self { proxy, digest: digest?, credentials })
    }

    /// The header that shows it, of a request of this method to this URI.
    pub(super) fn header(&self, method: &str, uri: &str) -> Header {
        let Credentials { user, password } = &self.credentials;
        let value = self.digest.answer((user, password), (method, uri), &random_id(""));
        match self.proxy {
            true => Header::ProxyAuthorization(value.into()),
            false => Header::Authorization(value.into()),
        }
    }
}
