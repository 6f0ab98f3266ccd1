//! `plenum history`: which meetings there were, and who was in them.

use std::io::{ErrorKind, Write};

use clap::{Args, Subcommand};

use super::remote::{AdminError, Remote, encoded, with_query};
use super::{Common, output};

/// The fields of each list.
const RUNS: [&str; 7] =
    ["started_at", "ended_at", "meeting", "name", "most_participants", "cause", "id"];
const STAYS: [&str; 7] = ["joined_at", "left_at", "meeting", "identity", "name", "kind", "cause"];
const LEGS: [&str; 7] =
    ["started_at", "ended_at", "meeting", "direction", "address", "cause", "ended_by"];

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
        Command::Meetings(filter) => ("meetings".to_owned(), RUNS, filter),
        Command::Participants { run: None, filter } => ("participants".to_owned(), STAYS, filter),
        Command::Participants { run: Some(run), filter } => {
            (format!("meetings/{}/participants", encoded(&run)), STAYS, filter)
        }
        Command::Legs(filter) => ("legs".to_owned(), LEGS, filter),
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
    let list = remote.all(&path, &query).await?;
    if common.json {
        println!("{list}");
    } else {
        output::table(&list, &fields);
    }
    Ok(())
}

/// Whether whoever reads it wants more.
fn print(part: &[u8]) -> Result<bool, AdminError> {
    match std::io::stdout().write_all(part) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(AdminError::Other(format!("writing: {error}"))),
    }
}
