//! A past for the server: meetings that ended, who was in them, and how well they heard each other.

use std::path::Path;
use std::time::{Duration, SystemTime};

use conference::store::{Figures, History, HistoryRow, Run, Stay};
use types::{Identity, MeetingId, ParticipantKind, RecordId, Timestamp};

use crate::fault::{Doing, Fault, Result};

/// Meetings in one transaction.
const PART: u64 = 2_000;
/// Figures of each participant: one for every ten seconds of a minute.
const FIGURES: u32 = 6;
/// From one meeting's start to the next.
const STEP_MS: i64 = 1_000;

/// Writes a past into a database, newest first, until `enough` of its meetings and of the file's
/// bytes says so.
pub fn fill(database: &Path, enough: impl Fn(u64, u64) -> bool) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().doing("a runtime")?;
    runtime.block_on(async {
        let url = format!("sqlite:{}", database.display());
        let store = store::open(&url, &store::Options::default()).await.map_err(failed)?;
        let now = now()?;
        let (mut runs, mut bytes) = (0, 0);
        while !enough(runs, bytes) {
            let mut rows = Vec::new();
            for number in runs..runs + PART {
                push_meeting(number, now, &mut rows)?;
            }
            store.write_history(&rows, now).await.map_err(failed)?;
            runs += PART;
            bytes = std::fs::metadata(database).doing("the database")?.len();
            if runs.is_multiple_of(PART * 50) {
                let megabytes = bytes / 1_000_000;
                eprintln!("media-bench: {} past meetings, {megabytes} MB", runs);
            }
        }
        store.close().await;
        Ok(())
    })
}

/// Somebody's stay in the meeting of this number.
pub fn stay(number: u64) -> RecordId {
    record("9000", number)
}

/// As the program's own ids look.
fn record(kind: &str, number: u64) -> RecordId {
    RecordId::new(format!("00000000-0000-7000-{kind}-{number:012x}"))
}

fn push_meeting(number: u64, now: Timestamp, rows: &mut Vec<HistoryRow>) -> Result<()> {
    // Wraps after far more rows than a disk holds.
    let ago = (number as i64 + 60) * STEP_MS;
    let began = Timestamp(now.0 - ago);
    let after = |tens: u32| Timestamp(began.0 + i64::from(tens) * 10_000);
    let room = format!("room-{}", number % 500);
    let run = Run {
        id: record("8000", number),
        meeting: MeetingId::parse(&room).map_err(|error| Fault::Other(error.to_string()))?,
        name: "Совет директоров".to_owned(),
        started_at: began,
        ended_at: Some(after(FIGURES)),
        cause: "empty".to_owned(),
        most_participants: 1,
    };
    let stay = Stay {
        id: stay(number),
        run: run.id.clone(),
        meeting: run.meeting.clone(),
        identity: Identity::new(format!("person-{}", number % 400)),
        name: "Анна Ивановна".to_owned(),
        kind: ParticipantKind::Standard,
        account: None,
        joined_at: began,
        left_at: Some(after(FIGURES)),
        cause: "left".to_owned(),
    };
    rows.extend((1..=FIGURES).map(|tens| HistoryRow::Figures {
        stay: stay.id.clone(),
        figures: Figures {
            at: after(tens),
            loss_in: Some(tens),
            bit_rate_out: Some(1_500_000),
            ..Figures::default()
        },
    }));
    rows.extend([HistoryRow::Run(run), HistoryRow::Stay(stay)]);
    Ok(())
}

fn now() -> Result<Timestamp> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or(Duration::ZERO).as_millis();
    i64::try_from(since).map(Timestamp).map_err(|_| Fault::Other("the clock is wrong".into()))
}

fn failed(error: conference::store::StoreError) -> Fault {
    Fault::Other(format!("the database: {error}"))
}
