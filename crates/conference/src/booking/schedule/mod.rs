//! When a meeting takes place.
//!
//! [`Schedule`] is what is kept: texts as they were given. [`Timetable`] is what is meant, and can be
//! asked. Times are local times of a time zone, whose rules are embedded in the program: a building
//! without internet has the same as everybody else, and a machine without time zone files too.

mod days;
mod rule;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use types::Timestamp;

use days::Pattern;
pub(crate) use days::place_in_month;
use rule::End;
pub(crate) use rule::weekday_word;
pub use rule::{Frequency, Rule, RuleError};

use crate::problem::{ProblemCode, Problems};

/// When a meeting takes place, as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The local time at which the first occurrence begins, `2026-03-02T09:00` with or without
    /// seconds.
    pub start: String,
    /// The length of each occurrence.
    pub minutes: u32,
    /// The time zone by its IANA name, such as `Europe/Berlin`.
    pub time_zone: String,
    /// How it recurs: the value of an RRULE (RFC 5545). `None`: it takes place once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrule: Option<String>,
    /// Local starts of occurrences that do not take place.
    #[serde(default)]
    pub exdates: Vec<String>,
}

/// One time that a meeting takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Occurrence {
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
}

/// Some occurrences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Occurrences {
    /// The occurrences in their order.
    pub items: Vec<Occurrence>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// Whether somebody may join now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// It takes place, or is about to, or was until a moment ago.
    Open(Occurrence),
    /// Not yet: at this time.
    NotYet {
        /// When joining opens.
        opens_at: Timestamp,
        /// For which occurrence.
        next: Occurrence,
    },
    /// There is no occurrence any more.
    Over,
}

/// A schedule that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable {
    start: DateTime,
    minutes: u32,
    zone: TimeZone,
    recurrence: Option<(Rule, Pattern)>,
    exdates: BTreeSet<DateTime>,
}

/// The first and the last year in which a meeting may start.
const YEARS: (i16, i16) = (2000, 2199);

impl Schedule {
    /// The longest occurrence: a week.
    pub const MAX_MINUTES: u32 = 7 * 24 * 60;
    /// Exceptions of one schedule.
    pub const MAX_EXDATES: usize = 200;

    /// Reads it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn timetable(&self) -> Result<Timetable, Problems> {
        let mut problems = Problems::new();
        let start = local_time(&self.start);
        let form = "write a local time as 2026-03-02T09:00, in a year from 2000 to 2199";
        problems.ensure(start.is_some(), "start", ProblemCode::Format, form);
        problems.range("minutes", self.minutes, (1, Self::MAX_MINUTES), "minutes");
        let zone = zone(&self.time_zone);
        let known = "give a time zone by its IANA name, such as Europe/Berlin or UTC";
        problems.ensure(zone.is_some(), "time_zone", ProblemCode::Unknown, known);
        let recurrence = self.rrule.as_ref().and_then(|text| match Rule::parse(text) {
            Ok(rule) => {
                let pattern = Pattern::new(&rule, start?.date());
                Some((rule, pattern))
            }
            Err(error) => {
                problems.add("rrule", ProblemCode::Format, error.to_string());
                None
            }
        });
        let mut exdates = BTreeSet::new();
        if problems.count("exdates", self.exdates.len(), Self::MAX_EXDATES) {
            for (index, text) in self.exdates.iter().enumerate() {
                match local_time(text) {
                    Some(time) => drop(exdates.insert(time)),
                    None => problems.add(format!("exdates[{index}]"), ProblemCode::Format, form),
                }
            }
        }
        let (Some(start), Some(zone)) = (start, zone) else { return Err(problems) };
        let timetable = Timetable { start, minutes: self.minutes, zone, recurrence, exdates };
        timetable.check_rule(&mut problems);
        problems.into_result().map(|()| timetable)
    }
}

impl Timetable {
    /// Occurrences that are given at a time.
    pub const MAX_OCCURRENCES: usize = 1_000;

    /// Calendars disagree about a start that is none of its rule's days (RFC 5545 section 3.8.5.3
    /// leaves the set undefined), so people would meet on different days.
    fn check_rule(&self, problems: &mut Problems) {
        let Some((rule, pattern)) = &self.recurrence else { return };
        if !pattern.falls_on_its_start() {
            let text = "the start must be on a day of the rule: it is the first occurrence";
            problems.add("rrule", ProblemCode::Conflict, text);
        } else if self.instant(self.start).is_some_and(|it| !self.within(rule, self.start, it)) {
            problems.add("rrule", ProblemCode::Conflict, "UNTIL must not be before the start");
        }
    }

    /// The occurrences that overlap the time from `from` until before `until`, at most `limit` and at
    /// most [`Self::MAX_OCCURRENCES`].
    pub fn between(&self, from: Timestamp, until: Timestamp, limit: usize) -> Occurrences {
        let limit = limit.min(Self::MAX_OCCURRENCES);
        let mut found = Occurrences::default();
        let overlapping =
            self.from(from).take_while(|it| it.start < until).filter(|it| it.end > from);
        for occurrence in overlapping {
            if found.items.len() == limit {
                found.more = true;
                break;
            }
            found.items.push(occurrence);
        }
        found
    }

    /// The next occurrence that begins at `now` or later.
    pub fn next(&self, now: Timestamp) -> Option<Occurrence> {
        self.from(now).find(|it| it.start >= now)
    }

    /// The last occurrence that has begun by `now`.
    pub fn last(&self, now: Timestamp) -> Option<Occurrence> {
        let beginning = self.instant(self.start)?;
        self.from(beginning).take_while(|it| it.start <= now).last()
    }

    /// Whether joining is open: from `early` before the start until `grace` after the end.
    pub fn joining(&self, now: Timestamp, early: Duration, grace: Duration) -> Joining {
        let opens = |it: &Occurrence| it.start.before(early) <= now;
        let mut open: Option<Occurrence> = None;
        for occurrence in self.from(now.before(grace)).filter(|it| it.end.after(grace) > now) {
            if !opens(&occurrence) {
                let opens_at = occurrence.start.before(early);
                return open.map_or(Joining::NotYet { opens_at, next: occurrence }, Joining::Open);
            }
            // Of several that are open, the one that takes place now, or else the first.
            if occurrence.start <= now && now < occurrence.end {
                return Joining::Open(occurrence);
            }
            open = open.or(Some(occurrence));
        }
        open.map_or(Joining::Over, Joining::Open)
    }

    /// The first occurrence, whether or not it is an exception.
    pub fn first(&self) -> Option<Occurrence> {
        self.instant(self.start).map(|start| self.occurrence(start))
    }

    /// The local start of the first occurrence.
    pub(crate) fn local_start(&self) -> DateTime {
        self.start
    }

    /// The length of an occurrence. By the clock on the wall it may differ, when the clock is
    /// changed meanwhile.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.minutes) * 60)
    }

    /// The time zone.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The time zone's IANA name, as the database writes it.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// How it recurs.
    pub fn rule(&self) -> Option<&Rule> {
        self.recurrence.as_ref().map(|(rule, _)| rule)
    }

    /// Local starts of what does not take place.
    pub(crate) fn exdates(&self) -> impl Iterator<Item = DateTime> {
        self.exdates.iter().copied()
    }

    /// Occurrences that do take place, in order, from one on that ends before `from` or is the first.
    fn from(&self, from: Timestamp) -> impl Iterator<Item = Occurrence> {
        // A day more than the length, since the clock on the wall may be set forward meanwhile.
        let earliest = from.before(self.duration() + Duration::from_secs(86_400));
        let earliest = local_of(earliest, &self.zone).date();
        self.starts(earliest)
            .filter(|(local, _)| !self.exdates.contains(local))
            .map(|(_, start)| self.occurrence(start))
    }

    fn starts(&self, earliest: Date) -> Box<dyn Iterator<Item = (DateTime, Timestamp)> + '_> {
        let time = self.start.time();
        let with_instant = move |day: Date| {
            let local = DateTime::from_parts(day, time);
            self.instant(local).map(|instant| (local, instant))
        };
        let Some((rule, pattern)) = &self.recurrence else {
            return Box::new(std::iter::once(self.start.date()).filter_map(with_instant));
        };
        // Exceptions count too, and so does every day before: these rules are short.
        if let End::Count(count) = rule.end {
            let days = pattern.days().take(count as usize);
            return Box::new(days.filter(move |day| *day >= earliest).filter_map(with_instant));
        }
        let days = pattern.days_around(earliest).filter_map(with_instant);
        Box::new(days.take_while(|(local, instant)| self.within(rule, *local, *instant)))
    }

    fn within(&self, rule: &Rule, local: DateTime, instant: Timestamp) -> bool {
        match rule.end {
            End::Never | End::Count(_) => true,
            End::Date(last) => local.date() <= last,
            End::Local(last) => local <= last,
            End::Instant(last) => instant.0 <= last.as_millisecond(),
        }
    }

    /// A time that the clock skips counts by the offset before the change, so that a meeting at 02:30
    /// begins at 03:30 on that day; of a time that comes twice the first is meant (RFC 5545 section
    /// 3.3.5). Section 3.3.10 would drop a recurring one that is skipped; people and calendars keep
    /// it.
    fn instant(&self, local: DateTime) -> Option<Timestamp> {
        let instant = self.zone.to_ambiguous_timestamp(local).compatible().ok()?;
        Some(Timestamp(instant.as_millisecond()))
    }

    fn occurrence(&self, start: Timestamp) -> Occurrence {
        Occurrence { start, end: start.after(self.duration()) }
    }
}

/// The local time of an instant; instants beyond the calendar's ends count as these.
pub(crate) fn local_of(instant: Timestamp, zone: &TimeZone) -> DateTime {
    let beyond = if instant.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    zone.to_datetime(jiff::Timestamp::from_millisecond(instant.0).unwrap_or(beyond))
}

/// A time zone of the embedded database.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    // Longer than any name there is.
    if name.len() > 64 {
        return None;
    }
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    (!zone.is_unknown()).then_some(zone)
}

/// `2026-03-02T09:00` or `2026-03-02T09:00:00`, and none of the other forms of ISO 8601.
fn local_time(text: &str) -> Option<DateTime> {
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    };
    if !matches!(text.len(), 16 | 19) || !text.bytes().enumerate().all(shape) {
        return None;
    }
    let time = text.parse::<DateTime>().ok()?;
    (YEARS.0..=YEARS.1).contains(&time.year()).then_some(time)
}

#[cfg(test)]
mod tests;
