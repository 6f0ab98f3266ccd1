//! Who calls: a browser by its session's cookie, a program by an API token.

use std::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use conference::people::{ApiToken, Credential, People, Principal, Right, csrf_token};
use conference::store::{Act, Batch, Outcome, StoreError, Target};
use subtle::ConstantTimeEq;
use types::Timestamp;

use crate::Api;
use crate::join::{lock, too_many};
use crate::limits::Asker;
use crate::problem::{Problem, store_failed};

/// The header that a page repeats its session's token in.
pub const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// The longest path that the audit log keeps, in characters.
const MAX_PATH: usize = 200;

/// An account that calls.
pub struct Caller {
    /// Who, and by what.
    pub principal: Principal,
    /// What its page sends along with every change; `None` for a token.
    pub csrf: Option<String>,
    method: Method,
    path: String,
}

impl Caller {
    /// Whether the request asks for more than to see something.
    pub fn changes(&self) -> bool {
        !self.method.is_safe()
    }

    /// Checks a right before anything else is looked at. A refused change stands in the audit log.
    pub async fn needs(&self, api: &Api, right: Right) -> Result<&Principal, Problem> {
        let Err(denied) = self.principal.may(right) else { return Ok(&self.principal) };
        if !self.method.is_safe() {
            let detail = serde_json::json!({
                "method": self.method.as_str(), "path": self.path, "needs": right.scope(),
            });
            let act = self.principal.act("access.refused", Target::default(), now());
            let act = Act { outcome: Outcome::Refused, detail: detail.to_string(), ..act };
            let people = api.people()?;
            people.records().write(Batch::new(act), now()).await.map_err(store_failed)?;
        }
        Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", denied.to_string()))
    }
}

impl Caller {
    /// Checks that it has one of two rights, of which the second lets more. Without either, the first
    /// is what it lacks.
    pub async fn needs_one(
        &self,
        api: &Api,
        [least, most]: [Right; 2],
    ) -> Result<&Principal, Problem> {
        if self.principal.has(most) { Ok(&self.principal) } else { self.needs(api, least).await }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let from = client(parts)?;
        // Good for one look: whoever looks again later asks the store.
        let known = match parts.extensions.remove::<Known>() {
            Some(known) => known,
            None => known(api, parts, from).await?,
        };
        let Known { principal, csrf } = known;
        if let Some(csrf) = csrf.as_ref().filter(|_| !parts.method.is_safe()) {
            own_change(&parts.headers, csrf)?;
        }
        let path = parts.uri.path().chars().take(MAX_PATH).collect();
        Ok(Self { principal, csrf, method: parts.method.clone(), path })
    }
}

/// Somebody who comes to a meeting: an account where one is signed in, or anybody.
pub struct Comer(pub Option<Principal>);

impl FromRequestParts<Api> for Comer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let signed_in = match bearer(&parts.headers) {
            // A wrong one is told, or a program would come in as a guest and wonder.
            Some(token) if token.starts_with(ApiToken::PREFIX) => {
                Some(Caller::from_request_parts(parts, api).await?)
            }
            Some(_) => None,
            // A session that has ended, or a page that does not send its token along: a guest.
            None if api.people.is_some() && cookie(&parts.headers, api.cookie_name()).is_some() => {
                Caller::from_request_parts(parts, api).await.ok()
            }
            None => None,
        };
        Ok(Self(signed_in.map(|it| it.principal).filter(|it| it.has(Right::Own))))
    }
}

/// An account that was recognised, and what its page sends along with every change.
#[derive(Clone, Debug)]
pub struct Known {
    principal: Principal,
    csrf: Option<String>,
}

/// Recognises who asks before an endpoint does, which then need not; `None`: nobody, or somebody
/// whom the endpoint itself will refuse.
pub async fn recognise(api: &Api, parts: &mut Parts, from: IpAddr) -> Option<Asker> {
    let token = bearer(&parts.headers);
    if let Some(token) = token.filter(|it| !it.starts_with(ApiToken::PREFIX)) {
        let grant = api.keys.verify(token, SystemTime::now()).ok()?;
        let identity = grant.identity.map(|it| it.to_string()).unwrap_or_default();
        return Some(Asker::Holder { key: grant.issuer, identity });
    }
    if token.is_none() && cookie(&parts.headers, api.cookie_name()).is_none() {
        return None;
    }
    let people = api.people.as_ref()?;
    lock(&api.wrong_credentials).check(from, Instant::now()).ok()?;
    let known = found(api, people, parts, from).await.ok()??;
    let asker = Asker::Account(known.principal.account.clone());
    parts.extensions.insert(known);
    Some(asker)
}

/// Who shows a token or a session.
async fn found(
    api: &Api,
    people: &People,
    parts: &Parts,
    from: IpAddr,
) -> Result<Option<Known>, StoreError> {
    if let Some(token) = bearer(&parts.headers) {
        let found = people.by_token(token, Some(from), now()).await?;
        return Ok(found.map(|principal| Known { principal, csrf: None }));
    }
    let Some(secret) = cookie(&parts.headers, api.cookie_name()) else { return Ok(None) };
    let found = people.by_session(secret, Some(from), now()).await?;
    Ok(found.map(|principal| Known { principal, csrf: Some(csrf_token(secret)) }))
}

/// The same, where nobody is refused.
async fn known(api: &Api, parts: &Parts, from: IpAddr) -> Result<Known, Problem> {
    let people = api.people()?;
    let token = bearer(&parts.headers).is_some();
    if !token && cookie(&parts.headers, api.cookie_name()).is_none() {
        return Err(not_signed_in());
    }
    lock(&api.wrong_credentials).check(from, Instant::now()).map_err(too_many)?;
    let found = found(api, people, parts, from).await.map_err(store_failed)?;
    found.ok_or_else(|| {
        lock(&api.wrong_credentials).charge(from, Instant::now());
        if !token {
            return not_signed_in();
        }
        let detail = "the token is not known, or has ended: make a new one";
        Problem::new(StatusCode::UNAUTHORIZED, "token_invalid", detail)
    })
}

/// Refuses a change by a browser's session that its own page did not send.
fn own_change(headers: &HeaderMap, csrf: &str) -> Result<(), Problem> {
    own_origin(headers)?;
    let sent = headers.get(CSRF_HEADER).map(|it| it.as_bytes()).unwrap_or_default();
    if bool::from(sent.ct_eq(csrf.as_bytes())) {
        return Ok(());
    }
    let detail = "a change by a browser's session needs the header X-CSRF-Token with the \
                  `csrf_token` of GET /api/v1/session";
    Err(Problem::new(StatusCode::FORBIDDEN, "csrf_token_missing", detail))
}

/// Refuses what the page of another site sends.
pub fn own_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let origin = origin.to_str().ok().and_then(|it| it.split_once("://"));
    let same = origin.zip(host).is_some_and(|(origin, host)| origin.1.eq_ignore_ascii_case(host));
    if same {
        return Ok(());
    }
    let detail = "the request comes from the page of another site";
    Err(Problem::new(StatusCode::FORBIDDEN, "wrong_origin", detail))
}

/// The session's secret in the cookies.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    all.filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(';'))
        .filter_map(|it| it.trim().split_once('='))
        .find(|it| it.0 == name)
        .map(|it| it.1)
        .filter(|it| !it.is_empty() && it.len() <= 128)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// From where a request comes.
pub fn client(parts: &Parts) -> Result<IpAddr, Problem> {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.map(|it| it.0.ip()).ok_or_else(|| {
        let detail = "the server does not know from where the request comes";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })
}

fn not_signed_in() -> Problem {
    let detail = "sign in (POST /api/v1/session), or send an API token: Authorization: Bearer …";
    Problem::new(StatusCode::UNAUTHORIZED, "not_signed_in", detail)
}

/// The time of a request.
pub fn now() -> Timestamp {
    Timestamp::of(SystemTime::now())
}

/// The session that the caller itself came by.
pub fn own_session(principal: &Principal) -> Option<&types::RecordId> {
    match &principal.credential {
        Credential::Session(id) => Some(id),
        Credential::Token(..) => None,
    }
}
