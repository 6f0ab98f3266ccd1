//! `POST /api/v1/meetings/{id}/join`: a name and perhaps a PIN for a token.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use conference::access::{Admission, AdmissionError, Grant, Limiter, Role, TooMany, VideoGrant};
use rand::Rng;
use serde::{Deserialize, Serialize};
use types::{Identity, MeetingId};
use utoipa::ToSchema;

use crate::Api;
use crate::problem::Problem;

/// A token serves for connecting anew as long as a long day of meetings lasts.
const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3600);
/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 80;
/// Characters of the name that an identity repeats.
const MAX_SLUG_CHARS: usize = 24;

/// What is asked.
// No Debug: a PIN must not be printed by accident.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinBody {
    /// What others see, 80 characters at most.
    name: String,
    /// The meeting's PIN for guests or hosts, if it asks for one.
    pin: Option<String>,
}

/// What is answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct JoinAnswer {
    /// A LiveKit token to connect with, good for this meeting.
    token: String,
    /// Who one is in the meeting.
    identity: String,
    meeting: MeetingAnswer,
}

/// The meeting that one joins.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JoinedMeeting)]
struct MeetingAnswer {
    id: String,
    name: String,
}

/// Lets a guest or host into a meeting.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/join", tag = "meetings",
    operation_id = "join_meeting", params(("id" = String, Path)), request_body = JoinBody,
    responses((status = 200, body = JoinAnswer)), security(()))]
pub async fn join(
    State(api): State<Api>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    body: Result<Json<JoinBody>, JsonRejection>,
) -> Result<Json<JoinAnswer>, Problem> {
    let (address, now) = (client.ip(), Instant::now());
    lock(&api.joins).take(address, now).map_err(too_many)?;
    let Json(body) = body.map_err(unreadable)?;
    let name = name(&body.name)?;
    // Checked before the PIN is, so that a blocked address learns nothing more.
    if body.pin.is_some() {
        lock(&api.wrong_pins).check(address, now).map_err(too_many)?;
    }
    let admission = MeetingId::parse(&id)
        .map_err(|_| AdmissionError::NotFound)
        .and_then(|id| api.directory.admit(&id, body.pin.as_deref()))
        .map_err(|error| refused(&api, address, now, error))?;
    let identity = identity(&name);
    let Admission { settings, role } = admission;
    let grant = Grant {
        issuer: api.signing_key.clone(),
        identity: Some(Identity::new(identity.clone())),
        name,
        video: VideoGrant {
            room_join: true,
            room: Some(settings.id.to_string()),
            room_admin: role == Role::Host,
            can_update_own_metadata: true,
            ..VideoGrant::default()
        },
        ..Grant::default()
    };
    let token = api.keys.sign(&grant, TOKEN_LIFE, SystemTime::now()).map_err(|error| {
        tracing::error!(%error, "a token cannot be signed");
        let detail = "the server cannot make a token; its log says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })?;
    let meeting = MeetingAnswer { id: settings.id.to_string(), name: settings.name };
    Ok(Json(JoinAnswer { token, identity, meeting }))
}

fn name(text: &str) -> Result<String, Problem> {
    let invalid = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "name_invalid", detail);
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        return Err(invalid("give a name".to_owned()));
    }
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(invalid(format!("a name has at most {MAX_NAME_CHARS} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(invalid("a name has no control characters".to_owned()));
    }
    Ok(name)
}

/// Readable in logs and unique in a meeting: the name's letters and six random ones.
fn identity(name: &str) -> String {
    let slug: String = name
        .to_lowercase()
        .chars()
        .filter(|it| it.is_alphanumeric())
        .take(MAX_SLUG_CHARS)
        .collect();
    let mut rng = rand::rng();
    let random: String =
        std::iter::repeat_with(|| char::from_digit(rng.random_range(0..36), 36).unwrap_or('0'))
            .take(8)
            .collect();
    format!("{slug}-{random}")
}

fn refused(api: &Api, address: IpAddr, now: Instant, error: AdmissionError) -> Problem {
    metrics::counter!("plenum_joins_refused_total").increment(1);
    match error {
        AdmissionError::NotFound => {
            let detail = "there is no such meeting: check the id or the link";
            Problem::new(StatusCode::NOT_FOUND, "meeting_not_found", detail)
        }
        AdmissionError::PinRequired => {
            let detail = "the meeting asks for a PIN";
            Problem::new(StatusCode::UNAUTHORIZED, "pin_required", detail)
        }
        AdmissionError::PinWrong => {
            lock(&api.wrong_pins).charge(address, now);
            Problem::new(StatusCode::FORBIDDEN, "pin_wrong", "the PIN is wrong")
        }
    }
}

pub(crate) fn too_many(error: TooMany) -> Problem {
    let seconds = error.retry_after.as_secs() + 1;
    let detail = format!("too many attempts from this address: try again in {seconds} s");
    let code = "too_many_attempts";
    Problem {
        retry_after: Some(seconds),
        ..Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail)
    }
}

pub(crate) fn unreadable(rejection: JsonRejection) -> Problem {
    let code = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        _ => "malformed",
    };
    let status = match rejection.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    Problem::new(status, code, rejection.body_text())
}

pub(crate) fn lock(limiter: &Mutex<Limiter>) -> std::sync::MutexGuard<'_, Limiter> {
    limiter.lock().unwrap_or_else(PoisonError::into_inner)
}
