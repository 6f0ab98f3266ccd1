use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use axum::serve::ListenerExt;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::*;

const SOON: Duration = Duration::from_secs(5);

/// A server that answers with the client's address.
struct Server {
    address: SocketAddr,
    connector: TlsConnector,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        Self::patient(HANDSHAKE_WITHIN).await
    }

    async fn patient(patience: Duration) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();

        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listener = TlsListener::patient(listener, Arc::new(config), patience).unwrap();
        let address = listener.local_addr().unwrap();
        let who = |ConnectInfo(client): ConnectInfo<SocketAddr>| async move { client.to_string() };
        let routes = Router::new().route("/", get(who));
        let stop = CancellationToken::new();
        let serving = axum::serve(
            listener.tap_io(|_| {}),
            routes.into_make_service_with_connect_info::<SocketAddr>(),
        )
        .with_graceful_shutdown(stop.clone().cancelled_owned());
        let running = tokio::spawn(serving.into_future());
        Self { address, connector: TlsConnector::from(Arc::new(client)), stop, running }
    }

    /// A whole request; the client's own address and the answer.
    async fn ask(&self) -> (SocketAddr, String) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let own = stream.local_addr().unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.connector.connect(name, stream).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (own, answer)
    }
}

#[tokio::test]
async fn a_request_is_answered_and_its_client_is_known() {
    let server = Server::start().await;
    let (own, answer) = server.ask().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(&own.to_string()), "{answer}");

    server.stop.cancel();
    timeout(SOON, server.running).await.unwrap().unwrap().unwrap();
    // The acceptor lets go of the port a moment later.
    timeout(SOON, async {
        while TcpStream::connect(server.address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn silent_and_babbling_clients_hold_up_nobody() {
    let server = Server::start().await;
    let mut strangers = Vec::new();
    for index in 0..HANDSHAKES_PER_SOURCE - 1 {
        let mut stranger = TcpStream::connect(server.address).await.unwrap();
        if index % 2 == 0 {
            stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        strangers.push(stranger);
    }
    let (_, answer) = timeout(SOON, server.ask()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn one_source_has_its_share_of_handshakes_and_gets_it_back() {
    let sources = Arc::new(Mutex::new(Sources::new()));
    let take = |ip: &str| Turn::take(&sources, ip.parse().unwrap());
    let turns: Vec<_> = (0..HANDSHAKES_PER_SOURCE).map(|_| take("2001:db8::1").unwrap()).collect();
    assert!(take("2001:db8::2").is_none(), "a /64 is one source");
    assert!(take("2001:db8:0:1::1").is_some() && take("192.0.2.1").is_some());
    drop(turns);
    assert!(lock(&sources).is_empty(), "nothing is kept of who is gone");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped_in_time() {
    let patience = Duration::from_millis(50);
    let server = Server::patient(patience).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let before = std::time::Instant::now();
    let end = timeout(SOON, silent.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert!(before.elapsed() >= patience);
}
