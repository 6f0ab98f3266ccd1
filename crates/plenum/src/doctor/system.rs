//! What Linux tells in `/proc` of sockets and processes.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

/// How the program is called among the system's processes.
const PROGRAM: &str = "plenum";

/// How datagrams or bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP, listening.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Whose a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A Plenum's, by its process.
    Plenum(u32),
    /// Another program's.
    Other {
        /// Its process.
        id: u32,
        /// What it calls itself.
        name: String,
    },
    /// A process of another user, which only root can look into.
    Unknown,
}

/// A socket that others cannot bind to any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// By whom.
    pub holder: Holder,
}

impl Held {
    /// Whether it stands in the way of whoever wants this address.
    pub fn blocks(&self, transport: Transport, address: SocketAddr) -> bool {
        self.transport == transport && overlap(self.address, address)
    }
}

/// Whether two sockets cannot have both addresses.
pub fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = |it: SocketAddr| it.ip().is_unspecified();
    let same = || a.ip().to_canonical() == b.ip().to_canonical();
    a.port() == b.port() && (any(a) || any(b) || same())
}

/// All such sockets of this machine; none where `/proc` is not there.
pub fn held() -> Vec<Held> {
    let files = [
        ("tcp", Transport::Tcp),
        ("tcp6", Transport::Tcp),
        ("udp", Transport::Udp),
        ("udp6", Transport::Udp),
    ];
    let mut sockets = Vec::new();
    for (file, transport) in files {
        let table = fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
        sockets.extend(table.lines().skip(1).filter_map(|line| socket(line, transport)));
    }
    let owners = owners();
    let whose = |inode| owners.get(&inode).cloned().unwrap_or(Holder::Unknown);
    let held = sockets.into_iter();
    held.map(|(transport, address, inode)| Held { transport, address, holder: whose(inode) })
        .collect()
}

/// A line of `/proc/net/tcp` and the like (proc(5)): its socket and inode, if that socket listens.
fn socket(line: &str, transport: Transport) -> Option<(Transport, SocketAddr, u64)> {
    /// `TCP_LISTEN` of the kernel.
    const LISTENS: &str = "0A";
    let mut fields = line.split_ascii_whitespace().skip(1);
    let address = address(fields.next()?)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    (transport == Transport::Udp || state == LISTENS).then_some((transport, address, inode))
}

/// An address as the kernel prints it: words of 32 bits as they lie in memory, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for start in (0..ip.len()).step_by(8) {
        let word = u32::from_str_radix(ip.get(start..start + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(|it| IpAddr::from(Ipv4Addr::from(it)));
    let v6 = <[u8; 16]>::try_from(bytes.as_slice()).map(|it| IpAddr::from(Ipv6Addr::from(it)));
    v4.or(v6).ok().map(|ip| SocketAddr::new(ip, port))
}

/// Whose each socket is, by its inode, as far as this user may look.
fn owners() -> HashMap<u64, Holder> {
    let mut owners = HashMap::new();
    for id in processes() {
        let Ok(files) = fs::read_dir(format!("/proc/{id}/fd")) else { continue };
        let mut holder = None;
        for file in files.flatten() {
            let Some(inode) = fs::read_link(file.path()).ok().and_then(|it| inode(&it)) else {
                continue;
            };
            let holder = holder.get_or_insert_with(|| holder_of(id));
            owners.insert(inode, holder.clone());
        }
    }
    owners
}

fn inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn holder_of(id: u32) -> Holder {
    match name(id) {
        name if name == PROGRAM => Holder::Plenum(id),
        name => Holder::Other { id, name },
    }
}

/// What a process calls itself, 15 characters at most; empty where there is none any more.
fn name(id: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

fn processes() -> impl Iterator<Item = u32> {
    let folder = fs::read_dir("/proc").into_iter().flatten().flatten();
    folder.filter_map(|it| it.file_name().to_str()?.parse().ok())
}

/// The first of these programs that runs.
pub fn running(programs: &[&'static str]) -> Option<&'static str> {
    let names: Vec<String> = processes().map(name).collect();
    // The kernel cuts names at 15 characters.
    let cut = |it: &str| it.chars().take(15).collect::<String>();
    programs.iter().find(|program| names.contains(&cut(program))).copied()
}

/// How many files a process may have open; `None`: its own process.
pub fn open_files(process: Option<u32>) -> Option<u64> {
    let process = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    open_files_in(&fs::read_to_string(format!("/proc/{process}/limits")).ok()?)
}

fn open_files_in(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|it| it.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

/// A number of `/proc/sys`, such as `net/core/rmem_max`.
pub fn setting<T: FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

/// A first and a last port in `/proc/sys/net/ipv4`.
pub fn own_ports() -> Option<(u16, u16)> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ports = text.split_ascii_whitespace().filter_map(|it| it.parse().ok());
    ports.next().zip(ports.next())
}

/// The ports that the system gives to nobody by itself.
pub fn reserved_ports() -> Vec<(u16, u16)> {
    let path = "/proc/sys/net/ipv4/ip_local_reserved_ports";
    ranges(&fs::read_to_string(path).unwrap_or_default())
}

fn ranges(text: &str) -> Vec<(u16, u16)> {
    let range = |it: &str| {
        let (first, last) = it.split_once('-').unwrap_or((it, it));
        first.parse().ok().zip(last.parse().ok())
    };
    text.trim().split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let line = "   0: 00000000:1EC8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     \
                    0        0 4711 1 0000000000000000 100 0 0 10 0";
        let expected = (Transport::Tcp, "0.0.0.0:7880".parse().unwrap(), 4711);
        assert_eq!(socket(line, Transport::Tcp), Some(expected));
        let connected = line.replace(" 0A ", " 01 ");
        assert_eq!(socket(&connected, Transport::Tcp), None);
        assert!(socket(&connected, Transport::Udp).is_some());
        assert_eq!(socket("", Transport::Tcp), None);
        assert_eq!(
            address("00000000000000000000000000000000:13C4").unwrap().to_string(),
            "[::]:5060"
        );
        assert_eq!(address("0100007F"), None);
        assert_eq!(ranges("20000-29999,7880\n"), [(20000, 29999), (7880, 7880)]);
        assert_eq!(ranges("\n"), []);
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n";
        assert_eq!(open_files_in(limits), Some(1024));
    }

    #[test]
    fn own_sockets_are_found_with_their_process() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").or_else(|_| UdpSocket::bind("127.0.0.1:0")).unwrap();
        let held = held();
        let own = std::process::id();
        for (transport, address) in [
            (Transport::Tcp, tcp.local_addr().unwrap()),
            (Transport::Udp, udp.local_addr().unwrap()),
        ] {
            let found = held.iter().find(|it| it.blocks(transport, address)).unwrap();
            // The test's program is called otherwise than the product.
            assert!(matches!(found.holder, Holder::Other { id, .. } if id == own), "{found:?}");
        }
        assert!(open_files(None).unwrap() > 0);
        assert_eq!(open_files(Some(own)), open_files(None));
    }

    #[test]
    fn a_wildcard_overlaps_with_every_address_of_its_port() {
        let overlaps = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlaps("0.0.0.0:80", "127.0.0.1:80") && overlaps("127.0.0.1:80", "[::]:80"));
        assert!(overlaps("127.0.0.1:80", "[::ffff:127.0.0.1]:80"));
        assert!(!overlaps("127.0.0.1:80", "127.0.0.2:80") && !overlaps("0.0.0.0:80", "0.0.0.0:81"));
    }
}
