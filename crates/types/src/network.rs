//! Who counts as one source of requests, and from where an address can be reached.

use std::net::{IpAddr, Ipv6Addr};

/// The network of one client, by which limits count: an IPv4 address as it is, of an IPv6 address
/// its /64, since whoever has one address of that usually has all. IPv4 within IPv6 is IPv4.
#[must_use]
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// Whether somebody at `from` could reach `to` itself, so that it gives nothing away to do so for it: a
/// machine reaches itself, a site its own addresses, and everybody the world. NATs aside, whoever calls
/// from the world has nothing at a private address here.
#[must_use]
pub fn could_reach(from: IpAddr, to: IpAddr) -> bool {
    from.to_canonical() == to.to_canonical() || Scope::of(from) <= Scope::of(to)
}

/// From where an address can be reached.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Machine,
    Link,
    Site,
    World,
}

impl Scope {
    fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let (link, site) = match address {
            IpAddr::V4(ip) => {
                // Carriers' NATs have 100.64.0.0/10 (RFC 6598).
                let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
                (ip.is_link_local(), ip.is_private() || shared)
            }
            IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.is_unique_local()),
        };
        match () {
            () if address.is_loopback() || address.is_unspecified() => Self::Machine,
            () if link => Self::Link,
            () if site => Self::Site,
            () => Self::World,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reaches_further_in_than_they_are() {
        for (from, to, could) in [
            ("192.0.2.7", "198.51.100.1", true),
            ("192.0.2.7", "10.0.0.1", false),
            ("192.0.2.7", "127.0.0.1", false),
            ("10.0.0.1", "192.168.1.1", true),
            ("10.0.0.1", "198.51.100.1", true),
            ("10.0.0.1", "::ffff:127.0.0.1", false),
            ("10.0.0.1", "169.254.0.1", false),
            ("100.64.0.1", "10.0.0.1", true),
            ("2001:db8::1", "fd00::1", false),
            ("2001:db8::1", "fe80::1", false),
            ("fd00::1", "2001:db8::1", true),
            ("127.0.0.1", "10.0.0.1", true),
            ("169.254.0.1", "169.254.0.1", true),
            ("192.0.2.7", "0.0.0.0", false),
        ] {
            let parsed = [from, to].map(|it| it.parse().unwrap());
            assert_eq!(could_reach(parsed[0], parsed[1]), could, "{from} {to}");
        }
    }

    #[test]
    fn neighbours_of_one_64_are_one_client_and_mapped_addresses_are_ipv4() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(client_network(address), network.parse::<IpAddr>().unwrap());
        }
    }
}
