//! Tokens in requests, and what a refused one is told.

use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use conference::JoinError;
use conference::access::{
    CreateError, Grant, JoinGrantError, KeyRights, MeetingSettings, TokenError,
};
use room::Permissions;
use types::{Identity, MeetingId};

use crate::Shared;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("no token: send it as access_token or as a Bearer authorization")]
    NoToken,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Grant(#[from] JoinGrantError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("the token was revoked")]
    Revoked,
    #[error("the join request cannot be read: {0}")]
    Request(&'static str),
}

impl AccessError {
    /// 401 and 403 are final for clients; on 404 of v1 they try v0.
    fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::Token(_) | Self::Revoked => StatusCode::UNAUTHORIZED,
            Self::Grant(_)
            | Self::Join(JoinError::NoSuchMeeting | JoinError::NotNow | JoinError::Refused(_)) => {
                StatusCode::FORBIDDEN
            }
            Self::Join(JoinError::Stopping | JoinError::NoPorts) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Request(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for AccessError {
    fn into_response(self) -> Response {
        metrics::counter!("plenum_livekit_refused_total").increment(1);
        (self.status(), self.to_string()).into_response()
    }
}

/// The token of a request, by query or header.
pub fn token<'a>(query: Option<&'a str>, headers: &'a HeaderMap) -> Result<&'a str, AccessError> {
    let bearer = || headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ");
    query.filter(|it| !it.is_empty()).or_else(bearer).ok_or(AccessError::NoToken)
}

/// A valid token to join with.
pub struct Admitted {
    pub grant: Grant,
    pub identity: Identity,
    pub meeting: MeetingId,
}

/// Verifies a token to join with. A key that may create rooms makes the meeting by it.
pub fn admit(state: &Shared, token: &str) -> Result<Admitted, AccessError> {
    let Shared { conference, keys, revoked, .. } = state;
    let grant = keys.verify(token, SystemTime::now())?;
    let (identity, meeting) = grant.join()?;
    let (identity, meeting) = (identity.clone(), conference.directory().canonical(&meeting));
    if revoked.is_revoked(&meeting, &identity, token) {
        return Err(AccessError::Revoked);
    }
    let directory = conference.directory();
    if directory.find(&meeting).is_none() {
        if !keys.rights(&grant.issuer).is_some_and(|KeyRights { create_rooms, .. }| create_rooms) {
            return Err(JoinError::NoSuchMeeting.into());
        }
        match conference.create(MeetingSettings::open(meeting.clone())) {
            Ok(()) | Err(CreateError::Exists(_)) => {}
            Err(CreateError::Full(_)) => return Err(JoinError::NoSuchMeeting.into()),
        }
    }
    Ok(Admitted { grant, identity, meeting })
}

/// A token's rights as the meeting knows them.
pub fn permissions(grant: &Grant) -> Permissions {
    let video = &grant.video;
    Permissions {
        publish: video.can_publish,
        subscribe: video.can_subscribe,
        publish_data: video.can_publish_data,
        update_own: video.can_update_own_metadata,
        sources: video.can_publish_sources.clone().unwrap_or_default(),
        hidden: video.hidden,
    }
}

/// The protocol's endpoints are called from pages of any origin: the token is what counts.
pub async fn allow_any_origin(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*, authorization"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
