//! The file of a backup: JSON lines in gzip, the same for both databases.
//!
//! The first line says what it is, of which schema and time, and which tables with which columns
//! follow; then comes a line for each row, its table's number before its values; the last line has
//! the number of rows of each table and the SHA-256 of all lines before it, so that a file which was
//! cut off or changed is refused.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use aws_lc_rs::digest::{Context, SHA256};
use conference::store::StoreError;
use conference::store::audit::ChainError;
use serde::{Deserialize, Serialize};

use crate::schema;

pub(crate) const FORMAT: &str = "plenum backup";
/// Of the file's form, not of the tables.
pub(crate) const FORM: u32 = 1;
/// A line is a row; the longest value of one is a record's body.
pub(crate) const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Type {
    Number,
    Text,
}

/// A table of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<(String, Type)>,
}

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: String,
    pub(crate) form: u32,
    pub(crate) schema: i64,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) tables: Vec<Table>,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trailer {
    pub(crate) rows: BTreeMap<String, u64>,
    pub(crate) sha256: String,
}

/// Why a backup was not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error("the backup's file: {0}")]
    File(#[from] io::Error),
    /// There is a file of this name, which is not written over.
    #[error("there is already a file of this name")]
    Exists,
    /// There is no database at the place that is to be backed up, or nothing of Plenum in it.
    #[error("there is no database of Plenum to back up")]
    NoDatabase,
    /// A version that came before wrote the database.
    #[error("the database has schema {found}, this version {wanted}: start this version once")]
    OldSchema {
        /// What it has.
        found: i64,
        /// What this version reads.
        wanted: i64,
    },
    /// It is something else, or a later version's.
    #[error("the file is no backup that this version can read: {0}")]
    Foreign(String),
    /// Its end is missing.
    #[error("the backup is cut off")]
    CutOff,
    /// It is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The audit log in it was tampered with.
    #[error("the audit log in the backup: {0}")]
    Chain(#[from] ChainError),
    /// What it would be restored into is in use.
    #[error("the database holds data already: restore into a new one")]
    NotEmpty,
}

/// A table's name, how many of its first columns its rows are ordered by, and its columns.
type Known = (&'static str, usize, &'static [(&'static str, Type)]);

/// The tables of [`schema::LATEST`]; one that others refer to stands before them.
const TABLES: &[Known] = {
    use Type::{Number, Text};
    &[
        (
            "records",
            2,
            &[
                ("kind", Text),
                ("id", Text),
                ("version", Number),
                ("created_at", Number),
                ("changed_at", Number),
                ("expires_at", Number),
                ("search", Text),
                ("body", Text),
            ],
        ),
        (
            "record_keys",
            4,
            &[("kind", Text), ("id", Text), ("name", Text), ("value", Text), ("is_unique", Number)],
        ),
        (
            "audit",
            1,
            &[
                ("number", Number),
                ("at", Number),
                ("actor_kind", Text),
                ("actor_id", Text),
                ("actor_name", Text),
                ("action", Text),
                ("target_kind", Text),
                ("target_id", Text),
                ("target_name", Text),
                ("from_address", Text),
                ("outcome", Text),
                ("detail", Text),
                ("hash", Text),
            ],
        ),
        ("audit_head", 1, &[("id", Number), ("number", Number), ("hash", Text)]),
        (
            "runs",
            1,
            &[
                ("id", Text),
                ("meeting", Text),
                ("name", Text),
                ("began_at", Number),
                ("ended_at", Number),
                ("cause", Text),
                ("most_participants", Number),
            ],
        ),
        (
            "stays",
            1,
            &[
                ("id", Text),
                ("run", Text),
                ("meeting", Text),
                ("identity", Text),
                ("name", Text),
                ("kind", Text),
                ("account", Text),
                ("began_at", Number),
                ("ended_at", Number),
                ("cause", Text),
            ],
        ),
        (
            "legs",
            1,
            &[
                ("id", Text),
                ("run", Text),
                ("stay", Text),
                ("meeting", Text),
                ("direction", Text),
                ("address", Text),
                ("codecs", Text),
                ("began_at", Number),
                ("answered_at", Number),
                ("ended_at", Number),
                ("cause", Text),
                ("ended_by", Text),
                ("call", Text),
                ("rule", Text),
                ("loss_in", Number),
                ("loss_out", Number),
                ("round_trip_ms", Number),
                ("jitter_ms", Number),
                ("bit_rate_in", Number),
                ("bit_rate_out", Number),
                ("mos", Number),
            ],
        ),
        (
            "ladders",
            1,
            &[
                ("id", Text),
                ("call", Text),
                ("began_at", Number),
                ("ended_at", Number),
                ("peer", Text),
                ("outcome", Text),
                ("messages", Text),
                ("left_out", Number),
            ],
        ),
        (
            "figures",
            2,
            &[
                ("stay", Text),
                ("at", Number),
                ("loss_in", Number),
                ("loss_out", Number),
                ("round_trip_ms", Number),
                ("bit_rate_in", Number),
                ("bit_rate_out", Number),
            ],
        ),
        ("alive", 1, &[("id", Number), ("at", Number)]),
    ]
};

/// The tables of this version, each with the columns that its rows are ordered by.
pub(crate) fn tables() -> impl Iterator<Item = (Table, String)> {
    TABLES.iter().map(|(name, ordered, columns)| {
        let order: Vec<&str> = columns.iter().take(*ordered).map(|it| it.0).collect();
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        (Table { name: (*name).to_owned(), columns }, order.join(", "))
    })
}

/// These have a row in every database, even where nothing was written yet.
pub(crate) fn has_row_at_first(table: &str) -> bool {
    matches!(table, "audit_head" | "alive")
}

impl Table {
    /// The columns as SQL lists them.
    pub(crate) fn columns(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|it| it.0.as_str()).collect();
        names.join(", ")
    }
}

impl Header {
    /// Reads the first line, whose names become part of SQL.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, BackupError> {
        let header: Self = serde_json::from_slice(line)
            .map_err(|error| BackupError::Foreign(format!("its first line: {error}")))?;
        if header.format != FORMAT || header.form != FORM {
            let Self { format, form, .. } = header;
            return Err(BackupError::Foreign(format!("it is {format:?}, form {form}")));
        }
        if !(1..=schema::LATEST).contains(&header.schema) {
            let (theirs, ours) = (header.schema, schema::LATEST);
            return Err(BackupError::Foreign(format!("it has schema {theirs}, this is {ours}")));
        }
        let tables = header.tables.iter();
        let names = tables.clone().flat_map(|it| it.columns.iter().map(|it| &it.0));
        match tables.clone().map(|it| &it.name).chain(names).find(|it| !is_name(it)) {
            Some(name) => Err(BackupError::Foreign(format!("{name:?} is no name"))),
            None if tables.clone().any(|it| it.columns.is_empty()) => {
                Err(BackupError::Foreign("a table has no columns".to_owned()))
            }
            None => Ok(header),
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
}

/// SHA-256 as it grows.
pub(crate) struct Hash(Context);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0.finish().as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(change: impl Fn(&mut Header)) -> Result<Header, BackupError> {
        let tables = tables().map(|it| it.0).collect();
        let mut header =
            Header { format: FORMAT.to_owned(), form: FORM, schema: schema::LATEST, at: 0, tables };
        change(&mut header);
        Header::parse(&serde_json::to_vec(&header).unwrap())
    }

    #[test]
    fn what_is_no_backup_of_ours_is_refused() {
        assert!(header(|_| {}).is_ok());
        for bad in [
            header(|it| it.format = "something".to_owned()),
            header(|it| it.form = 2),
            header(|it| it.schema = schema::LATEST + 1),
            header(|it| it.tables[0].name = "records; DROP TABLE audit".to_owned()),
            header(|it| it.tables[0].columns[0].0 = "kind) --".to_owned()),
            header(|it| it.tables[0].columns.clear()),
            Header::parse(b"not JSON"),
        ] {
            assert!(matches!(bad, Err(BackupError::Foreign(_))), "{bad:?}");
        }
    }
}
