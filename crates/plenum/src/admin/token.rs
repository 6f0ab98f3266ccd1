//! `plenum token`: API tokens for programs.

use std::time::{Duration, SystemTime};

use axum::http::Method;
use clap::Subcommand;
use serde_json::json;

use super::remote::{AdminError, Remote, encoded};
use super::sign_in::written;
use super::{Common, output, session};

/// The fields of a list.
const LISTED: [&str; 6] = ["id", "name", "scopes", "ends_at", "used_at", "used_from"];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List tokens: one's own, or somebody else's.
    List {
        /// The account's name; one's own if left out.
        #[arg(long)]
        account: Option<String>,
    },
    /// Make a token for a program; its secret is printed once.
    Create {
        /// What it is for.
        name: String,
        /// What it may, such as accounts.read; give it once for each. `plenum who-am-i` lists them.
        #[arg(long = "scope", required = true)]
        scopes: Vec<String>,
        /// Days for which it is good; for ever if left out.
        #[arg(long)]
        days: Option<u32>,
    },
    /// End a token.
    End {
        /// Its id.
        id: String,
    },
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    match command {
        Command::List { account } => {
            let query = session::of(&remote, account.as_deref()).await?;
            let list = remote.all("/api/v1/tokens", &query).await?;
            if common.json {
                println!("{list}");
            } else {
                output::table(&list, &LISTED);
            }
        }
        Command::Create { name, scopes, days } => {
            let life = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3600);
            let ends_at = days.map(|days| written(SystemTime::now() + life(days)));
            let body = json!({ "name": name, "scopes": scopes, "ends_at": ends_at });
            let made = remote.send(Method::POST, "/api/v1/tokens", body).await?;
            if common.json {
                println!("{made}");
            } else {
                println!("The token, shown once: {}", output::text(&made, "secret"));
            }
        }
        Command::End { id } => {
            remote.delete(&format!("/api/v1/tokens/{}", encoded(&id))).await?;
            if !common.json {
                println!("The token has ended.");
            }
        }
    }
    Ok(())
}
