//! `/api/v1/tokens`: tokens for programs that act for an account.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use conference::people::{ApiToken, NewToken, Right};
use conference::store::{Found, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sessions::OwnedQuery;
use crate::Api;
use crate::caller::{Caller, now};
use crate::problem::{Problem, people_failed, store_failed};
use crate::wire::{Asked, Body, Page, read_time, record_id, written};

/// A token for programs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiToken)]
pub struct TokenAnswer {
    id: String,
    /// Whose.
    account: String,
    /// What it is for.
    name: String,
    /// It may no more than these and its account.
    scopes: Vec<String>,
    /// When it ends; null: never.
    #[schema(format = DateTime)]
    ends_at: Option<String>,
    /// When it was used last, within five minutes.
    #[schema(format = DateTime)]
    used_at: Option<String>,
    /// From where it was used last.
    used_from: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<Found<ApiToken>> for TokenAnswer {
    fn from(found: Found<ApiToken>) -> Self {
        let token = found.entity;
        Self {
            id: found.id.to_string(),
            account: token.account.to_string(),
            name: token.name,
            scopes: token.scopes,
            ends_at: token.ends_at.map(written),
            used_at: token.used_at.map(written),
            used_from: token.used_from.map(|it| it.to_string()),
            created_at: written(found.created_at),
        }
    }
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenBody {
    /// What it is for.
    name: String,
    /// What it may: `rights` of GET /api/v1/session.
    scopes: Vec<String>,
    /// When it ends; left out: never.
    #[schema(format = DateTime)]
    ends_at: Option<String>,
}

/// A token that was made.
// No Debug: it holds the secret.
#[derive(Serialize, ToSchema)]
pub struct NewTokenAnswer {
    token: TokenAnswer,
    /// What programs send; nobody sees it again.
    secret: String,
}

/// Lists tokens.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_tokens",
    params(OwnedQuery), responses((status = 200, body = Page<TokenAnswer>),
        (status = 404, description = "There is no such account")),
    security(("session" = ["own"]), ("token" = ["own"])))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<OwnedQuery>,
) -> Result<Json<Page<TokenAnswer>>, Problem> {
    let search = query.search(&api, &caller, ApiToken::ACCOUNT).await?;
    let found = api.people()?.records().list::<ApiToken>(&search).await.map_err(store_failed)?;
    Ok(Page::of(found, TokenAnswer::from))
}

/// Makes a token for oneself.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "create_token",
    request_body = NewTokenBody, responses((status = 201, body = NewTokenAnswer)),
    security(("session" = ["own"]), ("token" = ["own"])))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<NewTokenBody>,
) -> Result<(StatusCode, Json<NewTokenAnswer>), Problem> {
    let who = caller.needs(&api, Right::Own).await?;
    let body = body.read()?;
    let ends_at = body.ends_at.as_deref().map(|it| read_time("ends_at", it)).transpose()?;
    let new = NewToken { name: body.name, scopes: body.scopes, ends_at };
    let made = api.people()?.create_token(who, new, now()).await;
    let (token, secret) = made.map_err(people_failed)?;
    Ok((StatusCode::CREATED, Json(NewTokenAnswer { token: token.into(), secret })))
}

/// Ends a token: one's own, or another's with `accounts.write`.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "end_token",
    params(("id" = String, Path)), responses((status = 204, description = "It has ended")),
    security(("session" = ["own"]), ("token" = ["own"])))]
pub async fn end(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let who = caller.needs(&api, Right::Own).await?;
    let (id, people) = (record_id(&id)?, api.people()?);
    let found = people.records().get::<ApiToken>(&id).await.map_err(store_failed)?;
    let may =
        |it: &Found<ApiToken>| it.entity.account == who.account || who.has(Right::AccountsWrite);
    let missing = StoreError::Missing { kind: conference::store::Kind::ApiToken, id };
    let token = found.filter(may).ok_or_else(|| store_failed(missing))?;
    people.end_token(who, &token, now()).await.map_err(store_failed)?;
    Ok(StatusCode::NO_CONTENT)
}
