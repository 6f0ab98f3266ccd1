//! A large database. `make soak`.
#![allow(clippy::unwrap_used, reason = "test code; clippy sees only #[test] functions")]

use std::time::{Duration, Instant};

use conference::store::{Change, Draft, History, Key, Kind, List, Store};
use store::Options;
use types::{RecordId, Timestamp};

const RECORDS: u64 = 120_000;
const A_BATCH: u64 = 500;
/// With keys and indexes this makes a gigabyte of all.
const BODY: usize = 8000;
const OPENS: Duration = Duration::from_secs(2);
const NOW: Timestamp = Timestamp(1_750_000_000_000);

fn record(number: u64) -> Change {
    let body = format!("{{\"number\":{number},\"text\":\"{}\"}}", "ж".repeat(BODY / 2));
    let keys = vec![Key::unique("name", format!("name{number}")), Key::shared("group", "all")];
    let draft = Draft { body, keys, search: format!("name{number}"), expires_at: None };
    Change::Insert { kind: Kind::Account, id: RecordId::new(format!("{number:09}")), draft }
}

#[tokio::test]
#[ignore = "soak"]
async fn a_gigabyte_is_opened_within_two_seconds() {
    let folder = std::env::temp_dir().join(format!("plenum-store-soak-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("plenum.db");
    let url = format!("sqlite:{}", file.display());
    let store = store::open(&url, &Options::default()).await.unwrap();
    for batch in 0..RECORDS / A_BATCH {
        let made: Vec<Change> = (batch * A_BATCH..(batch + 1) * A_BATCH).map(record).collect();
        store.write(&made, &[], NOW).await.unwrap();
    }
    // Not closed: as after a crash, its log is still to be taken over.
    std::mem::forget(store);
    let size = std::fs::metadata(&file).unwrap().len();
    let begun = Instant::now();
    let store = store::open(&url, &Options::default()).await.unwrap();
    store.end_history_left_open().await.unwrap();
    let list = List { kind: Kind::Account, by: None, search: None, after: None, limit: 50 };
    assert_eq!(store.list(&list).await.unwrap().len(), 50);
    let found = store.find(Kind::Account, "name", "name77777").await.unwrap();
    let took = begun.elapsed();
    store.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
    eprintln!("{} MB opened and read from in {took:.1?}", size / 1_000_000);
    assert!(found.is_some());
    assert!(size > 1_000_000_000, "{size}");
    assert!(took < OPENS, "{took:?}");
}
