//! Twirp's errors, with the codes that LiveKit's server gives.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use conference::ExecuteError;
use room::Refusal;

/// An error: its code, and what went wrong.
#[derive(Debug)]
pub struct TwirpError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl TwirpError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn no_such_room() -> Self {
        Self::not_found("requested room does not exist")
    }

    pub fn no_such_participant() -> Self {
        Self::not_found("participant does not exist")
    }

    /// Also for a token that is good and does not grant this: so does LiveKit.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", message)
    }

    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "unimplemented", message)
    }

    pub fn exhausted(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "resource_exhausted", message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl From<ExecuteError> for TwirpError {
    fn from(error: ExecuteError) -> Self {
        let message = error.to_string();
        match error {
            ExecuteError::Refused(Refusal::NotAllowed(_)) => {
                Self::new(StatusCode::FORBIDDEN, "permission_denied", message)
            }
            ExecuteError::Refused(Refusal::TooLong { .. } | Refusal::NoLayout(_)) => {
                Self::invalid(message)
            }
            ExecuteError::Refused(Refusal::NoSuchParticipant(_)) => Self::no_such_participant(),
            ExecuteError::Refused(Refusal::NoSuchTrack(_)) => Self::not_found("track is not found"),
            ExecuteError::Refused(_) => Self::not_found(message),
            ExecuteError::Over => Self::no_such_room(),
        }
    }
}

impl IntoResponse for TwirpError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "code": self.code, "msg": self.message });
        // LiveKit's clients compare the content type to the letter.
        (self.status, [(header::CONTENT_TYPE, "application/json")], body.to_string())
            .into_response()
    }
}
