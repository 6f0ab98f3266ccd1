//! The certificate of HTTPS and of SIP over TLS: from files, or from the local authority.

mod authority;
mod examined;
mod names;
mod parsed;
mod reload;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};

use crate::config::{Config, ConfigError, SipTls, read_bounded};
use authority::Authority;
use names::Names;
use parsed::Parsed;

pub use examined::{Given, Link, Subject, examine};
pub use names::host_name;
pub use reload::follow;

/// The largest file of certificates that is read, in bytes: a system's whole set of roots is
/// smaller.
const MAX_PEM_BYTES: u64 = 1 << 20;
/// Where the local authority lies in the data folder.
const FOLDER: &str = "authority";
/// A certificate from files that ends sooner is complained of whenever it is read.
pub const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);
/// A root that ends sooner is complained of: every browser will need another.
pub const WARN_ROOT_BEFORE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The configuration does not say what it is for.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the local authority cannot be written.
    #[error("cannot write {}: {source}: check `dir` in [data]", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Certificate and key are there and of no use.
    #[error("{} with {}: {why}", certificate.display(), private_key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        private_key: PathBuf,
        /// Why.
        why: String,
    },
    /// The local authority is damaged.
    #[error(
        "the local authority in {} cannot be used: {why}; without that folder a new one is made, \
         whose root browsers have to install again",
        folder.display()
    )]
    Authority {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no local authority.
    #[error("{0}")]
    NoAuthority(String),
    /// A file of trusted roots holds none.
    #[error("{}: no certificate that can be trusted: {why}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file that the configuration names cannot be used.
    #[error("`{key}` in {section}: {error}")]
    Named {
        /// The section, in its brackets; the number of the entry for lists.
        section: String,
        /// The key.
        key: &'static str,
        /// What is wrong with the file.
        error: Box<CertificateError>,
    },
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl CertificateError {
    /// The same of a file that this key of the configuration names.
    fn named(self, key: &'static str, section: &str) -> Self {
        Self::Named { section: section.to_owned(), key, error: Box::new(self) }
    }
}

/// The one certificate that everything shows; it may be read anew at any time.
pub struct Certificates {
    source: Source,
    current: Arc<Current>,
}

/// Where it comes from.
enum Source {
    Files { certificate: PathBuf, private_key: PathBuf },
    Authority { folder: PathBuf, names: Names },
}

/// What TLS servers ask at each handshake.
#[derive(Debug)]
struct Current(RwLock<Loaded>);

#[derive(Clone, Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    /// The local authority's root, PEM.
    root: Option<Arc<str>>,
}

impl Current {
    fn loaded(&self) -> Loaded {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Current {
    /// Whatever name the client asks for: room systems often ask for none.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.loaded().key)
    }
}

/// For servers that ask who calls them: a SIP server is the same in both directions (RFC 5922).
impl ResolvesClientCert for Current {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.loaded().key;
        key.key.choose_scheme(schemes).is_some().then_some(key)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Certificates {
    /// The certificate that the configuration names, else one of the local authority, which is
    /// made if there is none yet.
    pub fn open(config: &Config, now: SystemTime) -> Result<Self, CertificateError> {
        let source = match (&config.http.certificate, &config.http.private_key) {
            (Some(certificate), Some(private_key)) => {
                Source::Files { certificate: certificate.clone(), private_key: private_key.clone() }
            }
            _ => {
                let folder = config.data.dir.join(FOLDER);
                Source::Authority { folder, names: Names::of(config)? }
            }
        };
        let loaded = source.load(now)?;
        Ok(Self { source, current: Arc::new(Current(RwLock::new(loaded))) })
    }

    /// Reads the certificate anew; where that fails, the old one stays.
    pub fn reload(&self, now: SystemTime) -> Result<(), CertificateError> {
        let loaded = self.source.load(now)?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// Whether the certificate is issued here, and has to be issued anew in time.
    fn is_local(&self) -> bool {
        matches!(self.source, Source::Authority { .. })
    }

    /// The local authority's root, PEM; none where a certificate was given.
    pub fn root(&self) -> Option<Arc<str>> {
        self.current.loaded().root
    }

    /// TLS for HTTPS and WSS.
    pub fn https(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut config = self.server()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// TLS for room systems that call us. No ALPN: a room system that offers one of its own would
    /// be refused.
    pub fn sip(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        Ok(Arc::new(self.server()?))
    }

    /// TLS for calls of ours to room systems: trusts the system's roots, the local authority as it
    /// is now, and those in `more`, a PEM file. Who asks for a certificate gets the one that we serve
    /// with.
    pub fn sip_client(&self, more: Option<&Path>) -> Result<Arc<ClientConfig>, CertificateError> {
        client(self.known_roots()?, more.map(of_sip), Some(self.current.clone()))
    }

    /// TLS for calls of ours to one host, with its own roots and the certificate for it; what it does
    /// not say is as for all the others, with `more`. `section`: where it stands, for errors.
    pub fn sip_peer(
        &self,
        peer: &SipTls,
        section: &str,
        more: Option<&Path>,
    ) -> Result<Arc<ClientConfig>, CertificateError> {
        let (roots, more) = match &peer.ca_file {
            Some(own) => (RootCertStore::empty(), Some((own.as_path(), section))),
            None => (self.known_roots()?, more.map(of_sip)),
        };
        let shown: Arc<dyn ResolvesClientCert> = match (&peer.certificate, &peer.private_key) {
            (Some(certificate), Some(private_key)) => {
                let loaded = load_files(certificate, private_key, section, SystemTime::now())?;
                Arc::new(SingleCertAndKey::from(loaded.key))
            }
            _ => self.current.clone(),
        };
        client(roots, more, Some(shown))
    }

    /// The system's roots, and the local authority's.
    fn known_roots(&self) -> Result<RootCertStore, CertificateError> {
        let mut roots = system_roots();
        if let Some(root) = self.root()
            && let Ok(root) = CertificateDer::from_pem_slice(root.as_bytes())
        {
            roots.add(root)?;
        }
        Ok(roots)
    }

    fn server(&self) -> Result<ServerConfig, CertificateError> {
        Ok(ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone()))
    }
}

impl Source {
    fn load(&self, now: SystemTime) -> Result<Loaded, CertificateError> {
        match self {
            Self::Files { certificate, private_key } => {
                load_files(certificate, private_key, "[http]", now)
            }
            Self::Authority { folder, names } => {
                let authority = Authority::open(folder, &names::host_name(), now)?;
                if authority.ends() < now + WARN_ROOT_BEFORE {
                    let folder = folder.display();
                    tracing::warn!(
                        "the local authority's root ends within a year: without the folder \
                         {folder} a new one is made, and browsers have to install it"
                    );
                }
                let key = Arc::new(authority.server(names, now)?);
                Ok(Loaded { key, root: Some(authority.root_pem().into()) })
            }
        }
    }
}

fn load_files(
    certificate: &Path,
    private_key: &Path,
    section: &str,
    now: SystemTime,
) -> Result<Loaded, CertificateError> {
    let broken = |why| {
        let (certificate, private_key) = (certificate.to_owned(), private_key.to_owned());
        let pair = CertificateError::Pair { certificate, private_key, why };
        pair.named("certificate", section)
    };
    let named = |key| move |error: CertificateError| error.named(key, section);
    let chain = read(certificate).map_err(named("certificate"))?;
    let key = read(private_key).map_err(named("private_key"))?;
    let key = certified(&chain, &key).map_err(broken)?;
    let end_entity = key.cert.first().map(|der| Parsed::read(der)).transpose().map_err(broken)?;
    if let Some(ends) = end_entity.map(|it| it.not_after())
        && ends < now + WARN_BEFORE
    {
        let days = ends.duration_since(now).map_or(0, |left| left.as_secs() / (24 * 3600));
        tracing::warn!(days, "the certificate {} has not long to live", certificate.display());
    }
    Ok(Loaded { key: Arc::new(key), root: None })
}

/// A chain and its key out of PEM; the error says what is wrong.
fn certified(chain: &str, key: &str) -> Result<CertifiedKey, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate is no PEM: {error}"))?;
    if chain.is_empty() {
        return Err("the certificate's file holds none".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("the private key is no PEM, or encrypted: {error}"))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| error.to_string())
}

/// TLS for requests of ours to servers of others: trusts the system's roots, and those in `more`, a
/// PEM file.
pub fn https_client(more: Option<&Path>) -> Result<Arc<ClientConfig>, CertificateError> {
    client(system_roots(), more.map(|it| (it, "[webhook]")), None)
}

/// A file of roots, and the section whose `ca_file` it is.
type Roots<'a> = (&'a Path, &'a str);

fn of_sip(path: &Path) -> Roots<'_> {
    (path, "[sip]")
}

fn client(
    mut roots: RootCertStore,
    more: Option<Roots<'_>>,
    own: Option<Arc<dyn ResolvesClientCert>>,
) -> Result<Arc<ClientConfig>, CertificateError> {
    if let Some((path, section)) = more {
        add_roots(&mut roots, path).map_err(|error| error.named("ca_file", section))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(match own {
        Some(own) => config.with_client_cert_resolver(own),
        None => config.with_no_client_auth(),
    }))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "some of the system's root certificates cannot be read");
    }
    let (trusted, unusable) = roots.add_parsable_certificates(system.certs);
    tracing::debug!(trusted, unusable, "the system's root certificates were read");
    roots
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), CertificateError> {
    let text = read(path)?;
    let unusable = |why: String| CertificateError::Roots { path: path.to_owned(), why };
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.len() == before {
        return Err(unusable("the file is empty".to_owned()));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, CertificateError> {
    read_bounded(path, MAX_PEM_BYTES)
        .map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// The root of this configuration's local authority, PEM, for `plenum authority`.
pub fn local_root(config: &Config) -> Result<String, CertificateError> {
    if config.http.certificate.is_some() {
        let message = "there is no local authority: [http] gives a `certificate`";
        return Err(CertificateError::NoAuthority(message.to_owned()));
    }
    let folder = config.data.dir.join(FOLDER);
    authority::read_root(&folder).map_err(|error| match error {
        CertificateError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            CertificateError::NoAuthority(format!(
                "there is no local authority in {} yet: it is made at the first start with HTTPS \
                 (`tls_listen` in [http])",
                folder.display()
            ))
        }
        error => error,
    })
}

#[cfg(test)]
mod tests;
