//! TLS between two that know each other's certificate by the fingerprint in the SDP, and by nothing
//! else: whoever opens the connection is the client, and both show one (RFC 8122, RFC 8856).

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use sfu::transport::plain::{Certificate, is_known};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use types::Fingerprints;

/// Bytes that wait, encrypted, for a connection that takes none.
const LIMIT: Option<usize> = Some(16 * 1024);

/// What a certificate is that the SDP does not tell of, in TLS' own words.
const UNKNOWN: CertificateError = CertificateError::ApplicationVerificationFailure;

/// Our side of it.
#[derive(Clone)]
pub(super) enum Secured {
    Client(TlsConnector),
    Server(TlsAcceptor),
}

/// Whoever is there is not the peer.
#[derive(Debug, thiserror::Error)]
#[error("the TLS certificate is not the one whose fingerprint the SDP has")]
struct Mismatch;

impl Secured {
    /// `active`: we open the connection.
    ///
    /// # Errors
    /// Where the certificate is of no use.
    pub(super) fn new(own: &Certificate, peer: Fingerprints, active: bool) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let known = Arc::new(Known { peer, provider: provider.clone() });
        let chain = vec![CertificateDer::from(own.der().to_vec())];
        let key = PrivatePkcs8KeyDer::from(own.private_key().to_vec()).into();
        // Nothing is resumed: each connection shows its certificate.
        if active {
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(known)
                .with_client_auth_cert(chain, key)?;
            config.resumption = Resumption::disabled();
            return Ok(Self::Client(Arc::new(config).into()));
        }
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(known)
            .with_single_cert(chain, key)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self::Server(Arc::new(config).into()))
    }

    /// Shakes hands, for as long as the peer lets it take.
    pub(super) async fn shake(self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let shaken = match self {
            Self::Client(connector) => {
                // Of no use to who has a certificate for one call, and no name.
                let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
                let bounded = connector.connect_with(name, stream, |it| it.set_buffer_limit(LIMIT));
                bounded.await.map(TlsStream::from)
            }
            Self::Server(acceptor) => {
                let bounded = acceptor.accept_with(stream, |it| it.set_buffer_limit(LIMIT));
                bounded.await.map(TlsStream::from)
            }
        };
        shaken.map_err(|error| {
            let why = error.get_ref().and_then(|it| it.downcast_ref::<Error>());
            match why {
                Some(Error::InvalidCertificate(it)) if *it == UNKNOWN => io::Error::other(Mismatch),
                _ => error,
            }
        })
    }
}

/// Takes the certificates that the SDP tells of: their names, dates and issuers say nothing.
#[derive(Debug)]
struct Known {
    peer: Fingerprints,
    provider: Arc<CryptoProvider>,
}

impl Known {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        is_known(shown, &self.peer).then_some(()).ok_or(UNKNOWN.into())
    }

    fn signed12(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, shown, signed, algorithms)
    }

    fn signed13(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, shown, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(shown).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed12(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed13(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Known {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(shown).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed12(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed13(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
