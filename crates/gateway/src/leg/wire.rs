//! By what floor control travels: datagrams, or a connection that either side opens, with TLS or
//! without (RFC 8856).

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bfcp::{Framing, MAX_MESSAGE};
use sdp::FloorTransport;
use sfu::driver::FloorSockets;
use sfu::transport::plain::Certificate;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::secured::Secured;

/// Bytes that wait for a connection that takes none.
const MAX_WAITING: usize = 16 * 1024;

/// How often a connection of ours is tried again, and how long after: a device may listen only once
/// its call is up.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// A connection of ours, and the handshake on any, must be done in this time.
const WITHIN: Duration = Duration::from_secs(5);

/// Handshakes at once: whoever comes then waits. One that failed keeps its place for [`PAUSE`], so
/// that strangers cost us no more signatures than that.
const MAX_HANDSHAKES: usize = 8;

/// Of so many that are not the peer the log tells.
const TOLD_OF: u32 = 5;

/// What came.
pub(super) enum Arrived {
    /// A message, or over UDP a fragment of one.
    Message(Vec<u8>, SocketAddr),
    /// There is a connection, on which nothing was said yet.
    Connected,
    /// The connection is gone.
    Lost,
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A connection that was opened, and its other end.
type Opened = (Box<dyn Stream>, SocketAddr);

/// The sockets, and where the peer is.
pub(super) struct Wire {
    udp: UdpSocket,
    tcp: TcpListener,
    transport: FloorTransport,
    /// Where its description says that it is.
    told: Option<SocketAddr>,
    /// Where its first message came from: nobody else is listened to.
    known: Option<SocketAddr>,
    /// How a connection is secured, where it is.
    secured: Option<Secured>,
    connecting: Option<AbortOnDropHandle<io::Result<Opened>>>,
    /// Tries that are left to connect.
    tries: u32,
    /// Who has come and shakes hands.
    arriving: JoinSet<Result<Opened, (io::Error, SocketAddr)>>,
    /// How many have come that were not the peer.
    strangers: u32,
    connection: Option<Connection>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: Box<dyn Stream>,
    peer: SocketAddr,
    framing: Framing,
    waiting: Vec<u8>,
}

impl Wire {
    /// Nothing comes before [`Self::aim`].
    pub(super) fn new(sockets: FloorSockets) -> io::Result<Self> {
        Ok(Self {
            udp: UdpSocket::from_std(sockets.udp)?,
            tcp: TcpListener::from_std(sockets.tcp)?,
            transport: FloorTransport::Udp,
            told: None,
            known: None,
            secured: None,
            connecting: None,
            tries: 0,
            arriving: JoinSet::new(),
            strangers: 0,
            connection: None,
            buffer: vec![0; MAX_MESSAGE],
        })
    }

    /// The peer is there, and is reached so. Where that is another place than before, or another
    /// certificate, it is found anew.
    ///
    /// # Errors
    /// Where there is to be TLS and `own`, our certificate, is of no use for that.
    pub(super) fn aim(
        &mut self,
        transport: &FloorTransport,
        told: Option<SocketAddr>,
        own: Option<&Certificate>,
    ) -> Result<(), rustls::Error> {
        if *transport == self.transport && told == self.told {
            return Ok(());
        }
        self.secured = match transport {
            FloorTransport::Tcp { active, tls: Some(peer) } => {
                let own = own.ok_or(rustls::Error::NoCertificatesPresented)?;
                Some(Secured::new(own, peer.clone(), *active)?)
            }
            _ => None,
        };
        (self.transport, self.told, self.known) = (transport.clone(), told, None);
        (self.connecting, self.connection, self.tries) = (None, None, TRIES);
        (self.arriving, self.strangers) = (JoinSet::new(), 0);
        self.open(Duration::ZERO);
        Ok(())
    }

    /// Opens a connection after a while, where that is ours to do and may still be tried.
    fn open(&mut self, after: Duration) {
        if let (FloorTransport::Tcp { active: true, .. }, Some(peer)) = (&self.transport, self.told)
            && let Some(left) = self.tries.checked_sub(1)
        {
            self.tries = left;
            let secured = self.secured.clone();
            self.connecting = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                sleep(after).await;
                let opened = async { secure(TcpStream::connect(peer).await?, secured).await };
                let stream = timeout(WITHIN, opened).await.map_err(too_late)??;
                Ok((stream, peer))
            })));
        }
    }

    /// What came from there was the peer's.
    pub(super) fn trust(&mut self, source: SocketAddr) {
        self.known.get_or_insert(source);
    }

    /// Sends a message, to whoever wrote where that is not the peer. What cannot be sent at once over
    /// UDP is lost, as it may be on the way.
    pub(super) fn send(&mut self, message: &[u8], to: Option<SocketAddr>) {
        if self.transport == FloorTransport::Udp {
            let Some(to) = to.or(self.known).or(self.told) else { return };
            if let Err(error) = self.udp.try_send_to(message, to) {
                tracing::debug!(%error, %to, "floor control is not sent");
            }
            return;
        }
        let Some(connection) = &mut self.connection else { return };
        connection.waiting.extend_from_slice(message);
        connection.flush();
        if connection.waiting.len() > MAX_WAITING {
            tracing::info!(peer = %connection.peer, "floor control is not read: disconnecting");
            (self.connection, self.known) = (None, None);
        }
    }

    /// What comes next. Whoever drops it loses nothing.
    pub(super) async fn receive(&mut self) -> Arrived {
        loop {
            let arrived = match self.transport {
                FloorTransport::Udp => self.datagram().await,
                FloorTransport::Tcp { .. } if self.connecting.is_some() => self.connect().await,
                FloorTransport::Tcp { active, .. } => self.stream(active).await,
            };
            if let Some(arrived) = arrived {
                return arrived;
            }
        }
    }

    async fn datagram(&mut self) -> Option<Arrived> {
        match self.udp.recv_from(&mut self.buffer).await {
            Ok((length, source)) => {
                let known = self.known.is_none_or(|known| known == source);
                let contents = self.buffer.get(..length).filter(|_| known)?;
                Some(Arrived::Message(contents.to_vec(), source))
            }
            Err(error) => {
                // Of a datagram that was sent before: nobody is there yet, or any more.
                tracing::debug!(%error, "floor control");
                None
            }
        }
    }

    async fn connect(&mut self) -> Option<Arrived> {
        let Some(connecting) = &mut self.connecting else { return std::future::pending().await };
        let connected = connecting.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.connecting = None;
        match connected {
            Ok(opened) => Some(self.connected(opened)),
            Err(error) => {
                tracing::info!(%error, peer = ?self.told, "no connection for floor control");
                self.open(PAUSE);
                None
            }
        }
    }

    fn connected(&mut self, (stream, peer): Opened) -> Arrived {
        let (framing, waiting) = (Framing::default(), Vec::new());
        self.connection = Some(Connection { stream, peer, framing, waiting });
        self.arriving = JoinSet::new();
        Arrived::Connected
    }

    /// Somebody has come: the peer, as far as can be told before TLS.
    fn greet(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<Arrived> {
        let Some(secured) = self.secured.clone() else {
            return Some(self.connected((Box::new(stream), peer)));
        };
        self.arriving.spawn(async move {
            let shaken = timeout(WITHIN, secure(stream, Some(secured))).await;
            match shaken.unwrap_or_else(|late| Err(too_late(late))) {
                Ok(stream) => Ok((stream, peer)),
                Err(error) => {
                    sleep(PAUSE).await;
                    Err((error, peer))
                }
            }
        });
        None
    }

    fn turn_away(&mut self, error: &io::Error, peer: SocketAddr) {
        self.strangers = self.strangers.saturating_add(1);
        if self.strangers <= TOLD_OF {
            tracing::warn!(%error, %peer, "refused for floor control");
        }
    }

    async fn stream(&mut self, active: bool) -> Option<Arrived> {
        let Self { tcp, connection, known, buffer, arriving, .. } = self;
        let read = async {
            match connection {
                Some(connection) => (connection.read(buffer).await, connection.peer),
                None => std::future::pending().await,
            }
        };
        // Whoever has said nothing that is the peer's gives way to whoever comes next.
        let open = !active && known.is_none();
        let room = open && arriving.len() < MAX_HANDSHAKES;
        let (read, peer) = tokio::select! {
            read = read => read,
            (stream, peer) = accept(tcp), if room => return self.greet(stream, peer),
            Some(shaken) = arriving.join_next(), if open => return match shaken {
                Ok(Ok(opened)) => Some(self.connected(opened)),
                Ok(Err((error, peer))) => {
                    self.turn_away(&error, peer);
                    None
                }
                // It was told to end.
                Err(_) => None,
            },
        };
        if let Ok(message) = read {
            return message.map(|message| Arrived::Message(message, peer));
        }
        tracing::debug!(%peer, "the connection for floor control has ended");
        (self.connection, self.known) = (None, None);
        self.open(PAUSE);
        Some(Arrived::Lost)
    }
}

/// Who comes next.
async fn accept(tcp: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match tcp.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // Out of descriptors: accepting again at once would spin.
                tracing::debug!(%error, "a connection for floor control");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn secure(stream: TcpStream, secured: Option<Secured>) -> io::Result<Box<dyn Stream>> {
    Ok(match secured {
        Some(secured) => Box::new(secured.shake(stream).await?),
        None => Box::new(stream),
    })
}

fn too_late(_: tokio::time::error::Elapsed) -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl Connection {
    /// The next message; `None` where more is to come. What waits is sent meanwhile.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
        let unreadable = |_| io::Error::from(io::ErrorKind::InvalidData);
        if let Some(message) = self.framing.cut().map_err(unreadable)? {
            return Ok(Some(message));
        }
        let got = poll_fn(|context| {
            if let Poll::Ready(Err(error)) = self.poll_flush(context) {
                return Poll::Ready(Err(error));
            }
            let mut got = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut got))?;
            Poll::Ready(Ok(got.filled().to_vec()))
        });
        let got = got.await?;
        if got.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.framing.push(&got);
        Ok(None)
    }

    /// Sends what waits, as much of it as goes; an error shows when it is read next.
    fn flush(&mut self) {
        let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => drop(self.waiting.drain(..length)),
            }
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::pin::pin;

    use super::*;

    /// A listener on which every accept fails: it is one end of a connection that the other has closed.
    fn broken() -> io::Result<std::net::TcpListener> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
        drop(listener.accept()?);
        let broken = std::net::TcpListener::from(OwnedFd::from(stream));
        broken.set_nonblocking(true)?;
        Ok(broken)
    }

    #[tokio::test]
    async fn where_nobody_can_be_let_in_it_is_tried_now_and_then() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let port = udp.local_addr().unwrap().port();
        let mut wire = Wire::new(FloorSockets { udp, tcp: broken().unwrap(), port }).unwrap();
        assert!(wire.tcp.accept().await.is_err());
        wire.aim(&FloorTransport::Tcp { active: false, tls: None }, None, None).unwrap();
        let mut turns = 0;
        let mut receive = pin!(wire.receive());
        let counted = poll_fn(|context| {
            turns += 1;
            receive.as_mut().poll(context)
        });
        assert!(timeout(PAUSE / 10, counted).await.is_err());
        assert!(turns < 10, "{turns}");
    }
}
