//! L4: LiveKit's open protocol: the signalling WebSocket in its three modes and the RoomService.
//! The only user of `livekit-protocol`.

mod access;
#[doc(hidden)]
pub mod fuzz;
mod join_request;
mod outward;
mod room_service;
mod session;
mod signal;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use conference::Conference;
use conference::access::Keys;

/// What the protocol's handlers need.
#[derive(Clone)]
pub struct LiveKit {
    /// The meetings.
    pub conference: Conference,
    /// The keys that sign tokens.
    pub keys: Arc<Keys>,
}

/// Routes of the protocol: `/rtc`, `/rtc/v1`, their validate endpoints and Twirp.
pub fn router(state: LiveKit) -> Router {
    Router::new()
        .route("/rtc", any(signal::v0))
        .route("/rtc/v1", any(signal::v1))
        .route("/rtc/validate", get(signal::validate).options(preflight))
        .route("/rtc/v1/validate", get(signal::validate).options(preflight))
        .route("/twirp/livekit.RoomService/{method}", post(room_service::call).options(preflight))
        .layer(axum::middleware::map_response(access::allow_any_origin))
        .with_state(state)
}

/// Browsers ask before they call from another page's origin.
async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}
