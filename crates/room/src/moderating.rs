//! What a host or the server does to others.

use types::{Identity, ParticipantKind, PeerId, TrackSid};

use crate::command::{MemberChange, Permissions, Refusal};
use crate::effect::{Effect, LeaveReason, MediaEffect, Notice};
use crate::member::Hold;
use crate::membership::check_role;
use crate::room::Room;

impl Room {
    /// A muted track's gate is closed whatever the client does. Unmuting opens the gate again. A
    /// person is then muted still, until it unmutes itself: nobody is unmuted by others. A room
    /// system knows nothing of the mute, so it is heard again.
    pub(crate) fn mute_track(
        &mut self,
        identity: &Identity,
        sid: &TrackSid,
        muted: bool,
    ) -> Result<(), Refusal> {
        let member = self.by_identity(identity)?;
        let (peer, kind) = (member.peer, member.kind);
        let track = member.track(sid)?;
        let hold = if muted { Hold::Firm } else { Hold::No };
        if track.hold == hold {
            return Ok(());
        }
        track.hold = hold;
        if muted && kind != ParticipantKind::Sip {
            track.muted = true;
        }
        let id = track.id;
        let effect = MediaEffect::SetGate { track: id, open: !muted };
        self.effects.push(Effect::Media(effect));
        if muted {
            self.tell(peer, Notice::TrackMuted { track: sid.clone(), muted });
        }
        self.announce(peer);
        Ok(())
    }

    pub(crate) fn remove(
        &mut self,
        identity: &Identity,
        reason: LeaveReason,
    ) -> Result<(), Refusal> {
        let peer = self.by_identity(identity)?.peer;
        self.put_out(peer, reason);
        Ok(())
    }

    pub(crate) fn update_member(
        &mut self,
        identity: &Identity,
        change: MemberChange,
        permissions: Option<Permissions>,
    ) -> Result<(), Refusal> {
        let member = self.by_identity(identity)?;
        check_role(&change, member)?;
        member.change(change)?;
        let peer = member.peer;
        if let Some(permissions) = permissions {
            member.granted = permissions;
            self.review_permissions(peer)?;
        }
        self.announce(peer);
        Ok(())
    }

    /// Brings what a participant may do, and does, in line with its token and its role. `true`: it
    /// is to be announced.
    pub(crate) fn review_permissions(&mut self, peer: PeerId) -> Result<bool, Refusal> {
        let listen = self.live.attendees_listen;
        let member = self.member(peer)?;
        let may = member.role.limit(&member.granted, listen);
        if std::mem::replace(&mut member.permissions, may.clone()) == may {
            return Ok(false);
        }
        let forbidden: Vec<TrackSid> = member
            .tracks
            .iter()
            .filter(|it| {
                !may.publish || (!may.sources.is_empty() && !may.sources.contains(&it.info.source))
            })
            .map(|it| it.sid.clone())
            .collect();
        for sid in forbidden {
            self.unpublish(peer, &sid)?;
            self.tell(peer, Notice::TrackUnpublished(sid));
        }
        if may.subscribe {
            self.subscribe_to_all(peer);
        } else {
            let dropped: Vec<_> = self.member(peer)?.subscriptions.drain().map(|it| it.0).collect();
            self.effects.extend(
                dropped
                    .into_iter()
                    .map(|track| Effect::Media(MediaEffect::Unsubscribe { peer, track })),
            );
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use types::{LegLayout, MediaKind, MeetingId, ParticipantSid, TrackId, TrackSource};

    use super::*;
    use crate::command::{Command, Join, PublishRequest, TrackChange};
    use crate::member::TrackInfo;
    use crate::role::Role;
    use crate::room::RoomSettings;
    use crate::steering::LiveSettings;

    const PEER: PeerId = PeerId(1);

    /// A meeting with one participant, who sends sound.
    fn meeting(kind: ParticipantKind) -> (Room, Identity, TrackSid) {
        let now = Instant::now();
        let settings = RoomSettings {
            id: MeetingId::parse("board").unwrap(),
            sid: "RM_1".to_owned(),
            max_participants: 10,
            e2ee: false,
            created_at_ms: 0,
            live: LiveSettings::default(),
        };
        let mut room = Room::new(settings, now);
        let identity = Identity::new("somebody");
        let join = Join {
            peer: PEER,
            sid: ParticipantSid::new("PA_1"),
            identity: identity.clone(),
            name: String::new(),
            kind,
            permissions: Permissions::default(),
            role: Role::default(),
            invited: false,
            metadata: String::new(),
            attributes: BTreeMap::new(),
            auto_subscribe: true,
            joined_at_ms: 0,
        };
        room.handle(Command::Join(join), now).unwrap();
        let sid = TrackSid::new("TR_1");
        let info = TrackInfo {
            name: "microphone".to_owned(),
            source: TrackSource::Microphone,
            mime: "audio/opus".to_owned(),
            width: 0,
            height: 0,
            layers: Vec::new(),
            stream: String::new(),
            dtx: false,
            stereo: false,
            red_disabled: true,
            encryption: 0,
        };
        let request = PublishRequest {
            id: TrackId(2),
            sid: sid.clone(),
            cid: "microphone".to_owned(),
            kind: MediaKind::Audio,
            info,
        };
        room.handle(Command::Connected(PEER), now).unwrap();
        room.handle(Command::Publish { peer: PEER, request }, now).unwrap();
        let bound = Command::TrackBound { track: TrackId(2), mid: "0".to_owned() };
        room.handle(bound, now).unwrap();
        (room, identity, sid)
    }

    fn mute(room: &mut Room, identity: &Identity, sid: &TrackSid, muted: bool) -> bool {
        let (identity, track) = (identity.clone(), sid.clone());
        room.handle(Command::MuteTrack { identity, track, muted }, Instant::now()).unwrap();
        is_muted(room)
    }

    fn is_muted(room: &Room) -> bool {
        room.participants().iter().flat_map(|it| &it.tracks).any(|it| it.muted)
    }

    fn change(room: &mut Room, sid: &TrackSid, muted: bool) -> Result<(), Refusal> {
        let change = TrackChange::Muted(muted);
        let command = Command::ChangeTrack { peer: PEER, track: sid.clone(), change };
        room.handle(command, Instant::now()).map(|_| ())
    }

    #[test]
    fn a_host_lifts_the_mute_of_a_room_system_and_never_that_of_a_person() {
        for (kind, still_muted) in
            [(ParticipantKind::Sip, false), (ParticipantKind::Standard, true)]
        {
            let (mut room, identity, sid) = meeting(kind);
            assert!(mute(&mut room, &identity, &sid, true));
            assert_eq!(mute(&mut room, &identity, &sid, false), still_muted, "{kind:?}");
        }
    }

    #[test]
    fn a_room_system_that_was_on_hold_while_muted_is_heard_when_both_are_over() {
        let (mut room, identity, sid) = meeting(ParticipantKind::Sip);
        mute(&mut room, &identity, &sid, true);
        change(&mut room, &sid, true).unwrap();
        change(&mut room, &sid, false).unwrap();
        assert!(is_muted(&room), "the host's mute stands");
        assert!(!mute(&mut room, &identity, &sid, false));
    }

    #[test]
    fn the_layout_of_a_room_system_is_one_that_there_is() {
        let (mut room, identity, _) = meeting(ParticipantKind::Sip);
        let mut set = |value: &str| {
            let attributes = BTreeMap::from([("sip.layout".to_owned(), value.to_owned())]);
            let change = MemberChange { attributes, ..MemberChange::default() };
            let identity = identity.clone();
            let command = Command::UpdateMember { identity, change, permissions: None };
            let done = room.handle(command, Instant::now()).map(|_| ());
            (done, room.participants()[0].layout())
        };
        assert_eq!(set("speaker"), (Ok(()), Some(LegLayout::Speaker)));
        let (done, layout) = set("tiles");
        let refusal = done.unwrap_err().to_string();
        assert_eq!(refusal, "`sip.layout` is no layout: give \"grid\" or \"speaker\"");
        assert_eq!(layout, Some(LegLayout::Speaker), "it stays as it is");
        assert!(set("").0.is_err(), "a room system always has one");
        assert_eq!(set("grid"), (Ok(()), Some(LegLayout::Grid)));
        let (room, ..) = meeting(ParticipantKind::Standard);
        assert_eq!(room.participants()[0].layout(), None, "a browser arranges its own");
    }

    #[test]
    fn a_person_cannot_unmute_what_a_host_has_muted() {
        let (mut room, identity, sid) = meeting(ParticipantKind::Standard);
        mute(&mut room, &identity, &sid, true);
        assert!(matches!(change(&mut room, &sid, false), Err(Refusal::NotAllowed(_))));
    }
}
