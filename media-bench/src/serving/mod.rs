//! Metrics 15 to 17: what the whole program answers beside meetings that run, out of much that is
//! kept, and how soon it is there.
//!
//! Their targets are times of their own, not ratios: there is no peer that answers the same.

mod history;
mod meeting;
pub mod program;
mod reading;

use std::time::{Duration, Instant};

use crate::Plan;
use crate::fault::{Doing, Fault, Result};
use crate::machine::Span;
use crate::measured;
use crate::report::{Against, Aim, Figure, Series};
use meeting::Meetings;
use program::Program;
use reading::Reader;

/// Reads a second.
const RATE: u32 = 1_000;
/// Meetings, and publishers of sound and pictures in each.
pub const MEETINGS: usize = 10;
pub const PUBLISHERS: usize = 3;
/// Rows of past meetings, and as many of stays in them.
const ROWS: u64 = 100_000;
/// How many spans of the plan one round of reading lasts: a hundredth of the reads has to be many.
const SPANS: u32 = 5;
/// The share of the forwarded packets that has to come for the figure to count.
const DELIVERED: f64 = 0.99;

pub fn measure(plan: &Plan) -> Vec<Figure> {
    let mut reads = Figure::new(
        format!("15 {RATE} reads a second beside {MEETINGS} × {PUBLISHERS} publishers, p99 (ms)"),
        Against::Target,
        Some((Aim::AtMost, 50.0)),
    );
    let mut list = Figure::new(
        format!("16 the slowest page of {ROWS} rows of history (ms)"),
        Against::Target,
        Some((Aim::AtMost, 100.0)),
    );
    let mut start = Figure::new(
        "17 from start to ready with a database of 1 GB (s)",
        Against::Target,
        Some((Aim::AtMost, 2.0)),
    );
    match read(plan) {
        Ok([p99, slowest]) => (reads.ours, list.ours) = (p99, slowest),
        Err(fault) => {
            reads.fault = Some(fault.to_string());
            list.fault = Some(fault.to_string());
        }
    }
    match starts(plan) {
        Ok(series) => start.ours = series,
        Err(fault) => start.fault = Some(fault.to_string()),
    }
    vec![reads, list, start]
}

/// Metrics 15 and 16, in milliseconds.
fn read(plan: &Plan) -> Result<[Series; 2]> {
    let folder = program::fresh_folder("reading")?;
    history::fill(&program::database(&folder), |runs, _| runs >= ROWS)?;
    let program = Program::start(&folder)?;
    let token = program.first_token()?;
    program.book_some()?;
    let reader = Reader::new(program.http(), &token);
    let mut slowest = Series::default();
    for round in 0..plan.rounds {
        let time = reader.slowest_page()?;
        if round > 0 {
            slowest.push(time.as_secs_f64() * 1e3);
        }
    }
    let mut meetings = Meetings::begin(&program)?;
    let mut p99 = Series::default();
    for round in 0..plan.rounds {
        let time = measured(|| beside(plan, &program, &mut meetings, &reader))?;
        if round > 0 {
            p99.push(time);
        }
    }
    program.stop()?;
    Ok([p99, slowest])
}

/// One round of reading; the milliseconds within which 99 of 100 answers were there.
fn beside(plan: &Plan, program: &Program, meetings: &mut Meetings, reader: &Reader) -> Result<f64> {
    let time = plan.span * SPANS;
    // Queues and caches settle.
    meetings.run(Duration::from_millis(500), || false)?;
    let before = meetings.received();
    let span = Span::begin(program.pid())?;
    let reading = reader.begin(RATE, time);
    meetings.run(time, || reading.is_over())?;
    let read = reading.end()?;
    let spent = span.end()?;
    let packets = (meetings.received() - before) as f64;
    let expected = spent.wall.as_secs_f64() * meetings.packets_a_second();
    if packets < expected * DELIVERED {
        let share = packets / expected * 100.0;
        return Err(Fault::Refused(format!("only {share:.1}% of the meetings' packets came")));
    }
    eprintln!(
        "media-bench: {} reads, median {:.1?}, p99 {:.1?}, longest {:.1?}; {packets} packets; the \
         server took {:.0}% of its core",
        read.count(),
        read.at(0.5)?,
        read.at(0.99)?,
        read.at(1.0)?,
        spent.server.as_secs_f64() / spent.wall.as_secs_f64() * 100.0,
    );
    Ok(read.at(0.99)?.as_secs_f64() * 1e3)
}

/// Metric 17, in seconds.
fn starts(plan: &Plan) -> Result<Series> {
    let folder = program::fresh_folder("starting")?;
    history::fill(&program::database(&folder), |_, bytes| bytes >= plan.database)?;
    let mut series = Series::default();
    for round in 0..plan.rounds {
        let begun = Instant::now();
        let program = Program::start(&folder)?;
        let time = begun.elapsed();
        program.stop()?;
        if round > 0 {
            series.push(time.as_secs_f64());
        }
    }
    // Nobody wants to find a gigabyte in a build folder.
    std::fs::remove_dir_all(&folder).doing("the large database")?;
    Ok(series)
}
