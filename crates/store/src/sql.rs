//! SQL that is put together from parts, with its values apart from it.

use std::borrow::Cow;
use std::collections::HashSet;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, ColumnIndex, Decode, Row, Type};

use conference::store::StoreError;

use crate::failure::failed;

/// Values of one statement that writes rows. SQLite finds the place of each by looking at those
/// before it, so that more of them cost more than another statement.
const MOST_VALUES: usize = 512;

/// A value of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Number(Option<i64>),
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

/// A table whose rows are written whole: a row takes the place of an earlier one with its key.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Those of its key first.
    pub(crate) columns: &'static [&'static str],
    pub(crate) key: usize,
}

impl Table {
    /// Writes rows with few statements. Each is a way to the database and back, in which the writers'
    /// only connection is held: a hundred of them, on a machine with much else to do, take seconds.
    pub(crate) async fn write(
        &self,
        connection: &mut AnyConnection,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), StoreError> {
        let rows = self.last_of_each(rows);
        let most = (MOST_VALUES / self.columns.len().max(1)).max(1);
        for rows in rows.chunks(most) {
            let text = self.insert(rows.len());
            // Of each number of rows there is another statement: a full one alone comes again.
            let query = sqlx::query(AssertSqlSafe(text)).persistent(rows.len() == most);
            let query = rows.iter().flatten().cloned().fold(query, bind);
            query.execute(&mut *connection).await.map_err(failed)?;
        }
        Ok(())
    }

    /// One statement changes a row once.
    fn last_of_each(&self, rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
        let mut seen = HashSet::new();
        let mut is_last = |row: &Vec<Value>| {
            let key: Vec<Value> = row.iter().take(self.key).cloned().collect();
            seen.insert(key)
        };
        let mut rows: Vec<Vec<Value>> = rows.into_iter().rev().filter(|it| is_last(it)).collect();
        rows.reverse();
        rows
    }

    fn insert(&self, rows: usize) -> String {
        let width = self.columns.len();
        let row = |row: usize| {
            let places = (1..=width).map(|it| format!("${}", row * width + it));
            format!("({})", places.collect::<Vec<_>>().join(", "))
        };
        let rows: Vec<String> = (0..rows).map(row).collect();
        let (key, others) = self.columns.split_at(self.key.min(width));
        let others: Vec<String> = others.iter().map(|it| format!("{it} = excluded.{it}")).collect();
        format!(
            "INSERT INTO {} ({}) VALUES {} ON CONFLICT ({}) DO UPDATE SET {}",
            self.name,
            self.columns.join(", "),
            rows.join(", "),
            key.join(", "),
            others.join(", ")
        )
    }
}

fn bind(
    query: Query<'static, Any, AnyArguments>,
    value: Value,
) -> Query<'static, Any, AnyArguments> {
    match value {
        Value::Number(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
    }
}

/// A statement. Its text comes from this program alone; whatever came from elsewhere is a value.
pub(crate) struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new() }
    }

    #[must_use]
    pub(crate) fn push(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Adds `text` and after it the place of a value.
    #[must_use]
    pub(crate) fn with(mut self, text: &str, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self.text.push_str(text);
        self.text.push_str(&format!("${}", self.values.len()));
        self
    }

    /// The same where there is a value.
    #[must_use]
    pub(crate) fn when(self, text: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(text, value),
            None => self,
        }
    }

    pub(crate) fn query(self) -> Query<'static, Any, AnyArguments> {
        let query = sqlx::query(AssertSqlSafe(self.text));
        self.values.into_iter().fold(query, bind)
    }
}

/// A row's value.
pub(crate) fn column<'r, T, I>(row: &'r AnyRow, index: I) -> Result<T, StoreError>
where
    T: Decode<'r, Any> + Type<Any>,
    I: ColumnIndex<AnyRow>,
{
    row.try_get(index).map_err(failed)
}

/// PostgreSQL's texts cannot hold a NUL, so no text has one.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The same, and no longer than `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    let mut text = clean(text);
    if text.len() > limit {
        let end = (0..=limit).rev().find(|&it| text.is_char_boundary(it)).unwrap_or(0);
        text.to_mut().truncate(end);
    }
    text
}

/// Numbers of the database have a sign, ours of this kind have none.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_in_their_order() {
        let sql = Sql::new("SELECT a FROM t")
            .with(" WHERE a = ", "x")
            .when(" AND b < ", None::<i64>)
            .when(" AND c > ", Some(3))
            .push(" LIMIT 1");
        assert_eq!(sql.text, "SELECT a FROM t WHERE a = $1 AND c > $2 LIMIT 1");
        assert_eq!(sql.values.len(), 2);
    }

    #[test]
    fn rows_are_written_in_one_statement_and_the_last_of_a_key_counts() {
        let table = Table { name: "t", columns: &["a", "b"], key: 1 };
        assert_eq!(
            table.insert(2),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) \
             ON CONFLICT (a) DO UPDATE SET b = excluded.b"
        );
        let row = |a: i64, b: &str| vec![Value::from(a), Value::from(b)];
        let rows = vec![row(1, "x"), row(2, "y"), row(1, "z")];
        assert_eq!(table.last_of_each(rows), [row(2, "y"), row(1, "z")]);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("пленум", 5), "пл");
        assert_eq!(cut("a\0b", 9), "a\u{fffd}b");
        assert_eq!(cut("abc", 3), "abc");
    }
}
