//! `/api/v1/session`: one's own session, password and second factor.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use conference::people::{Credential, Right, SignIn, SignInError, rights};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AccountAnswer;
use crate::Api;
use crate::caller::{Caller, now, own_origin, own_session};
use crate::join::{lock, too_many};
use crate::problem::{Problem, people_failed, store_failed, vault_failed, wait};
use crate::wire::Body;

/// Who signs in.
// No Debug: a password must not be printed by accident.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInBody {
    name: String,
    password: String,
    /// A one-time code or a recovery code, for who has a second factor.
    code: Option<String>,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub struct SignedInAnswer {
    account: AccountAnswer,
    /// What a page sends as `X-CSRF-Token` with every change; null for an API token.
    csrf_token: Option<String>,
    /// What this session or token may do.
    rights: Vec<String>,
}

/// A new password of one's own.
// No Debug: they are passwords.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    old: String,
    /// At least 10 characters, not the name, none that anybody tries first.
    new: String,
}

/// What the device for one-time codes needs.
#[derive(Serialize, ToSchema)]
pub struct FactorAnswer {
    /// To type in: base32.
    secret: String,
    /// To scan.
    url: String,
}

/// A code of the new device.
// No Debug: it is a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeBody {
    code: String,
}

/// The password that stands for oneself.
// No Debug: it is a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmBody {
    password: String,
}

/// Codes for the day when the device is lost, each good once. Nobody sees them again.
#[derive(Serialize, ToSchema)]
pub struct RecoveryAnswer {
    codes: Vec<String>,
}

/// Signs in: the session comes as a cookie.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", operation_id = "sign_in",
    request_body = SignInBody,
    responses((status = 201, body = SignedInAnswer, description = "Signed in")), security(()))]
pub async fn sign_in(
    State(api): State<Api>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body<SignInBody>,
) -> Result<Response, Problem> {
    let (from, people) = (client.ip(), api.people()?);
    own_origin(&headers)?;
    lock(&api.wrong_credentials).check(from, Instant::now()).map_err(too_many)?;
    let body = body.read()?;
    let agent = headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
    let shown = SignIn {
        name: &body.name,
        password: &body.password,
        code: body.code.as_deref(),
        from: Some(from),
        user_agent: agent.unwrap_or_default(),
    };
    let signed_in = people.sign_in(shown, now()).await.map_err(|it| refused(&api, from, it))?;
    let role = signed_in.account.entity.role;
    let may =
        |it: &&rights::Row| it.3.contains(&role) && !signed_in.account.entity.must_change_password;
    let answer = SignedInAnswer {
        rights: rights::TABLE.iter().filter(may).map(|it| it.1.to_owned()).collect(),
        account: signed_in.account.into(),
        csrf_token: Some(signed_in.csrf),
    };
    let cookie = set_cookie(&api, &signed_in.secret)?;
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], Json(answer)).into_response())
}

fn refused(api: &Api, from: IpAddr, error: SignInError) -> Problem {
    let detail = error.to_string();
    let wrong = |code| {
        lock(&api.wrong_credentials).charge(from, Instant::now());
        Problem::new(StatusCode::UNAUTHORIZED, code, detail.clone())
    };
    match error {
        SignInError::Wrong => wrong("sign_in_wrong"),
        SignInError::WrongCode => wrong("code_wrong"),
        SignInError::CodeRequired => {
            Problem::new(StatusCode::UNAUTHORIZED, "code_required", detail)
        }
        SignInError::Wait(seconds) => wait(seconds, detail),
        SignInError::Vault(error) => vault_failed(error),
        SignInError::Store(error) => store_failed(error),
    }
}

/// Who one is, and what one may.
#[utoipa::path(get, path = "/api/v1/session", tag = "session", operation_id = "get_session",
    responses((status = 200, body = SignedInAnswer)), security(("session" = []), ("token" = [])))]
pub async fn show(State(api): State<Api>, caller: Caller) -> Result<Json<SignedInAnswer>, Problem> {
    let principal = &caller.principal;
    let account = api.people()?.account(&principal.account).await.map_err(store_failed)?;
    let may = |it: &&rights::Row| principal.has(it.0);
    let rights = rights::TABLE.iter().filter(may).map(|it| it.1.to_owned()).collect();
    Ok(Json(SignedInAnswer { account: account.into(), csrf_token: caller.csrf, rights }))
}

/// Signs out.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", operation_id = "sign_out",
    responses((status = 204, description = "Signed out")), security(("session" = [])))]
pub async fn sign_out(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    let Some(session) = own_session(&caller.principal) else {
        let detail = "a token has no session: DELETE /api/v1/tokens/{id} ends a token";
        return Err(Problem::new(StatusCode::CONFLICT, "no_session", detail));
    };
    let people = api.people()?;
    people.end_session(&caller.principal, session, now()).await.map_err(store_failed)?;
    let cookie = forget_cookie(&api)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Chooses a password of one's own; all other sessions end.
#[utoipa::path(put, path = "/api/v1/session/password", tag = "session",
    operation_id = "choose_password", request_body = PasswordBody,
    responses((status = 204, description = "The new password holds")),
    security(("session" = [])))]
pub async fn password(
    State(api): State<Api>,
    caller: Caller,
    body: Body<PasswordBody>,
) -> Result<StatusCode, Problem> {
    by_session_alone(&caller)?;
    let body = body.read()?;
    let people = api.people()?;
    let done = people.choose_password(&caller.principal, &body.old, &body.new, now()).await;
    done.map_err(people_failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begins a second factor: it counts once a code is shown.
#[utoipa::path(post, path = "/api/v1/session/second-factor", tag = "session",
    operation_id = "begin_second_factor", responses((status = 201, body = FactorAnswer)),
    security(("session" = ["own"])))]
pub async fn begin_factor(
    State(api): State<Api>,
    caller: Caller,
) -> Result<(StatusCode, Json<FactorAnswer>), Problem> {
    by_session_alone(&caller)?;
    let who = caller.needs(&api, Right::Own).await?;
    let begun = api.people()?.begin_factor(who, now()).await.map_err(people_failed)?;
    let (secret, url) = (begun.secret.base32, begun.secret.url);
    Ok((StatusCode::CREATED, Json(FactorAnswer { secret, url })))
}

/// Confirms it with a code of the device.
#[utoipa::path(post, path = "/api/v1/session/second-factor/confirm", tag = "session",
    operation_id = "confirm_second_factor", request_body = CodeBody,
    responses((status = 200, body = RecoveryAnswer)), security(("session" = ["own"])))]
pub async fn confirm_factor(
    State(api): State<Api>,
    caller: Caller,
    body: Body<CodeBody>,
) -> Result<Json<RecoveryAnswer>, Problem> {
    by_session_alone(&caller)?;
    let who = caller.needs(&api, Right::Own).await?;
    let code = body.read()?.code;
    let codes = api.people()?.confirm_factor(who, &code, now()).await.map_err(people_failed)?;
    Ok(Json(RecoveryAnswer { codes }))
}

/// Removes one's own second factor.
#[utoipa::path(post, path = "/api/v1/session/second-factor/remove", tag = "session",
    operation_id = "remove_second_factor", request_body = ConfirmBody,
    responses((status = 204, description = "No code is asked for any more")),
    security(("session" = ["own"])))]
pub async fn remove_factor(
    State(api): State<Api>,
    caller: Caller,
    body: Body<ConfirmBody>,
) -> Result<StatusCode, Problem> {
    by_session_alone(&caller)?;
    let who = caller.needs(&api, Right::Own).await?;
    let password = body.read()?.password;
    api.people()?.remove_factor(who, &password, now()).await.map_err(people_failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// What decides over the account itself is done by its person, not by a program.
fn by_session_alone(caller: &Caller) -> Result<(), Problem> {
    match caller.principal.credential {
        Credential::Session(_) => Ok(()),
        Credential::Token(..) => {
            let detail = "this is done by a person who signed in, not by an API token";
            Err(Problem::new(StatusCode::FORBIDDEN, "session_needed", detail))
        }
    }
}

fn set_cookie(api: &Api, secret: &str) -> Result<HeaderValue, Problem> {
    cookie(api, secret, "")
}

fn forget_cookie(api: &Api) -> Result<HeaderValue, Problem> {
    cookie(api, "", "; Max-Age=0")
}

fn cookie(api: &Api, value: &str, more: &str) -> Result<HeaderValue, Problem> {
    let (name, secure) = (api.cookie_name(), if api.secure { "; Secure" } else { "" });
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}");
    HeaderValue::from_str(&text).map_err(|_| {
        let detail = "the server cannot make a cookie";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })
}
