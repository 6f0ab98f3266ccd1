//! How a meeting behaves. A template is made of the same.

use serde::{Deserialize, Serialize};
use types::LegLayout;

use crate::access::MeetingSettings;
use crate::problem::{ProblemCode, Problems};
use crate::telephony::CallAddress;

/// Who may join, beside hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoMayJoin {
    /// Everybody who has the link or the number.
    #[default]
    EverybodyWithLink,
    /// Whoever has an account.
    Users,
    /// Those who are invited.
    Invited,
}

/// Who may share a screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presenters {
    /// Everybody.
    #[default]
    Everybody,
    /// Hosts, and those whom a host lets.
    Hosts,
}

/// How much of everything a meeting may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Participants at a time, of every kind.
    pub participants: u32,
    /// How long it may last from its beginning on; `None`: as long as it likes.
    pub minutes: Option<u32>,
    /// Kilobits a second of each participant in each direction, of which 64 are kept for sound;
    /// `None`: as everywhere else.
    pub kbps: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        let participants = MeetingSettings::DEFAULT_MAX_PARTICIPANTS;
        Self { participants, minutes: None, kbps: None }
    }
}

impl Limits {
    /// The least and the most participants.
    pub const PARTICIPANTS: (u32, u32) = (1, 10_000);
    /// The least and the most minutes; the most is a week.
    pub const MINUTES: (u32, u32) = (1, 7 * 24 * 60);
    /// The least and the most kilobits a second: a voice without a picture, and what no camera
    /// needs.
    pub const KBPS: (u32, u32) = (64, 100_000);
}

/// When a meeting ends without anybody's doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutomaticEnd {
    /// When nobody was in it for so many minutes; `None`: as soon as every other meeting that nobody
    /// is in.
    pub empty_minutes: Option<u32>,
    /// At the end of its schedule.
    pub at_schedule_end: bool,
    /// When the last host has left for longer than a page takes to be loaded again.
    pub without_host: bool,
}

impl AutomaticEnd {
    /// The least and the most minutes of emptiness.
    pub const EMPTY_MINUTES: (u32, u32) = (1, 24 * 60);
}

/// A room system or telephone that is called when the meeting starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialOut {
    /// Its address.
    pub address: CallAddress,
    /// As people know it; empty: by its address.
    #[serde(default)]
    pub name: String,
}

/// How a meeting behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Who may join, beside hosts.
    pub who_may_join: WhoMayJoin,
    /// Whether all but hosts wait until a host admits them.
    pub lobby: bool,
    /// Whether all but hosts come in muted.
    pub mute_on_entry: bool,
    /// Whether room systems and telephones may take part.
    pub room_systems: bool,
    /// How others are arranged in room systems' pictures; `None`: as everywhere else.
    pub layout: Option<LegLayout>,
    /// How much of everything it may take.
    pub limits: Limits,
    /// Whether media are encrypted between the participants, so that the server cannot read them.
    pub e2ee: bool,
    /// Who is called when the meeting starts.
    pub dial_out: Vec<DialOut>,
    /// When it ends by itself.
    pub automatic_end: AutomaticEnd,
    /// Who may share a screen.
    pub presenters: Presenters,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            who_may_join: WhoMayJoin::default(),
            lobby: false,
            mute_on_entry: false,
            room_systems: true,
            layout: None,
            limits: Limits::default(),
            e2ee: false,
            dial_out: Vec::new(),
            automatic_end: AutomaticEnd::default(),
            presenters: Presenters::default(),
        }
    }
}

impl Settings {
    /// Addresses that one meeting calls.
    pub const MAX_DIAL_OUT: usize = 50;
    /// Characters of a name in its lists.
    pub const MAX_NAME: usize = 100;

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        let Limits { participants, minutes, kbps } = self.limits;
        let field = "limits.participants";
        problems.range(field, participants, Limits::PARTICIPANTS, "participants");
        if let Some(minutes) = minutes {
            problems.range("limits.minutes", minutes, Limits::MINUTES, "minutes");
        }
        if let Some(kbps) = kbps {
            problems.range("limits.kbps", kbps, Limits::KBPS, "kilobits a second");
        }
        if let Some(minutes) = self.automatic_end.empty_minutes {
            let field = "automatic_end.empty_minutes";
            problems.range(field, minutes, AutomaticEnd::EMPTY_MINUTES, "minutes");
        }
        // The mixer of room systems has to read what it mixes.
        let text = "room systems cannot take part in a meeting with end-to-end encryption: \
                    set room_systems to false";
        problems.ensure(!(self.e2ee && self.room_systems), "e2ee", ProblemCode::Conflict, text);
        let text = "room systems are called, so room_systems must be true";
        let called = !self.dial_out.is_empty() && !self.room_systems;
        problems.ensure(!called, "dial_out", ProblemCode::Conflict, text);
        if problems.count("dial_out", self.dial_out.len(), Self::MAX_DIAL_OUT) {
            problems.distinct("dial_out", self.dial_out.iter().map(|it| &it.address));
            for (index, DialOut { name, .. }) in self.dial_out.iter().enumerate() {
                problems.optional_line(&format!("dial_out[{index}].name"), name, Self::MAX_NAME);
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::testing::brief;

    #[test]
    fn what_is_not_said_has_a_default_and_the_default_is_right() {
        let empty: Settings = serde_json::from_str("{}").unwrap();
        assert_eq!(empty, Settings::default());
        assert_eq!(brief(&empty.problems()), [""; 0]);
        let some = r#"{"limits":{"kbps":2000},"layout":"speaker","who_may_join":"users"}"#;
        let some: Settings = serde_json::from_str(some).unwrap();
        assert_eq!((some.limits.participants, some.limits.kbps), (200, Some(2000)));
        assert_eq!(some.layout, Some(LegLayout::Speaker));
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), some);
    }

    #[test]
    fn settings_out_of_bounds_are_all_told() {
        let hall = || DialOut { address: "sip:hall@pbx".parse().unwrap(), name: "a\nb".into() };
        let bad = Settings {
            limits: Limits { participants: 0, minutes: Some(0), kbps: Some(1) },
            automatic_end: AutomaticEnd { empty_minutes: Some(10_000), ..Default::default() },
            dial_out: vec![hall(), DialOut { name: String::new(), ..hall() }],
            ..Settings::default()
        };
        assert_eq!(
            brief(&bad.problems()),
            [
                "limits.participants range",
                "limits.minutes range",
                "limits.kbps range",
                "automatic_end.empty_minutes range",
                "dial_out[1] duplicate",
                "dial_out[0].name format"
            ]
        );
        let many = Settings { dial_out: vec![hall(); 51], ..Settings::default() };
        assert_eq!(brief(&many.problems()), ["dial_out too_many"]);
    }

    #[test]
    fn end_to_end_encryption_excludes_room_systems() {
        let mut settings = Settings { e2ee: true, ..Settings::default() };
        assert_eq!(brief(&settings.problems()), ["e2ee conflict"]);
        settings.room_systems = false;
        assert_eq!(brief(&settings.problems()), [""; 0]);
        let address = "sip:hall@pbx".parse().unwrap();
        settings.dial_out.push(DialOut { address, name: String::new() });
        assert_eq!(brief(&settings.problems()), ["dial_out conflict"]);
    }
}
