//! `Idempotency-Key`: whoever does not know whether a request has arrived makes it again with the
//! same key, and it is done once.
//!
//! The first request leaves a record before it is carried out, and its answer in it afterwards. It
//! goes on where its client hangs up: a repetition is for that very case. Answers may hold secrets
//! that are shown once, and requests passwords: of both only what the vault sealed is kept.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use conference::people::{People, digest_of};
use conference::store::{Batch, Entity, Found, Key, Kind, StoreError};
use serde::{Deserialize, Serialize};
use types::{RecordId, Timestamp};

use crate::Api;
use crate::caller::now;
use crate::limits::Asker;
use crate::problem::{Problem, store_failed, vault_failed};

/// The header that a client names its request by.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that is a repetition.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key, in characters.
pub const MAX_KEY: usize = 200;
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// After so long without an answer the server did not end well meanwhile: no request takes longer.
const LOST: Duration = Duration::from_secs(60);
/// The largest body of a request with a key, in bytes; most endpoints have tighter bounds.
const MAX_REQUEST: usize = crate::kept::MAX_BODY;
/// The largest answer that is kept, in bytes.
const MAX_ANSWER: usize = 256 << 10;
/// The headers of an answer that are repeated.
const HEADERS: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::ETAG, header::LOCATION, header::CACHE_CONTROL];

/// A request with a key, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Replay {
    /// The digest of key and asker.
    digest: String,
    /// When the request came.
    began_at: Timestamp,
    /// An [`Exchange`], sealed.
    sealed: String,
}

impl Replay {
    const DIGEST: &'static str = "digest";

    fn ends_at(&self) -> Timestamp {
        self.began_at.after(KEPT)
    }
}

impl Entity for Replay {
    const KIND: Kind = Kind::Replay;

    fn keys(&self) -> Vec<Key> {
        vec![Key::unique(Self::DIGEST, &*self.digest)]
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.ends_at())
    }

    fn title(&self) -> String {
        String::new()
    }
}

/// What was asked and answered.
// No Debug: it may hold secrets.
#[derive(Serialize, Deserialize)]
struct Exchange {
    /// The digest of method, path and body: it could be guessed from, so it is sealed too.
    request: String,
    /// `None`: not yet.
    answer: Option<Kept>,
}

/// An answer.
// No Debug: it may hold secrets.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Carries out a request with a key once; all others pass.
pub async fn once(State(api): State<Api>, request: Request, next: Next) -> Response {
    let key = request.headers().get(&HEADER).filter(|_| request.method() == Method::POST);
    let asker = request.extensions().get::<Option<Asker>>().cloned().flatten();
    // Nobody's requests are refused, or have no effect that a second one would double.
    let (Some(key), Some(asker), Some(people)) = (key, asker, api.people.as_ref()) else {
        return next.run(request).await;
    };
    let kept = match digest(key, &asker) {
        Ok(digest) => Once { people: people.clone(), digest },
        Err(problem) => return problem.into_response(),
    };
    kept.answer(request, next).await.unwrap_or_else(Problem::into_response)
}

fn digest(key: &HeaderValue, asker: &Asker) -> Result<String, Problem> {
    let visible = |it: &&str| it.bytes().all(|byte| byte.is_ascii_graphic());
    let key = key.to_str().ok().filter(|it| (1..=MAX_KEY).contains(&it.len())).filter(visible);
    let Some(key) = key else {
        let detail = format!("`Idempotency-Key` has 1 to {MAX_KEY} visible characters of ASCII");
        return Err(Problem::bad("idempotency_key_invalid", detail));
    };
    let asker = match asker {
        Asker::Account(id) => serde_json::json!(["account", id.as_str(), "", key]),
        Asker::Holder { key: issuer, identity } => {
            serde_json::json!(["holder", issuer, identity, key])
        }
    };
    Ok(digest_of(&asker.to_string()))
}

/// A key of somebody.
struct Once {
    people: People,
    digest: String,
}

impl Once {
    async fn answer(self, request: Request, next: Next) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let too_large = |_| {
            let detail = "a request with an `Idempotency-Key` has a smaller body";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
        };
        let body = to_bytes(body, MAX_REQUEST).await.map_err(too_large)?;
        let asked = fingerprint(&parts.method, &parts.uri.to_string(), &body);
        if let Some(response) = self.earlier(&asked).await? {
            return Ok(response);
        }
        let (id, began_at) = self.begin(&asked).await?;
        let request = Request::from_parts(parts, Body::from(body));
        let carried_out = tokio::spawn(async move {
            let response = next.run(request).await;
            self.end(&id, began_at, asked, response).await
        });
        carried_out.await.map_err(|error| {
            tracing::error!(%error, "a request with an Idempotency-Key broke off");
            let detail = "the server cannot do this; its log says why";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
        })
    }

    /// What was answered before; `None`: this is the first request with the key.
    async fn earlier(&self, asked: &str) -> Result<Option<Response>, Problem> {
        let records = self.people.records();
        let found = records.find::<Replay>(Replay::DIGEST, &self.digest).await;
        let Some(found) = found.map_err(store_failed)? else { return Ok(None) };
        if found.entity.ends_at() <= now() {
            let gone = Batch::silent().delete::<Replay>(&found.id, Some(found.version));
            match records.write(gone, now()).await {
                // The purge, or another request, was faster.
                Ok(()) | Err(StoreError::Missing { .. } | StoreError::Stale { .. }) => {}
                Err(error) => return Err(store_failed(error)),
            }
            return Ok(None);
        }
        let Exchange { request, answer } = self.open(&found)?;
        if request != asked {
            let detail = "this `Idempotency-Key` came with another request before: use a new one";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Problem::new(status, "idempotency_key_reused", detail));
        }
        match answer {
            Some(answer) => answer.response().map(Some),
            None if now().since(found.entity.began_at) < LOST => Err(under_way()),
            None => {
                let detail = "the server ended before it answered the first request with this \
                              `Idempotency-Key`: look whether it was done, and use a new one";
                Err(Problem::new(StatusCode::CONFLICT, "outcome_unknown", detail))
            }
        }
    }

    fn open(&self, found: &Found<Replay>) -> Result<Exchange, Problem> {
        let clear = self.people.vault().open(&found.entity.sealed).map_err(vault_failed)?;
        serde_json::from_str(&clear).map_err(|error| {
            let (kind, id) = (Kind::Replay, found.id.clone());
            store_failed(StoreError::Unreadable { kind, id, why: error.to_string() })
        })
    }

    fn sealed(&self, began_at: Timestamp, exchange: &Exchange) -> Result<Replay, Problem> {
        let clear = serde_json::to_string(exchange).unwrap_or_default();
        let sealed = self.people.vault().seal(&clear).map_err(vault_failed)?;
        Ok(Replay { digest: self.digest.clone(), began_at, sealed })
    }

    async fn begin(&self, asked: &str) -> Result<(RecordId, Timestamp), Problem> {
        let (records, began_at) = (self.people.records(), now());
        let replay =
            self.sealed(began_at, &Exchange { request: asked.to_owned(), answer: None })?;
        let id = records.new_id(began_at);
        match records.write(Batch::silent().insert(&id, &replay), began_at).await {
            Ok(()) => Ok((id, began_at)),
            Err(StoreError::Taken { .. }) => Err(under_way()),
            Err(error) => Err(store_failed(error)),
        }
    }

    /// Keeps an answer that says that something was done. Whatever was refused has had no effect,
    /// and may be asked for again.
    async fn end(
        &self,
        id: &RecordId,
        began_at: Timestamp,
        asked: String,
        response: Response,
    ) -> Response {
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, MAX_ANSWER).await else {
            let detail = "the answer is too large for a request with an `Idempotency-Key`";
            return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
                .into_response();
        };
        let answer = Kept::of(parts.status, &parts.headers, &body);
        let batch = match answer.map(|it| Exchange { request: asked, answer: Some(it) }) {
            Some(exchange) => self
                .sealed(began_at, &exchange)
                .map(|replay| Batch::silent().update(id, None, &replay)),
            None => Ok(Batch::silent().delete::<Replay>(id, None)),
        };
        let written = match batch {
            Ok(batch) => self.people.records().write(batch, now()).await.map_err(store_failed),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = written {
            // It was done all the same; whoever repeats it hears that the outcome is not known.
            tracing::warn!(why = problem.detail, "an answer is not kept for its repetition");
        }
        Response::from_parts(parts, Body::from(body))
    }
}

impl Kept {
    /// An answer that is worth keeping. A cookie is for the one browser that it was sent to.
    fn of(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Option<Self> {
        if !status.is_success() || headers.contains_key(header::SET_COOKIE) {
            return None;
        }
        let header = |name: &HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            Some((name.to_string(), value.to_owned()))
        };
        Some(Self {
            status: status.as_u16(),
            headers: HEADERS.iter().filter_map(header).collect(),
            body: String::from_utf8(body.to_vec()).ok()?,
        })
    }

    fn response(self) -> Result<Response, Problem> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), HeaderValue::try_from(value))
            {
                headers.insert(name, value);
            }
        }
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }
}

fn fingerprint(method: &Method, uri: &str, body: &Bytes) -> String {
    let mut text = format!("{method} {uri}\n");
    for byte in body.iter() {
        text.push(char::from(*byte));
    }
    digest_of(&text)
}

fn under_way() -> Problem {
    let detail = "the first request with this `Idempotency-Key` is still under way";
    let problem = Problem::new(StatusCode::CONFLICT, "request_under_way", detail);
    Problem { retry_after: Some(1), ..problem }
}
