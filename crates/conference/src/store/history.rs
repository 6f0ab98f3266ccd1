//! The history: which meetings ran, who stayed in them, which room systems were called, and how well
//! all of it went.
//!
//! Whoever tells it writes a row when something begins and the same row again, whole, whenever it
//! changes and when it ends; writing a row twice does no harm.

use async_trait::async_trait;
use types::{Identity, MeetingId, ParticipantKind, RecordId, Timestamp};

use super::StoreError;
use crate::telephony::{Ladder, LadderHead};

/// The cause of whatever a crash ended.
pub const SERVER_STOPPED: &str = "server_stopped";

/// A meeting from its first participant to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: RecordId,
    /// Of which meeting.
    pub meeting: MeetingId,
    /// The meeting's name at that time.
    pub name: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None`: it runs.
    pub ended_at: Option<Timestamp>,
    /// Why it ended, one word; empty while it runs.
    pub cause: String,
    /// The most participants at a time.
    pub most_participants: u32,
}

/// A participant in a run, from joining to leaving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Its id.
    pub id: RecordId,
    /// In which run.
    pub run: RecordId,
    /// Of which meeting.
    pub meeting: MeetingId,
    /// As the meeting knows them.
    pub identity: Identity,
    /// As people know them.
    pub name: String,
    /// What stands behind them.
    pub kind: ParticipantKind,
    /// The account that they signed in with.
    pub account: Option<RecordId>,
    /// When they joined.
    pub joined_at: Timestamp,
    /// When they left; `None`: they are there.
    pub left_at: Option<Timestamp>,
    /// Why they left, one word; empty while they are there.
    pub cause: String,
}

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// They called us.
    Incoming,
    /// We called them.
    Outgoing,
}

impl Direction {
    /// Its word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }
}

/// Which side ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This server, or somebody by it.
    Ours,
    /// The room system.
    Theirs,
}

impl Side {
    /// Its word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }
}

/// A call with a room system, whether or not it came to a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegCall {
    /// Its id.
    pub id: RecordId,
    /// In which run; `None`: it came to none.
    pub run: Option<RecordId>,
    /// As which participant's stay.
    pub stay: Option<RecordId>,
    /// To which meeting it went or was to go.
    pub meeting: Option<MeetingId>,
    /// Who called whom.
    pub direction: Direction,
    /// The other side's address, such as a SIP URI without a password.
    pub address: String,
    /// What was spoken, such as `opus, h264`; empty: nothing was agreed on.
    pub codecs: String,
    /// When the call began.
    pub started_at: Timestamp,
    /// When it was answered; `None`: not yet, or never.
    pub answered_at: Option<Timestamp>,
    /// When it ended; `None`: it goes on.
    pub ended_at: Option<Timestamp>,
    /// Why it ended, one word; empty while it goes on.
    pub cause: String,
    /// Who ended it; `None`: nobody yet, or not known.
    pub ended_by: Option<Side>,
    /// Its `Call-ID`, by which its SIP messages are found; empty: not known.
    pub call: String,
    /// The dial rule that it came by; empty: none.
    pub rule: String,
    /// How its media went, once it is over.
    pub media: CallMedia,
}

/// How a call's media went, on the whole. What was not measured is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallMedia {
    /// Packets lost on the way to us, per mille.
    pub loss_in: Option<u32>,
    /// Packets lost on the way to them, per mille.
    pub loss_out: Option<u32>,
    /// There and back, in milliseconds.
    pub round_trip_ms: Option<u32>,
    /// How unevenly packets of sound came, in milliseconds (RFC 3550's interarrival jitter).
    pub jitter_ms: Option<u32>,
    /// What came, in bits a second.
    pub bit_rate_in: Option<u64>,
    /// What went, in bits a second.
    pub bit_rate_out: Option<u64>,
    /// What people would have said of the sound, in hundredths: 100 to 450 (the mean opinion score of
    /// ITU-T G.107, estimated).
    pub mos: Option<u32>,
}

/// How well a participant's media went at one time. What was not measured is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Until when it was measured.
    pub at: Timestamp,
    /// Packets lost on the way to us, per mille.
    pub loss_in: Option<u32>,
    /// Packets lost on the way to them, per mille.
    pub loss_out: Option<u32>,
    /// There and back, in milliseconds.
    pub round_trip_ms: Option<u32>,
    /// What came, in bits a second.
    pub bit_rate_in: Option<u64>,
    /// What went, in bits a second.
    pub bit_rate_out: Option<u64>,
}

/// A row of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryRow {
    /// A run of a meeting.
    Run(Run),
    /// A participant's stay.
    Stay(Stay),
    /// A call with a room system.
    Leg(LegCall),
    /// Figures of a stay.
    Figures {
        /// Of which.
        stay: RecordId,
        /// The figures.
        figures: Figures,
    },
    /// The SIP messages of a call.
    Ladder(Ladder),
}

/// After which row a page begins: rows are listed by when they began, the latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryCursor {
    /// When the last row of the page before began.
    pub began_at: Timestamp,
    /// Its id.
    pub id: RecordId,
}

/// Which runs, stays or calls are listed; all conditions hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of this meeting.
    pub meeting: Option<MeetingId>,
    /// Of this run; of runs, this one.
    pub run: Option<RecordId>,
    /// Of this participant; of runs, those in which they stayed.
    pub identity: Option<Identity>,
    /// Begun not before this time.
    pub since: Option<Timestamp>,
    /// Begun before this time.
    pub until: Option<Timestamp>,
    /// Only those that go on.
    pub going_on: bool,
    /// Only those after this place.
    pub after: Option<HistoryCursor>,
    /// As many at most.
    pub limit: u32,
}

/// Which calls' SIP messages are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LadderQuery {
    /// Of the call with this `Call-ID`.
    pub call: Option<String>,
    /// Only those after this place.
    pub after: Option<HistoryCursor>,
    /// As many at most.
    pub limit: u32,
}

/// What is thrown away of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRetention {
    /// Runs, stays and calls that ended before this time.
    pub ended_before: Timestamp,
    /// Figures of before this time.
    pub figures_before: Timestamp,
    /// SIP messages of calls that ended before this time.
    pub ladders_before: Timestamp,
}

/// Where the history is kept.
#[async_trait]
pub trait History {
    /// Writes rows, all or none, each new or over the one of its id. `now` becomes the last time at
    /// which the server was known to run: it is told every few seconds, even with no row.
    async fn write_history(&self, rows: &[HistoryRow], now: Timestamp) -> Result<(), StoreError>;

    /// Ends what a crash left going on, at the last time known, because of [`SERVER_STOPPED`]. Says
    /// how many rows that were. For the server alone, before it writes anything.
    async fn end_history_left_open(&self) -> Result<u64, StoreError>;

    /// Some runs.
    async fn runs(&self, query: &HistoryQuery) -> Result<Vec<Run>, StoreError>;

    /// Some stays.
    async fn stays(&self, query: &HistoryQuery) -> Result<Vec<Stay>, StoreError>;

    /// Some calls.
    async fn legs(&self, query: &HistoryQuery) -> Result<Vec<LegCall>, StoreError>;

    /// Figures of a stay after a time, the oldest first, as many at most.
    async fn figures(
        &self,
        stay: &RecordId,
        after: Timestamp,
        limit: u32,
    ) -> Result<Vec<Figures>, StoreError>;

    /// SIP messages of calls, the latest first, without the messages themselves.
    async fn ladders(&self, query: &LadderQuery) -> Result<Vec<LadderHead>, StoreError>;

    /// The SIP messages of a call, by their id.
    async fn ladder(&self, id: &RecordId) -> Result<Option<Ladder>, StoreError>;

    /// Throws away what is older than it is to be kept, a slice at a time so that others get in
    /// between. Says how many rows that were.
    async fn trim_history(&self, retention: HistoryRetention) -> Result<u64, StoreError>;
}

impl HistoryCursor {
    /// The place after this run.
    pub fn after_run(run: &Run) -> Self {
        Self { began_at: run.started_at, id: run.id.clone() }
    }

    /// The place after this stay.
    pub fn after_stay(stay: &Stay) -> Self {
        Self { began_at: stay.joined_at, id: stay.id.clone() }
    }

    /// The place after these messages.
    pub fn after_ladder(ladder: &LadderHead) -> Self {
        Self { began_at: ladder.began_at, id: ladder.id.clone() }
    }

    /// The place after this call.
    pub fn after_leg(leg: &LegCall) -> Self {
        Self { began_at: leg.started_at, id: leg.id.clone() }
    }
}
