//! A meeting as it was booked.

use serde::{Deserialize, Serialize};
use types::{MeetingId, RecordId};

use super::email::is_email;
use super::number::{MeetingNumber, check_alias};
use super::pin::PinHash;
use super::schedule::Schedule;
use super::settings::{Settings, WhoMayJoin};
use super::template::Template;
use crate::problem::{ProblemCode, Problems};
use crate::store::{Entity, Key, Kind};

/// When a meeting is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeetingKind {
    /// Always.
    #[default]
    Permanent,
    /// By its schedule.
    Scheduled,
    /// Always, as its owner's own room: one for each account.
    Personal,
}

/// What somebody is in a meeting.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum MeetingRole {
    /// Takes part.
    #[default]
    Attendee,
    /// May share a screen where not everybody may.
    Presenter,
    /// May also mute, admit and remove others, and end the meeting.
    Host,
}

/// Somebody who is invited: an account, an e-mail address, or an account with the address to which
/// its invitation goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitee {
    /// Their account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<RecordId>,
    /// Their e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// As people know them.
    #[serde(default)]
    pub name: String,
    /// What they are in the meeting.
    #[serde(default)]
    pub role: MeetingRole,
}

/// A meeting as it was booked; its id is the record's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// The end of its link, and what can be dialled where there are letters.
    pub alias: MeetingId,
    /// What is dialled where there are digits alone.
    pub number: MeetingNumber,
    /// As people know it.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub description: String,
    /// The account that it belongs to, which is always a host of it.
    pub owner: RecordId,
    /// When it is there.
    #[serde(default)]
    pub kind: MeetingKind,
    /// When it takes place, where it is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Asked of guests; `None`: nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_pin: Option<PinHash>,
    /// Makes whoever knows it a host; `None`: nobody becomes host by PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_pin: Option<PinHash>,
    /// Who is invited.
    #[serde(default)]
    pub invited: Vec<Invitee>,
    /// How it behaves.
    #[serde(default)]
    pub settings: Settings,
    /// The template that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<RecordId>,
}

/// What tells a new meeting from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identification {
    /// The end of its link.
    pub alias: MeetingId,
    /// Its number.
    pub number: MeetingNumber,
    /// As people know it.
    pub name: String,
    /// The account that it belongs to.
    pub owner: RecordId,
}

impl Meeting {
    /// Characters of a name.
    pub const MAX_NAME: usize = 200;
    /// Characters of a description.
    pub const MAX_DESCRIPTION: usize = 4_000;
    /// People who are invited to one meeting.
    pub const MAX_INVITED: usize = 1_000;

    /// The key of its alias.
    pub const ALIAS: &'static str = "alias";
    /// The key of its number.
    pub const NUMBER: &'static str = "number";
    /// The key of its owner.
    pub const OWNER: &'static str = "owner";
    /// The key of a personal room's owner.
    pub const PERSONAL: &'static str = "personal";
    /// The key of each account and e-mail address that is invited.
    pub const INVITED: &'static str = "invited";

    /// A permanent meeting with the settings of everyday.
    pub fn new(identification: Identification) -> Self {
        let Identification { alias, number, name, owner } = identification;
        Self {
            alias,
            number,
            name,
            description: String::new(),
            owner,
            kind: MeetingKind::Permanent,
            schedule: None,
            guest_pin: None,
            host_pin: None,
            invited: Vec::new(),
            settings: Settings::default(),
            template: None,
        }
    }

    /// A permanent meeting with the settings of a template.
    pub fn from_template(
        identification: Identification,
        id: RecordId,
        template: &Template,
    ) -> Self {
        let settings = template.settings.clone();
        Self { settings, template: Some(id), ..Self::new(identification) }
    }

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        check_alias(&self.alias, &mut problems);
        problems.line("name", &self.name, Self::MAX_NAME);
        problems.text("description", &self.description, Self::MAX_DESCRIPTION);
        let owned = !self.owner.as_str().is_empty();
        problems.ensure(owned, "owner", ProblemCode::Required, "give the id of an account");
        self.check_schedule(&mut problems);
        for (field, pin) in [("guest_pin", &self.guest_pin), ("host_pin", &self.host_pin)] {
            if let Some(pin) = pin {
                pin.check(field, &mut problems);
            }
        }
        if problems.count("invited", self.invited.len(), Self::MAX_INVITED) {
            self.check_invited(&mut problems);
        }
        problems.within("settings", self.settings.problems());
        problems
    }

    fn check_schedule(&self, problems: &mut Problems) {
        let scheduled = self.kind == MeetingKind::Scheduled;
        match &self.schedule {
            Some(schedule) if scheduled => {
                if let Err(wrong) = schedule.timetable() {
                    problems.within("schedule", wrong);
                }
            }
            Some(_) => {
                let text = "only a meeting of the kind scheduled has a schedule";
                problems.add("schedule", ProblemCode::Conflict, text);
            }
            None => {
                let text = "a scheduled meeting has a start, minutes and a time zone";
                problems.ensure(!scheduled, "schedule", ProblemCode::Required, text);
            }
        }
        let text = "a meeting without schedule cannot end with it";
        let ends = self.settings.automatic_end.at_schedule_end && !scheduled;
        let field = "settings.automatic_end.at_schedule_end";
        problems.ensure(!ends, field, ProblemCode::Conflict, text);
    }

    fn check_invited(&self, problems: &mut Problems) {
        for (index, invitee) in self.invited.iter().enumerate() {
            let field = |name: &str| format!("invited[{index}]{name}");
            let account = invitee.account.as_ref().is_some_and(|it| !it.as_str().is_empty());
            if !account && invitee.email.is_none() {
                let text = "give an account or an e-mail address";
                problems.add(field(""), ProblemCode::Required, text);
            }
            if invitee.email.as_ref().is_some_and(|it| !is_email(it)) {
                let text = "give an e-mail address such as anna@example.org";
                problems.add(field(".email"), ProblemCode::Format, text);
            }
            problems.optional_line(&field(".name"), &invitee.name, Settings::MAX_NAME);
        }
        let accounts = self.invited.iter().filter_map(|it| it.account.as_ref());
        let emails = self.invited.iter().filter_map(|it| it.email.as_ref());
        let twice = has_twice(accounts) || has_twice(emails.map(|it| it.to_lowercase()));
        let text = "nobody is invited twice";
        problems.ensure(!twice, "invited", ProblemCode::Duplicate, text);
    }

    /// What an account is in this meeting; `None`: it is not invited and does not own it.
    pub fn role_of(&self, account: &RecordId, email: Option<&str>) -> Option<MeetingRole> {
        if *account == self.owner {
            return Some(MeetingRole::Host);
        }
        let is_meant = |it: &&Invitee| {
            let by_email = it.email.as_deref().zip(email);
            it.account.as_ref() == Some(account)
                || by_email.is_some_and(|(theirs, given)| theirs.eq_ignore_ascii_case(given))
        };
        self.invited.iter().filter(is_meant).map(|it| it.role).max()
    }

    /// Whether somebody may join: with an account, or without one (`None`), who gave no wrong PIN.
    pub fn lets_in(&self, account: Option<(&RecordId, Option<&str>)>) -> bool {
        let invited = account.is_some_and(|(id, email)| self.role_of(id, email).is_some());
        match self.settings.who_may_join {
            WhoMayJoin::EverybodyWithLink => true,
            WhoMayJoin::Users => account.is_some(),
            WhoMayJoin::Invited => invited,
        }
    }
}

fn has_twice<T: Eq + std::hash::Hash>(entries: impl Iterator<Item = T>) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut entries = entries;
    entries.any(|entry| !seen.insert(entry))
}

impl Entity for Meeting {
    const KIND: Kind = Kind::Meeting;

    fn keys(&self) -> Vec<Key> {
        let owner = self.owner.as_str();
        let mut keys = vec![
            Key::unique(Self::ALIAS, self.alias.as_str()),
            Key::unique(Self::NUMBER, self.number.as_str()),
            Key::shared(Self::OWNER, owner),
        ];
        if self.kind == MeetingKind::Personal {
            keys.push(Key::unique(Self::PERSONAL, owner));
        }
        for Invitee { account, email, .. } in &self.invited {
            let account = account.as_ref().map(|it| it.as_str().to_owned());
            let both = account.into_iter().chain(email.as_ref().map(|it| it.to_lowercase()));
            keys.extend(both.map(|it| Key::shared(Self::INVITED, it)));
        }
        keys
    }

    fn search_text(&self) -> String {
        format!("{} {} {} {}", self.name, self.alias, self.number, self.description)
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::testing::brief;

    fn identification() -> Identification {
        Identification {
            alias: MeetingId::parse("Board").unwrap(),
            number: MeetingNumber::parse("123456789").unwrap(),
            name: "Совет директоров".into(),
            owner: RecordId::new("anna"),
        }
    }

    fn meeting() -> Meeting {
        Meeting::new(identification())
    }

    fn invitee(account: Option<&str>, email: Option<&str>, role: MeetingRole) -> Invitee {
        let account = account.map(RecordId::new);
        Invitee { account, email: email.map(str::to_owned), name: String::new(), role }
    }

    fn schedule() -> Schedule {
        Schedule {
            start: "2026-03-02T09:00".into(),
            minutes: 60,
            time_zone: "Europe/Berlin".into(),
            rrule: Some("FREQ=WEEKLY".into()),
            exdates: vec![],
        }
    }

    #[test]
    fn a_meeting_is_found_by_everything_that_people_know_of_it() {
        let mut meeting = meeting();
        meeting.kind = MeetingKind::Personal;
        meeting.invited = vec![invitee(Some("boris"), Some("Boris@a.org"), MeetingRole::Host)];
        assert_eq!(
            meeting.keys(),
            [
                Key::unique("alias", "board"),
                Key::unique("number", "123456789"),
                Key::shared("owner", "anna"),
                Key::unique("personal", "anna"),
                Key::shared("invited", "boris"),
                Key::shared("invited", "boris@a.org"),
            ]
        );
        assert!(meeting.search_text().contains("123456789"));
        assert_eq!(meeting.title(), "Совет директоров");
    }

    #[test]
    fn a_meeting_reads_back_and_an_older_one_is_read_too() {
        let mut whole = meeting();
        whole.kind = MeetingKind::Scheduled;
        whole.schedule = Some(schedule());
        whole.guest_pin = Some(PinHash::new("$argon2id$x"));
        whole.invited = vec![invitee(None, Some("c@a.org"), MeetingRole::Presenter)];
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Meeting>(&text).unwrap(), whole);
        assert_eq!(brief(&whole.problems()), [""; 0]);
        let old =
            r#"{"alias":"board","number":"123456789","name":"Совет директоров","owner":"anna"}"#;
        assert_eq!(serde_json::from_str::<Meeting>(old).unwrap(), meeting());
        assert!(!format!("{whole:?}").contains("argon"));
    }

    #[test]
    fn a_template_gives_settings_and_nothing_that_tells_meetings_apart() {
        let mut template: Template = serde_json::from_str(r#"{"name":"town hall"}"#).unwrap();
        template.settings.lobby = true;
        let made = Meeting::from_template(identification(), RecordId::new("t"), &template);
        assert_eq!(made.template, Some(RecordId::new("t")));
        assert!(made.settings.lobby);
        assert_eq!(
            (made.guest_pin, made.schedule, made.name.as_str()),
            (None, None, "Совет директоров")
        );
    }

    #[test]
    fn all_that_is_wrong_with_a_meeting_is_told_at_once() {
        assert_eq!(brief(&meeting().problems()), [""; 0]);
        let mut bad = meeting();
        bad.alias = MeetingId::parse("12-34-56").unwrap();
        bad.name = String::new();
        bad.description = "x".repeat(4001);
        bad.owner = RecordId::new("");
        bad.kind = MeetingKind::Scheduled;
        bad.schedule = Some(Schedule { minutes: 0, ..schedule() });
        bad.host_pin = Some(PinHash::new("1234"));
        bad.invited = vec![
            invitee(None, None, MeetingRole::Host),
            invitee(Some(""), Some("a b"), MeetingRole::Host),
            invitee(Some("b"), Some("B@a.org"), MeetingRole::Host),
            invitee(None, Some("b@a.org"), MeetingRole::Host),
        ];
        bad.settings.limits.participants = 0;
        assert_eq!(
            brief(&bad.problems()),
            [
                "alias format",
                "name required",
                "description too_long",
                "owner required",
                "schedule.minutes range",
                "host_pin format",
                "invited[0] required",
                "invited[1].email format",
                "invited duplicate",
                "settings.limits.participants range",
            ]
        );
    }

    #[test]
    fn kind_and_schedule_fit_together() {
        for (kind, schedule, at_end, told) in [
            (MeetingKind::Permanent, None, false, vec![]),
            (MeetingKind::Scheduled, Some(schedule()), true, vec![]),
            (MeetingKind::Scheduled, None, false, vec!["schedule required"]),
            (MeetingKind::Personal, Some(schedule()), false, vec!["schedule conflict"]),
            (
                MeetingKind::Permanent,
                None,
                true,
                vec!["settings.automatic_end.at_schedule_end conflict"],
            ),
        ] {
            let mut meeting = Meeting { kind, schedule, ..meeting() };
            meeting.settings.automatic_end.at_schedule_end = at_end;
            assert_eq!(brief(&meeting.problems()), told, "{kind:?} {at_end}");
        }
    }

    #[test]
    fn who_may_join_depends_on_the_account_and_the_invitation() {
        let mut meeting = meeting();
        meeting.invited = vec![
            invitee(Some("boris"), None, MeetingRole::Presenter),
            invitee(None, Some("Clara@a.org"), MeetingRole::Host),
        ];
        let (anna, boris, other) =
            (RecordId::new("anna"), RecordId::new("boris"), RecordId::new("o"));
        assert_eq!(meeting.role_of(&anna, None), Some(MeetingRole::Host));
        assert_eq!(meeting.role_of(&boris, None), Some(MeetingRole::Presenter));
        assert_eq!(meeting.role_of(&other, Some("clara@A.org")), Some(MeetingRole::Host));
        assert_eq!(meeting.role_of(&other, Some("d@a.org")), None);
        for (who, guest, user, invited) in [
            (WhoMayJoin::EverybodyWithLink, true, true, true),
            (WhoMayJoin::Users, false, true, true),
            (WhoMayJoin::Invited, false, false, true),
        ] {
            meeting.settings.who_may_join = who;
            assert_eq!(meeting.lets_in(None), guest, "{who:?}");
            assert_eq!(meeting.lets_in(Some((&other, None))), user, "{who:?}");
            assert_eq!(meeting.lets_in(Some((&boris, None))), invited, "{who:?}");
            assert!(meeting.lets_in(Some((&anna, None))));
        }
    }
}
