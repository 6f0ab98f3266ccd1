//! `/api/v1/history`: which meetings there were, who was in them, and how well it went. The lists
//! are there as CSV too, whole, under their names with `.csv`.

use std::future::Future;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use conference::people::Right;
use conference::store::{
    Figures, HistoryCursor, HistoryQuery, LegCall, Run, Search, Side, Stay, Store, StoreError,
};
use serde::{Deserialize, Serialize};
use types::{Identity, MeetingId, ParticipantKind, RecordId, Timestamp};
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::caller::Caller;
use crate::csv;
use crate::problem::{Problem, store_failed};
use crate::wire::{Asked, cursor, limit, read_time, record_id, written};

/// The longest identity that is searched for, in characters.
const MAX_IDENTITY: usize = 256;

/// A meeting from its first participant to its end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
pub struct RunAnswer {
    id: String,
    meeting: String,
    /// The meeting's name at that time.
    name: String,
    #[schema(format = DateTime)]
    started_at: String,
    /// Null: it runs.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// `empty`, `ended`, `server_stops`, `server_stopped` (it crashed) or `unknown`; empty while it
    /// runs.
    cause: String,
    /// The most participants at a time.
    most_participants: u32,
}

/// Somebody in a meeting, from joining to leaving.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stay)]
pub struct StayAnswer {
    id: String,
    /// In which run.
    run: String,
    meeting: String,
    identity: String,
    name: String,
    /// `person`, `room_system` or `agent`.
    kind: String,
    /// The account that they signed in with, where it is known.
    account: Option<String>,
    #[schema(format = DateTime)]
    joined_at: String,
    /// Null: they are there.
    #[schema(format = DateTime)]
    left_at: Option<String>,
    /// `by_itself`, `removed`, `connection_lost` and the like; empty while they are there.
    cause: String,
}

/// A call with a room system.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LegCall)]
pub struct LegCallAnswer {
    id: String,
    /// In which run; null: it came to none.
    run: Option<String>,
    /// As which participant's stay.
    stay: Option<String>,
    meeting: Option<String>,
    /// `incoming` or `outgoing`.
    direction: String,
    address: String,
    /// What was spoken, where it is known.
    codecs: String,
    #[schema(format = DateTime)]
    started_at: String,
    /// Null: not yet, or never.
    #[schema(format = DateTime)]
    answered_at: Option<String>,
    /// Null: it goes on.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Empty while it goes on.
    cause: String,
    /// `ours` or `theirs`; null: not known.
    ended_by: Option<String>,
    /// The call's `Call-ID`, by which `/api/v1/history/ladders` finds its SIP messages; empty: not
    /// known.
    call: String,
    /// The dial rule that it came by; empty: none.
    rule: String,
    /// Packets lost on the way to the server, per mille; this and what follows is null where it was
    /// not measured.
    loss_in: Option<u32>,
    /// Packets lost on the way to them, per mille.
    loss_out: Option<u32>,
    /// There and back, in milliseconds.
    round_trip_ms: Option<u32>,
    /// How unevenly packets of sound came, in milliseconds.
    jitter_ms: Option<u32>,
    /// Bits a second to the server.
    bit_rate_in: Option<u64>,
    /// Bits a second to them.
    bit_rate_out: Option<u64>,
    /// What people would have said of the sound, estimated: from 1, bad, to 4.5.
    mos: Option<f64>,
}

/// How somebody's network did at one time. What was not measured is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Figures)]
pub struct FiguresAnswer {
    #[schema(format = DateTime)]
    at: String,
    /// Packets lost on the way to the server, per mille.
    loss_in: Option<u32>,
    /// Packets lost on the way to them, per mille.
    loss_out: Option<u32>,
    /// There and back, in milliseconds.
    round_trip_ms: Option<u32>,
    /// Bits a second to the server.
    bit_rate_in: Option<u64>,
    /// Bits a second to them.
    bit_rate_out: Option<u64>,
}

/// A part of the history.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryPage<T> {
    /// The entries: by when they began, the latest first; figures the oldest first.
    items: Vec<T>,
    /// Give it as `after` for the next part; null: this was the last.
    next: Option<String>,
}

impl<T> HistoryPage<T> {
    pub(crate) fn new(items: Vec<T>, next: Option<HistoryCursor>) -> Self {
        Self { items, next: next.map(|it| format!("{}_{}", it.began_at, it.id)) }
    }
}

/// Which part of the history is asked for; all conditions hold together.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Of this meeting.
    #[param(max_length = 64)]
    meeting: Option<String>,
    /// Of this participant; of meetings, those in which they were.
    #[param(max_length = 256)]
    identity: Option<String>,
    /// Begun not before this time, RFC 3339.
    since: Option<String>,
    /// Begun before this time, RFC 3339.
    until: Option<String>,
    /// The `next` of the part before.
    after: Option<String>,
    /// Entries of this part at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// Which entries a CSV file has; all conditions hold together.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FileQuery {
    /// Of this meeting.
    #[param(max_length = 64)]
    meeting: Option<String>,
    /// Of this participant; of meetings, those in which they were.
    #[param(max_length = 256)]
    identity: Option<String>,
    /// Begun not before this time, RFC 3339.
    since: Option<String>,
    /// Begun before this time, RFC 3339.
    until: Option<String>,
}

/// Which figures are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FiguresQuery {
    /// The `next` of the part before.
    after: Option<String>,
    /// Figures of this part at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

impl PageQuery {
    fn read(self) -> Result<HistoryQuery, Problem> {
        let Self { meeting, identity, since, until, after, limit: asked } = self;
        let limit = match limit(asked)? {
            0 => Search::DEFAULT_LIMIT,
            limit => limit,
        };
        let query = FileQuery { meeting, identity, since, until }.read()?;
        Ok(HistoryQuery { after: after.as_deref().map(place).transpose()?, limit, ..query })
    }
}

impl FileQuery {
    fn read(self) -> Result<HistoryQuery, Problem> {
        let time = |name, it: Option<String>| it.map(|it| read_time(name, &it)).transpose();
        Ok(HistoryQuery {
            meeting: self.meeting.as_deref().map(read_meeting).transpose()?,
            identity: self.identity.map(read_identity).transpose()?,
            since: time("since", self.since)?,
            until: time("until", self.until)?,
            ..HistoryQuery::default()
        })
    }
}

/// A meeting's id that was sent.
pub fn read_meeting(text: &str) -> Result<MeetingId, Problem> {
    MeetingId::parse(text)
        .map_err(|error| Problem::bad("query_invalid", format!("`meeting` is {text:?}: {error}")))
}

fn read_identity(text: String) -> Result<Identity, Problem> {
    if text.chars().count() > MAX_IDENTITY || text.chars().any(char::is_control) {
        let detail =
            format!("`identity` has at most {MAX_IDENTITY} characters and no control characters");
        return Err(Problem::bad("query_invalid", detail));
    }
    Ok(Identity::new(text))
}

/// The place after an entry, as `next` has it: when it began, and its id.
pub(crate) fn place(text: &str) -> Result<HistoryCursor, Problem> {
    let wrong = || Problem::bad("query_invalid", "`after` is the `next` of the part before");
    let (began_at, id) = text.split_once('_').ok_or_else(wrong)?;
    let began_at = Timestamp(began_at.parse().map_err(|_| wrong())?);
    let id = cursor(Some(id))?.ok_or_else(wrong)?;
    Ok(HistoryCursor { began_at, id })
}

/// What the three lists have in common.
pub trait Listed: Sized + Send + 'static {
    /// The columns of the CSV file.
    const COLUMNS: &'static [&'static str];
    /// In JSON.
    type Answer: Serialize;

    fn read<'a>(
        store: &'a dyn Store,
        query: &'a HistoryQuery,
    ) -> impl Future<Output = Result<Vec<Self>, StoreError>> + Send + 'a;
    fn place(&self) -> HistoryCursor;
    fn answer(self) -> Self::Answer;
    /// In the order of the columns.
    fn cells(self) -> Vec<String>;
}

impl Listed for Run {
    const COLUMNS: &'static [&'static str] =
        &["id", "meeting", "name", "started_at", "ended_at", "cause", "most_participants"];
    type Answer = RunAnswer;

    fn read<'a>(
        store: &'a dyn Store,
        query: &'a HistoryQuery,
    ) -> impl Future<Output = Result<Vec<Self>, StoreError>> + Send + 'a {
        store.runs(query)
    }

    fn place(&self) -> HistoryCursor {
        HistoryCursor::after_run(self)
    }

    fn answer(self) -> RunAnswer {
        RunAnswer {
            id: self.id.to_string(),
            meeting: self.meeting.to_string(),
            name: self.name,
            started_at: written(self.started_at),
            ended_at: self.ended_at.map(written),
            cause: self.cause,
            most_participants: self.most_participants,
        }
    }

    fn cells(self) -> Vec<String> {
        let it = self.answer();
        let ended_at = it.ended_at.unwrap_or_default();
        let most = it.most_participants.to_string();
        vec![it.id, it.meeting, it.name, it.started_at, ended_at, it.cause, most]
    }
}

impl Listed for Stay {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "run",
        "meeting",
        "identity",
        "name",
        "kind",
        "account",
        "joined_at",
        "left_at",
        "cause",
    ];
    type Answer = StayAnswer;

    fn read<'a>(
        store: &'a dyn Store,
        query: &'a HistoryQuery,
    ) -> impl Future<Output = Result<Vec<Self>, StoreError>> + Send + 'a {
        store.stays(query)
    }

    fn place(&self) -> HistoryCursor {
        HistoryCursor::after_stay(self)
    }

    fn answer(self) -> StayAnswer {
        StayAnswer {
            id: self.id.to_string(),
            run: self.run.to_string(),
            meeting: self.meeting.to_string(),
            identity: self.identity.to_string(),
            name: self.name,
            kind: match self.kind {
                ParticipantKind::Standard => "person",
                ParticipantKind::Sip => "room_system",
                ParticipantKind::Agent => "agent",
            }
            .to_owned(),
            account: self.account.map(|it| it.to_string()),
            joined_at: written(self.joined_at),
            left_at: self.left_at.map(written),
            cause: self.cause,
        }
    }

    fn cells(self) -> Vec<String> {
        let it = self.answer();
        let (account, left_at) = (it.account.unwrap_or_default(), it.left_at.unwrap_or_default());
        vec![
            it.id,
            it.run,
            it.meeting,
            it.identity,
            it.name,
            it.kind,
            account,
            it.joined_at,
            left_at,
            it.cause,
        ]
    }
}

impl Listed for LegCall {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "run",
        "stay",
        "meeting",
        "direction",
        "address",
        "codecs",
        "started_at",
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
    ];
    type Answer = LegCallAnswer;

    fn read<'a>(
        store: &'a dyn Store,
        query: &'a HistoryQuery,
    ) -> impl Future<Output = Result<Vec<Self>, StoreError>> + Send + 'a {
        store.legs(query)
    }

    fn place(&self) -> HistoryCursor {
        HistoryCursor::after_leg(self)
    }

    fn answer(self) -> LegCallAnswer {
        let id = |it: Option<RecordId>| it.map(|it| it.to_string());
        LegCallAnswer {
            id: self.id.to_string(),
            run: id(self.run),
            stay: id(self.stay),
            meeting: self.meeting.map(|it| it.to_string()),
            direction: self.direction.word().to_owned(),
            address: self.address,
            codecs: self.codecs,
            started_at: written(self.started_at),
            answered_at: self.answered_at.map(written),
            ended_at: self.ended_at.map(written),
            cause: self.cause,
            ended_by: self.ended_by.map(Side::word).map(str::to_owned),
            call: self.call,
            rule: self.rule,
            loss_in: self.media.loss_in,
            loss_out: self.media.loss_out,
            round_trip_ms: self.media.round_trip_ms,
            jitter_ms: self.media.jitter_ms,
            bit_rate_in: self.media.bit_rate_in,
            bit_rate_out: self.media.bit_rate_out,
            mos: self.media.mos.map(|it| f64::from(it) / 100.0),
        }
    }

    fn cells(self) -> Vec<String> {
        let it = self.answer();
        let cell = Option::unwrap_or_default;
        vec![
            it.id,
            cell(it.run),
            cell(it.stay),
            cell(it.meeting),
            it.direction,
            it.address,
            it.codecs,
            it.started_at,
            cell(it.answered_at),
            cell(it.ended_at),
            it.cause,
            cell(it.ended_by),
            it.call,
            it.rule,
            number(it.loss_in),
            number(it.loss_out),
            number(it.round_trip_ms),
            number(it.jitter_ms),
            number(it.bit_rate_in),
            number(it.bit_rate_out),
            number(it.mos),
        ]
    }
}

/// Empty where there is none.
fn number(it: Option<impl ToString>) -> String {
    it.map(|it| it.to_string()).unwrap_or_default()
}

impl From<Figures> for FiguresAnswer {
    fn from(figures: Figures) -> Self {
        let Figures { at, loss_in, loss_out, round_trip_ms, bit_rate_in, bit_rate_out } = figures;
        Self { at: written(at), loss_in, loss_out, round_trip_ms, bit_rate_in, bit_rate_out }
    }
}

async fn page<T: Listed>(
    api: &Api,
    mut query: HistoryQuery,
) -> Result<Json<HistoryPage<T::Answer>>, Problem> {
    let limit = query.limit;
    // One more tells whether there is a next page.
    query.limit += 1;
    let store = api.people()?.records().store();
    let mut rows = T::read(store, &query).await.map_err(store_failed)?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(T::place);
    Ok(Json(HistoryPage::new(rows.into_iter().map(T::answer).collect(), next)))
}

fn file<T: Listed>(api: &Api, query: HistoryQuery, name: &str) -> Result<Response, Problem> {
    let records = api.people()?.records().clone();
    Ok(csv::file(name, T::COLUMNS, csv::slices::<T>(records, query)))
}

/// Lists meetings that ran or run.
#[utoipa::path(get, path = "/api/v1/history/meetings", tag = "history",
    operation_id = "list_past_meetings", params(PageQuery),
    responses((status = 200, body = HistoryPage<RunAnswer>)),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn meetings(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<HistoryPage<RunAnswer>>, Problem> {
    caller.needs(&api, Right::HistoryRead).await?;
    page::<Run>(&api, query.read()?).await
}

/// Lists who was in one run of a meeting.
#[utoipa::path(get, path = "/api/v1/history/meetings/{run}/participants", tag = "history",
    operation_id = "list_participants_of_run", params(("run" = String, Path), PageQuery),
    responses((status = 200, body = HistoryPage<StayAnswer>)),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn participants_of(
    State(api): State<Api>,
    caller: Caller,
    Path(run): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<HistoryPage<StayAnswer>>, Problem> {
    caller.needs(&api, Right::HistoryRead).await?;
    let run = record_id(&run)?;
    page::<Stay>(&api, HistoryQuery { run: Some(run), ..query.read()? }).await
}

/// Lists who was in meetings.
#[utoipa::path(get, path = "/api/v1/history/participants", tag = "history",
    operation_id = "list_past_participants", params(PageQuery),
    responses((status = 200, body = HistoryPage<StayAnswer>)),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn participants(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<HistoryPage<StayAnswer>>, Problem> {
    caller.needs(&api, Right::HistoryRead).await?;
    page::<Stay>(&api, query.read()?).await
}

/// Lists calls with room systems.
#[utoipa::path(get, path = "/api/v1/history/legs", tag = "history",
    operation_id = "list_past_legs", params(PageQuery),
    responses((status = 200, body = HistoryPage<LegCallAnswer>)),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn legs(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<HistoryPage<LegCallAnswer>>, Problem> {
    caller.needs(&api, Right::HistoryRead).await?;
    page::<LegCall>(&api, query.read()?).await
}

/// Lists how somebody's network did while they were in a meeting.
#[utoipa::path(get, path = "/api/v1/history/participants/{stay}/quality", tag = "history",
    operation_id = "list_quality", params(("stay" = String, Path), FiguresQuery),
    responses((status = 200, body = HistoryPage<FiguresAnswer>)),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn quality(
    State(api): State<Api>,
    caller: Caller,
    Path(stay): Path<String>,
    Asked(query): Asked<FiguresQuery>,
) -> Result<Json<HistoryPage<FiguresAnswer>>, Problem> {
    caller.needs(&api, Right::HistoryRead).await?;
    let stay = record_id(&stay)?;
    let wrong = || Problem::bad("query_invalid", "`after` is the `next` of the part before");
    let after = query.after.map_or(Ok(i64::MIN), |it| it.parse().map_err(|_| wrong()))?;
    let limit = match limit(query.limit)? {
        0 => Search::DEFAULT_LIMIT,
        limit => limit,
    };
    let store = api.people()?.records().store();
    let figures = store.figures(&stay, Timestamp(after), limit + 1).await;
    let mut figures = figures.map_err(store_failed)?;
    let more = figures.len() > limit as usize;
    figures.truncate(limit as usize);
    let next = figures.last().filter(|_| more).map(|it| it.at.to_string());
    Ok(Json(HistoryPage { items: figures.into_iter().map(Into::into).collect(), next }))
}

/// All these meetings as CSV (RFC 4180). A cell that a table program would take for a formula
/// begins with an apostrophe.
#[utoipa::path(get, path = "/api/v1/history/meetings.csv", tag = "history",
    operation_id = "export_past_meetings", params(FileQuery),
    responses((status = 200, description = "CSV", body = String, content_type = "text/csv")),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn meetings_file(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<FileQuery>,
) -> Result<Response, Problem> {
    caller.needs(&api, Right::HistoryRead).await?;
    file::<Run>(&api, query.read()?, "meetings.csv")
}

/// All these participants as CSV, like the meetings.
#[utoipa::path(get, path = "/api/v1/history/participants.csv", tag = "history",
    operation_id = "export_past_participants", params(FileQuery),
    responses((status = 200, description = "CSV", body = String, content_type = "text/csv")),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn participants_file(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<FileQuery>,
) -> Result<Response, Problem> {
    caller.needs(&api, Right::HistoryRead).await?;
    file::<Stay>(&api, query.read()?, "participants.csv")
}

/// All these calls as CSV, like the meetings.
#[utoipa::path(get, path = "/api/v1/history/legs.csv", tag = "history",
    operation_id = "export_past_legs", params(FileQuery),
    responses((status = 200, description = "CSV", body = String, content_type = "text/csv")),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn legs_file(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<FileQuery>,
) -> Result<Response, Problem> {
    caller.needs(&api, Right::HistoryRead).await?;
    file::<LegCall>(&api, query.read()?, "legs.csv")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is() {
        let id = "01900000-0000-7000-8000-00000000000a";
        let read = place(&format!("1700000000000_{id}")).unwrap();
        assert_eq!((read.began_at.0, read.id.as_str()), (1_700_000_000_000, id));
        for wrong in ["", "_", "5", "x_y", &format!("5_{id}'"), &format!("_{id}")] {
            assert_eq!(place(wrong).unwrap_err().code, "query_invalid", "{wrong:?}");
        }
    }

    #[test]
    fn what_is_asked_becomes_the_store_s_question() {
        let query = PageQuery {
            meeting: Some("Board".into()),
            since: Some("2030-01-31T12:00:00Z".into()),
            limit: Some(7),
            ..PageQuery::default()
        };
        let query = query.read().unwrap();
        assert_eq!(query.meeting.map(|it| it.to_string()), Some("board".into()));
        assert_eq!((query.since, query.limit), (Some(Timestamp(1_896_091_200_000)), 7));
        for (field, wrong) in [
            (PageQuery { meeting: Some("a b".into()), ..PageQuery::default() }, "meeting"),
            (PageQuery { until: Some("noon".into()), ..PageQuery::default() }, "until"),
            (PageQuery { limit: Some(501), ..PageQuery::default() }, "limit"),
            (PageQuery { identity: Some("a\0".into()), ..PageQuery::default() }, "identity"),
        ] {
            let problem = field.read().unwrap_err();
            assert!(problem.detail.contains(wrong), "{problem:?}");
        }
    }
}
