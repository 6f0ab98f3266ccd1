//! What was, and what happens just now: the history and the stream of events, against the program
//! with its database.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::admin::{CommandLine, PASSWORD, Page};
use tests::caller::Caller;
use tests::media::{BLUE, GREEN, RED};
use tests::person::PATIENCE;
use tests::python::PythonPeer;
use tests::server::Server;
use tests::story::Story;
use tests::{token, wait};

/// A list over 100,000 rows takes this long at most.
const PAGE_WITHIN: Duration = Duration::from_millis(100);

/// What a stream of events has told so far, line by line.
fn follow(server: &Server, page: &Page<'_>, path: &str) -> Arc<Mutex<Vec<String>>> {
    let mut stream = TcpStream::connect(server.http).expect("a connection");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", server.http, page.cookie);
    stream.write_all(request.as_bytes()).expect("the request is sent");
    let told = Arc::new(Mutex::new(Vec::new()));
    let lines = told.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.lock().expect("its lines").push(line);
        }
    });
    wait::until("the stream begins", PATIENCE, || heard(&told, "HTTP/1.1 200").then_some(()));
    told
}

fn heard(told: &Arc<Mutex<Vec<String>>>, what: &str) -> bool {
    told.lock().expect("its lines").iter().any(|it| it.contains(what))
}

/// The entries of a list, once they are as they should be.
fn entries(
    page: &Page<'_>,
    path: &str,
    what: &str,
    right: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let mut last = Value::Null;
    wait::until(what, PATIENCE, || {
        last = page.ask("GET", path, None).body;
        let items = last["items"].as_array()?;
        right(items).then(|| items.clone())
    })
}

#[test]
fn a_meeting_stands_in_the_history_and_is_told_as_it_happens() {
    let story = Story::begin_beside_others("a_meeting_stands_in_the_history");
    let server = Server::start(&story);
    let (name, first) = server.first.clone().expect("a first administrator");
    let admin = Page::first_sign_in(&server, &name, &first);
    let events = follow(&server, &admin, "/api/v1/events");
    let elsewhere = follow(&server, &admin, "/api/v1/events?meeting=elsewhere");

    // A name that a table program would take for a formula.
    let anna = PythonPeer::join(RED, &server.origin, &token::to_join("=anna", "board"), false);
    let boris = PythonPeer::join(GREEN, &server.origin, &token::to_join("boris", "board"), false);
    let live = admin.ask("GET", "/api/v1/live/meetings", None).body;
    let live = &live["items"][0];
    assert_eq!((&live["meeting"], &live["participants"]), (&json!("board"), &json!(2)));
    let removed = admin.ask("DELETE", "/api/v1/meetings/board/participants/boris", None);
    assert_eq!(removed.status, 204, "{removed:?}");
    let (status, leg) = server.legs(
        "board",
        "POST",
        "",
        &json!({ "address": "sip:nobody@127.0.0.1:9;transport=tcp" }),
    );
    assert_eq!(status, 201, "{leg}");
    let went = |it: &[Value]| it.iter().any(|it| !it["ended_at"].is_null());
    let legs = entries(&admin, "/api/v1/history/legs", "the call's end", went);
    assert_eq!((&legs[0]["direction"], &legs[0]["meeting"]), (&json!("outgoing"), &json!("board")));
    assert!(legs[0]["answered_at"].is_null() && legs[0]["cause"] != "", "{}", legs[0]);
    let ended = admin.ask("POST", "/api/v1/meetings/board/end", None);
    assert_eq!(ended.status, 204, "{ended:?}");

    let over = |it: &[Value]| it.len() == 1 && !it[0]["ended_at"].is_null();
    let runs = entries(&admin, "/api/v1/history/meetings?meeting=board", "the run's end", over);
    assert_eq!((&runs[0]["cause"], &runs[0]["name"]), (&json!("ended"), &json!("board")));
    assert!(runs[0]["most_participants"].as_u64() >= Some(2), "{}", runs[0]);
    let path =
        format!("/api/v1/history/meetings/{}/participants", runs[0]["id"].as_str().expect("an id"));
    let left = |it: &[Value]| it.iter().all(|it| !it["left_at"].is_null());
    let stays = entries(&admin, &path, "their leaving", left);
    let cause = |identity: &str| {
        let stay = stays.iter().find(|it| it["identity"] == identity);
        stay.map(|it| it["cause"].clone()).unwrap_or_default()
    };
    assert_eq!((cause("=anna"), cause("boris")), (json!("meeting_ended"), json!("removed")));
    let one = admin.ask("GET", "/api/v1/history/meetings?identity=boris&limit=1", None).body;
    assert_eq!((one["items"].as_array().map(Vec::len), &one["next"]), (Some(1), &Value::Null));
    let none = admin.ask("GET", "/api/v1/history/meetings?until=2020-01-01T00:00:00Z", None).body;
    assert_eq!(none["items"], json!([]));

    for word in ["meeting_began", "participant_joined", "participant_left", "meeting_ended"] {
        wait::until(word, PATIENCE, || heard(&events, &format!("event: {word}")).then_some(()));
    }
    assert!(heard(&events, "\"reason\":\"removed\""), "{events:?}");
    assert!(!heard(&elsewhere, "event: "), "another meeting's events: {elsewhere:?}");

    let head = format!("Cookie: {}\r\n", admin.cookie);
    let file = server.request("GET", "/api/v1/history/participants.csv", &head, "");
    assert!(file.starts_with("HTTP/1.1 200") && file.contains("text/csv"), "{file}");
    assert!(file.contains("id,run,meeting,identity,name,kind,account,joined_at,left_at,cause\r\n"));
    assert!(file.contains(",board,'=anna,'=anna,person,,"), "{file}");

    // The audit log tells who called, and by what address.
    let log = admin.ask("GET", "/api/v1/audit?action=leg.", None).body;
    let entry = &log["items"][0];
    assert_eq!((&entry["action"], &entry["actor"]["id"]), (&json!("leg.dial"), &json!("devkey")));
    assert!(entry["target"]["name"].as_str().is_some_and(|it| it.contains("nobody")), "{entry}");
    drop((anna, boris));
    server.stop();
}

#[test]
fn what_was_said_in_a_call_is_kept_without_its_secrets() {
    let story = Story::begin_beside_others("what_was_said_in_a_call_is_kept");
    let meetings = "[[meeting]]\nid = \"board\"\nguest_pin = \"471100\"\n\n\
                    [[meeting]]\nid = \"closed\"\nroom_systems = false\n";
    let server = Server::start_with(&story, meetings);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);

    let mut room = Caller::new(&server.dial("board**471100", "udp"), BLUE);
    let offer = room.sdp("8 0", "sendrecv");
    let answer = room.invite(&offer);
    assert_eq!(answer.status(), 200, "{}", answer.0);
    let call = answer.header("Call-ID").expect("a Call-ID").to_owned();
    room.acknowledge("");
    room.press('7');
    room.hang_up();
    let mut stranger = Caller::new(&server.dial("closed", "udp"), RED);
    let offer = stranger.sdp("8 0", "sendrecv");
    let refusal = stranger.invite(&offer);
    assert_eq!(refusal.status(), 404, "{}", refusal.0);

    // A call is kept a few seconds after its last word.
    let mut kept = Value::Null;
    wait::until("both calls are kept", PATIENCE, || {
        kept = admin.json(&["history", "ladders"]);
        (kept.as_array()?.len() == 2).then_some(())
    });
    let of = |outcome: &str| {
        let all = kept.as_array().expect("a list");
        all.iter().find(|it| it["outcome"] == outcome).unwrap_or_else(|| panic!("{kept}")).clone()
    };
    let (answered, refused) = (of("200"), of("404"));
    assert_eq!(answered["call"], *call);
    let found = admin.json(&["history", "ladders", "--call", &call]);
    assert_eq!(found, json!([answered]));
    let draw = |ladder: &Value| {
        let drawn = admin.run(&["history", "ladder", ladder["id"].as_str().expect("an id")], "");
        assert_eq!(drawn.code, 0, "{drawn:?}");
        drawn.printed
    };
    let drawing = draw(&answered);
    let place = |text: &str| drawing.find(text).unwrap_or_else(|| panic!("no {text}:\n{drawing}"));
    let order = ["INVITE sip:board*****", "200 OK (SDP)", "ACK ", "INFO ", "BYE "];
    assert!(order.map(place).is_sorted(), "{drawing}");
    assert!(draw(&refused).contains("404 Not Found"), "{}", draw(&refused));

    let capture = story.file("call.pcap");
    let path = capture.to_str().expect("a path");
    let id = answered["id"].as_str().expect("an id");
    let written = admin.run(&["history", "ladder", id, "--pcap", path], "");
    assert_eq!(written.code, 0, "{written:?}");
    let capture = std::fs::read(&capture).expect("the capture");
    assert_eq!(capture[..4], [0xa1, 0xb2, 0xc3, 0xd4]);
    let text = String::from_utf8_lossy(&capture);
    assert!(text.contains("Signal=***") && text.contains("m=audio"), "{text}");
    assert!(!text.contains("471100") && !text.contains("Signal=7"), "{text}");

    let legs = admin.json(&["history", "legs"]);
    let leg = &legs[0];
    assert_eq!((&leg["call"], &leg["codecs"]), (&json!(call), &json!("PCMA")), "{leg}");
    assert_eq!((&leg["cause"], &leg["ended_by"]), (&json!("by_itself"), &json!("theirs")), "{leg}");
    server.stop();
}

#[test]
fn commands_show_the_history() {
    let story = Story::begin_beside_others("commands_show_the_history");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let anna = PythonPeer::join(RED, &server.origin, &token::to_join("anna", "board"), false);
    assert_eq!(admin.json(&["live", "list"])[0]["meeting"], "board");
    server.steer("board", "POST", "end", &Value::Null);
    drop(anna);
    wait::until("the run's end", PATIENCE, || {
        let runs = admin.json(&["history", "meetings", "--meeting", "board"]);
        (runs[0]["cause"] == "ended").then_some(())
    });
    let run = admin.json(&["history", "meetings"])[0]["id"].clone();
    let run = run.as_str().expect("an id");
    let stays = admin.json(&["history", "participants", "--run", run]);
    assert_eq!((&stays[0]["identity"], stays.as_array().map(Vec::len)), (&json!("anna"), Some(1)));
    let table = admin.run(&["history", "participants"], "").printed;
    assert!(table.starts_with("JOINED AT") && table.contains("meeting_ended"), "{table}");
    let csv = admin.run(&["history", "meetings", "--csv"], "");
    assert!(csv.code == 0 && csv.printed.starts_with("id,meeting,name,"), "{csv:?}");
    assert_eq!(csv.printed.lines().count(), 2, "{csv:?}");
    assert_eq!(admin.json(&["history", "legs"]), json!([]));
    server.stop();
}

#[test]
fn what_a_crash_cut_off_is_ended_at_the_next_start() {
    let story = Story::begin_beside_others("what_a_crash_cut_off");
    let server = Server::start(&story);
    let (name, first) = server.first.clone().expect("a first administrator");
    let admin = Page::first_sign_in(&server, &name, &first);
    let anna = PythonPeer::join(RED, &server.origin, &token::to_join("anna", "board"), false);
    let there = |it: &[Value]| it.len() == 1 && it[0]["left_at"].is_null();
    entries(&admin, "/api/v1/history/participants", "the stay is written", there);
    server.kill();
    drop(anna);

    let server = Server::start(&story);
    let admin = Page::sign_in(&server, &name, PASSWORD).expect("signs in");
    for list in ["meetings", "participants"] {
        let path = format!("/api/v1/history/{list}");
        let found = admin.ask("GET", &path, None).body;
        assert_eq!(found["items"][0]["cause"], "server_stopped", "{found}");
    }
    server.stop();
}

/// Puts so many stays into the database of a server that does not run.
fn fill(story: &Story, rows: usize) {
    let program = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
def stay(n):
    began = 1_700_000_000_000 + n * 1000
    id = f'0190{n:04x}-0000-7000-8000-{n:012x}' if n < 65536 else f'0191{n-65536:04x}-0000-7000-8000-{n:012x}'
    return (id, id, f'm{n % 50}', f'p{n % 1000}', 'Somebody', 'standard', None, began, began + 500, 'by_itself')
rows = [stay(n) for n in range(int(sys.argv[2]))]
database.executemany('INSERT INTO stays VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)', rows)
database.commit()
";
    let done = Command::new("python3")
        .args(["-c", program])
        .arg(story.file("data").join("plenum.db"))
        .arg(rows.to_string())
        .output()
        .expect("python3 starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_page_out_of_a_hundred_thousand_rows_is_there_at_once() {
    let story = Story::begin_beside_others("a_page_out_of_a_hundred_thousand_rows");
    let configuration = "[history]\ndays = 36500\n";
    let server = Server::start_with(&story, configuration);
    let (name, first) = server.first.clone().expect("a first administrator");
    drop(Page::first_sign_in(&server, &name, &first));
    server.stop();
    fill(&story, 100_000);

    let server = Server::start_with(&story, configuration);
    let admin = Page::sign_in(&server, &name, PASSWORD).expect("signs in");
    let first = admin.ask("GET", "/api/v1/history/participants?limit=100", None).body;
    let next = first["next"].as_str().expect("more");
    let middle = "0190c350-0000-7000-8000-00000000c350";
    for (what, query) in [
        ("the first page", String::new()),
        ("the next page", format!("&after={next}")),
        ("a page in the middle", format!("&after=1700050000000_{middle}")),
        ("of a meeting", "&meeting=m7".to_owned()),
        ("of a participant", "&identity=p7".to_owned()),
        ("of some days", "&since=2023-11-14T23:00:00Z&until=2023-11-15T03:00:00Z".to_owned()),
    ] {
        let path = format!("/api/v1/history/participants?limit=100{query}");
        let mut times: Vec<Duration> = (0..9)
            .map(|_| {
                let began = Instant::now();
                let page = admin.ask("GET", &path, None);
                let took = began.elapsed();
                assert_eq!(page.body["items"].as_array().map(Vec::len), Some(100), "{page:?}");
                took
            })
            .collect();
        times.sort();
        println!(
            "{what}: {:?} in the middle, {:?} at best, {:?} at worst",
            times[4], times[0], times[8]
        );
        // On a machine that does much else, whoever waits longest says nothing of the database.
        assert!(times[4] < PAGE_WITHIN, "{what}: {times:?}");
    }
    let head = format!("Cookie: {}\r\n", admin.cookie);
    let began = Instant::now();
    let file = server.request("GET", "/api/v1/history/participants.csv", &head, "");
    println!("all of them as CSV: {:?}, {} bytes", began.elapsed(), file.len());
    assert_eq!(file.matches(",by_itself\r\n").count(), 100_000);
    server.stop();
}
