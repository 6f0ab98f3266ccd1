//! How often anybody may ask: nobody by its address, who is known by its account or token.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use conference::access::{Buckets, Limiter, Rate, TooMany};
use types::RecordId;

use crate::problem::{self, Problem};
use crate::{ADDRESSES, Api, caller};

/// Requests of one address that shows nothing: an office behind one address waits in a lobby.
const UNKNOWN: Rate = Rate { burst: 1000, interval: Duration::from_millis(10) };
/// Requests of one account, with all its sessions and tokens, or of one LiveKit token: a program
/// reads a thousand times a second and stays below half of it.
const KNOWN: Rate = Rate { burst: 5000, interval: Duration::from_micros(500) };

/// Whom a request is put down to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    /// An account.
    Account(RecordId),
    /// Whoever holds a token of this key as this identity.
    Holder {
        /// The key.
        key: String,
        /// The identity; empty for an application itself.
        identity: String,
    },
}

/// Everybody's requests of late, bounded in number.
#[derive(Clone, Debug)]
pub struct Requests {
    unknown: Arc<Mutex<Limiter>>,
    known: Arc<Mutex<Buckets<Asker>>>,
}

impl Default for Requests {
    fn default() -> Self {
        Self::new(UNKNOWN, KNOWN)
    }
}

impl Requests {
    /// With these rates for addresses and for whom is known.
    pub fn new(unknown: Rate, known: Rate) -> Self {
        Self {
            unknown: Arc::new(Mutex::new(Limiter::new(unknown, ADDRESSES))),
            known: Arc::new(Mutex::new(Buckets::new(known, ADDRESSES))),
        }
    }

    fn take(&self, asker: Option<&Asker>, from: IpAddr, now: Instant) -> Result<(), TooMany> {
        match asker {
            Some(asker) => {
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.take(asker, now)
            }
            None => {
                let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
                unknown.take(from, now)
            }
        }
    }
}

/// Finds out who asks, and refuses who asks too often. What is found is handed on: [`Asker`], and for
/// accounts [`caller::Known`].
pub async fn in_moderation(State(api): State<Api>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/api/") {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    // Without an address the endpoint itself says what is wrong.
    if let Ok(from) = caller::client(&parts) {
        let asker = caller::recognise(&api, &mut parts, from).await;
        if let Err(error) = api.requests.take(asker.as_ref(), from, Instant::now()) {
            return too_many(error).into_response();
        }
        parts.extensions.insert(asker);
    }
    next.run(Request::from_parts(parts, body)).await
}

fn too_many(error: TooMany) -> Problem {
    let seconds = error.retry_after.as_secs() + 1;
    problem::too_many_requests(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_does_not_use_up_anothers_requests() {
        let rate = |burst| Rate { burst, interval: Duration::from_secs(1) };
        let requests = Requests::new(rate(2), rate(3));
        let (from, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        let account = |id: &str| Some(Asker::Account(RecordId::new(id)));
        let many = |asker: &Option<Asker>| {
            let taken = std::iter::from_fn(|| requests.take(asker.as_ref(), from, now).ok());
            taken.take(100).count()
        };
        assert_eq!(many(&account("a")), 3);
        assert_eq!(many(&account("b")), 3);
        assert_eq!(many(&None), 2);
        let holder = |identity: &str| {
            Some(Asker::Holder { key: "page".to_owned(), identity: identity.to_owned() })
        };
        assert_eq!((many(&holder("x")), many(&holder("y")), many(&holder("x"))), (3, 3, 0));
    }

    #[test]
    fn a_program_reads_a_thousand_times_a_second() {
        let requests = Requests::default();
        let (from, start) = (IpAddr::from([127, 0, 0, 1]), Instant::now());
        let program = Asker::Account(RecordId::new("a"));
        for number in 0..60_000 {
            let now = start + Duration::from_millis(number);
            assert!(requests.take(Some(&program), from, now).is_ok(), "refused number {number}");
        }
    }
}
