//! Room systems whose floor control goes over TLS: each side is known by the fingerprint in its SDP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bfcp::{Client, ClientEvent, Framing, Ids, Transport};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use sfu::transport::plain::{Certificate, is_known};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use types::{FingerprintHash, Fingerprints};

use crate::bridge::{Log, PATIENCE, loopback};
use crate::content::with_pictures;
use crate::house::{House, MEDIA};
use crate::raw::Peer;

/// Takes every certificate whose key signs for it; the test looks at it afterwards.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            shown: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls12_signature(message, shown, signed, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            shown: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature(message, shown, signed, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Anyone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}

fn shown(certificate: &Certificate) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivatePkcs8KeyDer::from(certificate.private_key().to_vec());
    (vec![certificate.der().to_vec().into()], key.into())
}

fn connector(
    version: &'static SupportedProtocolVersion,
    own: Option<&Certificate>,
) -> TlsConnector {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)));
    let config = match own.map(shown) {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        None => config.with_no_client_auth(),
    };
    Arc::new(config).into()
}

fn acceptor(version: &'static SupportedProtocolVersion, own: &Certificate) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (chain, key) = shown(own);
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Anyone(provider)))
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config).into()
}

/// A room system in a call, and what it was told of the floor.
struct Room {
    peer: Peer,
    server: SocketAddr,
    ids: Ids,
    /// Our certificate, as the answer tells of it.
    ours: Fingerprints,
}

impl Room {
    /// It tells of this certificate, and waits at `port`, or opens the connection.
    async fn calls(house: &House, told: &Certificate, port: Option<u16>) -> Self {
        let mut peer = house.caller().await;
        let line = format!("m=application {} TCP/TLS/BFCP *", port.unwrap_or(9));
        let print = format!("a=fingerprint:{}", told.fingerprint());
        let setup = if port.is_some() { "a=setup:passive" } else { "a=setup:active" };
        let lines = [&line, "a=floorctrl:c-only", setup, "a=connection:new", &print];
        let answer = peer.call(&with_pictures(&lines)).await;
        let agreed = sdp::parse(answer.body().as_bytes()).unwrap();
        let floor = &agreed.media[3];
        assert_eq!(floor.proto_text, "TCP/TLS/BFCP", "{}", answer.0);
        let (word, opens) = match port {
            Some(_) => (sdp::Setup::Active, 9),
            None => (sdp::Setup::Passive, floor.port),
        };
        assert_eq!((floor.setup, floor.port), (Some(word), opens), "{}", answer.0);
        let said = floor.bfcp.as_ref().unwrap();
        let ids = Ids {
            conference: said.conference.unwrap(),
            user: said.user.unwrap(),
            floor: said.floor.unwrap(),
        };
        let digests = vec![floor.fingerprints[0].digest.clone()];
        let ours = Fingerprints { hash: FingerprintHash::Sha256, digests };
        Self { peer, server: SocketAddr::new(MEDIA.into(), floor.port), ids, ours }
    }

    /// Opens a connection, and shows this certificate or none.
    async fn connects(
        &self,
        version: &'static SupportedProtocolVersion,
        own: Option<&Certificate>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.server).await?;
        let name = ServerName::IpAddress(self.server.ip().into());
        connector(version, own).connect(name, stream).await.map(TlsStream::from)
    }

    /// Asks for the floor, and is given it by whoever has the certificate of the answer.
    async fn is_granted(&self, mut stream: TlsStream<TcpStream>) {
        let shown = &stream.get_ref().1.peer_certificates().unwrap()[0];
        assert!(is_known(shown, &self.ours), "it is not ours");
        let mut client = Client::new(self.ids, Transport::Tcp, Instant::now());
        let mut framing = Framing::default();
        client.ask(Instant::now());
        let granted = async {
            loop {
                while let Some(message) = client.transmit() {
                    stream.write_all(&message).await.unwrap();
                }
                match client.event() {
                    Some(ClientEvent::Granted) => return,
                    Some(other) => panic!("{other:?}"),
                    None => {}
                }
                let mut bytes = [0; 1024];
                let length = stream.read(&mut bytes).await.unwrap();
                assert_ne!(length, 0, "it is let go of");
                framing.push(&bytes[..length]);
                while let Some(message) = framing.cut().unwrap() {
                    assert!(client.receive(&message, Instant::now()).unwrap());
                }
            }
        };
        timeout(PATIENCE, granted).await.expect("it is told something");
    }
}

/// Whether whoever shook hands so is spoken to no more.
async fn is_refused(shaken: std::io::Result<TlsStream<TcpStream>>) -> bool {
    // By TLS 1.3 a client hears of it after its own handshake.
    let Ok(mut stream) = shaken else { return true };
    let read = timeout(PATIENCE, stream.read(&mut [0; 16])).await.expect("it is let go of");
    !matches!(read, Ok(1..))
}

#[tokio::test]
async fn a_floor_over_tls_is_its_peers_whoever_else_comes_to_the_port() {
    let log = Log::default();
    let _kept = log.keep("info");
    let house = House::with(|_| {}).await;
    let [own, other] = [(); 2].map(|()| Certificate::generate().unwrap());
    let mut room = Room::calls(&house, &own, None).await;

    // They say nothing, or no TLS.
    let mut silent = Vec::new();
    for begins in [&b""[..], b"", b"", b"\x16\x03\x01\x40\x00\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(room.server).await.unwrap();
        stream.write_all(begins).await.unwrap();
        silent.push(stream);
    }
    for version in [&TLS12, &TLS13] {
        assert!(is_refused(room.connects(version, Some(&other)).await).await, "another's");
    }
    assert!(is_refused(room.connects(&TLS13, None).await).await, "none at all");
    log.until(|log| {
        let told = log.lines().filter(|it| it.contains("whose fingerprint the SDP has"));
        told.filter(|it| it.contains(&room.peer.call_id)).count() == 2
    })
    .await;

    let stream = room.connects(&TLS13, Some(&own)).await.unwrap();
    room.is_granted(stream).await;
    house.screens(1).await;
    room.peer.hang_up(2).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_room_that_waits_for_tls_has_to_be_the_one_of_its_sdp() {
    let log = Log::default();
    let _kept = log.keep("info");
    let house = House::with(|_| {}).await;
    let [own, other] = [(); 2].map(|()| Certificate::generate().unwrap());
    let door = TcpListener::bind(loopback()).await.unwrap();
    let port = door.local_addr().unwrap().port();
    let mut room = Room::calls(&house, &own, Some(port)).await;

    let (stream, _) = timeout(PATIENCE, door.accept()).await.expect("it is connected to").unwrap();
    let shaken = acceptor(&TLS12, &other).accept(stream).await;
    assert!(is_refused(shaken.map(TlsStream::from)).await, "another's");
    log.until(|log| {
        let mut told = log.lines().filter(|it| it.contains("whose fingerprint the SDP has"));
        told.any(|it| it.contains(&room.peer.call_id))
    })
    .await;

    // It is tried again, as where nobody listened yet.
    let (stream, _) = timeout(PATIENCE, door.accept()).await.expect("and again").unwrap();
    let stream = acceptor(&TLS12, &own).accept(stream).await.unwrap();
    room.is_granted(stream.into()).await;
    house.screens(1).await;
    room.peer.hang_up(2).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_floor_over_tls_without_a_fingerprint_is_refused_and_the_call_goes_on() {
    let log = Log::default();
    let _kept = log.keep("info");
    let house = House::with(|_| {}).await;
    let mut peer = house.caller().await;
    let line = ["m=application 9 TCP/TLS/BFCP *", "a=floorctrl:c-only", "a=setup:active"];
    let answer = peer.call(&with_pictures(&line)).await;
    let agreed = sdp::parse(answer.body().as_bytes()).unwrap();
    assert_eq!(agreed.media[3].port, 0, "{}", answer.0);
    assert!(agreed.media[0].port != 0 && agreed.media[1].port != 0, "{}", answer.0);
    log.until(|log| {
        log.lines().any(|it| it.contains("tells no fingerprint") && it.contains(&peer.call_id))
    })
    .await;
    peer.hang_up(2).await;
    house.gateway.stop().await;
}
