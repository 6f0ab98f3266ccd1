//! Runs of meetings, stays of participants, calls of room systems, and their figures.

use conference::store::{
    CallMedia, Direction, Figures, HistoryQuery, HistoryRetention, HistoryRow, LegCall, Run,
    SERVER_STOPPED, Side, Stay, StoreError,
};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use types::{Identity, MeetingId, ParticipantKind, RecordId, Timestamp};

use crate::failure::{failed, unavailable};
use crate::ladders;
use crate::sql::{Sql, Table, Value, clean, column, cut, signed};

/// Rows that are thrown away in one transaction.
const SLICE: i64 = 1000;
/// What is longer is cut: part of it comes from room systems, and PostgreSQL's indexes hold less
/// than 2,700 bytes a row.
const LONGEST: usize = 1024;

/// Notes that the server runs. First in its transaction: writers of the history queue here.
pub(crate) async fn alive(
    connection: &mut AnyConnection,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE alive SET at = $1 WHERE id = 1").bind(now.0);
    query.execute(connection).await.map_err(failed)?;
    Ok(())
}

const RUNS: Table = Table {
    name: "runs",
    columns: &["id", "meeting", "name", "began_at", "ended_at", "cause", "most_participants"],
    key: 1,
};
const STAYS: Table = Table {
    name: "stays",
    columns: &[
        "id", "run", "meeting", "identity", "name", "kind", "account", "began_at", "ended_at",
        "cause",
    ],
    key: 1,
};
const LEGS: Table = Table {
    name: "legs",
    columns: &[
        "id",
        "run",
        "stay",
        "meeting",
        "direction",
        "address",
        "codecs",
        "began_at",
        "answered_at",
        "ended_at",
        "cause",
        "ended_by",
        "call",
        "rule",
        "loss_in",
        "loss_out",
        "round_trip_ms",
        "jitter_ms",
        "bit_rate_in",
        "bit_rate_out",
        "mos",
    ],
    key: 1,
};
const FIGURES: Table = Table {
    name: "figures",
    columns: &["stay", "at", "loss_in", "loss_out", "round_trip_ms", "bit_rate_in", "bit_rate_out"],
    key: 2,
};

pub(crate) async fn write(
    connection: &mut AnyConnection,
    rows: &[HistoryRow],
) -> Result<(), StoreError> {
    let [mut runs, mut stays, mut legs, mut of_stays, mut ladders] = [const { Vec::new() }; 5];
    for row in rows {
        match row {
            HistoryRow::Run(run) => runs.push(run_row(run)),
            HistoryRow::Stay(stay) => stays.push(stay_row(stay)),
            HistoryRow::Leg(leg) => legs.push(leg_row(leg)),
            HistoryRow::Figures { stay, figures } => of_stays.push(figures_row(stay, figures)),
            HistoryRow::Ladder(ladder) => ladders.push(ladders::row(ladder)?),
        }
    }
    RUNS.write(connection, runs).await?;
    STAYS.write(connection, stays).await?;
    LEGS.write(connection, legs).await?;
    FIGURES.write(connection, of_stays).await?;
    ladders::TABLE.write(connection, ladders).await
}

fn text(text: &str) -> String {
    cut(text, LONGEST).into_owned()
}

fn run_row(run: &Run) -> Vec<Value> {
    vec![
        text(run.id.as_str()).into(),
        text(run.meeting.as_str()).into(),
        text(&run.name).into(),
        run.started_at.0.into(),
        run.ended_at.map(|it| it.0).into(),
        text(&run.cause).into(),
        i64::from(run.most_participants).into(),
    ]
}

fn stay_row(stay: &Stay) -> Vec<Value> {
    vec![
        text(stay.id.as_str()).into(),
        text(stay.run.as_str()).into(),
        text(stay.meeting.as_str()).into(),
        text(stay.identity.as_str()).into(),
        text(&stay.name).into(),
        kind_word(stay.kind).into(),
        stay.account.as_ref().map(|it| text(it.as_str())).into(),
        stay.joined_at.0.into(),
        stay.left_at.map(|it| it.0).into(),
        text(&stay.cause).into(),
    ]
}

fn leg_row(leg: &LegCall) -> Vec<Value> {
    let id = |id: &Option<RecordId>| id.as_ref().map(|it| text(it.as_str()));
    vec![
        text(leg.id.as_str()).into(),
        id(&leg.run).into(),
        id(&leg.stay).into(),
        leg.meeting.as_ref().map(|it| text(it.as_str())).into(),
        leg.direction.word().into(),
        text(&leg.address).into(),
        text(&leg.codecs).into(),
        leg.started_at.0.into(),
        leg.answered_at.map(|it| it.0).into(),
        leg.ended_at.map(|it| it.0).into(),
        text(&leg.cause).into(),
        leg.ended_by.map(|it| it.word().to_owned()).into(),
        text(&leg.call).into(),
        text(&leg.rule).into(),
        leg.media.loss_in.map(i64::from).into(),
        leg.media.loss_out.map(i64::from).into(),
        leg.media.round_trip_ms.map(i64::from).into(),
        leg.media.jitter_ms.map(i64::from).into(),
        leg.media.bit_rate_in.map(signed).into(),
        leg.media.bit_rate_out.map(signed).into(),
        leg.media.mos.map(i64::from).into(),
    ]
}

fn figures_row(stay: &RecordId, figures: &Figures) -> Vec<Value> {
    vec![
        text(stay.as_str()).into(),
        figures.at.0.into(),
        figures.loss_in.map(i64::from).into(),
        figures.loss_out.map(i64::from).into(),
        figures.round_trip_ms.map(i64::from).into(),
        figures.bit_rate_in.map(signed).into(),
        figures.bit_rate_out.map(signed).into(),
    ]
}

/// Ends what goes on at the last time known, or at once where it began after that.
pub(crate) async fn end_left_open(connection: &mut AnyConnection) -> Result<u64, StoreError> {
    let mut ended = 0;
    for table in ["runs", "stays", "legs"] {
        let sql = Sql::new(format!(
            "UPDATE {table} SET ended_at = CASE \
             WHEN began_at > (SELECT at FROM alive WHERE id = 1) THEN began_at \
             ELSE (SELECT at FROM alive WHERE id = 1) END"
        ))
        .with(", cause = ", SERVER_STOPPED)
        .push(" WHERE ended_at IS NULL");
        let done = sql.query().execute(&mut *connection).await.map_err(failed)?;
        ended += done.rows_affected();
    }
    Ok(ended)
}

pub(crate) async fn runs(
    connection: &mut AnyConnection,
    query: &HistoryQuery,
) -> Result<Vec<Run>, StoreError> {
    let sql = Sql::new(
        "SELECT id, meeting, name, began_at, ended_at, cause, most_participants FROM runs \
         WHERE 1 = 1",
    );
    let run = query.run.as_ref().map(|it| clean(it.as_str()));
    let mut sql = sql.when(" AND id = ", run.as_deref());
    if let Some(identity) = &query.identity {
        let identity = text(identity.as_str());
        sql = sql.with(" AND id IN (SELECT run FROM stays WHERE identity = ", &*identity).push(")");
    }
    let rows = fetch(connection, common(sql, query)).await?;
    rows.iter().map(run_of).collect()
}

fn run_of(row: &AnyRow) -> Result<Run, StoreError> {
    let most: i64 = column(row, 6)?;
    Ok(Run {
        id: RecordId::new(column::<String, _>(row, 0)?),
        meeting: meeting(column(row, 1)?)?,
        name: column(row, 2)?,
        started_at: Timestamp(column(row, 3)?),
        ended_at: column::<Option<i64>, _>(row, 4)?.map(Timestamp),
        cause: column(row, 5)?,
        most_participants: u32::try_from(most).unwrap_or(u32::MAX),
    })
}

pub(crate) async fn stays(
    connection: &mut AnyConnection,
    query: &HistoryQuery,
) -> Result<Vec<Stay>, StoreError> {
    let sql = Sql::new(
        "SELECT id, run, meeting, identity, name, kind, account, began_at, ended_at, cause \
         FROM stays WHERE 1 = 1",
    );
    let run = query.run.as_ref().map(|it| clean(it.as_str()));
    let identity = query.identity.as_ref().map(|it| text(it.as_str()));
    let sql = sql.when(" AND run = ", run.as_deref()).when(" AND identity = ", identity.as_deref());
    let rows = fetch(connection, common(sql, query)).await?;
    rows.iter().map(stay_of).collect()
}

fn stay_of(row: &AnyRow) -> Result<Stay, StoreError> {
    let kind: String = column(row, 5)?;
    Ok(Stay {
        id: RecordId::new(column::<String, _>(row, 0)?),
        run: RecordId::new(column::<String, _>(row, 1)?),
        meeting: meeting(column(row, 2)?)?,
        identity: Identity::new(column::<String, _>(row, 3)?),
        name: column(row, 4)?,
        kind: kind_of(&kind).ok_or_else(|| foreign("kind of participant", &kind))?,
        account: column::<Option<String>, _>(row, 6)?.map(RecordId::new),
        joined_at: Timestamp(column(row, 7)?),
        left_at: column::<Option<i64>, _>(row, 8)?.map(Timestamp),
        cause: column(row, 9)?,
    })
}

pub(crate) async fn legs(
    connection: &mut AnyConnection,
    query: &HistoryQuery,
) -> Result<Vec<LegCall>, StoreError> {
    let sql = Sql::new(
        "SELECT id, run, stay, meeting, direction, address, codecs, began_at, answered_at, \
         ended_at, cause, ended_by, call, rule, loss_in, loss_out, round_trip_ms, jitter_ms, \
         bit_rate_in, bit_rate_out, mos FROM legs WHERE 1 = 1",
    );
    let run = query.run.as_ref().map(|it| clean(it.as_str()));
    let mut sql = sql.when(" AND run = ", run.as_deref());
    if let Some(identity) = &query.identity {
        let identity = text(identity.as_str());
        sql =
            sql.with(" AND stay IN (SELECT id FROM stays WHERE identity = ", &*identity).push(")");
    }
    let rows = fetch(connection, common(sql, query)).await?;
    rows.iter().map(leg_of).collect()
}

fn leg_of(row: &AnyRow) -> Result<LegCall, StoreError> {
    let direction: String = column(row, 4)?;
    let ended_by: Option<String> = column(row, 11)?;
    let side = ended_by.map(|it| side_of(&it).ok_or_else(|| foreign("side", &it)));
    Ok(LegCall {
        id: RecordId::new(column::<String, _>(row, 0)?),
        run: column::<Option<String>, _>(row, 1)?.map(RecordId::new),
        stay: column::<Option<String>, _>(row, 2)?.map(RecordId::new),
        meeting: column::<Option<String>, _>(row, 3)?.map(meeting).transpose()?,
        direction: direction_of(&direction).ok_or_else(|| foreign("direction", &direction))?,
        address: column(row, 5)?,
        codecs: column(row, 6)?,
        started_at: Timestamp(column(row, 7)?),
        answered_at: column::<Option<i64>, _>(row, 8)?.map(Timestamp),
        ended_at: column::<Option<i64>, _>(row, 9)?.map(Timestamp),
        cause: column(row, 10)?,
        ended_by: side.transpose()?,
        call: column(row, 12)?,
        rule: column(row, 13)?,
        media: CallMedia {
            loss_in: small(row, 14)?,
            loss_out: small(row, 15)?,
            round_trip_ms: small(row, 16)?,
            jitter_ms: small(row, 17)?,
            bit_rate_in: large(row, 18)?,
            bit_rate_out: large(row, 19)?,
            mos: small(row, 20)?,
        },
    })
}

/// What all three lists have in common.
fn common(sql: Sql, query: &HistoryQuery) -> Sql {
    let meeting = query.meeting.as_ref().map(|it| text(it.as_str()));
    let mut sql = sql
        .when(" AND meeting = ", meeting.as_deref())
        .when(" AND began_at >= ", query.since.map(|it| it.0))
        .when(" AND began_at < ", query.until.map(|it| it.0));
    if query.going_on {
        sql = sql.push(" AND ended_at IS NULL");
    }
    if let Some(after) = &query.after {
        sql = sql.with(" AND (began_at, id) < (", after.began_at.0);
        sql = sql.with(", ", &*clean(after.id.as_str())).push(")");
    }
    sql.with(" ORDER BY began_at DESC, id DESC LIMIT ", i64::from(query.limit))
}

async fn fetch(connection: &mut AnyConnection, sql: Sql) -> Result<Vec<AnyRow>, StoreError> {
    sql.query().fetch_all(connection).await.map_err(failed)
}

pub(crate) async fn figures(
    connection: &mut AnyConnection,
    stay: &RecordId,
    after: Timestamp,
    limit: u32,
) -> Result<Vec<Figures>, StoreError> {
    let sql = Sql::new(
        "SELECT at, loss_in, loss_out, round_trip_ms, bit_rate_in, bit_rate_out FROM figures",
    );
    let sql = sql
        .with(" WHERE stay = ", &*text(stay.as_str()))
        .with(" AND at > ", after.0)
        .with(" ORDER BY at LIMIT ", i64::from(limit));
    let rows = fetch(connection, sql).await?;
    rows.iter().map(figures_of).collect()
}

fn figures_of(row: &AnyRow) -> Result<Figures, StoreError> {
    Ok(Figures {
        at: Timestamp(column(row, 0)?),
        loss_in: small(row, 1)?,
        loss_out: small(row, 2)?,
        round_trip_ms: small(row, 3)?,
        bit_rate_in: large(row, 4)?,
        bit_rate_out: large(row, 5)?,
    })
}

fn small(row: &AnyRow, index: usize) -> Result<Option<u32>, StoreError> {
    let number: Option<i64> = column(row, index)?;
    Ok(number.and_then(|it| u32::try_from(it).ok()))
}

fn large(row: &AnyRow, index: usize) -> Result<Option<u64>, StoreError> {
    let number: Option<i64> = column(row, index)?;
    Ok(number.and_then(|it| u64::try_from(it).ok()))
}

/// What is thrown away, in this order: what hangs on something goes before it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trimmed {
    Figures,
    Ladders,
    /// A table whose rows end.
    Ended(&'static str),
}

pub(crate) const TRIMMED: &[Trimmed] = &[
    Trimmed::Figures,
    Trimmed::Ladders,
    Trimmed::Ended("legs"),
    Trimmed::Ended("stays"),
    Trimmed::Ended("runs"),
];

/// Throws away some of one thing, and says how many.
pub(crate) async fn trim(
    connection: &mut AnyConnection,
    what: Trimmed,
    retention: HistoryRetention,
) -> Result<u64, StoreError> {
    let sql = match what {
        Trimmed::Figures => {
            // A stay that goes takes its figures with it.
            let before = retention.figures_before.max(retention.ended_before).0;
            Sql::new("DELETE FROM figures WHERE (stay, at) IN (SELECT stay, at FROM figures")
                .with(" WHERE at < ", before)
                .with(" LIMIT ", SLICE)
        }
        Trimmed::Ladders => {
            let before = retention.ladders_before.max(retention.ended_before).0;
            Sql::new("DELETE FROM ladders WHERE id IN (SELECT id FROM ladders")
                .with(" WHERE ended_at < ", before)
                .with(" LIMIT ", SLICE)
        }
        Trimmed::Ended(table) => {
            Sql::new(format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table}"))
                .with(" WHERE ended_at < ", retention.ended_before.0)
                .with(" LIMIT ", SLICE)
        }
    };
    let done = sql.push(")").query().execute(connection).await.map_err(failed)?;
    Ok(done.rows_affected())
}

fn meeting(text: String) -> Result<MeetingId, StoreError> {
    MeetingId::try_from(text).map_err(|error| unavailable(format!("the history: {error}")))
}

fn foreign(what: &str, word: &str) -> StoreError {
    unavailable(format!("the history: {what} {word:?} is not known"))
}

const fn kind_word(kind: ParticipantKind) -> &'static str {
    match kind {
        ParticipantKind::Standard => "standard",
        ParticipantKind::Sip => "sip",
        ParticipantKind::Agent => "agent",
    }
}

fn kind_of(word: &str) -> Option<ParticipantKind> {
    [ParticipantKind::Standard, ParticipantKind::Sip, ParticipantKind::Agent]
        .into_iter()
        .find(|it| kind_word(*it) == word)
}

fn direction_of(word: &str) -> Option<Direction> {
    [Direction::Incoming, Direction::Outgoing].into_iter().find(|it| it.word() == word)
}

fn side_of(word: &str) -> Option<Side> {
    [Side::Ours, Side::Theirs].into_iter().find(|it| it.word() == word)
}
