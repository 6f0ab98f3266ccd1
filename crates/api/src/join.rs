//! `POST /api/v1/meetings/{id}/join`: a name and perhaps a PIN for a token, or a place to wait in.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use conference::access::{
    Admission, AdmissionError, Grant, Limiter, MeetingSettings, TooMany, VideoGrant, Visitor,
};
use conference::people::{ApiToken, Principal, VaultError};
use rand::Rng;
use room::Role;
use serde::{Deserialize, Serialize};
use types::{Identity, MeetingId, RecordId};
use utoipa::ToSchema;

use crate::Api;
use crate::authorise::{bearer, granted};
use crate::caller::{self, Comer};
use crate::problem::{Problem, store_failed, vault_failed};
use crate::waiting;
use crate::wire::written;

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

/// What is answered to who comes in.
#[derive(Debug, Serialize, ToSchema)]
pub struct JoinAnswer {
    /// A LiveKit token to connect with, good for this meeting.
    token: String,
    /// Who one is in the meeting.
    #[schema(value_type = String)]
    identity: Identity,
    meeting: MeetingAnswer,
}

/// The meeting that one joins.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = JoinedMeeting)]
pub struct MeetingAnswer {
    id: String,
    name: String,
    /// Whether its media are encrypted between the participants, with a key that this server never
    /// sees: what is not encrypted is refused.
    e2ee: bool,
}

impl MeetingAnswer {
    fn of(settings: MeetingSettings) -> Self {
        Self { id: settings.id.to_string(), name: settings.name, e2ee: settings.e2ee }
    }
}

/// Somebody who may come into a meeting, at once or when a host says so.
// No Debug: a token must not be printed by accident.
pub struct Entry {
    identity: Identity,
    grant: Grant,
    /// What it came with; without one it is given one.
    token: Option<String>,
    meeting: MeetingAnswer,
}

impl Entry {
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn name(&self) -> &str {
        &self.grant.name
    }

    pub fn role(&self) -> Role {
        self.grant.role()
    }

    pub fn meeting(&self) -> &MeetingAnswer {
        &self.meeting
    }

    /// The answer to who comes in: a token.
    pub fn answer(&self, api: &Api) -> Result<Response, Problem> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => sign(api, &self.grant)?,
        };
        let (identity, meeting) = (self.identity.clone(), self.meeting.clone());
        // A poll asks for it by GET: it is for nobody else.
        let private = [(header::CACHE_CONTROL, "no-store")];
        Ok((private, Json(JoinAnswer { token, identity, meeting })).into_response())
    }
}

fn sign(api: &Api, grant: &Grant) -> Result<String, Problem> {
    api.keys.sign(grant, TOKEN_LIFE, SystemTime::now()).map_err(|error| {
        tracing::error!(%error, "a token cannot be signed");
        let detail = "the server cannot make a token; its log says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })
}

/// Lets somebody into a meeting, or into its lobby: by a PIN where it asks for one, or by a token
/// that it has already, with which it stays who it was. Whoever is signed in comes in as what they are
/// invited as; a page sends X-CSRF-Token along.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/join", tag = "meetings",
    operation_id = "join_meeting", params(("id" = String, Path)), request_body = JoinBody,
    responses((status = 200, body = JoinAnswer), (status = 202, body = waiting::WaitingAnswer)),
    security((), ("session" = []), ("token" = []), ("livekit" = [])))]
pub async fn join(
    State(api): State<Api>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Comer(account): Comer,
    body: Result<Json<JoinBody>, JsonRejection>,
) -> Result<Response, Problem> {
    let (address, now) = (client.ip(), Instant::now());
    lock(&api.joins).take(address, now).map_err(too_many)?;
    let Json(body) = body.map_err(unreadable)?;
    let name = valid_name(&body.name)?;
    let (id, entry) = match bearer(&headers).filter(|it| !it.starts_with(ApiToken::PREFIX)) {
        Some(token) => by_token(&api, &id, token)?,
        None => {
            let account = match &account {
                Some(who) => Some(account_of(&api, who).await?),
                None => None,
            };
            let account = account.as_ref().map(|(id, email)| (id, email.as_deref()));
            let visitor = Visitor { pin: body.pin.as_deref(), account, now: caller::now() };
            by_pin(&api, &id, name, visitor, (address, now)).await?
        }
    };
    waiting::enter(&api, id, entry).await
}

fn by_token(api: &Api, id: &str, token: &str) -> Result<(MeetingId, Entry), Problem> {
    let (grant, id) = granted(api, id, token)?;
    let identity = match grant.join() {
        Ok((identity, _)) => identity.clone(),
        Err(error) => {
            let detail = error.to_string();
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", detail));
        }
    };
    let settings = api.directory.find(&id).ok_or_else(not_found)?;
    let meeting = MeetingAnswer::of(settings);
    Ok((id, Entry { identity, grant, token: Some(token.to_owned()), meeting }))
}

/// The account that somebody is signed in with, and its e-mail address.
async fn account_of(api: &Api, who: &Principal) -> Result<(RecordId, Option<String>), Problem> {
    let account = api.people()?.account(&who.account).await.map_err(store_failed)?;
    Ok((account.id, account.entity.email))
}

async fn by_pin(
    api: &Api,
    id: &str,
    name: String,
    visitor: Visitor<'_>,
    (address, now): (IpAddr, Instant),
) -> Result<(MeetingId, Entry), Problem> {
    // Checked before the PIN is, so that a blocked address learns nothing more.
    if visitor.pin.is_some() {
        lock(&api.wrong_pins).check(address, now).map_err(too_many)?;
    }
    let admission = match MeetingId::parse(id) {
        Ok(id) => api.directory.admit(&id, visitor).await,
        Err(_) => Err(AdmissionError::NotFound),
    };
    let admission = admission.map_err(|error| refused(api, address, now, error))?;
    let identity = Identity::new(identity(&name));
    let role = admission.place();
    let Admission { settings, .. } = admission;
    let mut grant = Grant {
        issuer: api.signing_key.clone(),
        identity: Some(identity.clone()),
        name,
        video: VideoGrant {
            room_join: true,
            room: Some(settings.id.to_string()),
            can_update_own_metadata: true,
            ..VideoGrant::default()
        },
        ..Grant::default()
    };
    grant.set_role(role);
    let id = settings.id.clone();
    let meeting = MeetingAnswer::of(settings);
    Ok((id, Entry { identity, grant, token: None, meeting }))
}

/// A name as it is shown: words with a space between.
pub(crate) fn valid_name(text: &str) -> Result<String, Problem> {
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
        AdmissionError::NotFound => not_found(),
        AdmissionError::PinRequired => {
            let detail = "the meeting asks for a PIN";
            Problem::new(StatusCode::UNAUTHORIZED, "pin_required", detail)
        }
        AdmissionError::PinWrong => {
            lock(&api.wrong_pins).charge(address, now);
            Problem::new(StatusCode::FORBIDDEN, "pin_wrong", "the PIN is wrong")
        }
        AdmissionError::SignInFirst => {
            Problem::new(StatusCode::UNAUTHORIZED, "sign_in_first", error.to_string())
        }
        AdmissionError::NotInvited => {
            Problem::new(StatusCode::FORBIDDEN, "not_invited", error.to_string())
        }
        AdmissionError::NotYet { opens_at, starts_at } => {
            let wait = opens_at.since(caller::now()).as_secs() + 1;
            let (opens_at, starts_at) = (written(opens_at), written(starts_at));
            let detail =
                format!("the meeting begins at {starts_at}: joining is open from {opens_at} on");
            let problem = Problem::new(StatusCode::FORBIDDEN, "not_yet", detail);
            Problem { retry_after: Some(wait), ..problem }
        }
        AdmissionError::Over { ended_at } => {
            let since = ended_at.map(|it| format!(" since {}", written(it))).unwrap_or_default();
            Problem::new(StatusCode::GONE, "over", format!("the meeting is over{since}"))
        }
        AdmissionError::Busy => vault_failed(VaultError::Busy),
    }
}

pub(crate) fn not_found() -> Problem {
    let detail = "there is no such meeting: check the id or the link";
    Problem::new(StatusCode::NOT_FOUND, "meeting_not_found", detail)
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
    Problem::new(status, code, without_value(&rejection.body_text()))
}

/// What was said of a body, without the value that could not be taken: a PIN that is a number, a
/// password at a wrong place.
fn without_value(text: &str) -> String {
    for wrong in ["invalid type: ", "invalid value: "] {
        let Some((before, rest)) = text.split_once(wrong) else { continue };
        // From the last one on: a value may hold these words too.
        let Some((value, expected)) = rest.rsplit_once(", expected ") else { continue };
        let kind = value.split(['`', '"']).next().unwrap_or_default().trim_end();
        return format!("{before}{wrong}{kind}, expected {expected}");
    }
    text.to_owned()
}

pub(crate) fn lock(limiter: &Mutex<Limiter>) -> std::sync::MutexGuard<'_, Limiter> {
    limiter.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_is_wrong_without_its_value() {
        for (value, said) in [
            (r#"{ "name": "A", "pin": 8391720465 }"#, "invalid type: integer, expected a string"),
            (
                r#"{ "name": "A", "pin": 8391.5 }"#,
                "invalid type: floating point, expected a string",
            ),
            (r#""8391, expected a`b""#, "invalid type: string, expected struct JoinBody"),
            (r#"{ "name": "A", "pin": ["8391"] }"#, "invalid type: sequence, expected a string"),
            (r#"{ "nmae": "A" }"#, "unknown field `nmae`, expected `name` or `pin`"),
        ] {
            let error = serde_json::from_str::<JoinBody>(value).err().unwrap().to_string();
            let told = without_value(&error);
            assert!(told.starts_with(said) && !told.contains("8391"), "{told}");
        }
    }
}
