//! `plenum backup` and `plenum restore`: everything that is kept, in one file that fits either
//! database.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use store::Summary;
use types::Timestamp;

use crate::Settings;
use crate::keeping;

/// What is backed up, and into which file.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write; there must be none of this name.
    file: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

/// What is restored.
#[derive(Debug, Args)]
pub struct Restore {
    /// The file that `plenum backup` wrote.
    file: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

/// Runs `plenum backup`.
pub fn backup(command: &Backup) -> ExitCode {
    done(|| {
        let config = command.settings.clone().load()?;
        let url = keeping::database(&config.data)?;
        let now = Timestamp::of(SystemTime::now());
        let summary = runtime()?.block_on(store::backup(&url, &command.file, now))?;
        tell("Written", &summary);
        println!(
            "Keep a copy of {} with it, but not in the same place: without it nobody can sign in.",
            keeping::key_file(&config.data).display()
        );
        Ok(())
    })
}

/// Runs `plenum restore`.
pub fn restore(command: &Restore) -> ExitCode {
    done(|| {
        let config = command.settings.clone().load()?;
        keeping::make_folder(&config.data.dir)?;
        let url = keeping::database(&config.data)?;
        let summary = runtime()?.block_on(store::restore(&url, &command.file))?;
        tell("Restored", &summary);
        let key = keeping::key_file(&config.data);
        if !key.exists() {
            println!("Put the server's own key of that time to {}.", key.display());
        }
        Ok(())
    })
}

type Failure = Box<dyn std::error::Error>;

fn done(work: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plenum: {error}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn tell(what: &str, summary: &Summary) {
    let rows = summary.rows.iter().map(|(table, count)| format!("{count} {table}"));
    println!("{what}: {}.", listed(rows));
}

fn listed(parts: impl Iterator<Item = impl Display>) -> String {
    parts.map(|it| it.to_string()).collect::<Vec<_>>().join(", ")
}
