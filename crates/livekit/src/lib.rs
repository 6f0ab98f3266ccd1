//! L4: LiveKit's open protocol: the signalling WebSocket in its three modes, the RoomService and
//! webhooks.
//! The only user of `livekit-protocol`.

mod access;
mod door;
#[doc(hidden)]
pub mod fuzz;
mod join_request;
mod outward;
mod revoked;
mod room_service;
mod rpc;
mod session;
mod sessions;
mod signal;
pub mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use conference::Conference;
use conference::access::Keys;

use revoked::Revocations;
use rpc::Calls;
use sessions::Sessions;

/// What the protocol's handlers need.
#[derive(Clone)]
pub struct LiveKit {
    /// The meetings.
    pub conference: Conference,
    /// The keys that sign tokens.
    pub keys: Arc<Keys>,
}

/// The largest body of a call: metadata, or a message to a meeting, with room to spare.
const MAX_BODY: usize = 1 << 20;

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    conference: Conference,
    keys: Arc<Keys>,
    sessions: Sessions,
    calls: Calls,
    revoked: Revocations,
}

/// Routes of the protocol: `/rtc`, `/rtc/v1`, their validate endpoints and Twirp. Has to be served
/// with the client's address as connection information: floods are told apart by it.
pub fn router(state: LiveKit) -> Router {
    let LiveKit { conference, keys } = state;
    let state = Shared {
        conference,
        keys,
        sessions: Sessions::default(),
        calls: Calls::default(),
        revoked: Revocations::default(),
    };
    Router::new()
        .route("/rtc", any(signal::v0))
        .route("/rtc/v1", any(signal::v1))
        .route("/rtc/validate", get(signal::validate).options(preflight))
        .route("/rtc/v1/validate", get(signal::validate).options(preflight))
        .route("/twirp/livekit.RoomService/{method}", post(room_service::call).options(preflight))
        .route("/twirp/{service}/{method}", any(room_service::no_such_service))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(door::Door::default(), door::guard))
        .layer(axum::middleware::map_response(access::allow_any_origin))
        .with_state(state)
}

/// Browsers ask before they call from another page's origin.
async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests;
