//! Who counts as one source of requests.

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

#[cfg(test)]
mod tests {
    use super::*;

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
