//! `plenum call`: has the running server call a room system, and tells how it goes.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use axum::http::{Method, Request, Uri, header};
use clap::Args;
use conference::access::{Grant, SipGrant};
use fetch::{Client, FetchError};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};
use types::LegLayout;

use crate::Settings;
use crate::admin::{encoded, own};
use crate::certificate::Certificates;
use crate::config::Config;
use crate::serve::ServeError;

/// How often the server is asked how the call stands.
const LOOK: Duration = Duration::from_millis(300);
/// How long one answer of the server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// How long a token of this command is good: longer than anybody lets it ring.
const TOKEN_LIFE: Duration = Duration::from_secs(600);

/// What is called, and whom it is asked of.
#[derive(Debug, Args)]
pub struct Call {
    /// The meeting.
    meeting: String,
    /// The room system, such as sip:room@198.51.100.7.
    address: String,
    /// How others are arranged in its picture: grid or speaker; as the meeting says if left out.
    #[arg(long)]
    layout: Option<LegLayout>,
    /// The server; the one of the configuration on this machine if left out.
    #[arg(long, value_name = "URL")]
    server: Option<Uri>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The configuration, or its certificates.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// No key of the configuration may call.
    #[error("no [[key]] of the configuration has the right \"sip_call\"")]
    NoKey,
    /// No token can be made.
    #[error("a token cannot be signed: {0}")]
    Token(String),
    /// The address of the server is of no use.
    #[error("{0} is no address of a server: give http://host:port or https://host:port")]
    Server(Uri),
    /// The server cannot be reached.
    #[error("{server}: {source}; is the server running?")]
    Unreachable {
        /// Which.
        server: fetch::Server,
        /// Why.
        source: FetchError,
    },
    /// The server's answer is none.
    #[error("the server's answer cannot be read: {0}")]
    Unreadable(String),
    /// The server says no.
    #[error("{0}")]
    Refused(String),
}

/// Runs the command. The exit code tells how the call ended: 0 for an answered one.
pub fn run(call: Call) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(call.run()),
        Err(source) => Err(ServeError::System { what: "starting threads", source }.into()),
    };
    match done {
        Ok(state) => ExitCode::from(code(&state)),
        Err(error) => {
            eprintln!("plenum: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The exit code of each outcome; 1 is for what went wrong before.
fn code(state: &str) -> u8 {
    match state {
        "active" | "ended" => 0,
        "busy" => 10,
        "declined" => 11,
        "timed_out" => 12,
        "unreachable" => 13,
        "not_found" => 14,
        "incompatible" => 15,
        "refused" => 16,
        "cancelled" => 17,
        "not_admitted" => 18,
        _ => 1,
    }
}

impl Call {
    async fn run(self) -> Result<String, CallError> {
        let Self { meeting, address, layout, server, json, settings } = self;
        let config = settings.load()?;
        let server = Server::of(server, &config)?;
        let path = format!("/api/v1/meetings/{}/legs", encoded(&meeting));
        let body = json!({ "address": address, "layout": layout }).to_string();
        let mut leg = server.ask(Method::POST, &path, body).await?;
        let path = format!("{path}/{}", text(&leg, "id"));
        let mut told = String::new();
        loop {
            let state = text(&leg, "state");
            if state != told {
                told.clone_from(&state);
                if !json {
                    println!("{}: {}", text(&leg, "address"), state.replace('_', " "));
                }
            }
            if !matches!(state.as_str(), "dialling" | "ringing") {
                if json {
                    println!("{leg}");
                }
                return Ok(state);
            }
            tokio::time::sleep(LOOK).await;
            leg = server.ask(Method::GET, &path, String::new()).await?;
        }
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A server, and how it is spoken to.
struct Server {
    server: fetch::Server,
    client: Client,
    token: String,
}

impl Server {
    fn of(given: Option<Uri>, config: &Config) -> Result<Self, CallError> {
        let token = token(config)?;
        let server = match given {
            Some(uri) => fetch::Server::of(&uri).map_err(|_| CallError::Server(uri))?,
            None => own(config),
        };
        let tls = || {
            Certificates::open(config, SystemTime::now())?.sip_client(config.sip.ca_file.as_deref())
        };
        let tls = server.secure.then(tls).transpose().map_err(ServeError::from)?;
        let client = Client { tls, within: PATIENCE, max_answer: MAX_ANSWER };
        Ok(Self { server, client, token })
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> Result<Value, CallError> {
        let unreadable = |error: String| CallError::Unreadable(error);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| unreadable(error.to_string()))?;
        let answer =
            self.client.send(&self.server, request).await.map_err(|error| match error {
                FetchError::Http(error) => unreadable(error),
                source => CallError::Unreachable { server: self.server.clone(), source },
            })?;
        let value: Value =
            serde_json::from_slice(&answer.body).map_err(|error| unreadable(error.to_string()))?;
        if answer.status.is_success() {
            Ok(value)
        } else {
            Err(CallError::Refused(text(&value, "detail")))
        }
    }
}

fn token(config: &Config) -> Result<String, CallError> {
    let issuer = config.keys.with(|rights| rights.sip_call).ok_or(CallError::NoKey)?;
    let sip = SipGrant { call: true, ..SipGrant::default() };
    let grant = Grant { issuer: issuer.to_owned(), sip, ..Grant::default() };
    config
        .keys
        .sign(&grant, TOKEN_LIFE, SystemTime::now())
        .map_err(|error| CallError::Token(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_exit_code() {
        let states = [
            "busy",
            "declined",
            "timed_out",
            "unreachable",
            "not_found",
            "incompatible",
            "refused",
        ];
        let codes: std::collections::HashSet<u8> = states.iter().map(|it| code(it)).collect();
        assert_eq!(codes.len(), states.len());
        assert_eq!((code("active"), code("what")), (0, 1));
    }
}
