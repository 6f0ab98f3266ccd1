//! Coming, changing and going.

use types::PeerId;

use crate::command::{Join, MemberChange, Refusal};
use crate::effect::{Effect, JoinSnapshot, LeaveReason, MediaEffect, Notice, Presence};
use crate::member::Member;
use crate::room::Room;

impl Room {
    pub(crate) fn join(&mut self, join: Join) -> Result<(), Refusal> {
        let (peer, max) = (join.peer, self.settings.max_participants);
        let earlier =
            self.members.values().find(|it| it.identity == join.identity).map(|it| it.peer);
        let staying = self.members.len() - usize::from(earlier.is_some());
        if staying >= max as usize {
            return Err(Refusal::MeetingFull { max });
        }
        let member = Member::new(join)?;
        if let Some(earlier) = earlier {
            self.put_out(earlier, LeaveReason::Replaced);
        }
        let others = self.participants();
        self.members.insert(peer, member);
        let me = self.member(peer)?.view();
        let snapshot = JoinSnapshot { meeting: self.view(), me, others };
        self.tell(peer, Notice::Joined(Box::new(snapshot)));
        self.announce(peer);
        self.subscribe_to_all(peer);
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
        member.change(change)?;
        self.announce(peer);
        Ok(())
    }

    /// Ends a participant's presence, whatever the reason.
    pub(crate) fn put_out(&mut self, peer: PeerId, reason: LeaveReason) {
        let Some(mut member) = self.members.remove(&peer) else { return };
        self.speaker.take_if(|it| it.peer == peer);
        let tracks: Vec<_> = member.tracks.iter().map(|it| it.id).collect();
        for other in self.members.values_mut() {
            other.subscriptions.retain(|track, _| !tracks.contains(track));
        }
        self.effects.push(Effect::Tell { to: peer, notice: Notice::Left(reason) });
        self.effects
            .extend(tracks.into_iter().map(|track| Effect::Media(MediaEffect::Unpublish(track))));
        self.effects.push(Effect::Media(MediaEffect::ClosePeer(peer)));
        if !member.permissions.hidden {
            member.presence = Presence::Disconnected(reason);
            member.version += 1;
            member.tracks.clear();
            self.tell_all(&Notice::Participants(vec![member.view()]));
        }
    }
}
