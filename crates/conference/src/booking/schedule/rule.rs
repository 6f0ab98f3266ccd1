//! Recurrence rules (RFC 5545 section 3.3.10), as far as meetings need them.
//!
//! Daily and rarer, and no part that names hours, minutes, seconds or numbers of weeks: the start of
//! the meeting tells the time, and weeks are counted differently from house to house.

use std::fmt;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use thiserror::Error;

/// How often a period comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
    /// Every year.
    Yearly,
}

/// Until when a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// For ever.
    Never,
    /// For so many occurrences, the first included.
    Count(u32),
    /// Up to this day, included.
    Date(Date),
    /// Up to this instant, included.
    Instant(jiff::Timestamp),
    /// Up to this local time, included.
    Local(DateTime),
}

/// One entry of BYDAY: a weekday, or the n-th of a month or year (below zero: from its end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ByDay {
    pub(super) ordinal: Option<i8>,
    pub(super) weekday: Weekday,
}

/// A recurrence rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub(super) frequency: Frequency,
    pub(super) interval: u32,
    pub(super) end: End,
    pub(super) months: Vec<i8>,
    pub(super) month_days: Vec<i8>,
    pub(super) year_days: Vec<i16>,
    pub(super) weekdays: Vec<ByDay>,
    pub(super) positions: Vec<i16>,
    pub(super) week_start: Weekday,
}

/// Why a text is no rule for a meeting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// More than 500 bytes.
    #[error("a recurrence rule has at most {max} characters", max = Rule::MAX_BYTES)]
    TooLong,
    /// A part is not `NAME=value`, or stands twice.
    #[error("write a recurrence rule as FREQ=WEEKLY;BYDAY=MO,WE: parts NAME=value, each once")]
    Syntax,
    /// FREQ is missing or too often.
    #[error("FREQ is DAILY, WEEKLY, MONTHLY or YEARLY")]
    Frequency,
    /// A part that is not known.
    #[error(
        "the parts of a recurrence rule are FREQ, INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY, \
         BYYEARDAY, BYDAY, BYSETPOS and WKST; the meeting's start tells the time of day"
    )]
    Part,
    /// A part's value is out of its range.
    #[error("{part} allows {allowed}")]
    Value {
        /// Which part.
        part: &'static str,
        /// What it allows.
        allowed: &'static str,
    },
    /// Both COUNT and UNTIL.
    #[error("give COUNT or UNTIL, not both")]
    TwoEnds,
    /// A part that makes no sense with the others.
    #[error("{part} goes together with {with} only")]
    Together {
        /// Which part.
        part: &'static str,
        /// With what it goes.
        with: &'static str,
    },
}

impl Rule {
    /// Bytes of a rule's text.
    pub const MAX_BYTES: usize = 500;
    /// Occurrences that COUNT may name: five years of working days. A rule for longer names UNTIL or
    /// no end, whose occurrences are found without counting all before them.
    pub const MAX_COUNT: u32 = 1_300;
    /// The largest INTERVAL.
    pub const MAX_INTERVAL: u32 = 1_000;

    /// Reads the value of an RRULE property; `RRULE:` may stand before it.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        if text.len() > Self::MAX_BYTES {
            return Err(RuleError::TooLong);
        }
        let text = text.trim().to_ascii_uppercase();
        let mut parts: Vec<(&str, &str)> = Vec::new();
        for part in text.strip_prefix("RRULE:").unwrap_or(&text).split(';') {
            let (name, value) = part.split_once('=').ok_or(RuleError::Syntax)?;
            if value.is_empty() || parts.iter().any(|(known, _)| *known == name) {
                return Err(RuleError::Syntax);
            }
            parts.push((name, value));
        }
        let frequency = parts.iter().find(|(name, _)| *name == "FREQ").map(|(_, value)| *value);
        let mut rule = Self::every(frequency.and_then(read_frequency).ok_or(RuleError::Frequency)?);
        for (name, value) in parts {
            rule.set(name, value)?;
        }
        rule.coherent()?;
        Ok(rule)
    }

    fn every(frequency: Frequency) -> Self {
        Self {
            frequency,
            interval: 1,
            end: End::Never,
            months: Vec::new(),
            month_days: Vec::new(),
            year_days: Vec::new(),
            weekdays: Vec::new(),
            positions: Vec::new(),
            week_start: Weekday::Monday,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), RuleError> {
        match name {
            "FREQ" => {}
            "INTERVAL" => {
                self.interval = count("INTERVAL", value, Self::MAX_INTERVAL, "1 to 1000")?
            }
            "COUNT" => {
                let count = count("COUNT", value, Self::MAX_COUNT, "1 to 1300")?;
                self.end_with(End::Count(count))?;
            }
            "UNTIL" => {
                let allowed = "a day 20261231 or a time 20261231T235959Z";
                let end = read_until(value).ok_or(RuleError::Value { part: "UNTIL", allowed })?;
                self.end_with(end)?;
            }
            "BYMONTH" => self.months = numbers("BYMONTH", value, (1, 12), "1 to 12")?,
            "BYMONTHDAY" => {
                self.month_days = numbers("BYMONTHDAY", value, (-31, 31), "1 to 31 and -31 to -1")?;
            }
            "BYYEARDAY" => {
                let allowed = "1 to 366 and -366 to -1";
                self.year_days = numbers("BYYEARDAY", value, (-366, 366), allowed)?;
            }
            "BYSETPOS" => {
                let allowed = "1 to 366 and -366 to -1";
                self.positions = numbers("BYSETPOS", value, (-366, 366), allowed)?;
            }
            "BYDAY" => {
                let days = value.split(',').map(read_by_day).collect::<Option<Vec<_>>>();
                let allowed = "MO, TU, WE, TH, FR, SA, SU, and 1MO to 53MO or -1MO to -53MO";
                self.weekdays = distinct(days.ok_or(RuleError::Value { part: "BYDAY", allowed })?);
            }
            "WKST" => {
                let allowed = "MO, TU, WE, TH, FR, SA, SU";
                self.week_start =
                    read_weekday(value).ok_or(RuleError::Value { part: "WKST", allowed })?;
            }
            _ => return Err(RuleError::Part),
        }
        Ok(())
    }

    fn end_with(&mut self, end: End) -> Result<(), RuleError> {
        if self.end != End::Never {
            return Err(RuleError::TwoEnds);
        }
        self.end = end;
        Ok(())
    }

    /// The table of RFC 5545 section 3.3.10, and the sentences around it.
    fn coherent(&self) -> Result<(), RuleError> {
        let together = |part, with| Err(RuleError::Together { part, with });
        let rare = matches!(self.frequency, Frequency::Monthly | Frequency::Yearly);
        if !self.month_days.is_empty() && self.frequency == Frequency::Weekly {
            return together("BYMONTHDAY", "FREQ=DAILY, MONTHLY and YEARLY");
        }
        if !self.year_days.is_empty() && self.frequency != Frequency::Yearly {
            return together("BYYEARDAY", "FREQ=YEARLY");
        }
        if self.weekdays.iter().any(|it| it.ordinal.is_some()) && !rare {
            return together("a number in BYDAY", "FREQ=MONTHLY and YEARLY");
        }
        let bare = self.months.is_empty()
            && self.month_days.is_empty()
            && self.year_days.is_empty()
            && self.weekdays.is_empty();
        if !self.positions.is_empty() && bare {
            return together("BYSETPOS", "another BY… part");
        }
        Ok(())
    }

    /// How often it comes.
    pub fn frequency(&self) -> Frequency {
        self.frequency
    }

    /// Every how many of these periods; at least 1.
    pub fn interval(&self) -> u32 {
        self.interval
    }

    /// The value of an RRULE property for events that start in `zone`: UNTIL is in UTC, as section
    /// 3.3.10 asks where the start has a time zone.
    pub fn for_calendars(&self, zone: &TimeZone) -> String {
        let mut text = format!("FREQ={}", frequency_word(self.frequency));
        let mut part = |name: &str, values: String| {
            if !values.is_empty() {
                text.extend([";", name, "=", values.as_str()]);
            }
        };
        if self.interval > 1 {
            part("INTERVAL", self.interval.to_string());
        }
        match self.end {
            End::Never => {}
            End::Count(count) => part("COUNT", count.to_string()),
            end => part("UNTIL", until_in_utc(end, zone).unwrap_or_default()),
        }
        part("BYMONTH", join(&self.months));
        part("BYMONTHDAY", join(&self.month_days));
        part("BYYEARDAY", join(&self.year_days));
        part("BYDAY", join(&self.weekdays));
        part("BYSETPOS", join(&self.positions));
        if self.week_start != Weekday::Monday {
            part("WKST", weekday_word(self.week_start).to_owned());
        }
        text
    }
}

fn join(values: &[impl fmt::Display]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for ByDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ordinal) = self.ordinal {
            write!(f, "{ordinal}")?;
        }
        f.write_str(weekday_word(self.weekday))
    }
}

fn until_in_utc(end: End, zone: &TimeZone) -> Option<String> {
    let local = match end {
        End::Never | End::Count(_) => return None,
        End::Instant(instant) => return Some(instant.strftime("%Y%m%dT%H%M%SZ").to_string()),
        End::Date(date) => date.at(23, 59, 59, 0),
        End::Local(local) => local,
    };
    let instant = zone.to_ambiguous_timestamp(local).later().ok()?;
    Some(instant.strftime("%Y%m%dT%H%M%SZ").to_string())
}

fn read_frequency(word: &str) -> Option<Frequency> {
    Some(match word {
        "DAILY" => Frequency::Daily,
        "WEEKLY" => Frequency::Weekly,
        "MONTHLY" => Frequency::Monthly,
        "YEARLY" => Frequency::Yearly,
        _ => return None,
    })
}

const fn frequency_word(frequency: Frequency) -> &'static str {
    match frequency {
        Frequency::Daily => "DAILY",
        Frequency::Weekly => "WEEKLY",
        Frequency::Monthly => "MONTHLY",
        Frequency::Yearly => "YEARLY",
    }
}

fn read_weekday(word: &str) -> Option<Weekday> {
    Some(match word {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    })
}

/// RFC 5545's two letters of a weekday.
pub(crate) const fn weekday_word(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Monday => "MO",
        Weekday::Tuesday => "TU",
        Weekday::Wednesday => "WE",
        Weekday::Thursday => "TH",
        Weekday::Friday => "FR",
        Weekday::Saturday => "SA",
        Weekday::Sunday => "SU",
    }
}

fn read_by_day(text: &str) -> Option<ByDay> {
    let at = text.len().checked_sub(2)?;
    let (number, word) = text.split_at_checked(at)?;
    let weekday = read_weekday(word)?;
    if number.is_empty() {
        return Some(ByDay { ordinal: None, weekday });
    }
    let ordinal = number.parse::<i8>().ok()?;
    let fits = ordinal != 0 && (-53..=53).contains(&ordinal);
    fits.then_some(ByDay { ordinal: Some(ordinal), weekday })
}

/// `19970714`, `19970714T133000Z` or, without regard to what the RFC asks of a start with a time
/// zone, `19970714T133000`, which is then a local time.
fn read_until(text: &str) -> Option<End> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let date = Date::new(digits(date, 0, 4, 8)?, digits(date, 4, 6, 8)?, digits(date, 6, 8, 8)?);
    let date = date.ok()?;
    let Some(time) = time else { return Some(End::Date(date)) };
    let (time, utc) = match time.strip_suffix('Z') {
        Some(time) => (time, true),
        None => (time, false),
    };
    let (hour, minute) = (digits(time, 0, 2, 6)?, digits(time, 2, 4, 6)?);
    // A leap second (60) counts as the second before it.
    let second = digits::<i8>(time, 4, 6, 6)?.min(59);
    let time = jiff::civil::Time::new(hour, minute, second, 0).ok()?;
    let local = DateTime::from_parts(date, time);
    if !utc {
        return Some(End::Local(local));
    }
    Some(End::Instant(TimeZone::UTC.to_timestamp(local).ok()?))
}

/// The number that stands at `from..to` of a text of digits of this length.
fn digits<T: std::str::FromStr>(text: &str, from: usize, to: usize, len: usize) -> Option<T> {
    let right = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| text.get(from..to)?.parse().ok())?
}

fn count(
    part: &'static str,
    text: &str,
    most: u32,
    allowed: &'static str,
) -> Result<u32, RuleError> {
    let number = text.parse::<u32>().ok().filter(|it| (1..=most).contains(it));
    number.ok_or(RuleError::Value { part, allowed })
}

/// A list of numbers from `least` to `most` but for zero, each once.
fn numbers<T: TryFrom<i32> + PartialEq>(
    part: &'static str,
    text: &str,
    (least, most): (i32, i32),
    allowed: &'static str,
) -> Result<Vec<T>, RuleError> {
    let read = |text: &str| {
        let number = text.parse::<i32>().ok()?;
        let fits = number != 0 && (least..=most).contains(&number);
        if fits { T::try_from(number).ok() } else { None }
    };
    let numbers = text.split(',').map(read).collect::<Option<Vec<_>>>();
    Ok(distinct(numbers.ok_or(RuleError::Value { part, allowed })?))
}

/// In the order given, without what stands twice. The text's bound keeps the lists short.
fn distinct<T: PartialEq>(values: Vec<T>) -> Vec<T> {
    let mut once = Vec::with_capacity(values.len());
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_back_as_they_are_written() {
        for text in [
            "FREQ=DAILY",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR",
            "FREQ=MONTHLY;COUNT=12;BYDAY=-1FR",
            "FREQ=MONTHLY;BYMONTHDAY=1,15,-1",
            "FREQ=YEARLY;UNTIL=20301231T235959Z;BYMONTH=3,10;BYDAY=2SU",
            "FREQ=YEARLY;BYYEARDAY=1,100,-1",
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            "FREQ=WEEKLY;BYDAY=SU;WKST=SU",
        ] {
            let rule = Rule::parse(text).unwrap();
            assert_eq!(rule.for_calendars(&TimeZone::UTC), text);
            let lower = format!("RRULE:{}", text.to_lowercase());
            assert_eq!(Rule::parse(&lower), Ok(rule), "{lower}");
        }
    }

    #[test]
    fn until_becomes_an_instant_for_calendars() {
        let zone = crate::booking::schedule::zone("Europe/Berlin").unwrap();
        for (given, written) in [
            ("20260701", "20260701T215959Z"),
            ("20261201", "20261201T225959Z"),
            ("20260701T120000", "20260701T100000Z"),
            ("20260701T120060Z", "20260701T120059Z"),
        ] {
            let rule = Rule::parse(&format!("FREQ=DAILY;UNTIL={given}")).unwrap();
            assert_eq!(rule.for_calendars(&zone), format!("FREQ=DAILY;UNTIL={written}"));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_what_is_allowed() {
        let long = format!("FREQ=DAILY;BYMONTH={}", "1,".repeat(400));
        for (text, told) in [
            ("", "NAME=value"),
            ("FREQ", "NAME=value"),
            ("FREQ=DAILY;", "NAME=value"),
            ("FREQ=DAILY;COUNT=", "NAME=value"),
            ("FREQ=DAILY;FREQ=DAILY", "each once"),
            ("COUNT=3", "FREQ is DAILY"),
            ("FREQ=SECONDLY", "FREQ is DAILY"),
            ("FREQ=HOURLY;COUNT=2", "FREQ is DAILY"),
            ("FREQ=DAILY;COUNT=1000000000", "1 to 1300"),
            ("FREQ=DAILY;COUNT=99999999999999999999", "1 to 1300"),
            ("FREQ=DAILY;COUNT=0", "1 to 1300"),
            ("FREQ=DAILY;INTERVAL=0", "1 to 1000"),
            ("FREQ=DAILY;INTERVAL=-1", "1 to 1000"),
            ("FREQ=DAILY;BYHOUR=9", "start tells the time"),
            ("FREQ=YEARLY;BYWEEKNO=20", "BYYEARDAY"),
            ("FREQ=DAILY;X-NAME=1", "BYYEARDAY"),
            ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "not both"),
            ("FREQ=DAILY;UNTIL=20260230", "20261231"),
            ("FREQ=DAILY;UNTIL=2026", "20261231"),
            ("FREQ=DAILY;UNTIL=20260101T2500Z", "20261231"),
            ("FREQ=DAILY;UNTIL=20260101T250000Z", "20261231"),
            ("FREQ=DAILY;BYMONTH=13", "1 to 12"),
            ("FREQ=DAILY;BYMONTH=-1", "1 to 12"),
            ("FREQ=MONTHLY;BYMONTHDAY=0", "1 to 31"),
            ("FREQ=MONTHLY;BYMONTHDAY=1,,2", "1 to 31"),
            ("FREQ=WEEKLY;BYMONTHDAY=1", "MONTHLY"),
            ("FREQ=MONTHLY;BYYEARDAY=1", "YEARLY"),
            ("FREQ=WEEKLY;BYDAY=1MO", "MONTHLY"),
            ("FREQ=MONTHLY;BYDAY=54MO", "1MO to 53MO"),
            ("FREQ=MONTHLY;BYDAY=0MO", "1MO to 53MO"),
            ("FREQ=MONTHLY;BYDAY=ПН", "1MO to 53MO"),
            ("FREQ=MONTHLY;BYDAY=M", "1MO to 53MO"),
            ("FREQ=MONTHLY;BYSETPOS=1", "another BY"),
            ("FREQ=DAILY\r\nATTACH:x=1", "FREQ is"),
            (&long, "500"),
        ] {
            let error = Rule::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text:?}: {error}");
        }
    }
}
