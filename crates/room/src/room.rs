//! The meeting's state and the way through it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use types::{Identity, MeetingId, PeerId, TrackId, TrackSid};

use crate::command::{Command, DataKind, Refusal};
use crate::effect::{Effect, Fate, LeaveReason, MeetingView, Notice, ParticipantView};
use crate::lobby::{Memory, Waiting};
use crate::member::{Member, Track};
use crate::speaking::{Foremost, SPEAKER_SILENCE};
use crate::steering::LiveSettings;

/// How often slow things are looked at: layers that nobody wants any more, speakers that ceased.
const TICK: Duration = Duration::from_millis(500);

/// What is fixed about a meeting.
#[derive(Clone, Debug)]
pub struct RoomSettings {
    /// The id by which it is joined.
    pub id: MeetingId,
    /// `RM_…`.
    pub sid: String,
    /// Participants at a time.
    pub max_participants: u32,
    /// Media are encrypted between the participants: nothing else is taken.
    pub e2ee: bool,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// How its door and microphones stand in the beginning.
    pub live: LiveSettings,
}

/// A meeting at work.
#[derive(Debug)]
pub struct Room {
    pub(crate) settings: RoomSettings,
    pub(crate) metadata: String,
    pub(crate) members: BTreeMap<PeerId, Member>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) speaker: Option<Foremost>,
    pub(crate) live: LiveSettings,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) memory: Memory,
    next_tick: Instant,
}

impl Room {
    /// An empty meeting.
    pub fn new(settings: RoomSettings, now: Instant) -> Self {
        let live = settings.live;
        Self {
            settings,
            metadata: String::new(),
            members: BTreeMap::new(),
            effects: Vec::new(),
            speaker: None,
            live,
            waiting: Vec::new(),
            memory: Memory::default(),
            next_tick: now,
        }
    }

    /// Carries out a command: its effects in order.
    ///
    /// # Errors
    /// The rule that forbids it; nothing has changed then.
    pub fn handle(&mut self, command: Command, now: Instant) -> Result<Vec<Effect>, Refusal> {
        let done = self.dispatch(command, now);
        let effects = std::mem::take(&mut self.effects);
        done.map(|()| effects)
    }

    fn dispatch(&mut self, command: Command, now: Instant) -> Result<(), Refusal> {
        match command {
            Command::Join(join) => self.join(join, now),
            Command::Knock { knock, since_ms } => self.knock(knock, since_ms),
            Command::StopWaiting(identity) => {
                self.stop_waiting(&identity);
                Ok(())
            }
            Command::Steer { actor, act } => self.steer(&actor, act, now),
            Command::Leave { peer, reason } => self.leave(peer, reason),
            Command::Connected(peer) => self.connected(peer),
            Command::Publish { peer, request } => self.publish(peer, request, now),
            Command::TrackBound { track, mid } => self.track_bound(track, mid),
            Command::TrackEnded(track) => {
                let Some((peer, ended)) = self.owner_of(track) else { return Ok(()) };
                let sid = ended.sid.clone();
                self.unpublish(peer, &sid)
            }
            Command::TrackFlows { track, mime } => self.track_flows(track, mime),
            Command::Unpublish { peer, track } => self.unpublish(peer, &track),
            Command::ChangeTrack { peer, track, change } => self.change_track(peer, &track, change),
            Command::Subscribe { peer, tracks, subscribe } => {
                self.subscribe(peer, &tracks, subscribe, now)
            }
            Command::SetWanted { peer, tracks, enabled, wanted } => {
                self.set_wanted(peer, &tracks, enabled, wanted, now)
            }
            Command::SetBridgeWanted { track, wanted } => {
                if let Some((_, track)) = self.owner_of(track) {
                    track.bridge_wanted = wanted;
                }
                self.review_layers(now);
                Ok(())
            }
            Command::MuteOwn { peer, muted } => self.mute_own(peer, muted),
            Command::ChangeMember { peer, change } => self.change_own(peer, change),
            Command::SendData { peer, kind, destinations, message } => {
                if !self.member(peer)?.permissions.publish_data {
                    return Err(Refusal::NotAllowed("send data"));
                }
                self.deliver(Some(peer), kind, &destinations, message);
                Ok(())
            }
            Command::Level { track, dbov } => {
                self.level(track, dbov, now);
                Ok(())
            }
            Command::Network { peer, loss } => self.network(peer, loss),
            Command::MuteTrack { identity, track, muted } => {
                self.mute_track(&identity, &track, muted)
            }
            Command::Remove { identity, reason } => self.remove(&identity, reason),
            Command::UpdateMember { identity, change, permissions } => {
                self.update_member(&identity, change, permissions)
            }
            Command::ServerData { kind, destinations, message } => {
                self.deliver(None, kind, &destinations, message);
                Ok(())
            }
            Command::SetMetadata(metadata) => {
                self.metadata = metadata;
                self.tell_meeting();
                Ok(())
            }
            Command::SetMaxParticipants(max) => {
                self.settings.max_participants = max;
                self.tell_meeting();
                Ok(())
            }
            Command::End(reason) => {
                self.end(reason);
                Ok(())
            }
        }
    }

    fn tell_meeting(&mut self) {
        let view = self.view();
        self.tell_all(&Notice::Meeting(view));
    }

    /// When [`Room::handle_timeout`] wants to be called next.
    pub fn timeout(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.next_tick)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Effect> {
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.quiet_speakers(now, SPEAKER_SILENCE);
            self.review_layers(now);
            self.review_lobby(now);
        }
        std::mem::take(&mut self.effects)
    }

    /// Whether nobody is in it, and nobody waits before it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.waiting.is_empty()
    }

    /// The meeting as it is shown.
    pub fn view(&self) -> MeetingView {
        let shown = || self.members.values().filter(|it| !it.permissions.hidden);
        MeetingView {
            sid: self.settings.sid.clone(),
            id: self.settings.id.to_string(),
            metadata: self.metadata.clone(),
            created_at_ms: self.settings.created_at_ms,
            max_participants: self.settings.max_participants,
            participants: shown().count() as u32,
            publishers: shown().filter(|it| !it.tracks.is_empty()).count() as u32,
        }
    }

    /// Everybody that is shown, in the order of their peers.
    pub fn participants(&self) -> Vec<ParticipantView> {
        self.members.values().filter(|it| !it.permissions.hidden).map(Member::view).collect()
    }

    /// Who is to be seen large where one is; `None` before anybody spoke.
    pub fn speaker(&self) -> Option<PeerId> {
        self.speaker.as_ref().map(|it| it.peer)
    }

    pub(crate) fn member(&mut self, peer: PeerId) -> Result<&mut Member, Refusal> {
        self.members.get_mut(&peer).ok_or(Refusal::NotInMeeting)
    }

    pub(crate) fn by_identity(&mut self, identity: &Identity) -> Result<&mut Member, Refusal> {
        self.members
            .values_mut()
            .find(|it| it.identity == *identity)
            .ok_or_else(|| Refusal::NoSuchParticipant(identity.clone()))
    }

    pub(crate) fn owner_of(&mut self, track: TrackId) -> Option<(PeerId, &mut Track)> {
        self.members.values_mut().find_map(|member| {
            let peer = member.peer;
            member.tracks.iter_mut().find(|it| it.id == track).map(|it| (peer, it))
        })
    }

    pub(crate) fn find_track(&self, sid: &TrackSid) -> Option<(&Member, &Track)> {
        self.members
            .values()
            .find_map(|member| Some((member, member.tracks.iter().find(|it| it.sid == *sid)?)))
    }

    pub(crate) fn tell(&mut self, to: PeerId, notice: Notice) {
        self.effects.push(Effect::Tell { to, notice });
    }

    pub(crate) fn tell_all(&mut self, notice: &Notice) {
        let peers: Vec<PeerId> = self.members.keys().copied().collect();
        for to in peers {
            self.tell(to, notice.clone());
        }
    }

    /// Tells everybody who may see it that a participant changed; itself as well.
    pub(crate) fn announce(&mut self, peer: PeerId) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        member.version += 1;
        let (view, hidden) = (member.view(), member.permissions.hidden);
        let notice = Notice::Participants([view].into());
        if hidden {
            self.tell(peer, notice);
        } else {
            self.tell_all(&notice);
        }
    }

    fn deliver(
        &mut self,
        from: Option<PeerId>,
        kind: DataKind,
        destinations: &[Identity],
        message: std::sync::Arc<[u8]>,
    ) {
        let to: Vec<PeerId> = self
            .members
            .values()
            .filter(|it| Some(it.peer) != from)
            .filter(|it| destinations.is_empty() || destinations.contains(&it.identity))
            .map(|it| it.peer)
            .collect();
        if !to.is_empty() {
            self.effects.push(Effect::Deliver { to, kind, message });
        }
    }

    pub(crate) fn end(&mut self, reason: LeaveReason) {
        self.settle_all(Fate::Over, |_| true);
        let peers: Vec<PeerId> = self.members.keys().copied().collect();
        for peer in peers {
            self.put_out(peer, reason);
        }
    }
}
