//! Coming, changing and going.

use std::collections::BTreeMap;
use std::time::Instant;

use types::{ParticipantKind, PeerId};

use crate::command::{Join, MemberChange, Refusal};
use crate::effect::{Effect, JoinSnapshot, LeaveReason, MediaEffect, Notice, Presence};
use crate::lobby::Standing;
use crate::member::Member;
use crate::role::{ROLE_ATTRIBUTE, Role};
use crate::room::Room;

impl Room {
    pub(crate) fn join(&mut self, join: Join, now: Instant) -> Result<(), Refusal> {
        let (peer, max) = (join.peer, self.settings.max_participants);
        let identity = join.identity.clone();
        self.check_removed(&identity)?;
        if self.settings.e2ee && join.kind == ParticipantKind::Sip {
            return Err(Refusal::NotEncrypted);
        }
        let role = self.memory.role(&identity).unwrap_or(join.role);
        let earlier = self.members.values().find(|it| it.identity == identity).map(|it| it.peer);
        if earlier.is_none() && !join.invited && self.has_to_wait(&identity, role) {
            return Err(Refusal::HasToWait);
        }
        let staying = self.members.len() - usize::from(earlier.is_some());
        if staying >= max as usize {
            return Err(Refusal::MeetingFull { max });
        }
        let member = Member::new(join, role, self.live.attendees_listen, now)?;
        if let Some(earlier) = earlier {
            self.put_out(earlier, LeaveReason::Replaced);
        }
        let others = self.participants();
        self.members.insert(peer, member);
        self.memory.set_standing(&identity, Standing::Admitted);
        let me = self.member(peer)?.view();
        let snapshot = JoinSnapshot { meeting: self.view(), me, others };
        self.tell(peer, Notice::Joined(Box::new(snapshot)));
        self.announce(peer);
        self.subscribe_to_all(peer);
        self.stop_waiting(&identity);
        if role == Role::Host {
            self.tell_lobby();
        }
        Ok(())
    }

    pub(crate) fn connected(&mut self, peer: PeerId) -> Result<(), Refusal> {
        let member = self.member(peer)?;
        if member.presence != Presence::Active {
            member.presence = Presence::Active;
            self.announce(peer);
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self, peer: PeerId, reason: LeaveReason) -> Result<(), Refusal> {
        self.member(peer)?;
        self.put_out(peer, reason);
        Ok(())
    }

    pub(crate) fn change_own(&mut self, peer: PeerId, change: MemberChange) -> Result<(), Refusal> {
        let member = self.member(peer)?;
        if !member.permissions.update_own {
            return Err(Refusal::NotAllowed("change its own name, metadata or attributes"));
        }
        check_role(&change, member)?;
        member.change(change)?;
        self.announce(peer);
        Ok(())
    }

    /// Ends a participant's presence, whatever the reason.
    pub(crate) fn put_out(&mut self, peer: PeerId, reason: LeaveReason) {
        self.end_presence(peer, reason, MediaEffect::ClosePeer(peer));
    }

    /// Its presence ends, and its connection may wait outside.
    pub(crate) fn move_out(&mut self, peer: PeerId) {
        self.end_presence(peer, LeaveReason::MovedToLobby, MediaEffect::MoveOut(peer));
    }

    fn end_presence(&mut self, peer: PeerId, reason: LeaveReason, connection: MediaEffect) {
        let Some(mut member) = self.members.remove(&peer) else { return };
        self.speaker.take_if(|it| it.peer == peer);
        let tracks: Vec<_> = member.tracks.iter().map(|it| it.id).collect();
        for other in self.members.values_mut() {
            other.subscriptions.retain(|track, _| !tracks.contains(track));
        }
        self.effects.push(Effect::Tell { to: peer, notice: Notice::Left(reason) });
        self.effects
            .extend(tracks.into_iter().map(|track| Effect::Media(MediaEffect::Unpublish(track))));
        self.effects.push(Effect::Media(connection));
        if !member.permissions.hidden {
            member.presence = Presence::Disconnected(reason);
            member.version += 1;
            member.tracks.clear();
            self.tell_all(&Notice::Participants([member.view()].into()));
        }
    }
}

/// Roles are given by hosts alone. Clients may repeat what they read.
pub(crate) fn check_role(change: &MemberChange, member: &Member) -> Result<(), Refusal> {
    let shown = |attributes: &BTreeMap<String, String>| {
        attributes.get(ROLE_ATTRIBUTE).filter(|it| !it.is_empty()).cloned()
    };
    let changes = change.attributes.contains_key(ROLE_ATTRIBUTE)
        && shown(&change.attributes) != shown(&member.attributes);
    if changes {
        return Err(Refusal::NotAllowed("change a role by an attribute"));
    }
    Ok(())
}
