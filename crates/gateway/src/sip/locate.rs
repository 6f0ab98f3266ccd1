//! Where the servers of a host are (RFC 3263): NAPTR, SRV with priorities and weights, addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{RData, RecordType};
use rand::Rng as _;

use super::Transport;

/// All questions about one host together may take so long.
const WITHIN: Duration = Duration::from_secs(5);
/// One question to one name server.
const QUESTION_WITHIN: Duration = Duration::from_millis(1_500);
/// Servers of one host that are tried, whatever its zone lists.
const MAX_SERVERS: usize = 8;
/// Records of one kind that are read.
const MAX_RECORDS: usize = 16;
/// The port of SIP, and that of SIP over TLS.
const PORTS: (u16, u16) = (5060, 5061);

/// One server of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Located {
    /// Over what it is reached.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// Whose certificate it has to show over TLS: the host that was asked for, as records can be forged
    /// (RFC 5922 section 4).
    pub host: String,
}

/// Why no server of a host is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// The name has no addresses.
    #[error("DNS knows no address of {0}: look at the name, and at its SRV records")]
    NoSuchName(String),
    /// No name server answered.
    #[error("no name server answers about {0}: set [sip] name_servers, or look at the network")]
    NoResolver(String),
    /// The host takes calls over none of our transports.
    #[error("{0} takes calls over no transport that is switched on here")]
    NoTransport(String),
}

/// Finds servers.
#[derive(Debug)]
pub(super) struct Locator {
    resolver: Option<TokioResolver>,
}

impl Locator {
    /// Asks these name servers; if there are none, the system's.
    pub(super) fn new(name_servers: &[SocketAddr]) -> Self {
        let builder = match name_servers {
            [] => TokioResolver::builder_tokio(),
            some => {
                let servers = some.iter().map(|at| {
                    let mut server = NameServerConfig::udp_and_tcp(at.ip());
                    server.connections.iter_mut().for_each(|it| it.port = at.port());
                    server
                });
                let config = ResolverConfig::from_name_servers(servers.collect());
                Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
            }
        };
        let resolver = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            (options.timeout, options.attempts) = (QUESTION_WITHIN, 1);
            builder.build()
        });
        let resolver = resolver.inspect_err(|error| {
            tracing::warn!(%error, "names of SIP servers cannot be looked up");
        });
        Self { resolver: resolver.ok() }
    }

    /// The servers of a host in the order in which they are to be tried. Without a port and a transport
    /// DNS says both, without a port the port. `can` tells the transports that we have.
    pub(super) async fn locate(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
        can: impl Fn(Transport) -> bool,
    ) -> Result<Vec<Located>, LocateError> {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if transport.is_some_and(|it| !can(it)) {
            return Err(LocateError::NoTransport(name));
        }
        let or_udp = transport.unwrap_or(Transport::Udp);
        let bare = name.trim_matches(['[', ']']);
        let ip = match bare {
            "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
            _ => bare.parse::<IpAddr>().ok(),
        };
        if let Some(ip) = ip {
            let address = SocketAddr::new(ip, port.unwrap_or(default_port(or_udp)));
            return Ok(vec![Located { transport: or_udp, address, host: bare.to_owned() }]);
        }
        let resolver =
            self.resolver.as_ref().ok_or_else(|| LocateError::NoResolver(name.clone()))?;
        let question = Question { resolver, name: &name };
        let found = match port {
            Some(port) => {
                tokio::time::timeout(WITHIN, question.addresses(or_udp, &name, port)).await
            }
            None => tokio::time::timeout(WITHIN, question.by_records(transport, &can)).await,
        };
        let found = found.map_err(|_| LocateError::NoResolver(name.clone()))??;
        match found.is_empty() {
            true => Err(LocateError::NoSuchName(name)),
            false => Ok(found),
        }
    }
}

const fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Tls => PORTS.1,
        Transport::Udp | Transport::Tcp => PORTS.0,
    }
}

struct Question<'a> {
    resolver: &'a TokioResolver,
    name: &'a str,
}

impl Question<'_> {
    async fn by_records(
        &self,
        transport: Option<Transport>,
        can: &impl Fn(Transport) -> bool,
    ) -> Result<Vec<Located>, LocateError> {
        let services = match transport {
            Some(transport) => vec![(transport, self.service(transport))],
            None => self.services(can).await?,
        };
        let mut found = Vec::new();
        let mut has_records = false;
        for (transport, service) in services {
            let records = self.records(&service, RecordType::SRV).await?;
            let records = records.into_iter().filter_map(|it| match it {
                RData::SRV(record) => Some(record),
                _ => None,
            });
            let records = in_order(records.collect(), |below| rand::rng().random_range(0..=below));
            has_records |= !records.is_empty();
            for record in records {
                // A root as target: this service is not offered (RFC 2782).
                if record.target.is_root() || found.len() >= MAX_SERVERS {
                    continue;
                }
                let target = record.target.to_utf8();
                found.extend(self.addresses(transport, &target, record.port).await?);
            }
        }
        if !has_records {
            let transport = transport.unwrap_or(Transport::Udp);
            found = self.addresses(transport, self.name, default_port(transport)).await?;
        }
        found.truncate(MAX_SERVERS);
        Ok(found)
    }

    fn service(&self, transport: Transport) -> String {
        let prefix = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
        };
        format!("{prefix}.{}.", self.name)
    }

    /// The transports that the host prefers, each with the name of its SRV records.
    async fn services(
        &self,
        can: &impl Fn(Transport) -> bool,
    ) -> Result<Vec<(Transport, String)>, LocateError> {
        let records = self.records(&format!("{}.", self.name), RecordType::NAPTR).await?;
        let records = records.into_iter().filter_map(|it| match it {
            RData::NAPTR(record) => Some(record),
            _ => None,
        });
        let offered = preferred(records.collect());
        let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
        if offered.is_empty() {
            let mine = all.into_iter().filter(|it| can(*it));
            return Ok(mine.map(|it| (it, self.service(it))).collect());
        }
        let usable: Vec<_> = offered.into_iter().filter(|it| can(it.0)).collect();
        match usable.is_empty() {
            true => Err(LocateError::NoTransport(self.name.to_owned())),
            false => Ok(usable),
        }
    }

    /// Records of a name; none are no error.
    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, LocateError> {
        match self.resolver.lookup(name, kind).await {
            Ok(lookup) => {
                let data = lookup.answers().iter().map(|it| it.data.clone());
                Ok(data.take(MAX_RECORDS).collect())
            }
            Err(error) => self.or_none(&error).map(|()| Vec::new()),
        }
    }

    async fn addresses(
        &self,
        transport: Transport,
        name: &str,
        port: u16,
    ) -> Result<Vec<Located>, LocateError> {
        let name = format!("{}.", name.trim_end_matches('.'));
        let found = match self.resolver.lookup_ip(name).await {
            Ok(found) => found,
            Err(error) => return self.or_none(&error).map(|()| Vec::new()),
        };
        let host = self.name.to_owned();
        let located = found.iter().take(MAX_SERVERS).map(|ip| Located {
            transport,
            address: SocketAddr::new(ip, port),
            host: host.clone(),
        });
        Ok(located.collect())
    }

    /// Whether an error says that there is nothing.
    fn or_none(&self, error: &NetError) -> Result<(), LocateError> {
        tracing::debug!(name = self.name, %error, "a question to DNS brought nothing");
        match error.is_no_records_found() {
            true => Ok(()),
            false => Err(LocateError::NoResolver(self.name.to_owned())),
        }
    }
}

/// SRV records in the order of their priorities, and among equal ones by chance, the more weight the
/// sooner (RFC 2782). `random` gives a number from 0 to its argument.
fn in_order(mut records: Vec<SRV>, random: impl Fn(u32) -> u32) -> Vec<SRV> {
    // Those without weight first: then they have their small chance.
    records.sort_by_key(|it| (it.priority, it.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|it| it.priority) {
        let equal = records.iter().take_while(|it| it.priority == priority);
        let chosen = random(equal.clone().map(|it| u32::from(it.weight)).sum());
        let mut sum = 0;
        let place = equal
            .map(|it| {
                sum += u32::from(it.weight);
                sum
            })
            .position(|sum| sum >= chosen);
        ordered.push(records.remove(place.unwrap_or(0)));
    }
    ordered
}

/// The transports of NAPTR records in their order, each with the name of its SRV records.
fn preferred(mut records: Vec<NAPTR>) -> Vec<(Transport, String)> {
    records.sort_by_key(|it| (it.order, it.preference));
    let read = |record: NAPTR| {
        let service = record.services.to_ascii_uppercase();
        let transport = match service.as_slice() {
            b"SIP+D2U" => Transport::Udp,
            b"SIP+D2T" => Transport::Tcp,
            b"SIPS+D2T" => Transport::Tls,
            _ => return None,
        };
        let leads_to_srv = record.flags.eq_ignore_ascii_case(b"s");
        leads_to_srv.then(|| (transport, record.replacement.to_utf8()))
    };
    records.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::Name;

    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> SRV {
        SRV::new(priority, weight, 5060, Name::from_utf8(target).unwrap())
    }

    fn order(random: impl Fn(u32) -> u32) -> Vec<String> {
        let records = vec![
            srv(20, 0, "late."),
            srv(10, 30, "small."),
            srv(10, 0, "none."),
            srv(10, 70, "big."),
        ];
        in_order(records, random).into_iter().map(|it| it.target.to_utf8()).collect()
    }

    #[test]
    fn priority_orders_and_weight_is_a_chance() {
        assert_eq!(order(|_| 0), ["none.", "small.", "big.", "late."]);
        assert_eq!(order(|most| most), ["big.", "small.", "none.", "late."]);
        assert_eq!(order(|most| most.min(30)), ["small.", "big.", "none.", "late."]);
        let mut state = 1_u64;
        let big = (0..10_000).filter(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = u32::try_from(state >> 33).unwrap();
            order(|most| at % (most + 1))[0] == "big."
        });
        let share = big.count();
        assert!((6_500..7_400).contains(&share), "{share} of 10000 begin with what weighs 70%");
    }

    #[test]
    fn naptr_records_say_which_transports_are_preferred() {
        let naptr = |order, preference, flags: &str, services: &str, to: &str| {
            let [flags, services] = [flags, services].map(|it| it.as_bytes().into());
            let to = Name::from_utf8(to).unwrap();
            NAPTR::new(order, preference, flags, services, Box::default(), to)
        };
        let records = vec![
            naptr(20, 10, "s", "SIP+D2U", "_sip._udp.a.org."),
            naptr(10, 20, "S", "sip+d2t", "_sip._tcp.b.org."),
            naptr(10, 10, "s", "SIPS+D2T", "_sips._tcp.a.org."),
            naptr(1, 1, "u", "SIP+D2U", "x."),
            naptr(1, 1, "s", "E2U+sip", "x."),
        ];
        let told = preferred(records);
        let told: Vec<_> =
            told.iter().map(|(transport, name)| (*transport, name.as_str())).collect();
        assert_eq!(
            told,
            [
                (Transport::Tls, "_sips._tcp.a.org."),
                (Transport::Tcp, "_sip._tcp.b.org."),
                (Transport::Udp, "_sip._udp.a.org."),
            ]
        );
    }
}
