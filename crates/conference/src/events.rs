//! What happens in meetings, as one stream: for operators, the audit, history and webhooks.
//!
//! A meeting's actor tells it from the effects of its rules, so that no rule stands here. Readers
//! never hold a meeting up: who is too slow loses the oldest events, and is told how many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use room::{Effect, LeaveReason, MeetingView, Notice, ParticipantView, Presence, Room, TrackView};
use serde::Serialize;
use tokio::sync::broadcast;
use types::{
    Identity, MediaKind, MeetingId, ParticipantKind, ParticipantSid, PeerId, Timestamp, TrackSid,
    TrackSource,
};

use crate::dialling::{DialledLeg, LegId, LegState};

/// Events that wait for the slowest reader: some seconds of a hundred people who all come at once.
/// Some hold what is shown of a participant, which may have as much as 128 KiB of texts.
const BACKLOG: usize = 1024;

/// Something that happened. As JSON it is one flat object, whose `event` is the word for
/// [`Happening`].
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Counts up from 1 since the start of the program, without gaps.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// In which meeting.
    pub meeting: MeetingId,
    /// The `RM_…` of the meeting as it runs; `None` where a call of ours begins before its meeting
    /// does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
    /// All that is shown of it, for adapters that put it into their own words.
    #[serde(skip)]
    pub shown: Shown,
}

/// All that is shown of what an event is about; nothing for what only changes, since the texts that
/// changed may be long.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The meeting, as it stands after the event.
    pub meeting: Option<MeetingView>,
    /// The participant: after the event, or as it was last where it left.
    pub participant: Option<ParticipantView>,
    /// The track: after the event, or as it was last where it ended.
    pub track: Option<TrackView>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// A meeting begins.
    MeetingBegan,
    /// A meeting is over. Nothing more comes of this `sid`.
    MeetingEnded {
        /// Why.
        cause: EndCause,
        /// The most participants that it had at a time, without hidden ones.
        most_participants: u32,
    },
    /// Somebody is in; media do not flow yet.
    ParticipantJoined {
        /// Who.
        participant: Who,
    },
    /// Somebody's media can flow.
    ParticipantActive {
        /// Who.
        participant: Who,
    },
    /// Somebody's name, metadata, attributes or permissions are others now.
    ParticipantChanged {
        /// Who, with the new name.
        participant: Who,
        /// What changed: `name`, `metadata`, `attributes`, `permissions`.
        changed: Vec<&'static str>,
    },
    /// Somebody is out.
    ParticipantLeft {
        /// Who.
        participant: Who,
        /// Why.
        reason: LeaveReason,
        /// Whether media could flow at all while it was in.
        was_active: bool,
    },
    /// Others can have a track.
    TrackPublished {
        /// Whose.
        participant: Who,
        /// Which.
        track: Which,
    },
    /// A track ended; before each [`Happening::ParticipantLeft`] those of its participant do.
    TrackUnpublished {
        /// Whose.
        participant: Who,
        /// Which, as it was last.
        track: Which,
    },
    /// A track was muted or unmuted, by whomever.
    TrackMuted {
        /// Whose.
        participant: Who,
        /// Which, with how it is now.
        track: Which,
    },
    /// A room system is called.
    LegDialling {
        /// The call.
        leg: LegTag,
    },
    /// It rings there.
    LegRinging {
        /// The call.
        leg: LegTag,
    },
    /// It answered, and is in the meeting.
    LegAnswered {
        /// The call.
        leg: LegTag,
    },
    /// A call of ours is over.
    LegEnded {
        /// The call.
        leg: LegTag,
        /// How it ended; [`LegState::Ended`] where it was answered.
        cause: LegState,
    },
}

/// Why a meeting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Nobody was in it any more, or nobody came.
    Empty,
    /// A host or the server API ended it.
    Ended,
    /// The server stops.
    ServerStops,
}

/// A participant, by what others know it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Who {
    /// Who.
    pub identity: Identity,
    /// Its connection, `PA_…`.
    pub sid: ParticipantSid,
    /// Shown name.
    pub name: String,
    /// What.
    pub kind: ParticipantKind,
    /// Whether it stands in no roster.
    pub hidden: bool,
}

impl Who {
    pub(crate) fn of(view: &ParticipantView) -> Self {
        Self {
            identity: view.identity.clone(),
            sid: view.sid.clone(),
            name: view.name.clone(),
            kind: view.kind,
            hidden: view.permissions.hidden,
        }
    }
}

/// A track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Which {
    /// `TR_…`.
    pub sid: TrackSid,
    /// The publisher's name for it.
    pub name: String,
    /// Sound or picture.
    pub kind: MediaKind,
    /// Camera, microphone, screen.
    pub source: TrackSource,
    /// Media type, such as `video/VP8`.
    pub mime: String,
    /// Muted or not.
    pub muted: bool,
}

impl Which {
    fn of(view: &TrackView) -> Self {
        Self {
            sid: view.sid.clone(),
            name: view.info.name.clone(),
            kind: view.kind,
            source: view.info.source,
            mime: view.info.mime.clone(),
            muted: view.muted,
        }
    }
}

/// A call of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LegTag {
    /// Its id.
    pub id: LegId,
    /// Who it is in the meeting.
    pub identity: Identity,
    /// What was dialled, without what may be a PIN.
    pub address: String,
}

/// Events from now on. A slow reader holds nothing up and loses the oldest.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Arc<Event>>);

/// What a reader of events gets.
#[derive(Clone, Debug)]
pub enum News {
    /// The next event.
    Event(Arc<Event>),
    /// The reader was too slow: it lost so many events.
    Missed(u64),
}

impl Subscription {
    /// The next event, or how many were lost; `None` once the conference is gone.
    pub async fn next(&mut self) -> Option<News> {
        match self.0.recv().await {
            Ok(event) => Some(News::Event(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(News::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// What is there without waiting.
    pub fn waiting(&mut self) -> Option<News> {
        match self.0.try_recv() {
            Ok(event) => Some(News::Event(event)),
            Err(broadcast::error::TryRecvError::Lagged(count)) => Some(News::Missed(count)),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => {
                None
            }
        }
    }
}

/// Where events go. Clones are the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    stream: broadcast::Sender<Arc<Event>>,
    /// Held while an event is sent, so that numbers come in order.
    last: Arc<Mutex<u64>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { stream: broadcast::channel(BACKLOG).0, last: Arc::default() }
    }
}

impl Events {
    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription(self.stream.subscribe())
    }

    fn send(&self, meeting: MeetingId, sid: Option<String>, what: Happening, shown: Shown) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        let at = Timestamp::of(SystemTime::now());
        let event = Event { number: *last, at, meeting, sid, what, shown };
        // Without readers it is gone, as it should be.
        let _ = self.stream.send(Arc::new(event));
    }

    /// Tells how a call of ours stands.
    pub(crate) fn leg(&self, leg: &DialledLeg, sid: Option<String>) {
        let tag = LegTag {
            id: leg.id.clone(),
            identity: leg.identity.clone(),
            address: leg.address.clone(),
        };
        let what = match leg.state {
            LegState::Dialling => Happening::LegDialling { leg: tag },
            LegState::Ringing => Happening::LegRinging { leg: tag },
            LegState::Active => Happening::LegAnswered { leg: tag },
            cause => Happening::LegEnded { leg: tag, cause },
        };
        self.send(leg.meeting.clone(), sid, what, Shown::default());
    }
}

/// Looks at what follows from the rules of one meeting, and tells what happened.
pub(crate) struct Observer {
    events: Events,
    meeting: MeetingId,
    sid: String,
    /// Everybody in the meeting, as it was told last.
    known: HashMap<PeerId, ParticipantView>,
    most: u32,
}

impl Observer {
    /// Tells that the meeting begins.
    pub(crate) fn new(events: Events, meeting: MeetingId, sid: String, room: &Room) -> Self {
        let observer = Self { events, meeting, sid, known: HashMap::new(), most: 0 };
        observer.tell(room, Happening::MeetingBegan, None, None);
        observer
    }

    /// Looks at effects that are carried out. Whoever changes is told so itself, once: that is
    /// what counts here, since of what others are told there is a copy for each.
    pub(crate) fn see(&mut self, effects: &[Effect], room: &Room) {
        for effect in effects {
            let Effect::Tell { to, notice } = effect else { continue };
            match notice {
                Notice::Joined(snapshot) => self.joined(&snapshot.me, room),
                Notice::Participants(views) => {
                    if let Some(own) = views.iter().find(|it| it.peer == *to) {
                        self.changed(own, room);
                    }
                }
                Notice::Left(reason) => self.left(*to, *reason, room),
                _ => {}
            }
        }
    }

    /// Tells that the meeting is over.
    pub(crate) fn ended(&mut self, cause: EndCause, room: &Room) {
        let what = Happening::MeetingEnded { cause, most_participants: self.most };
        self.tell(room, what, None, None);
    }

    fn joined(&mut self, me: &ParticipantView, room: &Room) {
        self.known.insert(me.peer, me.clone());
        let shown = self.known.values().filter(|it| !it.permissions.hidden).count();
        self.most = self.most.max(u32::try_from(shown).unwrap_or(u32::MAX));
        let what = Happening::ParticipantJoined { participant: Who::of(me) };
        self.tell(room, what, Some(me), None);
    }

    fn changed(&mut self, now: &ParticipantView, room: &Room) {
        let Some(before) = self.known.insert(now.peer, now.clone()) else { return };
        let participant = || Who::of(now);
        if before.presence != now.presence && now.presence == Presence::Active {
            let what = Happening::ParticipantActive { participant: participant() };
            self.tell(room, what, Some(now), None);
        }
        let changed = [
            ("name", before.name != now.name),
            ("metadata", before.metadata != now.metadata),
            ("attributes", before.attributes != now.attributes),
            ("permissions", before.permissions != now.permissions),
        ];
        let changed: Vec<_> = changed.iter().filter(|it| it.1).map(|it| it.0).collect();
        if !changed.is_empty() {
            let what = Happening::ParticipantChanged { participant: participant(), changed };
            self.tell_short(what);
        }
        let of = |view: &ParticipantView, sid: &TrackSid| {
            view.tracks.iter().find(|it| it.sid == *sid).cloned()
        };
        for gone in before.tracks.iter().filter(|it| of(now, &it.sid).is_none()) {
            self.unpublished(now, gone, room);
        }
        for track in &now.tracks {
            let (participant, tag) = (participant(), Which::of(track));
            let what = match of(&before, &track.sid) {
                None => Happening::TrackPublished { participant, track: tag },
                Some(earlier) if earlier.muted != track.muted => {
                    self.tell_short(Happening::TrackMuted { participant, track: tag });
                    continue;
                }
                Some(_) => continue,
            };
            self.tell(room, what, Some(now), Some(track));
        }
    }

    fn unpublished(&self, whose: &ParticipantView, track: &TrackView, room: &Room) {
        let (participant, which) = (Who::of(whose), Which::of(track));
        let what = Happening::TrackUnpublished { participant, track: which };
        self.tell(room, what, Some(whose), Some(track));
    }

    fn left(&mut self, peer: PeerId, reason: LeaveReason, room: &Room) {
        let Some(mut last) = self.known.remove(&peer) else { return };
        for track in std::mem::take(&mut last.tracks) {
            self.unpublished(&last, &track, room);
        }
        let was_active = last.presence == Presence::Active;
        last.presence = Presence::Disconnected(reason);
        let what = Happening::ParticipantLeft { participant: Who::of(&last), reason, was_active };
        self.tell(room, what, Some(&last), None);
    }

    fn tell(
        &self,
        room: &Room,
        what: Happening,
        participant: Option<&ParticipantView>,
        track: Option<&TrackView>,
    ) {
        let shown = Shown {
            meeting: Some(room.view()),
            participant: participant.cloned(),
            track: track.cloned(),
        };
        self.events.send(self.meeting.clone(), Some(self.sid.clone()), what, shown);
    }

    fn tell_short(&self, what: Happening) {
        let shown = Shown::default();
        self.events.send(self.meeting.clone(), Some(self.sid.clone()), what, shown);
    }
}

#[cfg(test)]
mod tests;
