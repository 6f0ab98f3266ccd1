//! `plenum live`: what runs now, and what happens in it.

use std::io::{ErrorKind, Write};

use clap::Subcommand;
use serde_json::Value;

use super::output::{at, text};
use super::remote::{AdminError, Remote, with_query};
use super::{Common, output};

/// The fields of the list.
const LISTED: [&str; 6] =
    ["meeting", "name", "started_at", "participants", "publishers", "waiting"];
/// The longest line of the stream that is read, in bytes.
const MAX_LINE: usize = 1 << 20;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the meetings that run.
    List,
    /// Tell what happens, a line for each event, until it is interrupted.
    Watch {
        /// In this meeting alone.
        #[arg(long)]
        meeting: Option<String>,
    },
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    match command {
        Command::List => {
            let list = remote.all("/api/v1/live/meetings", &[]).await?;
            if common.json {
                println!("{list}");
            } else {
                output::table(&list, &LISTED);
            }
            Ok(())
        }
        Command::Watch { meeting } => watch(&remote, meeting, common.json).await,
    }
}

async fn watch(remote: &Remote, meeting: Option<String>, json: bool) -> Result<(), AdminError> {
    let query = meeting.into_iter().map(|it| ("meeting", it));
    let mut lines = Lines::default();
    let print = |part: &[u8]| {
        for line in lines.take(part)? {
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
            let line = if json { event.to_string() } else { told(&event) };
            let mut out = std::io::stdout().lock();
            match writeln!(out, "{line}").and_then(|()| out.flush()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
                Err(error) => return Err(AdminError::Other(format!("writing: {error}"))),
            }
        }
        Ok(true)
    };
    remote.follow(&with_query("/api/v1/events", query), print).await?;
    Err(AdminError::Other("the server has ended the stream".to_owned()))
}

/// A stream cut into lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that are whole now.
    fn take(&mut self, part: &[u8]) -> Result<Vec<String>, AdminError> {
        self.rest.extend(part);
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|it| *it == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if self.rest.len() > MAX_LINE {
            return Err(AdminError::Other("the server sends a line without an end".to_owned()));
        }
        Ok(lines)
    }
}

/// An event on one line: when, where, what, who, and why.
fn told(event: &Value) -> String {
    let time = at(event, "at").as_i64().map(jiff::Timestamp::from_millisecond);
    let time = time.and_then(Result::ok).map(|it| it.to_string()).unwrap_or_default();
    let mut parts = vec![time, text(event, "meeting"), text(event, "event")];
    let (participant, leg) = (at(event, "participant"), at(event, "leg"));
    parts.extend([text(participant, "identity"), text(leg, "address")]);
    let track = at(event, "track");
    parts.extend([text(track, "source"), text(event, "reason"), text(event, "cause")]);
    parts.extend(at(event, "count").as_u64().map(|it| it.to_string()));
    parts.retain(|it| !it.is_empty());
    // Identities and addresses come from anybody.
    parts.join("  ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_may_come_in_parts_and_parts_may_have_many_lines() {
        let mut lines = Lines::default();
        assert!(lines.take(b"event: a\nda").unwrap() == ["event: a"]);
        assert!(lines.take(b"ta: 1\r\n\n: ").unwrap() == ["data: 1", ""]);
        assert!(lines.take(&vec![b'x'; MAX_LINE]).is_err());
    }

    #[test]
    fn an_event_is_one_line_without_what_moves_the_terminal() {
        let event = json!({
            "number": 7, "at": 0, "meeting": "board", "event": "participant_left",
            "participant": { "identity": "an\u{1b}na" }, "reason": "removed",
        });
        let told = told(&event);
        assert_eq!(told, "1970-01-01T00:00:00Z  board  participant_left  an na  removed");
        let missed = super::told(&json!({ "event": "missed", "count": 3 }));
        assert_eq!(missed, "missed  3");
    }
}
