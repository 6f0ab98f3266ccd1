//! All meetings of this program.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcu::Mcu;
use room::{Command, Join, LeaveReason, Permissions, Refusal, Role};
use sfu::ShardHandle;
use sfu::driver::PortRange;
use sfu::transport::webrtc::{Connections, Session};
use tokio::sync::{mpsc, watch};
use types::{
    Identity, MeetingId, ParticipantKind, ParticipantSid, PeerId, Timestamp, TrackId, TrackSid,
};

use crate::access::{Booked, CreateError, Directory, MeetingSettings};
use crate::bridge::{LegFormat, Sharing};
use crate::clock::Clock;
use crate::dialling::DialledLeg;
use crate::events::{Events, Subscription};
use crate::ids::random_id;
use crate::leg::{Keys, Link};
use crate::meeting::{self, ExecuteError, JoinMedia, Linger, MeetingHandle, MeetingSnapshot};
use crate::member::{EVENT_QUEUE, Member};

/// How long ending meetings may take to tell their participants at shutdown.
const FAREWELL: Duration = Duration::from_secs(2);

/// Who wants to come in, and how its media comes.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Where to.
    pub meeting: MeetingId,
    /// Who.
    pub identity: Identity,
    /// Shown name.
    pub name: String,
    /// What.
    pub kind: ParticipantKind,
    /// What it may do.
    pub permissions: Permissions,
    /// As what it comes.
    pub role: Role,
    /// Free text for the clients.
    pub metadata: String,
    /// Free texts for the clients.
    pub attributes: BTreeMap<String, String>,
    /// Whether it gets every track without asking.
    pub auto_subscribe: bool,
    /// How many peer connections the client makes.
    pub connections: Connections,
}

/// How a room system comes in.
#[derive(Clone, Debug)]
pub struct Participant {
    /// Who.
    pub identity: Identity,
    /// Shown name.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// As what it comes.
    pub role: Role,
    /// Somebody who may has called it: it need not wait in the lobby.
    pub invited: bool,
    /// Free texts for the clients; LiveKit's for SIP begin with `sip.`.
    pub attributes: BTreeMap<String, String>,
}

/// A leg that waits outside of its meeting.
pub(crate) struct LegJoin {
    pub(crate) peer: PeerId,
    /// Ids for what it sends, as it comes: sound, picture.
    pub(crate) raw: [TrackId; 2],
    pub(crate) format: LegFormat,
    pub(crate) link: Link,
    pub(crate) keys: Keys,
    pub(crate) content: Option<ContentJoin>,
}

/// Its second picture.
pub(crate) struct ContentJoin {
    pub(crate) peer: PeerId,
    /// As those of the leg; there is no sound.
    pub(crate) raw: [TrackId; 2],
    pub(crate) format: LegFormat,
    /// Hears who shows a screen.
    pub(crate) sharing: watch::Sender<Sharing>,
}

/// Why somebody did not come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// No such meeting.
    #[error("there is no such meeting")]
    NoSuchMeeting,
    /// It does not take place now, and does not run.
    #[error("the meeting has not begun yet, or is over")]
    NotNow,
    /// The meeting's rules forbid it.
    #[error(transparent)]
    Refused(Refusal),
    /// The server stops.
    #[error("the server is shutting down")]
    Stopping,
    /// Every port of the range for room systems' media is taken.
    #[error("no ports are left for media")]
    NoPorts,
}

/// Meetings by id, on this machine's shards. Clones are the same conference.
#[derive(Clone)]
pub struct Conference {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    directory: Arc<Directory>,
    shards: Vec<ShardHandle>,
    mcu: Arc<Mcu>,
    ports: PortRange,
    meetings: Mutex<Meetings>,
    next_id: AtomicU64,
    events: Events,
}

#[derive(Default)]
struct Meetings {
    running: HashMap<MeetingId, MeetingHandle>,
    stopping: bool,
}

impl Conference {
    /// A conference without meetings. At least one shard is needed. Room systems' media take
    /// `ports`, and `mcu` makes what they get.
    pub fn new(
        directory: Arc<Directory>,
        shards: Vec<ShardHandle>,
        mcu: Arc<Mcu>,
        ports: PortRange,
    ) -> Self {
        Self::with_clock(Clock::system(), directory, shards, mcu, ports)
    }

    /// As [`Conference::new`], by a clock that is not the system's.
    pub fn with_clock(
        clock: Clock,
        directory: Arc<Directory>,
        shards: Vec<ShardHandle>,
        mcu: Arc<Mcu>,
        ports: PortRange,
    ) -> Self {
        let inner = Inner {
            clock,
            directory,
            shards,
            mcu,
            ports,
            meetings: Mutex::new(Meetings::default()),
            next_id: AtomicU64::new(1),
            events: Events::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Lets somebody into a meeting, which begins if nobody was in it.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(&self, request: JoinRequest) -> Result<Member, JoinError> {
        loop {
            let (meeting, shard) = self.meeting(&request.meeting)?;
            match self.join_at(&request, meeting, shard).await {
                // It ended between finding and joining it: it begins anew.
                Err(ExecuteError::Over) => {}
                Err(ExecuteError::Refused(refusal)) => return Err(JoinError::Refused(refusal)),
                Ok(member) => return Ok(member),
            }
        }
    }

    /// A running meeting; of one that was booked, by its alias or its number.
    pub fn find(&self, id: &MeetingId) -> Option<MeetingHandle> {
        let id = self.inner.directory.canonical(id);
        self.lock().running.get(&id).filter(|it| !it.is_over()).cloned()
    }

    /// All that run.
    pub(crate) fn running(&self) -> Vec<MeetingHandle> {
        self.lock().running.values().filter(|it| !it.is_over()).cloned().collect()
    }

    /// Begins a meeting without anybody in it, as LiveKit's `CreateRoom` does.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn open(&self, id: &MeetingId) -> Result<MeetingHandle, JoinError> {
        self.meeting(id).map(|it| it.0)
    }

    /// Adds a meeting for a key that may create rooms. Where there is no room for one more, those
    /// that were created earlier and do not run are forgotten: an application that makes a meeting
    /// for each talk never takes them away.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn create(&self, settings: MeetingSettings) -> Result<(), CreateError> {
        let directory = self.directory();
        match directory.create(settings.clone()) {
            Err(CreateError::Full(_)) => {}
            done => return done,
        }
        let running: HashSet<MeetingId> = {
            let meetings = self.lock();
            let running = meetings.running.iter().filter(|it| !it.1.is_over());
            running.map(|it| it.0.clone()).collect()
        };
        directory.forget(|id| running.contains(id));
        directory.create(settings)
    }

    /// All running meetings, as they stand.
    pub async fn snapshots(&self) -> Vec<MeetingSnapshot> {
        let meetings: Vec<MeetingHandle> = self.lock().running.values().cloned().collect();
        let mut snapshots = Vec::with_capacity(meetings.len());
        for meeting in meetings {
            snapshots.extend(meeting.snapshot().await);
        }
        snapshots
    }

    /// What happens in all meetings from now on.
    pub fn events(&self) -> Subscription {
        self.inner.events.subscribe()
    }

    /// Tells those who read events how a call of ours stands, once for each change of its state.
    pub fn tell_leg(&self, leg: &DialledLeg) {
        let sid = self.find(&leg.meeting).map(|it| it.sid().to_owned());
        self.inner.events.leg(leg, sid);
    }

    /// Ids of a new track, for the media planes and for clients.
    pub fn new_track_ids(&self) -> (TrackId, TrackSid) {
        (TrackId(self.next_id()), TrackSid::new(random_id("TR_")))
    }

    /// The meetings that exist, running or not.
    pub fn directory(&self) -> &Directory {
        &self.inner.directory
    }

    /// The shards, for their counters.
    pub fn shards(&self) -> &[ShardHandle] {
        &self.inner.shards
    }

    /// Ends every meeting and lets nobody in any more. Returns when the participants were told.
    pub async fn stop(&self) {
        let meetings: Vec<MeetingHandle> = {
            let mut meetings = self.lock();
            meetings.stopping = true;
            meetings.running.drain().map(|it| it.1).collect()
        };
        let ending = async {
            for meeting in meetings {
                let _ = meeting.execute(Command::End(LeaveReason::ServerStops)).await;
            }
        };
        if tokio::time::timeout(FAREWELL, ending).await.is_err() {
            tracing::warn!("some meetings did not end in time");
        }
        for shard in &self.inner.shards {
            shard.send(sfu::Command::Stop);
        }
    }

    fn meeting(&self, id: &MeetingId) -> Result<(MeetingHandle, ShardHandle), JoinError> {
        let settings = self.inner.directory.find(id).ok_or(JoinError::NoSuchMeeting)?;
        let id = &settings.id.clone();
        let booked = self.inner.directory.booked(id);
        let linger = booked.as_ref().and_then(|it| linger_of(it));
        let shard = self.shard_of(id).ok_or(JoinError::Stopping)?;
        let mut meetings = self.lock();
        if meetings.stopping {
            return Err(JoinError::Stopping);
        }
        meetings.running.retain(|_, meeting| !meeting.is_over());
        // Whoever has a token from the last time may go on with a meeting that runs late, and not have
        // one of their own.
        let now = Timestamp(now_ms());
        if !meetings.running.contains_key(id) && booked.is_some_and(|it| !it.is_open(now)) {
            return Err(JoinError::NotNow);
        }
        let meeting = meetings.running.entry(id.clone()).or_insert_with(|| {
            let (clock, events) = (self.inner.clock.clone(), self.inner.events.clone());
            let mcu = self.inner.mcu.clone();
            let meeting = meeting::start(settings, shard.clone(), mcu, clock, events);
            if let Some(linger) = linger {
                meeting.set_linger(linger);
            }
            meeting
        });
        Ok((meeting.clone(), shard))
    }

    async fn join_at(
        &self,
        request: &JoinRequest,
        meeting: MeetingHandle,
        shard: ShardHandle,
    ) -> Result<Member, ExecuteError> {
        let peer = PeerId(self.next_id());
        let sid = ParticipantSid::new(random_id("PA_"));
        let (connections, reachable) = (request.connections, shard.reachable().clone());
        let now = self.inner.clock.now();
        let settings = self.inner.directory.find(&request.meeting);
        let bandwidth = settings.and_then(|it| it.bandwidth);
        // A certificate is made: too long for a thread that serves others.
        let session = tokio::task::spawn_blocking(move || {
            let session = Session::new(connections, &reachable, now);
            Box::new(match bandwidth {
                Some(bandwidth) => session.bounded(bandwidth),
                None => session,
            })
        })
        .await
        .map_err(|_| ExecuteError::Over)?;
        let (events_in, events) = mpsc::channel(EVENT_QUEUE);
        let join = Join {
            peer,
            sid: sid.clone(),
            identity: request.identity.clone(),
            name: request.name.clone(),
            kind: request.kind,
            permissions: request.permissions.clone(),
            role: request.role,
            invited: false,
            metadata: request.metadata.clone(),
            attributes: request.attributes.clone(),
            auto_subscribe: request.auto_subscribe,
            joined_at_ms: now_ms(),
        };
        meeting.join(join, JoinMedia::WebRtc(session), events_in).await?;
        let identity = request.identity.clone();
        Ok(Member { peer, sid, identity, meeting, shard, events, left: false })
    }

    /// Lets a room system into a meeting, which begins if nobody was in it.
    pub(crate) async fn join_leg(
        &self,
        id: &MeetingId,
        participant: Participant,
        leg: LegJoin,
    ) -> Result<Member, JoinError> {
        let (meeting, shard) = self.meeting(id)?;
        let (peer, sid) = (leg.peer, ParticipantSid::new(random_id("PA_")));
        let (events_in, events) = mpsc::channel(EVENT_QUEUE);
        let identity = participant.identity.clone();
        let join = Join {
            peer,
            sid: sid.clone(),
            identity: participant.identity,
            name: participant.name,
            kind: ParticipantKind::Sip,
            permissions: participant.permissions,
            role: participant.role,
            invited: participant.invited,
            metadata: String::new(),
            attributes: participant.attributes,
            // It gets the bridge's streams, not tracks.
            auto_subscribe: false,
            joined_at_ms: now_ms(),
        };
        match meeting.join(join, JoinMedia::Leg(Box::new(leg)), events_in).await {
            Ok(()) => Ok(Member { peer, sid, identity, meeting, shard, events, left: false }),
            Err(ExecuteError::Refused(refusal)) => Err(JoinError::Refused(refusal)),
            // It ended at this moment: the caller has to dial again.
            Err(ExecuteError::Over) => Err(JoinError::NoSuchMeeting),
        }
    }

    /// A number for who comes, and the shard at this place.
    pub(crate) fn new_peer(&self, shard: usize) -> Result<(PeerId, ShardHandle), JoinError> {
        let shard = self.inner.shards.get(shard).cloned().ok_or(JoinError::Stopping)?;
        if self.lock().stopping {
            return Err(JoinError::Stopping);
        }
        Ok((PeerId(self.next_id()), shard))
    }

    /// What makes sound and picture for room systems.
    pub fn mcu(&self) -> &Mcu {
        &self.inner.mcu
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub(crate) fn ports(&self) -> &PortRange {
        &self.inner.ports
    }

    /// The place of a meeting's shard, by whatever the meeting is called.
    pub(crate) fn place_of(&self, id: &MeetingId) -> usize {
        let mut hasher = DefaultHasher::new();
        self.inner.directory.canonical(id).hash(&mut hasher);
        let count = self.inner.shards.len().max(1) as u64;
        (hasher.finish() % count) as usize
    }

    fn shard_of(&self, id: &MeetingId) -> Option<ShardHandle> {
        self.inner.shards.get(self.place_of(id)).cloned()
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.inner.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Meetings> {
        self.inner.meetings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a booked meeting goes on without anybody, where it says.
fn linger_of(booked: &Booked) -> Option<Linger> {
    let minutes = booked.meeting.settings.automatic_end.empty_minutes?;
    let time = Duration::from_secs(u64::from(minutes) * 60);
    Some(Linger { empty: time, departed: time })
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
