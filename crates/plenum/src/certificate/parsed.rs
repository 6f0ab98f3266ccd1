//! What a certificate says of itself.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::names::Names;

/// A certificate that was read.
pub struct Parsed(Certificate);

impl Parsed {
    /// Reads DER; the error says why it cannot be read.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        Certificate::from_der(der).map(Self).map_err(|error| format!("no certificate: {error}"))
    }

    /// The beginning of its validity.
    pub fn not_before(&self) -> SystemTime {
        UNIX_EPOCH + self.0.tbs_certificate().validity().not_before.to_unix_duration()
    }

    /// The end of its validity.
    pub fn not_after(&self) -> SystemTime {
        UNIX_EPOCH + self.0.tbs_certificate().validity().not_after.to_unix_duration()
    }

    /// The subject's public key, without its algorithm.
    pub fn public_key(&self) -> &[u8] {
        self.0.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes()
    }

    /// Whose it is, as RFC 4514 writes names.
    pub fn subject(&self) -> String {
        self.0.tbs_certificate().subject().to_string()
    }

    /// Who issued it, as RFC 4514 writes names.
    pub fn issuer(&self) -> String {
        self.0.tbs_certificate().issuer().to_string()
    }

    /// The subject's common name.
    pub fn common_name(&self) -> Option<String> {
        let name = self.0.tbs_certificate().subject().common_name().ok().flatten()?;
        Some(name.value().into_owned())
    }

    /// The DNS names and IP addresses that it is for.
    pub fn names(&self) -> Names {
        let extension = self.0.tbs_certificate().get_extension::<SubjectAltName>();
        let names = extension.ok().flatten().map(|(_, names)| names.0).unwrap_or_default();
        names.iter().filter_map(text).collect()
    }
}

fn text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(octets.as_bytes()).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(octets.as_bytes()).map(IpAddr::from);
            v4.or(v6).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}
