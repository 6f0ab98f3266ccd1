//! `/api/v1/meetings/{id}/legs`: calls to room systems, for keys that may call.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use conference::store;
use conference::{DialRefusal, DialledLeg, Dialler, LegId, LegState};
use serde::{Deserialize, Serialize};
use types::{Identity, LegLayout, LegLayoutError, MeetingId};
use utoipa::ToSchema;

use crate::Api;
use crate::authorise::{Note, meeting_id, name_of};
use crate::caller;
use crate::join::unreadable;
use crate::problem::Problem;

/// What is asked.
// No Debug: an address may hold a PIN.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LegBody {
    /// The room system, such as sip:room@198.51.100.7.
    address: String,
    /// How others are arranged in its picture: grid or speaker.
    layout: Option<String>,
}

/// What is changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LegChange {
    /// How others are arranged in its picture: grid or speaker.
    layout: String,
}

/// A call to a room system.
#[derive(Serialize, ToSchema)]
#[schema(as = Leg)]
pub struct LegAnswer {
    #[schema(value_type = String)]
    id: LegId,
    /// Into which meeting.
    #[schema(value_type = String)]
    meeting: MeetingId,
    /// Who it is in the meeting.
    #[schema(value_type = String)]
    identity: Identity,
    /// What was dialled, without what may be a PIN.
    address: String,
    /// dialling, ringing, active, or how it ended: ended, busy, declined, timed_out, unreachable,
    /// not_found, incompatible, refused, cancelled, not_admitted.
    #[schema(value_type = String)]
    state: LegState,
    /// How others are arranged in its picture.
    #[schema(value_type = String)]
    layout: LegLayout,
}

impl From<DialledLeg> for LegAnswer {
    fn from(leg: DialledLeg) -> Self {
        let DialledLeg { id, meeting, identity, address, state, layout } = leg;
        Self { id, meeting, identity, address, state, layout }
    }
}

/// Calls an address into the meeting. How it goes, `GET` of the leg tells.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/legs", tag = "legs", operation_id = "call",
    params(("id" = String, Path)), request_body = LegBody,
    responses((status = 201, body = LegAnswer)),
    security(("livekit" = ["sip.call"])))]
pub async fn call(
    State(api): State<Api>,
    Path(id): Path<String>,
    Origin(from): Origin,
    headers: HeaderMap,
    body: Result<Json<LegBody>, JsonRejection>,
) -> Result<(StatusCode, Json<LegAnswer>), Problem> {
    let Allowed { meeting, dialler, actor } = allowed(&api, &id, &headers)?;
    let Json(body) = body.map_err(unreadable)?;
    let layout = body.layout.as_deref().map(read_layout).transpose()?;
    let dialled = dialler.dial(&meeting, &body.address, layout).await;
    if let Some(note) = Note::of(&api, actor, from, "leg.dial", &meeting) {
        // What was asked for and not dialled may hold a PIN: it is not written down.
        let note = match &dialled {
            Ok(leg) => on(note, leg),
            Err(refusal) => note.refused(&meeting, &refusal.to_string()),
        };
        note.write(None).await?;
    }
    let leg = dialled.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(leg.into())))
}

fn on(note: Note, leg: &DialledLeg) -> Note {
    note.on("leg", leg.id.to_string(), leg.address.clone())
}

/// How a call stands.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/legs/{leg}", tag = "legs",
    operation_id = "get_leg", params(("id" = String, Path), ("leg" = String, Path)),
    responses((status = 200, body = LegAnswer)),
    security(("livekit" = ["sip.call"])))]
pub async fn show(
    State(api): State<Api>,
    Path((id, leg)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<LegAnswer>, Problem> {
    let Allowed { meeting, dialler, .. } = allowed(&api, &id, &headers)?;
    dialler.leg(&meeting, &LegId(leg)).map(|it| Json(it.into())).ok_or_else(no_such_leg)
}

/// Arranges others anew in the room system's picture.
#[utoipa::path(patch, path = "/api/v1/meetings/{id}/legs/{leg}", tag = "legs",
    operation_id = "change_leg", params(("id" = String, Path), ("leg" = String, Path)), request_body = LegChange,
    responses((status = 200, body = LegAnswer)),
    security(("livekit" = ["sip.call"])))]
pub async fn change(
    State(api): State<Api>,
    Path((id, leg)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Json<LegChange>, JsonRejection>,
) -> Result<Json<LegAnswer>, Problem> {
    let Allowed { meeting, dialler, .. } = allowed(&api, &id, &headers)?;
    let Json(body) = body.map_err(unreadable)?;
    let layout = read_layout(&body.layout)?;
    let leg = dialler.set_layout(&meeting, &LegId(leg), layout).ok_or_else(no_such_leg)?;
    if leg.state.is_over() {
        return Err(Problem::new(StatusCode::CONFLICT, "leg_over", "the call is over"));
    }
    Ok(Json(leg.into()))
}

fn read_layout(text: &str) -> Result<LegLayout, Problem> {
    text.parse().map_err(|error: LegLayoutError| {
        let detail = format!("`layout` is {text:?}: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "layout_invalid", detail)
    })
}

/// Hangs up, or takes the call back.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}/legs/{leg}", tag = "legs",
    operation_id = "hang_up", params(("id" = String, Path), ("leg" = String, Path)),
    responses((status = 200, body = LegAnswer)),
    security(("livekit" = ["sip.call"])))]
pub async fn hang_up(
    State(api): State<Api>,
    Path((id, leg)): Path<(String, String)>,
    Origin(from): Origin,
    headers: HeaderMap,
) -> Result<Json<LegAnswer>, Problem> {
    let Allowed { meeting, dialler, actor } = allowed(&api, &id, &headers)?;
    let leg = dialler.hang_up(&meeting, &LegId(leg)).ok_or_else(no_such_leg)?;
    if let Some(note) = Note::of(&api, actor, from, "leg.hang_up", &meeting) {
        on(note, &leg).write(None).await?;
    }
    Ok(Json(leg.into()))
}

/// Who may call into a meeting, and by whom.
struct Allowed<'a> {
    meeting: MeetingId,
    dialler: &'a dyn Dialler,
    /// For the audit log.
    actor: store::Actor,
}

/// From where a request comes, where that is known.
pub struct Origin(Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(caller::client(parts).ok()))
    }
}

/// The meeting and who calls into it, for a token that may call there.
fn allowed<'a>(api: &'a Api, id: &str, headers: &HeaderMap) -> Result<Allowed<'a>, Problem> {
    let unauthorized =
        |detail: String| Problem::new(StatusCode::UNAUTHORIZED, "token_invalid", detail);
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|it| it.to_str().ok())
        .and_then(|it| it.strip_prefix("Bearer "))
        .ok_or_else(|| unauthorized("send a token: Authorization: Bearer …".to_owned()))?;
    let grant = api
        .keys
        .verify(token, SystemTime::now())
        .map_err(|error| unauthorized(error.to_string()))?;
    let elsewhere = grant
        .video
        .room
        .as_deref()
        .is_some_and(|room| meeting_id(api, room) != meeting_id(api, id));
    if !grant.sip.call || elsewhere {
        let detail = "the token has to grant `sip.call`, its key the right `sip_call`, and a room \
                      that it names has to be this meeting";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", detail));
    }
    let meeting = meeting_id(api, id).ok_or_else(|| refused(DialRefusal::NoSuchMeeting))?;
    let dialler = api.dialler.as_deref().ok_or_else(|| refused(DialRefusal::Unavailable))?;
    Ok(Allowed { meeting, dialler, actor: name_of(&grant) })
}

fn refused(refusal: DialRefusal) -> Problem {
    let (status, code) = match refusal {
        DialRefusal::NoSuchMeeting => (StatusCode::NOT_FOUND, "meeting_not_found"),
        DialRefusal::BadAddress => (StatusCode::BAD_REQUEST, "address_invalid"),
        DialRefusal::NotRegistered => (StatusCode::CONFLICT, "not_registered"),
        DialRefusal::NotEncrypted => (StatusCode::CONFLICT, "not_encrypted"),
        DialRefusal::Forbidden => (StatusCode::FORBIDDEN, "address_forbidden"),
        DialRefusal::ByRule { .. } => (StatusCode::FORBIDDEN, "forbidden_by_rule"),
        DialRefusal::TrunkFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "trunk_full"),
        DialRefusal::TrunkUnusable { .. } => (StatusCode::CONFLICT, "trunk_unusable"),
        DialRefusal::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many_calls"),
        DialRefusal::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    Problem::new(status, code, refusal.to_string())
}

fn no_such_leg() -> Problem {
    let detail = "the meeting has no such call, or it ended some time ago";
    Problem::new(StatusCode::NOT_FOUND, "leg_not_found", detail)
}
