//! Networks of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An address or a network, `10.0.0.7`, `10.0.0.0/8`, `2001:db8::/32`. An IPv4 address in IPv6's
/// clothes counts as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IpNetworkError {
    /// It is no address.
    #[error("give an address or a network, such as 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32")]
    Address,
    /// The prefix does not fit the address family.
    #[error("the prefix of a network is at most 32 for IPv4 and at most 128 for IPv6")]
    Prefix,
}

impl IpNetwork {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (host, network) = match (address.to_canonical(), self.address) {
            (IpAddr::V4(host), IpAddr::V4(network)) => {
                (u128::from(host.to_bits()) << 96, u128::from(network.to_bits()) << 96)
            }
            (IpAddr::V6(host), IpAddr::V6(network)) => (host.to_bits(), network.to_bits()),
            _ => return false,
        };
        let differing = host ^ network;
        differing.leading_zeros() >= u32::from(self.prefix)
    }
}

impl FromStr for IpNetwork {
    type Err = IpNetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((address, prefix)) = text.split_once('/') else {
            let address = ip(text).ok_or(IpNetworkError::Address)?;
            return Ok(Self { address, prefix: bits(address) });
        };
        let address = ip(address).ok_or(IpNetworkError::Address)?;
        let prefix = prefix.parse().map_err(|_| IpNetworkError::Prefix)?;
        if prefix > bits(address) {
            return Err(IpNetworkError::Prefix);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            prefix if prefix == bits(self.address) => write!(f, "{}", self.address),
            prefix => write!(f, "{}/{prefix}", self.address),
        }
    }
}

impl TryFrom<String> for IpNetwork {
    type Error = IpNetworkError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IpNetwork> for String {
    fn from(network: IpNetwork) -> Self {
        network.to_string()
    }
}

/// An address with or without brackets; an IPv4 address in IPv6's clothes counts as IPv4.
pub(super) fn ip(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "::ffff:10.0.0.7", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::5", true),
            ("2001:db8::/32", "2001:db9::5", false),
        ] {
            let read: IpNetwork = network.parse().unwrap();
            assert_eq!(read.contains(address.parse().unwrap()), inside, "{network} {address}");
            assert_eq!(read.to_string(), network);
        }
        for bad in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "::/129", "pbx", "10.0.0.0/8/8"] {
            assert!(bad.parse::<IpNetwork>().is_err(), "{bad}");
            assert!(serde_json::from_str::<IpNetwork>(&format!("{bad:?}")).is_err());
        }
    }
}
