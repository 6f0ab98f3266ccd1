//! Errors as problem details (RFC 9457).

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use conference::kept::KeptError;
use conference::people::{PeopleError, VaultError};
use conference::problem::Problems;
use conference::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// The type of a problem's body.
const PROBLEM: &str = "application/problem+json";

const NO_SUCH_METHOD: &str = "this endpoint has no such method: /api/v1/openapi.json lists them";

/// An error with a `code` that programs read and a `detail` that says what to do.
#[derive(Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: String,
    /// Seconds to wait, where waiting helps.
    pub retry_after: Option<u64>,
    /// What is wrong with which field.
    pub fields: Problems,
}

/// What a problem looks like outside.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The HTTP status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What programs tell errors apart by.
    code: String,
    /// What went wrong, and what to do.
    detail: String,
    /// What is wrong with which field, where that can be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<FieldProblem>,
}

/// What is wrong with one field.
#[derive(Serialize, ToSchema)]
pub struct FieldProblem {
    /// Which, such as `schedule.rrule` or `invited[3].email`.
    field: String,
    /// What programs tell problems apart by: `required`, `too_long`, `too_many`, `range`, `format`,
    /// `duplicate`, `unknown` or `conflict`.
    code: &'static str,
    /// What is allowed.
    text: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None, fields: Problems::new() }
    }

    /// What was sent cannot be taken.
    pub fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    fn wait(seconds: u64, status: StatusCode, code: &'static str, detail: String) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(status, code, detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        metrics::counter!("plenum_api_refused_total", "code" => self.code).increment(1);
        let field = |it: &conference::problem::Problem| FieldProblem {
            field: it.field.clone(),
            code: it.code.word(),
            text: it.text.clone(),
        };
        let body = ProblemBody {
            problems: self.fields.list().iter().map(field).collect(),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail,
        };
        let body = serde_json::to_string(&body).unwrap_or_default();
        let content_type = [(header::CONTENT_TYPE, PROBLEM)];
        let mut response = (self.status, content_type, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What the store says, put for a caller; what is wrong with the database itself is for the log.
pub fn store_failed(error: StoreError) -> Problem {
    let detail = error.to_string();
    match error {
        StoreError::Taken { .. } => Problem::new(StatusCode::CONFLICT, "taken", detail),
        StoreError::Stale { .. } => {
            Problem::new(StatusCode::PRECONDITION_FAILED, "changed_meanwhile", detail)
        }
        StoreError::Missing { .. } => Problem::new(StatusCode::NOT_FOUND, "not_found", detail),
        StoreError::Unreadable { .. } | StoreError::Unavailable(_) => {
            tracing::error!(%error, "the database fails");
            let detail = "the database does not answer as it should; the server's log says why";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::wait(5, status, "database_unavailable", detail.to_owned())
        }
    }
}

/// What hashing and sealing say, put for a caller.
pub fn vault_failed(error: VaultError) -> Problem {
    match error {
        VaultError::Busy => {
            let detail = VaultError::Busy.to_string();
            Problem::wait(2, StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
        }
        error @ (VaultError::Sealed | VaultError::Failed(_)) => {
            tracing::error!(%error, "a secret cannot be computed");
            let detail = "the server cannot compute this; its log says why";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
        }
    }
}

/// What is wrong with something that was given.
pub fn invalid(fields: Problems) -> Problem {
    Problem { fields: fields.clone(), ..Problem::bad("invalid", fields.to_string()) }
}

/// What the rules about what is kept say, put for a caller.
pub fn kept_failed(error: KeptError) -> Problem {
    let detail = error.to_string();
    match error {
        KeptError::Store(error) => store_failed(error),
        KeptError::Vault(error) => vault_failed(error),
        KeptError::Invalid(fields) => invalid(fields),
        KeptError::Denied(_) => Problem::new(StatusCode::FORBIDDEN, "not_allowed", detail),
        KeptError::Named { .. } => Problem::new(StatusCode::CONFLICT, "in_use", detail),
        KeptError::Full { .. } => Problem::new(StatusCode::CONFLICT, "full", detail),
    }
}

/// Too many wrong tries.
pub fn wait(seconds: u64, detail: String) -> Problem {
    Problem::wait(seconds, StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail)
}

/// More requests than anybody needs.
pub fn too_many_requests(seconds: u64) -> Problem {
    let detail = format!("too many requests: try again in {seconds} s");
    Problem::wait(seconds, StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
}

/// What the rules about people say, put for a caller.
pub fn people_failed(error: PeopleError) -> Problem {
    let detail = error.to_string();
    match error {
        PeopleError::Store(error) => store_failed(error),
        PeopleError::Vault(error) => vault_failed(error),
        PeopleError::Account(_) => Problem::bad("account_invalid", detail),
        PeopleError::NoAccount(_) => Problem::new(StatusCode::NOT_FOUND, "not_found", detail),
        PeopleError::Password(_) => Problem::bad("password_invalid", detail),
        PeopleError::Token(_) => Problem::bad("token_invalid", detail),
        PeopleError::Scope(_) => Problem::bad("scope_invalid", detail),
        PeopleError::WrongPassword => Problem::new(StatusCode::FORBIDDEN, "password_wrong", detail),
        PeopleError::WrongCode => Problem::new(StatusCode::FORBIDDEN, "code_wrong", detail),
        PeopleError::NoFactor | PeopleError::FactorStands => {
            Problem::new(StatusCode::CONFLICT, "second_factor", detail)
        }
        PeopleError::LastAdministrator => {
            Problem::new(StatusCode::CONFLICT, "last_administrator", detail)
        }
        PeopleError::TooManyTokens(_) => {
            Problem::new(StatusCode::CONFLICT, "too_many_tokens", detail)
        }
        PeopleError::Wait(seconds) => wait(seconds, detail),
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

/// What is refused before an endpoint sees it, in the words of a framework, is a problem as well.
pub async fn shaped(request: Request, next: Next) -> Response {
    let ours = request.uri().path().starts_with("/api/");
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let shaped = kind.is_some_and(|it| it == PROBLEM);
    if !ours || shaped || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (code, detail) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the body is too large"),
        StatusCode::METHOD_NOT_ALLOWED => ("no_such_method", NO_SUCH_METHOD),
        _ if status.is_server_error() => {
            ("internal", "the server cannot do this; its log says why")
        }
        _ => ("malformed", "the request cannot be read: look at its path and headers"),
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut problem = Problem::new(status, code, detail).into_response();
    problem.headers_mut().extend(allow.map(|it| (header::ALLOW, it)));
    problem
}

/// Whatever else below `/api`.
pub async fn no_such_endpoint() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_endpoint", "the API has no such endpoint")
}

/// A known path that is asked with a method that it does not have.
pub async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", NO_SUCH_METHOD)
}
