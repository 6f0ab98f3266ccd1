//! SQL that is put together from parts, with its values apart from it.

use std::borrow::Cow;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, ColumnIndex, Decode, Row, Type};

use conference::store::StoreError;

use crate::failure::failed;

/// A value of a statement.
#[derive(Clone, Debug)]
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
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
        })
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
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("пленум", 5), "пл");
        assert_eq!(cut("a\0b", 9), "a\u{fffd}b");
        assert_eq!(cut("abc", 3), "abc");
    }
}
