//! Networks of a story's own: what runs in one reaches nothing else, and nothing else is changed.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

use crate::wait;

/// How long the system's tools may take on two loaded cores.
const PATIENCE: Duration = Duration::from_secs(10);
/// The addresses of two machines on one wire.
const WIRED: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 86, 0, 1), Ipv4Addr::new(10, 86, 0, 2)];
/// Another one of the first, which the system prefers: what is sent from a wildcard has it.
const PREFERRED: Ipv4Addr = Ipv4Addr::new(10, 86, 0, 3);

/// Holds a network with loopback. Gone with its owner.
const HOLD: &str = "ip link set lo up && echo ready && exec cat";
/// A strict firewall.
const NO_UDP: &str = "iptables -A OUTPUT -p udp -j DROP && iptables -A INPUT -p udp -j DROP";
/// Joins standard input and output to a TCP connection, until the other side ends it. Its first word
/// is that the connection stands.
const RELAY: &str = "exec 3<>/dev/tcp/$0/$1 && echo -n + && { cat <&0 >&3 & cat <&3; kill $!; }";

/// A network namespace, held open by a process that ends with the last owner.
#[derive(Clone)]
pub struct Network(Arc<Holder>);

struct Holder {
    process: Child,
    address: Ipv4Addr,
}

impl Network {
    /// Loopback alone, where every UDP packet is dropped.
    ///
    /// # Panics
    /// Where the system gives no namespaces.
    pub fn without_udp() -> Self {
        let network = Self::alone(Ipv4Addr::LOCALHOST);
        network.run(NO_UDP);
        network
    }

    /// Two machines of one building, joined by a wire: they have nothing else in common. The first
    /// has one more address than others know.
    ///
    /// # Panics
    /// Where the system gives no namespaces.
    pub fn two_machines() -> [Self; 2] {
        let [here, there] = WIRED;
        let first = Self::alone(here);
        // In the first one's user namespace: whoever is root there may join them.
        let second = Self::hold(&mut first.enter(&["--", "unshare", "--net"]), there);
        first.run(&format!("ip link add wire type veth peer name wire netns {}", second.holder()));
        first.run(&format!("ip address add {PREFERRED}/24 dev wire"));
        let machines = [first, second];
        for (machine, gateway) in machines.iter().zip([there, here]) {
            // An IPv6 address is tried for a second or two before it is there: by then a browser has
            // begun, and drops what it loads because its network changed.
            machine.run(&format!(
                "ip link set wire addrgenmode none \
                 && ip address add {}/24 dev wire && ip link set wire up \
                 && ip route add default via {gateway}",
                machine.address()
            ));
        }
        for machine in &machines {
            let what = format!("the wire of {} carries", machine.address());
            wait::until(&what, PATIENCE, || {
                machine.run("ip link show wire").contains("state UP").then_some(())
            });
        }
        machines
    }

    fn alone(address: Ipv4Addr) -> Self {
        let mut command = Command::new("unshare");
        Self::hold(command.args(["--user", "--map-root-user", "--net"]), address)
    }

    /// Holds what `unshare` makes.
    fn hold(unshare: &mut Command, address: Ipv4Addr) -> Self {
        let mut process = unshare
            .args(["sh", "-c", HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().expect("its output"));
        output.read_line(&mut line).expect("its word");
        assert_eq!(line, "ready\n", "the system gives no network namespace: see above");
        Self(Arc::new(Holder { process, address }))
    }

    /// The address under which others reach what runs in it; loopback where there are no others.
    pub fn address(&self) -> Ipv4Addr {
        self.0.address
    }

    /// A program that will run in it, as its root.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.enter(&["--net", "--"]);
        command.arg(program);
        command
    }

    /// Enters as its root, which is whoever made it: nobody else needs be root for that.
    fn enter(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder(), "--user", "--preserve-credentials"]);
        command.args(arguments);
        command
    }

    /// The process that holds it.
    fn holder(&self) -> String {
        self.0.process.id().to_string()
    }

    /// Has its root run a script; what it says.
    fn run(&self, script: &str) -> String {
        let done = self.command("sh").args(["-c", script]).output().expect("nsenter starts");
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{script}: {}: {complaint}", done.status);
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// A TCP connection from within.
    fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        let mut relay = self
            .command("bash")
            .args(["-c", RELAY, &address.ip().to_string(), &address.port().to_string()])
            .stdin(theirs.try_clone()?)
            .stdout(theirs)
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::spawn(move || relay.wait());
        // It ends without a word where nobody listens.
        ours.read_exact(&mut [0])?;
        Ok(Socket::from(OwnedFd::from(ours)))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It reads its input, and ends with that.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// A program in this network, or in the machine's own.
pub fn command(network: Option<&Network>, program: impl AsRef<OsStr>) -> Command {
    match network {
        Some(network) => network.command(program),
        None => Command::new(program),
    }
}

/// A TCP connection from within this network, or from the machine's own.
///
/// # Errors
/// The system's, and an unexpected end where nobody listens.
pub fn connect(network: Option<&Network>, address: SocketAddr) -> io::Result<Socket> {
    match network {
        Some(network) => network.connect(address),
        None => TcpStream::connect(address).map(Socket::from),
    }
}
