//! `plenum contact`: the address book.

use clap::Args;
use serde_json::{Map, Value};

use super::kept::{Kind, given, text};
use super::remote::{AdminError, Remote};

#[derive(Debug, Args)]
pub struct Contact {
    /// Where it is called, such as sip:hall@pbx.example.org.
    #[arg(long)]
    address: Option<String>,
    /// Under which heading it stands.
    #[arg(long)]
    group: Option<String>,
    /// Whatever else is worth knowing.
    #[arg(long)]
    notes: Option<String>,
}

impl Kind for Contact {
    const PATH: &'static str = "/api/v1/contacts";
    const WORD: &'static str = "contact";
    const LISTED: &'static [&'static str] = &["name", "address", "group", "notes"];

    async fn fields(self, _: &Remote) -> Result<Map<String, Value>, AdminError> {
        let Self { address, group, notes } = self;
        let fields = [("address", address), ("group", group), ("notes", notes)];
        Ok(given(fields.map(|(name, it)| (name, text(it)))))
    }
}
