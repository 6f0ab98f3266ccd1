//! A program is killed while it writes: what it was told to be written is there afterwards.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use conference::store::{Key, Store, audit};

use crate::kit::{Database, NOW, account, act, block_on, insert, keyed};

/// The store of the program that is killed; it runs a test of this executable.
const STORE: &str = "PLENUM_TEST_STORE";
const ROUND: &str = "PLENUM_TEST_ROUND";
const WRITERS: u32 = 3;

pub async fn what_was_answered_outlives_a_kill(database: &Database) {
    let rounds = if database.is_sqlite() { 30 } else { 6 };
    database.open().await.close().await;
    let mut all = Vec::new();
    for round in 0..rounds {
        let written = killed_while_writing(database, round);
        let store = database.open().await;
        for name in &written {
            assert!(account(&store, name).await.is_some(), "round {round}: {name} is gone");
        }
        all.extend(written);
        let entries = audit::verify(&store).await.unwrap();
        assert!(entries >= 2 * all.len() as u64, "round {round}: {entries} of {}", all.len());
        store.close().await;
    }
    let store = database.open().await;
    for name in &all {
        let found = store.find(conference::store::Kind::Account, "name", name).await.unwrap();
        assert_eq!(found.unwrap().id.as_str(), name);
    }
    store.close().await;
    eprintln!("{rounds} times killed, {} answered writes kept", all.len());
    assert!(all.len() > rounds as usize);
}

/// The ids that a program said to be written before it was killed.
fn killed_while_writing(database: &Database, round: u32) -> Vec<String> {
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(STORE, &database.url)
        .env(ROUND, round.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap());
    let (mut written, mut line) = (Vec::new(), String::new());
    let mut killed = false;
    while lines.read_line(&mut line).unwrap() > 0 {
        // A line without its end was not said.
        if let Some(name) = line.strip_prefix("wrote ").and_then(|it| it.strip_suffix('\n')) {
            written.push(name.to_owned());
        }
        line.clear();
        if !killed && written.len() as u32 > round * 7 % 23 {
            // At another place within a write each time.
            std::thread::sleep(Duration::from_micros(u64::from(round) * 311 % 5000));
            program.kill().unwrap();
            killed = true;
        }
    }
    program.wait().unwrap();
    assert!(killed, "round {round}: it ended by itself after {} writes", written.len());
    written
}

#[test]
#[ignore = "a part of the story above, which starts it as a program"]
fn writes_until_it_is_killed() {
    let (Ok(url), Ok(round)) = (std::env::var(STORE), std::env::var(ROUND)) else { return };
    block_on(async {
        let store = Arc::new(Database { url }.open().await);
        let writers = (0..WRITERS).map(|writer| {
            let (store, round) = (Arc::clone(&store), round.clone());
            tokio::spawn(async move {
                for number in 0..100_000 {
                    let name = format!("{round}-{writer}-{number}");
                    let body = "x".repeat(number * 997 % 20_000);
                    let change = insert(&name, keyed(&body, [Key::unique("name", &name)]));
                    let acts = [act("account.create"), act("account.see")];
                    store.write(&[change], &acts, NOW).await.unwrap();
                    println!("wrote {name}");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}
