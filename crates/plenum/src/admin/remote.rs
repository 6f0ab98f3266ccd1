//! The server that a command speaks to, and what it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use axum::http::{Method, Request, StatusCode, Uri, header};
use fetch::{Client, FetchError, Server};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::Value;

use super::Common;
use super::sign_in::Kept;
use crate::certificate::Certificates;
use crate::config::Config;
use crate::serve::ServeError;

/// How long one answer of the server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// The variable that holds an API token, for scripts.
const TOKEN_VARIABLE: &str = "PLENUM_API_TOKEN";

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The configuration, or its certificates.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Nobody is signed in.
    #[error("sign in first: plenum sign-in NAME, or set {TOKEN_VARIABLE}")]
    NotSignedIn,
    /// The address of the server is of no use.
    #[error("{0} is no address of a server: give http://host:port or https://host:port")]
    Server(Uri),
    /// The server cannot be reached.
    #[error("{server}: {source}; is the server running?")]
    Unreachable {
        /// Which.
        server: Server,
        /// Why.
        source: FetchError,
    },
    /// The server says no.
    #[error("{detail}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// What programs tell errors apart by.
        code: String,
        /// What people read.
        detail: String,
    },
    /// The audit log is not what it was.
    #[error("the audit log was tampered with: {0}")]
    Tampered(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl AdminError {
    /// What was named is not there.
    pub fn missing(detail: String) -> Self {
        Self::Refused { status: StatusCode::NOT_FOUND, code: "not_found".to_owned(), detail }
    }

    /// As [`super::EXIT_CODES`] says.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotSignedIn => 3,
            Self::Unreachable { .. } => 8,
            Self::Tampered(_) => 9,
            Self::Refused { status, .. } => match status.as_u16() {
                401 => 3,
                403 => 4,
                404 | 410 => 5,
                409 | 412 => 6,
                400 | 413 | 415 | 422 => 7,
                408 | 429 | 500.. => 8,
                _ => 1,
            },
            Self::Serve(_) | Self::Server(_) | Self::Other(_) => 1,
        }
    }
}

/// A server, and by what it is spoken to.
pub struct Remote {
    pub server: Server,
    client: Client,
    /// Sent with every request.
    authority: Vec<(&'static str, String)>,
}

/// What a server answered: its body, and the cookie that it set.
pub struct Answer {
    pub body: Value,
    pub cookie: Option<String>,
}

impl Remote {
    /// The server as whoever is signed in.
    pub fn signed_in(common: &Common) -> Result<Self, AdminError> {
        let remote = Self::unknown(common)?;
        let given = std::env::var(TOKEN_VARIABLE).ok().filter(|it| !it.is_empty());
        let token = match given {
            Some(token) => token,
            None => Kept::load()?.token(&remote.server).ok_or(AdminError::NotSignedIn)?.secret,
        };
        Ok(remote.with(header::AUTHORIZATION.as_str(), format!("Bearer {token}")))
    }

    /// The server as nobody.
    pub fn unknown(common: &Common) -> Result<Self, AdminError> {
        let config = common.settings.clone().load()?;
        let server = match &common.server {
            Some(uri) => Server::of(uri).map_err(|_| AdminError::Server(uri.clone()))?,
            None => own(&config),
        };
        let tls = || {
            Certificates::open(&config, SystemTime::now())?
                .sip_client(config.sip.ca_file.as_deref())
        };
        let tls = server.secure.then(tls).transpose().map_err(ServeError::from)?;
        let client = Client { tls, within: PATIENCE, max_answer: MAX_ANSWER };
        Ok(Self { server, client, authority: Vec::new() })
    }

    /// With another header.
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.authority.push((name, value));
        self
    }

    /// Asks without a body.
    pub async fn get(&self, path: &str) -> Result<Value, AdminError> {
        self.ask(Method::GET, path, None).await.map(|it| it.body)
    }

    /// Asks with a JSON body.
    pub async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, AdminError> {
        self.ask(method, path, Some(body)).await.map(|it| it.body)
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> Result<(), AdminError> {
        self.ask(Method::DELETE, path, None).await.map(|_| ())
    }

    /// Every part of a list.
    pub async fn all(&self, path: &str, query: &[(&str, String)]) -> Result<Value, AdminError> {
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let cursor = after.iter().map(|it| ("after", it.clone()));
            let query = query.iter().cloned().chain(cursor);
            let mut page = self.get(&with_query(path, query)).await?;
            if let Some(Value::Array(part)) = page.get_mut("items").map(Value::take) {
                items.extend(part);
            }
            after = match page.get("next") {
                Some(Value::String(next)) => Some(next.clone()),
                Some(Value::Number(next)) => Some(next.to_string()),
                _ => return Ok(Value::Array(items)),
            };
        }
    }

    /// Asks for something.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, AdminError> {
        let other = |error: &dyn std::fmt::Display| {
            AdminError::Other(format!("the server's answer cannot be read: {error}"))
        };
        let mut request = self.request(method, path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(|it| it.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(|it| other(&it))?;
        let sent = self.client.send(&self.server, request).await;
        let answer =
            sent.map_err(|source| AdminError::Unreachable { server: self.server.clone(), source })?;
        let body: Value = match answer.body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&answer.body).map_err(|it| other(&it))?,
        };
        if answer.status.is_success() {
            let cookie = answer.headers.get(header::SET_COOKIE).and_then(|it| it.to_str().ok());
            let cookie = cookie.and_then(|it| it.split(';').next()).map(str::to_owned);
            return Ok(Answer { body, cookie });
        }
        Err(refused(answer.status, &body))
    }

    /// Asks for something that comes bit by bit, and hands on each as it comes, until `take` says
    /// that it is enough.
    pub async fn follow(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<bool, AdminError>,
    ) -> Result<(), AdminError> {
        let unreachable = |source| AdminError::Unreachable { server: self.server.clone(), source };
        let request = self.request(Method::GET, path).body(Full::default());
        let request = request.map_err(|error| AdminError::Other(error.to_string()))?;
        let mut opened = self.client.open(&self.server, request).await.map_err(unreachable)?;
        if !opened.status.is_success() {
            let mut body = Vec::new();
            while body.len() < MAX_ANSWER
                && let Some(part) = opened.next().await.map_err(unreachable)?
            {
                body.extend(part);
            }
            let body = serde_json::from_slice(&body).unwrap_or_default();
            return Err(refused(opened.status, &body));
        }
        while let Some(part) = opened.next().await.map_err(unreachable)? {
            if !take(&part)? {
                break;
            }
        }
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        let with = |request: axum::http::request::Builder, it: &(&'static str, String)| {
            request.header(it.0, &it.1)
        };
        self.authority.iter().fold(request, with)
    }
}

fn refused(status: StatusCode, body: &Value) -> AdminError {
    let text = |key| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    AdminError::Refused { status, code: text("code"), detail: text("detail") }
}

/// A path with a query.
pub fn with_query<'a>(path: &str, query: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut whole = path.to_owned();
    for (index, (key, value)) in query.enumerate() {
        whole.push(if index == 0 { '?' } else { '&' });
        whole.push_str(&format!("{key}={}", encoded(&value)));
    }
    whole
}

/// A part of a path or query: letters of other scripts and what has a meaning in a URI as `%xx`.
pub fn encoded(part: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    part.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

/// The server of this configuration, reached from its own machine.
pub fn own(config: &Config) -> Server {
    let https = config.http.tls_listen.address().filter(|_| !config.dev);
    let address = reached(https.unwrap_or(config.http.listen));
    let (host, port) = (address.ip().to_string(), address.port());
    Server { secure: https.is_some(), host, port }
}

/// Where a listener of this machine is reached from itself.
fn reached(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_script_becomes_part_of_a_path() {
        assert_eq!(encoded("board-1.x"), "board-1.x");
        assert_eq!(encoded("совет"), "%D1%81%D0%BE%D0%B2%D0%B5%D1%82");
        let query = [("q", "a/b?c&d".to_owned()), ("after", "7".to_owned())];
        assert_eq!(with_query("/x", query.into_iter()), "/x?q=a%2Fb%3Fc%26d&after=7");
    }

    #[test]
    fn every_refusal_has_its_exit_code() {
        let code = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            AdminError::Refused { status, code: String::new(), detail: String::new() }.exit_code()
        };
        assert_eq!([401, 403, 404, 409, 412, 400, 503, 429].map(code), [3, 4, 5, 6, 6, 7, 8, 8]);
        assert_eq!((AdminError::NotSignedIn.exit_code(), code(302)), (3, 1));
    }
}
