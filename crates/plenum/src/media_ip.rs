//! The address that media ports are bound to.

use std::net::IpAddr;

use crate::config::{Config, ConfigError};

/// Where HTTP listens; instead of a wildcard, the one announced address if this machine has it.
///
/// Behind a wildcard the system answers from the address that it prefers itself, and browsers drop
/// what comes from another than they sent to (RFC 8445 section 7.2.5.2.1).
pub fn of(config: &Config) -> Result<IpAddr, ConfigError> {
    let listen = config.http.listen.ip();
    let announced = config.announced()?;
    match announced.as_slice() {
        [only] if listen.is_unspecified() && is_ours(only.to_canonical()) => {
            Ok(only.to_canonical())
        }
        _ => Ok(listen),
    }
}

/// Whether an interface has the address. Binding would not tell: a system can be set to allow that
/// for any address (`ip_nonlocal_bind`). Where interfaces cannot be listed, none has it.
fn is_ours(ip: IpAddr) -> bool {
    let interfaces = if_addrs::get_if_addrs();
    interfaces.is_ok_and(|all| all.iter().any(|interface| interface.ip() == ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(listen: &str, announced: &str) -> IpAddr {
        let variables =
            [("PLENUM_HTTP_LISTEN", listen), ("PLENUM_SFU_ANNOUNCED_ADDRESSES", announced)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        of(&Config::load(None, variables.into_iter(), true).unwrap()).unwrap()
    }

    #[test]
    fn a_wildcard_gives_way_to_the_one_announced_address_of_this_machine() {
        let expected = [
            ("0.0.0.0:0", "127.0.0.1", "127.0.0.1"),
            ("[::]:0", "127.0.0.1", "127.0.0.1"),
            ("0.0.0.0:0", "192.0.2.1", "0.0.0.0"),
            ("0.0.0.0:0", "127.0.0.1,192.0.2.1", "0.0.0.0"),
            ("127.0.0.2:0", "127.0.0.1", "127.0.0.2"),
        ];
        for (listen, announced, bound) in expected {
            assert_eq!(configured(listen, announced).to_string(), bound, "{listen} {announced}");
        }
    }
}
