//! `plenum doctor`: what keeps the server from working, and how to mend it.
//!
//! Each check gathers facts first, by asking this machine alone, and then holds them against its
//! rules, which know nothing of the machine.

mod certificate;
mod clock;
mod disk;
mod finding;
mod limits;
mod names;
mod ports;
mod system;

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;

use crate::Settings;
use crate::certificate::examine;
use crate::config::{Config, ConfigError};
use finding::{Finding, Findings, Report};

/// How the doctor is asked.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Print what is found as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Runs `plenum doctor`.
pub fn run(doctor: Doctor) -> ExitCode {
    let found = match doctor.settings.load() {
        Ok(config) => examined(&config),
        Err(error) => unusable(&error.to_string()),
    };
    let report = Report(found);
    if doctor.json {
        println!("{:#}", report.to_json());
    } else {
        print!("{report}");
    }
    if report.fails() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn examined(config: &Config) -> Vec<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return unusable(&format!("starting threads: {error}")),
    };
    let found = runtime.block_on(examination(config, SystemTime::now()));
    found.unwrap_or_else(|error| unusable(&error.to_string()))
}

async fn examination(config: &Config, now: SystemTime) -> Result<Vec<Finding>, ConfigError> {
    let held = system::held();
    let ports = ports::Facts::gather(config, &held)?;
    let limits = limits::Facts::gather(config, ports.running(), &held);
    let subject = examine(config, now)?;
    // Before the disk is: a look at it writes a file.
    let clock = clock::Facts::gather(now, &config.data.dir);
    let names = names::Facts::gather(config, &subject)?;
    let disk = disk::Facts::gather(config).await;
    let read = Findings::of("configuration").or_well(|| "it can be read".to_owned());
    Ok([
        read,
        ports::check(&ports),
        certificate::check(&subject, now),
        clock::check(&clock),
        names::check(&names),
        disk::check(&disk),
        limits::check(&limits),
    ]
    .concat())
}

/// Without a configuration there is nothing to look at.
fn unusable(why: &str) -> Vec<Finding> {
    let mut findings = Findings::of("configuration");
    let mend = "`plenum example-config` prints an explained one; --config names the file";
    findings.fail(why, mend);
    findings.or_well(String::new)
}

/// A day for people, in UTC.
fn day(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    time.strftime("%Y-%m-%d").to_string()
}
