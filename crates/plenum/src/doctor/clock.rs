//! Whether the clock is right: certificates, tokens and one-time codes are worth nothing without it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::finding::{Finding, Findings};
use super::{day, system};

/// When this program was written, in seconds since 1970: no clock that is right is before.
const WRITTEN: u64 = 1_767_225_600;
/// Files of the database may be this far ahead: clocks are corrected by small steps.
const STEP: Duration = Duration::from_secs(60);
/// What keeps clocks, by the names of their processes.
const KEEPERS: [&str; 5] = ["systemd-timesyncd", "chronyd", "ntpd", "openntpd", "ptp4l"];
/// systemd-timesyncd makes this once the clock is set.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";
/// How long timedatectl may take: it asks another process.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the clock.
#[derive(Debug)]
pub struct Facts {
    /// What it says.
    pub now: SystemTime,
    /// Whether the system takes it for synchronised; `None`: it does not say.
    pub synchronised: Option<bool>,
    /// The program that keeps it, where one is seen.
    pub keeper: Option<&'static str>,
    /// When the database was written last.
    pub written: Option<SystemTime>,
}

impl Facts {
    /// Asks this machine alone.
    pub fn gather(now: SystemTime, data: &Path) -> Self {
        let changed = |it: fs::DirEntry| it.metadata().ok()?.modified().ok();
        let files = fs::read_dir(data).into_iter().flatten().flatten();
        Self {
            now,
            synchronised: synchronised(),
            keeper: system::running(&KEEPERS),
            written: files.filter_map(changed).max(),
        }
    }
}

fn synchronised() -> Option<bool> {
    if Path::new(TIMESYNC).exists() {
        return Some(true);
    }
    let mut process = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let asked = Instant::now();
    while process.try_wait().ok()?.is_none() {
        if asked.elapsed() > PATIENCE {
            let _ = process.kill();
            let _ = process.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    match process.wait_with_output().ok()?.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// What is wrong with the clock.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::of("clock");
    let set = "set it and have it kept: `timedatectl set-ntp true`, or install chrony; in a \
               container, on its host";
    let today = day(facts.now);
    if facts.now < UNIX_EPOCH + Duration::from_secs(WRITTEN) {
        findings.fail(format!("it says {today}, which is before this program was written"), set);
    } else if let Some(written) = facts.written.filter(|it| *it > facts.now + STEP) {
        let what = format!(
            "it says {today}, and the data folder was written on {}: it went back",
            day(written)
        );
        findings.fail(what, set);
    } else if facts.synchronised == Some(false) {
        findings.warn("the system says that it is not synchronised", set);
    } else if facts.synchronised.is_none() && facts.keeper.is_none() {
        findings.warn("nothing that keeps it right is seen on this machine", set);
    }
    findings.or_well(|| match (facts.synchronised, facts.keeper) {
        (Some(true), Some(keeper)) => format!("synchronised, kept by {keeper}"),
        (Some(true), None) => "synchronised".to_owned(),
        (_, keeper) => format!("kept by {}", keeper.unwrap_or("the system")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn facts() -> Facts {
        let now = UNIX_EPOCH + Duration::from_secs(WRITTEN + 1_000_000);
        Facts { now, synchronised: Some(true), keeper: Some("chronyd"), written: Some(now) }
    }

    fn state(facts: &Facts) -> State {
        let found = check(facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].mend.is_some(), found[0].state != State::Well);
        found[0].state
    }

    #[test]
    fn a_kept_clock_is_well() {
        assert_eq!(check(&facts())[0].what, "synchronised, kept by chronyd");
        assert_eq!(state(&Facts { synchronised: None, ..facts() }), State::Well);
        assert_eq!(state(&Facts { keeper: None, written: None, ..facts() }), State::Well);
    }

    #[test]
    fn a_clock_that_nothing_keeps_is_a_warning() {
        assert_eq!(state(&Facts { synchronised: Some(false), ..facts() }), State::Warning);
        let alone = Facts { synchronised: None, keeper: None, ..facts() };
        assert_eq!(state(&alone), State::Warning);
    }

    #[test]
    fn a_clock_that_cannot_be_right_is_a_failure() {
        assert_eq!(state(&Facts { now: UNIX_EPOCH, written: None, ..facts() }), State::Failure);
        let (minute, now) = (Duration::from_secs(60), facts().now);
        assert_eq!(state(&Facts { written: Some(now + 5 * minute), ..facts() }), State::Failure);
        assert_eq!(state(&Facts { written: Some(now + minute / 2), ..facts() }), State::Well);
    }
}
