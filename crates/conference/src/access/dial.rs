//! Which addresses may be dialled out to: patterns over the user and host of a call address.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::network::{IpNetwork, IpNetworkError, ip};

/// The longest pattern, in bytes: a DNS name has at most 253, a user part seldom more than 64.
const MAX_PATTERN_BYTES: usize = 320;

/// A pattern `host` or `user@host`. The host is a name (`pbx.example.org`), a name with its
/// sub-domains (`*.example.org`), an IP address, a network (`10.0.0.0/8`, `2001:db8::/32`) or `*`;
/// the user is a literal or begins or ends with `*`. Names are compared without regard to case and
/// are never resolved: a name matches only where the pattern names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialPattern {
    user: Option<UserPattern>,
    host: HostPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum UserPattern {
    Literal(String),
    StartsWith(String),
    EndsWith(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    Name(String),
    Below(String),
    Network(IpNetwork),
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DialPatternError {
    /// Nothing, or more than 320 bytes.
    #[error("a dial pattern has 1 to 320 characters")]
    Length,
    /// The user part has a `*` in its middle or more than one.
    #[error("the user of a dial pattern may have one '*', at its beginning or its end")]
    User,
    /// The host part is neither a name, nor an address, nor a network.
    #[error("the host of a dial pattern is a name, '*.name', an address, a network, or '*'")]
    Host,
    /// The prefix does not fit the address family.
    #[error("the prefix of a network is at most 32 for IPv4 and at most 128 for IPv6")]
    Prefix,
}

impl DialPattern {
    /// Whether a call to `user` (empty: none) at `host` (a name or an address, IPv6 with or without
    /// brackets, without port) may go out.
    pub fn matches(&self, user: &str, host: &str) -> bool {
        self.user.as_ref().is_none_or(|pattern| pattern.matches(user)) && self.host.matches(host)
    }
}

impl UserPattern {
    fn parse(text: &str) -> Result<Self, DialPatternError> {
        let pattern = if let Some(start) = text.strip_suffix('*') {
            Self::StartsWith(start.to_owned())
        } else if let Some(end) = text.strip_prefix('*') {
            Self::EndsWith(end.to_owned())
        } else {
            Self::Literal(text.to_owned())
        };
        match &pattern {
            Self::Literal(fixed) | Self::StartsWith(fixed) | Self::EndsWith(fixed)
                if fixed.contains('*') =>
            {
                Err(DialPatternError::User)
            }
            Self::Literal(fixed) if fixed.is_empty() => Err(DialPatternError::User),
            _ => Ok(pattern),
        }
    }

    fn matches(&self, user: &str) -> bool {
        match self {
            Self::Literal(fixed) => user == fixed,
            Self::StartsWith(start) => user.starts_with(start.as_str()),
            Self::EndsWith(end) => user.ends_with(end.as_str()),
        }
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, DialPatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(domain) = text.strip_prefix("*.") {
            return Ok(Self::Below(name(domain)?));
        }
        if text.contains('/') || ip(text).is_some() {
            return match text.parse() {
                Ok(network) => Ok(Self::Network(network)),
                Err(IpNetworkError::Address) => Err(DialPatternError::Host),
                Err(IpNetworkError::Prefix) => Err(DialPatternError::Prefix),
            };
        }
        Ok(Self::Name(name(text)?))
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(name) => trim_root(host).eq_ignore_ascii_case(name),
            Self::Below(domain) => {
                let host = trim_root(host).to_ascii_lowercase();
                host.strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            Self::Network(network) => ip(host).is_some_and(|host| network.contains(host)),
        }
    }
}

impl FromStr for DialPattern {
    type Err = DialPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > MAX_PATTERN_BYTES {
            return Err(DialPatternError::Length);
        }
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(UserPattern::parse(user)?), host),
            None => (None, text),
        };
        Ok(Self { user, host: HostPattern::parse(host)? })
    }
}

impl fmt::Display for DialPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(UserPattern::Literal(user)) => write!(f, "{user}@")?,
            Some(UserPattern::StartsWith(start)) => write!(f, "{start}*@")?,
            Some(UserPattern::EndsWith(end)) => write!(f, "*{end}@")?,
            None => {}
        }
        match &self.host {
            HostPattern::Any => f.write_str("*"),
            HostPattern::Name(name) => f.write_str(name),
            HostPattern::Below(domain) => write!(f, "*.{domain}"),
            HostPattern::Network(network) => write!(f, "{network}"),
        }
    }
}

/// A DNS name in lower case. Digits and dots alone are refused: they would be a mistyped address
/// that silently never matches.
fn name(text: &str) -> Result<String, DialPatternError> {
    let text = trim_root(text);
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let has_letter = text.chars().any(|c| c.is_ascii_alphabetic());
    if has_letter && text.split('.').all(label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(DialPatternError::Host)
    }
}

fn trim_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, user: &str, host: &str) -> bool {
        pattern.parse::<DialPattern>().unwrap().matches(user, host)
    }

    #[test]
    fn a_network_lets_its_addresses_through_and_no_name() {
        assert!(allows("127.0.0.0/8", "", "127.0.0.1"));
        assert!(allows("127.0.0.0/8", "room", "[::ffff:127.0.0.9]"));
        assert!(!allows("127.0.0.0/8", "", "128.0.0.1"));
        assert!(!allows("127.0.0.0/8", "", "127.0.0.1.example.org"));
        assert!(!allows("127.0.0.0/8", "", "localhost"));
        assert!(allows("2001:db8::/32", "", "[2001:db8:1::5]"));
        assert!(!allows("2001:db8::/32", "", "[2001:db9::5]"));
        assert!(allows("0.0.0.0/0", "", "10.1.2.3"));
        assert!(!allows("0.0.0.0/0", "", "[2001:db8::1]"));
    }

    #[test]
    fn a_domain_covers_its_sub_domains_but_not_its_namesakes() {
        assert!(allows("*.example.org", "a", "SIP.Example.org."));
        assert!(!allows("*.example.org", "a", "example.org"));
        assert!(!allows("*.example.org", "a", "badexample.org"));
        assert!(allows("example.org", "a", "example.ORG"));
        assert!(!allows("example.org", "a", "example.org.evil.net"));
    }

    #[test]
    fn a_user_part_narrows_a_host() {
        assert!(allows("room*@*", "room12", "10.0.0.1"));
        assert!(!allows("room*@*", "board", "10.0.0.1"));
        assert!(allows("*99@pbx", "1099", "pbx"));
        assert!(allows("7@pbx", "7", "pbx"));
        assert!(!allows("7@pbx", "77", "pbx"));
    }

    #[test]
    fn what_could_never_match_is_refused() {
        for bad in ["", "@pbx", "a*b@pbx", "10.0.0", "10.0.0.0/33", "a b", "sip:x@pbx:5060", "*x"] {
            assert!(bad.parse::<DialPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_prints_as_it_is_written() {
        for text in ["*", "*.example.org", "10.0.0.0/8", "::1", "room*@pbx", "*9@10.0.0.1", "*@a.b"]
        {
            assert_eq!(text.parse::<DialPattern>().unwrap().to_string(), text);
        }
    }
}
