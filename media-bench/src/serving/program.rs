//! The program itself, as an administrator starts it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::MEETINGS;
use crate::fault::{Doing, Fault, Result, missing};
use crate::machine;

/// Nobody else is in this network namespace.
const HTTP_PORT: u16 = 7880;
/// Of the key that signs the publishers' tokens.
pub const KEY: &str = "bench";
pub const SECRET: &str = "nothing-is-kept-behind-this-secret";
const PASSWORD: &str = "five green elephants";
/// Booked meetings that its lists have.
const BOOKED: usize = 200;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Dropping it ends it.
pub struct Program {
    child: Child,
    folder: PathBuf,
    /// The first administrator's name and password, if it printed them.
    first: Option<(String, String)>,
}

/// A folder of data with nothing in it.
pub fn fresh_folder(name: &str) -> Result<PathBuf> {
    let folder = machine::scratch(name)?;
    fs::remove_dir_all(&folder).doing(folder.display().to_string())?;
    fs::create_dir_all(folder.join("data")).doing(folder.display().to_string())?;
    Ok(folder)
}

/// Where a server with this folder keeps everything.
pub fn database(folder: &Path) -> PathBuf {
    folder.join("data/plenum.db")
}

impl Program {
    /// Starts it on the servers' core, until it is ready.
    pub fn start(folder: &Path) -> Result<Self> {
        let configuration = folder.join("plenum.toml");
        fs::write(&configuration, text()).doing("the server's configuration")?;
        let log = fs::File::create(folder.join("server.log")).doing("the server's log")?;
        let mut child = machine::pinned(machine::SERVER_CORE, executable()?)
            .args(["serve", "--config"])
            .arg(&configuration)
            .env("PLENUM_DATA_DIR", folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .doing("starting the server")?;
        let mut lines =
            BufReader::new(child.stdout.take().ok_or_else(|| missing("its output"))?).lines();
        let mut program = Self { child, folder: folder.to_owned(), first: None };
        // It greets when it is ready.
        for line in &mut lines {
            let line = line.doing("the server's output")?;
            if let Some((_, first)) = line.split_once("First administrator: ") {
                program.first = first.split_once(", password ").and_then(|(name, rest)| {
                    Some((name.to_owned(), rest.split(' ').next()?.to_owned()))
                });
            }
            if line.contains("Data:") {
                // It must never block on a full pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(program);
            }
        }
        let log = folder.join("server.log");
        Err(Fault::Other(format!("the server does not start; see {}", log.display())))
    }

    pub fn http(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Signs the first administrator in, and makes a token that may read.
    pub fn first_token(&self) -> Result<String> {
        let (name, first) = self.first.as_ref().ok_or_else(|| missing("an administrator"))?;
        self.command(&["sign-in", name], &format!("{first}\n{PASSWORD}\n"))?;
        let mut arguments = vec!["token", "create", "bench", "--json"];
        for scope in ["meetings.read", "live.read", "history.read", "accounts.read"] {
            arguments.extend(["--scope", scope]);
        }
        let made: Value = serde_json::from_str(&self.command(&arguments, "")?)?;
        let secret = made.get("secret").and_then(Value::as_str);
        secret.map(str::to_owned).ok_or_else(|| missing("the token's secret"))
    }

    /// Books the meetings that lists show.
    pub fn book_some(&self) -> Result<()> {
        for number in 0..BOOKED {
            self.command(&["meeting", "create", &format!("Совет {number}")], "")?;
        }
        Ok(())
    }

    /// Runs one of its commands; what it prints.
    fn command(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut process = Command::new(executable()?)
            .args(arguments)
            .args(["--server", &format!("http://{}", self.http()), "--config", "/dev/null"])
            .env("HOME", self.folder.join("home"))
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing("running a command")?;
        let typed =
            process.stdin.take().ok_or_else(|| missing("its input"))?.write_all(input.as_bytes());
        let output = process.wait_with_output().doing("running a command")?;
        if !output.status.success() || typed.is_err() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(Fault::Other(format!("plenum {}: {complaint}", arguments.join(" "))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends it as an administrator does.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.pid().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().doing("ending the server")?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().doing("ending the server")?.is_none() {
            if Instant::now() > deadline {
                return Err(Fault::Other("the server does not end".into()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Built beside this program.
fn executable() -> Result<PathBuf> {
    let own = std::env::current_exe().doing("finding this program")?;
    let plenum = own.with_file_name("plenum");
    if !plenum.exists() {
        return Err(missing(format!("{} (`make bench` builds it)", plenum.display())));
    }
    Ok(plenum)
}

fn text() -> String {
    let [a, b, c, d] = machine::ADDRESS;
    let mut text = format!(
        "[http]\nlisten = \"0.0.0.0:{HTTP_PORT}\"\ntls_listen = \"off\"\n\
         [sfu]\nshards = 1\nannounced_addresses = [\"{a}.{b}.{c}.{d}\"]\n\
         [log]\nfilter = \"warn\"\n\
         [[key]]\nid = \"{KEY}\"\nsecret = \"{SECRET}\"\n"
    );
    for number in 0..MEETINGS {
        text.push_str(&format!("[[meeting]]\nid = \"{}\"\n", meeting(number)));
    }
    text
}

/// The id of one of the meetings that run.
pub fn meeting(number: usize) -> String {
    format!("bench-{number}")
}
