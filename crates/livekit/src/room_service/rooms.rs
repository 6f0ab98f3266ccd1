//! What concerns a whole room.

use std::time::Duration;

use axum::response::Response;
use conference::access::token::MAX_METADATA_BYTES;
use conference::access::{CreateError, MeetingSettings};
use conference::{ExecuteError, Linger, MeetingHandle};
use livekit_protocol as lk;
use prost::Message;
use room::{Command, DataKind, LeaveReason};
use types::{Identity, MeetingId};

use super::error::TwirpError;
use super::{Call, MAX_LISTED, meeting_id};
use crate::outward;

/// LiveKit's own time for a room that was made and that nobody has come to yet.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes of a nonce: a UUID.
const NONCE: usize = 16;

impl Call {
    /// Makes a room, or changes the time that one goes on without anybody, and its metadata.
    /// `node_id` and the playout delays are hints that mean nothing here: there is one node, and
    /// nothing is delayed for anybody.
    pub(super) async fn create_room(&self) -> Result<Response, TwirpError> {
        self.needs(self.grant.video.room_create, "roomCreate")?;
        let request: lk::CreateRoomRequest = self.request()?;
        let id = meeting_id(&request.name)?;
        check_metadata(&request.metadata)?;
        refuse_unknown(&request)?;
        let conference = &self.state.conference;
        let mut settings = MeetingSettings::open(id.clone());
        if request.max_participants > 0 {
            settings.max_participants = request.max_participants;
        }
        let runs = conference.find(&id).is_some();
        match conference.create(settings) {
            Ok(()) | Err(CreateError::Exists(_)) => {}
            Err(error @ CreateError::Full(_)) => {
                return Err(TwirpError::exhausted(error.to_string()));
            }
        }
        let meeting =
            conference.open(&id).map_err(|error| TwirpError::not_found(error.to_string()))?;
        let given = |seconds: u32| (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        let before = match runs {
            true => meeting.snapshot().await.ok_or(ExecuteError::Over)?.linger,
            false => Linger { empty: EMPTY_TIMEOUT, ..Linger::default() },
        };
        meeting.set_linger(Linger {
            empty: given(request.empty_timeout).unwrap_or(before.empty),
            departed: given(request.departure_timeout).unwrap_or(before.departed),
        });
        if !request.metadata.is_empty() {
            meeting.execute(Command::SetMetadata(request.metadata)).await?;
        }
        self.respond_room(&meeting).await
    }

    pub(super) async fn list_rooms(&self) -> Result<Response, TwirpError> {
        self.needs(self.grant.video.room_list, "roomList")?;
        let request: lk::ListRoomsRequest = self.request()?;
        let wanted: Vec<MeetingId> =
            request.names.iter().filter_map(|it| MeetingId::parse(it).ok()).collect();
        let listed = |id: &str| {
            request.names.is_empty() || wanted.iter().any(|wanted| wanted.as_str() == id)
        };
        let snapshots = self.state.conference.snapshots().await;
        let shown = snapshots.iter().filter(|it| listed(&it.meeting.id));
        let rooms = shown.map(outward::room_of).collect();
        self.respond(&lk::ListRoomsResponse { rooms })
    }

    pub(super) async fn delete_room(&self) -> Result<Response, TwirpError> {
        self.needs(self.grant.video.room_create, "roomCreate")?;
        let request: lk::DeleteRoomRequest = self.request()?;
        let id = meeting_id(&request.room)?;
        let conference = &self.state.conference;
        let created = conference.directory().remove(&id);
        let Some(meeting) = conference.find(&id) else {
            return match created {
                true => self.respond(&lk::DeleteRoomResponse {}),
                false => Err(TwirpError::no_such_room()),
            };
        };
        match meeting.execute(Command::End(LeaveReason::MeetingEnded)).await {
            // It ended by itself meanwhile.
            Ok(()) | Err(ExecuteError::Over) => self.respond(&lk::DeleteRoomResponse {}),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn update_room_metadata(&self) -> Result<Response, TwirpError> {
        let request: lk::UpdateRoomMetadataRequest = self.request()?;
        let meeting = self.administered(&request.room).await?;
        check_metadata(&request.metadata)?;
        meeting.execute(Command::SetMetadata(request.metadata)).await?;
        self.respond_room(&meeting).await
    }

    pub(super) async fn send_data(&self) -> Result<Response, TwirpError> {
        let request: lk::SendDataRequest = self.request()?;
        let meeting = self.administered(&request.room).await?;
        if !matches!(request.nonce.len(), 0 | NONCE) {
            let message = format!("a nonce has {NONCE} bytes, this one {}", request.nonce.len());
            return Err(TwirpError::invalid(message));
        }
        let lossy = request.kind == lk::data_packet::Kind::Lossy as i32;
        let kind = if lossy { DataKind::Lossy } else { DataKind::Reliable };
        let destinations = destinations(&meeting, &request).await?;
        // Those that were named are gone: a message to nobody is not one to all.
        if destinations.as_ref().is_some_and(Vec::is_empty) {
            return self.respond(&lk::SendDataResponse {});
        }
        let destinations = destinations.unwrap_or_default();
        let user = lk::UserPacket {
            payload: request.data,
            topic: request.topic,
            nonce: request.nonce,
            ..Default::default()
        };
        let packet = lk::DataPacket {
            destination_identities: destinations.iter().map(ToString::to_string).collect(),
            value: Some(lk::data_packet::Value::User(user)),
            ..Default::default()
        };
        let message = packet.encode_to_vec().into();
        meeting.execute(Command::ServerData { kind, destinations, message }).await?;
        self.respond(&lk::SendDataResponse {})
    }

    async fn respond_room(&self, meeting: &MeetingHandle) -> Result<Response, TwirpError> {
        let snapshot = meeting.snapshot().await.ok_or(ExecuteError::Over)?;
        self.respond(&outward::room_of(&snapshot))
    }
}

/// What would be asked for in vain.
fn refuse_unknown(request: &lk::CreateRoomRequest) -> Result<(), TwirpError> {
    for (asked, what) in [
        (request.egress.is_some(), "egress: this server has no egress"),
        (!request.agents.is_empty(), "agents: this server dispatches no agents"),
        (request.replay_enabled, "replay_enabled: this server replays nothing"),
        (!request.room_preset.is_empty(), "room_preset: this server has no presets"),
    ] {
        if asked {
            return Err(TwirpError::unimplemented(what));
        }
    }
    Ok(())
}

fn check_metadata(metadata: &str) -> Result<(), TwirpError> {
    if metadata.len() <= MAX_METADATA_BYTES {
        return Ok(());
    }
    let message =
        format!("metadata size exceeds limits: it has at most {MAX_METADATA_BYTES} bytes");
    Err(TwirpError::invalid(message))
}

/// Who is to get a message, by name or by sid; `None`: everybody.
async fn destinations(
    meeting: &MeetingHandle,
    request: &lk::SendDataRequest,
) -> Result<Option<Vec<Identity>>, TwirpError> {
    #[allow(deprecated, reason = "older applications name the receivers by their sids")]
    let sids = &request.destination_sids;
    if request.destination_identities.is_empty() && sids.is_empty() {
        return Ok(None);
    }
    let named = request.destination_identities.iter().take(MAX_LISTED).map(Identity::new);
    let mut destinations: Vec<Identity> = named.collect();
    if !sids.is_empty() {
        let snapshot = meeting.snapshot().await.ok_or(ExecuteError::Over)?;
        let meant = snapshot.participants.into_iter();
        let meant = meant.filter(|it| sids.iter().any(|sid| sid == it.sid.as_str()));
        destinations.extend(meant.map(|it| it.identity));
    }
    Ok(Some(destinations))
}
