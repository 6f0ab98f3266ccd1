//! Everything that outlives the program: the database, the server's own key, and the people in it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auth::{KeyError, LocalVault, MasterKey};
use conference::Conference;
use conference::access::{Directory, Keyring, Keys};
use conference::booking::Bookings;
use conference::history::{Historian, Keep};
use conference::kept::Keeper;
use conference::people::{FirstPassword, People, PeopleError, VaultError};
use conference::store::{Act, Actor, Batch, History, Outcome, Records, StoreError, Target};
use store::SqlStore;
use types::Timestamp;

use crate::config::{Config, ConfigError, Data, History as HistoryConfig, read_secret_file};

/// The file of the server's own key in the data folder.
const KEY_FILE: &str = "secret.key";
/// The database in the data folder, where no other is named.
const DATABASE_FILE: &str = "plenum.db";
/// How often what has expired is thrown away.
const PURGE: Duration = Duration::from_secs(600);

/// Why what is kept cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum KeepingError {
    /// The data folder cannot be made.
    #[error("the data folder {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server's own key.
    #[error("the server's own key: {0}")]
    Key(#[from] KeyError),
    /// Hashing and sealing.
    #[error("the server's own key: {0}")]
    Vault(#[from] VaultError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first account.
    #[error("the first account: {0}")]
    People(#[from] PeopleError),
    /// Where the database is.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// What is kept, open.
pub struct Kept {
    pub people: People,
    /// The database, to be closed at the end.
    pub store: Arc<SqlStore>,
}

/// Opens what is kept; at the first start it is made.
pub async fn open(config: &Config) -> Result<Kept, KeepingError> {
    make_folder(&config.data.dir)?;
    let kept = open_quietly(&config.data).await?;
    // What a crash left going on is over, before anything new begins.
    let left = kept.store.end_history_left_open().await?;
    if left > 0 {
        tracing::warn!(left, "the server did not end well last time: what went on then is ended");
    }
    note(&kept.people, "server.start").await?;
    Ok(kept)
}

/// Opens what is kept beside a server that may run, or not. What is missing is made, so look first.
pub async fn open_quietly(data: &Data) -> Result<Kept, KeepingError> {
    let vault = LocalVault::new(&MasterKey::in_file(&key_file(data))?)?;
    let store = Arc::new(store::open(&database(data)?, &store::Options::default()).await?);
    let people = People::new(Records::new(store.clone()), Arc::new(vault));
    Ok(Kept { people, store })
}

/// What keeps everything that is given, and the meetings among it, which the directory knows then.
pub async fn bookings(
    people: &People,
    directory: &Arc<Directory>,
) -> Result<(Keeper, Bookings), KeepingError> {
    let keeper = Keeper::new(people.records().clone(), people.vault().clone());
    let bookings = Bookings::open(keeper.clone(), directory.clone()).await?;
    Ok((keeper, bookings))
}

/// The keys of applications that are kept, which `keys` knows then.
pub async fn keyring(people: &People, keys: &Arc<Keys>) -> Result<Keyring, KeepingError> {
    let (records, vault) = (people.records().clone(), people.vault().clone());
    Ok(Keyring::open(records, vault, keys.clone()).await?)
}

/// The first account's name and password, at the first start alone. Made when everything else is
/// done: a start that fails before it is told would leave an account whose password nobody knows.
pub async fn first_account(
    people: &People,
) -> Result<Option<(String, FirstPassword)>, KeepingError> {
    Ok(people.first_start(now()).await?)
}

/// Writes the last entry of the audit log, and closes the database.
pub async fn close(people: &People, store: &SqlStore) {
    if let Err(error) = note(people, "server.stop").await {
        tracing::warn!(%error, "the end does not stand in the audit log");
    }
    store.close().await;
}

async fn note(people: &People, action: &str) -> Result<(), StoreError> {
    let act = Act {
        at: now(),
        actor: Actor::server(),
        action: action.to_owned(),
        target: Target::default(),
        from: None,
        outcome: Outcome::Done,
        detail: String::new(),
    };
    people.records().write(Batch::new(act), now()).await
}

/// Throws away what has expired, for as long as the program runs.
pub async fn purge(people: People) {
    let mut ticks = tokio::time::interval(PURGE);
    loop {
        ticks.tick().await;
        match people.records().store().purge(now()).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "expired records are gone"),
            Err(error) => tracing::warn!(%error, "expired records stay for now"),
        }
    }
}

/// Writes down what happens in meetings from now on.
pub fn write_history(
    people: &People,
    conference: &Conference,
    config: &HistoryConfig,
) -> Historian {
    let days = |days: u16| Duration::from_secs(u64::from(days) * 24 * 3600);
    let keep = Keep {
        rows: days(config.days),
        figures: days(config.figures_days),
        ladders: days(config.ladder_days),
    };
    Historian::start(people.records().clone(), conference, keep)
}

/// The database's URL: a secret, since it may hold a password.
pub fn database(data: &Data) -> Result<String, ConfigError> {
    let own = || format!("sqlite:{}", data.dir.join(DATABASE_FILE).display());
    match (&data.database, &data.database_file) {
        (None, None) => Ok(own()),
        (Some(url), None) => Ok(url.reveal().to_owned()),
        (None, Some(path)) => read_secret_file("[data]", path).map(|url| url.reveal().to_owned()),
        (Some(_), Some(_)) => Err(ConfigError::Conflict {
            section: "[data]".to_owned(),
            message: "give either `database` or `database_file`".to_owned(),
        }),
    }
}

/// The file of the server's own key.
pub fn key_file(data: &Data) -> PathBuf {
    data.dir.join(KEY_FILE)
}

/// Nobody else on this machine looks into it.
pub fn make_folder(path: &Path) -> Result<(), KeepingError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| KeepingError::Folder { path: path.to_owned(), source })
}

fn now() -> Timestamp {
    Timestamp::of(SystemTime::now())
}
