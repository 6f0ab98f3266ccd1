//! What the kernel says of CPU time and lost datagrams, and which core does what.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fault::{Doing, Fault, Result, missing};

/// Servers run here.
pub const SERVER_CORE: &str = "0";
/// The load generator runs here.
pub const LOAD_CORE: &str = "1";

/// The address of everything: ICE refuses the loopback's own, and inside of our network namespace
/// this one is local as well.
pub const ADDRESS: [u8; 4] = [192, 0, 2, 1];

/// Above this share of its core a process queues, and its CPU time tells of queues.
const BUSY: f64 = 0.85;

/// Set for the process that runs inside of the namespace.
const INSIDE: &str = "MEDIA_BENCH_INSIDE";

/// User and system time of a process, of all its threads together.
pub fn cpu_of(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(&folder).doing(&folder)? {
        let path = thread.doing(&folder)?.path().join("schedstat");
        // A thread may end between the two calls.
        if path.exists() {
            sum += schedstat(&path)?;
        }
    }
    Ok(sum)
}

/// The same of a process and all that it started.
pub fn cpu_of_tree(pid: u32) -> Result<Duration> {
    let mut sum = cpu_of(pid)?;
    let path = format!("/proc/{pid}/task/{pid}/children");
    for child in fs::read_to_string(&path).doing(&path)?.split_whitespace() {
        sum += cpu_of_tree(child.parse().map_err(|_| missing("a process' number"))?)?;
    }
    Ok(sum)
}

/// User and system time of this thread.
pub fn cpu_of_thread() -> Result<Duration> {
    // Of a thread that runs, the kernel brings the figure up to date when it yields.
    std::thread::yield_now();
    schedstat(Path::new("/proc/thread-self/schedstat"))
}

fn schedstat(path: &Path) -> Result<Duration> {
    let text = fs::read_to_string(path).doing(path.display().to_string())?;
    let nanos = text.split_whitespace().next().and_then(|it| it.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| missing(format!("time in {}", path.display())))
}

/// Datagrams that sockets of this network namespace dropped since it began, for want of room.
pub fn receive_errors() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/net/snmp").doing("/proc/self/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut pairs = names.split(' ').zip(values.split(' '));
    let found = pairs.find(|(name, _)| *name == "RcvbufErrors");
    found.and_then(|(_, value)| value.parse().ok()).ok_or_else(|| missing("RcvbufErrors"))
}

/// A watch over one measured span: CPU of the server and of ourselves, and what sockets dropped.
pub struct Span {
    server: u32,
    begun: std::time::Instant,
    cpu: [Duration; 2],
    dropped: u64,
}

/// What a span took.
pub struct Spent {
    pub server: Duration,
    pub wall: Duration,
}

impl Span {
    pub fn begin(server: u32) -> Result<Self> {
        let cpu = [cpu_of(server)?, cpu_of(std::process::id())?];
        Ok(Self { server, begun: std::time::Instant::now(), cpu, dropped: receive_errors()? })
    }

    /// Ends it; refuses one in which somebody was too busy to be measured.
    pub fn end(self) -> Result<Spent> {
        let wall = self.begun.elapsed();
        let [server, load] = self.cpu;
        let server = cpu_of(self.server)?.saturating_sub(server);
        let load = cpu_of(std::process::id())?.saturating_sub(load);
        for (who, cpu) in [("server", server), ("load generator", load)] {
            let share = cpu.as_secs_f64() / wall.as_secs_f64();
            if share > BUSY {
                let share = share * 100.0;
                return Err(Fault::Refused(format!("the {who} took {share:.0}% of its core")));
            }
        }
        let dropped = receive_errors()? - self.dropped;
        if dropped > 0 {
            return Err(Fault::Refused(format!("sockets dropped {dropped} datagrams")));
        }
        Ok(Spent { server, wall })
    }
}

/// A command on one core, which ends when we do, however that is.
pub fn pinned(core: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", core]).arg(program);
    command
}

/// This program once more, in another role, on the servers' core.
pub fn own_server(role: &str) -> Result<Command> {
    let own = std::env::current_exe().doing("finding this program")?;
    let mut command = pinned(SERVER_CORE, own);
    command.arg(role);
    Ok(command)
}

/// Where this run's files go: beside the program, in the build folder.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().doing("finding this program")?;
    let folder = own.parent().unwrap_or(Path::new(".")).join("bench").join(name);
    fs::create_dir_all(&folder).doing(folder.display().to_string())?;
    Ok(folder)
}

/// Runs this program once more, with the same arguments: in a network namespace of its own, on the
/// load generator's core. `None`: this is that process.
pub fn enter_namespace() -> Result<Option<i32>> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Err(Fault::Other("servers and load need a core each; here is only one".into()));
    }
    let [a, b, c, d] = ADDRESS;
    // Janus takes no loopback interface, so a pair of virtual cards carries the address. What is
    // sent to an own address goes through the loopback all the same.
    let set_up = format!(
        "ip link set lo up && ip link add bench0 type veth peer name bench1 &&
         ip address add {a}.{b}.{c}.{d}/24 dev bench0 && ip link set bench0 up &&
         ip link set bench1 up && ip route add default via {a}.{b}.{c}.{} && exec \"$@\"",
        d + 1
    );
    let own = std::env::current_exe().doing("finding this program")?;
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(if is_root()? { &["--net"][..] } else { &["--net", "--map-root-user"] })
        .args(["sh", "-c", &set_up, "sh", "taskset", "--cpu-list", LOAD_CORE])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .status()
        .doing("setpriv and unshare (of util-linux)")?;
    Ok(Some(status.code().unwrap_or(1)))
}

fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self").doing("/proc/self")?.uid() == 0)
}
