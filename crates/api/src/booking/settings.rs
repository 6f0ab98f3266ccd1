//! How a meeting behaves, as it is sent and answered.

use conference::access::MeetingSettings;
use conference::booking::{AutomaticEnd, DialOut, Limits, Presenters, Settings, WhoMayJoin};
use conference::problem::Problems;
use serde::{Deserialize, Serialize};
use types::LegLayout;
use utoipa::ToSchema;

use crate::kept::{parsed, words};

/// How a meeting behaves.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = MeetingSettings)]
pub struct SettingsFields {
    /// Who may join, beside hosts: everybody who has the link or the number, whoever has an account,
    /// or those who are invited.
    #[schema(schema_with = words::who_may_join)]
    who_may_join: WhoMayJoin,
    /// Whether all but hosts wait until a host admits them.
    lobby: bool,
    /// Whether all but hosts come in muted.
    mute_on_entry: bool,
    /// Whether room systems and telephones may take part.
    room_systems: bool,
    /// How others are arranged in room systems' pictures; null: as everywhere else.
    #[schema(schema_with = words::layout)]
    layout: Option<LegLayout>,
    limits: LimitsFields,
    /// Whether media are encrypted between the participants, with a key that this server never sees:
    /// what is not encrypted is refused. Room systems cannot take part then.
    e2ee: bool,
    /// Who is called when the meeting begins, 50 addresses at most.
    dial_out: Vec<DialOutFields>,
    automatic_end: EndFields,
    /// Who may share a screen.
    #[schema(schema_with = words::presenters)]
    presenters: Presenters,
}

/// How much a meeting may take.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = MeetingLimits)]
pub struct LimitsFields {
    /// Participants at a time, of every kind.
    #[schema(minimum = 1, maximum = 10_000)]
    participants: u32,
    /// How long it may last from its beginning on; null: as long as it likes.
    #[schema(minimum = 1, maximum = 10_080)]
    minutes: Option<u32>,
    /// Kilobits a second that each participant may send, and is sent, of which 64 are kept for
    /// sound; null: as everywhere else.
    #[schema(minimum = 64, maximum = 100_000)]
    kbps: Option<u32>,
}

impl Default for LimitsFields {
    fn default() -> Self {
        let participants = MeetingSettings::DEFAULT_MAX_PARTICIPANTS;
        Self { participants, minutes: None, kbps: None }
    }
}

/// When a meeting ends without anybody's doing.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = MeetingEnd)]
pub struct EndFields {
    /// When nobody was in it for so many minutes; null: as soon as every other meeting that nobody
    /// is in.
    #[schema(minimum = 1, maximum = 1_440)]
    empty_minutes: Option<u32>,
    /// At the end of its schedule.
    at_schedule_end: bool,
    /// When the last host has left.
    without_host: bool,
}

/// A room system or telephone that is called when the meeting begins.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MeetingDialOut)]
pub struct DialOutFields {
    /// Its address, such as sip:hall@pbx.example.org.
    address: String,
    /// As people know it; empty: by its address.
    #[serde(default)]
    name: String,
}

impl Default for SettingsFields {
    fn default() -> Self {
        Settings::default().into()
    }
}

impl From<Settings> for SettingsFields {
    fn from(settings: Settings) -> Self {
        let Limits { participants, minutes, kbps } = settings.limits;
        let AutomaticEnd { empty_minutes, at_schedule_end, without_host } = settings.automatic_end;
        let dial_out = |it: DialOut| DialOutFields { address: it.address.into(), name: it.name };
        Self {
            who_may_join: settings.who_may_join,
            lobby: settings.lobby,
            mute_on_entry: settings.mute_on_entry,
            room_systems: settings.room_systems,
            layout: settings.layout,
            limits: LimitsFields { participants, minutes, kbps },
            e2ee: settings.e2ee,
            dial_out: settings.dial_out.into_iter().map(dial_out).collect(),
            automatic_end: EndFields { empty_minutes, at_schedule_end, without_host },
            presenters: settings.presenters,
        }
    }
}

impl SettingsFields {
    /// What was given; what is wrong with it goes below `settings`.
    pub fn read(self, problems: &mut Problems) -> Settings {
        let LimitsFields { participants, minutes, kbps } = self.limits;
        let EndFields { empty_minutes, at_schedule_end, without_host } = self.automatic_end;
        let dial_out = self.dial_out.into_iter().enumerate().filter_map(|(at, it)| {
            let field = format!("settings.dial_out[{at}].address");
            Some(DialOut { address: parsed(&it.address, &field, problems)?, name: it.name })
        });
        Settings {
            who_may_join: self.who_may_join,
            lobby: self.lobby,
            mute_on_entry: self.mute_on_entry,
            room_systems: self.room_systems,
            layout: self.layout,
            limits: Limits { participants, minutes, kbps },
            e2ee: self.e2ee,
            dial_out: dial_out.collect(),
            automatic_end: AutomaticEnd { empty_minutes, at_schedule_end, without_host },
            presenters: self.presenters,
        }
    }
}
