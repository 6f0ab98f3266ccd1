//! Lists as CSV (RFC 4180), a slice of the database at a time: a file of any length takes no more
//! memory than a slice.

use axum::body::Body;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use conference::store::{HistoryQuery, Records, StoreError};
use futures_util::Stream;
use futures_util::stream::unfold;

use crate::history::Listed;

/// Rows that are read at a time.
const SLICE: u32 = 500;

/// The rows of a list, a slice at a time.
pub fn slices<T: Listed>(
    records: Records,
    query: HistoryQuery,
) -> impl Stream<Item = Result<String, StoreError>> + Send + 'static {
    let first = Some(HistoryQuery { limit: SLICE, ..query });
    unfold((records, first), |(records, query)| async move {
        let mut query = query?;
        let rows = match T::read(records.store(), &query).await {
            Ok(rows) => rows,
            // The file breaks off, which its reader sees: it has no proper end.
            Err(error) => {
                tracing::error!(%error, "a CSV file breaks off");
                return Some((Err(error), (records, None)));
            }
        };
        let full = rows.len() >= SLICE as usize;
        query.after = rows.last().map(T::place);
        let mut text = String::new();
        rows.into_iter().for_each(|row| line(&mut text, &row.cells()));
        Some((Ok(text), (records, full.then_some(query))))
    })
}

/// An answer that is a file to keep.
pub fn file(
    name: &str,
    columns: &[&str],
    rows: impl Stream<Item = Result<String, StoreError>> + Send + 'static,
) -> Response {
    let mut head = String::new();
    line(&mut head, columns);
    let head = futures_util::stream::iter([Ok(head)]);
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, &disposition),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let body = Body::from_stream(futures_util::StreamExt::chain(head, rows));
    (headers, body).into_response()
}

/// Adds a line of cells.
fn line(text: &mut String, cells: &[impl AsRef<str>]) {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push(text, cell.as_ref());
    }
    text.push_str("\r\n");
}

/// A cell, in quotes where it needs them. Names and addresses come from anybody: what a table
/// program would take for a formula is made a text by an apostrophe.
fn push(text: &mut String, cell: &str) {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quoted = cell.contains(['"', ',', '\r', '\n']);
    if quoted {
        text.push('"');
    }
    if formula {
        text.push('\'');
    }
    if quoted {
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_as_rfc_4180_says_and_are_no_formulas() {
        let mut text = String::new();
        line(&mut text, &["plain", "a,b", "say \"hi\"", "two\r\nlines", "", "Совет"]);
        line(&mut text, &["=1+1", "+7", "-x", "@a", "\tx", "\rx", "=\"a\",b", "a=b"]);
        assert_eq!(
            text,
            "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\r\nlines\",,Совет\r\n\
             '=1+1,'+7,'-x,'@a,'\tx,\"'\rx\",\"'=\"\"a\"\",b\",a=b\r\n"
        );
    }
}
