//! Where everything is kept that outlives the program: SQLite, or PostgreSQL by its URL.
//!
//! Both get the same tables (`migrations/`) and the same SQL. All changes and their acts are one
//! transaction, which first takes the row of the audit log's head: writers queue there, so the log's
//! numbers have no gap and its hashes follow each other. SQLite has one connection that writes and
//! some that read; its log is synchronised with every transaction, so what was answered stands after
//! a crash.

mod audit;
mod backup;
mod failure;
mod history;
mod ladders;
mod place;
mod portable;
mod records;
mod restore;
mod schema;
mod sql;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use conference::store::{
    Act, AuditEntry, AuditQuery, Change, Figures, History, HistoryQuery, HistoryRetention,
    HistoryRow, Kind, LadderQuery, LegCall, List, Record, Run, Stay, Store, StoreError,
};
use conference::telephony::{Ladder, LadderHead};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Transaction};
use types::{RecordId, Timestamp};

pub use backup::{Summary, backup};
pub use portable::BackupError;
pub use restore::restore;

use failure::{failed, within};
use place::{Dialect, Place};

/// How many connections there are at most, and how long one is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Connections that read.
    pub readers: u32,
    /// Connections that write to PostgreSQL; SQLite has one.
    pub writers: u32,
    /// Who gets no connection within this time is told that the database is not available.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { readers: 4, writers: 2, patience: Duration::from_secs(10) }
    }
}

/// `journal_size_limit`: a log that a long backup let grow shrinks again.
const SQLITE: &[&str] = &[
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
];
const SQLITE_READER: &[&str] = &["PRAGMA busy_timeout = 5000", "PRAGMA query_only = ON"];
/// A server's own settings may be laxer than what this program promises.
const POSTGRES: &[&str] = &[
    "SET synchronous_commit = on",
    "SET lock_timeout = '10s'",
    "SET statement_timeout = '25s'",
    "SET idle_in_transaction_session_timeout = '60s'",
];
const POSTGRES_SLOW: &[&str] = &["SET synchronous_commit = on", "SET lock_timeout = '10s'"];

/// A store in a database of SQL.
pub struct SqlStore {
    place: Place,
    writers: AnyPool,
    readers: AnyPool,
}

/// Opens the store of `sqlite:/path/file.db` or `postgres://user:password@host/database`, and brings
/// its tables up to date; SQLite's file is made where there is none.
///
/// # Errors
/// [`StoreError::Unavailable`], whose text never holds the URL's password.
pub async fn open(url: &str, options: &Options) -> Result<SqlStore, StoreError> {
    let place = Place::parse(url)?;
    place.create()?;
    let found = prepare(&place, schema::LATEST).await.map_err(|error| place.hush(error))?;
    tracing::info!(database = place.label, found, schema = schema::LATEST, "the store is open");
    SqlStore::connect(place, options)
}

/// The version of a database's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Which one they have.
    pub found: i64,
    /// Which one this program brings them to.
    pub latest: i64,
}

/// Looks at the database without changing anything; `None`: there is none, or it is empty.
///
/// # Errors
/// [`StoreError::Unavailable`], also where a later version of the program wrote it. The text never
/// holds the URL's password.
pub async fn look(url: &str) -> Result<Option<Schema>, StoreError> {
    let place = Place::parse(url)?;
    if !place.exists() {
        return Ok(None);
    }
    let looked = async {
        let mut connection = single(&place, reading_slowly(&place)).await?;
        let found = within(schema::found(&mut connection)).await?;
        connection.close().await.map_err(failed)?;
        match found {
            Some(later) if later > schema::LATEST => Err(schema::later_version(later)),
            found => Ok(found.map(|found| Schema { found, latest: schema::LATEST })),
        }
    };
    looked.await.map_err(|error| place.hush(error))
}

/// Brings the tables to a schema, and says which one they had.
async fn prepare(place: &Place, target: i64) -> Result<Option<i64>, StoreError> {
    let mut connection = single(place, writing_slowly(place)).await?;
    // As long as it takes: an index over years of history is not made in seconds.
    let found = schema::migrate(&mut connection, place.dialect, target).await;
    connection.close().await.map_err(failed)?;
    found
}

/// One connection outside of the pools, for what takes long; it says at once why there is none.
async fn single(place: &Place, statements: &[&'static str]) -> Result<AnyConnection, StoreError> {
    within(async {
        let mut connection = connect_options(place)?.connect().await.map_err(failed)?;
        set_up(&mut connection, statements).await.map_err(failed)?;
        Ok(connection)
    })
    .await
}

fn writing_slowly(place: &Place) -> &'static [&'static str] {
    match place.dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES_SLOW,
    }
}

fn reading_slowly(place: &Place) -> &'static [&'static str] {
    match place.dialect {
        Dialect::Sqlite => SQLITE_READER,
        Dialect::Postgres => POSTGRES_SLOW,
    }
}

async fn set_up(connection: &mut AnyConnection, statements: &[&'static str]) -> sqlx::Result<()> {
    for statement in statements {
        connection.execute(*statement).await?;
    }
    Ok(())
}

fn connect_options(place: &Place) -> Result<AnyConnectOptions, StoreError> {
    sqlx::any::install_default_drivers();
    // Statements are logged without their values, and at warning level where they take a second.
    place.url.parse().map_err(failed)
}

impl SqlStore {
    fn connect(place: Place, options: &Options) -> Result<Self, StoreError> {
        let (write, read, writers) = match place.dialect {
            Dialect::Sqlite => (SQLITE, SQLITE_READER, 1),
            Dialect::Postgres => (POSTGRES, POSTGRES, options.writers),
        };
        let connect = connect_options(&place).map_err(|error| place.hush(error))?;
        let writers = pool(&place, write, writers, options).connect_lazy_with(connect.clone());
        let readers = pool(&place, read, options.readers, options).connect_lazy_with(connect);
        Ok(Self { place, writers, readers })
    }

    /// Ends all connections after what they do now.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }

    /// Writes everything as it is now into a file that [`restore`] reads, while others go on
    /// reading and writing.
    ///
    /// # Errors
    /// [`BackupError`]; no file is left then.
    pub async fn backup(&self, file: &Path, now: Timestamp) -> Result<Summary, BackupError> {
        backup::of(&self.place, file, now).await
    }

    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<Any>, StoreError> {
        self.readers.acquire().await.map_err(failed)
    }

    /// A transaction that may write.
    async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let begin = match self.place.dialect {
            // At once, since one that begins by reading cannot always go on to write.
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        self.writers.begin_with(begin).await.map_err(failed)
    }

    async fn commit(&self, transaction: Transaction<'static, Any>) -> Result<(), StoreError> {
        transaction.commit().await.map_err(failed)
    }
}

fn pool(
    place: &Place,
    statements: &'static [&'static str],
    most: u32,
    options: &Options,
) -> AnyPoolOptions {
    let pool = AnyPoolOptions::new()
        .max_connections(most.max(1))
        .acquire_timeout(options.patience)
        .after_connect(move |connection, _| Box::pin(set_up(connection, statements)));
    match place.dialect {
        // A file neither goes away nor gets tired.
        Dialect::Sqlite => pool.test_before_acquire(false).idle_timeout(None).max_lifetime(None),
        Dialect::Postgres => pool,
    }
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlStore").field(&self.place.label).finish()
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn get(&self, kind: Kind, id: &RecordId) -> Result<Option<Record>, StoreError> {
        within(async { records::get(&mut *self.reader().await?, kind, id).await }).await
    }

    async fn find(
        &self,
        kind: Kind,
        key: &'static str,
        value: &str,
    ) -> Result<Option<Record>, StoreError> {
        within(async { records::find(&mut *self.reader().await?, kind, key, value).await }).await
    }

    async fn list(&self, list: &List) -> Result<Vec<Record>, StoreError> {
        within(async { records::list(&mut *self.reader().await?, list).await }).await
    }

    async fn write(
        &self,
        changes: &[Change],
        acts: &[Act],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        within(async {
            let mut transaction = self.begin().await?;
            let head = audit::advance(&mut transaction, acts.len()).await?;
            for change in changes {
                records::apply(&mut transaction, change, now).await?;
            }
            audit::append(&mut transaction, head, acts).await?;
            self.commit(transaction).await
        })
        .await
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let slice = within(async {
                let mut transaction = self.begin().await?;
                audit::advance(&mut transaction, 0).await?;
                let slice = records::purge(&mut transaction, now).await?;
                self.commit(transaction).await?;
                Ok(slice)
            });
            match slice.await? {
                0 => return Ok(gone),
                slice => gone += slice,
            }
        }
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        within(async { audit::list(&mut *self.reader().await?, query).await }).await
    }

    async fn audit_head(&self) -> Result<Option<(u64, String)>, StoreError> {
        within(async { audit::head(&mut *self.reader().await?).await }).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        within(async { self.reader().await?.ping().await.map_err(failed) }).await
    }
}

#[async_trait]
impl History for SqlStore {
    async fn write_history(&self, rows: &[HistoryRow], now: Timestamp) -> Result<(), StoreError> {
        within(async {
            let mut transaction = self.begin().await?;
            history::alive(&mut transaction, now).await?;
            history::write(&mut transaction, rows).await?;
            self.commit(transaction).await
        })
        .await
    }

    async fn end_history_left_open(&self) -> Result<u64, StoreError> {
        within(async {
            let mut transaction = self.begin().await?;
            let ended = history::end_left_open(&mut transaction).await?;
            self.commit(transaction).await?;
            Ok(ended)
        })
        .await
    }

    async fn runs(&self, query: &HistoryQuery) -> Result<Vec<Run>, StoreError> {
        within(async { history::runs(&mut *self.reader().await?, query).await }).await
    }

    async fn stays(&self, query: &HistoryQuery) -> Result<Vec<Stay>, StoreError> {
        within(async { history::stays(&mut *self.reader().await?, query).await }).await
    }

    async fn legs(&self, query: &HistoryQuery) -> Result<Vec<LegCall>, StoreError> {
        within(async { history::legs(&mut *self.reader().await?, query).await }).await
    }

    async fn ladders(&self, query: &LadderQuery) -> Result<Vec<LadderHead>, StoreError> {
        within(async { ladders::list(&mut *self.reader().await?, query).await }).await
    }

    async fn ladder(&self, id: &RecordId) -> Result<Option<Ladder>, StoreError> {
        within(async { ladders::find(&mut *self.reader().await?, id).await }).await
    }

    async fn figures(
        &self,
        stay: &RecordId,
        after: Timestamp,
        limit: u32,
    ) -> Result<Vec<Figures>, StoreError> {
        within(async { history::figures(&mut *self.reader().await?, stay, after, limit).await })
            .await
    }

    async fn trim_history(&self, retention: HistoryRetention) -> Result<u64, StoreError> {
        let mut gone = 0;
        for what in history::TRIMMED {
            loop {
                let slice = within(async {
                    let mut transaction = self.begin().await?;
                    let slice = history::trim(&mut transaction, *what, retention).await?;
                    self.commit(transaction).await?;
                    Ok(slice)
                });
                match slice.await? {
                    0 => break,
                    slice => gone += slice,
                }
            }
        }
        Ok(gone)
    }
}
