//! By what floor control travels: datagrams, or a connection that either side opens (RFC 8856).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bfcp::{Framing, MAX_MESSAGE};
use sdp::FloorTransport;
use sfu::driver::FloorSockets;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

/// Bytes that wait for a connection that takes none.
const MAX_WAITING: usize = 16 * 1024;

/// How often a connection of ours is tried again, and how long after: a device may listen only once
/// its call is up.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// What came.
pub(super) enum Arrived {
    /// A message, or over UDP a fragment of one.
    Message(Vec<u8>, SocketAddr),
    /// There is a connection, on which nothing was said yet.
    Connected,
    /// The connection is gone.
    Lost,
}

type Connecting = AbortOnDropHandle<io::Result<TcpStream>>;

/// The sockets, and where the peer is.
pub(super) struct Wire {
    udp: UdpSocket,
    tcp: TcpListener,
    transport: FloorTransport,
    /// Where its description says that it is.
    told: Option<SocketAddr>,
    /// Where its first message came from: nobody else is listened to.
    known: Option<SocketAddr>,
    connecting: Option<Connecting>,
    /// Tries that are left to connect.
    tries: u32,
    connection: Option<Connection>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
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
            connecting: None,
            tries: 0,
            connection: None,
            buffer: vec![0; MAX_MESSAGE],
        })
    }

    /// The peer is there, and is reached so. Where that is another place than before it is found anew.
    pub(super) fn aim(&mut self, transport: FloorTransport, told: Option<SocketAddr>) {
        if transport == self.transport && told == self.told {
            return;
        }
        (self.transport, self.told, self.known) = (transport, told, None);
        (self.connecting, self.connection, self.tries) = (None, None, TRIES);
        self.open(Duration::ZERO);
    }

    /// Opens a connection after a while, where that is ours to do and may still be tried.
    fn open(&mut self, after: Duration) {
        if let (FloorTransport::Tcp { active: true }, Some(peer)) = (self.transport, self.told)
            && let Some(left) = self.tries.checked_sub(1)
        {
            self.tries = left;
            self.connecting = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                tokio::time::sleep(after).await;
                TcpStream::connect(peer).await
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
                FloorTransport::Tcp { active } => self.stream(active).await,
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
        match connected.and_then(|stream| stream.peer_addr().map(|peer| (stream, peer))) {
            Ok((stream, peer)) => Some(self.connected(stream, peer)),
            Err(error) => {
                tracing::info!(%error, peer = ?self.told, "no connection for floor control");
                self.open(PAUSE);
                None
            }
        }
    }

    fn connected(&mut self, stream: TcpStream, peer: SocketAddr) -> Arrived {
        let (framing, waiting) = (Framing::default(), Vec::new());
        self.connection = Some(Connection { stream, peer, framing, waiting });
        Arrived::Connected
    }

    async fn stream(&mut self, active: bool) -> Option<Arrived> {
        let Self { tcp, connection, known, buffer, .. } = self;
        let read = async {
            match connection {
                Some(connection) => (connection.read(buffer).await, connection.peer),
                None => std::future::pending().await,
            }
        };
        // Whoever has said nothing that is the peer's gives way to whoever comes next.
        let open = !active && known.is_none();
        let (read, peer) = tokio::select! {
            read = read => read,
            accepted = tcp.accept(), if open => return match accepted {
                Ok((stream, peer)) => Some(self.connected(stream, peer)),
                Err(error) => {
                    tracing::debug!(%error, "a connection for floor control");
                    None
                }
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

impl Connection {
    /// The next message; `None` where more is to come.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
        let unreadable = |_| io::Error::from(io::ErrorKind::InvalidData);
        if let Some(message) = self.framing.cut().map_err(unreadable)? {
            return Ok(Some(message));
        }
        tokio::select! {
            readable = self.stream.readable() => readable?,
            writable = self.stream.writable(), if !self.waiting.is_empty() => {
                writable?;
                self.flush();
                return Ok(None);
            }
        }
        match self.stream.try_read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.framing.push(buffer.get(..length).unwrap_or_default());
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends what waits, as much of it as goes; an error shows when it is read next.
    fn flush(&mut self) {
        while !self.waiting.is_empty() {
            match self.stream.try_write(&self.waiting) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(_) => return,
            }
        }
    }
}
