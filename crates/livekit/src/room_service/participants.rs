//! What concerns one participant.

use std::collections::BTreeMap;

use axum::response::Response;
use conference::ExecuteError;
use livekit_protocol as lk;
use room::{Command, LeaveReason, MemberChange, Permissions};
use types::{Identity, TrackSid, TrackSource};

use super::error::TwirpError;
use super::{Call, find, listed, meeting_id};
use crate::outward;

impl Call {
    /// A room that does not run has nobody in it: so says LiveKit.
    pub(super) async fn list_participants(&self) -> Result<Response, TwirpError> {
        let request: lk::ListParticipantsRequest = self.request()?;
        self.needs_admin(&request.room)?;
        let id = meeting_id(&request.room)?;
        let participants = match self.state.conference.find(&id) {
            Some(meeting) => meeting.snapshot().await.map(|it| it.participants),
            None => None,
        };
        let participants = participants.iter().flatten().map(outward::participant).collect();
        self.respond(&lk::ListParticipantsResponse { participants })
    }

    pub(super) async fn participant(&self) -> Result<Response, TwirpError> {
        let request: lk::RoomParticipantIdentity = self.request()?;
        let meeting = self.administered(&request.room).await?;
        let view = find(&meeting, &request.identity).await?;
        self.respond(&outward::participant(&view))
    }

    /// Puts somebody out. It may come back, unless its tokens are revoked.
    pub(super) async fn remove_participant(&self) -> Result<Response, TwirpError> {
        let request: lk::RoomParticipantIdentity = self.request()?;
        let meeting = self.administered(&request.room).await?;
        let identity = Identity::new(request.identity);
        if request.revoke_token_ts > 0 {
            let meeting = meeting.id().clone();
            self.state.revoked.revoke(meeting, identity.clone(), request.revoke_token_ts);
        }
        meeting.execute(Command::Remove { identity, reason: LeaveReason::Removed }).await?;
        self.respond(&lk::RemoveParticipantResponse {})
    }

    pub(super) async fn mute_track(&self) -> Result<Response, TwirpError> {
        let request: lk::MuteRoomTrackRequest = self.request()?;
        let meeting = self.administered(&request.room).await?;
        let track = TrackSid::new(request.track_sid.clone());
        let identity = Identity::new(request.identity.clone());
        meeting.execute(Command::MuteTrack { identity, track, muted: request.muted }).await?;
        let view = find(&meeting, &request.identity).await?;
        let track = view.tracks.iter().find(|it| it.sid.as_str() == request.track_sid);
        self.respond(&lk::MuteRoomTrackResponse { track: track.map(outward::track_info) })
    }

    pub(super) async fn update_participant(&self) -> Result<Response, TwirpError> {
        let request: lk::UpdateParticipantRequest = self.request()?;
        let meeting = self.administered(&request.room).await?;
        let before = find(&meeting, &request.identity).await?;
        let text = |text: String| (!text.is_empty()).then_some(text);
        let attributes: BTreeMap<_, _> = request.attributes.into_iter().collect();
        let change =
            MemberChange { name: text(request.name), metadata: text(request.metadata), attributes };
        // Who is a host stays one: LiveKit has no word for roles.
        let permissions = request.permission.map(|it| permissions(&it));
        let identity = Identity::new(request.identity.clone());
        meeting.execute(Command::UpdateMember { identity, change, permissions }).await?;
        // Who is hidden from now on is in no roster any more.
        match find(&meeting, &request.identity).await {
            Ok(view) => self.respond(&outward::participant(&view)),
            Err(_) => self.respond(&outward::participant(&before)),
        }
    }

    /// Has a participant take tracks, or drop them. Tracks that are not there are passed over.
    pub(super) async fn update_subscriptions(&self) -> Result<Response, TwirpError> {
        let request: lk::UpdateSubscriptionsRequest = self.request()?;
        let meeting = self.administered(&request.room).await?;
        let peer = find(&meeting, &request.identity).await?.peer;
        let tracks = listed(request.track_sids, request.participant_tracks);
        let tracks = tracks.into_iter().map(TrackSid::new).collect();
        let subscribe = request.subscribe;
        meeting.execute(Command::Subscribe { peer, tracks, subscribe }).await?;
        self.respond(&lk::UpdateSubscriptionsResponse {})
    }

    pub(super) fn forward_participant(&self) -> Result<Response, TwirpError> {
        let request: lk::ForwardParticipantRequest = self.request()?;
        self.elsewhere(&request.room, &request.destination_room)?;
        Err(TwirpError::unimplemented(
            "this server forwards nobody into a second room: let the client join that too, or call \
             a room system into it",
        ))
    }

    pub(super) fn move_participant(&self) -> Result<Response, TwirpError> {
        let request: lk::MoveParticipantRequest = self.request()?;
        self.elsewhere(&request.room, &request.destination_room)?;
        Err(TwirpError::unimplemented(
            "this server moves nobody between rooms: a connection stays in the room that it was \
             made for; give the client a token for the other room",
        ))
    }

    /// What both of the above ask of a request, whatever comes then.
    fn elsewhere(&self, room: &str, destination: &str) -> Result<(), TwirpError> {
        self.needs_admin(room)?;
        let granted = self.grant.video.destination_room.as_deref();
        self.needs(granted == Some(destination), "destinationRoom for that room")?;
        if room == destination {
            return Err(TwirpError::invalid("destination room cannot be the same as source room"));
        }
        meeting_id(destination)?;
        let meeting = self.state.conference.find(&meeting_id(room)?);
        meeting.map(drop).ok_or_else(|| ExecuteError::Over.into())
    }
}

fn permissions(permission: &lk::ParticipantPermission) -> Permissions {
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
    }
}
