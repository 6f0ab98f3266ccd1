//! Whether the server gets its ports, or has them.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::finding::{Finding, Findings};
use super::system::{Held, Holder, Transport, overlap};
use crate::config::{Config, ConfigError};
use crate::media_ip;

/// How long the server may take to answer: it is on this machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is read of its answer, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// A port that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// What for.
    pub what: &'static str,
    /// Where it is set.
    pub key: &'static str,
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// Whether a port can be had.
#[derive(Debug)]
pub enum Bound {
    /// It can be bound.
    Free,
    /// Somebody has it.
    Held(Holder),
    /// The system refuses it.
    Refused(io::Error),
}

/// What is known of the ports.
#[derive(Debug, Default)]
pub struct Facts {
    /// Each with what the system says of it.
    pub ports: Vec<(Port, Bound)>,
    /// Whether a Plenum answers where HTTP listens.
    pub answers: bool,
}

impl Facts {
    /// Tries all ports of the configuration.
    pub fn gather(config: &Config, held: &[Held]) -> Result<Self, ConfigError> {
        let ports = wanted(config)?.into_iter().map(|port| {
            let bound = try_to_bind(&port, held);
            (port, bound)
        });
        Ok(Self { ports: ports.collect(), answers: answers(config.http.listen) })
    }

    /// The process of the Plenum that has any of the ports.
    pub fn running(&self) -> Option<u32> {
        self.plenums().into_iter().next()
    }

    fn plenums(&self) -> BTreeSet<u32> {
        let holders = self.ports.iter().filter_map(|(_, bound)| match bound {
            Bound::Held(Holder::Plenum(id)) => Some(*id),
            _ => None,
        });
        holders.collect()
    }
}

/// Every port that the server binds at its start, but for those that the system is to choose.
fn wanted(config: &Config) -> Result<Vec<Port>, ConfigError> {
    use Transport::{Tcp, Udp};
    let (http, sip, sfu) = (&config.http, &config.sip, &config.sfu);
    let port = |what, key, transport, address| Port { what, key, transport, address };
    let mut ports = vec![port("HTTP", "`listen` in [http]", Tcp, http.listen)];
    for (what, key, transport, listen) in [
        ("HTTPS", "`tls_listen` in [http]", Tcp, http.tls_listen),
        ("SIP", "`udp_listen` in [sip]", Udp, sip.udp_listen),
        ("SIP", "`tcp_listen` in [sip]", Tcp, sip.tcp_listen),
        ("SIP over TLS", "`tls_listen` in [sip]", Tcp, sip.tls_listen),
    ] {
        ports.extend(listen.address().map(|address| port(what, key, transport, address)));
    }
    let media = media_ip::of(config)?;
    let shards = (0..sfu.shard_count())
        .filter_map(|index| sfu.udp_port.checked_add(u16::try_from(index).ok()?))
        .map(|it| port("WebRTC", "`udp_port` in [sfu]", Udp, SocketAddr::new(media, it)));
    ports.extend(shards);
    let over_tcp = SocketAddr::new(http.listen.ip(), sfu.tcp_port);
    ports.push(port("WebRTC over TCP", "`tcp_port` in [sfu]", Tcp, over_tcp));
    ports.retain(|it| it.address.port() != 0);
    Ok(ports)
}

fn try_to_bind(port: &Port, held: &[Held]) -> Bound {
    let bound = match port.transport {
        Transport::Tcp => TcpListener::bind(port.address).map(drop),
        Transport::Udp => UdpSocket::bind(port.address).map(drop),
    };
    match bound {
        Ok(()) => Bound::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let holder = held.iter().find(|it| it.blocks(port.transport, port.address));
            Bound::Held(holder.map_or(Holder::Unknown, |it| it.holder.clone()))
        }
        Err(error) => Bound::Refused(error),
    }
}

/// Whether a Plenum listens there: its metrics bear its name, and are shown over plain HTTP always.
fn answers(listen: SocketAddr) -> bool {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&(ip, listen.port()).into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().is_ok_and(|answer| answer.contains("\nplenum_"))
}

/// What is wrong with the ports.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::of("ports");
    collisions(&facts.ports, &mut findings);
    for (port, bound) in &facts.ports {
        let Port { what, key, transport, address } = port;
        let place = format!("{what}: {} {address}", transport.word());
        match bound {
            Bound::Free | Bound::Held(Holder::Plenum(_)) => {}
            Bound::Held(Holder::Other { id, name }) => findings.fail(
                format!("{place} is held by {name} (process {id})"),
                format!("end that program, or set another port: {key}"),
            ),
            Bound::Held(Holder::Unknown) if facts.answers => findings.warn(
                format!("{place} is held by a process of another user, perhaps the running Plenum"),
                "to be sure, run this as root or as the server's user",
            ),
            Bound::Held(Holder::Unknown) => findings.fail(
                format!("{place} is held by a program that this user cannot look into"),
                format!("run this as root to see which, end it, or set another port: {key}"),
            ),
            Bound::Refused(error) => refused(&place, port, error, &mut findings),
        }
    }
    let plenums = facts.plenums();
    if plenums.len() > 1 {
        let ids: Vec<String> = plenums.iter().map(u32::to_string).collect();
        let what = format!("several Plenums run (processes {})", ids.join(", "));
        findings.fail(what, "end all but one, or give each ports of its own");
    } else if let Some(id) = facts.running() {
        for (port, _) in facts.ports.iter().filter(|it| matches!(it.1, Bound::Free)) {
            let (word, address) = (port.transport.word(), port.address);
            let what = format!(
                "{}: the running Plenum (process {id}) does not listen on {word} {address}",
                port.what
            );
            findings.warn(what, "restart it with this configuration");
        }
    }
    let count = facts.ports.len();
    findings.or_well(|| match facts.running() {
        Some(id) => format!("all {count} are held by the running Plenum (process {id})"),
        None => format!("all {count} can be bound"),
    })
}

/// Two listeners that want the same.
fn collisions(ports: &[(Port, Bound)], findings: &mut Findings) {
    for (index, (a, _)) in ports.iter().enumerate() {
        let clash = |b: &Port| a.transport == b.transport && overlap(a.address, b.address);
        for (b, _) in ports.iter().skip(index + 1).filter(|(b, _)| clash(b)) {
            let (word, port) = (a.transport.word(), a.address.port());
            findings.fail(
                format!("{} and {} both want {word} port {port}", a.what, b.what),
                format!("change {} or {}", a.key, b.key),
            );
        }
    }
}

fn refused(place: &str, port: &Port, error: &io::Error, findings: &mut Findings) {
    let mend = match error.kind() {
        ErrorKind::AddrNotAvailable => {
            format!(
                "no interface has this address: set one of this machine, or 0.0.0.0: {}",
                port.key
            )
        }
        ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a right: AmbientCapabilities=CAP_NET_BIND_SERVICE in the \
             service's unit, or `setcap cap_net_bind_service=+ep` on the program, or another port: {}",
            port.key
        ),
        _ => format!("set another address: {}", port.key),
    };
    findings.fail(format!("{place} cannot be bound: {error}"), mend);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn port(what: &'static str, address: &str) -> Port {
        let address = address.parse().unwrap();
        Port { what, key: "`listen` in [http]", transport: Transport::Tcp, address }
    }

    fn facts(bound: Bound) -> Facts {
        Facts { ports: vec![(port("HTTP", "0.0.0.0:7880"), bound)], answers: false }
    }

    fn only(facts: &Facts) -> Finding {
        let mut found = check(facts);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn free_ports_and_those_of_the_running_server_are_well() {
        let free = only(&facts(Bound::Free));
        assert_eq!((free.state, free.what.as_str()), (State::Well, "all 1 can be bound"));
        let held = only(&facts(Bound::Held(Holder::Plenum(12))));
        assert_eq!(held.state, State::Well);
        assert!(held.what.contains("process 12"), "{held:?}");
    }

    #[test]
    fn a_port_of_somebody_else_is_told_with_its_holder() {
        let nginx = Holder::Other { id: 7, name: "nginx".to_owned() };
        let found = only(&facts(Bound::Held(nginx)));
        assert_eq!(found.state, State::Failure);
        assert_eq!(found.what, "HTTP: TCP 0.0.0.0:7880 is held by nginx (process 7)");
        assert!(found.mend.unwrap().contains("`listen` in [http]"));
    }

    #[test]
    fn a_holder_that_cannot_be_seen_is_a_warning_where_a_plenum_answers() {
        let mut facts = facts(Bound::Held(Holder::Unknown));
        assert_eq!(only(&facts).state, State::Failure);
        facts.answers = true;
        assert_eq!(only(&facts).state, State::Warning);
    }

    #[test]
    fn what_the_system_refuses_is_told_with_the_way_out() {
        let refused = |kind| only(&facts(Bound::Refused(io::Error::from(kind))));
        let denied = refused(ErrorKind::PermissionDenied);
        assert_eq!(denied.state, State::Failure);
        assert!(denied.mend.unwrap().contains("CAP_NET_BIND_SERVICE"));
        let elsewhere = refused(ErrorKind::AddrNotAvailable);
        assert!(elsewhere.mend.unwrap().contains("no interface has this address"));
    }

    #[test]
    fn two_listeners_on_one_port_collide() {
        let mut facts = facts(Bound::Free);
        facts.ports.push((port("HTTPS", "127.0.0.1:7880"), Bound::Free));
        let found = only(&facts);
        assert_eq!(found.what, "HTTP and HTTPS both want TCP port 7880");
        facts.ports.pop();
        facts.ports.push((port("HTTPS", "127.0.0.1:7881"), Bound::Free));
        assert_eq!(only(&facts).state, State::Well);
    }

    #[test]
    fn a_running_server_with_another_configuration_is_told() {
        let mut facts = facts(Bound::Held(Holder::Plenum(12)));
        facts.ports.push((port("HTTPS", "0.0.0.0:7443"), Bound::Free));
        let found = only(&facts);
        assert_eq!(found.state, State::Warning);
        assert!(found.what.contains("does not listen on TCP 0.0.0.0:7443"), "{found:?}");
        facts.ports.push((port("SIP", "0.0.0.0:5060"), Bound::Held(Holder::Plenum(13))));
        let found = only(&facts);
        assert_eq!(found.state, State::Failure);
        assert!(found.what.contains("12, 13"), "{found:?}");
    }

    #[test]
    fn the_configurations_ports_are_those_that_the_server_binds() {
        let variables = [("PLENUM_SFU_SHARDS", "2"), ("PLENUM_SIP_TCP_LISTEN", "off")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::load(None, variables.into_iter(), true).unwrap();
        let ports = wanted(&config).unwrap();
        let told = ports.iter().map(|it| format!("{} {}", it.transport.word(), it.address));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "TCP 127.0.0.1:7880",
                "UDP 127.0.0.1:5060",
                "TCP 127.0.0.1:5061",
                "UDP 127.0.0.1:7882",
                "UDP 127.0.0.1:7883",
                "TCP 127.0.0.1:7881",
            ]
        );
    }
}
