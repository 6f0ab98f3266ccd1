//! `plenum template`: what new meetings begin with.

use clap::Args;
use serde_json::{Map, Value};

use super::kept::{Kind, given, text};
use super::remote::{AdminError, Remote};
use super::settings::Settings;

#[derive(Debug, Args)]
pub struct Template {
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

impl Kind for Template {
    const PATH: &'static str = "/api/v1/templates";
    const WORD: &'static str = "template";
    const LISTED: &'static [&'static str] =
        &["name", "description", "settings.who_may_join", "settings.lobby"];

    async fn fields(self, _: &Remote) -> Result<Map<String, Value>, AdminError> {
        let mut fields = self.settings.fields();
        fields.extend(given([("description", text(self.description))]));
        Ok(fields)
    }
}
