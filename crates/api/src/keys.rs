//! `/api/v1/keys`: keys of applications that speak LiveKit's protocol.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use conference::access::{ApplicationKey, KeyChange, KeyRights};
use conference::people::Right;
use conference::store::Found;
use serde::{Deserialize, Serialize};
use types::RecordId;
use utoipa::ToSchema;

use crate::Api;
use crate::caller::{Caller, now};
use crate::problem::{Problem, kept_failed, store_failed};
use crate::wire::{Asked, Body, ListQuery, Page, Versioned, expected, no_such_id, written};

/// How long an old secret goes on beside a new one where nothing is said, in hours.
const OVERLAP_HOURS: u32 = 24;

/// A key of an application, without its secrets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApplicationKey)]
pub struct KeyAnswer {
    /// What applications name as the issuer of their tokens.
    id: String,
    /// What it is for.
    name: String,
    /// Whether its tokens may create rooms.
    create_rooms: bool,
    /// Whether its tokens may have room systems called.
    sip_call: bool,
    /// Its secrets whose tokens are taken, the newest first.
    secrets: Vec<SecretAnswer>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    changed_at: String,
}

/// What is told of a secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApplicationSecret)]
pub struct SecretAnswer {
    #[schema(format = DateTime)]
    made_at: String,
    /// Until when its tokens are taken; null: as long as the key is there.
    #[schema(format = DateTime)]
    until: Option<String>,
}

impl From<Found<ApplicationKey>> for KeyAnswer {
    fn from(found: Found<ApplicationKey>) -> Self {
        let key = found.entity;
        let secrets = key
            .secrets(now())
            .map(|it| SecretAnswer { made_at: written(it.made_at), until: it.until.map(written) });
        Self {
            id: found.id.to_string(),
            secrets: secrets.collect(),
            name: key.name,
            create_rooms: key.create_rooms,
            sip_call: key.sip_call,
            created_at: written(found.created_at),
            changed_at: written(found.changed_at),
        }
    }
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKeyBody {
    /// What it is for, 100 characters at most; no two keys have the same.
    name: String,
    /// Whether its tokens may create rooms; not if left out.
    create_rooms: Option<bool>,
    /// Whether its tokens may have room systems called; not if left out.
    sip_call: Option<bool>,
}

/// What is changed; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChangeBody {
    name: Option<String>,
    create_rooms: Option<bool>,
    sip_call: Option<bool>,
}

/// How a key is rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateBody {
    /// How long tokens of the older secrets are still taken, in hours: 24 if left out, 2160 at most.
    #[schema(minimum = 0, maximum = 2160)]
    overlap_hours: Option<u32>,
}

/// A key with a secret that was made.
// No Debug: it holds the secret.
#[derive(Serialize, ToSchema)]
pub struct NewSecretAnswer {
    key: KeyAnswer,
    /// What the application signs with; nobody sees it again.
    secret: String,
}

/// The id in a path: letters and digits, unlike those of other records.
fn key_id(text: &str) -> Result<RecordId, Problem> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric());
    fits.then(|| RecordId::new(text)).ok_or_else(no_such_id)
}

fn with_secret(
    status: StatusCode,
    (found, secret): (Found<ApplicationKey>, String),
) -> Versioned<NewSecretAnswer> {
    Versioned(status, found.version, NewSecretAnswer { key: found.into(), secret })
}

/// Lists keys that are kept; those of the configuration stand there.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", operation_id = "list_keys",
    params(ListQuery), responses((status = 200, body = Page<KeyAnswer>)),
    security(("session" = ["keys.read"]), ("token" = ["keys.read"])))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<Page<KeyAnswer>>, Problem> {
    caller.needs(&api, Right::KeysRead).await?;
    let records = api.keyring()?.records();
    let found = records.list::<ApplicationKey>(&query.search()?).await.map_err(store_failed)?;
    Ok(Page::of(found, KeyAnswer::from))
}

/// Makes a key.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", operation_id = "create_key",
    request_body = NewKeyBody, responses((status = 201, body = NewSecretAnswer)),
    security(("session" = ["keys.write"]), ("token" = ["keys.write"])))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<NewKeyBody>,
) -> Result<Versioned<NewSecretAnswer>, Problem> {
    let who = caller.needs(&api, Right::KeysWrite).await?;
    let NewKeyBody { name, create_rooms, sip_call } = body.read()?;
    let rights = KeyRights {
        create_rooms: create_rooms.unwrap_or_default(),
        sip_call: sip_call.unwrap_or_default(),
    };
    let made = api.keyring()?.create(who, name, rights, now()).await;
    Ok(with_secret(StatusCode::CREATED, made.map_err(kept_failed)?))
}

/// Shows a key.
#[utoipa::path(get, path = "/api/v1/keys/{id}", tag = "keys", operation_id = "get_key",
    params(("id" = String, Path)), responses((status = 200, body = KeyAnswer)),
    security(("session" = ["keys.read"]), ("token" = ["keys.read"])))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Versioned<KeyAnswer>, Problem> {
    caller.needs(&api, Right::KeysRead).await?;
    let found = api.keyring()?.get(&key_id(&id)?, None).await.map_err(kept_failed)?;
    Ok(Versioned(StatusCode::OK, found.version, found.into()))
}

/// Changes a key's name and rights; tokens that were signed before have the new rights too.
#[utoipa::path(patch, path = "/api/v1/keys/{id}", tag = "keys", operation_id = "change_key",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = KeyChangeBody, responses((status = 200, body = KeyAnswer)),
    security(("session" = ["keys.write"]), ("token" = ["keys.write"])))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body<KeyChangeBody>,
) -> Result<Versioned<KeyAnswer>, Problem> {
    let who = caller.needs(&api, Right::KeysWrite).await?;
    let (id, version, body) = (key_id(&id)?, expected(&headers)?, body.read()?);
    let KeyChangeBody { name, create_rooms, sip_call } = body;
    let change = KeyChange { name, create_rooms, sip_call };
    let changed = api.keyring()?.change(who, &id, version, change, now()).await;
    let found = changed.map_err(kept_failed)?;
    Ok(Versioned(StatusCode::OK, found.version, found.into()))
}

/// Gives a key a new secret; the older ones go on for a while, so that nothing breaks meanwhile.
#[utoipa::path(post, path = "/api/v1/keys/{id}/rotate", tag = "keys", operation_id = "rotate_key",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = RotateBody, responses((status = 200, body = NewSecretAnswer)),
    security(("session" = ["keys.write"]), ("token" = ["keys.write"])))]
pub async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body<RotateBody>,
) -> Result<Versioned<NewSecretAnswer>, Problem> {
    let who = caller.needs(&api, Right::KeysWrite).await?;
    let (id, version, body) = (key_id(&id)?, expected(&headers)?, body.read()?);
    let overlap = hours(body.overlap_hours.unwrap_or(OVERLAP_HOURS))?;
    let rotated = api.keyring()?.rotate(who, &id, version, overlap, now()).await;
    Ok(with_secret(StatusCode::OK, rotated.map_err(kept_failed)?))
}

fn hours(hours: u32) -> Result<Duration, Problem> {
    let overlap = Duration::from_secs(u64::from(hours) * 3600);
    if overlap <= ApplicationKey::MAX_OVERLAP {
        return Ok(overlap);
    }
    let most = ApplicationKey::MAX_OVERLAP.as_secs() / 3600;
    let detail = format!("overlap_hours is {most} at most");
    Err(Problem::new(StatusCode::BAD_REQUEST, "invalid", detail))
}

/// Removes a key: its tokens are refused from now on.
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "keys", operation_id = "remove_key",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")),
    security(("session" = ["keys.write"]), ("token" = ["keys.write"])))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let who = caller.needs(&api, Right::KeysWrite).await?;
    let (id, version) = (key_id(&id)?, expected(&headers)?);
    api.keyring()?.remove(who, &id, version, now()).await.map_err(kept_failed)?;
    Ok(StatusCode::NO_CONTENT)
}
