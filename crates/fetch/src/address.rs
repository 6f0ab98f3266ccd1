//! Where a request goes.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// The longest address, in bytes.
const MAX_ADDRESS: usize = 2048;

/// A server: `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Over TLS.
    pub secure: bool,
    /// A name or an IP address, IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A resource of a server: `https://host/path?query`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Whose.
    pub server: Server,
    /// Path and query.
    target: String,
}

/// A text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "give http://host/path or https://host/path, without a name and password in front of the host"
)]
pub struct AddressError;

impl Server {
    /// The server of a URI.
    ///
    /// # Errors
    /// What is neither HTTP nor HTTPS, or carries a password: that would stand in logs.
    pub fn of(uri: &Uri) -> Result<Self, AddressError> {
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(AddressError),
        };
        let authority = uri.authority().ok_or(AddressError)?;
        let (host, port) = (authority.host(), authority.port_u16());
        // A password, or a port that does not exist, is in neither of both.
        let whole = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        if host.is_empty() || whole != authority.as_str() {
            return Err(AddressError);
        }
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { secure, host, port })
    }

    /// What stands in `Host`: with the port where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl Address {
    /// Path and query, as a request names them.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The address without its query, which may hold a secret: for logs and people.
    pub fn shown(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        format!("{}{path}", self.server)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_ADDRESS {
            return Err(AddressError);
        }
        let uri: Uri = text.parse().map_err(|_| AddressError)?;
        let server = Server::of(&uri)?;
        let target = uri.path_and_query().map_or("/", |it| it.as_str());
        Ok(Self { server, target: target.to_owned() })
    }
}

/// The whole address, as it was given.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.server, self.target)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_and_its_query_is_not_shown() {
        for text in [
            "http://127.0.0.1:8080/hook",
            "https://portal.example.org/hooks/plenum?token=secret",
            "https://[2001:db8::1]:8443/",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert!(!address.shown().contains("secret") && !format!("{address:?}").contains('?'));
        }
        let bare: Address = "https://portal.example.org".parse().unwrap();
        assert_eq!((bare.target(), bare.server.port), ("/", 443));
        let explicit: Address = "http://portal.example.org:80/x".parse().unwrap();
        assert_eq!(explicit.to_string(), "http://portal.example.org/x");
    }

    #[test]
    fn anything_but_http_and_anything_with_a_password_is_refused() {
        for text in [
            "",
            "portal.example.org/hook",
            "/hook",
            "ftp://portal.example.org/",
            "file:///etc/passwd",
            "http://",
            "http://user:password@portal.example.org/",
            "http://portal example.org/",
            "https://portal.example.org:99999/",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text:?}");
        }
        assert!(format!("http://h/{}", "x".repeat(MAX_ADDRESS)).parse::<Address>().is_err());
    }
}
