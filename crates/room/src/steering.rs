//! What hosts do: to the meeting, to its lobby, and to others in it.

use std::fmt;
use std::time::Instant;

use types::{Identity, ParticipantKind, PeerId, TrackSid, TrackSource};

use crate::command::{MemberChange, Refusal};
use crate::effect::{Effect, Fate, LeaveReason, MediaEffect, Notice};
use crate::lobby::Standing;
use crate::member::Hold;
use crate::role::Role;
use crate::room::Room;

/// Who wants to steer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The server, an administrator, or an application by its key.
    Server,
    /// Somebody with a token for this meeting. What it is in the meeting counts, or was when a host
    /// changed it last; the token's own right counts where neither says anything.
    Holder {
        /// Whose token.
        identity: Identity,
        /// Whether the token makes a host.
        admin: bool,
    },
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the server"),
            Self::Holder { identity, .. } => identity.fmt(f),
        }
    }
}

/// How the door and the microphones stand: what hosts change while a meeting runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// Whoever is no host waits until it is let in.
    pub lobby: bool,
    /// Nobody new comes in but hosts; who asks waits.
    pub locked: bool,
    /// Microphones of those who come in are muted.
    pub mute_on_entry: bool,
    /// Whether people whom a host has muted may unmute themselves.
    pub allow_unmute: bool,
    /// Attendees send nothing at all.
    pub attendees_listen: bool,
}

impl Default for LiveSettings {
    /// An open door, and nobody muted.
    fn default() -> Self {
        Self {
            lobby: false,
            locked: false,
            mute_on_entry: false,
            allow_unmute: true,
            attendees_listen: false,
        }
    }
}

/// A change of [`LiveSettings`]; `None` leaves as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveChange {
    /// See [`LiveSettings::lobby`].
    pub lobby: Option<bool>,
    /// See [`LiveSettings::locked`].
    pub locked: Option<bool>,
    /// See [`LiveSettings::mute_on_entry`].
    pub mute_on_entry: Option<bool>,
    /// See [`LiveSettings::allow_unmute`].
    pub allow_unmute: Option<bool>,
    /// See [`LiveSettings::attendees_listen`].
    pub attendees_listen: Option<bool>,
}

/// What of a participant is muted or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Its voice.
    Microphone,
    /// Its picture.
    Camera,
    /// The screen that it shares, with sound.
    Screen,
}

impl Medium {
    const fn sources(self) -> &'static [TrackSource] {
        match self {
            Self::Microphone => &[TrackSource::Microphone],
            Self::Camera => &[TrackSource::Camera],
            Self::Screen => &[TrackSource::ScreenShare, TrackSource::ScreenShareAudio],
        }
    }
}

/// What a person is asked for: it alone can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To unmute.
    Unmute,
    /// To start the camera.
    Camera,
}

/// What a host, or the server, does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Looks at the roster and the lobby: nothing changes.
    Look,
    /// Changes how the door and the microphones stand.
    SetLive(LiveChange),
    /// Lets one in who waits.
    Admit(Identity),
    /// Lets all in who wait.
    AdmitAll,
    /// Sends one away who waits.
    Refuse(Identity),
    /// Sends all away who wait.
    RefuseAll,
    /// Mutes or stops one, or lifts the mute of a room system.
    Mute {
        /// Whom.
        identity: Identity,
        /// What of it.
        medium: Medium,
        /// Muted, or no more.
        muted: bool,
    },
    /// Mutes everybody but hosts.
    MuteAll {
        /// Whether people may unmute themselves from now on; `None` leaves as it is.
        allow_unmute: Option<bool>,
    },
    /// Asks a person for something.
    Ask {
        /// Whom.
        identity: Identity,
        /// For what.
        what: Ask,
    },
    /// Renames somebody.
    Rename {
        /// Whom.
        identity: Identity,
        /// The new name.
        name: String,
    },
    /// Gives somebody a role: hands the meeting over, too.
    SetRole {
        /// Whom.
        identity: Identity,
        /// Which.
        role: Role,
    },
    /// Puts somebody out for as long as the meeting runs.
    Remove(Identity),
    /// Puts somebody back into the lobby.
    ToLobby {
        /// Whom.
        identity: Identity,
        /// When, in milliseconds since 1970.
        since_ms: i64,
    },
    /// Ends the meeting for all.
    End,
}

impl Act {
    /// Its name, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::SetLive(_) => "set_live",
            Self::Admit(_) => "admit",
            Self::AdmitAll => "admit_all",
            Self::Refuse(_) => "refuse",
            Self::RefuseAll => "refuse_all",
            Self::Mute { .. } => "mute",
            Self::MuteAll { .. } => "mute_all",
            Self::Ask { .. } => "ask",
            Self::Rename { .. } => "rename",
            Self::SetRole { .. } => "set_role",
            Self::Remove(_) => "remove",
            Self::ToLobby { .. } => "to_lobby",
            Self::End => "end",
        }
    }

    /// Whom it is done to, where it is one.
    pub const fn target(&self) -> Option<&Identity> {
        match self {
            Self::Admit(identity)
            | Self::Refuse(identity)
            | Self::Mute { identity, .. }
            | Self::Ask { identity, .. }
            | Self::Rename { identity, .. }
            | Self::SetRole { identity, .. }
            | Self::Remove(identity)
            | Self::ToLobby { identity, .. } => Some(identity),
            Self::Look
            | Self::SetLive(_)
            | Self::AdmitAll
            | Self::RefuseAll
            | Self::MuteAll { .. }
            | Self::End => None,
        }
    }
}

impl Room {
    pub(crate) fn steer(&mut self, actor: &Actor, act: Act, now: Instant) -> Result<(), Refusal> {
        if !self.may_steer(actor) {
            return Err(Refusal::NotAllowed("steer the meeting: that is for hosts"));
        }
        match act {
            Act::Look => Ok(()),
            Act::SetLive(change) => self.set_live(change),
            Act::Admit(identity) => self.settle(&identity, Fate::Admitted),
            Act::Refuse(identity) => self.settle(&identity, Fate::Refused),
            Act::AdmitAll => {
                self.settle_all(Fate::Admitted, |_| true);
                Ok(())
            }
            Act::RefuseAll => {
                self.settle_all(Fate::Refused, |_| true);
                Ok(())
            }
            Act::Mute { identity, medium, muted } => self.mute(&identity, medium, muted),
            Act::MuteAll { allow_unmute } => self.mute_all(allow_unmute),
            Act::Ask { identity, what } => self.ask(&identity, what),
            Act::Rename { identity, name } => {
                let change = MemberChange { name: Some(name), ..MemberChange::default() };
                self.update_member(&identity, change, None)
            }
            Act::SetRole { identity, role } => self.set_role(&identity, role),
            Act::Remove(identity) => {
                self.remove(&identity, LeaveReason::Removed)?;
                self.memory.set_standing(&identity, Standing::Removed);
                Ok(())
            }
            Act::ToLobby { identity, since_ms } => self.move_to_lobby(&identity, now, since_ms),
            Act::End => {
                self.end(LeaveReason::MeetingEnded);
                Ok(())
            }
        }
    }

    fn may_steer(&self, actor: &Actor) -> bool {
        let Actor::Holder { identity, admin } = actor else { return true };
        let here = self.members.values().find(|it| it.identity == *identity).map(|it| it.role);
        if let Some(role) = here {
            return role == Role::Host;
        }
        // Whoever was put out has nothing to say, whatever its token grants.
        let was_put_out =
            matches!(self.memory.standing(identity), Some(Standing::Removed | Standing::Moved));
        let is_host = self.memory.role(identity).map_or(*admin, |it| it == Role::Host);
        is_host && !was_put_out
    }

    fn set_live(&mut self, change: LiveChange) -> Result<(), Refusal> {
        let before = self.live;
        let live = &mut self.live;
        for (value, change) in [
            (&mut live.lobby, change.lobby),
            (&mut live.locked, change.locked),
            (&mut live.mute_on_entry, change.mute_on_entry),
            (&mut live.allow_unmute, change.allow_unmute),
            (&mut live.attendees_listen, change.attendees_listen),
        ] {
            *value = change.unwrap_or(*value);
        }
        let live = self.live;
        if live == before {
            return Ok(());
        }
        if !live.lobby && !live.locked {
            // The door is open: but for those whom a host moved out, nobody waits at it.
            self.settle_all(Fate::Admitted, |it| it != Some(Standing::Moved));
        }
        if live.allow_unmute && !before.allow_unmute {
            let people: Vec<PeerId> = self.people().collect();
            people.into_iter().for_each(|peer| self.let_unmute(peer, Medium::Microphone));
        }
        if live.attendees_listen != before.attendees_listen {
            let all: Vec<PeerId> = self.members.keys().copied().collect();
            for peer in all {
                if self.review_permissions(peer)? {
                    self.announce(peer);
                }
            }
        }
        self.tell_lobby();
        Ok(())
    }

    fn people(&self) -> impl Iterator<Item = PeerId> {
        self.members.values().filter(|it| it.kind != ParticipantKind::Sip).map(|it| it.peer)
    }

    /// A person stays muted until it unmutes itself; a room system knows nothing of it, so that a
    /// host has to lift it.
    fn mute(&mut self, identity: &Identity, medium: Medium, muted: bool) -> Result<(), Refusal> {
        let firm = !self.live.allow_unmute;
        let member = self.by_identity(identity)?;
        let (peer, is_person) = (member.peer, member.kind != ParticipantKind::Sip);
        if !muted && is_person {
            return Err(Refusal::AskInstead);
        }
        let is_held = member.is_held(medium.sources());
        if !muted && !is_held && member.muted_itself && medium == Medium::Microphone {
            return Err(Refusal::MutedItself);
        }
        if medium == Medium::Screen && is_person {
            return self.stop_screen(peer);
        }
        let hold = match (muted, firm || !is_person) {
            (false, _) => Hold::No,
            (true, true) => Hold::Firm,
            (true, false) => Hold::Told,
        };
        self.hold(peer, medium, hold);
        Ok(())
    }

    /// What a room system's people do by their remote control. What a host has muted they lift as
    /// people in browsers do: where the meeting lets them.
    pub(crate) fn mute_own(&mut self, peer: PeerId, muted: bool) -> Result<(), Refusal> {
        let may_unmute = self.live.allow_unmute;
        let member = self.member(peer)?;
        if member.kind != ParticipantKind::Sip {
            return Err(Refusal::NotAllowed("mute itself so: that is for room systems"));
        }
        let is_held = member.is_held(Medium::Microphone.sources());
        if !muted && is_held && !may_unmute {
            return Err(Refusal::NotAllowed("unmute what a host has muted"));
        }
        let changes = std::mem::replace(&mut member.muted_itself, muted) != muted;
        if !muted && is_held {
            self.hold(peer, Medium::Microphone, Hold::No);
        } else if changes {
            self.announce(peer);
        }
        Ok(())
    }

    /// Whoever shares a screen is told that it does so no more: a screen that is muted would still
    /// take the place of one.
    fn stop_screen(&mut self, peer: PeerId) -> Result<(), Refusal> {
        let tracks = &self.member(peer)?.tracks;
        let screens = tracks.iter().filter(|it| Medium::Screen.sources().contains(&it.info.source));
        let screens: Vec<TrackSid> = screens.map(|it| it.sid.clone()).collect();
        for sid in screens {
            self.unpublish(peer, &sid)?;
            self.tell(peer, Notice::TrackUnpublished(sid));
        }
        Ok(())
    }

    fn mute_all(&mut self, allow_unmute: Option<bool>) -> Result<(), Refusal> {
        self.set_live(LiveChange { allow_unmute, ..LiveChange::default() })?;
        let firm = !self.live.allow_unmute;
        let all: Vec<_> = self.members.values().filter(|it| it.role != Role::Host).collect();
        let all: Vec<_> = all.into_iter().map(|it| (it.peer, it.kind)).collect();
        for (peer, kind) in all {
            let hold = if firm || kind == ParticipantKind::Sip { Hold::Firm } else { Hold::Told };
            self.hold(peer, Medium::Microphone, hold);
        }
        Ok(())
    }

    fn hold(&mut self, peer: PeerId, medium: Medium, hold: Hold) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        // What is published anew is held as well: else it would be a way out.
        member.held.retain(|it| !medium.sources().contains(it));
        if hold == Hold::Firm {
            member.held.extend(medium.sources());
        }
        member.may_unmute &= medium != Medium::Microphone || hold == Hold::No;
        let tracks = member.tracks.iter().filter(|it| medium.sources().contains(&it.info.source));
        let tracks: Vec<TrackSid> = tracks.map(|it| it.sid.clone()).collect();
        if tracks.is_empty() {
            return;
        }
        for sid in tracks {
            self.hold_track(peer, &sid, hold);
        }
        self.announce(peer);
    }

    /// Closes or opens one track's gate, and tells its client; the caller announces it.
    pub(crate) fn hold_track(&mut self, peer: PeerId, sid: &TrackSid, hold: Hold) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        let is_person = member.kind != ParticipantKind::Sip;
        let Ok(track) = member.track(sid) else { return };
        // A client that has muted it already has nothing more to say.
        let hold = if hold == Hold::Told && track.muted { Hold::Muted } else { hold };
        let before = std::mem::replace(&mut track.hold, hold);
        if hold != Hold::No && is_person {
            track.muted = true;
        }
        let id = track.id;
        if (before == Hold::No) != (hold == Hold::No) {
            let gate = MediaEffect::SetGate { track: id, open: hold == Hold::No };
            self.effects.push(Effect::Media(gate));
        }
        if hold != Hold::No {
            self.tell(peer, Notice::TrackMuted { track: sid.clone(), muted: true });
        }
    }

    /// How a track that is published now is held from its beginning.
    pub(crate) fn hold_at_first(&self, peer: PeerId, source: TrackSource, now: Instant) -> Hold {
        let Some(member) = self.members.get(&peer) else { return Hold::No };
        let is_room = member.kind == ParticipantKind::Sip;
        if member.held.contains(&source) {
            return Hold::Firm;
        }
        if source != TrackSource::Microphone || member.role == Role::Host || member.may_unmute {
            return Hold::No;
        }
        // A room system publishes when its call is answered, however long it rang.
        let enters = self.live.mute_on_entry && (is_room || member.is_entering(now));
        match (enters, is_room) {
            (true, true) => Hold::Firm,
            (_, false) if !self.live.allow_unmute => Hold::Firm,
            (true, false) => Hold::Told,
            (false, _) => Hold::No,
        }
    }

    /// The person may open the gate itself from now on.
    fn let_unmute(&mut self, peer: PeerId, medium: Medium) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        member.held.retain(|it| !medium.sources().contains(it));
        for track in &mut member.tracks {
            if medium.sources().contains(&track.info.source) && track.hold == Hold::Firm {
                track.hold = Hold::Muted;
            }
        }
    }

    fn ask(&mut self, identity: &Identity, what: Ask) -> Result<(), Refusal> {
        let member = self.by_identity(identity)?;
        let peer = member.peer;
        if member.kind == ParticipantKind::Sip {
            return Err(Refusal::NoPerson);
        }
        if what == Ask::Unmute {
            member.may_unmute = true;
        }
        let medium = match what {
            Ask::Unmute => Medium::Microphone,
            Ask::Camera => Medium::Camera,
        };
        self.let_unmute(peer, medium);
        self.tell(peer, Notice::Asked(what));
        Ok(())
    }

    fn set_role(&mut self, identity: &Identity, role: Role) -> Result<(), Refusal> {
        let member = self.by_identity(identity)?;
        let peer = member.peer;
        if member.role == role {
            return Ok(());
        }
        member.set_role(role);
        self.memory.set_role(identity, role);
        if role == Role::Host {
            for medium in [Medium::Microphone, Medium::Camera] {
                self.let_unmute(peer, medium);
            }
            self.tell_lobby();
        }
        self.review_permissions(peer)?;
        self.announce(peer);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
