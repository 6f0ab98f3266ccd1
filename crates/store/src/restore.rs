//! A backup's file into a new database.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use conference::store::audit::{AuditQuery, ChainCheck};
use flate2::read::GzDecoder;
use serde_json::Value as Json;
use sqlx::AnyConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::mpsc;
use types::Timestamp;

use crate::backup::Summary;
use crate::failure::failed;
use crate::place::{Dialect, Place};
use crate::portable::{
    BackupError, Hash, Header, LONGEST_LINE, Table, Trailer, Type, has_row_at_first,
};
use crate::sql::{Sql, Value};
use crate::{audit, prepare, schema, single, writing_slowly};

/// Bytes of lines that are read ahead, and how many such parts wait at most.
const CHUNK: usize = 256 * 1024;
const WAITING: usize = 4;
/// Values of one statement; SQLite takes 32,766, PostgreSQL 65,535.
const VALUES: usize = 1000;
/// Entries of the audit log that are checked at a time.
const SLICE: u32 = 500;

/// Restores a backup into the store of `url`, which is made where there is none and must hold
/// nothing. All of it is there afterwards, its audit log verified, or nothing is.
///
/// # Errors
/// [`BackupError`]; the database is as empty as before.
pub async fn restore(url: &str, file: &Path) -> Result<Summary, BackupError> {
    let place = Place::parse(url)?;
    let file = File::open(file)?;
    let (chunks, waiting) = mpsc::channel(WAITING);
    // Reading and decompressing block; the reader ends when nobody takes what it has read.
    let reader = tokio::task::spawn_blocking(move || read(file, &chunks));
    let mut lines = Lines { chunk: Vec::new().into_iter(), waiting, hash: Hash::new() };
    let restored = into_place(&place, &mut lines).await;
    drop(lines);
    let ended = reader.await.map_err(|error| io::Error::other(error.to_string()))?;
    match restored {
        // What went wrong with the file is why its end was missing.
        Err(BackupError::CutOff) => ended.and(Err(BackupError::CutOff)),
        restored => restored,
    }
}

/// Hands over the file's lines. An end within the packing is found by who waits for the last line.
fn read(file: File, chunks: &mpsc::Sender<Vec<Vec<u8>>>) -> Result<(), BackupError> {
    let mut input = BufReader::new(GzDecoder::new(BufReader::new(file)));
    let (mut chunk, mut size) = (Vec::new(), 0);
    loop {
        let mut line = Vec::new();
        let read = match (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(BackupError::Damaged(error.to_string())),
        };
        if read as u64 == LONGEST_LINE {
            return Err(BackupError::Damaged("a line is too long".to_owned()));
        }
        // A line without its end is none.
        let whole = line.last() == Some(&b'\n');
        if whole {
            size += line.len();
            chunk.push(line);
        }
        if !whole || size >= CHUNK {
            size = 0;
            if chunks.blocking_send(std::mem::take(&mut chunk)).is_err() || !whole {
                return Ok(());
            }
        }
    }
}

/// Lines as they come from the file.
struct Lines {
    chunk: std::vec::IntoIter<Vec<u8>>,
    waiting: mpsc::Receiver<Vec<Vec<u8>>>,
    hash: Hash,
}

impl Lines {
    async fn next(&mut self) -> Result<Vec<u8>, BackupError> {
        loop {
            if let Some(line) = self.chunk.next() {
                return Ok(line);
            }
            self.chunk = self.waiting.recv().await.ok_or(BackupError::CutOff)?.into_iter();
        }
    }
}

async fn into_place(place: &Place, lines: &mut Lines) -> Result<Summary, BackupError> {
    let first = lines.next().await?;
    let header = Header::parse(&first)?;
    lines.hash.update(&first);
    place.create()?;
    let hush = |error| place.hush(error);
    let found = prepare(place, header.schema).await.map_err(hush)?;
    // Where it was there before: of the backup's schema, or its rows may not fit.
    if let Some(found) = found.filter(|it| *it > header.schema) {
        let theirs = header.schema;
        return Err(BackupError::Foreign(format!(
            "it has schema {theirs}, the database {found}: restore into a new database"
        )));
    }
    let mut connection = single(place, writing_slowly(place)).await.map_err(hush)?;
    let begin = match place.dialect {
        Dialect::Sqlite => "BEGIN IMMEDIATE",
        Dialect::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
    };
    connection.execute(begin).await.map_err(failed)?;
    let rows = fill(&mut connection, &header, lines).await;
    let end = if rows.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.execute(end).await.map_err(failed);
    let rows = rows?;
    ended?;
    let _ = connection.close().await;
    // Then on to this version's tables.
    prepare(place, schema::LATEST).await.map_err(hush)?;
    Ok(Summary { at: Timestamp(header.at), rows })
}

async fn fill(
    connection: &mut AnyConnection,
    header: &Header,
    lines: &mut Lines,
) -> Result<BTreeMap<String, u64>, BackupError> {
    clear(connection, &header.tables).await?;
    let mut counts: BTreeMap<String, u64> =
        header.tables.iter().map(|it| (it.name.clone(), 0)).collect();
    let mut rows = Rows { table: None, values: Vec::new(), size: 0 };
    let trailer = loop {
        let line = lines.next().await?;
        let damaged = |error: serde_json::Error| BackupError::Damaged(error.to_string());
        if line.first() == Some(&b'{') {
            rows.flush(connection).await?;
            break serde_json::from_slice::<Trailer>(&line).map_err(damaged)?;
        }
        let (table, values) =
            parse(&header.tables, serde_json::from_slice(&line).map_err(damaged)?)?;
        lines.hash.update(&line);
        if let Some(count) = counts.get_mut(&table.name) {
            *count += 1;
        }
        rows.push(connection, table, values, line.len()).await?;
    };
    let hash = std::mem::replace(&mut lines.hash, Hash::new()).finish();
    if trailer != (Trailer { rows: counts.clone(), sha256: hash }) {
        return Err(BackupError::Damaged("its rows are not those that were written".to_owned()));
    }
    verify(connection).await?;
    Ok(counts)
}

/// Refuses a database that is in use, and takes out what every new one has.
async fn clear(connection: &mut AnyConnection, tables: &[Table]) -> Result<(), BackupError> {
    for table in tables.iter().map(|it| &it.name).filter(|it| !has_row_at_first(it)) {
        let text = format!("SELECT 1 FROM {table} LIMIT 1");
        let row = sqlx::query(AssertSqlSafe(text)).fetch_optional(&mut *connection).await;
        if row.map_err(failed)?.is_some() {
            return Err(BackupError::NotEmpty);
        }
    }
    for table in tables.iter().map(|it| &it.name).filter(|it| has_row_at_first(it)) {
        let text = format!("DELETE FROM {table}");
        let done = sqlx::query(AssertSqlSafe(text)).execute(&mut *connection).await;
        done.map_err(failed)?;
    }
    Ok(())
}

/// A row's table and values.
fn parse(tables: &[Table], line: Vec<Json>) -> Result<(&Table, Vec<Value>), BackupError> {
    let damaged = || BackupError::Damaged("a line is no row of its table".to_owned());
    let mut line = line.into_iter();
    let number = line.next().and_then(|it| usize::try_from(it.as_u64()?).ok());
    let table = number.and_then(|it| tables.get(it)).ok_or_else(damaged)?;
    if line.len() != table.columns.len() {
        return Err(damaged());
    }
    let values = line.zip(&table.columns).map(|(value, (_, kind))| match (kind, value) {
        (Type::Number, Json::Null) => Some(Value::Number(None)),
        (Type::Text, Json::Null) => Some(Value::Text(None)),
        (Type::Number, value) => value.as_i64().map(Value::from),
        (Type::Text, Json::String(text)) => Some(Value::Text(Some(text))),
        (Type::Text, _) => None,
    });
    Ok((table, values.collect::<Option<_>>().ok_or_else(damaged)?))
}

/// Rows of one table that are written together.
struct Rows<'t> {
    table: Option<&'t Table>,
    values: Vec<Vec<Value>>,
    size: usize,
}

impl<'t> Rows<'t> {
    async fn push(
        &mut self,
        connection: &mut AnyConnection,
        table: &'t Table,
        values: Vec<Value>,
        size: usize,
    ) -> Result<(), BackupError> {
        let full = (self.values.len() + 1) * table.columns.len() > VALUES || self.size >= CHUNK;
        if full || self.table.is_none_or(|it| it.name != table.name) {
            self.flush(connection).await?;
        }
        self.table = Some(table);
        self.values.push(values);
        self.size += size;
        Ok(())
    }

    async fn flush(&mut self, connection: &mut AnyConnection) -> Result<(), BackupError> {
        self.size = 0;
        let (Some(table), rows) = (self.table, std::mem::take(&mut self.values)) else {
            return Ok(());
        };
        if rows.is_empty() {
            return Ok(());
        }
        let head = format!("INSERT INTO {} ({}) VALUES ", table.name, table.columns());
        let mut sql = Sql::new(head);
        for (row, values) in rows.into_iter().enumerate() {
            sql = sql.push(if row == 0 { "(" } else { "), (" });
            for (column, value) in values.into_iter().enumerate() {
                sql = sql.with(if column == 0 { "" } else { ", " }, value);
            }
        }
        // Its text depends on the number of rows, so it is not worth keeping.
        let query = sql.push(")").query().persistent(false);
        query.execute(connection).await.map_err(failed)?;
        Ok(())
    }
}

async fn verify(connection: &mut AnyConnection) -> Result<(), BackupError> {
    let head = audit::head(connection).await?;
    let mut check = ChainCheck::default();
    loop {
        let query = AuditQuery { after: check.number(), limit: SLICE, ..AuditQuery::default() };
        let entries = audit::list(connection, &query).await?;
        for entry in &entries {
            check.follow(entry)?;
        }
        if entries.len() < SLICE as usize {
            check.finish(head.as_ref())?;
            return Ok(());
        }
    }
}
