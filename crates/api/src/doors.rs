//! Connections: how many, and how long they may say nothing.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What [`Doors`] allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// Connections from one address (of IPv6 from one /64) at a time. An office behind one address
    /// has one WebSocket a participant, and for a moment some more for the page.
    pub per_address: usize,
    /// Connections at a time.
    pub total: usize,
    /// How long the head of the first request may take.
    pub head_within: Duration,
    /// How long nothing may come or go afterwards. WebSockets are pinged more often.
    pub idle: Duration,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            per_address: 2000,
            total: 20_000,
            head_within: Duration::from_secs(20),
            idle: Duration::from_secs(90),
        }
    }
}

/// A listener for `axum::serve` that turns away whom [`DoorLimits`] do not allow. What is turned
/// away is closed without a word: an answer would cost more than the connection.
#[derive(Debug)]
pub struct Doors<L> {
    listener: L,
    limits: DoorLimits,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl<L> Doors<L> {
    /// Doors before a socket that listens, or what shakes hands behind it.
    pub fn new(listener: L, limits: DoorLimits) -> Self {
        Self { listener, limits, open: Arc::default() }
    }

    fn enter(&self, address: IpAddr) -> Option<Permit> {
        let address = types::client_network(address);
        let mut open = lock(&self.open);
        let here = open.by_address.get(&address).copied().unwrap_or(0);
        if open.total >= self.limits.total || here >= self.limits.per_address {
            return None;
        }
        open.total += 1;
        open.by_address.insert(address, here + 1);
        Some(Permit { address, open: self.open.clone() })
    }
}

impl<L: Listener<Addr = SocketAddr>> Listener for Doors<L> {
    type Io = Guarded<L::Io>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded<L::Io>, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            let Some(permit) = self.enter(address.ip()) else {
                metrics::counter!("plenum_http_connections_refused_total").increment(1);
                continue;
            };
            let deadline = Box::pin(sleep(self.limits.head_within));
            let guarded = Guarded {
                stream,
                deadline,
                idle: self.limits.idle,
                head: Head::default(),
                _permit: permit,
            };
            return (guarded, address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn lock(open: &Mutex<Open>) -> std::sync::MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a connection for as long as it lives.
#[derive(Debug)]
struct Permit {
    address: IpAddr,
    open: Arc<Mutex<Open>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.total = open.total.saturating_sub(1);
        if let Some(here) = open.by_address.get_mut(&self.address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// Finds the empty line that ends the first request's head.
#[derive(Debug, Default)]
struct Head {
    /// Line ends in a row.
    newlines: u8,
}

impl Head {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                _ if self.is_whole() => return,
                b'\n' => self.newlines += 1,
                b'\r' => {}
                _ => self.newlines = 0,
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.newlines >= 2
    }
}

/// A connection that ends when it keeps us waiting.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    deadline: Pin<Box<Sleep>>,
    idle: Duration,
    head: Head,
    _permit: Permit,
}

impl<S> Guarded<S> {
    fn moved(&mut self) {
        if self.head.is_whole() {
            self.deadline.as_mut().reset(Instant::now() + self.idle);
        }
    }

    /// What a wait comes to: it goes on, or is over.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.deadline.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        metrics::counter!("plenum_http_connections_idle_total").increment(1);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(context, buffer) else {
            return this.wait(context);
        };
        this.head.read(buffer.filled().get(before..).unwrap_or_default());
        this.moved();
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Poll::Ready(result) = Pin::new(&mut this.stream).poll_write(context, bytes) else {
            return this.wait(context);
        };
        this.moved();
        Poll::Ready(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Poll::Ready(result) = Pin::new(&mut this.stream).poll_write_vectored(context, bytes)
        else {
            return this.wait(context);
        };
        this.moved();
        Poll::Ready(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::ConnectInfo;
    use axum::routing::get;
    use axum::serve::ListenerExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A server whose only page is the client's address.
    async fn server(limits: DoorLimits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let page =
            get(|ConnectInfo(client): ConnectInfo<SocketAddr>| async move { client.to_string() });
        let routes = Router::new().route("/", page);
        let doors = Doors::new(listener, limits).tap_io(|_| {});
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(doors, service).await });
        address
    }

    async fn ask(stream: &mut TcpStream, headers: &str) -> String {
        // A server that refuses may close while we write.
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        let mut buffer = vec![0; 4096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await;
        let read = read.expect("no answer").unwrap_or(0);
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }

    async fn is_closed(stream: &mut TcpStream) {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 64])).await;
        assert!(matches!(read.expect("stays open"), Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn an_address_holds_only_so_many_connections() {
        let address = server(DoorLimits { per_address: 2, ..DoorLimits::default() }).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let client = stream.local_addr().unwrap().to_string();
            let answer = ask(&mut stream, "").await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&client), "{answer}");
            held.push(stream);
        }
        is_closed(&mut TcpStream::connect(address).await.unwrap()).await;
        assert!(ask(&mut held[0], "").await.starts_with("HTTP/1.1 200"), "the others live");
        drop(held);
        let again = async {
            loop {
                let mut stream = TcpStream::connect(address).await.unwrap();
                if ask(&mut stream, "").await.starts_with("HTTP/1.1 200") {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, again).await.expect("the place is free again");
    }

    #[tokio::test]
    async fn who_keeps_us_waiting_is_let_go() {
        let short = Duration::from_millis(300);
        let limits = DoorLimits { head_within: short, idle: short, ..DoorLimits::default() };
        let address = server(limits).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut dripping = TcpStream::connect(address).await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut idle, "").await.starts_with("HTTP/1.1 200"));
        dripping.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let (mut reader, mut writer) = dripping.split();
        let mut drops = 0;
        let drip = async {
            // Good headers without an end: nothing but the deadline is against them.
            while writer.write_all(b"X: y\r\n").await.is_ok() {
                drops += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut rest = Vec::new();
        tokio::select! {
            () = drip => {}
            _ = reader.read_to_end(&mut rest) => {}
            () = tokio::time::sleep(PATIENCE) => panic!("dripping goes on"),
        }
        assert!(drops < 90 && rest.is_empty(), "not ended by its deadline: {drops}, {rest:?}");
        is_closed(&mut silent).await;
        is_closed(&mut idle).await;
    }

    #[tokio::test]
    async fn oversize_heads_are_refused() {
        let address = server(DoorLimits::default()).await;
        for headers in [format!("X: {}\r\n", "x".repeat(1 << 20)), "X: y\r\n".repeat(200)] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let answer = ask(&mut stream, &headers).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream, "").await.starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        for (head, whole) in [
            ("GET / HTTP/1.1\r\nA: b\r\n", false),
            ("GET / HTTP/1.1\r\nA: b\r\n\r\n", true),
            ("GET / HTTP/1.1\n\nrest\nof", true),
            ("", false),
        ] {
            let mut reader = Head::default();
            head.as_bytes().chunks(3).for_each(|chunk| reader.read(chunk));
            assert_eq!(reader.is_whole(), whole, "{head:?}");
        }
    }
}
