//! Whether the system's limits leave room for the meetings.

use api::DoorLimits;

use super::finding::{Finding, Findings};
use super::system::{self, Held, Holder, Transport};
use crate::config::Config;

/// With fewer open files not even one meeting works.
const LEAST_FILES: u64 = 512;
/// Files of the program itself: database, shards, listeners.
const OWN_FILES: u64 = 500;
/// A call takes four ports.
const PORTS_OF_A_CALL: usize = 4;

/// What is known of the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Files that the process may have open.
    pub files: Option<u64>,
    /// The running server whose limit that is; `None`: it is that of this shell.
    pub process: Option<u32>,
    /// The largest buffers that a socket gets, in bytes: to receive, to send.
    pub buffers: (Option<u64>, Option<u64>),
    /// The first and the last port for calls.
    pub rtp: (u16, u16),
    /// Ports among these that other programs hold.
    pub taken: Vec<u16>,
    /// The first and the last port that the system gives out by itself.
    pub own_ports: Option<(u16, u16)>,
    /// Those among them that it does not.
    pub reserved: Vec<(u16, u16)>,
}

impl Facts {
    /// Reads the limits of the running server, else of this process.
    pub fn gather(config: &Config, running: Option<u32>, held: &[Held]) -> Self {
        let rtp = (config.rtp.port_min, config.rtp.port_max);
        let files = running.and_then(|id| system::open_files(Some(id)));
        let udp = held.iter().filter(|it| it.transport == Transport::Udp);
        // A Plenum's own are its calls.
        let others = udp.filter(|it| !matches!(it.holder, Holder::Plenum(_)));
        let ports = others.map(|it| it.address.port());
        let mut taken: Vec<u16> = ports.filter(|it| (rtp.0..=rtp.1).contains(it)).collect();
        taken.sort_unstable();
        taken.dedup();
        Self {
            process: running.filter(|_| files.is_some()),
            files: files.or_else(|| system::open_files(None)),
            buffers: (system::setting("net/core/rmem_max"), system::setting("net/core/wmem_max")),
            rtp,
            taken,
            own_ports: system::own_ports(),
            reserved: system::reserved_ports(),
        }
    }

    /// Files for all connections that HTTP takes, all calls, and the program itself.
    fn wanted_files(&self) -> u64 {
        let connections = u64::try_from(DoorLimits::default().total).unwrap_or(u64::MAX);
        connections + u64::from(self.rtp.1.saturating_sub(self.rtp.0)) + OWN_FILES
    }
}

/// What is wrong with the limits.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::of("limits");
    check_files(facts, &mut findings);
    check_buffers(facts, &mut findings);
    check_ports(facts, &mut findings);
    findings.or_well(|| {
        let (first, last) = facts.rtp;
        let files = facts.files.map_or_else(String::new, |it| format!("{it} open files, "));
        format!("{files}large socket buffers, UDP ports {first} to {last} free")
    })
}

fn check_files(facts: &Facts, findings: &mut Findings) {
    let wanted = facts.wanted_files();
    let Some(files) = facts.files.filter(|it| *it < wanted) else { return };
    let whose = match facts.process {
        Some(id) => format!("the running Plenum (process {id})"),
        None => "a program started here".to_owned(),
    };
    let what = format!("{whose} may open {files} files; a full house takes {wanted}");
    let mend = format!(
        "LimitNOFILE={wanted} in the service's unit, `--ulimit nofile={wanted}` of the container, or \
         `ulimit -n {wanted}` in the shell"
    );
    if files < LEAST_FILES { findings.fail(what, mend) } else { findings.warn(what, mend) }
}

fn check_buffers(facts: &Facts, findings: &mut Findings) {
    let wanted = u64::try_from(udp::Purpose::Many.kernel_bytes()).unwrap_or(u64::MAX);
    for (name, found) in [("rmem_max", facts.buffers.0), ("wmem_max", facts.buffers.1)] {
        if let Some(found) = found.filter(|it| *it < wanted) {
            findings.warn(
                format!(
                    "net.core.{name} is {found}: with many participants packets are lost in bursts"
                ),
                format!(
                    "sysctl -w net.core.{name}={wanted}, and the same in /etc/sysctl.d/plenum.conf"
                ),
            );
        }
    }
}

fn check_ports(facts: &Facts, findings: &mut Findings) {
    let (first, last) = facts.rtp;
    let mend = "set other ports in [rtp]: `port_min` and `port_max`";
    let count = usize::from(last.saturating_sub(first)) + 1;
    let free = count.saturating_sub(facts.taken.len());
    let taken: Vec<String> = facts.taken.iter().take(5).map(u16::to_string).collect();
    let more = if facts.taken.len() > taken.len() { " and more" } else { "" };
    let taken = format!(
        "other programs hold UDP ports among {first} to {last}: {}{more}",
        taken.join(", ")
    );
    if free < PORTS_OF_A_CALL {
        findings.fail(taken, mend);
    } else if !facts.taken.is_empty() {
        findings.warn(taken, mend);
    }
    let Some((from, to)) = facts.own_ports else { return };
    let (from, to) = (from.max(first), to.min(last));
    let reserved = |port: u16| facts.reserved.iter().any(|it| (it.0..=it.1).contains(&port));
    if (from..=to).any(|port| !reserved(port)) {
        findings.warn(
            format!("the system gives UDP ports {from} to {to} to any program; calls use them too"),
            format!("sysctl -w net.ipv4.ip_local_reserved_ports={first}-{last}, or {mend}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn facts() -> Facts {
        Facts {
            files: Some(1 << 20),
            process: None,
            buffers: (Some(4 << 20), Some(4 << 20)),
            rtp: (20000, 29999),
            taken: Vec::new(),
            own_ports: Some((32768, 60999)),
            reserved: Vec::new(),
        }
    }

    fn only(facts: &Facts) -> Finding {
        let mut found = check(facts);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn limits_with_room_are_well() {
        assert_eq!(only(&facts()).state, State::Well);
        let unknown = Facts { files: None, buffers: (None, None), own_ports: None, ..facts() };
        assert_eq!(only(&unknown).state, State::Well);
    }

    #[test]
    fn open_files_have_to_suffice() {
        let few = only(&Facts { files: Some(1024), process: Some(12), ..facts() });
        assert_eq!(few.state, State::Warning);
        assert!(few.what.contains("process 12") && few.what.contains("30499"), "{few:?}");
        assert_eq!(only(&Facts { files: Some(100), ..facts() }).state, State::Failure);
    }

    #[test]
    fn small_buffers_are_a_warning_each() {
        let found = check(&Facts { buffers: (Some(212_992), Some(212_992)), ..facts() });
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].mend.as_ref().unwrap().starts_with("sysctl -w net.core.rmem_max=4194304"));
        assert!(found[1].what.starts_with("net.core.wmem_max is 212992"), "{found:?}");
    }

    #[test]
    fn ports_of_calls_have_to_be_free() {
        let taken = only(&Facts { taken: vec![20000, 20002], ..facts() });
        assert_eq!(taken.state, State::Warning);
        assert!(taken.what.ends_with("20000, 20002"), "{taken:?}");
        let full = Facts { rtp: (20000, 20004), taken: vec![20000, 20002], ..facts() };
        assert_eq!(only(&full).state, State::Failure);
    }

    #[test]
    fn ports_that_the_system_gives_out_are_reserved() {
        let shared = Facts { rtp: (30000, 40000), ..facts() };
        let found = only(&shared);
        assert_eq!(found.state, State::Warning);
        assert!(found.what.contains("32768 to 40000"), "{found:?}");
        let half = Facts { reserved: vec![(30000, 35000)], ..shared.clone() };
        assert_eq!(only(&half).state, State::Warning);
        let whole = Facts { reserved: vec![(30000, 35000), (35001, 40000)], ..shared };
        assert_eq!(only(&whole).state, State::Well);
    }
}
