//! `/api/v1/audit`: who did what.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use conference::people::Right;
use conference::store::audit::{self, VerifyError};
use conference::store::{AuditEntry, AuditQuery, Search};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::caller::Caller;
use crate::problem::{Problem, store_failed};
use crate::wire::{Asked, limit, read_time, search_text, written};

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct EntryAnswer {
    /// 1 for the first, then without a gap.
    number: u64,
    #[schema(format = DateTime)]
    at: String,
    actor: ActorAnswer,
    /// What was done or tried, such as `account.create`.
    action: String,
    target: TargetAnswer,
    /// From which address; null: from within.
    from: Option<String>,
    /// `done`, `refused` or `failed`.
    outcome: String,
    /// More about it.
    detail: Option<serde_json::Value>,
    /// The hash of this entry and so of all before it.
    hash: String,
}

/// Who acted.
#[derive(Debug, Serialize, ToSchema)]
struct ActorAnswer {
    /// `account`, `key`, `participant`, `nobody` or `server`.
    kind: String,
    id: String,
    name: String,
}

/// On what.
#[derive(Debug, Serialize, ToSchema)]
struct TargetAnswer {
    kind: String,
    id: String,
    name: String,
}

/// A part of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// The entries, the oldest first.
    items: Vec<EntryAnswer>,
    /// Give it as `after` for the next part; null: this was the last.
    next: Option<u64>,
}

/// Which part of the log is asked for; all conditions hold together.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Only entries after this number.
    #[param(minimum = 0)]
    after: Option<u64>,
    /// Not before this time, RFC 3339.
    since: Option<String>,
    /// Before this time, RFC 3339.
    until: Option<String>,
    /// Of this account, key or participant.
    #[param(max_length = 100)]
    actor: Option<String>,
    /// On this record or participant.
    #[param(max_length = 100)]
    target: Option<String>,
    /// Whose action begins so, such as `account.`.
    #[param(max_length = 100)]
    action: Option<String>,
    /// Entries at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// What a verification found.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerifiedAnswer {
    /// Whether every entry is as it was written, and none is missing.
    intact: bool,
    /// How many entries it has; null where it is not intact.
    entries: Option<u64>,
    /// The last one's hash: whoever noted it elsewhere can compare.
    head: Option<String>,
    /// What is wrong; null where nothing is.
    problem: Option<String>,
}

/// A number that an entry can have.
fn numbered(after: u64) -> Result<u64, Problem> {
    let wrong = || Problem::bad("query_invalid", "`after` is the `next` of the part before");
    i64::try_from(after).map(|_| after).map_err(|_| wrong())
}

fn answer(entry: AuditEntry) -> EntryAnswer {
    let AuditEntry { number, act, hash } = entry;
    EntryAnswer {
        number,
        at: written(act.at),
        actor: ActorAnswer {
            kind: act.actor.kind.word().to_owned(),
            id: act.actor.id,
            name: act.actor.name,
        },
        action: act.action,
        target: TargetAnswer { kind: act.target.kind, id: act.target.id, name: act.target.name },
        from: act.from.map(|it| it.to_string()),
        outcome: act.outcome.word().to_owned(),
        detail: serde_json::from_str(&act.detail).ok(),
        hash,
    }
}

/// Reads the audit log.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit",
    params(LogQuery), responses((status = 200, body = AuditPage)),
    security(("session" = ["audit.read"]), ("token" = ["audit.read"])))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<LogQuery>,
) -> Result<Json<AuditPage>, Problem> {
    caller.needs(&api, Right::AuditRead).await?;
    let text = |it: &Option<String>| it.as_deref().map(search_text).transpose();
    let time = |name, it: &Option<String>| it.as_deref().map(|it| read_time(name, it)).transpose();
    let limit = match limit(query.limit)? {
        0 => Search::DEFAULT_LIMIT,
        limit => limit,
    };
    let query = AuditQuery {
        after: query.after.map(numbered).transpose()?.unwrap_or(0),
        since: time("since", &query.since)?,
        until: time("until", &query.until)?,
        actor: text(&query.actor)?,
        target: text(&query.target)?,
        action: text(&query.action)?,
        // One more tells whether there is a next page.
        limit: limit + 1,
    };
    let mut entries = api.people()?.records().store().audit(&query).await.map_err(store_failed)?;
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let next = entries.last().filter(|_| more).map(|it| it.number);
    Ok(Json(AuditPage { items: entries.into_iter().map(answer).collect(), next }))
}

/// Follows the whole log and tells whether it is as it was written.
#[utoipa::path(get, path = "/api/v1/audit/verification", tag = "audit",
    operation_id = "verify_audit", responses((status = 200, body = VerifiedAnswer)),
    security(("session" = ["audit.read"]), ("token" = ["audit.read"])))]
pub async fn verify(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<VerifiedAnswer>, Problem> {
    caller.needs(&api, Right::AuditRead).await?;
    // One at a time: it reads the whole log.
    let Ok(_alone) = api.verifying.try_lock() else {
        let detail = "the log is being verified: try again in a moment";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail));
    };
    let store = api.people()?.records().store();
    let head = store.audit_head().await.map_err(store_failed)?;
    let (entries, problem) = match audit::verify(store).await {
        Ok(entries) => (Some(entries), None),
        Err(VerifyError::Chain(error)) => (None, Some(error.to_string())),
        Err(VerifyError::Store(error)) => return Err(store_failed(error)),
    };
    let head = head.map(|it| it.1);
    Ok(Json(VerifiedAnswer { intact: problem.is_none(), entries, head, problem }))
}
