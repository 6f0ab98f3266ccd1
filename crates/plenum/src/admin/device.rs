//! `plenum device`: room systems of the house.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::kept::{self, Kind, given, list, number, or_none, text};
use super::remote::{AdminError, Remote};
use super::sign_in::ask;
use super::{Common, output};

/// The fields of a device that can be called.
const PRESENT: [&str; 4] = ["name", "extension", "presence", "from"];

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Kept(Box<kept::Command<Device>>),
    /// Tell which devices are registered, so that they can be called by name; all others are offline.
    Presence,
}

#[derive(Debug, Args)]
pub struct Device {
    /// What is dialled to call it: 2 to 5 digits, or a name with a letter.
    #[arg(long)]
    extension: Option<String>,
    /// The user that it registers as; an empty one: it does not register.
    #[arg(long)]
    sip_user: Option<String>,
    /// Ask for the password that it registers with.
    #[arg(long, conflicts_with = "no_password")]
    ask_password: bool,
    /// Forget its password: its address alone tells who it is.
    #[arg(long)]
    no_password: bool,
    /// Whether it may register by MD5.
    #[arg(long)]
    md5: Option<bool>,
    /// From where it may register and call, such as 10.0.0.0/8; give it once for each. An empty one:
    /// from everywhere.
    #[arg(long = "network")]
    networks: Vec<String>,
    /// How others are arranged in its picture; an empty one: as its meeting says.
    #[arg(long, value_parser = ["grid", "speaker", ""])]
    layout: Option<String>,
    /// Kilobits a second of a call in each direction; 0: as everywhere else.
    #[arg(long)]
    kbps: Option<u32>,
    /// Where it stands.
    #[arg(long)]
    location: Option<String>,
    /// Whatever else is worth knowing.
    #[arg(long)]
    notes: Option<String>,
}

impl Kind for Device {
    const PATH: &'static str = "/api/v1/devices";
    const WORD: &'static str = "device";
    const LISTED: &'static [&'static str] =
        &["name", "extension", "sip_user", "has_password", "networks", "location"];

    async fn fields(self, _: &Remote) -> Result<Map<String, Value>, AdminError> {
        let password = match (self.ask_password, self.no_password) {
            (true, _) => Some(ask("The device's password: ")?.into()),
            (_, true) => Some(Value::Null),
            _ => None,
        };
        Ok(given([
            ("extension", text(self.extension)),
            ("sip_user", or_none(self.sip_user)),
            ("password", password),
            ("md5", self.md5.map(Value::from)),
            ("networks", list(self.networks)),
            ("layout", or_none(self.layout)),
            ("kbps", number(self.kbps)),
            ("location", text(self.location)),
            ("notes", text(self.notes)),
        ]))
    }
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let Command::Kept(command) = command else { return presence(common).await };
    kept::run(*command, common).await
}

async fn presence(common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    let answer = remote.get("/api/v1/presence").await?;
    output::items(&answer, common.json, &PRESENT, "from", |item| {
        let places = output::at(item, "registered").as_array().map(Vec::as_slice);
        let places = places.unwrap_or_default().iter();
        let places = places
            .map(|it| format!("{}:{}", output::text(it, "transport"), output::text(it, "from")));
        places.collect::<Vec<_>>().join(" ")
    });
    Ok(())
}
