//! `plenum recover`: a way in for whoever rules the machine, where nobody can sign in any more.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use conference::people::FirstPassword;
use types::Timestamp;

use crate::Settings;
use crate::config::Data;
use crate::keeping;

/// Whose account.
#[derive(Debug, Args)]
pub struct Recover {
    /// The account's name.
    #[arg(default_value = "admin")]
    name: String,
    /// Takes its second factor away, too: the device is lost.
    #[arg(long)]
    second_factor: bool,
    #[command(flatten)]
    settings: Settings,
}

type Failure = Box<dyn std::error::Error>;

/// Runs the command.
pub fn run(command: Recover) -> ExitCode {
    match recover(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plenum: {error}");
            ExitCode::FAILURE
        }
    }
}

fn recover(command: Recover) -> Result<(), Failure> {
    let Recover { name, second_factor, settings } = command;
    let data = settings.load()?.data;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let FirstPassword(password) = runtime.block_on(async {
        let kept = opened(&data).await?;
        let now = Timestamp::of(SystemTime::now());
        let renewed = kept.people.recover(&name, second_factor, now).await;
        kept.store.close().await;
        Ok::<_, Failure>(renewed?)
    })?;
    println!("{name}: password {password} (shown only now)");
    println!("It has to be changed at the next sign-in; whoever was signed in is out.");
    Ok(())
}

/// What is kept; where nothing is, nothing is made.
async fn opened(data: &Data) -> Result<keeping::Kept, Failure> {
    let key = keeping::key_file(data);
    if store::look(&keeping::database(data)?).await?.is_none() {
        let folder = data.dir.display();
        return Err(format!("there is no database yet: is {folder} the server's data?").into());
    }
    if !key.exists() {
        let key = key.display();
        return Err(
            format!("{key} is missing: without the server's own key nobody can sign in").into()
        );
    }
    Ok(keeping::open_quietly(data).await?)
}
