//! What a server has of the system.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::fault::{Doing, Fault, Result, missing};
use crate::serving::program::Program;

/// How often is looked.
const GLANCE: Duration = Duration::from_millis(500);

pub struct Footprint {
    /// Resident memory in bytes.
    pub resident: f64,
    /// File descriptors and threads.
    pub held: usize,
}

impl Footprint {
    fn now(server: &Program) -> Result<Self> {
        let process = PathBuf::from(format!("/proc/{}", server.pid()));
        let count = |name: &str| {
            let folder = process.join(name);
            Ok::<_, Fault>(fs::read_dir(&folder).doing(folder.display().to_string())?.count())
        };
        let status = fs::read_to_string(process.join("status")).doing("a server's status")?;
        let resident = status.lines().find_map(|line| {
            let kibibytes: f64 =
                line.strip_prefix("VmRSS:")?.trim().trim_end_matches(" kB").parse().ok()?;
            Some(kibibytes * 1024.0)
        });
        let resident = resident.ok_or_else(|| missing("its resident memory"))?;
        Ok(Self { resident, held: count("fd")? + count("task")? })
    }

    /// Once it has again what it had, or, without `wanted`, once that stays as it is for five
    /// seconds; what it has then, or at the end of the patience.
    pub fn settled(server: &Program, wanted: Option<&Self>, patience: Duration) -> Result<Self> {
        const STAYS: Duration = Duration::from_secs(5);
        let deadline = Instant::now() + patience;
        let (mut last, mut since) = (Self::now(server)?, Instant::now());
        loop {
            std::thread::sleep(GLANCE);
            let now = Self::now(server)?;
            if now.held != last.held {
                since = Instant::now();
            }
            last = now;
            let stays = since.elapsed() >= STAYS;
            let is_back = wanted.is_none_or(|it| it.held == last.held);
            if (stays && is_back) || Instant::now() > deadline {
                return Ok(last);
            }
        }
    }
}
