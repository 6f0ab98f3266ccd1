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
use crate::sql::{Sql, clean, column, cut, signed};

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

pub(crate) async fn write(
    connection: &mut AnyConnection,
    row: &HistoryRow,
) -> Result<(), StoreError> {
    match row {
        HistoryRow::Run(run) => write_run(connection, run).await,
        HistoryRow::Stay(stay) => write_stay(connection, stay).await,
        HistoryRow::Leg(leg) => write_leg(connection, leg).await,
        HistoryRow::Figures { stay, figures } => write_figures(connection, stay, figures).await,
        HistoryRow::Ladder(ladder) => ladders::write(connection, ladder).await,
    }
}

fn text(text: &str) -> String {
    cut(text, LONGEST).into_owned()
}

async fn write_run(connection: &mut AnyConnection, run: &Run) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO runs (id, meeting, name, began_at, ended_at, cause, most_participants) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET \
         meeting = excluded.meeting, name = excluded.name, began_at = excluded.began_at, \
         ended_at = excluded.ended_at, cause = excluded.cause, \
         most_participants = excluded.most_participants",
    )
    .bind(text(run.id.as_str()))
    .bind(text(run.meeting.as_str()))
    .bind(text(&run.name))
    .bind(run.started_at.0)
    .bind(run.ended_at.map(|it| it.0))
    .bind(text(&run.cause))
    .bind(i64::from(run.most_participants));
    query.execute(connection).await.map_err(failed)?;
    Ok(())
}

async fn write_stay(connection: &mut AnyConnection, stay: &Stay) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO stays (id, run, meeting, identity, name, kind, account, began_at, ended_at, \
         cause) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO UPDATE SET \
         run = excluded.run, meeting = excluded.meeting, identity = excluded.identity, \
         name = excluded.name, kind = excluded.kind, account = excluded.account, \
         began_at = excluded.began_at, ended_at = excluded.ended_at, cause = excluded.cause",
    )
    .bind(text(stay.id.as_str()))
    .bind(text(stay.run.as_str()))
    .bind(text(stay.meeting.as_str()))
    .bind(text(stay.identity.as_str()))
    .bind(text(&stay.name))
    .bind(kind_word(stay.kind))
    .bind(stay.account.as_ref().map(|it| text(it.as_str())))
    .bind(stay.joined_at.0)
    .bind(stay.left_at.map(|it| it.0))
    .bind(text(&stay.cause));
    query.execute(connection).await.map_err(failed)?;
    Ok(())
}

async fn write_leg(connection: &mut AnyConnection, leg: &LegCall) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO legs (id, run, stay, meeting, direction, address, codecs, began_at, \
         answered_at, ended_at, cause, ended_by, call, rule, loss_in, loss_out, round_trip_ms, \
         jitter_ms, bit_rate_in, bit_rate_out, mos) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
         $19, $20, $21) ON CONFLICT (id) DO UPDATE SET \
         run = excluded.run, stay = excluded.stay, meeting = excluded.meeting, \
         direction = excluded.direction, address = excluded.address, codecs = excluded.codecs, \
         began_at = excluded.began_at, answered_at = excluded.answered_at, \
         ended_at = excluded.ended_at, cause = excluded.cause, ended_by = excluded.ended_by, \
         call = excluded.call, rule = excluded.rule, loss_in = excluded.loss_in, \
         loss_out = excluded.loss_out, round_trip_ms = excluded.round_trip_ms, \
         jitter_ms = excluded.jitter_ms, bit_rate_in = excluded.bit_rate_in, \
         bit_rate_out = excluded.bit_rate_out, mos = excluded.mos",
    )
    .bind(text(leg.id.as_str()))
    .bind(leg.run.as_ref().map(|it| text(it.as_str())))
    .bind(leg.stay.as_ref().map(|it| text(it.as_str())))
    .bind(leg.meeting.as_ref().map(|it| text(it.as_str())))
    .bind(leg.direction.word())
    .bind(text(&leg.address))
    .bind(text(&leg.codecs))
    .bind(leg.started_at.0)
    .bind(leg.answered_at.map(|it| it.0))
    .bind(leg.ended_at.map(|it| it.0))
    .bind(text(&leg.cause))
    .bind(leg.ended_by.map(Side::word))
    .bind(text(&leg.call))
    .bind(text(&leg.rule))
    .bind(leg.media.loss_in.map(i64::from))
    .bind(leg.media.loss_out.map(i64::from))
    .bind(leg.media.round_trip_ms.map(i64::from))
    .bind(leg.media.jitter_ms.map(i64::from))
    .bind(leg.media.bit_rate_in.map(signed))
    .bind(leg.media.bit_rate_out.map(signed))
    .bind(leg.media.mos.map(i64::from));
    query.execute(connection).await.map_err(failed)?;
    Ok(())
}

async fn write_figures(
    connection: &mut AnyConnection,
    stay: &RecordId,
    figures: &Figures,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO figures (stay, at, loss_in, loss_out, round_trip_ms, bit_rate_in, \
         bit_rate_out) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (stay, at) DO UPDATE SET \
         loss_in = excluded.loss_in, loss_out = excluded.loss_out, \
         round_trip_ms = excluded.round_trip_ms, bit_rate_in = excluded.bit_rate_in, \
         bit_rate_out = excluded.bit_rate_out",
    )
    .bind(text(stay.as_str()))
    .bind(figures.at.0)
    .bind(figures.loss_in.map(i64::from))
    .bind(figures.loss_out.map(i64::from))
    .bind(figures.round_trip_ms.map(i64::from))
    .bind(figures.bit_rate_in.map(signed))
    .bind(figures.bit_rate_out.map(signed));
    query.execute(connection).await.map_err(failed)?;
    Ok(())
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
