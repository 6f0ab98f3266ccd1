//! `plenum session`: browsers that somebody signed in with.

use clap::Subcommand;

use super::remote::{AdminError, Remote, encoded};
use super::{Common, account, output};

/// The fields of a list.
const LISTED: [&str; 6] = ["id", "began_at", "seen_at", "ends_at", "address", "user_agent"];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List sessions: one's own, or somebody else's.
    List {
        /// The account's name; one's own if left out.
        #[arg(long)]
        account: Option<String>,
    },
    /// End a session.
    End {
        /// Its id.
        id: String,
    },
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    match command {
        Command::List { account } => {
            let query = of(&remote, account.as_deref()).await?;
            let list = remote.all("/api/v1/sessions", &query).await?;
            if common.json {
                println!("{list}");
            } else {
                output::table(&list, &LISTED);
            }
        }
        Command::End { id } => {
            remote.delete(&format!("/api/v1/sessions/{}", encoded(&id))).await?;
            if !common.json {
                println!("The session has ended.");
            }
        }
    }
    Ok(())
}

/// The query for what belongs to an account.
pub async fn of(
    remote: &Remote,
    name: Option<&str>,
) -> Result<Vec<(&'static str, String)>, AdminError> {
    let Some(name) = name else { return Ok(Vec::new()) };
    let account = account::find(remote, name).await?;
    Ok(vec![("account", output::text(&account, "id"))])
}
