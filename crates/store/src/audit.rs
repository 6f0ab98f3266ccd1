//! The audit log.

use conference::store::StoreError;
use conference::store::audit::{
    self, Act, Actor, ActorKind, AuditEntry, AuditQuery, Outcome, Target,
};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use types::Timestamp;

use crate::failure::{failed, unavailable};
use crate::records::literally;
use crate::sql::{Sql, column, cut, signed, unsigned};

/// What is longer is cut before it is hashed: part of it may come from anybody, and PostgreSQL's
/// indexes hold less than 2,700 bytes a row.
const LONGEST_ID: usize = 512;
const LONGEST_NAME: usize = 1024;
const LONGEST_DETAIL: usize = 64 * 1024;

/// The log's end within a transaction.
pub(crate) struct Head {
    /// The last entry's number.
    number: u64,
    /// Its hash.
    hash: String,
}

/// Takes the log's head for this transaction, and as many numbers after it. Every transaction that
/// changes records does so first: on PostgreSQL the others wait here, in an order of their own, and
/// so never for each other.
pub(crate) async fn advance(
    connection: &mut AnyConnection,
    acts: usize,
) -> Result<Head, StoreError> {
    let acts = acts as u64;
    let query = sqlx::query(
        "UPDATE audit_head SET number = number + $1 WHERE id = 1 RETURNING number, hash",
    );
    let rows = query.bind(signed(acts)).fetch_all(connection).await.map_err(failed)?;
    let row = rows.first().ok_or_else(|| unavailable("the audit log's head is missing"))?;
    let number = unsigned(column(row, 0)?).saturating_sub(acts);
    Ok(Head { number, hash: column(row, 1)? })
}

/// Writes acts after the head.
pub(crate) async fn append(
    connection: &mut AnyConnection,
    head: Head,
    acts: &[Act],
) -> Result<(), StoreError> {
    if acts.is_empty() {
        return Ok(());
    }
    let Head { mut number, mut hash } = head;
    for act in acts {
        let act = bounded(act);
        number += 1;
        hash = audit::hash(&hash, number, &act);
        insert(connection, &AuditEntry { number, act, hash: hash.clone() }).await?;
    }
    let query = sqlx::query("UPDATE audit_head SET hash = $1 WHERE id = 1").bind(hash);
    query.execute(connection).await.map_err(failed)?;
    Ok(())
}

fn bounded(act: &Act) -> Act {
    Act {
        at: act.at,
        actor: Actor {
            kind: act.actor.kind,
            id: cut(&act.actor.id, LONGEST_ID).into_owned(),
            name: cut(&act.actor.name, LONGEST_NAME).into_owned(),
        },
        action: cut(&act.action, LONGEST_ID).into_owned(),
        target: Target {
            kind: cut(&act.target.kind, LONGEST_ID).into_owned(),
            id: cut(&act.target.id, LONGEST_ID).into_owned(),
            name: cut(&act.target.name, LONGEST_NAME).into_owned(),
        },
        from: act.from,
        outcome: act.outcome,
        detail: cut(&act.detail, LONGEST_DETAIL).into_owned(),
    }
}

async fn insert(connection: &mut AnyConnection, entry: &AuditEntry) -> Result<(), StoreError> {
    let act = &entry.act;
    let query = sqlx::query(
        "INSERT INTO audit (number, at, actor_kind, actor_id, actor_name, action, target_kind, \
         target_id, target_name, from_address, outcome, detail, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(signed(entry.number))
    .bind(act.at.0)
    .bind(act.actor.kind.word())
    .bind(act.actor.id.clone())
    .bind(act.actor.name.clone())
    .bind(act.action.clone())
    .bind(act.target.kind.clone())
    .bind(act.target.id.clone())
    .bind(act.target.name.clone())
    .bind(act.from.map(|it| it.to_string()).unwrap_or_default())
    .bind(act.outcome.word())
    .bind(act.detail.clone())
    .bind(entry.hash.clone());
    query.execute(connection).await.map_err(failed)?;
    Ok(())
}

pub(crate) async fn list(
    connection: &mut AnyConnection,
    query: &AuditQuery,
) -> Result<Vec<AuditEntry>, StoreError> {
    let sql = Sql::new(
        "SELECT number, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, \
         target_name, from_address, outcome, detail, hash FROM audit",
    );
    let actor = query.actor.as_deref().map(|it| cut(it, LONGEST_ID));
    let target = query.target.as_deref().map(|it| cut(it, LONGEST_ID));
    let mut sql = sql
        .with(" WHERE number > ", signed(query.after))
        .when(" AND at >= ", query.since.map(|it| it.0))
        .when(" AND at < ", query.until.map(|it| it.0))
        .when(" AND actor_id = ", actor.as_deref())
        .when(" AND target_id = ", target.as_deref());
    if let Some(action) = query.action.as_deref().filter(|it| !it.is_empty()) {
        let pattern = format!("{}%", literally(&cut(action, LONGEST_ID)));
        sql = sql.with(" AND action LIKE ", &*pattern).push(" ESCAPE '!'");
    }
    let sql = sql.with(" ORDER BY number LIMIT ", i64::from(query.limit));
    let rows = sql.query().fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(entry).collect()
}

fn entry(row: &AnyRow) -> Result<AuditEntry, StoreError> {
    let number = unsigned(column(row, 0)?);
    // A word that this program does not write: the log's check would say the same.
    let foreign =
        |what: &str| unavailable(format!("entry {number} of the audit log was changed: {what}"));
    let actor_kind: String = column(row, 2)?;
    let outcome: String = column(row, 10)?;
    let from: String = column(row, 9)?;
    let from = match from.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| foreign("its address"))?),
    };
    let act = Act {
        at: Timestamp(column(row, 1)?),
        actor: Actor {
            kind: actor_kind_of(&actor_kind).ok_or_else(|| foreign("its actor"))?,
            id: column(row, 3)?,
            name: column(row, 4)?,
        },
        action: column(row, 5)?,
        target: Target { kind: column(row, 6)?, id: column(row, 7)?, name: column(row, 8)? },
        from,
        outcome: outcome_of(&outcome).ok_or_else(|| foreign("its outcome"))?,
        detail: column(row, 11)?,
    };
    Ok(AuditEntry { number, act, hash: column(row, 12)? })
}

fn actor_kind_of(word: &str) -> Option<ActorKind> {
    let all = [
        ActorKind::Account,
        ActorKind::Key,
        ActorKind::Participant,
        ActorKind::Nobody,
        ActorKind::Server,
    ];
    all.into_iter().find(|it| it.word() == word)
}

fn outcome_of(word: &str) -> Option<Outcome> {
    [Outcome::Done, Outcome::Refused, Outcome::Failed].into_iter().find(|it| it.word() == word)
}

pub(crate) async fn head(
    connection: &mut AnyConnection,
) -> Result<Option<(u64, String)>, StoreError> {
    let query = sqlx::query("SELECT number, hash FROM audit_head WHERE id = 1 AND number > 0");
    let row = query.fetch_optional(connection).await.map_err(failed)?;
    row.map(|row| Ok((unsigned(column(&row, 0)?), column(&row, 1)?))).transpose()
}
