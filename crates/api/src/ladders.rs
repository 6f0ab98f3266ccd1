//! `/api/v1/history/ladders`: what the two sides of a call said to each other in SIP.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use conference::people::Right;
use conference::store::{HistoryCursor, LadderQuery, Search};
use conference::telephony::{Ladder, LadderHead};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::caller::Caller;
use crate::history::{HistoryPage, place};
use crate::problem::{Problem, store_failed};
use crate::wire::{Asked, limit, no_such_id, record_id, written};

/// The longest `Call-ID` that is searched for, in characters.
const MAX_CALL: usize = 512;

/// A call whose SIP messages are kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ladder)]
pub struct LadderAnswer {
    id: String,
    /// Its `Call-ID`.
    call: String,
    /// The first message.
    #[schema(format = DateTime)]
    began_at: String,
    /// The last one.
    #[schema(format = DateTime)]
    ended_at: String,
    /// The other side's address and port at the beginning.
    peer: String,
    /// How the call was answered last: a status of SIP; empty: not at all.
    outcome: String,
}

impl From<LadderHead> for LadderAnswer {
    fn from(head: LadderHead) -> Self {
        Self {
            id: head.id.to_string(),
            call: head.call,
            began_at: written(head.began_at),
            ended_at: written(head.ended_at),
            peer: head.peer,
            outcome: head.outcome,
        }
    }
}

/// Which calls' SIP messages are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LaddersQuery {
    /// Of the call with this `Call-ID`.
    call: Option<String>,
    /// The `next` of the part before.
    after: Option<String>,
    /// As many at most: 1 to 500, 100 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

impl LaddersQuery {
    fn read(self) -> Result<LadderQuery, Problem> {
        if self.call.as_ref().is_some_and(|it| it.chars().count() > MAX_CALL) {
            let detail = format!("`call` has {MAX_CALL} characters at most");
            return Err(Problem::bad("query_invalid", detail));
        }
        let after = self.after.as_deref().map(place).transpose()?;
        let limit = match limit(self.limit)? {
            0 => Search::DEFAULT_LIMIT,
            limit => limit,
        };
        Ok(LadderQuery { call: self.call, after, limit })
    }
}

/// Lists calls whose SIP messages are kept, the latest first: those that were answered, all of ours,
/// and some of those that were refused.
#[utoipa::path(get, path = "/api/v1/history/ladders", tag = "history",
    operation_id = "list_ladders", params(LaddersQuery),
    responses((status = 200, body = HistoryPage<LadderAnswer>)),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<LaddersQuery>,
) -> Result<Json<HistoryPage<LadderAnswer>>, Problem> {
    caller.needs(&api, Right::HistoryRead).await?;
    let mut query = query.read()?;
    let limit = query.limit as usize;
    // One more tells whether there is a next page.
    query.limit += 1;
    let store = api.people()?.records().store();
    let mut heads = store.ladders(&query).await.map_err(store_failed)?;
    let more = heads.len() > limit;
    heads.truncate(limit);
    let next = heads.last().filter(|_| more).map(HistoryCursor::after_ladder);
    Ok(Json(HistoryPage::new(heads.into_iter().map(Into::into).collect(), next)))
}

/// Draws the SIP messages of a call, as a ladder of text.
#[utoipa::path(get, path = "/api/v1/history/ladders/{id}", tag = "history",
    operation_id = "draw_ladder", params(("id" = String, Path)),
    responses((status = 200, body = String, content_type = "text/plain")),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn draw(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let ladder = find(&api, &caller, &id).await?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, ladder.draw()).into_response())
}

/// The SIP messages of a call as a capture file, which Wireshark reads. Credentials, media keys and
/// PINs are masked; every message is a datagram there, whatever it travelled in.
#[utoipa::path(get, path = "/api/v1/history/ladders/{id}/pcap", tag = "history",
    operation_id = "export_ladder", params(("id" = String, Path)),
    responses((status = 200, description = "A capture file", body = Vec<u8>,
        content_type = "application/vnd.tcpdump.pcap")),
    security(("session" = ["history.read"]), ("token" = ["history.read"])))]
pub async fn pcap(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let ladder = find(&api, &caller, &id).await?;
    let name = format!("attachment; filename=\"{}.pcap\"", ladder.head.id);
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.tcpdump.pcap"),
        (header::CONTENT_DISPOSITION, name.as_str()),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, ladder.pcap()).into_response())
}

async fn find(api: &Api, caller: &Caller, id: &str) -> Result<Ladder, Problem> {
    caller.needs(api, Right::HistoryRead).await?;
    let id = record_id(id)?;
    let found = api.people()?.records().store().ladder(&id).await.map_err(store_failed)?;
    found.ok_or_else(no_such_id)
}
