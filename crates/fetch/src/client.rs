//! The request itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::address::Server;

/// How requests are made.
#[derive(Clone)]
pub struct Client {
    /// Who is trusted; without it nothing is sent over HTTPS.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long a request may take, from looking up the name to the end of the answer.
    pub within: Duration,
    /// Bytes of an answer's body that are read; what comes beyond is cut off.
    pub max_answer: usize,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status. A redirect is an answer like any other.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, cut off at the client's bound.
    pub body: Bytes,
}

/// An answer whose body comes bit by bit.
#[derive(Debug)]
pub struct Opened {
    /// Its status. A redirect is an answer like any other.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    _connection: AbortOnDrop,
}

impl Opened {
    /// The next part of the body, however long it takes; `None` after the last.
    ///
    /// # Errors
    /// [`FetchError`]: it broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| FetchError::Http(error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The name is not known, nothing listens there, or the connection broke.
    #[error("cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// TLS failed: its certificate is not trusted, or it speaks no TLS.
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    /// No TLS was set up.
    #[error("HTTPS is not set up")]
    NoTls,
    /// What it sends is no HTTP, or a request that cannot be sent.
    #[error("HTTP: {0}")]
    Http(String),
}

impl Client {
    /// Sends a request, whose URI is a path with a query, and waits for its answer.
    ///
    /// # Errors
    /// [`FetchError`]; whatever status comes is an answer.
    pub async fn send(
        &self,
        server: &Server,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, FetchError> {
        let answered = async {
            let opened = self.exchange(server, request).await?;
            let broken = |error: hyper::Error| FetchError::Http(error.to_string());
            let body = self.read(opened.body).await.map_err(broken)?;
            Ok(Answer { status: opened.status, headers: opened.headers, body })
        };
        let answer = timeout(self.within, answered).await;
        answer.map_err(|_| FetchError::TimedOut(self.within))?
    }

    /// Sends a request and waits for the head of its answer; the body comes after that, for as long
    /// as it lasts.
    ///
    /// # Errors
    /// [`FetchError`]; whatever status comes is an answer.
    pub async fn open(
        &self,
        server: &Server,
        request: Request<Full<Bytes>>,
    ) -> Result<Opened, FetchError> {
        let opened = timeout(self.within, self.exchange(server, request)).await;
        opened.map_err(|_| FetchError::TimedOut(self.within))?
    }

    async fn exchange(
        &self,
        server: &Server,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Opened, FetchError> {
        let host = HeaderValue::try_from(server.authority())
            .map_err(|error| FetchError::Http(error.to_string()))?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let tls = match (&self.tls, server.secure) {
            (Some(tls), true) => Some(tls.clone()),
            (None, true) => return Err(FetchError::NoTls),
            (_, false) => None,
        };
        let stream = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(FetchError::Unreachable)?;
        let Some(tls) = tls else { return self.talk(stream, request).await };
        let name = ServerName::try_from(server.host.clone())
            .map_err(|error| FetchError::Tls(io::Error::other(error)))?;
        let stream =
            TlsConnector::from(tls).connect(name, stream).await.map_err(FetchError::Tls)?;
        self.talk(stream, request).await
    }

    async fn talk<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<Opened, FetchError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |error: hyper::Error| FetchError::Http(error.to_string());
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with this request, however that ends.
        let connection = AbortOnDrop(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let answer = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        let (status, headers) = (head.status, head.headers);
        Ok(Opened { status, headers, body, _connection: connection })
    }

    async fn read(&self, mut body: Incoming) -> Result<Bytes, hyper::Error> {
        let mut read = Vec::new();
        while read.len() < self.max_answer
            && let Some(frame) = body.frame().await
        {
            let frame = frame?;
            let data = frame.data_ref().map_or(&[][..], |it| it.as_ref());
            let room = self.max_answer - read.len();
            read.extend(data.iter().take(room));
        }
        Ok(read.into())
    }
}

#[derive(Debug)]
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::Address;

    const CLIENT: Client = Client { tls: None, within: Duration::from_secs(10), max_answer: 10 };

    /// A server that answers one request with these bytes, and gives what it was asked.
    async fn server(answer: &'static str) -> (Address, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"hello") {
                let mut part = [0; 1024];
                let read = stream.read(&mut part).await.unwrap();
                assert!(read > 0, "the client gave up");
                asked.extend(&part[..read]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Whether the client closes or not is up to it.
            let _ = stream.read(&mut [0; 16]).await;
            String::from_utf8(asked).unwrap()
        });
        (format!("http://{address}/hook?x=1").parse().unwrap(), asked)
    }

    async fn post(client: &Client, address: &Address) -> Result<Answer, FetchError> {
        let request = Request::post(address.target()).body(Full::new(Bytes::from("hello")));
        client.send(&address.server, request.unwrap()).await
    }

    #[tokio::test]
    async fn a_request_is_sent_and_its_answer_read_up_to_the_bound() {
        let (address, asked) =
            server("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n0123456789abcdef").await;
        let answer = post(&CLIENT, &address).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"0123456789"[..]));
        let asked = asked.await.unwrap().to_lowercase();
        assert!(asked.starts_with("post /hook?x=1 http/1.1\r\n"), "{asked}");
        let host = format!("host: {}\r\n", address.server.authority());
        assert!(asked.contains(&host) && asked.contains("connection: close"), "{asked}");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (address, _) = server(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        assert_eq!(post(&CLIENT, &address).await.unwrap().status, StatusCode::FOUND);
    }

    #[tokio::test]
    async fn what_does_not_answer_in_time_or_in_http_is_told_apart() {
        let (silent, _asked) = server("").await;
        let client = Client { within: Duration::from_millis(50), ..CLIENT };
        let late = post(&client, &silent).await;
        assert!(matches!(late, Err(FetchError::TimedOut(_))), "{late:?}");
        let (strange, _asked) = server("220 mail.example.org ESMTP\r\n").await;
        let strange = post(&CLIENT, &strange).await;
        assert!(matches!(strange, Err(FetchError::Http(_))), "{strange:?}");
        let secure: Address = "https://127.0.0.1:1/".parse().unwrap();
        assert!(matches!(post(&CLIENT, &secure).await, Err(FetchError::NoTls)));
        let nobody: Address = "http://127.0.0.1:1/".parse().unwrap();
        assert!(matches!(post(&CLIENT, &nobody).await, Err(FetchError::Unreachable(_))));
    }

    /// Over TLS, with a certificate of its own for `localhost`.
    async fn secure_server() -> (u16, CertificateDer<'static>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust it gives up.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut asked = [0; 1024];
                let _ = stream.read(&mut asked).await;
                let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                let _ = stream.write_all(answer).await;
                let _ = stream.flush().await;
            }
        });
        (port, certificate)
    }

    fn provider() -> Arc<rustls::crypto::CryptoProvider> {
        Arc::new(rustls::crypto::aws_lc_rs::default_provider())
    }

    fn trusting(certificate: Option<CertificateDer<'static>>) -> Client {
        let mut roots = rustls::RootCertStore::empty();
        certificate.into_iter().for_each(|it| roots.add(it).unwrap());
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Client { tls: Some(Arc::new(tls)), ..CLIENT }
    }

    #[tokio::test]
    async fn over_tls_a_server_is_believed_that_is_trusted_under_its_name_alone() {
        let (port, certificate) = secure_server().await;
        let at = |host: &str| format!("https://{host}:{port}/").parse::<Address>().unwrap();
        let good = trusting(Some(certificate));
        let answer = post(&good, &at("localhost")).await.unwrap();
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let another_name = post(&good, &at("127.0.0.1")).await;
        assert!(matches!(another_name, Err(FetchError::Tls(_))), "{another_name:?}");
        let unknown = post(&trusting(None), &at("localhost")).await;
        assert!(matches!(unknown, Err(FetchError::Tls(_))), "{unknown:?}");
    }
}
