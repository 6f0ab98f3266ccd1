//! Whoever runs the house: by commands, and by the API as a page uses it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::{Server, program};
use crate::story::Story;

/// Passwords that are good enough.
pub const PASSWORD: &str = "five green elephants";

/// A command line, with a home of its own.
pub struct CommandLine {
    home: PathBuf,
    origin: String,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub printed: String,
    /// What it complained of.
    pub complaint: String,
}

impl CommandLine {
    /// Somebody at a terminal; `who` names their home.
    pub fn new(story: &Story, server: &Server, who: &str) -> Self {
        Self { home: story.file(who), origin: server.origin.clone() }
    }

    /// Runs `plenum …` and types `input`.
    ///
    /// # Panics
    /// When the program does not start.
    pub fn run(&self, arguments: &[&str], input: &str) -> Done {
        let mut process = Command::new(program())
            .args(arguments)
            .args(["--server", &self.origin, "--dev", "--config", "/dev/null"])
            .env("HOME", &self.home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("PLENUM_API_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // It may end without reading what is typed.
        let _ = process.stdin.take().expect("its input").write_all(input.as_bytes());
        let output = process.wait_with_output().expect("its output");
        Done {
            code: output.status.code().expect("an exit code"),
            printed: String::from_utf8_lossy(&output.stdout).into_owned(),
            complaint: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command that has to work, and reads what it prints with `--json`.
    ///
    /// # Panics
    /// When it fails or prints something else.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(&[arguments, &["--json"]].concat(), "");
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
        serde_json::from_str(&done.printed).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }

    /// Signs the first administrator in and chooses [`PASSWORD`].
    ///
    /// # Panics
    /// When the server printed none, or refuses.
    pub fn first_sign_in(&self, server: &Server) {
        let (name, first) = server.first.as_ref().expect("a first administrator");
        let done = self.run(&["sign-in", name], &format!("{first}\n{PASSWORD}\n"));
        assert_eq!(done.code, 0, "{done:?}");
    }
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body; null where there is none.
    pub body: Value,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|it| it.split_once(": "));
        lines.find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1)
    }

    /// What programs tell errors apart by.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Asks the API; `head` are more lines, each with its end.
///
/// # Panics
/// When the answer is none.
pub fn ask(server: &Server, method: &str, path: &str, head: &str, body: Option<&Value>) -> Answer {
    try_ask(server, method, path, head, body).expect("an answer")
}

/// Asks the API of a server that may end meanwhile.
fn try_ask(
    server: &Server,
    method: &str,
    path: &str,
    head: &str,
    body: Option<&Value>,
) -> Option<Answer> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let json = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let answer = server.try_request(method, path, &format!("{head}{json}"), &body).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head: head.to_owned(),
        body: serde_json::from_str(body).unwrap_or_default(),
    })
}

/// A browser's page that signed in.
pub struct Page<'a> {
    server: &'a Server,
    /// `name=secret`.
    pub cookie: String,
    /// What it sends along with every change.
    pub csrf: String,
    /// What it was told about its account.
    pub account: Value,
}

impl<'a> Page<'a> {
    /// Signs in.
    ///
    /// # Errors
    /// The server's answer where it refuses.
    pub fn sign_in(server: &'a Server, name: &str, password: &str) -> Result<Self, Answer> {
        let shown = json!({ "name": name, "password": password });
        let answer = ask(server, "POST", "/api/v1/session", "", Some(&shown));
        if answer.status != 201 {
            return Err(answer);
        }
        let cookie = answer.header("set-cookie").and_then(|it| it.split(';').next());
        Ok(Self {
            server,
            cookie: cookie.unwrap_or_default().to_owned(),
            csrf: answer.body["csrf_token"].as_str().unwrap_or_default().to_owned(),
            account: answer.body["account"].clone(),
        })
    }

    /// Signs in with a password that somebody else made, and chooses [`PASSWORD`].
    ///
    /// # Panics
    /// When that is refused.
    pub fn first_sign_in(server: &'a Server, name: &str, password: &str) -> Self {
        let page = Self::sign_in(server, name, password).expect("it may sign in");
        let chosen = json!({ "old": password, "new": PASSWORD });
        let answer = page.ask("PUT", "/api/v1/session/password", Some(&chosen));
        assert_eq!(answer.status, 204, "{answer:?}");
        page
    }

    /// Asks the API as this page does.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_ask(method, path, body).expect("an answer")
    }

    /// Asks a server that may end meanwhile.
    pub fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let head = format!("Cookie: {}\r\nX-CSRF-Token: {}\r\n", self.cookie, self.csrf);
        try_ask(self.server, method, path, &head, body)
    }

    /// Makes an account of this role and signs it in.
    ///
    /// # Panics
    /// When that is refused.
    pub fn person(&self, name: &str, role: &str) -> Page<'a> {
        let new = json!({ "name": name, "role": role });
        let made = self.ask("POST", "/api/v1/accounts", Some(&new));
        assert_eq!(made.status, 201, "{made:?}");
        Page::first_sign_in(self.server, name, made.body["password"].as_str().expect("a password"))
    }
}
