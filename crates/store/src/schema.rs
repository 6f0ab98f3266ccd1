//! The tables and how they came to be: one set of texts for both databases.

use sqlx::AnyConnection;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use conference::store::StoreError;

use crate::failure::{failed, unavailable};
use crate::place::Dialect;
use crate::sql::column;

/// Number, name and text of each step. A step that was released never changes.
const STEPS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "calls", include_str!("../migrations/0002_calls.sql")),
];

/// The schema that this program reads and writes.
pub(crate) const LATEST: i64 = 2;

/// Brings the tables to this schema, and says which one they had.
pub(crate) async fn migrate(
    connection: &mut AnyConnection,
    dialect: Dialect,
    target: i64,
) -> Result<Option<i64>, StoreError> {
    let found = found(connection).await?;
    if let Some(later) = found.filter(|it| *it > LATEST) {
        return Err(later_version(later));
    }
    let steps = STEPS.iter().map(|(number, name, text)| step(*number, name, text, dialect));
    let migrator = Migrator::with_migrations(steps.collect());
    let done = migrator.run_direct(Some(target), connection, false).await;
    done.map_err(|error| unavailable(format!("bringing its tables up to date: {error}")))?;
    Ok(found)
}

fn step(number: i64, name: &'static str, text: &str, dialect: Dialect) -> Migration {
    let text = match dialect {
        // Its order is by bytes anyway, and it knows no collation of this name.
        Dialect::Sqlite => text.replace(" COLLATE \"C\"", ""),
        Dialect::Postgres => text.to_owned(),
    };
    let text = AssertSqlSafe(text).into_sql_str();
    Migration::new(number, name.into(), MigrationType::Simple, text, false)
}

/// The schema of the tables; `None`: there are none.
pub(crate) async fn found(connection: &mut AnyConnection) -> Result<Option<i64>, StoreError> {
    let query = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations");
    match query.fetch_one(connection).await {
        Ok(row) => column(&row, 0),
        // Of a new database: there is no such table.
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

pub(crate) fn later_version(found: i64) -> StoreError {
    unavailable(format!(
        "a later version of Plenum wrote it (schema {found}, this one knows {LATEST}): start that \
         version, or restore a backup of this one's"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_is_the_schema() {
        let numbers: Vec<i64> = STEPS.iter().map(|it| it.0).collect();
        assert_eq!(numbers, (1..=LATEST).collect::<Vec<_>>());
    }

    /// Whoever runs a version of its time has its tables, and no later one would make them anew.
    #[test]
    fn a_step_that_was_released_never_changes() {
        for ((number, name, text), sum) in
            STEPS.iter().zip(["c9a8ee799e2fd175", "c179f69896fcca40"])
        {
            let step = step(*number, name, text, Dialect::Postgres);
            let found: String =
                step.checksum.iter().take(8).map(|it| format!("{it:02x}")).collect();
            assert_eq!(found, sum, "{number} {name}");
        }
    }
}
