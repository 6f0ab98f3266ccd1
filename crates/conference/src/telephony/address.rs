//! Addresses that can be called.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What can be called: `sip:hall@pbx.example.org`, `hall@10.0.0.7:5070`, `sips:…`, a number
/// `+74951234567`, or a name that the dial rules know. It holds no blanks, quotes, angle brackets,
/// passwords or headers, and so can be written into a SIP message as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallAddress(String);

/// A text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "give an address such as sip:hall@pbx.example.org, hall@10.0.0.7, or a number +74951234567"
)]
pub struct CallAddressError;

impl CallAddress {
    /// Bytes of an address.
    pub const MAX_BYTES: usize = 255;

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Who is called there; empty where the address is a host alone.
    pub fn user(&self) -> &str {
        let (_, bare) = parts(&self.0);
        match bare.rsplit_once('@') {
            Some((user, _)) => user,
            None if self.has_scheme() => "",
            None => bare,
        }
    }

    /// The host without port; `None` for a number or name, whose host the dial rules know.
    pub fn host(&self) -> Option<&str> {
        let (_, bare) = parts(&self.0);
        let host = match bare.rsplit_once('@') {
            Some((_, host)) => host,
            None if self.has_scheme() => bare,
            None => return None,
        };
        Some(split_port(host).map_or(host, |(host, _)| host))
    }

    fn has_scheme(&self) -> bool {
        parts(&self.0).0.is_some()
    }
}

impl FromStr for CallAddress {
    type Err = CallAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (scheme, bare) = parts(text);
        let parameters = text.split_once(';').map_or("", |(_, parameters)| parameters);
        let named = match bare.rsplit_once('@') {
            Some((user, host)) => is_user(user) && is_host(host),
            None if scheme.is_some() => is_host(bare),
            None => is_user(bare) && parameters.is_empty() && !text.contains(';'),
        };
        let parameter = |b: u8| b.is_ascii_alphanumeric() || b"-._=;".contains(&b);
        let good = named && parameters.bytes().all(parameter) && text.len() <= Self::MAX_BYTES;
        if good { Ok(Self(text.to_owned())) } else { Err(CallAddressError) }
    }
}

/// The scheme, and what is between it and the parameters.
fn parts(text: &str) -> (Option<&str>, &str) {
    let known = |scheme: &&str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let scheme = ["sip:", "sips:"].into_iter().find(known);
    let rest = text.get(scheme.map_or(0, str::len)..).unwrap_or_default();
    (scheme, rest.split(';').next().unwrap_or_default())
}

/// RFC 3261's user without its password, which must not travel in the clear, and without `;` and
/// `?`, which are read differently from server to server.
pub(super) fn is_user(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/%#".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

pub(super) fn split_port(host: &str) -> Option<(&str, &str)> {
    let (host, port) = host.rsplit_once(':')?;
    // The last colon of a bare IPv6 address in brackets is within them.
    (!port.ends_with(']')).then_some((host, port))
}

/// A host with or without port.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = split_port(text).map_or((text, None), |(host, port)| (host, Some(port)));
    let port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    port && is_host_name(host)
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn is_host_name(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        return inside.parse::<Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        let allowed = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && allowed
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let digits = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    host.len() <= 253 && host.split('.').all(label) && (!digits || host.parse::<Ipv4Addr>().is_ok())
}

impl fmt::Display for CallAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CallAddress {
    type Error = CallAddressError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CallAddress> for String {
    fn from(address: CallAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_parts() {
        for (text, user, host) in [
            ("sip:hall@pbx.example.org", "hall", Some("pbx.example.org")),
            ("SIPS:hall@pbx:5061", "hall", Some("pbx")),
            ("sip:hall@[2001:db8::1]:5060;transport=tcp", "hall", Some("[2001:db8::1]")),
            ("sip:[2001:db8::1]", "", Some("[2001:db8::1]")),
            ("hall@10.0.0.7", "hall", Some("10.0.0.7")),
            ("sip:10.0.0.7", "", Some("10.0.0.7")),
            (" +74951234567 ", "+74951234567", None),
            ("board**1234@a.org", "board**1234", Some("a.org")),
            ("board", "board", None),
            ("%D1%81@a.org", "%D1%81", Some("a.org")),
        ] {
            let address: CallAddress = text.parse().unwrap();
            assert_eq!((address.user(), address.host()), (user, host), "{text}");
        }
    }

    #[test]
    fn what_could_change_a_message_is_no_address() {
        let long = format!("sip:{}@a.org", "x".repeat(250));
        for bad in [
            "",
            "sip:",
            "@a.org",
            "a@",
            "a b@c.org",
            "a@b\r\nRoute: x",
            "<sip:a@b>",
            "\"a\"@b",
            "sip:a:secret@b.org",
            "a@b?Subject=x",
            "a@b;x=\"y\"",
            "a;b",
            "a@b:0",
            "a@b:99999",
            "a@b:",
            "a@10.0.0",
            "a@[::1",
            "a@[pbx]",
            "a@b..c",
            "совет@a.org",
            "a@совет",
            "mailto:a@b",
            &long,
        ] {
            assert_eq!(bad.parse::<CallAddress>(), Err(CallAddressError), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<CallAddress>(&json).is_err());
        }
    }
}
