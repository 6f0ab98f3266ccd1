//! `plenum group`: accounts that are meant together.

use clap::Args;
use serde_json::{Map, Value};

use super::account;
use super::kept::{Kind, given, list, text};
use super::output;
use super::remote::{AdminError, Remote};

#[derive(Debug, Args)]
pub struct Group {
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// The name of an account in it; give it once for each. An empty one: nobody is in it.
    #[arg(long = "member")]
    members: Vec<String>,
}

impl Kind for Group {
    const PATH: &'static str = "/api/v1/groups";
    const WORD: &'static str = "group";
    const LISTED: &'static [&'static str] = &["name", "description", "members"];

    async fn fields(self, remote: &Remote) -> Result<Map<String, Value>, AdminError> {
        let mut members = Vec::new();
        for name in self.members {
            members.push(match name.is_empty() {
                true => name,
                false => output::text(&account::find(remote, &name).await?, "id"),
            });
        }
        Ok(given([("description", text(self.description)), ("members", list(members))]))
    }
}
