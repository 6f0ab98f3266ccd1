//! Signing in on the command line. The token is kept in the user's own folder, which nobody else can
//! read.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use axum::http::{Method, header};
use fetch::Server;
use serde_json::{Value, json};

use super::output::{at, text};
use super::remote::{AdminError, Remote};
use super::{Common, output};

/// The tokens that are kept, by server.
#[derive(Debug, Default)]
pub struct Kept {
    servers: serde_json::Map<String, Value>,
}

/// A token that is kept.
pub struct KeptToken {
    pub id: String,
    pub secret: String,
}

impl Kept {
    /// The tokens of this user; none where there is no file.
    pub fn load() -> Result<Self, AdminError> {
        let path = path()?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(&path, &error)),
        };
        match serde_json::from_str(&text) {
            Ok(Value::Object(servers)) => Ok(Self { servers }),
            _ => Err(AdminError::Other(format!("{}: remove it, and sign in anew", path.display()))),
        }
    }

    /// The token for a server.
    pub fn token(&self, server: &Server) -> Option<KeptToken> {
        let kept = self.servers.get(&server.to_string())?;
        let text = |key: &str| kept.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(KeptToken { id: text("id")?, secret: text("secret")? })
    }

    fn set(&mut self, server: &Server, token: &KeptToken) {
        let kept = json!({ "id": token.id, "secret": token.secret });
        self.servers.insert(server.to_string(), kept);
    }

    fn save(&self) -> Result<(), AdminError> {
        let path = path()?;
        let fail = |error: io::Error| failed(&path, &error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        let unfinished = path.with_extension("new");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&unfinished).map_err(fail)?;
        let text = Value::Object(self.servers.clone()).to_string();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
        fs::rename(&unfinished, &path).map_err(fail)
    }
}

fn failed(path: &std::path::Path, error: &io::Error) -> AdminError {
    AdminError::Other(format!("{}: {error}", path.display()))
}

fn path() -> Result<PathBuf, AdminError> {
    let folder = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|it| it.join(".config")));
    let none = || AdminError::Other("neither HOME nor XDG_CONFIG_HOME is set".to_owned());
    Ok(config.ok_or_else(none)?.join("plenum").join("tokens.json"))
}

/// `plenum sign-in`: a session for as long as it takes to make a token.
pub async fn sign_in(common: &Common, name: &str, days: u16) -> Result<(), AdminError> {
    let remote = Remote::unknown(common)?;
    let password = ask("Password: ")?;
    let shown =
        |code: Option<String>| Some(json!({ "name": name, "password": password, "code": code }));
    let mut answered = remote.ask(Method::POST, "/api/v1/session", shown(None)).await;
    if matches!(&answered, Err(AdminError::Refused { code, .. }) if code == "code_required") {
        let code = ask("One-time code: ")?;
        answered = remote.ask(Method::POST, "/api/v1/session", shown(Some(code))).await;
    }
    let answer = answered?;
    let csrf = text(&answer.body, "csrf_token");
    let cookie = answer.cookie.unwrap_or_default();
    let session =
        Remote::unknown(common)?.with(header::COOKIE.as_str(), cookie).with("x-csrf-token", csrf);
    if *at(at(&answer.body, "account"), "must_change_password") == true {
        eprintln!("This password was made by somebody else: choose one of your own.");
        let new = ask("New password: ")?;
        let body = json!({ "old": password, "new": new });
        session.send(Method::PUT, "/api/v1/session/password", body).await?;
    }
    let made = keep_token(&session, days).await;
    // Whether a token was made or not, nobody goes on with this session.
    let ended = session.delete("/api/v1/session").await;
    made?;
    ended?;
    if common.json {
        println!("{}", json!({ "server": remote.server.to_string(), "name": name }));
    } else {
        println!("Signed in at {} as {name} for {days} days.", remote.server);
    }
    Ok(())
}

async fn keep_token(session: &Remote, days: u16) -> Result<(), AdminError> {
    let who = session.get("/api/v1/session").await?;
    let life = Duration::from_secs(u64::from(days) * 24 * 3600);
    let ends_at = written(SystemTime::now() + life);
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "a command line".to_owned());
    let name: String = format!("plenum on {host}").chars().take(80).collect();
    let body = json!({ "name": name, "scopes": at(&who, "rights"), "ends_at": ends_at });
    let made = session.send(Method::POST, "/api/v1/tokens", body).await?;
    let token = KeptToken { id: text(at(&made, "token"), "id"), secret: text(&made, "secret") };
    let mut kept = Kept::load()?;
    kept.set(&session.server, &token);
    kept.save()
}

/// `plenum sign-out`.
pub async fn sign_out(common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    let mut kept = Kept::load()?;
    let token = kept.token(&remote.server).ok_or(AdminError::NotSignedIn)?;
    let ended = remote.delete(&format!("/api/v1/tokens/{}", token.id)).await;
    // One that the server does not know any more is forgotten too.
    match ended {
        Ok(()) => {}
        Err(AdminError::Refused { status, .. }) if matches!(status.as_u16(), 401 | 404) => {}
        Err(error) => return Err(error),
    }
    kept.servers.remove(&remote.server.to_string());
    kept.save()?;
    if !common.json {
        println!("Signed out of {}.", remote.server);
    }
    Ok(())
}

/// `plenum who-am-i`.
pub async fn who_am_i(common: &Common) -> Result<(), AdminError> {
    let who = Remote::signed_in(common)?.get("/api/v1/session").await?;
    if common.json {
        println!("{who}");
    } else {
        output::fields(at(&who, "account"));
        output::fields(&json!({ "rights": at(&who, "rights") }));
    }
    Ok(())
}

/// A line of the terminal without echo, or of a pipe.
pub fn ask(prompt: &str) -> Result<String, AdminError> {
    let read = || -> io::Result<String> {
        if io::stdin().is_terminal() {
            return rpassword::prompt_password(prompt);
        }
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    };
    read().map_err(|error| AdminError::Other(format!("the terminal: {error}")))
}

/// A time as the API writes it.
pub fn written(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|it| it.to_string()).unwrap_or_default()
}
