//! The SIP messages of calls.

use conference::store::{LadderQuery, StoreError};
use conference::telephony::{Ladder, LadderHead, LadderMessage};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use types::{RecordId, Timestamp};

use crate::failure::{failed, unavailable};
use crate::sql::{Sql, Table, Value, clean, column, cut};

/// A longer `Call-ID` is cut.
const LONGEST: usize = 512;
/// What [`head_of`] reads.
const HEAD: &str = "id, call, began_at, ended_at, peer, outcome";

pub(crate) const TABLE: Table = Table {
    name: "ladders",
    columns: &["id", "call", "began_at", "ended_at", "peer", "outcome", "messages", "left_out"],
    key: 1,
};

pub(crate) fn row(ladder: &Ladder) -> Result<Vec<Value>, StoreError> {
    let Ladder { head, messages, left_out } = ladder;
    let messages = serde_json::to_string(messages)
        .map_err(|error| unavailable(format!("writing SIP messages: {error}")))?;
    Ok(vec![
        cut(head.id.as_str(), LONGEST).into_owned().into(),
        cut(&head.call, LONGEST).into_owned().into(),
        head.began_at.0.into(),
        head.ended_at.0.into(),
        cut(&head.peer, LONGEST).into_owned().into(),
        cut(&head.outcome, LONGEST).into_owned().into(),
        clean(&messages).into_owned().into(),
        i64::from(*left_out).into(),
    ])
}

pub(crate) async fn list(
    connection: &mut AnyConnection,
    query: &LadderQuery,
) -> Result<Vec<LadderHead>, StoreError> {
    let call = query.call.as_ref().map(|it| cut(it, LONGEST).into_owned());
    let mut sql = Sql::new(format!("SELECT {HEAD} FROM ladders WHERE 1 = 1"))
        .when(" AND call = ", call.as_deref());
    if let Some(after) = &query.after {
        sql = sql.with(" AND (began_at, id) < (", after.began_at.0);
        sql = sql.with(", ", &*clean(after.id.as_str())).push(")");
    }
    let sql = sql.with(" ORDER BY began_at DESC, id DESC LIMIT ", i64::from(query.limit));
    let rows = sql.query().fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(head_of).collect()
}

pub(crate) async fn find(
    connection: &mut AnyConnection,
    id: &RecordId,
) -> Result<Option<Ladder>, StoreError> {
    let sql = Sql::new(format!("SELECT {HEAD}, messages, left_out FROM ladders"))
        .with(" WHERE id = ", &*clean(id.as_str()));
    let row = sql.query().fetch_optional(connection).await.map_err(failed)?;
    row.as_ref().map(ladder_of).transpose()
}

fn head_of(row: &AnyRow) -> Result<LadderHead, StoreError> {
    Ok(LadderHead {
        id: RecordId::new(column::<String, _>(row, 0)?),
        call: column(row, 1)?,
        began_at: Timestamp(column(row, 2)?),
        ended_at: Timestamp(column(row, 3)?),
        peer: column(row, 4)?,
        outcome: column(row, 5)?,
    })
}

fn ladder_of(row: &AnyRow) -> Result<Ladder, StoreError> {
    let messages: String = column(row, 6)?;
    let messages: Vec<LadderMessage> = serde_json::from_str(&messages)
        .map_err(|error| unavailable(format!("the history: SIP messages: {error}")))?;
    let left_out: i64 = column(row, 7)?;
    let left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
    Ok(Ladder { head: head_of(row)?, messages, left_out })
}
