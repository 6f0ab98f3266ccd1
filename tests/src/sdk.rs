//! LiveKit's own server SDKs, as an application would use them.

use std::process::Command;

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::story::workspace;

/// A program with one of the SDKs, ended with its owner.
pub struct Sdk {
    driver: Driver,
    /// Which.
    pub name: &'static str,
}

/// A webhook as it was received.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The body, byte for byte.
    pub body: String,
    /// What it says.
    pub event: Value,
    /// The signature.
    pub authorization: String,
    /// The body's type.
    pub content_type: String,
    /// What the receiver answered.
    pub status: u64,
}

impl Sdk {
    /// The one for Python, which can also receive webhooks.
    ///
    /// # Panics
    /// When it does not start.
    pub fn python() -> Self {
        let mut command = Command::new("python3");
        command
            .arg(workspace().join("tests/python/server_sdk.py"))
            .env("PYTHONPATH", workspace().join(".tools/python"));
        Self { driver: Driver::start("livekit-api", &mut command), name: "python" }
    }

    /// The one for Node.js.
    ///
    /// # Panics
    /// When it does not start.
    pub fn node() -> Self {
        let mut command = Command::new("node");
        command.arg(workspace().join("tests/node/server_sdk.mjs"));
        Self { driver: Driver::start("livekit-server-sdk", &mut command), name: "node" }
    }

    /// Uses this server from now on, with the key of `--dev` and this secret.
    ///
    /// # Panics
    /// When it cannot.
    pub fn connect(&mut self, url: &str, secret: &str) {
        let (key, command) = ("devkey", "connect");
        let command = json!({ "command": command, "url": url, "key": key, "secret": secret });
        self.driver.ask(&command);
    }

    /// Calls a method of RoomService, by LiveKit's names and its JSON.
    ///
    /// # Panics
    /// When it is refused.
    pub fn call(&mut self, method: &str, request: Value) -> Value {
        self.driver.ask(&json!({ "command": "call", "method": method, "request": request }))
    }

    /// The same where it is refused: status, code and message.
    ///
    /// # Panics
    /// When it is not.
    pub fn refused(&mut self, method: &str, request: Value) -> String {
        let command = json!({ "command": "call", "method": method, "request": request });
        match self.driver.try_ask(&command) {
            Err(refusal) => refusal,
            Ok(answer) => panic!("{}: {method} was not refused: {answer}", self.name),
        }
    }

    /// Receives webhooks from now on, of which it refuses the first; its port.
    ///
    /// # Panics
    /// When it cannot.
    pub fn listen(&mut self, failures: u32) -> u16 {
        let port = self.driver.ask(&json!({ "command": "listen", "failures": failures }));
        port.as_u64().and_then(|it| it.try_into().ok()).expect("a port")
    }

    /// What was received so far.
    ///
    /// # Panics
    /// When one is no JSON.
    pub fn webhooks(&mut self) -> Vec<Webhook> {
        let all = self.driver.ask(&json!({ "command": "webhooks" }));
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let read = |it: &Value| Webhook {
            body: text(&it["body"]),
            event: serde_json::from_str(&text(&it["body"])).expect("JSON"),
            authorization: text(&it["authorization"]),
            content_type: text(&it["type"]),
            status: it["status"].as_u64().unwrap_or_default(),
        };
        all.as_array().expect("a list").iter().map(read).collect()
    }

    /// Checks a webhook's signature, and reads it.
    ///
    /// # Errors
    /// What the SDK says of one that is not good.
    pub fn receive(&mut self, body: &str, authorization: &str) -> Result<Value, String> {
        let command = json!({ "command": "receive", "body": body, "authorization": authorization });
        self.driver.try_ask(&command)
    }
}
