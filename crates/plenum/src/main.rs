//! The program: reads its configuration, builds everything, owns the order of start and shutdown.

mod call;
mod certificate;
mod config;
mod http;
mod https;
mod media_ip;
mod room_systems;
mod serve;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::serve::ServeError;

/// A video-conferencing server and gateway.
#[derive(Debug, Parser)]
#[command(version)]
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
    /// Print the root certificate of the local authority, PEM, for browsers to install.
    Authority(Settings),
    /// Print the annotated example of the configuration.
    ExampleConfig,
}

#[derive(Debug, Args)]
struct Settings {
    /// The configuration; plenum.toml in this folder if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For trying out: on this machine alone, any name is a meeting, key devkey with secret
    /// "secret".
    #[arg(long)]
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
