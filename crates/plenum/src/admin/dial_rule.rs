//! `plenum dial-rule`: where calls go, and why.

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::kept::{self, Kind, find, given, or_none, text};
use super::remote::{AdminError, Remote};
use super::trunk::Trunk;
use super::{Common, output};

/// The fields of a trace.
const STEPS: [&str; 3] = ["name", "verdict", "text"];

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Kept(kept::Command<Rule>),
    /// Tell where a call would go, and what became of each rule.
    Trace(Trace),
}

#[derive(Debug, Args)]
pub struct Trace {
    /// Who is called: the user, with @ and the host where that is not ours.
    called: String,
    /// Which way the call goes.
    #[arg(long, value_parser = ["in", "out"], default_value = "in")]
    direction: String,
    /// Who calls, in the same form.
    #[arg(long, default_value = "")]
    calling: String,
    /// The trunk that it comes from.
    #[arg(long)]
    trunk: Option<String>,
    /// What carries the signalling.
    #[arg(long, value_parser = ["udp", "tcp", "tls"])]
    transport: Option<String>,
    /// A registered device calls.
    #[arg(long)]
    registered: bool,
}

#[derive(Debug, Args)]
pub struct Rule {
    /// Its place: rules are tried from the lowest number on.
    #[arg(long)]
    order: Option<u32>,
    /// Which way its calls go.
    #[arg(long, value_parser = ["in", "out"])]
    direction: Option<String>,
    /// A pattern of who is called, a regular expression; an empty one: whoever it is.
    #[arg(long)]
    called: Option<String>,
    /// A pattern of who calls; an empty one: whoever it is.
    #[arg(long)]
    calling: Option<String>,
    /// The trunk that a call comes from; an empty one: whichever it is.
    #[arg(long)]
    from_trunk: Option<String>,
    /// What carries the signalling; an empty one: whatever it is.
    #[arg(long, value_parser = ["udp", "tcp", "tls", ""])]
    transport: Option<String>,
    /// Whether a registered device calls.
    #[arg(long)]
    registered: Option<bool>,
    #[command(flatten)]
    action: Action,
    /// Whether it is in use.
    #[arg(long)]
    enabled: Option<bool>,
    /// Whatever else is worth knowing.
    #[arg(long)]
    notes: Option<String>,
}

/// Where its calls go.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Action {
    /// Into the meeting of this alias or number; $0 stands for what was called, $1 to $9 for the
    /// pattern's groups.
    #[arg(long, value_name = "MEETING")]
    to_meeting: Option<String>,
    /// To the voice that asks for a meeting's number.
    #[arg(long)]
    to_ivr: bool,
    /// Over a trunk: its name, `=`, and what is called there, such as pbx=$0.
    #[arg(long, value_name = "TRUNK=CALLED")]
    to_trunk: Option<String>,
    /// To the device of this extension.
    #[arg(long, value_name = "EXTENSION")]
    to_device: Option<String>,
    /// Nowhere.
    #[arg(long, value_name = "CAUSE",
        value_parser = ["not_found", "forbidden", "unavailable", "busy", "declined"])]
    reject: Option<String>,
}

impl Action {
    async fn field(self, remote: &Remote) -> Result<Option<Value>, AdminError> {
        let Self { to_meeting, to_ivr, to_trunk, to_device, reject } = self;
        if let Some(text) = to_trunk {
            let Some((trunk, called)) = text.split_once('=') else {
                let detail = "give --to-trunk as TRUNK=CALLED, such as pbx=$0".to_owned();
                return Err(AdminError::Other(detail));
            };
            let trunk = trunk_id(remote, trunk).await?;
            return Ok(Some(json!({ "to": "trunk", "trunk": trunk, "called": called })));
        }
        let meeting = to_meeting.map(|it| json!({ "to": "meeting", "meeting": it }));
        let ivr = to_ivr.then(|| json!({ "to": "ivr" }));
        let device = to_device.map(|it| json!({ "to": "device", "extension": it }));
        let reject = reject.map(|it| json!({ "to": "reject", "cause": it }));
        Ok(meeting.or(ivr).or(device).or(reject))
    }
}

impl Kind for Rule {
    const PATH: &'static str = "/api/v1/dial-rules";
    const WORD: &'static str = "dial rule";
    const LISTED: &'static [&'static str] =
        &["order", "name", "direction", "match.called", "match.calling", "action", "enabled"];

    async fn fields(self, remote: &Remote) -> Result<Map<String, Value>, AdminError> {
        let from = match self.from_trunk {
            Some(name) if !name.is_empty() => Some(trunk_id(remote, &name).await?.into()),
            other => or_none(other),
        };
        Ok(given([
            ("order", self.order.map(Value::from)),
            ("direction", text(self.direction)),
            ("match.called", or_none(self.called)),
            ("match.calling", or_none(self.calling)),
            ("match.trunk", from),
            ("match.transport", or_none(self.transport)),
            ("match.registered", self.registered.map(Value::from)),
            ("action", self.action.field(remote).await?),
            ("enabled", self.enabled.map(Value::from)),
            ("notes", text(self.notes)),
        ]))
    }
}

async fn trunk_id(remote: &Remote, name: &str) -> Result<String, AdminError> {
    Ok(output::text(&find::<Trunk>(remote, name).await?, "id"))
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let Trace { called, direction, calling, trunk, transport, registered } = match command {
        Command::Kept(command) => return kept::run(command, common).await,
        Command::Trace(trace) => trace,
    };
    let remote = Remote::signed_in(common)?;
    let trunk = match &trunk {
        Some(name) => Some(trunk_id(&remote, name).await?),
        None => None,
    };
    let call = json!({
        "called": called, "direction": direction, "calling": calling, "trunk": trunk,
        "transport": transport, "registered": registered,
    });
    let traced = remote.send(Method::POST, "/api/v1/dial-plan/trace", call).await?;
    if common.json {
        println!("{traced}");
    } else {
        output::table(output::at(&traced, "steps"), &STEPS);
        output::fields(output::at(&traced, "decision"));
    }
    Ok(())
}
