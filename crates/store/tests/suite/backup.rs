//! Backup and restore.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use conference::store::{
    AuditQuery, Figures, History, HistoryQuery, HistoryRow, Key, Kind, List, Run, Store, audit,
};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use store::{BackupError, SqlStore, Summary};
use types::MeetingId;

use crate::kit::{Database, Folder, NOW, account, accounts, act, draft, id, insert, keyed, update};

async fn fill(store: &SqlStore) {
    for number in 0..700 {
        let name = number.to_string();
        let keys = [Key::unique("name", &name), Key::shared("group", "все")];
        let mut whole = keyed(r#"{"a":"ж🦔\u0000\"'"}"#, keys);
        whole.search = "анна \\ \r\n".to_owned();
        whole.expires_at = (number % 2 == 0).then_some(NOW);
        store.write(&[insert(&name, whole)], &[act("account.create")], NOW).await.unwrap();
    }
    store.write(&[insert("large", draft(&"x".repeat(1_000_000)))], &[], NOW).await.unwrap();
    store.write(&[update("7", None, draft("{}"))], &[], NOW).await.unwrap();
    let run = Run {
        id: id("run"),
        meeting: MeetingId::parse("board").unwrap(),
        name: "Совет".to_owned(),
        started_at: NOW,
        ended_at: None,
        cause: String::new(),
        most_participants: 3,
    };
    let figures = (0..300).map(|it| {
        let at = NOW.after(std::time::Duration::from_secs(it));
        let figures = Figures { at, loss_in: Some(1), ..Figures::default() };
        HistoryRow::Figures { stay: id("stay"), figures }
    });
    let rows: Vec<HistoryRow> = figures.chain([HistoryRow::Run(run)]).collect();
    store.write_history(&rows, NOW).await.unwrap();
}

/// Everything that can be read.
async fn content(store: &SqlStore) -> impl PartialEq + std::fmt::Debug + use<> {
    let accounts = store.list(&List { limit: 9999, ..accounts() }).await.unwrap();
    let by = Some(("group", "все".to_owned()));
    let shared = store.list(&List { limit: 9999, by, ..crate::kit::accounts() }).await.unwrap();
    let unique = store.find(Kind::Account, "name", "69").await.unwrap();
    assert!(unique.is_some() && shared.len() == 699);
    let log = AuditQuery { limit: 9999, ..AuditQuery::default() };
    let log = store.audit(&log).await.unwrap();
    let query = HistoryQuery { limit: 99, ..HistoryQuery::default() };
    let runs = store.runs(&query).await.unwrap();
    let figures = store.figures(&id("stay"), types::Timestamp(0), 999).await.unwrap();
    assert_eq!((runs.len(), figures.len()), (1, 300));
    (accounts, shared, unique, log, (runs, figures, store.audit_head().await.unwrap()))
}

pub async fn a_backup_is_restored_into_either_database(database: &Database) {
    let folder = Folder::new("restored");
    let store = database.open().await;
    fill(&store).await;
    let was = content(&store).await;
    let file = folder.path().join("first.backup");
    let made = store::backup(&database.url, &file, NOW).await.unwrap();
    assert_eq!((made.at, made.rows["records"], made.rows["audit"]), (NOW, 701, 700));
    store.close().await;
    // Into a new SQLite, and from there back into an emptied database of the first kind.
    let sqlite = Database { url: format!("sqlite:{}/new/b.db", folder.path().display()) };
    assert_eq!(store::restore(&sqlite.url, &file).await.unwrap(), made);
    assert_eq!(rights(&folder.path().join("new/b.db")), 0o600);
    let store = sqlite.open().await;
    assert!(content(&store).await == was);
    assert_eq!(audit::verify(&store).await, Ok(700));
    let again = folder.path().join("second.backup");
    assert_eq!(store.backup(&again, NOW).await.unwrap(), made);
    store.close().await;
    assert_eq!(lines(&again), lines(&file));
    let emptied = "DELETE FROM records; DELETE FROM audit; DELETE FROM runs; DELETE FROM figures;";
    database.tamper(emptied).await;
    assert_eq!(store::restore(&database.url, &again).await.unwrap(), made);
    let store = database.open().await;
    assert!(content(&store).await == was);
    // Life goes on: keys are known, numbers follow.
    let taken = insert("new", keyed("{}", [Key::unique("name", "69")]));
    assert!(store.write(&[taken], &[act("a")], NOW).await.is_err());
    store.write(&[insert("new", draft("{}"))], &[act("a")], NOW).await.unwrap();
    assert_eq!(audit::verify(&store).await, Ok(701));
    store.end_history_left_open().await.unwrap();
    store.close().await;
}

/// Who may read it.
fn rights(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

/// What it says; two backups of the same content say the same.
fn lines(file: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn pack(file: &Path, text: &str) {
    let mut out = GzEncoder::new(std::fs::File::create(file).unwrap(), Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap();
}

pub async fn a_backup_is_of_one_time(database: &Database) {
    let folder = Folder::new("live");
    let store = Arc::new(database.open().await);
    store.write(&[insert("count", draft("0"))], &[], NOW).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let mut count = 0;
            while !*stopped.borrow() {
                count += 1;
                let made = insert(&format!("{count:06}"), draft("{}"));
                let counted = update("count", None, draft(&count.to_string()));
                store.write(&[made, counted], &[act("a")], NOW).await.unwrap();
            }
            count
        }
    });
    let mut made: Vec<Summary> = Vec::new();
    while made.len() < 3 || made[0].rows["records"] + 3 > made[made.len() - 1].rows["records"] {
        let file = folder.path().join(format!("{}.backup", made.len()));
        made.push(store.backup(&file, NOW).await.unwrap());
    }
    stop.send(true).unwrap();
    let written = writer.await.unwrap();
    for (number, summary) in made.iter().enumerate() {
        let url = format!("sqlite:{}/{number}.db", folder.path().display());
        let file = folder.path().join(format!("{number}.backup"));
        store::restore(&url, &file).await.unwrap();
        let restored = Database { url }.open().await;
        let count: u64 = account(&restored, "count").await.unwrap().body.parse().unwrap();
        // The counter, the rows and the log are of the same moment.
        assert_eq!((count + 1, count), (summary.rows["records"], summary.rows["audit"]));
        assert_eq!(audit::verify(&restored).await, Ok(count));
        assert!(count <= written);
        restored.close().await;
    }
    store.close().await;
}

pub async fn a_damaged_backup_restores_nothing(database: &Database) {
    let folder = Folder::new("damaged");
    let store = database.open().await;
    for number in 0..20 {
        let changes = [insert(&number.to_string(), draft("{}"))];
        store.write(&changes, &[act("account.create")], NOW).await.unwrap();
    }
    let file = folder.path().join("whole.backup");
    store.backup(&file, NOW).await.unwrap();
    store.close().await;
    let (whole, packed) = (lines(&file), std::fs::read(&file).unwrap());
    let bad = folder.path().join("bad.backup");
    let target = Database { url: format!("sqlite:{}/target.db", folder.path().display()) };
    let refused = async |what: &str| {
        let error = store::restore(&target.url, &bad).await.expect_err(what);
        eprintln!("{what}: {error}");
        error
    };
    for length in [0, 5, 20, packed.len() / 2, packed.len() - 30] {
        std::fs::write(&bad, &packed[..length]).unwrap();
        let error = refused("cut off while packed").await;
        assert!(matches!(error, BackupError::CutOff | BackupError::Damaged(_)), "{error:?}");
    }
    let ends: Vec<usize> = whole.match_indices('\n').map(|it| it.0 + 1).collect();
    for end in [ends[0], ends[5], ends[ends.len() - 2], ends[5] + 9, whole.len() - 1] {
        pack(&bad, &whole[..end]);
        let error = refused("cut off").await;
        assert!(matches!(error, BackupError::CutOff), "{error:?}");
    }
    let mut flipped = packed.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    std::fs::write(&bad, &flipped).unwrap();
    refused("a bit is another").await;
    for (what, from, to) in [
        ("a record is another", "\"{}\"", "\"[]\""),
        ("a row is none of its table", "[0,\"account\",", "[0,"),
        ("a row is of no table", "[0,\"account\",", "[77,\"account\","),
        ("another form", "\"form\":1", "\"form\":2"),
        ("another schema", "\"schema\":2", "\"schema\":3"),
        ("no table of ours", "\"name\":\"legs\"", "\"name\":\"legs; DROP TABLE audit\""),
        ("another count", "\"audit\":20", "\"audit\":21"),
        ("no line of ours", "[0,\"account\",", "[0,account,"),
    ] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole, "{what}");
        pack(&bad, &changed);
        refused(what).await;
    }
    // Somebody who knows how the file is hashed, but not how the log is.
    let forged =
        whole.replacen("\"server\",\"account.create\"", "\"mallory\",\"account.create\"", 1);
    let start = forged[..forged.len() - 1].rfind('\n').unwrap() + 1;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &forged.as_bytes()[..start]);
    let hash: String = digest.as_ref().iter().map(|it| format!("{it:02x}")).collect();
    let old = whole.rsplit("\"sha256\":\"").next().unwrap().split('"').next().unwrap();
    pack(&bad, &forged.replace(old, &hash));
    let error = refused("a forged log").await;
    assert!(matches!(error, BackupError::Chain(_)), "{error:?}");
    // After all of that the same place takes the whole one.
    store::restore(&target.url, &file).await.unwrap();
    let store = target.open().await;
    assert_eq!(audit::verify(&store).await, Ok(20));
    store.close().await;
}

pub async fn nothing_is_written_over(database: &Database) {
    let folder = Folder::new("over");
    let file = folder.path().join("a.backup");
    let nowhere = Database { url: format!("sqlite:{}/none.db", folder.path().display()) };
    let none = store::backup(&nowhere.url, &file, NOW).await.unwrap_err();
    assert!(matches!(none, BackupError::NoDatabase), "{none}");
    assert!(!folder.path().join("none.db").exists());
    let store = database.open().await;
    store.write(&[insert("a", draft("{}"))], &[], NOW).await.unwrap();
    store.backup(&file, NOW).await.unwrap();
    assert_eq!(rights(&file), 0o600);
    let was = std::fs::read(&file).unwrap();
    let exists = store.backup(&file, NOW).await.unwrap_err();
    assert!(matches!(exists, BackupError::Exists), "{exists}");
    assert_eq!(std::fs::read(&file).unwrap(), was);
    let used = store::restore(&database.url, &file).await.unwrap_err();
    assert!(matches!(used, BackupError::NotEmpty), "{used}");
    assert!(account(&store, "a").await.is_some());
    let missing = store::restore(&nowhere.url, &folder.path().join("b.backup")).await.err();
    assert!(matches!(missing, Some(BackupError::File(_))), "{missing:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    store.close().await;
}
