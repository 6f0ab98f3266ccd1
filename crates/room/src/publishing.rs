//! Tracks and their publishers.

use types::{ParticipantKind, PeerId, TrackId, TrackSid};

use crate::command::{PublishRequest, Refusal, TrackChange};
use crate::effect::{Effect, MediaEffect, Notice};
use crate::member::Track;
use crate::room::Room;

/// Camera, microphone, screen with sound, some of each for switching, and data beside.
const MAX_TRACKS: usize = 16;

impl Room {
    pub(crate) fn publish(&mut self, peer: PeerId, request: PublishRequest) -> Result<(), Refusal> {
        let member = self.member(peer)?;
        let permissions = &member.permissions;
        if !permissions.publish {
            return Err(Refusal::NotAllowed("publish"));
        }
        if !permissions.sources.is_empty() && !permissions.sources.contains(&request.info.source) {
            return Err(Refusal::NotAllowed("publish this source"));
        }
        if member.tracks.len() >= MAX_TRACKS {
            return Err(Refusal::TooManyTracks { max: MAX_TRACKS });
        }
        let (track, kind, info) = (request.id, request.kind, request.info.clone());
        let (cid, cids) = (request.cid.clone(), vec![request.cid.clone()]);
        let published = Track::new(request, false);
        let view = published.view();
        member.tracks.push(published);
        self.tell(peer, Notice::TrackPublished { cid, track: view });
        let effect = MediaEffect::Publish { peer, track, cids, kind, info };
        self.effects.push(Effect::Media(effect));
        Ok(())
    }

    pub(crate) fn track_bound(&mut self, track: TrackId, mid: String) -> Result<(), Refusal> {
        let Some((publisher, bound)) = self.owner_of(track) else { return Ok(()) };
        bound.mid = Some(mid);
        self.announce(publisher);
        let receivers: Vec<PeerId> = self
            .members
            .values()
            .filter(|it| it.peer != publisher && it.auto_subscribe)
            .map(|it| it.peer)
            .collect();
        for receiver in receivers {
            self.start_subscription(receiver, track);
        }
        Ok(())
    }

    pub(crate) fn track_flows(&mut self, track: TrackId, mime: String) -> Result<(), Refusal> {
        let Some((publisher, flowing)) = self.owner_of(track) else { return Ok(()) };
        if !flowing.info.mime.eq_ignore_ascii_case(&mime) {
            flowing.info.mime = mime;
            self.announce(publisher);
        }
        Ok(())
    }

    pub(crate) fn unpublish(&mut self, peer: PeerId, sid: &TrackSid) -> Result<(), Refusal> {
        let member = self.member(peer)?;
        let track = member.track(sid)?.id;
        member.tracks.retain(|it| it.id != track);
        for other in self.members.values_mut() {
            other.subscriptions.remove(&track);
        }
        self.effects.push(Effect::Media(MediaEffect::Unpublish(track)));
        self.announce(peer);
        Ok(())
    }

    pub(crate) fn change_track(
        &mut self,
        peer: PeerId,
        sid: &TrackSid,
        change: TrackChange,
    ) -> Result<(), Refusal> {
        let member = self.member(peer)?;
        let kind = member.kind;
        let track = member.track(sid)?;
        match change {
            // A room system's negotiation says what it sends, held or not; the gate stays closed.
            TrackChange::Muted(false) if track.held && kind != ParticipantKind::Sip => {
                return Err(Refusal::NotAllowed("unmute what a host has muted"));
            }
            TrackChange::Muted(muted) if track.muted == muted => return Ok(()),
            TrackChange::Muted(muted) => track.muted = muted,
            TrackChange::Size { width, height } => {
                (track.info.width, track.info.height) = (width, height);
            }
        }
        self.announce(peer);
        Ok(())
    }
}
