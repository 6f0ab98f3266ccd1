//! The history.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

use conference::store::{
    CallMedia, Direction, Figures, History, HistoryCursor, HistoryQuery, HistoryRetention,
    HistoryRow, LadderQuery, LegCall, Run, SERVER_STOPPED, Side, Stay,
};
use conference::telephony::{Ladder, LadderHead, LadderMessage};
use types::{Identity, MeetingId, ParticipantKind, RecordId, Timestamp};

use crate::kit::{Database, NOW, id};

fn meeting(name: &str) -> MeetingId {
    MeetingId::parse(name).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds * 1000)
}

fn run(name: &str, of: &str, started_at: Timestamp) -> Run {
    Run {
        id: id(name),
        meeting: meeting(of),
        name: "Совет".to_owned(),
        started_at,
        ended_at: None,
        cause: String::new(),
        most_participants: 1,
    }
}

fn stay(name: &str, run: &Run, identity: &str, joined_at: Timestamp) -> Stay {
    Stay {
        id: id(name),
        run: run.id.clone(),
        meeting: run.meeting.clone(),
        identity: Identity::new(identity),
        name: "Анна".to_owned(),
        kind: ParticipantKind::Standard,
        account: Some(id("account")),
        joined_at,
        left_at: None,
        cause: String::new(),
    }
}

fn leg(name: &str, stay: Option<&Stay>, started_at: Timestamp) -> LegCall {
    LegCall {
        id: id(name),
        run: stay.map(|it| it.run.clone()),
        stay: stay.map(|it| it.id.clone()),
        meeting: stay.map(|it| it.meeting.clone()),
        direction: Direction::Incoming,
        address: "sip:hall@example.org".to_owned(),
        codecs: String::new(),
        started_at,
        answered_at: None,
        ended_at: None,
        cause: String::new(),
        ended_by: None,
        call: String::new(),
        rule: String::new(),
        media: CallMedia::default(),
    }
}

fn ladder(name: &str, call: &str, began_at: Timestamp) -> Ladder {
    let message = LadderMessage {
        at_us: began_at.0 * 1_000,
        sent: true,
        peer: "[2001:db8::5]:5060".parse().unwrap(),
        local: "[2001:db8::1]:5060".parse().unwrap(),
        transport: "tls".to_owned(),
        text: "SIP/2.0 486 Занято\r\n\r\n\0".to_owned(),
    };
    let head = LadderHead {
        id: id(name),
        call: call.to_owned(),
        began_at,
        ended_at: began_at,
        peer: message.peer.to_string(),
        outcome: "486".to_owned(),
    };
    Ladder { head, messages: vec![message], left_out: 3 }
}

pub async fn what_was_said_in_calls_is_found_by_call_and_goes(database: &Database) {
    let store = database.open().await;
    let kept: Vec<Ladder> =
        (0..5).map(|it| ladder(&format!("d{it}"), ["a@b", "c"][it % 2], at(it as i64))).collect();
    let rows: Vec<HistoryRow> = kept.iter().cloned().map(HistoryRow::Ladder).collect();
    store.write_history(&rows, at(9)).await.unwrap();
    let list = |call: Option<&str>, after, limit| LadderQuery {
        call: call.map(str::to_owned),
        after,
        limit,
    };
    let names = |heads: &[LadderHead]| -> Vec<String> {
        heads.iter().map(|it| it.id.to_string()).collect()
    };
    let first = store.ladders(&list(None, None, 3)).await.unwrap();
    assert_eq!(names(&first), ["d4", "d3", "d2"]);
    let after = first.last().map(HistoryCursor::after_ladder);
    assert_eq!(names(&store.ladders(&list(None, after, 9)).await.unwrap()), ["d1", "d0"]);
    assert_eq!(names(&store.ladders(&list(Some("c"), None, 9)).await.unwrap()), ["d3", "d1"]);
    assert_eq!(store.ladder(&id("d1")).await.unwrap().as_ref(), Some(&kept[1]));
    assert_eq!(store.ladder(&id("nobody")).await.unwrap(), None);
    let retention =
        HistoryRetention { ended_before: at(0), figures_before: at(0), ladders_before: at(3) };
    assert_eq!(store.trim_history(retention).await.unwrap(), 3);
    assert_eq!(names(&store.ladders(&list(None, None, 9)).await.unwrap()), ["d4", "d3"]);
    store.close().await;
}

fn figures(at: Timestamp) -> Figures {
    Figures { at, loss_in: Some(7), bit_rate_out: Some(5_000_000_000), ..Figures::default() }
}

fn all() -> HistoryQuery {
    HistoryQuery { limit: 1000, ..HistoryQuery::default() }
}

/// How often something is gone on with until it is done: each way to the database and back is one, and
/// on a busy server each waits behind everything else that goes on.
async fn turns<T>(doing: impl Future<Output = T>) -> (T, usize) {
    let (mut doing, mut turns) = (pin!(doing), 0);
    let done = poll_fn(|context| {
        turns += 1;
        doing.as_mut().poll(context)
    });
    (done.await, turns)
}

pub async fn a_batch_takes_few_ways_to_the_database(database: &Database) {
    let store = database.open().await;
    let board = run("r", "board", at(0));
    let mut rows = vec![HistoryRow::Run(board.clone())];
    for number in 0..100 {
        let anna = stay(&format!("s{number:03}"), &board, "anna", at(number));
        rows.push(HistoryRow::Leg(leg(&format!("l{number:03}"), Some(&anna), at(number))));
        rows.push(HistoryRow::Figures { stay: anna.id.clone(), figures: figures(at(number)) });
        rows.push(HistoryRow::Stay(anna));
        rows.push(HistoryRow::Ladder(ladder(&format!("d{number:03}"), "call", at(number))));
    }
    // The same row twice: the last one counts.
    rows.push(HistoryRow::Run(Run { most_participants: 100, ..board.clone() }));
    store.write_history(&[], at(0)).await.unwrap();
    let (written, turns) = turns(store.write_history(&rows, at(9))).await;
    written.unwrap();
    assert_eq!(store.runs(&all()).await.unwrap(), [Run { most_participants: 100, ..board }]);
    assert_eq!(store.stays(&all()).await.unwrap().len(), 100);
    assert_eq!(store.legs(&all()).await.unwrap().len(), 100);
    eprintln!("{} rows in {turns} turns", rows.len());
    // All writers of SQLite share the connection that this holds.
    if database.is_sqlite() {
        assert!(turns < 100, "{} rows in {turns} turns", rows.len());
    }
    store.close().await;
}

pub async fn rows_are_written_anew_until_they_end(database: &Database) {
    let store = database.open().await;
    let mut board = run("r", "board", at(0));
    let mut anna = stay("s", &board, "anna", at(1));
    let mut hall = leg("l", None, at(2));
    let rows = [
        HistoryRow::Run(board.clone()),
        HistoryRow::Stay(anna.clone()),
        HistoryRow::Leg(hall.clone()),
        HistoryRow::Figures { stay: id("s"), figures: figures(at(9)) },
        HistoryRow::Figures { stay: id("s"), figures: figures(at(3)) },
    ];
    store.write_history(&rows, at(9)).await.unwrap();
    assert_eq!(store.runs(&all()).await.unwrap(), [board.clone()]);
    assert_eq!(store.stays(&all()).await.unwrap(), [anna.clone()]);
    assert_eq!(store.legs(&all()).await.unwrap(), [hall.clone()]);
    let kept = store.figures(&id("s"), at(0), 10).await.unwrap();
    assert_eq!(kept, [figures(at(3)), figures(at(9))]);
    assert_eq!(store.figures(&id("s"), at(3), 10).await.unwrap(), [figures(at(9))]);
    assert_eq!(store.figures(&id("s"), at(0), 1).await.unwrap(), [figures(at(3))]);
    (board.ended_at, board.cause, board.most_participants) = (Some(at(60)), "empty".to_owned(), 12);
    (anna.left_at, anna.cause, anna.account) = (Some(at(59)), "left".to_owned(), None);
    anna.kind = ParticipantKind::Sip;
    hall = LegCall {
        answered_at: Some(at(5)),
        ended_at: Some(at(50)),
        ended_by: Some(Side::Theirs),
        cause: "hung_up".to_owned(),
        direction: Direction::Outgoing,
        codecs: "opus, h264".to_owned(),
        call: "a@b".to_owned(),
        rule: "To the board".to_owned(),
        media: CallMedia {
            loss_in: Some(3),
            jitter_ms: Some(12),
            bit_rate_in: Some(5_000_000_000),
            mos: Some(431),
            ..CallMedia::default()
        },
        ..leg("l", Some(&anna), at(2))
    };
    let rows = [
        HistoryRow::Run(board.clone()),
        HistoryRow::Stay(anna.clone()),
        HistoryRow::Leg(hall.clone()),
    ];
    // Told twice, such as after an answer that got lost.
    for _ in 0..2 {
        store.write_history(&rows, at(60)).await.unwrap();
    }
    assert_eq!(store.runs(&all()).await.unwrap(), [board]);
    assert_eq!(store.stays(&all()).await.unwrap(), [anna]);
    assert_eq!(store.legs(&all()).await.unwrap(), [hall]);
    store.close().await;
}

pub async fn lists_are_filtered(database: &Database) {
    let store = database.open().await;
    let mut rows = Vec::new();
    for number in 0..30 {
        // Three begin at the same time each, so that a page's end needs their ids too.
        let begun = at(number / 3);
        let mut run = run(&format!("r{number:02}"), ["board", "team"][number as usize % 2], begun);
        run.ended_at = (number < 25).then(|| at(100));
        for identity in ["anna", "bob"].iter().take(1 + number as usize % 2) {
            let mut stay = stay(&format!("s{number:02}{identity}"), &run, identity, begun);
            stay.left_at = run.ended_at;
            let mut leg = leg(&format!("l{number:02}{identity}"), Some(&stay), begun);
            leg.ended_at = run.ended_at;
            rows.extend([HistoryRow::Stay(stay), HistoryRow::Leg(leg)]);
        }
        rows.push(HistoryRow::Run(run));
    }
    store.write_history(&rows, at(100)).await.unwrap();
    let board = HistoryQuery { meeting: Some(meeting("board")), ..all() };
    let bob = HistoryQuery { identity: Some(Identity::new("bob")), ..all() };
    let one = HistoryQuery { run: Some(id("r03")), ..all() };
    let span = HistoryQuery { since: Some(at(2)), until: Some(at(4)), ..all() };
    let open = HistoryQuery { going_on: true, ..all() };
    let nobody = HistoryQuery { identity: Some(Identity::new("nobody")), ..all() };
    let both = HistoryQuery { meeting: board.meeting.clone(), ..bob.clone() };
    for (query, runs, stays) in [
        (&all(), 30, 45),
        (&board, 15, 15),
        (&bob, 15, 15),
        (&one, 1, 2),
        (&span, 6, 9),
        (&open, 5, 8),
        (&nobody, 0, 0),
        (&both, 0, 0),
    ] {
        assert_eq!(store.runs(query).await.unwrap().len(), runs, "{query:?}");
        assert_eq!(store.stays(query).await.unwrap().len(), stays, "{query:?}");
        assert_eq!(store.legs(query).await.unwrap().len(), stays, "{query:?}");
    }
    // Page by page, the latest first.
    let mut seen: Vec<Run> = Vec::new();
    loop {
        let after = seen.last().map(HistoryCursor::after_run);
        let page = store.runs(&HistoryQuery { after, limit: 4, ..all() }).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    let names: Vec<String> = seen.iter().map(|it| it.id.to_string()).collect();
    assert_eq!(names, (0..30).rev().map(|it| format!("r{it:02}")).collect::<Vec<_>>());
    let stays = store.stays(&HistoryQuery { limit: 3, ..bob.clone() }).await.unwrap();
    let after = stays.last().map(HistoryCursor::after_stay);
    let next = store.stays(&HistoryQuery { after, limit: 1, ..bob }).await.unwrap();
    assert_eq!((stays[2].id.as_str(), next[0].id.as_str()), ("s25bob", "s23bob"));
    let legs = store.legs(&HistoryQuery { limit: 2, ..all() }).await.unwrap();
    let after = legs.last().map(HistoryCursor::after_leg);
    let next = store.legs(&HistoryQuery { after, limit: 1, ..all() }).await.unwrap();
    assert_eq!((legs[1].id.as_str(), next[0].id.as_str()), ("l29anna", "l28anna"));
    store.close().await;
}

pub async fn what_a_crash_left_open_is_ended(database: &Database) {
    let store = database.open().await;
    let mut over = run("over", "board", at(0));
    (over.ended_at, over.cause) = (Some(at(10)), "empty".to_owned());
    let board = run("going", "board", at(20));
    let anna = stay("anna", &board, "anna", at(25));
    // Its clock was ahead of the one that told when all was last well.
    let late = leg("late", Some(&anna), at(50));
    let rows = [
        HistoryRow::Run(over.clone()),
        HistoryRow::Run(board),
        HistoryRow::Stay(anna),
        HistoryRow::Leg(late),
    ];
    store.write_history(&rows, at(30)).await.unwrap();
    store.write_history(&[], at(40)).await.unwrap();
    store.close().await;
    let store = database.open().await;
    // To open it, such as for a backup, ends nothing.
    assert_eq!(store.runs(&all()).await.unwrap()[0].ended_at, None);
    assert_eq!(store.end_history_left_open().await.unwrap(), 3);
    assert_eq!(store.end_history_left_open().await.unwrap(), 0);
    let runs = store.runs(&all()).await.unwrap();
    assert_eq!((runs[0].ended_at, runs[0].cause.as_str()), (Some(at(40)), SERVER_STOPPED));
    assert_eq!(runs[1], over);
    let stays = store.stays(&all()).await.unwrap();
    assert_eq!((stays[0].left_at, stays[0].cause.as_str()), (Some(at(40)), SERVER_STOPPED));
    let legs = store.legs(&all()).await.unwrap();
    assert_eq!((legs[0].ended_at, legs[0].cause.as_str()), (Some(at(50)), SERVER_STOPPED));
    store.close().await;
}

pub async fn old_history_goes(database: &Database) {
    let store = database.open().await;
    let mut rows = Vec::new();
    for number in 0..2500 {
        let mut run = run(&format!("r{number:04}"), "board", at(number));
        run.ended_at = (number % 2 == 0).then(|| at(number + 1));
        let mut stay = stay(&format!("s{number:04}"), &run, "anna", at(number));
        stay.left_at = run.ended_at;
        rows.push(HistoryRow::Figures { stay: stay.id.clone(), figures: figures(at(number)) });
        rows.extend([HistoryRow::Run(run), HistoryRow::Stay(stay)]);
    }
    store.write_history(&rows, at(9999)).await.unwrap();
    let retention = HistoryRetention {
        ended_before: at(2001),
        figures_before: at(2400),
        ladders_before: at(0),
    };
    // 1000 runs and stays have ended before that; figures go by their own time.
    assert_eq!(store.trim_history(retention).await.unwrap(), 2400 + 1000 + 1000);
    assert_eq!(store.trim_history(retention).await.unwrap(), 0);
    let left = store.runs(&HistoryQuery { limit: 9999, ..all() }).await.unwrap();
    assert_eq!(left.len(), 1500);
    assert!(left.iter().all(|it| it.ended_at.is_none_or(|it| it >= at(2001))));
    assert_eq!(store.figures(&id("s2399"), at(0), 9).await.unwrap(), []);
    assert_eq!(store.figures(&id("s2400"), at(0), 9).await.unwrap().len(), 1);
    store.close().await;
}

const MANY: i64 = 100_000;
/// On a machine of its own a page takes a few milliseconds; this one has other work too.
const BOUND: Duration = Duration::from_millis(100);

pub async fn a_page_of_a_hundred_thousand_rows_is_quick(database: &Database) {
    let store = database.open().await;
    let begun = Instant::now();
    for part in 0..MANY / 5000 {
        let rows: Vec<HistoryRow> = (part * 5000..(part + 1) * 5000).flat_map(many).collect();
        store.write_history(&rows, at(part)).await.unwrap();
    }
    eprintln!("{MANY} runs with a stay each written in {:.1?}", begun.elapsed());
    let middle = HistoryCursor { began_at: at(MANY / 2), id: id("") };
    let page = HistoryQuery { limit: 100, ..HistoryQuery::default() };
    let meeting = Some(meeting("m7"));
    let identity = Some(Identity::new("p7"));
    for (what, query) in [
        ("the first", page.clone()),
        ("from the middle on", HistoryQuery { after: Some(middle), ..page.clone() }),
        ("the last", HistoryQuery { until: Some(at(100)), ..page.clone() }),
        ("of a meeting", HistoryQuery { meeting, ..page.clone() }),
        ("of a participant", HistoryQuery { identity, ..page.clone() }),
        ("of a run", HistoryQuery { run: Some(id("r000777")), limit: 1, ..page.clone() }),
        ("going on", HistoryQuery { going_on: true, ..page }),
    ] {
        let mut quickest = Duration::MAX;
        // The first finds the database's cache cold, and other work may come between.
        for _ in 0..3 {
            let begun = Instant::now();
            let runs = store.runs(&query).await.unwrap();
            let stays = store.stays(&query).await.unwrap();
            quickest = quickest.min(begun.elapsed() / 2);
            assert_eq!((runs.len(), stays.len()), (query.limit as usize, query.limit as usize));
        }
        eprintln!("a page of {MANY}, {what}: {quickest:.1?}");
        assert!(quickest < BOUND, "{what}: {quickest:?}");
    }
    store.close().await;
}

fn many(number: i64) -> [HistoryRow; 2] {
    let mut run = run(&format!("r{number:06}"), &format!("m{}", number % 500), at(number));
    run.ended_at = (number % 50 != 0).then(|| at(number + 1));
    let identity = format!("p{}", number % 1000);
    let mut stay = stay(&format!("s{number:06}"), &run, &identity, at(number));
    (stay.left_at, stay.account) = (run.ended_at, None::<RecordId>);
    [HistoryRow::Run(run), HistoryRow::Stay(stay)]
}
