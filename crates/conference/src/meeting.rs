//! A meeting's actor: the one place where its state changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcu::{BridgeEvent, Mcu};
use room::{
    Act, Command, Effect, Fate, Join, Knock, LeaveReason, LiveSettings, Lobby, MediaEffect,
    MeetingView, Notice, ParticipantView, Refusal, Room, RoomSettings,
};
use sfu::transport::webrtc::Session;
use sfu::{CloseReason, NetworkFigures, PeerEvent, ShardHandle};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument;
use types::{Identity, MeetingId, PeerId};

use crate::access::MeetingSettings;
use crate::bridge::{LegFormat, MeetingBridge};
use crate::clock::Clock;
use crate::conference::{LegJoin, now_ms};
use crate::events::{EndCause, Events, Observer};
use crate::ids::random_id;
use crate::media;
use crate::member::{EventSorter, MemberEvent, send_data};

/// How long a meeting goes on without anybody in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linger {
    /// Until somebody comes.
    pub empty: Duration,
    /// After everybody has left.
    pub departed: Duration,
}

/// Messages after which room systems' media follow at the latest, though more wait.
const BURST: usize = 64;

impl Default for Linger {
    /// So long that a reload of the only page does not end it.
    fn default() -> Self {
        let reload = Duration::from_secs(20);
        Self { empty: reload, departed: reload }
    }
}

/// What an actor is told.
pub(crate) enum ActorMessage {
    /// Somebody comes in.
    Join {
        join: Box<Join>,
        media: JoinMedia,
        events: mpsc::Sender<MemberEvent>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody asks to come in.
    Knock {
        knock: Knock,
        number: u64,
        fate: watch::Sender<Option<Fate>>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody waits no more.
    StopWaiting { identity: Identity, number: u64 },
    /// A command of somebody in it, or of the server.
    Execute { command: Box<Command>, reply: oneshot::Sender<Result<(), Refusal>> },
    /// Somebody's connection ended.
    Leave { peer: PeerId, reason: LeaveReason },
    /// News of a peer's media.
    Peer { peer: PeerId, event: PeerEvent },
    /// A room system negotiated anew.
    ChangeLeg { peer: PeerId, format: LegFormat },
    /// What stands over a room system's picture.
    WriteOver { peer: PeerId, message: Option<String> },
    /// News from the `mcu`.
    Bridge(BridgeEvent),
    /// How long it goes on without anybody.
    Linger(Linger),
    /// Tell how it stands.
    Snapshot(oneshot::Sender<MeetingSnapshot>),
}

/// How a newcomer's media come.
pub(crate) enum JoinMedia {
    /// From a browser or an app.
    WebRtc(Box<Session>),
    /// From a room system, whose leg is on the shard already.
    Leg(Box<LegJoin>),
}

/// How a meeting stands.
#[derive(Clone, Debug)]
pub struct MeetingSnapshot {
    /// The meeting.
    pub meeting: MeetingView,
    /// Everybody that is shown.
    pub participants: Vec<ParticipantView>,
    /// How long it goes on without anybody.
    pub linger: Linger,
    /// Who waits before it, and how its door stands.
    pub lobby: Lobby,
    /// How the participants' networks did when they were measured last.
    pub networks: HashMap<PeerId, NetworkFigures>,
}

/// A running meeting, seen from outside.
#[derive(Clone)]
pub struct MeetingHandle {
    id: MeetingId,
    sid: Arc<str>,
    begun_with: Arc<MeetingSettings>,
    actor: mpsc::UnboundedSender<ActorMessage>,
}

/// A command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The meeting is over.
    #[error("the meeting is over")]
    Over,
}

impl MeetingHandle {
    /// The id by which it is joined.
    pub fn id(&self) -> &MeetingId {
        &self.id
    }

    /// `RM_…`: the meeting as it runs now.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// As the meeting was set up when it began.
    pub(crate) fn begun_with(&self) -> &MeetingSettings {
        &self.begun_with
    }

    /// Lets the meeting go on for so long without anybody.
    pub fn set_linger(&self, linger: Linger) {
        let _ = self.actor.send(ActorMessage::Linger(linger));
    }

    /// Asks the meeting for something.
    ///
    /// # Errors
    /// The rule that forbids it, or that the meeting is over.
    pub async fn execute(&self, command: Command) -> Result<(), ExecuteError> {
        let (reply, answer) = oneshot::channel();
        let message = ActorMessage::Execute { command: Box::new(command), reply };
        self.actor.send(message).map_err(|_| ExecuteError::Over)?;
        answer.await.map_err(|_| ExecuteError::Over)?.map_err(ExecuteError::Refused)
    }

    /// Asks the meeting for something whose refusal needs no answer.
    pub fn tell(&self, command: Command) {
        let (reply, _) = oneshot::channel();
        let _ = self.actor.send(ActorMessage::Execute { command: Box::new(command), reply });
    }

    /// How it stands; `None` when it is over.
    pub async fn snapshot(&self) -> Option<MeetingSnapshot> {
        let (reply, answer) = oneshot::channel();
        self.actor.send(ActorMessage::Snapshot(reply)).ok()?;
        answer.await.ok()
    }

    pub(crate) fn leave(&self, peer: PeerId, reason: LeaveReason) {
        let _ = self.actor.send(ActorMessage::Leave { peer, reason });
    }

    pub(crate) async fn knock(
        &self,
        knock: Knock,
        number: u64,
        fate: watch::Sender<Option<Fate>>,
    ) -> Result<(), ExecuteError> {
        let (reply, answer) = oneshot::channel();
        let message = ActorMessage::Knock { knock, number, fate, reply };
        self.actor.send(message).map_err(|_| ExecuteError::Over)?;
        answer.await.map_err(|_| ExecuteError::Over)?.map_err(ExecuteError::Refused)
    }

    pub(crate) fn stop_waiting(&self, identity: Identity, number: u64) {
        let _ = self.actor.send(ActorMessage::StopWaiting { identity, number });
    }

    pub(crate) fn change_leg(&self, peer: PeerId, format: LegFormat) {
        let _ = self.actor.send(ActorMessage::ChangeLeg { peer, format });
    }

    pub(crate) fn write_over(&self, peer: PeerId, message: Option<String>) {
        let _ = self.actor.send(ActorMessage::WriteOver { peer, message });
    }

    pub(crate) fn leg_needs_key_frame(&self, peer: PeerId) {
        let event = PeerEvent::LegNeedsKeyFrame;
        let _ = self.actor.send(ActorMessage::Peer { peer, event });
    }

    pub(crate) async fn join(
        &self,
        join: Join,
        media: JoinMedia,
        events: mpsc::Sender<MemberEvent>,
    ) -> Result<(), ExecuteError> {
        let (reply, answer) = oneshot::channel();
        let message = ActorMessage::Join { join: Box::new(join), media, events, reply };
        self.actor.send(message).map_err(|_| ExecuteError::Over)?;
        answer.await.map_err(|_| ExecuteError::Over)?.map_err(ExecuteError::Refused)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.actor.is_closed()
    }
}

/// Starts a meeting's actor.
pub(crate) fn start(
    begun_with: MeetingSettings,
    shard: ShardHandle,
    mcu: Arc<Mcu>,
    clock: Clock,
    events: Events,
) -> MeetingHandle {
    let (actor, inbox) = mpsc::unbounded_channel();
    let live = LiveSettings {
        lobby: begun_with.lobby,
        mute_on_entry: begun_with.mute_on_entry,
        attendees_listen: begun_with.attendees_listen,
        ..LiveSettings::default()
    };
    let settings = RoomSettings {
        id: begun_with.id.clone(),
        sid: random_id("RM_"),
        max_participants: begun_with.max_participants,
        e2ee: begun_with.e2ee,
        created_at_ms: now_ms(),
        live,
    };
    let (id, sid) = (settings.id.clone(), settings.sid.clone());
    let news = actor.downgrade();
    let from_mcu = Arc::new(move |event| {
        if let Some(actor) = news.upgrade() {
            let _ = actor.send(ActorMessage::Bridge(event));
        }
    });
    let bridge = MeetingBridge::new(mcu, shard.clone(), id.to_string(), from_mcu);
    // It outlives whoever came first.
    let span = tracing::info_span!(parent: None, "meeting", meeting = %id, sid = %settings.sid);
    let now = clock.now();
    let room = Room::new(settings, now);
    let observer = Observer::new(events, id.clone(), sid.clone(), &room);
    let meeting = Meeting {
        id: id.clone(),
        clock,
        room,
        observer,
        shard,
        bridge,
        adapters: HashMap::new(),
        waiting: HashMap::new(),
        networks: HashMap::new(),
        actor: actor.downgrade(),
        empty_since: Some(now),
        linger: Linger::default(),
        was_joined: false,
        changed: false,
        answers: Vec::new(),
        over: false,
    };
    tokio::spawn(meeting.run(inbox).instrument(span));
    MeetingHandle { id, sid: sid.into(), begun_with: Arc::new(begun_with), actor }
}

/// Who hears what becomes of somebody that waits.
struct Waiter {
    number: u64,
    fate: watch::Sender<Option<Fate>>,
}

/// The way to an adapter.
struct Adapter {
    events: mpsc::Sender<MemberEvent>,
    /// A room system's call hears of its end and of nothing else, so no news can fill its queue,
    /// however long its owner has other things to do.
    reads_news: bool,
}

type Answer = Box<dyn FnOnce(&Meeting) + Send>;

struct Meeting {
    id: MeetingId,
    clock: Clock,
    room: Room,
    observer: Observer,
    shard: ShardHandle,
    bridge: MeetingBridge,
    adapters: HashMap<PeerId, Adapter>,
    waiting: HashMap<Identity, Waiter>,
    /// Of those who are in it.
    networks: HashMap<PeerId, NetworkFigures>,
    actor: mpsc::WeakUnboundedSender<ActorMessage>,
    empty_since: Option<Instant>,
    linger: Linger,
    /// Whether anybody was in it yet.
    was_joined: bool,
    /// The bridge has to follow.
    changed: bool,
    /// What is answered after that, in order.
    answers: Vec<Answer>,
    over: bool,
}

impl Meeting {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<ActorMessage>) {
        tracing::info!("the meeting begins");
        metrics::gauge!("plenum_meetings").increment(1.0);
        let clock = self.clock.clone();
        loop {
            let wake = self.wake_at();
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.handle_burst(message, &mut inbox),
                    None => break,
                },
                () = clock.sleep_until(wake) => {
                    let effects = self.room.handle_timeout(self.clock.now());
                    self.carry_out(effects);
                    if self.is_finished() {
                        self.finish(EndCause::Empty);
                    }
                }
            }
            if !self.over {
                self.follow();
            }
            for answer in std::mem::take(&mut self.answers) {
                answer(&self);
            }
            if self.over {
                break;
            }
            self.note_empty();
        }
        self.finish(EndCause::ServerStops);
        // Who sends from now on finds the meeting over and starts it anew.
        inbox.close();
        metrics::gauge!("plenum_meetings").decrement(1.0);
        tracing::info!("the meeting is over");
    }

    /// Handles what has come. The bridge follows all of it at once, since each time costs as much as
    /// there are participants; whoever asked is answered after that, and finds it done.
    fn handle_burst(
        &mut self,
        first: ActorMessage,
        inbox: &mut mpsc::UnboundedReceiver<ActorMessage>,
    ) {
        self.handle(first);
        for _ in 1..BURST {
            if self.over {
                return;
            }
            let Ok(next) = inbox.try_recv() else { return };
            self.handle(next);
        }
    }

    fn handle(&mut self, message: ActorMessage) {
        match message {
            ActorMessage::Join { join, media, events, reply } => {
                let joined = self.join(*join, media, events);
                self.answer(reply, |_| joined);
            }
            ActorMessage::Knock { knock, number, fate, reply } => {
                let heard = self.knock(knock, Waiter { number, fate });
                self.answer(reply, |_| heard);
            }
            ActorMessage::StopWaiting { identity, number } => {
                if self.waiting.get(&identity).is_some_and(|it| it.number == number) {
                    self.waiting.remove(&identity);
                    let _ = self.execute(Command::StopWaiting(identity));
                }
            }
            ActorMessage::Execute { command, reply } => {
                let end = match &*command {
                    Command::End(LeaveReason::ServerStops) => Some(EndCause::ServerStops),
                    Command::End(_) | Command::Steer { act: Act::End, .. } => Some(EndCause::Ended),
                    _ => None,
                };
                let done = self.execute(*command);
                // Whoever ended it finds it over.
                if let (Ok(()), Some(cause)) = (&done, end) {
                    self.finish(cause);
                }
                self.answer(reply, |_| done);
            }
            ActorMessage::Linger(linger) => self.linger = linger,
            ActorMessage::Leave { peer, reason } => {
                // It may have been put out already.
                let _ = self.execute(Command::Leave { peer, reason });
            }
            ActorMessage::Peer { peer, event } => self.handle_peer(peer, event),
            ActorMessage::ChangeLeg { peer, format } => {
                self.bridge.change_leg(peer, format);
                self.changed = true;
            }
            ActorMessage::WriteOver { peer, message } => {
                self.bridge.set_message(peer, message);
                self.changed = true;
            }
            ActorMessage::Bridge(event) => {
                for command in self.bridge.handle(event) {
                    let _ = self.execute(command);
                }
            }
            ActorMessage::Snapshot(reply) => self.answer(reply, Self::snapshot),
        }
    }

    /// Answers once the bridge has followed.
    fn answer<T: Send + 'static>(
        &mut self,
        reply: oneshot::Sender<T>,
        with: impl FnOnce(&Self) -> T + Send + 'static,
    ) {
        self.answers.push(Box::new(move |meeting| {
            // Whoever does not wait any more misses nothing.
            let _ = reply.send(with(meeting));
        }));
    }

    fn snapshot(&self) -> MeetingSnapshot {
        let (meeting, participants) = (self.room.view(), self.room.participants());
        let (linger, lobby) = (self.linger, self.room.lobby());
        let networks = self.networks.clone();
        MeetingSnapshot { meeting, participants, linger, lobby, networks }
    }

    fn join(
        &mut self,
        join: Join,
        media: JoinMedia,
        events: mpsc::Sender<MemberEvent>,
    ) -> Result<(), Refusal> {
        let (peer, identity, kind) = (join.peer, join.identity.clone(), join.kind);
        let layout = room::layout_of(kind, &join.attributes).unwrap_or_default();
        let effects = self.room.handle(Command::Join(join), self.clock.now())?;
        tracing::info!(%peer, %identity, ?kind, "a participant joins");
        metrics::counter!("plenum_joins_total").increment(1);
        self.was_joined = true;
        let reads_news = matches!(media, JoinMedia::WebRtc(_));
        self.adapters.insert(peer, Adapter { events: events.clone(), reads_news });
        // What the newcomer is told about the meeting comes before any news of its media.
        let (told, rest) = effects.into_iter().partition(|it| matches!(it, Effect::Tell { .. }));
        self.carry_out(told);
        match (self.actor.upgrade(), media) {
            (None, _) => {}
            (Some(actor), JoinMedia::WebRtc(session)) => {
                let events = Box::new(EventSorter { actor, adapter: events });
                self.shard.send(sfu::Command::AddPeer { peer, session, events });
            }
            (Some(actor), JoinMedia::Leg(leg)) => {
                let LegJoin { raw, format, link, keys, content, .. } = *leg;
                link.set(Some(actor));
                self.bridge.add_leg(peer, raw, format, layout, keys);
                if let Some(content) = content {
                    self.bridge.add_content(peer, content);
                }
                // The first room system begins the bridge, which has heard nobody yet.
                if let Some(speaker) = self.room.speaker() {
                    self.bridge.set_speaker(speaker);
                }
            }
        }
        self.carry_out(rest);
        self.changed = true;
        Ok(())
    }

    fn knock(&mut self, knock: Knock, waiter: Waiter) -> Result<(), Refusal> {
        let identity = knock.identity.clone();
        let command = Command::Knock { knock, since_ms: now_ms() };
        let effects = self.room.handle(command, self.clock.now())?;
        // Whoever waits with this identity elsewhere, on a page that was closed, waits no more.
        self.waiting.insert(identity.clone(), waiter);
        self.carry_out(effects);
        if self.waiting.contains_key(&identity) {
            tracing::info!(%identity, "somebody waits in the lobby");
            metrics::counter!("plenum_lobby_waits_total").increment(1);
        }
        Ok(())
    }

    fn follow(&mut self) {
        // Again where somebody is put out meanwhile.
        while std::mem::take(&mut self.changed) {
            self.follow_roster();
        }
    }

    /// Brings the bridge in line with the roster.
    fn follow_roster(&mut self) {
        // Its own commands change what it follows at most once more: a codec's name.
        for _ in 0..2 {
            if !self.bridge.is_at_work() {
                return;
            }
            let browsers = self.adapters.values().any(|it| it.reads_news);
            let commands = self.bridge.follow(&self.room.participants(), browsers);
            if commands.is_empty() {
                return;
            }
            for command in commands {
                if let Ok(effects) = self.room.handle(command, self.clock.now()) {
                    self.carry_out(effects);
                }
            }
        }
    }

    fn execute(&mut self, command: Command) -> Result<(), Refusal> {
        let note = Steering::of(&command);
        let done = self.room.handle(command, self.clock.now());
        if let Some(note) = note {
            note.write(&self.id, done.as_ref().err());
        }
        let effects = done?;
        let roster = |it: &Effect| {
            matches!(it, Effect::Tell { notice: Notice::Participants(_), .. } | Effect::Media(_))
        };
        self.changed |= effects.iter().any(roster);
        self.carry_out(effects);
        Ok(())
    }

    fn handle_peer(&mut self, peer: PeerId, event: PeerEvent) {
        self.changed |= self.bridge.handle_leg(peer, &event);
        let command = match event {
            PeerEvent::Connected => Command::Connected(peer),
            PeerEvent::TrackBound { track, mid } => Command::TrackBound { track, mid },
            PeerEvent::TrackEnded { track } => Command::TrackEnded(track),
            PeerEvent::TrackFlows { track, codec } => {
                Command::TrackFlows { track, mime: codec.mime().to_owned() }
            }
            PeerEvent::Level { track, dbov } => Command::Level { track, dbov },
            PeerEvent::Network(figures) => {
                if self.adapters.contains_key(&peer) {
                    self.networks.insert(peer, figures);
                }
                Command::Network { peer, loss: figures.egress_loss.max(figures.ingress_loss) }
            }
            PeerEvent::Closed(reason) => {
                let reason = match reason {
                    CloseReason::Lost | CloseReason::Unkeyed(_) => LeaveReason::ConnectionLost,
                    CloseReason::TooSlow => LeaveReason::Misbehaved,
                    CloseReason::Removed | CloseReason::ByPeer => LeaveReason::ByItself,
                };
                Command::Leave { peer, reason }
            }
            PeerEvent::Answer { .. }
            | PeerEvent::Offer { .. }
            | PeerEvent::NegotiationFailed(_)
            | PeerEvent::SectionsNeeded { .. }
            | PeerEvent::PictureHeld { .. }
            | PeerEvent::Data { .. }
            | PeerEvent::TrackNeedsKeyFrame(_)
            | PeerEvent::LegNeedsKeyFrame
            | PeerEvent::LegPath(_)
            | PeerEvent::TrackForwarded(_)
            | PeerEvent::TrackUnfit(_)
            | PeerEvent::KeyFrameBySignalling
            | PeerEvent::Forwardable(_)
            | PeerEvent::Tone(_) => return,
        };
        if let Err(refusal) = self.execute(command) {
            // The peer left while its news was on the way.
            tracing::trace!(%peer, %refusal, "late news");
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        self.observer.see(&effects, &self.room);
        let mut too_slow = Vec::new();
        for effect in effects {
            match effect {
                Effect::Tell { to, notice } => {
                    if !self.tell(to, notice) {
                        too_slow.push(to);
                    }
                }
                // Only a room system's connection can wait.
                Effect::Media(MediaEffect::MoveOut(peer)) if self.bridge.move_out(peer) => {}
                Effect::Media(effect) => self.shard.send(media::command(effect)),
                Effect::Speaker(peer) => self.bridge.set_speaker(peer),
                Effect::Fate { identity, fate } => {
                    tracing::info!(%identity, ?fate, "somebody waits no more");
                    if let Some(waiter) = self.waiting.remove(&identity) {
                        waiter.fate.send_replace(Some(fate));
                    }
                }
                Effect::Deliver { to, kind, message } => {
                    for peer in to {
                        send_data(&self.shard, peer, kind, message.clone());
                    }
                }
            }
        }
        for peer in too_slow {
            tracing::warn!(%peer, "a participant reads too slowly and is put out");
            let _ = self.execute(Command::Leave { peer, reason: LeaveReason::Misbehaved });
        }
    }

    /// `false`: the adapter is too far behind.
    fn tell(&mut self, to: PeerId, notice: Notice) -> bool {
        let left = match &notice {
            Notice::Left(reason) => Some(*reason),
            _ => None,
        };
        let Some(adapter) = self.adapters.get(&to) else { return true };
        if left.is_none() && !adapter.reads_news {
            return true;
        }
        let told = adapter.events.try_send(MemberEvent::Notice(notice));
        if let Some(reason) = left {
            tracing::info!(peer = %to, ?reason, "a participant is out");
            self.adapters.remove(&to);
            self.networks.remove(&to);
            return true;
        }
        !matches!(told, Err(mpsc::error::TrySendError::Full(_)))
    }

    fn wake_at(&self) -> Instant {
        [self.closes_at(), self.room.timeout()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or_else(|| self.clock.now() + Linger::default().empty)
    }

    /// When it ends if nobody comes; `None` while somebody is in.
    fn closes_at(&self) -> Option<Instant> {
        let Linger { empty, departed } = self.linger;
        self.empty_since.map(|since| since + if self.was_joined { departed } else { empty })
    }

    /// It is over, once.
    fn finish(&mut self, cause: EndCause) {
        if !std::mem::replace(&mut self.over, true) {
            self.observer.ended(cause, &self.room);
        }
    }

    fn note_empty(&mut self) {
        if !self.room.is_empty() {
            self.empty_since = None;
        } else if self.empty_since.is_none() {
            self.empty_since = Some(self.clock.now());
        }
    }

    fn is_finished(&self) -> bool {
        self.closes_at().is_some_and(|at| self.clock.now() >= at)
    }
}

/// An act of a host or the server, for the log.
struct Steering {
    actor: String,
    act: &'static str,
    target: Option<Identity>,
}

impl Steering {
    fn of(command: &Command) -> Option<Self> {
        let Command::Steer { actor, act } = command else { return None };
        // Whoever only looks changes nothing.
        let changes = *act != room::Act::Look;
        changes.then(|| Self {
            actor: actor.to_string(),
            act: act.name(),
            target: act.target().cloned(),
        })
    }

    fn write(&self, meeting: &MeetingId, refusal: Option<&Refusal>) {
        let Self { actor, act, target } = self;
        let target = target.as_ref().map(tracing::field::display);
        match refusal {
            None => tracing::info!(%meeting, actor, act, target, "a host acts"),
            Some(refusal) => {
                tracing::info!(%meeting, actor, act, target, %refusal, "an act is refused");
            }
        }
    }
}
