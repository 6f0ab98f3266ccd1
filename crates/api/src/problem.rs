//! Errors as problem details (RFC 9457).

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// An error with a `code` that programs read and a `detail` that says what to do.
#[derive(Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: String,
    /// Seconds to wait, where waiting helps.
    pub retry_after: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        metrics::counter!("plenum_api_refused_total", "code" => self.code).increment(1);
        let body = serde_json::json!({
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, content_type, body.to_string()).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Ends a request that takes too long: a body that drips in holds a connection, and no more.
pub async fn in_time(State(within): State<Duration>, request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(within, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        let detail = "the request did not come within some seconds";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail).into_response()
    })
}

/// Whatever else below `/api`.
pub async fn no_such_endpoint() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_endpoint", "the API has no such endpoint")
}
