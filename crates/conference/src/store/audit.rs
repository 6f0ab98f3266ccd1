//! The audit log: who did what, on what, from where, and how it ended. Each entry holds the hash of
//! the one before it, so that none can be changed or taken out without a trace.

use std::fmt::Write;
use std::net::IpAddr;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use types::{MeetingId, RecordId, Timestamp};

use super::{Store, StoreError};

/// The hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What kind of somebody acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person with an account.
    Account,
    /// An application with a key.
    Key,
    /// A participant of a meeting, by its token.
    Participant,
    /// Somebody who gave no name or a wrong one.
    Nobody,
    /// The server itself.
    Server,
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What kind of somebody.
    pub kind: ActorKind,
    /// The account's or key's id, the participant's identity; empty for nobody and the server.
    pub id: String,
    /// As people know them.
    pub name: String,
}

impl Actor {
    /// The server itself.
    pub fn server() -> Self {
        Self { kind: ActorKind::Server, id: String::new(), name: "server".to_owned() }
    }

    /// Somebody unknown, by the name that they gave.
    pub fn nobody(name: impl Into<String>) -> Self {
        Self { kind: ActorKind::Nobody, id: String::new(), name: name.into() }
    }
}

/// On what somebody acts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// A record's kind, or `participant`, `leg`, `server`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// As people know it.
    pub name: String,
}

/// How an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// A rule forbids it.
    Refused,
    /// It was allowed and went wrong.
    Failed,
}

impl Outcome {
    /// Its word in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl ActorKind {
    /// Its word in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Key => "key",
            Self::Participant => "participant",
            Self::Nobody => "nobody",
            Self::Server => "server",
        }
    }
}

/// What somebody did or tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What, such as `account.create`.
    pub action: String,
    /// On what.
    pub target: Target,
    /// From which address; `None`: from within.
    pub from: Option<IpAddr>,
    /// How it ended.
    pub outcome: Outcome,
    /// More about it, JSON; never a secret. Empty: nothing.
    pub detail: String,
}

impl Act {
    /// What somebody does to a meeting that runs, as done.
    pub fn live(
        at: Timestamp,
        actor: Actor,
        act: &room::Act,
        meeting: &MeetingId,
        from: Option<IpAddr>,
    ) -> Self {
        let on = act.target().map(|it| ("participant", it.to_string()));
        let (kind, id) = on.unwrap_or_else(|| ("meeting", meeting.to_string()));
        Self {
            at,
            actor,
            action: format!("live.{}", act.name()),
            target: Target { kind: kind.to_owned(), id, name: String::new() },
            from,
            outcome: Outcome::Done,
            detail: serde_json::json!({ "meeting": meeting.as_str() }).to_string(),
        }
    }
}

/// An act as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// 1 for the first, then without a gap.
    pub number: u64,
    /// What was done.
    pub act: Act,
    /// The hash of this entry and so of all before it, 64 hexadecimal digits.
    pub hash: String,
}

/// Which entries are read; all conditions hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only those after this number; 0: from the first on.
    pub after: u64,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Of this actor's id.
    pub actor: Option<String>,
    /// On a target of this id.
    pub target: Option<String>,
    /// Whose action begins so, such as `account.`.
    pub action: Option<String>,
    /// As many at most.
    pub limit: u32,
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A number is missing or stands twice.
    #[error("entry {expected} is missing: {found} follows the one before it")]
    Gap {
        /// Which should come.
        expected: u64,
        /// Which came.
        found: u64,
    },
    /// An entry is not what it was when it was written, or the one before it is not.
    #[error("entry {number} was changed, or an entry before it was")]
    Changed {
        /// Which.
        number: u64,
    },
    /// The last entries are missing.
    #[error("the log ends with entry {found}, but {expected} were written")]
    CutOff {
        /// As many were written.
        expected: u64,
        /// As many are there.
        found: u64,
    },
}

/// The hash of entry `number` after one of hash `before`: SHA-256 over every part behind its length
/// in bytes, so that no two acts are written alike.
pub fn hash(before: &str, number: u64, act: &Act) -> String {
    let mut context = Context::new(&SHA256);
    let from = act.from.map(|it| it.to_string()).unwrap_or_default();
    for part in [
        before,
        &number.to_string(),
        &act.at.to_string(),
        act.actor.kind.word(),
        &act.actor.id,
        &act.actor.name,
        &act.action,
        &act.target.kind,
        &act.target.id,
        &act.target.name,
        &from,
        act.outcome.word(),
        &act.detail,
    ] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut text = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Follows a log from its first entry on and finds where it was tampered with.
#[derive(Clone, Debug)]
pub struct ChainCheck {
    number: u64,
    hash: String,
}

impl Default for ChainCheck {
    fn default() -> Self {
        Self { number: 0, hash: GENESIS.to_owned() }
    }
}

impl ChainCheck {
    /// The next entry.
    ///
    /// # Errors
    /// [`ChainError::Gap`], [`ChainError::Changed`].
    pub fn follow(&mut self, entry: &AuditEntry) -> Result<(), ChainError> {
        let expected = self.number + 1;
        if entry.number != expected {
            return Err(ChainError::Gap { expected, found: entry.number });
        }
        if hash(&self.hash, entry.number, &entry.act) != entry.hash {
            return Err(ChainError::Changed { number: entry.number });
        }
        self.number = entry.number;
        self.hash.clone_from(&entry.hash);
        Ok(())
    }

    /// All entries were followed; `head` is what the database says of the last one.
    ///
    /// # Errors
    /// [`ChainError::CutOff`], [`ChainError::Changed`].
    pub fn finish(&self, head: Option<&(u64, String)>) -> Result<u64, ChainError> {
        let (expected, hash) = head.map_or((0, GENESIS), |it| (it.0, it.1.as_str()));
        if self.number < expected {
            return Err(ChainError::CutOff { expected, found: self.number });
        }
        if self.number != expected || self.hash != hash {
            return Err(ChainError::Changed { number: self.number });
        }
        Ok(self.number)
    }

    /// The number of the last entry that was followed.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// Why a log is not known to be whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was tampered with.
    #[error("the audit log: {0}")]
    Chain(#[from] ChainError),
}

/// Follows the whole log of a store, and says how many entries it has. What is written meanwhile is
/// left out.
///
/// # Errors
/// [`VerifyError`].
pub async fn verify(store: &dyn Store) -> Result<u64, VerifyError> {
    /// Keeps memory bounded.
    const SLICE: u32 = 500;
    let head = store.audit_head().await?;
    let last = head.as_ref().map_or(0, |it| it.0);
    let mut check = ChainCheck::default();
    loop {
        let query = AuditQuery { after: check.number(), limit: SLICE, ..AuditQuery::default() };
        let entries = store.audit(&query).await?;
        for entry in &entries {
            if head.is_some() && entry.number > last {
                return Ok(check.finish(head.as_ref())?);
            }
            check.follow(entry)?;
        }
        if entries.len() < SLICE as usize {
            return Ok(check.finish(head.as_ref())?);
        }
    }
}

impl Target {
    /// A record, and its name for people.
    pub fn record(kind: super::Kind, id: &RecordId, name: impl Into<String>) -> Self {
        Self { kind: kind.word().to_owned(), id: id.to_string(), name: name.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(action: &str) -> Act {
        Act {
            at: Timestamp(1_700_000_000_000),
            actor: Actor::server(),
            action: action.to_owned(),
            target: Target::default(),
            from: None,
            outcome: Outcome::Done,
            detail: String::new(),
        }
    }

    fn log() -> Vec<AuditEntry> {
        let mut before = GENESIS.to_owned();
        let mut log = Vec::new();
        for (number, action) in (1..).zip(["server.start", "account.create", "server.stop"]) {
            let act = act(action);
            before = hash(&before, number, &act);
            log.push(AuditEntry { number, act, hash: before.clone() });
        }
        log
    }

    fn check(log: &[AuditEntry], head: &(u64, String)) -> Result<u64, ChainError> {
        let mut check = ChainCheck::default();
        for entry in log {
            check.follow(entry)?;
        }
        check.finish(Some(head))
    }

    #[test]
    fn every_way_to_tamper_with_a_log_is_found() {
        let log = log();
        let head = (3, log[2].hash.clone());
        assert_eq!(check(&log, &head), Ok(3));
        let mut changed = log.clone();
        changed[1].act.actor.name = "somebody else".to_owned();
        assert_eq!(check(&changed, &head), Err(ChainError::Changed { number: 2 }));
        let without = [log[0].clone(), log[2].clone()];
        assert_eq!(check(&without, &head), Err(ChainError::Gap { expected: 2, found: 3 }));
        let short = ChainError::CutOff { expected: 3, found: 2 };
        assert_eq!(check(&log[..2], &head), Err(short));
        let mut rewritten = log.clone();
        rewritten[2].act.action = "server.crash".to_owned();
        rewritten[2].hash = hash(&log[1].hash, 3, &rewritten[2].act);
        assert_eq!(check(&rewritten, &head), Err(ChainError::Changed { number: 3 }));
    }

    #[test]
    fn what_moves_from_one_part_to_the_next_changes_the_hash() {
        let mut a = act("x");
        (a.target.id, a.target.name) = ("ab".to_owned(), "c".to_owned());
        let mut b = a.clone();
        (b.target.id, b.target.name) = ("a".to_owned(), "bc".to_owned());
        assert_ne!(hash(GENESIS, 1, &a), hash(GENESIS, 1, &b));
    }
}
