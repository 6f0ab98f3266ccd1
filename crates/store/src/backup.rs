//! Everything as it is at one time, into a file, while others go on reading and writing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::mpsc;
use types::Timestamp;

use crate::failure::failed;
use crate::place::{Dialect, Place};
use crate::portable::{BackupError, FORM, FORMAT, Hash, Header, Table, Trailer, Type, tables};
use crate::sql::column;
use crate::{reading_slowly, schema, single};

/// Bytes that are handed to the file at a time, and how many of these wait for it at most.
const CHUNK: usize = 256 * 1024;
const WAITING: usize = 4;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// When it was made.
    pub at: Timestamp,
    /// The rows of each table.
    pub rows: BTreeMap<String, u64>,
}

/// Writes everything in the store of `url` as it is now into a new file, while others, also other
/// programs, go on reading and writing.
///
/// # Errors
/// [`BackupError`]; no file is left then.
pub async fn backup(url: &str, file: &Path, now: Timestamp) -> Result<Summary, BackupError> {
    of(&Place::parse(url)?, file, now).await
}

pub(crate) async fn of(place: &Place, file: &Path, now: Timestamp) -> Result<Summary, BackupError> {
    if file.exists() {
        return Err(BackupError::Exists);
    }
    if !place.exists() {
        return Err(BackupError::NoDatabase);
    }
    let mut connection =
        single(place, reading_slowly(place)).await.map_err(|error| place.hush(error))?;
    match schema::found(&mut connection).await? {
        None => return Err(BackupError::NoDatabase),
        Some(found) if found > schema::LATEST => return Err(schema::later_version(found).into()),
        Some(found) if found < schema::LATEST => {
            return Err(BackupError::OldSchema { found, wanted: schema::LATEST });
        }
        Some(_) => {}
    }
    // Under another name until it is whole, in the same folder so that it can be given its own.
    let partial = beside(file);
    let done = write(place.dialect, &mut connection, &partial, now).await;
    let _ = connection.close().await;
    let named = match done {
        Ok(summary) => publish(&partial, file).map(|()| summary).map_err(BackupError::from),
        Err(error) => Err(error),
    };
    if named.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    named
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    file.with_file_name(name)
}

/// Gives the whole file its name, on the disk too.
fn publish(partial: &Path, file: &Path) -> io::Result<()> {
    std::fs::rename(partial, file)?;
    match file.parent().filter(|it| !it.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

async fn write(
    dialect: Dialect,
    connection: &mut AnyConnection,
    partial: &Path,
    now: Timestamp,
) -> Result<Summary, BackupError> {
    // For its owner alone: it holds what the database holds.
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(partial)?;
    let (chunks, waiting) = mpsc::channel(WAITING);
    // Compressing and writing block.
    let writer = tokio::task::spawn_blocking(move || compress(file, waiting));
    let mut lines = Lines { chunk: Vec::new(), hash: Hash::new(), chunks };
    let rows = snapshot(dialect, connection, &mut lines, now).await;
    let rows = match rows {
        Ok(rows) => lines.finish(rows).await,
        Err(error) => {
            drop(lines);
            Err(error)
        }
    };
    let written = writer.await.map_err(|error| io::Error::other(error.to_string()))?;
    // What the file says comes first: that lines could not be handed over follows from it.
    written?;
    Ok(Summary { at: now, rows: rows? })
}

fn compress(file: File, mut chunks: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut out = GzEncoder::new(BufWriter::new(file), Compression::default());
    while let Some(chunk) = chunks.blocking_recv() {
        out.write_all(&chunk)?;
    }
    let file = out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Lines on their way to the file.
struct Lines {
    chunk: Vec<u8>,
    hash: Hash,
    chunks: mpsc::Sender<Vec<u8>>,
}

impl Lines {
    async fn push(&mut self, line: &impl serde::Serialize) -> Result<(), BackupError> {
        let start = self.chunk.len();
        serde_json::to_writer(&mut self.chunk, line).map_err(io::Error::from)?;
        self.chunk.push(b'\n');
        self.hash.update(self.chunk.get(start..).unwrap_or_default());
        if self.chunk.len() >= CHUNK {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BackupError> {
        let chunk = std::mem::take(&mut self.chunk);
        let gone = |_| io::Error::other("it can no longer be written");
        Ok(self.chunks.send(chunk).await.map_err(gone)?)
    }

    async fn finish(
        mut self,
        rows: BTreeMap<String, u64>,
    ) -> Result<BTreeMap<String, u64>, BackupError> {
        let hash = std::mem::replace(&mut self.hash, Hash::new()).finish();
        self.push(&Trailer { rows: rows.clone(), sha256: hash }).await?;
        self.flush().await?;
        Ok(rows)
    }
}

/// Every table as it is at the time of the first look.
async fn snapshot(
    dialect: Dialect,
    connection: &mut AnyConnection,
    lines: &mut Lines,
    now: Timestamp,
) -> Result<BTreeMap<String, u64>, BackupError> {
    let begin = match dialect {
        Dialect::Sqlite => "BEGIN",
        Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    };
    connection.execute(begin).await.map_err(failed)?;
    let (format, schema) = (FORMAT.to_owned(), schema::LATEST);
    let listed = tables().map(|it| it.0).collect();
    lines.push(&Header { format, form: FORM, schema, at: now.0, tables: listed }).await?;
    let mut counts = BTreeMap::new();
    for (number, (table, order)) in tables().enumerate() {
        let count = rows(connection, number, &table, &order, lines).await?;
        counts.insert(table.name, count);
    }
    connection.execute("COMMIT").await.map_err(failed)?;
    Ok(counts)
}

/// One table's rows, as many in memory as the database hands over at a time.
async fn rows(
    connection: &mut AnyConnection,
    number: usize,
    table: &Table,
    order: &str,
    lines: &mut Lines,
) -> Result<u64, BackupError> {
    let text = format!("SELECT {} FROM {} ORDER BY {order}", table.columns(), table.name);
    let mut rows = sqlx::query(AssertSqlSafe(text)).fetch(connection);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        lines.push(&line(number, table, &row)?).await?;
        count += 1;
    }
    Ok(count)
}

fn line(number: usize, table: &Table, row: &AnyRow) -> Result<Vec<Value>, BackupError> {
    let mut line = Vec::with_capacity(table.columns.len() + 1);
    line.push(Value::from(number));
    for (index, (_, kind)) in table.columns.iter().enumerate() {
        line.push(match kind {
            Type::Number => Value::from(column::<Option<i64>, _>(row, index)?),
            Type::Text => Value::from(column::<Option<String>, _>(row, index)?),
        });
    }
    Ok(line)
}
