use std::time::Instant;

use super::*;
use crate::problem::testing::brief;

fn schedule(start: &str, zone: &str, rrule: Option<&str>) -> Schedule {
    Schedule {
        start: start.into(),
        minutes: 60,
        time_zone: zone.into(),
        rrule: rrule.map(str::to_owned),
        exdates: Vec::new(),
    }
}

fn weekly_in_berlin() -> Timetable {
    schedule("2026-03-16T09:00", "Europe/Berlin", Some("FREQ=WEEKLY")).timetable().unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn shown(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0).unwrap().to_string()
}

fn starts(timetable: &Timetable, from: &str, until: &str) -> Vec<String> {
    let found = timetable.between(at(from), at(until), 100);
    found.items.into_iter().map(|it| shown(it.start)).collect()
}

#[test]
fn a_meeting_stays_at_nine_when_the_clocks_change() {
    let spring = starts(&weekly_in_berlin(), "2026-03-20T00:00:00Z", "2026-04-07T00:00:00Z");
    assert_eq!(spring, ["2026-03-23T08:00:00Z", "2026-03-30T07:00:00Z", "2026-04-06T07:00:00Z"]);
    let autumn = starts(&weekly_in_berlin(), "2026-10-18T00:00:00Z", "2026-10-27T00:00:00Z");
    assert_eq!(autumn, ["2026-10-19T07:00:00Z", "2026-10-26T08:00:00Z"]);
    // The other half of the world turns the other way, and some turn by half an hour.
    let howe = schedule("2026-03-28T09:00", "Australia/Lord_Howe", Some("FREQ=WEEKLY"));
    let howe = starts(&howe.timetable().unwrap(), "2026-03-01T00:00:00Z", "2026-04-06T00:00:00Z");
    assert_eq!(howe, ["2026-03-27T22:00:00Z", "2026-04-03T22:00:00Z"]);
    let moscow = schedule("2026-03-16T09:00", "europe/moscow", Some("FREQ=WEEKLY;COUNT=3"));
    let moscow = moscow.timetable().unwrap();
    assert_eq!(moscow.zone_name(), "Europe/Moscow");
    let found = starts(&moscow, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(found, ["2026-03-16T06:00:00Z", "2026-03-23T06:00:00Z", "2026-03-30T06:00:00Z"]);
}

#[test]
fn a_time_that_is_skipped_comes_later_and_one_that_comes_twice_comes_first() {
    let night = schedule("2026-03-28T02:30", "Europe/Berlin", Some("FREQ=DAILY")).timetable();
    let night = night.unwrap();
    let found = starts(&night, "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
    assert_eq!(found, ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]);
    let found = starts(&night, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(found, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    // An hour is an hour, whatever the clock on the wall shows at its end.
    let across = night.between(at("2026-10-25T00:30:00Z"), at("2026-10-25T00:31:00Z"), 1).items[0];
    assert_eq!(across.end.since(across.start), Duration::from_secs(3600));
}

#[test]
fn exceptions_and_ends_take_occurrences_away() {
    let year = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    for (rrule, exdates, days) in [
        ("FREQ=DAILY;COUNT=4", vec![], "02 03 04 05"),
        // COUNT counts what is excepted (RFC 5545 section 3.8.5.1).
        ("FREQ=DAILY;COUNT=4", vec!["2026-03-03T09:00"], "02 04 05"),
        ("FREQ=DAILY;COUNT=2", vec!["2026-03-02T09:00", "2026-03-03T09:00:00"], ""),
        ("FREQ=DAILY;UNTIL=20260304", vec![], "02 03 04"),
        ("FREQ=DAILY;UNTIL=20260304T080000Z", vec![], "02 03 04"),
        ("FREQ=DAILY;UNTIL=20260304T075959Z", vec![], "02 03"),
        ("FREQ=DAILY;UNTIL=20260304T090000", vec![], "02 03 04"),
        ("FREQ=DAILY;UNTIL=20260304T085959", vec![], "02 03"),
        // Another time on that day excepts nothing.
        ("FREQ=DAILY;COUNT=2", vec!["2026-03-02T09:30"], "02 03"),
    ] {
        let mut schedule = schedule("2026-03-02T09:00", "Europe/Berlin", Some(rrule));
        schedule.exdates = exdates.into_iter().map(str::to_owned).collect();
        let found = starts(&schedule.timetable().unwrap(), year.0, year.1);
        let found: Vec<_> = found.iter().map(|it| &it[8..10]).collect();
        assert_eq!(found.join(" "), days, "{rrule} without {:?}", schedule.exdates);
    }
}

#[test]
fn what_overlaps_a_time_is_found_and_its_number_is_bounded() {
    let once = schedule("2026-03-02T09:00", "UTC", None).timetable().unwrap();
    for (from, until, count) in [
        ("2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z", 0),
        ("2026-03-02T08:00:00Z", "2026-03-02T09:00:01Z", 1),
        ("2026-03-02T09:59:59Z", "2026-03-02T12:00:00Z", 1),
        ("2026-03-02T10:00:00Z", "2026-03-02T12:00:00Z", 0),
        ("2026-03-02T12:00:00Z", "2026-03-02T08:00:00Z", 0),
    ] {
        assert_eq!(starts(&once, from, until).len(), count, "{from} to {until}");
    }
    let daily = schedule("2026-03-02T09:00", "UTC", Some("FREQ=DAILY")).timetable().unwrap();
    let all = |limit| daily.between(Timestamp(i64::MIN), Timestamp(i64::MAX), limit);
    assert_eq!((all(3).items.len(), all(3).more), (3, true));
    assert_eq!((all(usize::MAX).items.len(), all(usize::MAX).more), (1000, true));
    assert_eq!((all(0).items.len(), all(0).more), (0, true));
    let few = daily.between(at("2026-03-02T00:00:00Z"), at("2026-03-04T00:00:00Z"), 2);
    assert_eq!((few.items.len(), few.more), (2, false));
}

#[test]
fn the_next_occurrence_is_found_years_later_too() {
    let weekly = weekly_in_berlin();
    let next = |now| weekly.next(at(now)).map(|it| shown(it.start));
    assert_eq!(next("2020-01-01T00:00:00Z").unwrap(), "2026-03-16T08:00:00Z");
    assert_eq!(next("2026-03-16T08:00:00Z").unwrap(), "2026-03-16T08:00:00Z");
    assert_eq!(next("2026-03-16T08:00:01Z").unwrap(), "2026-03-23T08:00:00Z");
    assert_eq!(next("2056-03-16T09:00:00Z").unwrap(), "2056-03-20T08:00:00Z");
    assert_eq!(next("2200-01-01T00:00:00Z"), None);
    assert_eq!(weekly.next(Timestamp(i64::MAX)), None);
}

#[test]
fn joining_opens_before_the_start_and_closes_after_the_end() {
    let weekly = weekly_in_berlin();
    let (early, grace) = (Duration::from_secs(600), Duration::from_secs(1800));
    let first = weekly.first().unwrap();
    let second = Occurrence { start: at("2026-03-23T08:00:00Z"), end: at("2026-03-23T09:00:00Z") };
    let before = |next: Occurrence| Joining::NotYet { opens_at: next.start.before(early), next };
    for (now, expected) in [
        ("2026-03-16T07:49:59.999Z", before(first)),
        ("2026-03-16T07:50:00Z", Joining::Open(first)),
        ("2026-03-16T08:30:00Z", Joining::Open(first)),
        ("2026-03-16T09:29:59.999Z", Joining::Open(first)),
        ("2026-03-16T09:30:00Z", before(second)),
        ("2026-03-23T08:00:00Z", Joining::Open(second)),
    ] {
        assert_eq!(weekly.joining(at(now), early, grace), expected, "{now}");
    }
    let once = schedule("2026-03-16T09:00", "Europe/Berlin", None).timetable().unwrap();
    let after = at("2026-03-16T09:30:00Z");
    assert_eq!(once.joining(after, early, grace), Joining::Over);
    // Between two that are both open, the one that takes place counts.
    let day = schedule("2026-03-02T09:00", "UTC", Some("FREQ=DAILY")).timetable().unwrap();
    let open = day.joining(at("2026-03-04T09:30:00Z"), early, Duration::from_secs(90_000));
    assert_eq!(open, Joining::Open(day.next(at("2026-03-04T09:00:00Z")).unwrap()));
}

#[test]
fn all_that_is_wrong_with_a_schedule_is_told_at_once() {
    let mut bad = schedule("2026-02-30T09:00", "Europe/Atlantis", Some("FREQ=SECONDLY"));
    bad.minutes = 0;
    bad.exdates = vec!["2026-03-02T09:00".into(), "tomorrow".into()];
    assert_eq!(
        brief(&bad.timetable().unwrap_err()),
        ["start format", "minutes range", "time_zone unknown", "rrule format", "exdates[1] format"]
    );
    for start in [
        "",
        "2026-03-02",
        "2026-03-02 09:00",
        "2026-03-02T09:00Z",
        "2026-3-02T09:00",
        "1999-12-31T09:00",
        "2200-01-01T09:00",
        "2026-03-02T24:00",
        "2026-03-02T09:00:00.5",
        "+026-03-02T09:00",
        "２026-03-02T09:0",
    ] {
        let told = brief(&schedule(start, "UTC", None).timetable().unwrap_err());
        assert_eq!(told, ["start format"], "{start:?}");
    }
    for zone in ["", "Berlin", "Etc/Unknown", "+02:00", "../../etc/passwd", "UTC\r\nX:1"] {
        let told = brief(&schedule("2026-03-02T09:00", zone, None).timetable().unwrap_err());
        assert_eq!(told, ["time_zone unknown"], "{zone:?}");
    }
    for rrule in
        ["FREQ=WEEKLY;BYDAY=TU", "FREQ=DAILY;UNTIL=20260301", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"]
    {
        let told = schedule("2026-03-02T09:00", "UTC", Some(rrule)).timetable().unwrap_err();
        assert_eq!(brief(&told), ["rrule conflict"], "{rrule:?}");
    }
    let mut many = schedule("2026-03-02T09:00", "UTC", None);
    many.exdates = vec!["2026-03-02T09:00".into(); 201];
    assert_eq!(brief(&many.timetable().unwrap_err()), ["exdates too_many"]);
}

#[test]
fn hostile_rules_cost_little_whatever_is_asked() {
    let by_everything = format!(
        "FREQ=YEARLY;BYMONTHDAY={};BYSETPOS=1",
        (1..=31).map(|it| it.to_string()).collect::<Vec<_>>().join(",")
    );
    let rules = [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=DAILY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=29;COUNT=1300",
        "FREQ=DAILY;INTERVAL=1000;BYMONTH=2;BYMONTHDAY=29;BYDAY=TH",
        "FREQ=WEEKLY;INTERVAL=999;BYMONTH=2",
        "FREQ=MONTHLY;BYMONTHDAY=29;BYMONTH=2;BYDAY=TH;COUNT=1300",
        "FREQ=YEARLY;BYMONTHDAY=29;BYMONTH=2;BYDAY=TH",
        "FREQ=YEARLY;INTERVAL=1000;BYYEARDAY=60",
        "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYYEARDAY=60;BYSETPOS=1,-1",
        "FREQ=SECONDLY;COUNT=1000000000",
        "FREQ=DAILY;COUNT=1000000000",
        by_everything.as_str(),
        "FREQ=DAILY;UNTIL=99991231T235959Z",
    ];
    let mut slowest = (Duration::ZERO, "");
    for rule in rules {
        let began = Instant::now();
        // The leap day of 2024 was a Thursday.
        let read = schedule("2024-02-29T09:00", "Europe/Berlin", Some(rule)).timetable();
        if let Ok(timetable) = read {
            for year in ["2024", "2033", "2123", "2500", "9999"] {
                let now = at(&format!("{year}-06-01T00:00:00Z"));
                timetable.next(now);
                timetable.between(now, Timestamp(i64::MAX), usize::MAX);
                timetable.joining(now, Duration::from_secs(600), Duration::from_secs(600));
            }
            timetable.between(Timestamp(i64::MIN), Timestamp(i64::MAX), usize::MAX);
        }
        slowest = slowest.max((began.elapsed(), rule));
    }
    // Sixteen questions to each; without bounds the first would not end at all.
    assert!(slowest.0 < Duration::from_secs(5), "{slowest:?}");
}

/// Rules made at random hold what each rule must hold; a seed that breaks one stays here.
#[test]
fn any_rule_keeps_its_order_its_bounds_and_its_answers() {
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{Rng, SeedableRng};

    let zones = ["Europe/Berlin", "America/St_Johns", "Asia/Jerusalem", "Pacific/Apia", "UTC"];
    let parts = [
        "BYMONTH=3,10",
        "BYMONTH=1,2,3,4,5,6,7,8,9,10,11,12",
        "BYMONTHDAY=1,15,-1",
        "BYMONTHDAY=29,30,31",
        "BYDAY=MO,TU,WE,TH,FR",
        "BYDAY=1MO,-1SU",
        "BYDAY=SA",
        "BYSETPOS=1,-1",
        "BYSETPOS=2",
        "BYYEARDAY=1,60,-1",
        "WKST=SU",
        "INTERVAL=2",
        "INTERVAL=17",
        "COUNT=30",
        "UNTIL=20300101",
        "UNTIL=20270329T063000Z",
    ];
    let mut rng = StdRng::seed_from_u64(20_260_329);
    let mut read = 0;
    for _ in 0..1_500 {
        let frequency = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"].choose(&mut rng).unwrap();
        let mut rule = format!("FREQ={frequency}");
        for _ in 0..rng.random_range(0..4) {
            rule.push(';');
            rule.push_str(parts.choose(&mut rng).unwrap());
        }
        let (month, day) = (rng.random_range(1..=12), rng.random_range(1..=28));
        let (hour, minute) = (rng.random_range(0..24), [0, 30].choose(&mut rng).unwrap());
        let start = format!("2026-{month:02}-{day:02}T{hour:02}:{minute:02}");
        let schedule = schedule(&start, zones.choose(&mut rng).unwrap(), Some(&rule));
        // Most that is thrown together contradicts itself, and says so.
        let Ok(timetable) = schedule.timetable() else { continue };
        read += 1;
        let all = timetable.between(Timestamp(i64::MIN), Timestamp(i64::MAX), 60).items;
        assert_eq!(all.first(), timetable.first().as_ref(), "{schedule:?}");
        assert!(all.iter().all(|it| it.end.since(it.start) == timetable.duration()));
        assert!(all.windows(2).all(|it| it[0].start < it[1].start), "{schedule:?}");
        for (index, occurrence) in all.iter().enumerate() {
            let again = timetable.next(occurrence.start);
            assert_eq!(again.as_ref(), Some(occurrence), "{schedule:?}");
            let during = timetable.between(
                occurrence.start,
                occurrence.start.after(Duration::from_millis(1)),
                1,
            );
            assert_eq!(during.items, [*occurrence], "{schedule:?}");
            let later = timetable.next(occurrence.start.after(Duration::from_millis(1)));
            if let Some(following) = all.get(index + 1) {
                assert_eq!(later.as_ref(), Some(following), "{schedule:?}");
            }
        }
        // What calendars are told means the same as what was given.
        let rrule = Some(timetable.rule().unwrap().for_calendars(timetable.zone()));
        let told = Schedule { rrule, ..schedule.clone() }.timetable().unwrap();
        let same = told.between(Timestamp(i64::MIN), Timestamp(i64::MAX), 60).items;
        assert_eq!(same, all, "{schedule:?}");
    }
    assert!(read > 200, "only {read} rules were right");
}
