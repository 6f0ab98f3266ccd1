//! LiveKit's RoomService over Twirp, protobuf or JSON.

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use conference::access::{CreateError, Grant, MeetingSettings};
use conference::{ExecuteError, MeetingHandle};
use livekit_protocol as lk;
use prost::Message;
use room::{Command, DataKind, LeaveReason, MemberChange, Permissions, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::{Identity, MeetingId, TrackSid, TrackSource};

use crate::Shared;
use crate::access;
use crate::outward;

/// A Twirp error: its code, and what went wrong.
#[derive(Debug)]
struct TwirpError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl TwirpError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    fn denied(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_denied", message)
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", message)
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
            ExecuteError::Refused(_) | ExecuteError::Over => Self::not_found(message),
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
    let headers = request.headers();
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let json = match content_type.map(|it| it.split(';').next().unwrap_or(it).trim()) {
        Some("application/json") => true,
        Some("application/protobuf") => false,
        _ => {
            let message = "the content type is application/json or application/protobuf";
            return TwirpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_route", message)
                .into_response();
        }
    };
    let grant = access::token(None, headers)
        .and_then(|token| Ok(state.keys.verify(token, SystemTime::now())?));
    let grant = match grant {
        Ok(grant) => grant,
        Err(error) => {
            let message = error.to_string();
            return TwirpError::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
                .into_response();
        }
    };
    // Only now: a stranger's body is not read.
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) => {
            metrics::counter!("plenum_livekit_malformed_total").increment(1);
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => "resource_exhausted",
                _ => "malformed",
            };
            return TwirpError::new(rejection.status(), code, rejection.body_text())
                .into_response();
        }
    };
    let call = Call { state, grant, json, body };
    let answered = match method.as_str() {
        "CreateRoom" => call.create_room().await,
        "ListRooms" => call.list_rooms().await,
        "DeleteRoom" => call.delete_room().await,
        "ListParticipants" => call.list_participants().await,
        "GetParticipant" => call.participant().await,
        "RemoveParticipant" => call.remove_participant().await,
        "MutePublishedTrack" => call.mute_track().await,
        "UpdateParticipant" => call.update_participant().await,
        "SendData" => call.send_data().await,
        "UpdateRoomMetadata" => call.update_room_metadata().await,
        _ => Err(TwirpError::new(
            StatusCode::NOT_FOUND,
            "bad_route",
            format!("RoomService has no method {method} on this server"),
        )),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

impl Call {
    fn request<T: Message + Default + DeserializeOwned>(&self) -> Result<T, TwirpError> {
        let read = if self.json {
            serde_json::from_slice(&self.body).map_err(|error| error.to_string())
        } else {
            T::decode(self.body.clone()).map_err(|error| error.to_string())
        };
        read.map_err(|why| {
            metrics::counter!("plenum_livekit_malformed_total").increment(1);
            TwirpError::new(StatusCode::BAD_REQUEST, "malformed", why)
        })
    }

    fn respond<T: Message + Serialize>(&self, answer: &T) -> Result<Response, TwirpError> {
        let (content_type, bytes) = if self.json {
            let bytes = serde_json::to_vec(answer).map_err(|error| {
                let message = error.to_string();
                TwirpError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            })?;
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
        Err(TwirpError::denied(&format!("the token does not grant {name}")))
    }

    /// The running meeting that the token may administer.
    fn administered(&self, room: &str) -> Result<MeetingHandle, TwirpError> {
        let administers = self.grant.video.administers(room);
        self.needs(administers, "roomAdmin for this room")?;
        let id = meeting_id(room)?;
        let meeting = self.state.conference.find(&id);
        meeting.ok_or_else(|| TwirpError::not_found("requested room does not exist"))
    }

    async fn create_room(&self) -> Result<Response, TwirpError> {
        self.needs(self.grant.video.room_create, "roomCreate")?;
        let request: lk::CreateRoomRequest = self.request()?;
        let id = meeting_id(&request.name)?;
        let conference = &self.state.conference;
        let mut settings = MeetingSettings::open(id.clone());
        if request.max_participants > 0 {
            settings.max_participants = request.max_participants;
        }
        match conference.directory().create(settings) {
            Ok(()) | Err(CreateError::Exists(_)) => {}
            Err(error @ CreateError::Full(_)) => {
                let message = error.to_string();
                return Err(TwirpError::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "resource_exhausted",
                    message,
                ));
            }
        }
        let meeting =
            conference.open(&id).map_err(|error| TwirpError::not_found(error.to_string()))?;
        if !request.metadata.is_empty() {
            meeting.execute(Command::SetMetadata(request.metadata)).await?;
        }
        let snapshot = meeting.snapshot().await.ok_or(ExecuteError::Over)?;
        self.respond(&outward::room(&snapshot.meeting))
    }

    async fn list_rooms(&self) -> Result<Response, TwirpError> {
        self.needs(self.grant.video.room_list, "roomList")?;
        let request: lk::ListRoomsRequest = self.request()?;
        let snapshots = self.state.conference.snapshots().await;
        let rooms = snapshots
            .iter()
            .filter(|it| request.names.is_empty() || request.names.contains(&it.meeting.id))
            .map(|it| outward::room(&it.meeting))
            .collect();
        self.respond(&lk::ListRoomsResponse { rooms })
    }

    async fn delete_room(&self) -> Result<Response, TwirpError> {
        self.needs(self.grant.video.room_create, "roomCreate")?;
        let request: lk::DeleteRoomRequest = self.request()?;
        let id = meeting_id(&request.room)?;
        let conference = &self.state.conference;
        let created = conference.directory().remove(&id);
        match conference.find(&id) {
            Some(meeting) => meeting.execute(Command::End(LeaveReason::MeetingEnded)).await?,
            None if created => {}
            None => return Err(TwirpError::not_found("requested room does not exist")),
        }
        self.respond(&lk::DeleteRoomResponse {})
    }

    async fn list_participants(&self) -> Result<Response, TwirpError> {
        let request: lk::ListParticipantsRequest = self.request()?;
        let meeting = self.administered(&request.room)?;
        let snapshot = meeting.snapshot().await.ok_or(ExecuteError::Over)?;
        let participants = snapshot.participants.iter().map(outward::participant).collect();
        self.respond(&lk::ListParticipantsResponse { participants })
    }

    async fn participant(&self) -> Result<Response, TwirpError> {
        let request: lk::RoomParticipantIdentity = self.request()?;
        let meeting = self.administered(&request.room)?;
        let info = find(&meeting, &request.identity).await?;
        self.respond(&info)
    }

    async fn remove_participant(&self) -> Result<Response, TwirpError> {
        let request: lk::RoomParticipantIdentity = self.request()?;
        let meeting = self.administered(&request.room)?;
        let identity = Identity::new(request.identity);
        meeting.execute(Command::Remove { identity, reason: LeaveReason::Removed }).await?;
        self.respond(&lk::RemoveParticipantResponse {})
    }

    async fn mute_track(&self) -> Result<Response, TwirpError> {
        let request: lk::MuteRoomTrackRequest = self.request()?;
        let meeting = self.administered(&request.room)?;
        let track = TrackSid::new(request.track_sid.clone());
        let identity = Identity::new(request.identity.clone());
        meeting.execute(Command::MuteTrack { identity, track, muted: request.muted }).await?;
        let info = find(&meeting, &request.identity).await?;
        let track = info.tracks.into_iter().find(|it| it.sid == request.track_sid);
        self.respond(&lk::MuteRoomTrackResponse { track })
    }

    async fn update_participant(&self) -> Result<Response, TwirpError> {
        let request: lk::UpdateParticipantRequest = self.request()?;
        let meeting = self.administered(&request.room)?;
        let text = |text: String| (!text.is_empty()).then_some(text);
        let attributes: BTreeMap<_, _> = request.attributes.into_iter().collect();
        let change =
            MemberChange { name: text(request.name), metadata: text(request.metadata), attributes };
        let command = Command::UpdateMember {
            identity: Identity::new(request.identity.clone()),
            change,
            permissions: request.permission.map(permissions),
        };
        meeting.execute(command).await?;
        let info = find(&meeting, &request.identity).await?;
        self.respond(&info)
    }

    async fn send_data(&self) -> Result<Response, TwirpError> {
        let request: lk::SendDataRequest = self.request()?;
        let meeting = self.administered(&request.room)?;
        let lossy = request.kind == lk::data_packet::Kind::Lossy as i32;
        let kind = if lossy { DataKind::Lossy } else { DataKind::Reliable };
        let destinations: Vec<Identity> =
            request.destination_identities.iter().map(Identity::new).collect();
        let user =
            lk::UserPacket { payload: request.data, topic: request.topic, ..Default::default() };
        let packet = lk::DataPacket {
            destination_identities: request.destination_identities,
            value: Some(lk::data_packet::Value::User(user)),
            ..Default::default()
        };
        let message = packet.encode_to_vec().into();
        meeting.execute(Command::ServerData { kind, destinations, message }).await?;
        self.respond(&lk::SendDataResponse {})
    }

    async fn update_room_metadata(&self) -> Result<Response, TwirpError> {
        let request: lk::UpdateRoomMetadataRequest = self.request()?;
        let meeting = self.administered(&request.room)?;
        meeting.execute(Command::SetMetadata(request.metadata)).await?;
        let snapshot = meeting.snapshot().await.ok_or(ExecuteError::Over)?;
        self.respond(&outward::room(&snapshot.meeting))
    }
}

fn meeting_id(name: &str) -> Result<MeetingId, TwirpError> {
    MeetingId::parse(name).map_err(|error| TwirpError::invalid(error.to_string()))
}

async fn find(meeting: &MeetingHandle, identity: &str) -> Result<lk::ParticipantInfo, TwirpError> {
    let snapshot = meeting.snapshot().await.ok_or(ExecuteError::Over)?;
    snapshot
        .participants
        .iter()
        .find(|it| it.identity.as_str() == identity)
        .map(outward::participant)
        .ok_or_else(|| TwirpError::not_found("participant does not exist"))
}

fn permissions(permission: lk::ParticipantPermission) -> Permissions {
    let source = |number: &i32| match lk::TrackSource::try_from(*number) {
        Ok(lk::TrackSource::Camera) => TrackSource::Camera,
        Ok(lk::TrackSource::Microphone) => TrackSource::Microphone,
        Ok(lk::TrackSource::ScreenShare) => TrackSource::ScreenShare,
        Ok(lk::TrackSource::ScreenShareAudio) => TrackSource::ScreenShareAudio,
        Ok(lk::TrackSource::Unknown) | Err(_) => TrackSource::Unknown,
    };
    Permissions {
        publish: permission.can_publish,
        subscribe: permission.can_subscribe,
        publish_data: permission.can_publish_data,
        update_own: permission.can_update_metadata,
        sources: permission.can_publish_sources.iter().map(source).collect(),
        hidden: permission.hidden,
        host: false,
    }
}
