//! `plenum history`: which meetings there were, and who was in them.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::remote::{AdminError, Remote, encoded, with_query};
use super::{Common, output};

/// The fields of each list.
const RUNS: [&str; 7] =
    ["started_at", "ended_at", "meeting", "name", "most_participants", "cause", "id"];
const STAYS: [&str; 7] = ["joined_at", "left_at", "meeting", "identity", "name", "kind", "cause"];
const LEGS: [&str; 9] = [
    "started_at",
    "ended_at",
    "meeting",
    "direction",
    "address",
    "cause",
    "ended_by",
    "mos",
    "call",
];
const LADDERS: [&str; 5] = ["began_at", "peer", "outcome", "call", "id"];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List meetings, the latest first.
    Meetings(Filter),
    /// List who was in meetings.
    Participants {
        /// Of the one with this id in the list of meetings.
        #[arg(long, conflicts_with = "csv")]
        run: Option<String>,
        #[command(flatten)]
        filter: Filter,
    },
    /// List calls with room systems.
    Legs(Filter),
    /// List calls whose SIP messages are kept, the latest first.
    Ladders {
        /// Of the call with this id in the list of calls.
        #[arg(long)]
        call: Option<String>,
    },
    /// Draw the SIP messages of a call.
    Ladder {
        /// Its id in the list of ladders.
        id: String,
        /// Write them to this file instead, as a capture that Wireshark reads.
        #[arg(long)]
        pcap: Option<PathBuf>,
    },
}

/// Which entries; all conditions hold together.
#[derive(Debug, Args)]
pub struct Filter {
    /// Of this meeting.
    #[arg(long)]
    meeting: Option<String>,
    /// Of this participant.
    #[arg(long)]
    identity: Option<String>,
    /// Begun not before this time, such as 2030-01-31T12:00:00Z.
    #[arg(long)]
    since: Option<String>,
    /// Begun before this time.
    #[arg(long)]
    until: Option<String>,
    /// Print all of it as CSV.
    #[arg(long)]
    csv: bool,
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    let (path, fields, filter) = match command {
        Command::Ladders { call } => {
            let query: Vec<_> = call.map(|it| ("call", it)).into_iter().collect();
            return list(&remote, common, "/api/v1/history/ladders", &query, &LADDERS).await;
        }
        Command::Ladder { id, pcap } => return ladder(&remote, &id, pcap).await,
        Command::Meetings(filter) => ("meetings".to_owned(), &RUNS[..], filter),
        Command::Participants { run: None, filter } => {
            ("participants".to_owned(), &STAYS[..], filter)
        }
        Command::Participants { run: Some(run), filter } => {
            (format!("meetings/{}/participants", encoded(&run)), &STAYS[..], filter)
        }
        Command::Legs(filter) => ("legs".to_owned(), &LEGS[..], filter),
    };
    let path = format!("/api/v1/history/{path}");
    let Filter { meeting, identity, since, until, csv } = filter;
    let given = [("meeting", meeting), ("identity", identity), ("since", since), ("until", until)];
    let query: Vec<_> = given.into_iter().filter_map(|it| Some((it.0, it.1?))).collect();
    if csv && common.json {
        return Err(AdminError::Other("give either --csv or --json".to_owned()));
    }
    if csv {
        let path = with_query(&format!("{path}.csv"), query.into_iter());
        return remote.follow(&path, print).await;
    }
    list(&remote, common, &path, &query, fields).await
}

async fn list(
    remote: &Remote,
    common: &Common,
    path: &str,
    query: &[(&str, String)],
    fields: &[&str],
) -> Result<(), AdminError> {
    let list = remote.all(path, query).await?;
    if common.json {
        println!("{list}");
    } else {
        output::table(&list, fields);
    }
    Ok(())
}

async fn ladder(remote: &Remote, id: &str, pcap: Option<PathBuf>) -> Result<(), AdminError> {
    let path = format!("/api/v1/history/ladders/{}", encoded(id));
    let Some(file) = pcap else { return remote.follow(&path, print).await };
    let mut capture = Vec::new();
    let take = |part: &[u8]| {
        capture.extend_from_slice(part);
        Ok(true)
    };
    remote.follow(&format!("{path}/pcap"), take).await?;
    std::fs::write(&file, capture)
        .map_err(|error| AdminError::Other(format!("writing {}: {error}", file.display())))
}

/// Whether whoever reads it wants more.
fn print(part: &[u8]) -> Result<bool, AdminError> {
    match std::io::stdout().write_all(part) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(AdminError::Other(format!("writing: {error}"))),
    }
}
