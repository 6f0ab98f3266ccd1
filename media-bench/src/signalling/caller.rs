//! Callers, and whoever answers behind a proxy: sipp.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::fault::{Doing, Fault, Result};
use crate::machine;

/// Calls a second of one caller.
pub const RATE: u32 = 40;

const CALLS: &str = include_str!("caller.xml");
const ANSWERS: &str = include_str!("answerer.xml");

/// Whether sound and picture are to flow in a call.
#[derive(Clone, Copy)]
pub enum Media {
    Inactive,
    Flows,
}

/// Some callers, each with an address of its own.
pub struct Callers {
    count: usize,
    calls: u32,
    media: Media,
}

impl Callers {
    /// So many callers that make so many calls each.
    pub fn new(count: usize, calls: u32, media: Media) -> Self {
        Self { count, calls, media }
    }

    /// All of them call; how many calls were made. Every call has to succeed.
    pub fn call(&self, user: &str, port: u16) -> Result<u32> {
        let folder = machine::scratch("sipp")?;
        let scenario = folder.join("caller.xml");
        let direction = match self.media {
            Media::Inactive => "inactive",
            Media::Flows => "sendrecv",
        };
        fs::write(&scenario, CALLS.replace("@DIRECTION@", direction)).doing("a scenario")?;
        let callers = (0..self.count).map(|number| {
            let address = format!("127.0.0.{}", 10 + number);
            Command::new("sipp")
                .arg("-sf")
                .arg(&scenario)
                .args([&format!("127.0.0.1:{port}"), "-s", user, "-i", &address, "-mi", &address])
                .args(["-m", &self.calls.to_string(), "-r", &RATE.to_string()])
                .args(["-l", "1000", "-p", "5090", "-nostdin"])
                .args(["-trace_err", "-error_file", &format!("errors-{number}.log")])
                .args(["-timeout", &(self.calls / RATE + 60).to_string(), "-timeout_error"])
                .current_dir(&folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .doing("starting sipp (scripts/setup.sh --bench installs it)")
        });
        let callers: Vec<Child> = callers.collect::<Result<_>>()?;
        let mut made = 0;
        for mut caller in callers {
            let status = caller.wait().doing("waiting for sipp")?;
            if !status.success() {
                let folder = folder.display();
                return Err(Fault::Other(format!("calls failed ({status}); see {folder}")));
            }
            made += self.calls;
        }
        Ok(made)
    }
}

/// Answers every call. Dropping it ends it.
pub struct Answerer(Child);

impl Answerer {
    pub fn start(address: &str, port: u16) -> Result<Self> {
        let folder: PathBuf = machine::scratch("sipp")?;
        let scenario = folder.join("answerer.xml");
        fs::write(&scenario, ANSWERS).doing("a scenario")?;
        let mut command = machine::pinned(machine::LOAD_CORE, "sipp");
        command
            .arg("-sf")
            .arg(&scenario)
            .args(["-i", address, "-mi", address, "-p", &port.to_string(), "-nostdin"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self(command.spawn().doing("starting sipp")?))
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
