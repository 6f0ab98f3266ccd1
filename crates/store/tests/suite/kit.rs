//! What every story needs.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use conference::store::{
    Act, Actor, Change, Draft, Key, Kind, List, Outcome, Record, Store, Target,
};
use sqlx::AnyConnection;
use sqlx::{AssertSqlSafe, Connection};
use store::{Options, SqlStore};
use types::{RecordId, Timestamp};

pub const NOW: Timestamp = Timestamp(1_750_000_000_000);

/// A folder that goes with its story.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("plenum-store-{name}-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A database that a story has for itself.
pub struct Database {
    pub url: String,
}

impl Database {
    pub fn sqlite(folder: &Folder) -> Self {
        Self { url: format!("sqlite:{}/plenum.db", folder.path().display()) }
    }

    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    pub async fn open(&self) -> SqlStore {
        store::open(&self.url, &Options::default()).await.unwrap()
    }

    /// What somebody with a shell can do to the database.
    pub async fn tamper(&self, sql: &str) {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&self.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

pub fn block_on(story: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(story);
}

pub fn id(text: impl Into<String>) -> RecordId {
    RecordId::new(text)
}

pub fn draft(body: &str) -> Draft {
    Draft { body: body.to_owned(), keys: Vec::new(), search: String::new(), expires_at: None }
}

pub fn keyed(body: &str, keys: impl Into<Vec<Key>>) -> Draft {
    Draft { keys: keys.into(), ..draft(body) }
}

pub fn insert(name: &str, draft: Draft) -> Change {
    Change::Insert { kind: Kind::Account, id: id(name), draft }
}

pub fn update(name: &str, expected: Option<u64>, draft: Draft) -> Change {
    Change::Update { kind: Kind::Account, id: id(name), expected, draft }
}

pub fn delete(name: &str, expected: Option<u64>) -> Change {
    Change::Delete { kind: Kind::Account, id: id(name), expected }
}

pub fn act(action: &str) -> Act {
    Act {
        at: NOW,
        actor: Actor::server(),
        action: action.to_owned(),
        target: Target::default(),
        from: None,
        outcome: Outcome::Done,
        detail: String::new(),
    }
}

pub async fn account(store: &dyn Store, name: &str) -> Option<Record> {
    store.get(Kind::Account, &id(name)).await.unwrap()
}

pub fn accounts() -> List {
    List { kind: Kind::Account, by: None, search: None, after: None, limit: 100 }
}

pub async fn ids(store: &dyn Store, list: &List) -> Vec<String> {
    store.list(list).await.unwrap().into_iter().map(|it| it.id.to_string()).collect()
}
