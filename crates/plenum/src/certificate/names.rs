//! What the server's certificate has to name.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::DnsName;

use crate::config::{Config, ConfigError};

/// DNS names and IP addresses, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Everything under which clients may reach this server: the announced addresses, those that
    /// the listeners have of their own, this machine's name, and `localhost`.
    pub fn of(config: &Config) -> Result<Self, ConfigError> {
        let addresses = config.announced()?.into_iter().chain(config.listening());
        Ok(Self::new(addresses, &host_name()))
    }

    /// These addresses, `host` if it can stand in a certificate, and `localhost`.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>, host: &str) -> Self {
        let addresses = addresses.into_iter().map(|ip| ip.to_canonical().to_string());
        let host =
            Some(host.to_ascii_lowercase()).filter(|host| DnsName::try_from(host.as_str()).is_ok());
        Self(addresses.chain(host).chain(["localhost".to_owned()]).collect())
    }

    /// For a certificate's subject: any of them.
    pub fn first(&self) -> &str {
        self.0.first().map_or("localhost", String::as_str)
    }

    /// All of them.
    pub fn to_vec(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

impl FromIterator<String> for Names {
    fn from_iter<T: IntoIterator<Item = String>>(names: T) -> Self {
        Self(names.into_iter().collect())
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_vec().join(", "))
    }
}

/// This machine's name, as it stands; `localhost` where the system gives none.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}
