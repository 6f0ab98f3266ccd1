//! How a meeting behaves: options of meetings and of templates.

use clap::Args;
use serde_json::{Map, Value};

use super::kept::{given, list, number, or_none, text};

#[derive(Debug, Args)]
pub struct Settings {
    /// Who may join, beside hosts.
    #[arg(long, value_parser = ["everybody_with_link", "users", "invited"])]
    who_may_join: Option<String>,
    /// Whether all but hosts wait until a host admits them.
    #[arg(long)]
    lobby: Option<bool>,
    /// Whether all but hosts come in muted.
    #[arg(long)]
    mute_on_entry: Option<bool>,
    /// Whether room systems and telephones may take part.
    #[arg(long)]
    room_systems: Option<bool>,
    /// How others are arranged in room systems' pictures; an empty one: as everywhere else.
    #[arg(long, value_parser = ["grid", "speaker", ""])]
    layout: Option<String>,
    /// Participants at a time.
    #[arg(long)]
    participants: Option<u32>,
    /// Minutes that it may last; 0: as long as it likes.
    #[arg(long, value_name = "MINUTES")]
    longest: Option<u32>,
    /// Kilobits a second that each participant may send, and is sent; 0: as everywhere else.
    #[arg(long)]
    kbps: Option<u32>,
    /// Whether media are encrypted between the participants; room systems cannot take part then.
    #[arg(long)]
    e2ee: Option<bool>,
    /// An address that is called when it begins; give it once for each. An empty one: nobody is
    /// called.
    #[arg(long = "dial-out", value_name = "ADDRESS")]
    dial_out: Vec<String>,
    /// End it when nobody was in it for so many minutes; 0: as every other meeting.
    #[arg(long, value_name = "MINUTES")]
    end_empty: Option<u32>,
    /// Whether it ends at the end of its schedule.
    #[arg(long)]
    end_with_schedule: Option<bool>,
    /// Whether it ends when the last host has left.
    #[arg(long)]
    end_without_host: Option<bool>,
    /// Who may share a screen.
    #[arg(long, value_parser = ["everybody", "hosts"])]
    presenters: Option<String>,
}

impl Settings {
    /// The fields that these options set, below `settings`.
    pub fn fields(self) -> Map<String, Value> {
        let dial_out = list(self.dial_out).map(|it| {
            let addresses = it.as_array().cloned().unwrap_or_default().into_iter();
            addresses.map(|it| Value::Object(given([("address", Some(it))]))).collect()
        });
        given([
            ("settings.who_may_join", text(self.who_may_join)),
            ("settings.lobby", self.lobby.map(Value::from)),
            ("settings.mute_on_entry", self.mute_on_entry.map(Value::from)),
            ("settings.room_systems", self.room_systems.map(Value::from)),
            ("settings.layout", or_none(self.layout)),
            ("settings.limits.participants", self.participants.map(Value::from)),
            ("settings.limits.minutes", number(self.longest)),
            ("settings.limits.kbps", number(self.kbps)),
            ("settings.e2ee", self.e2ee.map(Value::from)),
            ("settings.dial_out", dial_out),
            ("settings.automatic_end.empty_minutes", number(self.end_empty)),
            ("settings.automatic_end.at_schedule_end", self.end_with_schedule.map(Value::from)),
            ("settings.automatic_end.without_host", self.end_without_host.map(Value::from)),
            ("settings.presenters", text(self.presenters)),
        ])
    }
}
