//! What sqlx says, in the words of the store.

use std::future::Future;
use std::time::Duration;

use conference::store::StoreError;

/// Every call ends within this time: well above what a loaded disk needs, well below what anybody
/// waits for.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn unavailable(why: impl Into<String>) -> StoreError {
    StoreError::Unavailable(why.into())
}

/// Values are never part of sqlx's texts, nor is a password.
pub(crate) fn failed(error: sqlx::Error) -> StoreError {
    unavailable(error.to_string())
}

/// Ends what takes too long: a database that is gone without a word would be waited for for ever.
pub(crate) async fn within<T>(
    call: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(done) => done,
        Err(_) => Err(unavailable(format!("no answer within {} s", LIMIT.as_secs()))),
    }
}
