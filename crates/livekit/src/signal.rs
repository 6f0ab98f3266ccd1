//! The WebSocket's door: who comes in, in which of the three modes.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use conference::JoinRequest;
use livekit_protocol as lk;
use serde::Deserialize;
use sfu::transport::webrtc::Connections;
use types::ParticipantSid;

use crate::Shared;
use crate::access::{self, AccessError, Admitted};
use crate::join_request;
use crate::session;

/// The largest message that a client may send.
const MAX_MESSAGE: usize = 1 << 20;

/// The query of both endpoints; whatever else clients send there is not needed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SignalQuery {
    access_token: Option<String>,
    join_request: Option<String>,
    /// `1`: the client lost its WebSocket and wants to go on with its old session.
    reconnect: Option<String>,
    /// Its participant then.
    sid: Option<String>,
    /// `0`: the client subscribes to tracks itself.
    auto_subscribe: Option<String>,
}

/// `/rtc`: two peer connections, or one if a join request comes along.
pub async fn v0(
    state: State<Shared>,
    query: Query<SignalQuery>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, AccessError> {
    enter(state, query, headers, upgrade)
}

/// `/rtc/v1`: one peer connection.
pub async fn v1(
    state: State<Shared>,
    Query(query): Query<SignalQuery>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, AccessError> {
    if query.join_request.is_none() {
        return Err(AccessError::Request("v1 needs the parameter join_request"));
    }
    enter(state, Query(query), headers, upgrade)
}

/// Tells a client whether its token would let it in.
pub async fn validate(
    State(state): State<Shared>,
    Query(query): Query<SignalQuery>,
    headers: HeaderMap,
) -> Result<&'static str, AccessError> {
    let token = access::token(query.access_token.as_deref(), &headers)?;
    access::admit(&state, token)?;
    Ok("success")
}

fn enter(
    State(state): State<Shared>,
    Query(query): Query<SignalQuery>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, AccessError> {
    let token = access::token(query.access_token.as_deref(), &headers)?;
    let Admitted { grant, identity, meeting } = access::admit(&state, token)?;
    let first = query.join_request.as_deref().map(join_request::decode).transpose()?;
    let connections = if first.is_some() { Connections::Single } else { Connections::Dual };
    let first = first.unwrap_or_default();
    let resumes = query.reconnect.as_deref() == Some("1") || first.reconnect;
    let sid = query.sid.as_deref().unwrap_or(&first.participant_sid);
    let resumes = resumes.then(|| ParticipantSid::new(sid));
    let mut attributes = grant.attributes.clone();
    let permissions = access::permissions(&grant);
    if permissions.update_own {
        attributes.extend(first.participant_attributes.clone());
    }
    let metadata = if permissions.update_own && !first.metadata.is_empty() {
        first.metadata.clone()
    } else {
        grant.metadata.clone()
    };
    let request = JoinRequest {
        meeting,
        identity,
        name: grant.name.clone(),
        kind: grant.kind.0,
        permissions,
        role: grant.role(),
        metadata,
        attributes,
        auto_subscribe: auto_subscribe(&query, &first),
        connections,
    };
    Ok(upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| session::run(socket, state, request, first, resumes)))
}

fn auto_subscribe(query: &SignalQuery, first: &lk::JoinRequest) -> bool {
    match &first.connection_settings {
        Some(settings) => settings.auto_subscribe,
        None => !matches!(query.auto_subscribe.as_deref(), Some("0" | "false")),
    }
}
