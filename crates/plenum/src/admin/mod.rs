//! The commands of whoever runs the house: each is one request to the running server, so that they
//! may no more than their account, and everything stands in the audit log.

mod account;
mod audit;
mod contact;
mod device;
mod dial_rule;
mod group;
mod history;
mod kept;
mod key;
mod live;
mod meeting;
mod output;
mod remote;
mod session;
mod settings;
mod sign_in;
mod template;
mod token;
mod trunk;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use hyper::Uri;

use crate::Settings;
use remote::AdminError;
pub use remote::{encoded, own};

/// What every command has.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The server; the one of the configuration on this machine if left out.
    #[arg(long, value_name = "URL", global = true)]
    server: Option<Uri>,
    /// Print the server's answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign in on the command line: keeps an API token for this server in the user's own folder.
    SignIn {
        /// The account's name.
        name: String,
        /// Days for which the token is good.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=365))]
        days: u16,
        #[command(flatten)]
        common: Common,
    },
    /// End the token that sign-in keeps, and forget it.
    SignOut {
        #[command(flatten)]
        common: Common,
    },
    /// Tell who is signed in, and what that account may do.
    WhoAmI {
        #[command(flatten)]
        common: Common,
    },
    /// The people of the house.
    Account {
        #[command(subcommand)]
        command: account::Command,
        #[command(flatten)]
        common: Common,
    },
    /// Groups of accounts.
    Group {
        #[command(subcommand)]
        command: kept::Command<group::Group>,
        #[command(flatten)]
        common: Common,
    },
    /// Meetings as they are booked.
    Meeting {
        #[command(subcommand)]
        command: meeting::Command,
        #[command(flatten)]
        common: Common,
    },
    /// What new meetings begin with.
    Template {
        #[command(subcommand)]
        command: Box<kept::Command<template::Template>>,
        #[command(flatten)]
        common: Common,
    },
    /// Room systems of the house.
    Device {
        #[command(subcommand)]
        command: device::Command,
        #[command(flatten)]
        common: Common,
    },
    /// Other servers and telephone exchanges.
    Trunk {
        #[command(subcommand)]
        command: trunk::Command,
        #[command(flatten)]
        common: Common,
    },
    /// Where calls go.
    DialRule {
        #[command(subcommand)]
        command: Box<dial_rule::Command>,
        #[command(flatten)]
        common: Common,
    },
    /// The address book.
    Contact {
        #[command(subcommand)]
        command: kept::Command<contact::Contact>,
        #[command(flatten)]
        common: Common,
    },
    /// Browsers that somebody signed in with.
    Session {
        #[command(subcommand)]
        command: session::Command,
        #[command(flatten)]
        common: Common,
    },
    /// API tokens for programs.
    Token {
        #[command(subcommand)]
        command: token::Command,
        #[command(flatten)]
        common: Common,
    },
    /// Keys of applications that speak LiveKit's protocol.
    Key {
        #[command(subcommand)]
        command: key::Command,
        #[command(flatten)]
        common: Common,
    },
    /// The audit log.
    Audit {
        #[command(subcommand)]
        command: audit::Command,
        #[command(flatten)]
        common: Common,
    },
    /// Past meetings.
    History {
        #[command(subcommand)]
        command: history::Command,
        #[command(flatten)]
        common: Common,
    },
    /// Meetings that run now.
    Live {
        #[command(subcommand)]
        command: live::Command,
        #[command(flatten)]
        common: Common,
    },
}

/// What the exit codes of these commands mean, for the help.
pub const EXIT_CODES: &str = "\
Exit codes: 0 done, 2 wrong usage, 3 not signed in, 4 not allowed, 5 not found, 6 conflict or changed \
meanwhile, 7 what was given cannot be taken, 8 the server does not answer or cannot do it now, 9 the \
audit log was tampered with, 1 anything else.";

/// Runs a command.
pub fn run(command: Command) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(execute(command)),
        Err(error) => Err(AdminError::Other(format!("starting threads: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plenum: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

async fn execute(command: Command) -> Result<(), AdminError> {
    match command {
        Command::SignIn { name, days, common } => sign_in::sign_in(&common, &name, days).await,
        Command::SignOut { common } => sign_in::sign_out(&common).await,
        Command::WhoAmI { common } => sign_in::who_am_i(&common).await,
        Command::Account { command, common } => account::run(command, &common).await,
        Command::Group { command, common } => kept::run(command, &common).await,
        Command::Meeting { command, common } => meeting::run(command, &common).await,
        Command::Template { command, common } => kept::run(*command, &common).await,
        Command::Device { command, common } => device::run(command, &common).await,
        Command::Trunk { command, common } => trunk::run(command, &common).await,
        Command::DialRule { command, common } => dial_rule::run(*command, &common).await,
        Command::Contact { command, common } => kept::run(command, &common).await,
        Command::Session { command, common } => session::run(command, &common).await,
        Command::Token { command, common } => token::run(command, &common).await,
        Command::Key { command, common } => key::run(command, &common).await,
        Command::Audit { command, common } => audit::run(command, &common).await,
        Command::History { command, common } => history::run(command, &common).await,
        Command::Live { command, common } => live::run(command, &common).await,
    }
}
