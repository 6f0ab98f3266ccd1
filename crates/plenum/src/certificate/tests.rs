use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair};
use rustls::server::WebPkiClientVerifier;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("plenum-certificate-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Without `--dev`, data here, announcing 192.0.2.1.
    fn config(&self, more: &[(&str, &str)]) -> Config {
        let dir = self.0.to_str().unwrap();
        let own = [("PLENUM_DATA_DIR", dir), ("PLENUM_SFU_ANNOUNCED_ADDRESSES", "192.0.2.1")];
        let variables = own.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(None, variables.collect::<Vec<_>>().into_iter(), false).unwrap()
    }

    fn authority(&self, names: &Names, now: SystemTime) -> CertifiedKey {
        let authority = Authority::open(&self.0, "host", now).unwrap();
        authority.server(names, now).unwrap()
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.0.join(file)).unwrap().permissions().mode() & 0o777
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(last: u8) -> Names {
    let v6 = "2001:db8::7".parse::<IpAddr>().unwrap();
    Names::new([IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), v6], "Host.Example.org")
}

fn now() -> SystemTime {
    SystemTime::now()
}

fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn shown(certificates: &Certificates) -> Vec<CertificateDer<'static>> {
    certificates.current.loaded().key.cert.clone()
}

#[test]
fn the_authority_issues_for_all_names_and_keeps_its_keys_to_itself() {
    let folder = Folder::new("issue");
    let issued = folder.authority(&names(1), now());
    let parsed = Parsed::read(&issued.cert[0]).unwrap();
    assert_eq!(parsed.names(), names(1));
    assert_eq!(
        names(1).to_vec(),
        ["192.0.2.1", "2001:db8::7", "host.example.org", "localhost"],
        "addresses, the host in small letters, localhost"
    );
    let end = parsed.not_after().duration_since(now()).unwrap();
    assert!(end < 398 * DAY, "browsers refuse a longer life: {end:?}");
    assert_eq!(folder.mode("root-key.pem"), 0o600);
    assert_eq!(folder.mode("server.pem"), 0o600);
    assert_eq!(folder.mode("root.pem"), 0o644);
    let root = authority::read_root(&folder.0).unwrap();
    assert!(!root.contains("PRIVATE KEY"), "the root that is handed out holds no key");
}

#[test]
fn a_certificate_is_kept_until_names_change_or_its_end_is_near() {
    let folder = Folder::new("keep");
    let first = folder.authority(&names(1), now());
    let root = authority::read_root(&folder.0).unwrap();
    assert_eq!(folder.authority(&names(1), now()).cert, first.cert, "a restart changes nothing");
    assert_eq!(folder.authority(&names(1), now() + 300 * DAY).cert, first.cert);

    let moved = folder.authority(&names(2), now());
    assert_eq!(Parsed::read(&moved.cert[0]).unwrap().names(), names(2));
    let later = now() + 370 * DAY;
    let renewed = folder.authority(&names(2), later);
    assert_ne!(renewed.cert, moved.cert);
    assert!(Parsed::read(&renewed.cert[0]).unwrap().not_after() > later + 300 * DAY);
    assert_eq!(authority::read_root(&folder.0).unwrap(), root, "the root stays");
}

#[test]
fn what_another_root_issued_does_not_serve() {
    let folder = Folder::new("root");
    let first = folder.authority(&names(1), now());
    fs::remove_file(folder.0.join("root.pem")).unwrap();
    let second = folder.authority(&names(1), now());
    assert_ne!(first.cert, second.cert);
    fs::write(folder.0.join("server.pem"), "damaged").unwrap();
    assert_ne!(folder.authority(&names(1), now()).cert, second.cert);
}

#[test]
fn a_damaged_authority_is_told_and_never_replaced() {
    let folder = Folder::new("damaged");
    folder.authority(&names(1), now());
    let refused = || Authority::open(&folder.0, "host", now()).err().unwrap().to_string();
    let root = authority::read_root(&folder.0).unwrap();

    fs::write(folder.0.join("root-key.pem"), pair("a").1).unwrap();
    assert!(refused().contains("root-key.pem is not the key of root.pem"), "{}", refused());
    fs::remove_file(folder.0.join("root-key.pem")).unwrap();
    assert!(refused().starts_with("cannot read "), "{}", refused());
    assert_eq!(authority::read_root(&folder.0).unwrap(), root);

    let nowhere = Authority::open(Path::new("/proc/nowhere"), "host", now());
    let told = nowhere.err().unwrap().to_string();
    assert!(told.starts_with("cannot write /proc/nowhere"), "{told}");
    assert!(told.ends_with("check `dir` in [data]"), "{told}");
}

#[test]
fn a_root_of_somebody_else_is_refused() {
    let folder = Folder::new("foreign");
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CountryName, "XX");
    fs::write(folder.0.join("root.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.0.join("root-key.pem"), key.serialize_pem()).unwrap();
    let authority = Authority::open(&folder.0, "host", now()).unwrap();
    let error = authority.server(&names(1), now()).err().unwrap().to_string();
    assert!(error.contains("was not made by Plenum"), "{error}");
}

#[test]
fn without_files_the_authority_serves_and_its_root_is_told() {
    let folder = Folder::new("local");
    let config = folder.config(&[("PLENUM_HTTP_TLS_LISTEN", "192.0.2.9:7443")]);
    let message = local_root(&config).unwrap_err().to_string();
    assert!(message.starts_with("there is no local authority in "), "{message}");

    let certificates = Certificates::open(&config, now()).unwrap();
    assert_eq!(certificates.root().as_deref(), Some(local_root(&config).unwrap().as_str()));
    let named = Parsed::read(&shown(&certificates)[0]).unwrap().names().to_vec();
    for name in ["192.0.2.1", "192.0.2.9", "localhost"] {
        assert!(named.iter().any(|it| it == name), "{name} in {named:?}");
    }
}

#[test]
fn files_are_read_anew_and_broken_ones_leave_the_old() {
    let folder = Folder::new("files");
    let (first, key) = pair("first.example.org");
    let paths = [folder.0.join("certificate.pem"), folder.0.join("key.pem")];
    let write = |certificate: &str, key: &str| {
        fs::write(&paths[0], certificate).unwrap();
        fs::write(&paths[1], key).unwrap();
    };
    write(&first, &key);
    let variables = [
        ("PLENUM_HTTP_CERTIFICATE", paths[0].to_str().unwrap()),
        ("PLENUM_HTTP_PRIVATE_KEY", paths[1].to_str().unwrap()),
    ];
    let config = folder.config(&variables);
    let certificates = Certificates::open(&config, now()).unwrap();
    let before = shown(&certificates);
    assert_eq!(certificates.root(), None);
    let message = local_root(&config).unwrap_err().to_string();
    assert!(message.contains("[http] gives a `certificate`"), "{message}");
    assert!(!folder.0.join(FOLDER).exists(), "no authority is made where none is needed");

    let (second, second_key) = pair("second.example.org");
    for (certificate, private_key, said) in [
        (second.as_str(), key.as_str(), "KeyMismatch"),
        ("no PEM at all", &second_key, "the certificate's file holds none"),
        (&second, "", "the private key is no PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, ""),
    ] {
        write(certificate, private_key);
        let error = certificates.reload(now()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert!(error.contains("certificate.pem"), "{error}");
        assert_eq!(shown(&certificates), before, "the old one stays");
    }
    write(&second, &second_key);
    certificates.reload(now()).unwrap();
    let named = Parsed::read(&shown(&certificates)[0]).unwrap().names();
    assert_eq!(named.to_vec(), ["second.example.org"]);
}

#[test]
fn servers_and_calls_are_set_up_from_it() {
    let folder = Folder::new("configs");
    let certificates = Certificates::open(&folder.config(&[]), now()).unwrap();
    assert_eq!(certificates.https().unwrap().alpn_protocols, [b"http/1.1"]);
    assert!(certificates.sip().unwrap().alpn_protocols.is_empty());
    certificates.sip_client(None).unwrap();

    let file = folder.0.join("more.pem");
    let told = |text: &str| {
        fs::write(&file, text).unwrap();
        certificates.sip_client(Some(&file)).map(drop).map_err(|error| error.to_string())
    };
    assert!(told(&pair("pbx.example.org").0).is_ok());
    assert!(told("").unwrap_err().contains("no certificate that can be trusted"));
    assert!(certificates.sip_client(Some(Path::new("/nowhere.pem"))).is_err());
}

/// Whether a client gets on with a server of this name, and which certificate it showed there.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: &'static str,
) -> Result<Option<CertificateDer<'static>>, rustls::Error> {
    let name = rustls::pki_types::ServerName::try_from(name).unwrap();
    let mut client = rustls::ClientConnection::new(client, name).unwrap();
    let mut server = rustls::ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(server.peer_certificates().and_then(|it| it.first().cloned()))
}

#[test]
fn one_host_has_roots_and_a_certificate_of_its_own() {
    let folder = Folder::new("peers");
    let certificates = Certificates::open(&folder.config(&[]), now()).unwrap();
    let [(theirs, their_key), (ours, our_key)] = ["pbx.example.org", "we.example.org"].map(pair);
    let file = |name: &str, text: &str| {
        fs::write(folder.0.join(name), text).unwrap();
        Some(folder.0.join(name))
    };
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_slice(ours.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(trusted.into(), provider.clone());
    let shown = certified(&theirs, &their_key).unwrap();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    let server = Arc::new(server);
    let meet = |peer: &SipTls| {
        let client = certificates.sip_peer(peer, &SipTls::section(0), None).unwrap();
        handshake(client, server.clone(), "pbx.example.org")
    };

    let all = SipTls { ca_file: None, certificate: None, private_key: None, host: String::new() };
    assert!(meet(&all).is_err(), "its root is not known");
    let trusting = SipTls { ca_file: file("ca.pem", &theirs), ..all };
    assert!(meet(&trusting).is_err(), "the server's own certificate is not known there");
    let showing = SipTls {
        certificate: file("we.pem", &ours),
        private_key: file("we.key", &our_key),
        ..trusting.clone()
    };
    let seen = meet(&showing).unwrap().unwrap();
    assert_eq!(seen, CertificateDer::from_pem_slice(ours.as_bytes()).unwrap());
    let other = SipTls { ca_file: file("other.pem", &ours), ..showing };
    assert!(meet(&other).is_err(), "no others are trusted than those given");
}

#[test]
fn a_file_that_is_of_no_use_is_told_with_the_key_that_names_it() {
    let folder = Folder::new("named");
    let certificates = Certificates::open(&folder.config(&[]), now()).unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.0.join(name), text).unwrap();
        Some(folder.0.join(name))
    };
    let (ours, our_key) = pair("we.example.org");
    let (ours, our_key) = (file("we.pem", &ours), file("we.key", &our_key));
    let (nowhere, empty) = (Some(PathBuf::from("/nowhere.pem")), file("empty.pem", ""));
    let told = |ca_file: &Option<PathBuf>, shown: [&Option<PathBuf>; 2]| {
        let [certificate, private_key] = shown.map(Clone::clone);
        let host = "pbx.example.org".to_owned();
        let peer = SipTls { host, ca_file: ca_file.clone(), certificate, private_key };
        let refused = certificates.sip_peer(&peer, &SipTls::section(1), None);
        refused.err().unwrap().to_string()
    };
    let gone = "cannot read /nowhere.pem: No such file";
    for (told, key, said) in [
        (told(&nowhere, [&None; 2]), "ca_file", gone),
        (told(&empty, [&None; 2]), "ca_file", "no certificate that can be trusted"),
        (told(&None, [&nowhere, &our_key]), "certificate", gone),
        (told(&None, [&ours, &nowhere]), "private_key", gone),
        (told(&None, [&ours, &empty]), "certificate", "the private key is no PEM"),
    ] {
        let named = told.starts_with(&format!("`{key}` in [[sip_tls]] number 2: "));
        assert!(named && told.contains(said), "{told}");
    }

    let nowhere = Path::new("/nowhere.pem");
    for (refused, named) in [
        (certificates.sip_client(Some(nowhere)), "`ca_file` in [sip]: "),
        (https_client(Some(nowhere)), "`ca_file` in [webhook]: "),
    ] {
        let told = refused.err().unwrap().to_string();
        assert!(told.starts_with(named) && told.contains(gone), "{told}");
    }
    let variables =
        [("PLENUM_HTTP_CERTIFICATE", "/nowhere.pem"), ("PLENUM_HTTP_PRIVATE_KEY", "/nowhere.key")];
    let told = Certificates::open(&folder.config(&variables), now()).err().unwrap().to_string();
    assert!(told.starts_with("`certificate` in [http]: ") && told.contains(gone), "{told}");
}
