//! The program: reads its configuration, builds everything, owns the order of start and shutdown.

mod admin;
mod backup;
mod call;
mod certificate;
mod config;
mod doctor;
mod http;
mod https;
mod keeping;
mod media_ip;
mod recover;
mod room_systems;
mod serve;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::Config;
use crate::serve::ServeError;

/// A video-conferencing server and gateway.
#[derive(Debug, Parser)]
#[command(version, after_help = admin::EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(Settings),
    /// Have the running server call a room system into a meeting.
    ///
    /// Exit codes: 0 answered, 10 busy, 11 declined, 12 nobody answered, 13 unreachable, 14 not
    /// found there, 15 no codec or encryption in common, 16 refused, 17 taken back, 18 not let into
    /// the meeting, 1 anything else.
    Call(call::Call),
    #[command(flatten)]
    Admin(admin::Command),
    /// Write everything that is kept into a file, while the server runs or not.
    Backup(backup::Backup),
    /// Restore a backup into a new database; the server must not run.
    Restore(backup::Restore),
    /// Give an account a new password where nobody can sign in any more; while the server runs or not.
    ///
    /// Run it as the server's user, with the server's configuration and environment. A disabled
    /// account is let in again. It stands in the audit log.
    Recover(recover::Recover),
    /// Look for what keeps the server from working, and say how to mend it; while it runs or not.
    ///
    /// It asks this machine alone, and the database. Run it as the server's user, with the server's
    /// configuration and environment.
    ///
    /// Exit codes: 0 nothing fails (there may be warnings), 1 something fails, 2 wrong usage.
    Doctor(doctor::Doctor),
    /// Print what a shell needs to complete these commands.
    Completion {
        /// Which shell.
        shell: Shell,
    },
    /// Print the root certificate of the local authority, PEM, for browsers to install.
    Authority(Settings),
    /// Print the annotated example of the configuration.
    ExampleConfig,
}

#[derive(Clone, Debug, Args)]
struct Settings {
    /// The configuration; plenum.toml in this folder if there is one.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// For trying out: on this machine alone, any name is a meeting, key devkey with secret
    /// "secret".
    #[arg(long, global = true)]
    dev: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::ExampleConfig => {
            print!("{}", config::example());
            Ok(())
        }
        Command::Authority(settings) => settings.load().and_then(|config| {
            print!("{}", certificate::local_root(&config)?);
            Ok(())
        }),
        Command::Call(call) => return call::run(call),
        Command::Admin(command) => return admin::run(command),
        Command::Backup(backup) => return backup::backup(&backup),
        Command::Restore(restore) => return backup::restore(&restore),
        Command::Recover(recover) => return recover::run(recover),
        Command::Doctor(doctor) => return doctor::run(doctor),
        Command::Completion { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "plenum", &mut std::io::stdout());
            Ok(())
        }
        Command::Serve(settings) => settings.load().and_then(serve::run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plenum: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Settings {
    fn load(self) -> Result<Config, ServeError> {
        let default = PathBuf::from("plenum.toml");
        let path = self.config.or_else(|| default.exists().then_some(default));
        Ok(Config::load(path.as_deref(), std::env::vars(), self.dev)?)
    }
}
