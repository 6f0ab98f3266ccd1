//! The history as it is written: what happens in meetings becomes rows in the store.
//!
//! Two tasks. One reads events and never waits for the database; one writes batches, and writes them
//! again while the database is away. Between them stands a bounded queue: what finds it full is lost,
//! and counted in `plenum_history_lost_total`.

mod quality;
mod recorder;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout, timeout_at};
use types::{RecordId, Timestamp};

use crate::conference::Conference;
use crate::events::{News, Subscription};
use crate::store::{HistoryRetention, HistoryRow, Records, StoreError};
pub use recorder::{Recorder, Sources};

/// Rows that wait for the database: a minute of a thousand people who come and go.
const QUEUE: usize = 10_000;
/// Rows of one transaction.
const BATCH: usize = 100;
/// How long a row waits for others to be written along with.
const GATHER: Duration = Duration::from_secs(1);
/// How often the server says that it runs: by so much at most the times of a crash are wrong.
const ALIVE: Duration = Duration::from_secs(5);
/// The pause before a failed write is done again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the database may take for a batch.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the participants' networks are looked at.
const MEASURE: Duration = Duration::from_secs(10);
/// How long all meetings may take to tell how they stand.
const LOOK: Duration = Duration::from_secs(2);
/// How often what is too old is thrown away.
const TRIM: Duration = Duration::from_secs(3600);
/// How long the last events may take after the meetings have ended.
const LAST_EVENTS: Duration = Duration::from_secs(1);

const _: () = assert!(GATHER.as_secs() < ALIVE.as_secs());

/// How long the history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Runs, stays and calls after their end.
    pub rows: Duration,
    /// Figures.
    pub figures: Duration,
    /// SIP messages of calls after their end.
    pub ladders: Duration,
}

/// The history at work.
pub struct Historian {
    stop: oneshot::Sender<()>,
    reading: JoinHandle<()>,
    writing: JoinHandle<()>,
    trimming: JoinHandle<()>,
}

impl Historian {
    /// Writes down what happens from now on: before anything does.
    pub fn start(records: Records, conference: &Conference, keep: Keep) -> Self {
        let (stop, stopping) = oneshot::channel();
        let (queue, rows) = mpsc::channel(QUEUE);
        let reader = Reader {
            recorder: recorder(&records, conference),
            conference: conference.clone(),
            subscription: conference.events(),
            queue,
        };
        let trimming = tokio::spawn(trim(records.clone(), keep));
        Self {
            stop,
            reading: tokio::spawn(reader.run(stopping)),
            writing: tokio::spawn(write(records, rows)),
            trimming,
        }
    }

    /// Ends it: after the meetings, and before the database is closed. What is not written `within`
    /// this time is lost.
    pub async fn stop(self, within: Duration) {
        self.trimming.abort();
        let _ = self.stop.send(());
        let deadline = Instant::now() + within;
        let read = timeout_at(deadline, self.reading).await.is_ok();
        if !read || timeout_at(deadline, self.writing).await.is_err() {
            tracing::warn!("the end of the history could not be written in time");
        }
    }
}

fn recorder(records: &Records, conference: &Conference) -> Recorder {
    let (records, conference) = (records.clone(), conference.clone());
    Recorder::new(Sources {
        id: Box::new(move |now| records.new_id(now)),
        name: Box::new(move |id| {
            let known = conference.directory().find(id).map(|it| it.name.clone());
            known.unwrap_or_else(|| id.to_string())
        }),
    })
}

fn now() -> Timestamp {
    Timestamp::of(SystemTime::now())
}

struct Reader {
    recorder: Recorder,
    conference: Conference,
    subscription: Subscription,
    queue: mpsc::Sender<HistoryRow>,
}

impl Reader {
    async fn run(mut self, mut stopping: oneshot::Receiver<()>) {
        let mut measuring = tokio::time::interval(MEASURE);
        measuring.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                news = self.subscription.next() => match news {
                    Some(news) => self.take(news).await,
                    None => break,
                },
                _ = measuring.tick() => {
                    if let Ok(running) = timeout(LOOK, self.conference.snapshots()).await {
                        let rows = self.recorder.measure(&running, now());
                        self.put(rows);
                    }
                }
                _ = &mut stopping => break,
            }
        }
        // The meetings are over: their last events are there or about to come.
        let deadline = Instant::now() + LAST_EVENTS;
        while let Some(news) = self.subscription.waiting() {
            self.take(news).await;
        }
        while !self.recorder.is_idle() {
            let Ok(Some(news)) = timeout_at(deadline, self.subscription.next()).await else {
                break;
            };
            self.take(news).await;
        }
        let rows = self.recorder.end_all(now());
        self.put(rows);
    }

    async fn take(&mut self, news: News) {
        let rows = match news {
            News::Event(event) => self.recorder.see(&event),
            News::Missed(count) => {
                metrics::counter!("plenum_history_missed_events_total").increment(count);
                tracing::warn!(count, "the history has missed events");
                let Ok(running) = timeout(LOOK, self.conference.snapshots()).await else { return };
                self.recorder.catch_up(&running, now())
            }
        };
        self.put(rows);
    }

    fn put(&self, rows: Vec<HistoryRow>) {
        let lost = rows.into_iter().filter_map(|it| self.queue.try_send(it).err()).count();
        count_lost(lost);
    }
}

fn count_lost(rows: usize) {
    if rows > 0 {
        metrics::counter!("plenum_history_lost_total").increment(rows as u64);
        tracing::warn!(rows, "rows of the history are lost");
    }
}

/// Writes what comes, until nothing more can.
async fn write(records: Records, mut rows: mpsc::Receiver<HistoryRow>) {
    loop {
        let (batch, more) = gather(&mut rows).await;
        keep(&records, batch).await;
        if !more {
            return;
        }
    }
}

/// The next rows, or none after [`ALIVE`]; and whether more may come.
async fn gather(rows: &mut mpsc::Receiver<HistoryRow>) -> (Vec<HistoryRow>, bool) {
    let mut batch = Vec::new();
    match timeout(ALIVE, rows.recv()).await {
        Ok(Some(row)) => batch.push(row),
        Ok(None) => return (batch, false),
        Err(_) => return (batch, true),
    }
    let deadline = Instant::now() + GATHER;
    while batch.len() < BATCH {
        match timeout_at(deadline, rows.recv()).await {
            Ok(Some(row)) => batch.push(row),
            Ok(None) => return (latest(batch), false),
            Err(_) => break,
        }
    }
    (latest(batch), true)
}

/// Each row once, as it is last, where it was first: a run before its stays.
fn latest(batch: Vec<HistoryRow>) -> Vec<HistoryRow> {
    let mut places: HashMap<RecordId, usize> = HashMap::new();
    let mut rows: Vec<HistoryRow> = Vec::with_capacity(batch.len());
    for row in batch {
        let place = key(&row).and_then(|id| places.get(id)).copied();
        match place.and_then(|it| rows.get_mut(it)) {
            Some(earlier) => *earlier = row,
            None => {
                if let Some(id) = key(&row) {
                    places.insert(id.clone(), rows.len());
                }
                rows.push(row);
            }
        }
    }
    rows
}

/// By what a row replaces an earlier one; figures never do.
fn key(row: &HistoryRow) -> Option<&RecordId> {
    match row {
        HistoryRow::Run(run) => Some(&run.id),
        HistoryRow::Stay(stay) => Some(&stay.id),
        HistoryRow::Leg(leg) => Some(&leg.id),
        HistoryRow::Ladder(ladder) => Some(&ladder.head.id),
        HistoryRow::Figures { .. } => None,
    }
}

/// Writes a batch, as often as it takes. Where the database is there and refuses it, each row has
/// its own try: one that cannot be written keeps no other one back.
async fn keep(records: &Records, batch: Vec<HistoryRow>) {
    let mut told = false;
    while let Err(error) = write_once(records, &batch).await {
        if !told {
            tracing::warn!(%error, "the history cannot be written now");
            told = true;
        }
        if !batch.is_empty() && write_once(records, &[]).await.is_ok() {
            let mut lost = 0;
            for row in batch {
                let done = write_once(records, std::slice::from_ref(&row)).await;
                lost += usize::from(done.is_err());
            }
            count_lost(lost);
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    if told {
        tracing::info!("the history is written again");
    }
}

async fn write_once(records: &Records, rows: &[HistoryRow]) -> Result<(), StoreError> {
    let written = timeout(PATIENCE, records.store().write_history(rows, now())).await;
    written.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())))
}

/// Throws away what is too old, for as long as the program runs.
async fn trim(records: Records, keep: Keep) {
    let mut ticks = tokio::time::interval(TRIM);
    loop {
        ticks.tick().await;
        let now = now();
        let retention = HistoryRetention {
            ended_before: now.before(keep.rows),
            figures_before: now.before(keep.figures),
            ladders_before: now.before(keep.ladders),
        };
        match records.store().trim_history(retention).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old rows of the history are gone"),
            Err(error) => tracing::warn!(%error, "old rows of the history stay for now"),
        }
    }
}
