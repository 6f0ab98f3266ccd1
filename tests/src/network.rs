//! A network of a story's own: what runs in it reaches nothing else, and nothing else is changed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Loopback, without UDP: a strict firewall. Gone with its owner.
const WITHOUT_UDP: &str = "ip link set lo up \
    && iptables -A OUTPUT -p udp -j DROP \
    && iptables -A INPUT -p udp -j DROP \
    && echo ready && exec cat";

/// A network namespace, held open by a process that ends with its owner.
pub struct Network {
    holder: Child,
}

impl Network {
    /// Loopback alone, where every UDP packet is dropped.
    ///
    /// # Panics
    /// Where the system gives no namespaces.
    pub fn without_udp() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "sh", "-c", WITHOUT_UDP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut line = String::new();
        let mut output = BufReader::new(holder.stdout.take().expect("its output"));
        output.read_line(&mut line).expect("its word");
        assert_eq!(line, "ready\n", "the system gives no network namespace: see above");
        Self { holder }
    }

    /// A program that will run in it, as its root.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.id().to_string();
        command.args(["--target", &target, "--user", "--net", "--"]).arg(program);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // It reads its input, and ends with that.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// A program in this network, or in the machine's own.
pub fn command(network: Option<&Network>, program: impl AsRef<OsStr>) -> Command {
    match network {
        Some(network) => network.command(program),
        None => Command::new(program),
    }
}
