//! What many endpoints have in common: pages, versions, times, ids, bodies.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use conference::store::Search;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::{RecordId, Timestamp};
use utoipa::{IntoParams, ToSchema};

use crate::join::unreadable;
use crate::problem::Problem;

/// The longest text that is searched for, in characters.
const MAX_SEARCH: usize = 100;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The entries, in the order in which they were made.
    pub items: Vec<T>,
    /// Give it as `after` for the next part; null: this was the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of what the store found.
    pub fn of<E>(
        page: conference::store::Page<E>,
        answer: impl Fn(conference::store::Found<E>) -> T,
    ) -> Json<Self> {
        let next = page.next.map(|it| it.to_string());
        Json(Self { items: page.items.into_iter().map(answer).collect(), next })
    }
}

/// Which part of a list is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only entries that contain this text.
    #[param(max_length = 100)]
    pub q: Option<String>,
    /// The `next` of the part before.
    pub after: Option<String>,
    /// Entries of this part at most.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

impl ListQuery {
    /// As the store understands it.
    pub fn search(&self) -> Result<Search, Problem> {
        Ok(Search {
            by: None,
            text: self.q.as_deref().map(search_text).transpose()?,
            after: cursor(self.after.as_deref())?,
            limit: limit(self.limit)?,
        })
    }
}

/// A text to search for.
pub fn search_text(text: &str) -> Result<String, Problem> {
    if text.chars().count() > MAX_SEARCH || text.chars().any(char::is_control) {
        let detail = format!("`q` has at most {MAX_SEARCH} characters and no control characters");
        return Err(Problem::bad("query_invalid", detail));
    }
    Ok(text.to_owned())
}

/// The place where a part of a list begins.
pub fn cursor(after: Option<&str>) -> Result<Option<RecordId>, Problem> {
    let wrong = || Problem::bad("query_invalid", "`after` is the `next` of the part before");
    after.map(|it| parse_id(it).ok_or_else(wrong)).transpose()
}

/// How many entries are asked for; 0: nothing was said.
pub fn limit(limit: Option<u32>) -> Result<u32, Problem> {
    match limit {
        None => Ok(0),
        Some(limit @ 1..=Search::MAX_LIMIT) => Ok(limit),
        Some(_) => {
            let detail = format!("`limit` is a number from 1 to {}", Search::MAX_LIMIT);
            Err(Problem::bad("query_invalid", detail))
        }
    }
}

/// A query string, or what is wrong with it.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        match read {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::bad("query_invalid", rejection.body_text())),
        }
    }
}

/// A JSON body that is looked at once its sender is known to be allowed to send it.
pub struct Body<T>(Result<Json<T>, JsonRejection>);

impl<T> Body<T> {
    /// What was sent.
    pub fn read(self) -> Result<T, Problem> {
        self.0.map(|Json(body)| body).map_err(unreadable)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Json::from_request(request, state).await))
    }
}

/// The id in a path; one that cannot be is one that is not.
pub fn record_id(text: &str) -> Result<RecordId, Problem> {
    parse_id(text).ok_or_else(no_such_id)
}

/// The answer to an id that cannot be.
pub fn no_such_id() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing under this id")
}

fn parse_id(text: &str) -> Option<RecordId> {
    let fits = text.len() == 36 && text.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
    fits.then(|| RecordId::new(text.to_ascii_lowercase()))
}

/// A time as RFC 3339 writes it, in UTC.
pub fn written(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(time.0).unwrap_or_default();
    time.to_string()
}

/// A time that was sent.
pub fn read_time(field: &'static str, text: &str) -> Result<Timestamp, Problem> {
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map(|it| Timestamp(it.as_millisecond())).map_err(|_| {
        let detail = format!("`{field}` is a time such as 2030-01-31T12:00:00Z");
        Problem::bad("time_invalid", detail)
    })
}

/// An answer with the version that `If-Match` is held against.
pub struct Versioned<T>(pub StatusCode, pub u64, pub T);

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let Self(status, version, body) = self;
        let mut response = (status, Json(body)).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// The version that a change is meant for; `None`: whichever there is.
pub fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(tag) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = tag.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    match version.and_then(|it| it.parse().ok()) {
        Some(version) => Ok(Some(version)),
        None => {
            let detail = "`If-Match` is the `ETag` that came with the last answer";
            Err(Problem::bad("if_match_invalid", detail))
        }
    }
}
