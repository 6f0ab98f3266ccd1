//! `plenum audit`: who did what.

use clap::{Args, Subcommand};

use super::output::{at, text};
use super::remote::{AdminError, Remote};
use super::{Common, output};

/// The fields of a list.
const LISTED: [&str; 7] =
    ["number", "at", "actor.name", "action", "target.name", "outcome", "from"];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the log.
    List(Filter),
    /// Follow the log from its first entry on and tell whether it is as it was written.
    Verify,
}

/// Which entries; all conditions hold together.
#[derive(Debug, Args)]
pub struct Filter {
    /// Not before this time, such as 2030-01-31T12:00:00Z.
    #[arg(long)]
    since: Option<String>,
    /// Before this time.
    #[arg(long)]
    until: Option<String>,
    /// Of this account's, key's or participant's id.
    #[arg(long)]
    actor: Option<String>,
    /// On this id.
    #[arg(long)]
    target: Option<String>,
    /// Whose action begins so, such as account.
    #[arg(long)]
    action: Option<String>,
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    match command {
        Command::List(Filter { since, until, actor, target, action }) => {
            let given = [
                ("since", since),
                ("until", until),
                ("actor", actor),
                ("target", target),
                ("action", action),
            ];
            let query: Vec<_> = given.into_iter().filter_map(|it| Some((it.0, it.1?))).collect();
            let list = remote.all("/api/v1/audit", &query).await?;
            if common.json {
                println!("{list}");
            } else {
                output::table(&list, &LISTED);
            }
        }
        Command::Verify => {
            let found = remote.get("/api/v1/audit/verification").await?;
            if common.json {
                println!("{found}");
            } else if *at(&found, "intact") == true {
                let (entries, head) = (at(&found, "entries"), text(&found, "head"));
                println!("Intact: {entries} entries. The last one's hash: {head}");
            }
            if *at(&found, "intact") != true {
                return Err(AdminError::Tampered(text(&found, "problem")));
            }
        }
    }
    Ok(())
}
