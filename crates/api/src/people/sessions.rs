//! `/api/v1/sessions`: browsers that somebody signed in with.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use conference::people::{Principal, Right, Session};
use conference::store::{Found, Search};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::caller::{Caller, now, own_session};
use crate::problem::{Problem, store_failed};
use crate::wire::{Asked, Page, cursor, limit, record_id, written};

/// A browser that somebody signed in with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionAnswer {
    id: String,
    /// Whose.
    account: String,
    #[schema(format = DateTime)]
    began_at: String,
    /// When it was used last, within five minutes.
    #[schema(format = DateTime)]
    seen_at: String,
    /// When it ends if nobody uses it any more.
    #[schema(format = DateTime)]
    ends_at: String,
    /// From where it began.
    address: Option<String>,
    /// What the browser calls itself.
    user_agent: String,
    /// Whether it is the one that asks.
    current: bool,
}

/// Whose sessions are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OwnedQuery {
    /// Of this account; one's own if left out. Others' need `accounts.read`.
    pub account: Option<String>,
    /// The `next` of the part before.
    pub after: Option<String>,
    /// Entries of this part at most.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

impl OwnedQuery {
    /// As the store understands it, if the caller may see it.
    pub async fn search(
        &self,
        api: &Api,
        caller: &Caller,
        key: &'static str,
    ) -> Result<Search, Problem> {
        let who = caller.needs(api, Right::Own).await?;
        let account = match &self.account {
            None => who.account.clone(),
            Some(id) => record_id(id)?,
        };
        if account != who.account {
            caller.needs(api, Right::AccountsRead).await?;
        }
        let (after, limit) = (cursor(self.after.as_deref())?, limit(self.limit)?);
        Ok(Search { after, limit, ..Search::by(key, account.as_str()) })
    }
}

fn answer(found: Found<Session>, who: &Principal) -> SessionAnswer {
    let session = found.entity;
    SessionAnswer {
        current: own_session(who) == Some(&found.id),
        id: found.id.to_string(),
        account: session.account.to_string(),
        began_at: written(session.began_at),
        seen_at: written(session.seen_at),
        ends_at: written(session.ends_at()),
        address: session.address.map(|it| it.to_string()),
        user_agent: session.user_agent,
    }
}

/// Lists sessions.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "session", operation_id = "list_sessions",
    params(OwnedQuery), responses((status = 200, body = Page<SessionAnswer>),
        (status = 404, description = "There is no such account")),
    security(("session" = ["own"]), ("token" = ["own"])))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<OwnedQuery>,
) -> Result<Json<Page<SessionAnswer>>, Problem> {
    let search = query.search(&api, &caller, Session::ACCOUNT).await?;
    let found = api.people()?.records().list::<Session>(&search).await.map_err(store_failed)?;
    Ok(Page::of(found, |it| answer(it, &caller.principal)))
}

/// Ends a session: one's own, or another's with `accounts.write`.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "session",
    operation_id = "end_session", params(("id" = String, Path)),
    responses((status = 204, description = "It has ended")),
    security(("session" = ["own"]), ("token" = ["own"])))]
pub async fn end(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let who = caller.needs(&api, Right::Own).await?;
    let (id, people) = (record_id(&id)?, api.people()?);
    let found = people.records().get::<Session>(&id).await.map_err(store_failed)?;
    // Whether there is one of somebody else, only who may end it learns.
    if found.as_ref().is_none_or(|it| it.entity.account != who.account)
        && !who.has(Right::AccountsWrite)
    {
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "no such session of yours"));
    }
    people.end_session(who, &id, now()).await.map_err(store_failed)?;
    Ok(StatusCode::NO_CONTENT)
}
