//! Programs that drive a client for a test: one JSON command a line on their standard input, one
//! JSON answer a line on their standard output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A running driver, ended with its owner.
pub struct Driver {
    name: &'static str,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What was begun and is not known to have been done.
    begun: Option<Value>,
}

/// Figures of one received stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    /// `audio` or `video`.
    pub kind: String,
    /// Packets that came.
    pub received: i64,
    /// Packets that did not.
    pub lost: i64,
    /// Pictures that were decoded.
    pub decoded: i64,
    /// Payload bytes that came, where the client counts them.
    pub bytes: i64,
}

impl Driver {
    /// Starts a program; failures call it by this name.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(name: &'static str, command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("the driver's output"));
        Self { name, process, input, output, begun: None }
    }

    /// Has a command carried out that has no value, such as a start that takes its time: the next
    /// command waits for it.
    ///
    /// # Panics
    /// When the driver ended.
    pub fn begin(&mut self, command: Value) {
        self.finish();
        self.tell(&command);
        self.begun = Some(command);
    }

    /// Has a command carried out; its value.
    ///
    /// # Panics
    /// When it fails.
    pub fn ask(&mut self, command: &Value) -> Value {
        let name = self.name;
        self.try_ask(command).unwrap_or_else(|error| panic!("{name}: {command}: {error}"))
    }

    /// The same where it may fail.
    ///
    /// # Errors
    /// With what went wrong.
    ///
    /// # Panics
    /// When the driver ended.
    pub fn try_ask(&mut self, command: &Value) -> Result<Value, String> {
        self.finish();
        self.tell(command);
        self.answer(command)
    }

    fn finish(&mut self) {
        if let Some(command) = self.begun.take() {
            let name = self.name;
            self.answer(&command).unwrap_or_else(|error| panic!("{name}: {command}: {error}"));
        }
    }

    fn tell(&mut self, command: &Value) {
        let input = self.input.as_mut().expect("an open driver");
        writeln!(input, "{command}").expect("the driver listens");
    }

    fn answer(&mut self, command: &Value) -> Result<Value, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the driver answers");
        let answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the driver ended at {command}: {line}"));
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["value"].clone()),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It ends, with all that it started, when its input ends.
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

/// Samples of an answer: 16 bits each, in base64.
pub fn samples(answer: &Value) -> Vec<i16> {
    let bytes = STANDARD.decode(answer.as_str().expect("samples")).expect("base64");
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Figures of an answer, named as browsers name them.
pub fn inbound(answer: &Value) -> Vec<Inbound> {
    let number = |it: &Value| it.as_i64().unwrap_or_default();
    let streams = answer.as_array().expect("a list of streams");
    streams
        .iter()
        .map(|it| Inbound {
            kind: it["kind"].as_str().unwrap_or_default().to_owned(),
            received: number(&it["packetsReceived"]),
            lost: number(&it["packetsLost"]),
            decoded: number(&it["framesDecoded"]),
            bytes: number(&it["bytesReceived"]),
        })
        .collect()
}
