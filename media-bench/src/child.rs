//! A server of ours as a child process: one JSON line asks, one answers.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::{Doing, Fault, Result, missing};
use crate::machine;

/// The parent's side. Dropping it ends the child.
pub struct OwnServer {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl OwnServer {
    /// Starts this program in a role, on the servers' core.
    pub fn start(role: &str) -> Result<Self> {
        let mut child = machine::own_server(role)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .doing(format!("starting the server `{role}`"))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or_else(|| missing("its output"))?);
        Ok(Self { child, requests, answers })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn ask<A: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<A> {
        let requests = self.requests.as_mut().ok_or_else(|| missing("its input"))?;
        let line = serde_json::to_string(request)?;
        writeln!(requests, "{line}").doing("asking a server")?;
        requests.flush().doing("asking a server")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).doing("waiting for a server's answer")?;
        if answer.is_empty() {
            return Err(Fault::Other("a server ended; what it said stands above".into()));
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // The end of its input is the end of it.
        self.requests = None;
        let _ = self.child.wait();
    }
}

/// The child's side: answers until the parent is gone.
pub fn serve<Q: DeserializeOwned, A: Serialize>(
    mut answer: impl FnMut(Q) -> Result<A>,
) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let request = serde_json::from_str(&line.doing("reading a request")?)?;
        let line = serde_json::to_string(&answer(request)?)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").doing("answering")?;
        out.flush().doing("answering")?;
    }
    Ok(())
}
