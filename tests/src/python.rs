//! A participant in LiveKit's own headless client, with a picture and a tone of its own.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::driver::{Driver, Inbound, inbound, samples};
use crate::media::{self, Mark};
use crate::person::Person;
use crate::story::workspace;

/// A program of `tests/python`, with the packages that `scripts/setup.sh --test` installs.
pub(crate) fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(workspace().join("tests/python").join(program))
        .env("PYTHONPATH", workspace().join(".tools/python"));
    command
}

/// What calendars read in an invitation: see `tests/python/read_ics.py`.
///
/// # Panics
/// When they cannot read it.
pub fn read_ics(request: &Value) -> Value {
    let mut reader = python("read_ics.py")
        // Time zones of the package, not of a system that may be years behind.
        .env("PYTHONTZPATH", "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut input = reader.stdin.take().expect("its input");
    writeln!(input, "{request}").expect("the reader takes its request");
    drop(input);
    let output = reader.wait_with_output().expect("the reader ends");
    assert!(output.status.success(), "the reader failed on {request}: its messages stand above");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A participant without a browser, ended with its owner.
pub struct PythonPeer {
    driver: Driver,
    mark: Mark,
    identity: String,
}

impl PythonPeer {
    /// Joins a meeting; sends this mark.
    ///
    /// # Panics
    /// When it does not get in.
    pub fn join(mark: Mark, origin: &str, token: &str, single_connection: bool) -> Self {
        let clip = media::clip(mark);
        let mut command = python("peer.py");
        let driver = Driver::start(mark.name, &mut command);
        let mut peer = Self { driver, mark, identity: String::new() };
        let identity = peer.ask(json!({
            "command": "join",
            "url": origin.replacen("http", "ws", 1),
            "token": token,
            "wav": clip.wav,
            "y4m": clip.y4m,
            "single_connection": single_connection,
        }));
        peer.identity = identity.as_str().expect("an identity").to_owned();
        peer
    }

    /// Has it do something: see `tests/python/peer.py`.
    pub fn ask(&mut self, command: Value) -> Value {
        self.driver.ask(&command)
    }
}

impl Person for PythonPeer {
    fn mark(&self) -> Mark {
        self.mark
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn sees(&mut self, identity: &str) -> bool {
        self.ask(json!({ "command": "sees", "identity": identity })) == Value::Bool(true)
    }

    fn shows_nothing_of(&mut self, identity: &str) -> bool {
        let participants = self.ask(json!({ "command": "participants" }));
        let there = participants.as_array().expect("a list").iter().any(|it| it == identity);
        !there && !self.sees(identity)
    }

    fn steps(&mut self, identity: &str, seconds: f64) -> usize {
        let command = json!({ "command": "counters", "identity": identity, "seconds": seconds });
        self.ask(command).as_array().map_or(0, Vec::len)
    }

    fn picture(&mut self, identity: &str, file: &Path) {
        self.ask(json!({ "command": "picture", "identity": identity, "file": file }));
    }

    fn record(&mut self, identity: &str, seconds: f64) -> Vec<i16> {
        let command = json!({ "command": "record", "identity": identity, "seconds": seconds });
        samples(&self.ask(command))
    }

    fn record_all(&mut self, seconds: f64) -> Vec<i16> {
        let command = json!({ "command": "record", "identity": null, "seconds": seconds });
        samples(&self.ask(command))
    }

    fn log(&mut self) -> String {
        self.ask(json!({ "command": "heard_of" }))["log"].to_string()
    }

    fn inbound(&mut self) -> Vec<Inbound> {
        inbound(&self.ask(json!({ "command": "stats" })))
    }
}
