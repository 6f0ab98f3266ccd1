//! Records and their keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use conference::store::{Change, Draft, Key, Kind, List, Record, StoreError};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use types::{RecordId, Timestamp};

use crate::failure::{failed, unavailable};
use crate::portable::Hash;
use crate::sql::{Sql, Value, clean, column, signed, unsigned};

/// PostgreSQL's indexes hold less than 2,700 bytes a row.
const LONGEST_ID: usize = 512;
const LONGEST_KEY: usize = 1024;
/// SQLite refuses patterns of more than 50,000 bytes, and each is tried on every record.
const LONGEST_SEARCH: usize = 4096;
/// Records that are thrown away in one transaction.
const SLICE: i64 = 500;

const COLUMNS: &str = "r.id, r.version, r.created_at, r.changed_at, r.body";

pub(crate) async fn get(
    connection: &mut AnyConnection,
    kind: Kind,
    id: &RecordId,
) -> Result<Option<Record>, StoreError> {
    let sql = Sql::new("SELECT ").push(COLUMNS).push(" FROM records r");
    let sql = sql.with(" WHERE r.kind = ", kind.word()).with(" AND r.id = ", &*clean(id.as_str()));
    one(connection, kind, sql).await
}

pub(crate) async fn find(
    connection: &mut AnyConnection,
    kind: Kind,
    key: &str,
    value: &str,
) -> Result<Option<Record>, StoreError> {
    let sql = by_key(kind, key, value).push(" AND k.is_unique = 1");
    one(connection, kind, sql).await
}

async fn one(
    connection: &mut AnyConnection,
    kind: Kind,
    sql: Sql,
) -> Result<Option<Record>, StoreError> {
    let row = sql.query().fetch_optional(connection).await.map_err(failed)?;
    row.map(|row| record(kind, &row)).transpose()
}

fn by_key(kind: Kind, key: &str, value: &str) -> Sql {
    Sql::new("SELECT ")
        .push(COLUMNS)
        .push(" FROM record_keys k JOIN records r ON r.kind = k.kind AND r.id = k.id")
        .with(" WHERE k.kind = ", kind.word())
        .with(" AND k.name = ", key)
        .with(" AND k.value = ", &*key_value(value))
}

pub(crate) async fn list(
    connection: &mut AnyConnection,
    list: &List,
) -> Result<Vec<Record>, StoreError> {
    let search = list.search.as_deref().filter(|it| !it.is_empty());
    if search.is_some_and(|it| it.len() > LONGEST_SEARCH) {
        return Ok(Vec::new());
    }
    // The column of the index that is read in the order of ids.
    let (sql, id) = match &list.by {
        Some((key, value)) => (by_key(list.kind, key, value), "k.id"),
        None => {
            let sql = Sql::new("SELECT ").push(COLUMNS).push(" FROM records r");
            (sql.with(" WHERE r.kind = ", list.kind.word()), "r.id")
        }
    };
    let after = list.after.as_ref().map(|it| clean(it.as_str()));
    let mut sql = sql.when(&format!(" AND {id} > "), after.as_deref());
    if let Some(search) = search {
        let pattern = format!("%{}%", literally(&clean(search)));
        sql = sql.with(" AND r.search LIKE ", &*pattern).push(" ESCAPE '!'");
    }
    let sql = sql.with(&format!(" ORDER BY {id} LIMIT "), i64::from(list.limit));
    let rows = sql.query().fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(|row| record(list.kind, row)).collect()
}

/// A text that a pattern of LIKE takes for itself, behind `!`.
pub(crate) fn literally(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            out.push('!');
        }
        out.push(c);
    }
    out
}

fn record(kind: Kind, row: &AnyRow) -> Result<Record, StoreError> {
    Ok(Record {
        kind,
        id: RecordId::new(column::<String, _>(row, 0)?),
        version: unsigned(column(row, 1)?),
        created_at: Timestamp(column(row, 2)?),
        changed_at: Timestamp(column(row, 3)?),
        body: column(row, 4)?,
    })
}

pub(crate) async fn apply(
    connection: &mut AnyConnection,
    change: &Change,
    now: Timestamp,
) -> Result<(), StoreError> {
    match change {
        Change::Insert { kind, id, draft } => insert(connection, *kind, id, draft, now).await,
        Change::Update { kind, id, expected, draft } => {
            update(connection, *kind, id, *expected, draft, now).await
        }
        Change::Delete { kind, id, expected } => delete(connection, *kind, id, *expected).await,
    }
}

async fn insert(
    connection: &mut AnyConnection,
    kind: Kind,
    id: &RecordId,
    draft: &Draft,
    now: Timestamp,
) -> Result<(), StoreError> {
    if id.as_str().len() > LONGEST_ID {
        return Err(unavailable(format!("an id of more than {LONGEST_ID} bytes")));
    }
    let query = sqlx::query(
        "INSERT INTO records (kind, id, version, created_at, changed_at, expires_at, search, body) \
         VALUES ($1, $2, 1, $3, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(kind.word())
    .bind(clean(id.as_str()).into_owned())
    .bind(now.0)
    .bind(draft.expires_at.map(|it| it.0))
    .bind(clean(&draft.search).into_owned())
    .bind(clean(&draft.body).into_owned());
    let made = query.execute(&mut *connection).await.map_err(failed)?;
    if made.rows_affected() == 0 {
        return Err(StoreError::Taken { kind, key: "id" });
    }
    insert_keys(connection, kind, id, &draft.keys).await
}

async fn update(
    connection: &mut AnyConnection,
    kind: Kind,
    id: &RecordId,
    expected: Option<u64>,
    draft: &Draft,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = Sql::new("UPDATE records SET version = version + 1")
        .with(", changed_at = ", now.0)
        .with(", expires_at = ", Value::Number(draft.expires_at.map(|it| it.0)))
        .with(", search = ", &*clean(&draft.search))
        .with(", body = ", &*clean(&draft.body))
        .with(" WHERE kind = ", kind.word())
        .with(" AND id = ", &*clean(id.as_str()))
        .when(" AND version = ", expected.map(signed));
    let done = sql.query().execute(&mut *connection).await.map_err(failed)?;
    if done.rows_affected() == 0 {
        return Err(stale_or_missing(connection, kind, id).await);
    }
    let query = sqlx::query("DELETE FROM record_keys WHERE kind = $1 AND id = $2")
        .bind(kind.word())
        .bind(clean(id.as_str()).into_owned());
    query.execute(&mut *connection).await.map_err(failed)?;
    insert_keys(connection, kind, id, &draft.keys).await
}

async fn delete(
    connection: &mut AnyConnection,
    kind: Kind,
    id: &RecordId,
    expected: Option<u64>,
) -> Result<(), StoreError> {
    // Its keys go with it.
    let sql = Sql::new("DELETE FROM records")
        .with(" WHERE kind = ", kind.word())
        .with(" AND id = ", &*clean(id.as_str()))
        .when(" AND version = ", expected.map(signed));
    let done = sql.query().execute(&mut *connection).await.map_err(failed)?;
    if done.rows_affected() == 0 {
        return Err(stale_or_missing(connection, kind, id).await);
    }
    Ok(())
}

async fn stale_or_missing(connection: &mut AnyConnection, kind: Kind, id: &RecordId) -> StoreError {
    match get(connection, kind, id).await {
        Ok(Some(_)) => StoreError::Stale { kind, id: id.clone() },
        Ok(None) => StoreError::Missing { kind, id: id.clone() },
        Err(error) => error,
    }
}

async fn insert_keys(
    connection: &mut AnyConnection,
    kind: Kind,
    id: &RecordId,
    keys: &[Key],
) -> Result<(), StoreError> {
    // A record may name a key twice; it is unique where it is once.
    let mut once: BTreeMap<_, bool> = BTreeMap::new();
    for key in keys {
        *once.entry((key.name, key_value(&key.value))).or_default() |= key.unique;
    }
    for ((name, value), unique) in once {
        // What another record has makes no row: no error, which would end the transaction, and no
        // code of one, which each database has its own.
        let query = sqlx::query(
            "INSERT INTO record_keys (kind, id, name, value, is_unique) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(kind.word())
        .bind(clean(id.as_str()).into_owned())
        .bind(name)
        .bind(value.into_owned())
        .bind(i64::from(unique));
        let made = query.execute(&mut *connection).await.map_err(failed)?;
        if made.rows_affected() == 0 {
            return Err(StoreError::Taken { kind, key: name });
        }
    }
    Ok(())
}

/// A key's value as the database has it: a long one by its hash, since it is only ever compared.
fn key_value(value: &str) -> Cow<'_, str> {
    if value.len() <= LONGEST_KEY {
        return clean(value);
    }
    let mut hash = Hash::new();
    hash.update(value.as_bytes());
    Cow::Owned(format!("sha256:{}", hash.finish()))
}

/// Throws away some of what has expired, and says how many.
pub(crate) async fn purge(
    connection: &mut AnyConnection,
    now: Timestamp,
) -> Result<u64, StoreError> {
    // The time stands outside too: a record may have got more of it meanwhile.
    let query = sqlx::query(
        "DELETE FROM records WHERE expires_at <= $1 AND (kind, id) IN \
         (SELECT kind, id FROM records WHERE expires_at <= $1 LIMIT $2)",
    );
    let done = query.bind(now.0).bind(SLICE).execute(connection).await.map_err(failed)?;
    Ok(done.rows_affected())
}
