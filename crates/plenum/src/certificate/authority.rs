//! The local authority: a root certificate of this server's own, made at the first start, which
//! issues the server's certificate where none is given.
//!
//! Its folder holds `root.pem` (what browsers install), `root-key.pem`, and `server.pem` (the
//! server's certificate and key together, so that a crash cannot part them).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

use super::names::Names;
use super::{CertificateError, Parsed, certified, provider, read};

const ROOT: &str = "root.pem";
const ROOT_KEY: &str = "root-key.pem";
const SERVER: &str = "server.pem";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Installing a root in every browser is work: it should outlive the machine.
const ROOT_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Apple's systems refuse more than 825 days under a root that a user installed, and 398 is what
/// browsers allow public authorities.
const SERVER_LIFE: Duration = Duration::from_secs(397 * 24 * 3600);
/// The server's certificate is issued anew this long before its end: looked at once a day, it
/// leaves a month to somebody whose folder cannot be written any more.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Readable by the owner alone.
const SECRET: u32 = 0o600;
/// A certificate is for everybody.
const PUBLIC: u32 = 0o644;

/// A root and its key, as they lie in their folder.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    parsed: Parsed,
    pem: String,
}

impl Authority {
    /// Reads the authority in `folder`; makes it if there is none.
    pub fn open(folder: &Path, host: &str, now: SystemTime) -> Result<Self, CertificateError> {
        if !folder.join(ROOT).exists() {
            make(folder, host, now)?;
        }
        let pem = read_root(folder)?;
        let broken = |why: String| CertificateError::Authority { folder: folder.to_owned(), why };
        let key_path = folder.join(ROOT_KEY);
        let key = KeyPair::from_pem(&read(&key_path)?)
            .map_err(|error| broken(format!("{ROOT_KEY}: {error}")))?;
        let root = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| broken(format!("{ROOT}: {error}")))?;
        let parsed = Parsed::read(&root).map_err(|why| broken(format!("{ROOT}: {why}")))?;
        if parsed.public_key() != key.public_key_raw() {
            return Err(broken(format!("{ROOT_KEY} is not the key of {ROOT}")));
        }
        let name = parsed.common_name().unwrap_or_default();
        let issuer = Issuer::new(root_params(&name), key);
        Ok(Self { folder: folder.to_owned(), issuer, root, parsed, pem })
    }

    /// The root certificate, PEM.
    pub fn root_pem(&self) -> &str {
        &self.pem
    }

    /// When the root ends.
    pub fn ends(&self) -> SystemTime {
        self.parsed.not_after()
    }

    /// The server's certificate for exactly `names`: the one that is there while it serves, else a
    /// new one.
    pub fn server(&self, names: &Names, now: SystemTime) -> Result<CertifiedKey, CertificateError> {
        let path = self.folder.join(SERVER);
        // Whatever is wrong with it, a new one is the answer.
        if let Ok(text) = read(&path)
            && let Ok(key) = certified(&text, &text)
            && self.serves(&key, names, now)
        {
            return Ok(key);
        }
        let text = self.issue(names, now)?;
        write(&path, &text, SECRET)?;
        tracing::info!(%names, "a certificate was issued by the local authority");
        certified(&text, &text).map_err(|why| self.broken(why))
    }

    /// Whether a client that trusts the root takes the certificate for all `names`, and will for a
    /// while.
    fn serves(&self, key: &CertifiedKey, names: &Names, now: SystemTime) -> bool {
        let Some(certificate) = key.cert.first() else { return false };
        let named = Parsed::read(certificate).is_ok_and(|it| it.names() == *names);
        let later = (now + RENEW_BEFORE).duration_since(UNIX_EPOCH).unwrap_or_default();
        named && self.verifies(certificate, UnixTime::since_unix_epoch(later))
    }

    fn verifies(&self, certificate: &CertificateDer<'_>, at: UnixTime) -> bool {
        let mut roots = RootCertStore::empty();
        if roots.add(self.root.clone()).is_err() {
            return false;
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()));
        let (Ok(verifier), Ok(name)) = (verifier.build(), ServerName::try_from("localhost")) else {
            return false;
        };
        verifier.verify_server_cert(certificate, &[], &name, &[], at).is_ok()
    }

    fn issue(&self, names: &Names, now: SystemTime) -> Result<String, CertificateError> {
        let broken = |error: rcgen::Error| self.broken(error.to_string());
        let mut params = CertificateParams::new(names.to_vec()).map_err(broken)?;
        set_validity(&mut params, now, (now + SERVER_LIFE).min(self.ends()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names.first());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(broken)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(broken)?;
        let at = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if !self.verifies(certificate.der(), UnixTime::since_unix_epoch(at)) {
            let why = "what it issues is not valid: its root has expired or was not made by Plenum";
            return Err(self.broken(why.to_owned()));
        }
        Ok(certificate.pem() + &key.serialize_pem())
    }

    fn broken(&self, why: String) -> CertificateError {
        CertificateError::Authority { folder: self.folder.clone(), why }
    }
}

/// The root certificate in `folder`, PEM.
pub fn read_root(folder: &Path) -> Result<String, CertificateError> {
    read(&folder.join(ROOT))
}

fn make(folder: &Path, host: &str, now: SystemTime) -> Result<(), CertificateError> {
    let broken = |error: rcgen::Error| CertificateError::Authority {
        folder: folder.to_owned(),
        why: error.to_string(),
    };
    fs::create_dir_all(folder)
        .map_err(|source| CertificateError::Write { path: folder.to_owned(), source })?;
    let mut params = root_params(&format!("Plenum on {host}"));
    set_validity(&mut params, now, now + ROOT_LIFE);
    let key = KeyPair::generate().map_err(broken)?;
    let root = params.self_signed(&key).map_err(broken)?;
    // The key first: a root without its key could never issue anything.
    write(&folder.join(ROOT_KEY), &key.serialize_pem(), SECRET)?;
    write(&folder.join(ROOT), &root.pem(), PUBLIC)?;
    tracing::info!(folder = %folder.display(), "a local authority was made");
    Ok(())
}

/// What an issuer is known by; the rest of a root's contents does not matter for issuing.
fn root_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Plenum");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// From a day before `now`, since clients' clocks may be behind.
fn set_validity(params: &mut CertificateParams, now: SystemTime, end: SystemTime) {
    let date = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs())
    };
    params.not_before = date(now.checked_sub(DAY).unwrap_or(UNIX_EPOCH));
    params.not_after = date(end);
}

/// Writes a whole file or nothing.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    let draft = path.with_extension("new");
    let written = || -> io::Result<()> {
        // What a crash left may be readable by others.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    written().map_err(|source| CertificateError::Write { path: path.to_owned(), source })
}
