//! What was answered stands, whatever becomes of the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::admin::{PASSWORD, Page};
use tests::server::Server;
use tests::story::Story;

/// Writers at a time.
const WRITERS: usize = 3;

/// Kills the server so many times while accounts are made, at another moment each time, and then
/// counts.
fn killed(name: &str, times: usize) {
    let story = Story::begin_beside_others(name);
    let server = Server::start(&story);
    let (admin, first) = server.first.clone().expect("a first administrator");
    drop(Page::first_sign_in(&server, &admin, &first));
    server.stop();
    let mut answered: Vec<String> = Vec::new();
    for round in 0..times {
        let server = Server::start(&story);
        let stopping = AtomicBool::new(false);
        let sign_in = || Page::sign_in(&server, &admin, PASSWORD).expect("signs in");
        let pages: Vec<_> = (0..WRITERS).map(|_| sign_in()).collect();
        let written: Vec<String> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..)
                .zip(&pages)
                .map(|(writer, page)| {
                    let (stopping, prefix) = (&stopping, format!("r{round}w{writer}"));
                    scope.spawn(move || write_until(page, stopping, &prefix))
                })
                .collect();
            // Between 40 and 440 ms after they begin, spread evenly.
            let moment = Duration::from_millis(40 + (round as u64 * 137) % 400);
            let since = Instant::now();
            while since.elapsed() < moment {
                std::thread::yield_now();
            }
            server.signal("KILL");
            stopping.store(true, Ordering::Relaxed);
            writers.into_iter().flat_map(|it| it.join().expect("a writer")).collect()
        });
        drop(pages);
        server.kill();
        answered.extend(written);
    }
    let server = Server::start(&story);
    let page = Page::sign_in(&server, &admin, PASSWORD).expect("signs in");
    let verified = page.ask("GET", "/api/v1/audit/verification", None).body;
    assert_eq!(verified["intact"], true, "{verified}");
    for name in &answered {
        let found = page.ask("GET", &format!("/api/v1/accounts?q={name}"), None).body;
        let there =
            found["items"].as_array().is_some_and(|it| it.iter().any(|it| it["name"] == **name));
        assert!(there, "{name} was answered with 201 and is not there");
    }
    println!(
        "{times} kills, {} writes answered, {} entries in the log",
        answered.len(),
        verified["entries"]
    );
    assert!(answered.len() >= times, "hardly anything was written: {}", answered.len());
    server.stop();
}

/// The accounts of whose making the server told.
fn write_until(page: &Page<'_>, stopping: &AtomicBool, prefix: &str) -> Vec<String> {
    let mut made = Vec::new();
    for number in 0.. {
        let name = format!("{prefix}n{number}");
        let answer = page.try_ask("POST", "/api/v1/accounts", Some(&json!({ "name": name })));
        match answer {
            Some(answer) if answer.status == 201 => made.push(name),
            _ if stopping.load(Ordering::Relaxed) => return made,
            Some(answer) => panic!("{name}: {answer:?}"),
            // The kill came a moment before its flag.
            None => return made,
        }
    }
    made
}

#[test]
fn every_write_that_was_answered_outlives_ten_kills() {
    killed("every_write_that_was_answered_outlives_ten_kills", 10);
}

#[test]
#[ignore = "soak"]
fn every_write_that_was_answered_outlives_a_hundred_kills() {
    killed("every_write_that_was_answered_outlives_a_hundred_kills", 100);
}
