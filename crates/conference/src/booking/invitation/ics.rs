//! The entry for calendars: iCalendar (RFC 5545) with the methods of iTIP (RFC 5546).

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thiserror::Error;
use types::Timestamp;

use super::lines::{Lines, encoded, one_line, quoted};
use super::{Party, zone};
use crate::booking::email::is_email;
use crate::booking::schedule::{Timetable, local_of};

/// What the calendar is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Take the meeting in, or change it. Without anybody invited it is an entry to be published.
    Request,
    /// Take it out: the meeting does not take place.
    Cancel,
}

/// A meeting for calendars.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// The same for every version of the meeting: [`super::uid`].
    pub uid: &'a str,
    /// The version of the meeting's record: a calendar keeps the highest.
    pub version: u64,
    /// When this is written.
    pub now: Timestamp,
    /// The meeting's name.
    pub name: &'a str,
    /// What stands below it: [`super::text::plain`].
    pub text: &'a str,
    /// Where people join.
    pub link: &'a str,
    /// Who invites.
    pub organizer: &'a Party,
    /// Who is invited; those without a right e-mail address are left out.
    pub attendees: &'a [Party],
    /// When it takes place.
    pub timetable: &'a Timetable,
}

/// Why there is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IcsError {
    /// RFC 5546 section 3.2 wants an organizer with an address.
    #[error("who invites has no e-mail address")]
    Organizer,
}

/// The media type of [`calendar`]'s text, for a mail's part or an answer.
pub fn content_type(method: Method) -> &'static str {
    match method {
        Method::Request => "text/calendar; charset=utf-8; method=REQUEST",
        Method::Cancel => "text/calendar; charset=utf-8; method=CANCEL",
    }
}

/// The calendar that holds the meeting alone.
///
/// # Errors
/// [`IcsError`].
pub fn calendar(event: &Event<'_>, method: Method) -> Result<String, IcsError> {
    if !is_email(&event.organizer.email) {
        return Err(IcsError::Organizer);
    }
    let attendees: Vec<&Party> = event.attendees.iter().filter(|it| is_email(&it.email)).collect();
    let mut lines = Lines::default();
    lines.plain("BEGIN", "VCALENDAR");
    lines.plain("VERSION", "2.0");
    lines.plain("PRODID", "-//Plenum//Plenum//EN");
    lines.plain("CALSCALE", "GREGORIAN");
    let word = match method {
        Method::Cancel => "CANCEL",
        // RFC 5546 section 3.2.2: a request goes to somebody.
        Method::Request if attendees.is_empty() => "PUBLISH",
        Method::Request => "REQUEST",
    };
    lines.plain("METHOD", word);
    if !is_utc(event.timetable) {
        zone::write(event.timetable, &mut lines);
    }
    lines.plain("BEGIN", "VEVENT");
    lines.text("UID", event.uid);
    lines.plain("DTSTAMP", &utc(event.now));
    // Section 3.8.7.4: an integer, whose most is 2^31-1 (section 3.3.8).
    let sequence = event.version.saturating_sub(1).min(i32::MAX as u64);
    lines.plain("SEQUENCE", &sequence.to_string());
    times(event.timetable, &mut lines);
    lines.text("SUMMARY", &one_line(event.name));
    lines.text("DESCRIPTION", event.text);
    lines.text("LOCATION", &encoded(event.link));
    lines.uri("URL", event.link);
    lines.uri("CONFERENCE;VALUE=URI;FEATURE=AUDIO,VIDEO,SCREEN", event.link);
    let Party { name, email } = event.organizer;
    lines.plain(&format!("ORGANIZER{}", named(name, email)), &format!("mailto:{email}"));
    for Party { name, email } in attendees {
        let kind = "CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE";
        let property = format!("ATTENDEE;{kind}{}", named(name, email));
        lines.plain(&property, &format!("mailto:{email}"));
    }
    let status = if method == Method::Cancel { "CANCELLED" } else { "CONFIRMED" };
    lines.plain("STATUS", status);
    lines.plain("TRANSP", "OPAQUE");
    lines.plain("END", "VEVENT");
    lines.plain("END", "VCALENDAR");
    Ok(lines.finish())
}

fn named(name: &str, email: &str) -> String {
    let name = if name.trim().is_empty() { email } else { name };
    format!(";CN={}", quoted(name))
}

/// DTSTART, DTEND, RRULE and EXDATE.
fn times(timetable: &Timetable, lines: &mut Lines) {
    let start = timetable.local_start();
    let end = timetable.first().map_or(start, |it| local_of(it.end, timetable.zone()));
    let property = |name: &str| match is_utc(timetable) {
        true => name.to_owned(),
        false => format!("{name};TZID={}", timetable.zone_name()),
    };
    let written = |time: DateTime| {
        let utc = if is_utc(timetable) { "Z" } else { "" };
        format!("{}{utc}", time.strftime("%Y%m%dT%H%M%S"))
    };
    lines.plain(&property("DTSTART"), &written(start));
    lines.plain(&property("DTEND"), &written(end));
    if let Some(rule) = timetable.rule() {
        lines.plain("RRULE", &rule.for_calendars(timetable.zone()));
        // One line each: long lists of them are where readers differ.
        for exdate in timetable.exdates() {
            lines.plain(&property("EXDATE"), &written(exdate));
        }
    }
}

fn is_utc(timetable: &Timetable) -> bool {
    matches!(timetable.zone_name(), "UTC" | "Etc/UTC")
}

fn utc(time: Timestamp) -> String {
    local_of(time, &TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use types::RecordId;

    use super::super::uid;
    use super::*;
    use crate::booking::Schedule;

    fn timetable(zone: &str, rrule: Option<&str>) -> Timetable {
        let schedule = Schedule {
            start: "2026-03-16T09:00".into(),
            minutes: 90,
            time_zone: zone.into(),
            rrule: rrule.map(str::to_owned),
            exdates: vec!["2026-03-23T09:00".into()],
        };
        schedule.timetable().unwrap()
    }

    fn anna() -> Party {
        Party { name: "Анна".into(), email: "anna@example.org".into() }
    }

    fn unfolded(event: &Event<'_>, method: Method) -> Vec<String> {
        let text = calendar(event, method).unwrap();
        assert!(text.split("\r\n").all(|line| line.len() <= 75 && !line.contains(['\r', '\n'])));
        text.replace("\r\n ", "").split_terminator("\r\n").map(str::to_owned).collect()
    }

    fn event<'a>(
        timetable: &'a Timetable,
        organizer: &'a Party,
        attendees: &'a [Party],
    ) -> Event<'a> {
        Event {
            uid: "0190-1@plenum.example.org",
            version: 3,
            now: Timestamp(1_770_000_000_000),
            name: "Совет",
            text: "a\nb",
            link: "https://plenum.example.org/совет",
            organizer,
            attendees,
            timetable,
        }
    }

    #[test]
    fn a_request_holds_all_that_calendars_ask_for() {
        let (weekly, anna) =
            (timetable("Europe/Berlin", Some("FREQ=WEEKLY;UNTIL=20260501")), anna());
        let boris = [Party { name: String::new(), email: "boris@example.org".into() }];
        let lines = unfolded(&event(&weekly, &anna, &boris), Method::Request);
        for line in [
            "METHOD:REQUEST",
            "BEGIN:VTIMEZONE",
            "UID:0190-1@plenum.example.org",
            "DTSTAMP:20260202T024000Z",
            "SEQUENCE:2",
            "DTSTART;TZID=Europe/Berlin:20260316T090000",
            "DTEND;TZID=Europe/Berlin:20260316T103000",
            "RRULE:FREQ=WEEKLY;UNTIL=20260501T215959Z",
            "EXDATE;TZID=Europe/Berlin:20260323T090000",
            "SUMMARY:Совет",
            "DESCRIPTION:a\\nb",
            "URL:https://plenum.example.org/%D1%81%D0%BE%D0%B2%D0%B5%D1%82",
            "ORGANIZER;CN=\"Анна\":mailto:anna@example.org",
            "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;\
             CN=\"boris@example.org\":mailto:boris@example.org",
            "STATUS:CONFIRMED",
        ] {
            assert!(lines.iter().any(|it| it == line), "{line}: {lines:#?}");
        }
        let cancelled = unfolded(&event(&weekly, &anna, &boris), Method::Cancel);
        assert!(cancelled.contains(&"METHOD:CANCEL".into()));
        assert!(cancelled.contains(&"STATUS:CANCELLED".into()));
    }

    #[test]
    fn an_entry_in_utc_needs_no_time_zone() {
        let (once, anna) = (timetable("utc", None), anna());
        let lines = unfolded(&event(&once, &anna, &[]), Method::Request);
        assert!(lines.contains(&"DTSTART:20260316T090000Z".into()), "{lines:#?}");
        assert!(lines.contains(&"METHOD:PUBLISH".into()));
        assert!(!lines.iter().any(|it| it.contains("TZID") || it.starts_with("EXDATE")));
    }

    #[test]
    fn whoever_has_no_address_organizes_nothing_and_is_not_invited() {
        let (once, anna) = (timetable("UTC", None), anna());
        let nobody = Party { name: "x".into(), email: "x\r\nATTACH:y".into() };
        let result = calendar(&event(&once, &nobody, &[]), Method::Request);
        assert_eq!(result, Err(IcsError::Organizer));
        let lines = unfolded(&event(&once, &anna, &[nobody]), Method::Request);
        assert!(!lines.iter().any(|it| it.contains("ATTACH") || it.contains("ATTENDEE")));
    }

    #[test]
    fn no_name_becomes_a_property() {
        let weekly = timetable("Europe/Berlin", Some("FREQ=WEEKLY"));
        let plain = unfolded(&event(&weekly, &anna(), &[anna()]), Method::Request);
        for evil in [
            "x\r\nATTACH:https://evil.example/",
            "x\nEND:VEVENT\nBEGIN:VEVENT",
            "x\rATTACH:y",
            "x\u{2028}ATTACH:y",
            "x\u{85}ATTACH:y",
            "x\";ROLE=CHAIR;X=\"y",
            "x:mailto:evil@example.org",
            "x\\nATTACH:y",
            "x\u{0}\u{b}\u{c}ATTACH:y",
            "x\r\n ATTACH:y",
        ] {
            let party = Party { name: evil.into(), email: "a@example.org".into() };
            let attendees = [party.clone()];
            let uid = uid(&RecordId::new(evil), evil);
            let event = Event {
                uid: &uid,
                name: evil,
                text: evil,
                link: evil,
                ..event(&weekly, &party, &attendees)
            };
            let lines = unfolded(&event, Method::Request);
            let names = |lines: &[String]| -> Vec<String> {
                lines.iter().map(|it| it.split([':', ';']).next().unwrap().to_owned()).collect()
            };
            assert_eq!(names(&lines), names(&plain), "{evil:?}");
            let organizer = lines.iter().find(|it| it.starts_with("ORGANIZER")).unwrap();
            let value = organizer.strip_prefix("ORGANIZER;CN=\"").unwrap();
            let value = value.strip_suffix("\":mailto:a@example.org").unwrap();
            assert!(!value.contains('"'), "{organizer}");
        }
    }

    #[test]
    fn an_identifier_is_the_same_for_every_version() {
        assert_eq!(
            uid(&RecordId::new("0190-ab"), "plenum.example.org"),
            "0190-ab@plenum.example.org"
        );
    }
}
