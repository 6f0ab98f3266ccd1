//! Tracks and their publishers.

use std::time::Instant;

use types::{ParticipantKind, PeerId, TrackId, TrackSid};

use crate::command::{PublishRequest, Refusal, TrackChange};
use crate::effect::{Effect, MediaEffect, Notice};
use crate::member::{Hold, Track};
use crate::room::Room;

/// Camera, microphone, screen with sound, some of each for switching, and data beside.
const MAX_TRACKS: usize = 16;

impl Room {
    pub(crate) fn publish(
        &mut self,
        peer: PeerId,
        request: PublishRequest,
        now: Instant,
    ) -> Result<(), Refusal> {
        let hold = self.hold_at_first(peer, request.info.source, now);
        let e2ee = self.settings.e2ee;
        let member = self.member(peer)?;
        let permissions = &member.permissions;
        if e2ee && request.info.encryption == 0 {
            return Err(Refusal::NotEncrypted);
        }
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
        let sid = request.sid.clone();
        let published = Track::new(request, false);
        let view = published.view();
        member.tracks.push(published);
        self.tell(peer, Notice::TrackPublished { cid, track: view });
        let effect = MediaEffect::Publish { peer, track, cids, kind, info };
        self.effects.push(Effect::Media(effect));
        if hold != Hold::No {
            self.hold_track(peer, &sid, hold);
        }
        Ok(())
    }

    /// A client that is told of a mute before its track is set up passes it over.
    fn repeat_hold(&mut self, track: TrackId) {
        let Some((publisher, held)) = self.owner_of(track) else { return };
        if matches!(held.hold, Hold::Told | Hold::Firm) {
            let notice = Notice::TrackMuted { track: held.sid.clone(), muted: true };
            self.tell(publisher, notice);
        }
    }

    pub(crate) fn track_bound(&mut self, track: TrackId, mid: String) -> Result<(), Refusal> {
        let Some((publisher, bound)) = self.owner_of(track) else { return Ok(()) };
        bound.mid = Some(mid);
        self.repeat_hold(track);
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
        self.repeat_hold(track);
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
        let is_room = member.kind == ParticipantKind::Sip;
        let track = member.track(sid)?;
        let id = track.id;
        match change {
            // A room system's negotiation says what it sends, held or not; the gate stays closed.
            TrackChange::Muted(muted) if is_room || track.hold == Hold::No => {
                if std::mem::replace(&mut track.muted, muted) == muted {
                    return Ok(());
                }
            }
            TrackChange::Muted(true) => {
                if track.hold == Hold::Told {
                    track.hold = Hold::Muted;
                }
                return Ok(());
            }
            TrackChange::Muted(false) => match track.hold {
                Hold::Firm => return Err(Refusal::NotAllowed("unmute what a host has muted")),
                // The client has not heard of the mute yet.
                Hold::Told => {
                    let notice = Notice::TrackMuted { track: sid.clone(), muted: true };
                    self.tell(peer, notice);
                    return Ok(());
                }
                Hold::Muted | Hold::No => {
                    (track.hold, track.muted) = (Hold::No, false);
                    let gate = MediaEffect::SetGate { track: id, open: true };
                    self.effects.push(Effect::Media(gate));
                }
            },
            TrackChange::Size { width, height } => {
                (track.info.width, track.info.height) = (width, height);
            }
        }
        self.announce(peer);
        Ok(())
    }
}
