//! What there is of certificates, looked at without making or changing anything.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::system_roots;
use super::{CertificateError, FOLDER, MAX_PEM_BYTES, Parsed, authority, certified, provider};
use crate::config::{Config, ConfigError, read_bounded};

/// One certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// From when on it holds.
    pub begins: SystemTime,
    /// Until when.
    pub ends: SystemTime,
    /// DNS names and IP addresses.
    pub names: Vec<String>,
}

impl Link {
    fn read(der: &[u8]) -> Result<Self, String> {
        let parsed = Parsed::read(der)?;
        Ok(Self {
            subject: parsed.subject(),
            issuer: parsed.issuer(),
            begins: parsed.not_before(),
            ends: parsed.not_after(),
            names: parsed.names().to_vec(),
        })
    }
}

/// Certificate and key that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's.
    pub private_key: PathBuf,
    /// The server's own certificate first, then as they stand in the file; or why there is none.
    pub chain: Result<Vec<Link>, String>,
    /// Whether this machine's roots vouch for it; `None`: that cannot be told.
    pub trusted: Option<bool>,
    /// Whether everybody on this machine can read the key.
    pub key_is_open: bool,
    /// The addresses by which people come.
    pub reached: Vec<IpAddr>,
}

impl Given {
    /// The names that a resolver knows something about.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        let names = self.chain.iter().flatten().take(1).flat_map(|it| &it.names);
        let resolvable = |it: &&str| !it.contains('*') && it.parse::<IpAddr>().is_err();
        names.map(String::as_str).filter(resolvable)
    }
}

/// Whose certificate is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing shows one.
    None,
    /// That of files.
    Given(Given),
    /// The local authority's.
    Local {
        /// Its folder.
        folder: PathBuf,
        /// Its root, or why it cannot be read; `None`: it is made at the first start.
        root: Option<Result<Link, String>>,
    },
}

/// Looks at what the configuration names.
pub fn examine(config: &Config, now: SystemTime) -> Result<Subject, ConfigError> {
    let listens = [config.http.tls_listen, config.sip.tls_listen];
    if listens.iter().all(|it| it.address().is_none()) {
        return Ok(Subject::None);
    }
    let (Some(certificate), Some(private_key)) =
        (&config.http.certificate, &config.http.private_key)
    else {
        let folder = config.data.dir.join(FOLDER);
        let root = root(&folder);
        return Ok(Subject::Local { folder, root });
    };
    let read = |path: &Path| {
        read_bounded(path, MAX_PEM_BYTES).map_err(|it| format!("{}: {it}", path.display()))
    };
    let pair = || certified(&read(certificate)?, &read(private_key)?);
    let pair = pair();
    let others = fs::metadata(private_key).map_or(0, |it| it.permissions().mode() & 0o004);
    let reached: BTreeSet<IpAddr> =
        config.announced()?.into_iter().chain(config.listening()).collect();
    Ok(Subject::Given(Given {
        certificate: certificate.clone(),
        private_key: private_key.clone(),
        trusted: pair.as_ref().ok().and_then(|it| trusted(&it.cert, now)),
        chain: pair.and_then(|it| it.cert.iter().map(|der| Link::read(der)).collect()),
        key_is_open: others != 0,
        reached: reached.into_iter().collect(),
    }))
}

fn root(folder: &Path) -> Option<Result<Link, String>> {
    let pem = match authority::read_root(folder) {
        Ok(pem) => pem,
        Err(CertificateError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return None;
        }
        Err(error) => return Some(Err(error.to_string())),
    };
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string());
    Some(der.and_then(|der| Link::read(&der)))
}

/// Whether this machine's roots vouch for a chain, whatever else is wrong with it.
fn trusted(chain: &[CertificateDer<'_>], now: SystemTime) -> Option<bool> {
    let (own, others) = chain.split_first()?;
    let names = Parsed::read(own).ok()?.names().to_vec();
    let name = names.iter().find_map(|it| ServerName::try_from(it.replace('*', "any")).ok())?;
    let provider = Arc::new(provider());
    let roots = Arc::new(system_roots());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build().ok()?;
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    match verifier.verify_server_cert(own, others, &name, &[], now) {
        Ok(_) => Some(true),
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            Some(false)
        }
        Err(_) => None,
    }
}
