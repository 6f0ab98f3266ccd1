//! Keeps what was said in calls.

use std::time::{Duration, SystemTime};

use conference::store::{HistoryRow, Records};
use conference::telephony::Ladder;
use tokio::sync::mpsc;
use types::Timestamp;

/// Calls that wait to be written; further ones stay with the signalling until there is room.
pub(crate) const QUEUE: usize = 256;
/// Calls of one transaction.
const BATCH: usize = 32;
/// How long the database may take for a batch.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes what comes, until nothing more can. What cannot be written is lost, and counted in
/// `plenum_history_lost_total`: the calls themselves are in the history all the same.
pub(crate) async fn keep(records: Records, mut ladders: mpsc::Receiver<Ladder>) {
    let mut batch = Vec::new();
    while ladders.recv_many(&mut batch, BATCH).await > 0 {
        let rows: Vec<HistoryRow> = batch
            .drain(..)
            .map(|mut ladder| {
                ladder.head.id = records.new_id(ladder.head.began_at);
                HistoryRow::Ladder(ladder)
            })
            .collect();
        let now = Timestamp::of(SystemTime::now());
        let written = tokio::time::timeout(PATIENCE, records.store().write_history(&rows, now));
        let error = match written.await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        metrics::counter!("plenum_history_lost_total").increment(rows.len() as u64);
        tracing::warn!(%error, calls = rows.len(), "what was said in calls is lost");
    }
}
