//! LiveKit's RoomService over Twirp, protobuf or JSON.

mod error;
mod participants;
mod perform;
mod rooms;

use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use conference::access::Grant;
use conference::{ExecuteError, MeetingHandle};
use livekit_protocol as lk;
use prost::Message;
use room::{Act, Actor, Command, ParticipantView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::MeetingId;

use crate::Shared;
use crate::access;
use error::TwirpError;

/// Names that one request may list: tracks, identities.
const MAX_LISTED: usize = 2000;

/// A call: who asks, and in which encoding.
struct Call {
    state: Shared,
    grant: Grant,
    json: bool,
    body: Bytes,
}

/// `POST /twirp/livekit.RoomService/{method}`.
pub async fn call(
    State(state): State<Shared>,
    Path(method): Path<String>,
    request: Request,
) -> Response {
    let call = match Call::read(state, request).await {
        Ok(call) => call,
        Err(error) => return error.into_response(),
    };
    let answered = match method.as_str() {
        "CreateRoom" => call.create_room().await,
        "ListRooms" => call.list_rooms().await,
        "DeleteRoom" => call.delete_room().await,
        "ListParticipants" => call.list_participants().await,
        "GetParticipant" => call.participant().await,
        "RemoveParticipant" => call.remove_participant().await,
        "MutePublishedTrack" => call.mute_track().await,
        "UpdateParticipant" => call.update_participant().await,
        "UpdateSubscriptions" => call.update_subscriptions().await,
        "SendData" => call.send_data().await,
        "UpdateRoomMetadata" => call.update_room_metadata().await,
        "ForwardParticipant" => call.forward_participant(),
        "MoveParticipant" => call.move_participant(),
        "PerformRpc" => call.perform_rpc().await,
        _ => Err(TwirpError::new(
            StatusCode::NOT_FOUND,
            "bad_route",
            format!("RoomService has no method {method} on this server"),
        )),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// Any other of LiveKit's services.
pub async fn no_such_service(Path((service, method)): Path<(String, String)>) -> Response {
    let message = format!("this server has no {method} of {service}");
    TwirpError::new(StatusCode::NOT_FOUND, "bad_route", message).into_response()
}

impl Call {
    async fn read(state: Shared, request: Request) -> Result<Self, TwirpError> {
        let headers = request.headers();
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let json = match content_type.map(|it| it.split(';').next().unwrap_or(it).trim()) {
            Some("application/json") => true,
            Some("application/protobuf") => false,
            _ => {
                let message = "the content type is application/json or application/protobuf";
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return Err(TwirpError::new(status, "bad_route", message));
            }
        };
        let grant = access::token(None, headers)
            .and_then(|token| Ok(state.keys.verify(token, SystemTime::now())?))
            .map_err(|error| TwirpError::unauthenticated(error.to_string()))?;
        // Only now: a stranger's body is not read.
        let body = Bytes::from_request(request, &()).await.map_err(|rejection| {
            metrics::counter!("plenum_livekit_malformed_total").increment(1);
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => "resource_exhausted",
                _ => "malformed",
            };
            TwirpError::new(rejection.status(), code, rejection.body_text())
        })?;
        Ok(Self { state, grant, json, body })
    }

    fn request<T: Message + Default + DeserializeOwned>(&self) -> Result<T, TwirpError> {
        let read = if self.json {
            serde_json::from_slice(&self.body).map_err(|error| error.to_string())
        } else {
            T::decode(self.body.clone()).map_err(|error| error.to_string())
        };
        read.map_err(|why| {
            metrics::counter!("plenum_livekit_malformed_total").increment(1);
            TwirpError::malformed(why)
        })
    }

    fn respond<T: Message + Serialize>(&self, answer: &T) -> Result<Response, TwirpError> {
        let (content_type, bytes) = if self.json {
            let bytes = serde_json::to_vec(answer)
                .map_err(|error| TwirpError::internal(error.to_string()))?;
            ("application/json", bytes)
        } else {
            ("application/protobuf", answer.encode_to_vec())
        };
        Ok(([(header::CONTENT_TYPE, content_type)], bytes).into_response())
    }

    fn needs(&self, right: bool, name: &str) -> Result<(), TwirpError> {
        if right {
            return Ok(());
        }
        let message = format!("permissions denied: the token does not grant {name}");
        Err(TwirpError::unauthenticated(message))
    }

    fn needs_admin(&self, room: &str) -> Result<(), TwirpError> {
        self.needs(self.grant.video.administers(room), "roomAdmin for this room")
    }

    /// The running meeting that the token may administer.
    async fn administered(&self, room: &str) -> Result<MeetingHandle, TwirpError> {
        self.needs_admin(room)?;
        let id = meeting_id(room)?;
        let meeting = self.state.conference.find(&id).ok_or_else(TwirpError::no_such_room)?;
        if let Some(identity) = self.grant.identity.clone() {
            // A participant that handed the meeting over, or was put out, rules it no more.
            let actor = Actor::Holder { identity, admin: true };
            meeting.execute(Command::Steer { actor, act: Act::Look }).await?;
        }
        Ok(meeting)
    }
}

fn meeting_id(name: &str) -> Result<MeetingId, TwirpError> {
    if name.is_empty() {
        return Err(TwirpError::invalid("no room name"));
    }
    MeetingId::parse(name).map_err(|error| TwirpError::invalid(error.to_string()))
}

/// Somebody in a meeting who is shown.
async fn find(meeting: &MeetingHandle, identity: &str) -> Result<ParticipantView, TwirpError> {
    let snapshot = meeting.snapshot().await.ok_or(ExecuteError::Over)?;
    let found = snapshot.participants.into_iter().find(|it| it.identity.as_str() == identity);
    found.ok_or_else(TwirpError::no_such_participant)
}

/// The sids that a request lists in both of its ways.
fn listed(tracks: Vec<String>, of: Vec<lk::ParticipantTracks>) -> Vec<String> {
    let nested = of.into_iter().flat_map(|it| it.track_sids);
    tracks.into_iter().chain(nested).take(MAX_LISTED).collect()
}

#[cfg(test)]
mod tests;
