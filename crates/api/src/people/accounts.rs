//! `/api/v1/accounts`: the people of the house.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use conference::people::{Account, AccountChange, NewAccount, Right};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AccountAnswer, Role};
use crate::Api;
use crate::caller::{Caller, now};
use crate::problem::{Problem, kept_failed, people_failed, store_failed};
use crate::wire::{Asked, Body, ListQuery, Page, Versioned, expected, record_id};

/// An account to be made.
// No Debug: it may hold a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccountBody {
    /// What they sign in with: 2 to 64 letters, digits, '.', '-', '_' and '@'.
    name: String,
    /// What others see; the name if left out.
    display_name: Option<String>,
    email: Option<String>,
    /// A user if left out.
    role: Option<Role>,
    /// They have to change it at the first sign-in; left out, one is made and shown once.
    password: Option<String>,
}

/// An account that was made.
// No Debug: it may hold a password.
#[derive(Serialize, ToSchema)]
pub struct NewAccountAnswer {
    account: AccountAnswer,
    /// The password that was made; nobody sees it again. Null where one was given.
    password: Option<String>,
}

/// What is changed; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChangeBody {
    display_name: Option<String>,
    /// An empty text removes it.
    email: Option<String>,
    role: Option<Role>,
    /// Keeps them out, and ends their sessions.
    disabled: Option<bool>,
}

/// How a password is made anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    /// Whether the second factor goes as well, as when the device is lost.
    second_factor_too: Option<bool>,
}

/// A password that was made; nobody sees it again.
// No Debug: it is one.
#[derive(Serialize, ToSchema)]
pub struct ResetAnswer {
    password: String,
}

/// Lists accounts.
#[utoipa::path(get, path = "/api/v1/accounts", tag = "accounts", operation_id = "list_accounts",
    params(ListQuery), responses((status = 200, body = Page<AccountAnswer>)),
    security(("session" = ["accounts.read"]), ("token" = ["accounts.read"])))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<Page<AccountAnswer>>, Problem> {
    caller.needs(&api, Right::AccountsRead).await?;
    let records = api.people()?.records();
    let found = records.list::<Account>(&query.search()?).await.map_err(store_failed)?;
    Ok(Page::of(found, AccountAnswer::from))
}

/// Makes an account.
#[utoipa::path(post, path = "/api/v1/accounts", tag = "accounts", operation_id = "create_account",
    request_body = NewAccountBody, responses((status = 201, body = NewAccountAnswer)),
    security(("session" = ["accounts.write"]), ("token" = ["accounts.write"])))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<NewAccountBody>,
) -> Result<Versioned<NewAccountAnswer>, Problem> {
    let who = caller.needs(&api, Right::AccountsWrite).await?;
    let body = body.read()?;
    let new = NewAccount {
        name: body.name,
        display_name: body.display_name,
        email: body.email,
        role: body.role.map(Into::into),
        password: body.password,
    };
    let made = api.people()?.create_account(who, new, now()).await;
    let (account, password) = made.map_err(people_failed)?;
    let version = account.version;
    let answer = NewAccountAnswer { account: account.into(), password: password.map(|it| it.0) };
    Ok(Versioned(StatusCode::CREATED, version, answer))
}

/// Shows an account.
#[utoipa::path(get, path = "/api/v1/accounts/{id}", tag = "accounts", operation_id = "get_account",
    params(("id" = String, Path)), responses((status = 200, body = AccountAnswer)),
    security(("session" = ["accounts.read"]), ("token" = ["accounts.read"])))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Versioned<AccountAnswer>, Problem> {
    caller.needs(&api, Right::AccountsRead).await?;
    let found = api.people()?.account(&record_id(&id)?).await.map_err(store_failed)?;
    Ok(Versioned(StatusCode::OK, found.version, found.into()))
}

/// Changes an account.
#[utoipa::path(patch, path = "/api/v1/accounts/{id}", tag = "accounts",
    operation_id = "change_account",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = AccountChangeBody, responses((status = 200, body = AccountAnswer)),
    security(("session" = ["accounts.write"]), ("token" = ["accounts.write"])))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body<AccountChangeBody>,
) -> Result<Versioned<AccountAnswer>, Problem> {
    let who = caller.needs(&api, Right::AccountsWrite).await?;
    let (id, version, body) = (record_id(&id)?, expected(&headers)?, body.read()?);
    let change = AccountChange {
        display_name: body.display_name,
        email: body.email,
        role: body.role.map(Into::into),
        disabled: body.disabled,
    };
    let changed = api.people()?.change_account(who, &id, version, change, now()).await;
    let found = changed.map_err(people_failed)?;
    Ok(Versioned(StatusCode::OK, found.version, found.into()))
}

/// Removes an account with its sessions, tokens and personal room, and from its groups. Its other
/// meetings stay.
#[utoipa::path(delete, path = "/api/v1/accounts/{id}", tag = "accounts",
    operation_id = "remove_account",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")),
    security(("session" = ["accounts.write"]), ("token" = ["accounts.write"])))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let who = caller.needs(&api, Right::AccountsWrite).await?;
    let (id, version) = (record_id(&id)?, expected(&headers)?);
    api.people()?.remove_account(who, &id, version, now()).await.map_err(people_failed)?;
    api.bookings()?.remove_personal(who, &id, now()).await.map_err(kept_failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives somebody a new password, which they have to change; their sessions end.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/password", tag = "accounts",
    operation_id = "reset_password", params(("id" = String, Path)), request_body = ResetBody,
    responses((status = 200, body = ResetAnswer)),
    security(("session" = ["accounts.write"]), ("token" = ["accounts.write"])))]
pub async fn reset_password(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<ResetBody>,
) -> Result<Json<ResetAnswer>, Problem> {
    let who = caller.needs(&api, Right::AccountsWrite).await?;
    let (id, body) = (record_id(&id)?, body.read()?);
    let factor_too = body.second_factor_too.unwrap_or(false);
    let made = api.people()?.reset_password(who, &id, factor_too, now()).await;
    Ok(Json(ResetAnswer { password: made.map_err(people_failed)?.0 }))
}
