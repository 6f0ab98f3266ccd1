//! The program: reads its configuration, builds everything, owns the order of start and shutdown.

mod config;
mod room_systems;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

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
    Serve(Serve),
    /// Print the annotated example of the configuration.
    ExampleConfig,
}

#[derive(Debug, Args)]
struct Serve {
    /// The configuration; plenum.toml in this folder if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For trying out: on this machine alone, any name is a meeting, key devkey with secret
    /// "secret".
    #[arg(long)]
    dev: bool,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::ExampleConfig => {
            print!("{}", config::example());
            ExitCode::SUCCESS
        }
        Command::Serve(Serve { config, dev }) => {
            let default = PathBuf::from("plenum.toml");
            let path = config.or_else(|| default.exists().then_some(default));
            let loaded = Config::load(path.as_deref(), std::env::vars(), dev);
            let done = loaded.map_err(serve::ServeError::from).and_then(serve::run);
            match done {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("plenum: {error}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}
