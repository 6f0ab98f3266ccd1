//! `plenum trunk`: other servers and telephone exchanges.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::kept::{self, Kind, given, list, number, or_none, text};
use super::remote::{AdminError, Remote};
use super::sign_in::ask;
use super::{Common, output};

/// How a trunk stands.
const STATE: [&str; 5] = ["name", "servers", "registration", "calls", "problem"];

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Kept(Box<kept::Command<Trunk>>),
    /// Tell of each trunk whether its servers are there, and whether we are registered.
    Status,
}

#[derive(Debug, Args)]
pub struct Trunk {
    /// How both ends know each other.
    #[arg(long, value_parser = ["registered", "by_address", "none", "true_conf"])]
    kind: Option<String>,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    #[arg(long)]
    host: Option<String>,
    /// Its port; 0: what the transport has by default.
    #[arg(long)]
    port: Option<u32>,
    /// Another host, or host:port, to be tried where that one does not answer; give it once for each,
    /// in their order. An empty one: none.
    #[arg(long = "backup")]
    backups: Vec<String>,
    /// When we register there: as the kind says (auto), always, or before a call of ours.
    #[arg(long, value_parser = ["auto", "always", "before_call"])]
    register: Option<String>,
    /// What carries the signalling.
    #[arg(long, value_parser = ["udp", "tcp", "tls"])]
    transport: Option<String>,
    /// The addresses that its calls come from, such as 10.0.0.0/8; give it once for each. An empty
    /// one: none.
    #[arg(long = "network")]
    networks: Vec<String>,
    /// The user that we are there; an empty one: none.
    #[arg(long)]
    user: Option<String>,
    /// Ask for that user's password.
    #[arg(long, conflicts_with = "no_secret")]
    ask_secret: bool,
    /// Forget that user's password.
    #[arg(long)]
    no_secret: bool,
    /// The number that it sees calling; an empty one: the meeting's.
    #[arg(long)]
    caller_number: Option<String>,
    /// The name that it sees calling; an empty one: the meeting's.
    #[arg(long)]
    caller_name: Option<String>,
    /// A codec such as audio/opus, in the order of choice; give it once for each. An empty one: all.
    #[arg(long = "codec")]
    codecs: Vec<String>,
    /// Whether media are encrypted.
    #[arg(long, value_parser = ["never", "optional", "required"])]
    srtp: Option<String>,
    /// Kilobits a second of a call in each direction; 0: as everywhere else.
    #[arg(long)]
    kbps: Option<u32>,
    /// Calls at a time; 0: as many as the server takes.
    #[arg(long)]
    max_calls: Option<u32>,
    /// Seconds between two questions whether it is there; 0: it is never asked.
    #[arg(long)]
    check_seconds: Option<u32>,
    /// Of a TrueConf server: a number and the id that it stands for, such as 5501=anna; give it once for
    /// each. An empty one: none.
    #[arg(long = "number", value_name = "NUMBER=ID")]
    numbers: Vec<String>,
    /// Whatever else is worth knowing.
    #[arg(long)]
    notes: Option<String>,
}

impl Kind for Trunk {
    const PATH: &'static str = "/api/v1/trunks";
    const WORD: &'static str = "trunk";
    const LISTED: &'static [&'static str] =
        &["name", "kind", "host", "port", "transport", "networks", "user", "has_secret"];

    async fn fields(self, _: &Remote) -> Result<Map<String, Value>, AdminError> {
        let secret = match (self.ask_secret, self.no_secret) {
            (true, _) => Some(ask("The trunk's password: ")?.into()),
            (_, true) => Some(Value::Null),
            _ => None,
        };
        Ok(given([
            ("kind", text(self.kind)),
            ("host", text(self.host)),
            ("port", number(self.port)),
            ("backups", list(self.backups)),
            ("register", text(self.register)),
            ("transport", text(self.transport)),
            ("networks", list(self.networks)),
            ("user", or_none(self.user)),
            ("secret", secret),
            ("caller.number", text(self.caller_number)),
            ("caller.name", text(self.caller_name)),
            ("codecs", list(self.codecs)),
            ("srtp", text(self.srtp)),
            ("kbps", number(self.kbps)),
            ("max_calls", number(self.max_calls)),
            ("check_seconds", number(self.check_seconds)),
            ("numbers", pairs(&self.numbers)),
            ("notes", text(self.notes)),
        ]))
    }
}

/// What stands before and behind `=` of each.
fn pairs(given: &[String]) -> Option<Value> {
    let pair = |text: &String| {
        let (number, id) = text.split_once('=').unwrap_or((text, ""));
        (number.to_owned(), Value::from(id))
    };
    let pairs = given.iter().filter(|it| !it.is_empty()).map(pair);
    (!given.is_empty()).then(|| Value::Object(pairs.collect()))
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let Command::Kept(command) = command else { return status(common).await };
    kept::run(*command, common).await
}

async fn status(common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    let answer = remote.get("/api/v1/trunk-states").await?;
    output::items(&answer, common.json, &STATE, "servers", |item| {
        let servers = output::at(item, "servers").as_array().map(Vec::as_slice);
        let servers = servers.unwrap_or_default().iter().map(|it| {
            let [state, transport, address] =
                ["state", "transport", "address"].map(|name| output::text(it, name));
            let problem = output::text(it, "problem");
            let why = if problem.is_empty() { problem } else { format!(" ({problem})") };
            format!("{transport}:{address} {state}{why}")
        });
        servers.collect::<Vec<_>>().join(", ")
    });
    Ok(())
}
