//! Invitations, as calendars read them: when a meeting takes place there and here, over changes of
//! the clock, and that nobody's name becomes more than a name.

use conference::booking::invitation::ics::{self, Event, Method};
use conference::booking::invitation::{Party, uid};
use conference::booking::{Schedule, Timetable};
use serde_json::{Value, json};
use tests::python::read_ics;
use types::{RecordId, Timestamp};

const LINK: &str = "https://plenum.example.org/m/совет";

fn timetable(start: &str, zone: &str, rrule: Option<&str>, exdates: &[&str]) -> Timetable {
    let schedule = Schedule {
        start: start.into(),
        minutes: 45,
        time_zone: zone.into(),
        rrule: rrule.map(str::to_owned),
        exdates: exdates.iter().map(|it| (*it).to_owned()).collect(),
    };
    schedule.timetable().unwrap_or_else(|wrong| panic!("{start} {zone} {rrule:?}: {wrong}"))
}

fn anna() -> Party {
    Party { name: "Анна".into(), email: "anna@example.org".into() }
}

fn invitation(timetable: &Timetable, name: &str, attendees: &[Party], method: Method) -> String {
    let text = format!("{name}\nПовестка; 1, 2\\3\n");
    let event = Event {
        uid: &uid(&RecordId::new("0190-7"), "plenum.example.org"),
        version: 4,
        now: Timestamp(1_767_225_600_000),
        name,
        text: &text,
        link: LINK,
        organizer: &anna(),
        attendees,
        timetable,
    };
    ics::calendar(&event, method).expect("an invitation")
}

/// Seconds since 1970 of the beginning of a year, near enough.
const fn year(year: i64) -> i64 {
    (year - 1970) * 31_556_952
}

/// What a calendar makes of an invitation in a time of these years.
fn read(ics: &str, (from, until): (i64, i64), at: &[i64]) -> Value {
    let read = read_ics(&json!({ "ics": ics, "from": year(from), "until": year(until), "at": at }));
    assert_eq!(read["errors"], json!([]), "{ics}");
    read
}

#[test]
fn a_calendar_shows_the_same_occurrences_as_the_server() {
    for (start, zone, rrule, exdates) in [
        ("2026-03-16T09:00", "Europe/Berlin", None, &[][..]),
        // Both changes of the clock, and an exception after one of them.
        ("2026-03-16T09:00", "Europe/Berlin", Some("FREQ=WEEKLY"), &["2026-03-30T09:00"]),
        ("2026-03-02T23:30", "America/New_York", Some("FREQ=WEEKLY;BYDAY=MO,FR;INTERVAL=2"), &[]),
        ("2026-03-01T08:15", "Australia/Lord_Howe", Some("FREQ=DAILY;INTERVAL=9"), &[]),
        ("2026-03-16T09:00", "Asia/Jerusalem", Some("FREQ=WEEKLY"), &[]),
        ("2026-03-16T09:00", "Europe/Moscow", Some("FREQ=DAILY;COUNT=40"), &["2026-03-17T09:00"]),
        ("2026-03-16T09:00", "UTC", Some("FREQ=WEEKLY;COUNT=5"), &["2026-03-23T09:00"]),
        ("2026-03-16T09:00", "Europe/Berlin", Some("FREQ=WEEKLY;UNTIL=20261026"), &[]),
        ("2026-03-16T09:00", "Europe/Berlin", Some("FREQ=WEEKLY;UNTIL=20261026T080000Z"), &[]),
        ("2026-03-16T09:00", "Europe/Berlin", Some("FREQ=WEEKLY;UNTIL=20261026T075959Z"), &[]),
        ("2026-01-30T18:00", "Europe/Lisbon", Some("FREQ=MONTHLY;BYDAY=-1FR"), &[]),
        ("2026-01-31T18:00", "Europe/Lisbon", Some("FREQ=MONTHLY"), &[]),
        (
            "2026-01-30T18:00",
            "Asia/Tokyo",
            Some("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"),
            &[],
        ),
        ("2026-02-13T18:00", "Asia/Kolkata", Some("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13"), &[]),
        (
            "2026-02-28T18:00",
            "America/St_Johns",
            Some("FREQ=MONTHLY;BYMONTHDAY=-1;INTERVAL=5"),
            &[],
        ),
        ("2024-02-29T18:00", "Europe/Dublin", Some("FREQ=YEARLY"), &[]),
        ("2026-03-29T18:00", "Europe/Paris", Some("FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU"), &[]),
        ("2026-01-01T18:00", "America/Sao_Paulo", Some("FREQ=YEARLY;BYYEARDAY=1,100,-1"), &[]),
        ("2026-05-18T18:00", "Africa/Johannesburg", Some("FREQ=YEARLY;BYDAY=20MO"), &[]),
        (
            "2026-08-02T10:00",
            "Europe/Berlin",
            Some("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,TU;WKST=SU"),
            &[],
        ),
    ] {
        let timetable = timetable(start, zone, rrule, exdates);
        let ics = invitation(&timetable, "Совет", &[anna()], Method::Request);
        let theirs = read(&ics, (2026, 2029), &[])["occurrences"].clone();
        let ours = occurrences(&timetable);
        assert!(!ours.is_empty());
        assert_eq!(theirs, json!(ours), "{start} {zone} {rrule:?}\n{ics}");
    }
}

/// Starts and ends from 2026 to 2028, seconds since 1970.
fn occurrences(timetable: &Timetable) -> Vec<[i64; 2]> {
    let window = (Timestamp(year(2026) * 1000), Timestamp(year(2029) * 1000));
    let found = timetable.between(window.0, window.1, 1000).items;
    found.iter().map(|it| [it.start.0 / 1000, it.end.0 / 1000]).collect()
}

#[test]
fn a_time_that_the_clock_skips_or_shows_twice_begins_alike() {
    let nightly = Some("FREQ=DAILY;COUNT=250");
    let timetable = timetable("2026-03-16T02:30", "Europe/Berlin", nightly, &[]);
    let ics = invitation(&timetable, "Совет", &[anna()], Method::Request);
    let theirs = read(&ics, (2026, 2029), &[])["occurrences"].clone();
    let theirs: Vec<i64> =
        theirs.as_array().expect("a list").iter().filter_map(|it| it[0].as_i64()).collect();
    let ours = occurrences(&timetable);
    assert_eq!(theirs, ours.iter().map(|it| it[0]).collect::<Vec<_>>());
    // How it ends in these two nights the reader gets by the clock on the wall, even before it began.
    assert!(ours.iter().all(|[start, end]| end - start == 45 * 60));
}

#[test]
fn the_time_zone_of_an_invitation_is_right_for_who_does_not_know_its_name() {
    // Every ten days over three years, at noon UTC.
    let at: Vec<i64> = (0..100).map(|it| 1_775_044_800 + it * 10 * 86_400).collect();
    for zone in [
        "Europe/Berlin",
        "Europe/Dublin",
        "America/Chicago",
        "America/St_Johns",
        "Asia/Jerusalem",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Europe/Moscow",
        "Pacific/Apia",
    ] {
        let timetable = timetable("2026-03-16T09:00", zone, Some("FREQ=WEEKLY"), &[]);
        let ics = invitation(&timetable, "Совет", &[anna()], Method::Request);
        let read = read(&ics, (2026, 2027), &at);
        assert_eq!(read["offsets"].as_array().map(Vec::len), Some(at.len()));
        assert_eq!(read["offsets"], read["known"], "{zone}\n{ics}");
    }
}

#[test]
fn calendars_read_what_was_written() {
    let weekly = timetable("2026-03-16T09:00", "Europe/Berlin", Some("FREQ=WEEKLY"), &[]);
    let boris =
        Party { name: "O'Neil, Boris; \\ 会議".into(), email: "boris@example.org".into() };
    let name = "Совет директоров, очередной; вопросы\\ответы ".repeat(5);
    let attendees = [anna(), boris.clone()];
    let ics = invitation(&weekly, name.trim(), &attendees, Method::Request);
    let read = read(&ics, (2026, 2027), &[]);
    assert_eq!(read["summary"], name.trim());
    assert_eq!(read["description"], format!("{}\nПовестка; 1, 2\\3\n", name.trim()));
    assert_eq!((&read["method"], &read["status"]), (&json!("REQUEST"), &json!("CONFIRMED")));
    assert_eq!((&read["uid"], &read["sequence"]), (&json!("0190-7@plenum.example.org"), &json!(3)));
    let link = "https://plenum.example.org/m/%D1%81%D0%BE%D0%B2%D0%B5%D1%82";
    assert_eq!((&read["url"], &read["location"]), (&json!(link), &json!(link)));
    assert_eq!(read["organizer"], json!({ "name": "Анна", "address": "mailto:anna@example.org" }));
    let boris = json!({ "name": boris.name, "address": "mailto:boris@example.org" });
    assert_eq!(read["attendees"][1], boris);

    let ics = invitation(&weekly, "Совет", &attendees, Method::Cancel);
    let read = self::read(&ics, (2026, 2027), &[]);
    assert_eq!((&read["method"], &read["status"]), (&json!("CANCEL"), &json!("CANCELLED")));
    assert_eq!(read["uid"], "0190-7@plenum.example.org");
}

#[test]
fn no_name_is_more_than_a_name_to_a_calendar() {
    let weekly = timetable("2026-03-16T09:00", "Europe/Berlin", Some("FREQ=WEEKLY"), &[]);
    let harmless = invitation(&weekly, "x", &[anna()], Method::Request);
    let harmless = read(&harmless, (2026, 2027), &[]);
    for evil in [
        "x\r\nATTACH:https://evil.example/",
        "x\nEND:VEVENT\nBEGIN:VALARM\nACTION:PROCEDURE",
        "x\rATTACH:y",
        "x\u{2028}ATTACH:y\u{85}ATTACH:z",
        "x\";ROLE=CHAIR;DIR=\"ldap://evil.example",
        "x\":mailto:evil@example.org",
        "x\\nATTACH:y",
        "^n^'x",
        "\u{0}\u{b}\u{c}\u{1b}[31mx",
    ] {
        let party = Party { name: evil.into(), email: "a@example.org".into() };
        let ics = invitation(&weekly, evil, &[party], Method::Request);
        let read = read(&ics, (2026, 2027), &[]);
        for same in ["components", "properties", "uid", "occurrences", "url", "organizer"] {
            assert_eq!(read[same], harmless[same], "{same} of {evil:?}\n{ics}");
        }
        assert_eq!(read["attendees"][0]["address"], "mailto:a@example.org", "{evil:?}");
        let name = read["attendees"][0]["name"].as_str().expect("a name");
        assert!(!name.contains(['\n', '\r', '"', '\u{2028}', '\u{85}']), "{evil:?}: {name:?}");
        assert_eq!(read["attendees"].as_array().map(Vec::len), Some(1), "{evil:?}");
    }
}
