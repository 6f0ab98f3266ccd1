//! Measures the media planes: against peers, and against what the kernel and the codecs cost alone;
//! and what the API answers beside them.
//!
//! Everything is taken side by side in the same run, in turn, because the machine is shared and
//! noisy; the ratio counts. CONTRIBUTING.md tells how to read the table.

mod camera;
mod child;
mod fanout;
mod fault;
mod http;
mod janus;
mod load;
mod machine;
mod mixing;
mod packets;
mod phones;
mod relay;
mod report;
mod serving;
mod signalling;
mod sound;
mod video;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use udp::Purpose;

use fault::{Fault, Result};
use report::Figure;

/// Measures the media planes.
#[derive(Parser)]
struct Arguments {
    /// One JSON object a line in the place of the table.
    #[arg(long)]
    json: bool,
    /// Shows in seconds that everything works; the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Receivers of forwarded packets take merged datagrams (GRO), as on a fast network card.
    #[arg(long)]
    gro: bool,
    /// Only these metrics, by number, such as 1,2,11.
    #[arg(long, value_delimiter = ',')]
    only: Vec<u8>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What a child process of the bench does.
#[derive(Subcommand)]
enum Role {
    /// Mixes.
    #[command(name = mixing::bridge::ROLE, hide = true)]
    Bridge,
    /// Forwards.
    #[command(name = fanout::shard::ROLE, hide = true)]
    Shard,
    /// Seals and sends, and nothing else.
    #[command(name = fanout::floor::ROLE, hide = true)]
    Floor,
    /// Passes packets on between room systems.
    #[command(name = relay::legs::ROLE, hide = true)]
    Legs,
}

/// How long and how often is measured.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Rounds, the first of which is thrown away.
    rounds: usize,
    /// What is measured of a server in one round.
    span: Duration,
    /// Rounds of mixing, which take longer.
    mixing_rounds: usize,
    /// Frames of a composed picture in one round.
    video_frames: usize,
    /// What receivers of forwarded packets open their sockets for.
    receivers: Purpose,
    /// Bytes of the database that a start is measured with.
    database: u64,
}

impl Plan {
    const FULL: Self = Self {
        rounds: 6,
        span: Duration::from_millis(2_000),
        mixing_rounds: 6,
        video_frames: 90,
        receivers: Purpose::One,
        database: 1_000_000_000,
    };
    const QUICK: Self = Self {
        rounds: 2,
        span: Duration::from_millis(400),
        mixing_rounds: 2,
        video_frames: 10,
        database: 20_000_000,
        ..Self::FULL
    };
}

/// Measures again, a few times, where a result was refused: another's burst of work is over soon.
pub fn measured(mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    const MORE: usize = 4;
    for _ in 0..MORE {
        match measure() {
            Err(Fault::Refused(why)) => eprintln!("media-bench: once more: {why}"),
            result => return result,
        }
    }
    measure()
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("media-bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(role) = &arguments.role {
        let served = match role {
            Role::Bridge => mixing::bridge::serve(),
            Role::Shard => fanout::shard::serve(),
            Role::Floor => fanout::floor::serve(),
            Role::Legs => relay::legs::serve(),
        };
        return served.map(|()| ExitCode::SUCCESS);
    }
    if let Some(code) = machine::enter_namespace()? {
        return Ok(if code == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
    let receivers = if arguments.gro { Purpose::Many } else { Purpose::One };
    let plan = Plan { receivers, ..plan };
    let wanted = |numbers: &[u8]| {
        arguments.only.is_empty() || numbers.iter().any(|it| arguments.only.contains(it))
    };
    let mut figures = Vec::new();
    if wanted(&[1, 2]) {
        eprintln!("media-bench: forwarding");
        sfu::transport::webrtc::init_crypto();
        figures.extend(fanout::measure(&plan)?);
    }
    if wanted(&[9]) {
        eprintln!("media-bench: relaying");
        figures.extend(relay::measure(&plan)?);
    }
    if wanted(&[10]) {
        eprintln!("media-bench: mixing");
        figures.extend(mixing::measure(&plan)?);
    }
    if wanted(&[11]) {
        eprintln!("media-bench: composing");
        figures.extend(video::measure(&plan)?);
    }
    if wanted(&[14]) {
        eprintln!("media-bench: signalling");
        figures.extend(signalling::measure(&plan)?);
    }
    if wanted(&[15, 16, 17]) {
        eprintln!("media-bench: reading");
        figures.extend(serving::measure(&plan));
    }
    if wanted(&[18]) {
        eprintln!("media-bench: phones");
        figures.extend(phones::measure(&plan)?);
    }
    if arguments.json {
        report::print_json(&figures);
    } else {
        report::print_table(&figures);
    }
    let complete = figures.iter().all(Figure::is_complete);
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
