//! VTIMEZONE (RFC 5545 section 3.6.5). Outlook goes by it and not by the name of a time zone; the
//! others know the name.

use jiff::Timestamp;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};

use super::lines::Lines;
use crate::booking::schedule::{Timetable, place_in_month, weekday_word};

/// For how long a meeting without end gets the changes of its clock, where they follow no rule. A
/// calendar that is still used then has got newer invitations.
const YEARS: i64 = 10;
/// The most changes that are looked at: two a year, and some that governments think of.
const CHANGES: usize = 40;

/// A change of the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    /// By the clock before it.
    local: DateTime,
    from: Offset,
    to: Offset,
    daylight: bool,
    name: String,
}

/// Writes the time zone of a meeting; nothing for UTC, whose times need none.
pub(super) fn write(timetable: &Timetable, lines: &mut Lines) {
    let Some(first) = timetable.first() else { return };
    let zone = timetable.zone();
    let start = Timestamp::from_millisecond(first.start.0).unwrap_or_default();
    let until = match timetable.rule() {
        Some(_) => start.as_second().saturating_add(YEARS * 366 * 86_400),
        None => first.end.0 / 1000,
    };
    lines.plain("BEGIN", "VTIMEZONE");
    lines.plain("TZID", timetable.zone_name());
    let changes = changes(zone, start, until);
    if changes.is_empty() {
        let offset = zone.to_offset(start);
        let always = Change {
            local: DateTime::constant(1970, 1, 1, 0, 0, 0, 0),
            from: offset,
            to: offset,
            daylight: false,
            name: zone.to_offset_info(start).abbreviation().to_owned(),
        };
        observance(&always, None, lines);
    }
    for group in groups(changes) {
        match (rule_of(&group), group.first()) {
            (Some(rule), Some(first)) => observance(first, Some(&rule), lines),
            _ => group.iter().for_each(|change| observance(change, None, lines)),
        }
    }
    lines.plain("END", "VTIMEZONE");
}

/// The last change at or before `start`, and those until `until`, a Unix time.
fn changes(zone: &TimeZone, start: Timestamp, until: i64) -> Vec<Change> {
    let second = jiff::SignedDuration::from_secs(1);
    let just_after = start.saturating_add(second).unwrap_or(start);
    let before = zone.preceding(just_after).take(1);
    let after = zone.following(start).take_while(|it| it.timestamp().as_second() < until);
    let described = before.chain(after.take(CHANGES)).map(|it| {
        let at = it.timestamp();
        let from = zone.to_offset(at.saturating_sub(second).unwrap_or(at));
        Change {
            local: from.to_datetime(at),
            from,
            to: it.offset(),
            daylight: it.dst().is_dst(),
            name: it.abbreviation().to_owned(),
        }
    });
    described.collect()
}

/// Puts those together that happen at the same time of the year.
fn groups(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let key = |it: &Change| {
        let weekday = it.local.weekday();
        (it.from, it.to, it.daylight, it.local.month(), weekday, it.local.time())
    };
    let mut groups: Vec<Vec<Change>> = Vec::new();
    for change in changes {
        let known = groups.iter_mut().find(|it| it.first().is_some_and(|a| key(a) == key(&change)));
        match known {
            Some(group) => group.push(change),
            None => groups.push(vec![change]),
        }
    }
    groups
}

/// The rule that three or more changes in consecutive years follow: the n-th weekday of a month, or
/// the last one.
fn rule_of(group: &[Change]) -> Option<String> {
    let years = group.iter().zip(group.iter().skip(1));
    let consecutive = years.into_iter().all(|(a, b)| b.local.year() - a.local.year() == 1);
    if group.len() < 3 || !consecutive {
        return None;
    }
    let places: Vec<(Weekday, i8, bool)> =
        group.iter().map(|it| place_in_month(it.local.date())).collect();
    let (weekday, nth, _) = *places.first()?;
    let nth = if places.iter().all(|(_, _, last)| *last) {
        -1
    } else if places.iter().all(|(_, it, _)| *it == nth) {
        nth
    } else {
        return None;
    };
    let month = group.first()?.local.month();
    Some(format!("FREQ=YEARLY;BYMONTH={month};BYDAY={nth}{}", weekday_word(weekday)))
}

fn observance(change: &Change, rule: Option<&str>, lines: &mut Lines) {
    let component = if change.daylight { "DAYLIGHT" } else { "STANDARD" };
    lines.plain("BEGIN", component);
    lines.plain("DTSTART", &change.local.strftime("%Y%m%dT%H%M%S").to_string());
    lines.plain("TZOFFSETFROM", &written(change.from));
    lines.plain("TZOFFSETTO", &written(change.to));
    if let Some(rule) = rule {
        lines.plain("RRULE", rule);
    }
    lines.text("TZNAME", &change.name);
    lines.plain("END", component);
}

/// `+0200`, or with seconds where old local times had them.
fn written(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match rest {
        0 => format!("{sign}{hours:02}{minutes:02}"),
        rest => format!("{sign}{hours:02}{minutes:02}{rest:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::booking::Schedule;

    fn zone(name: &str, rrule: Option<&str>) -> String {
        let schedule = Schedule {
            start: "2026-03-16T09:00".into(),
            minutes: 60,
            time_zone: name.into(),
            rrule: rrule.map(str::to_owned),
            exdates: vec![],
        };
        let mut lines = Lines::default();
        write(&schedule.timetable().unwrap(), &mut lines);
        lines.finish().replace("\r\n", "\n")
    }

    #[test]
    fn changes_of_a_rule_are_one_and_others_stand_by_themselves() {
        assert_eq!(
            zone("Europe/Berlin", Some("FREQ=WEEKLY")),
            "BEGIN:VTIMEZONE\nTZID:Europe/Berlin\n\
             BEGIN:STANDARD\nDTSTART:20251026T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\n\
             RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\nTZNAME:CET\nEND:STANDARD\n\
             BEGIN:DAYLIGHT\nDTSTART:20260329T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\n\
             RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\nTZNAME:CEST\nEND:DAYLIGHT\n\
             END:VTIMEZONE\n"
        );
        let chicago = zone("America/Chicago", Some("FREQ=WEEKLY"));
        assert!(
            chicago.contains("BYMONTH=3;BYDAY=2SU") && chicago.contains("BYMONTH=11;BYDAY=1SU")
        );
        // The Friday before the last Sunday is no n-th Friday.
        let jerusalem = zone("Asia/Jerusalem", Some("FREQ=WEEKLY"));
        assert!(jerusalem.matches("BEGIN:DAYLIGHT").count() >= 10, "{jerusalem}");
        assert!(jerusalem.contains("BYMONTH=10;BYDAY=-1SU"), "{jerusalem}");
    }

    #[test]
    fn a_zone_without_changes_has_one_observance() {
        for (name, offset) in
            [("Europe/Moscow", "+0300"), ("Asia/Kolkata", "+0530"), ("Etc/GMT+5", "-0500")]
        {
            let text = zone(name, Some("FREQ=DAILY"));
            assert_eq!(text.matches("BEGIN:STANDARD").count(), 1, "{text}");
            assert!(!text.contains("DAYLIGHT") && !text.contains("RRULE"), "{text}");
            assert!(text.contains(&format!("TZOFFSETTO:{offset}\n")), "{text}");
        }
        let once = zone("Europe/Berlin", None);
        assert_eq!(once.matches("BEGIN:").count(), 2, "{once}");
    }

    #[test]
    fn offsets_are_written_with_their_sign() {
        for (seconds, text) in
            [(0, "+0000"), (-12_600, "-0330"), (20_700, "+0545"), (9_017, "+023017")]
        {
            assert_eq!(written(Offset::from_seconds(seconds).unwrap()), text);
        }
    }
}
