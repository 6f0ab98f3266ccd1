//! What is kept: records, the audit log and the history.
//!
//! [`Store`] is what an adapter implements over a database; everybody else uses the typed calls of
//! [`Records`]. A record is a JSON body under an id, found by the keys that its entity names: a new
//! kind of entity needs no new table and is told apart by its type alone.

pub mod audit;
mod entity;
mod history;
#[cfg(test)]
pub(crate) mod memory;

use std::fmt;

use async_trait::async_trait;
use types::{RecordId, Timestamp};

pub use audit::{Act, Actor, ActorKind, AuditEntry, AuditQuery, Outcome, Target};
pub use entity::{Batch, Entity, Found, Key, Page, Records, Search};
pub use history::{
    CallMedia, Direction, Figures, History, HistoryCursor, HistoryQuery, HistoryRetention,
    HistoryRow, LadderQuery, LegCall, Run, SERVER_STOPPED, Side, Stay,
};

/// What a record is of. Its word stands in the database and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A person's account.
    Account,
    /// A group of accounts.
    Group,
    /// A browser that somebody signed in with.
    Session,
    /// A token for programs that act for an account.
    ApiToken,
    /// A key of an application that speaks LiveKit's protocol.
    Key,
    /// A meeting.
    Meeting,
    /// What new meetings begin with.
    Template,
    /// A room system of the house.
    Device,
    /// Another server or a telephone exchange.
    Trunk,
    /// A rule of the dial plan.
    DialRule,
    /// An entry of the address book.
    Contact,
    /// Where events are told to.
    Webhook,
    /// An answer that is repeated when its request is.
    Replay,
    /// Single values of the server itself.
    Setting,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Account,
        Self::Group,
        Self::Session,
        Self::ApiToken,
        Self::Key,
        Self::Meeting,
        Self::Template,
        Self::Device,
        Self::Trunk,
        Self::DialRule,
        Self::Contact,
        Self::Webhook,
        Self::Replay,
        Self::Setting,
    ];

    /// Its word in the database and the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Group => "group",
            Self::Session => "session",
            Self::ApiToken => "api_token",
            Self::Key => "key",
            Self::Meeting => "meeting",
            Self::Template => "template",
            Self::Device => "device",
            Self::Trunk => "trunk",
            Self::DialRule => "dial_rule",
            Self::Contact => "contact",
            Self::Webhook => "webhook",
            Self::Replay => "replay",
            Self::Setting => "setting",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A record as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is of.
    pub kind: Kind,
    /// Its id, unique in its kind.
    pub id: RecordId,
    /// 1 at first, one more with every change.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// The entity, JSON.
    pub body: String,
}

/// What is written of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The entity, JSON.
    pub body: String,
    /// By what it is found.
    pub keys: Vec<Key>,
    /// What a search looks through, in lower case.
    pub search: String,
    /// When it may be thrown away; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// One change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new record.
    Insert {
        /// What it is of.
        kind: Kind,
        /// Its id.
        id: RecordId,
        /// All else.
        draft: Draft,
    },
    /// Another content of a record.
    Update {
        /// What it is of.
        kind: Kind,
        /// Its id.
        id: RecordId,
        /// The version that is changed; `None`: whichever there is.
        expected: Option<u64>,
        /// All of its new content.
        draft: Draft,
    },
    /// A record goes.
    Delete {
        /// What it is of.
        kind: Kind,
        /// Its id.
        id: RecordId,
        /// The version that is meant; `None`: whichever there is.
        expected: Option<u64>,
    },
}

/// Which records are listed, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Of what.
    pub kind: Kind,
    /// Only those with this key of this value.
    pub by: Option<(&'static str, String)>,
    /// Only those whose search text contains this, in lower case.
    pub search: Option<String>,
    /// Only those after this id.
    pub after: Option<RecordId>,
    /// As many at most.
    pub limit: u32,
}

/// Why something was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another record has this key.
    #[error("there is already a {kind} of this {key}")]
    Taken {
        /// Of which kind.
        kind: Kind,
        /// The key's name.
        key: &'static str,
    },
    /// The record has changed since it was read.
    #[error("the {kind} {id} has changed meanwhile: read it anew")]
    Stale {
        /// Of which kind.
        kind: Kind,
        /// Which.
        id: RecordId,
    },
    /// There is no such record.
    #[error("there is no {kind} {id}")]
    Missing {
        /// Of which kind.
        kind: Kind,
        /// Which.
        id: RecordId,
    },
    /// A record's body is not what its kind says: another version of the program wrote it.
    #[error("the {kind} {id} cannot be read: {why}")]
    Unreadable {
        /// Of which kind.
        kind: Kind,
        /// Which.
        id: RecordId,
        /// What the reader says.
        why: String,
    },
    /// The database does not do what it should. The text is for the log, not for a peer.
    #[error("the database: {0}")]
    Unavailable(String),
}

/// Where everything is kept that outlives the program. What a call has answered with success is on
/// the disk and stands after a crash.
#[async_trait]
pub trait Store: History + Send + Sync + fmt::Debug {
    /// One record.
    async fn get(&self, kind: Kind, id: &RecordId) -> Result<Option<Record>, StoreError>;

    /// The record with this unique key of this value.
    async fn find(
        &self,
        kind: Kind,
        key: &'static str,
        value: &str,
    ) -> Result<Option<Record>, StoreError>;

    /// Some records.
    async fn list(&self, list: &List) -> Result<Vec<Record>, StoreError>;

    /// Carries out all changes in their order and writes the acts into the audit log, or does
    /// nothing of it.
    async fn write(
        &self,
        changes: &[Change],
        acts: &[Act],
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Throws away what has expired, and says how many records that were.
    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Some entries of the audit log, the oldest first.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError>;

    /// The number and hash of the audit log's last entry; `None` where it has none.
    async fn audit_head(&self) -> Result<Option<(u64, String)>, StoreError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
