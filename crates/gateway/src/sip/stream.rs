//! Streams: TCP and TLS, both ways. The library sees each as a channel.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rsipstack::transport::SipConnection;
use rsipstack::transport::TransportEvent;
use rsipstack::transport::channel::ChannelConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Transport;
use super::endpoint::{KEEP_ALIVE, Shared};
use super::framing::{Frame, Framer};
use super::ingress;
use super::limit::Share;
use super::register::Flow;
use super::stats::{Counters, Slot};

/// A TLS handshake, or a TCP connection of ours, must be done in this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A peer that has begun a message must finish it in this time, and take ours.
const MESSAGE_WITHIN: Duration = Duration::from_secs(10);

/// A stream that has never brought a message is closed after this time.
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(30);

/// A silent stream is kept for this long: a call may be silent between two session refreshes
/// (half an hour by default), and one that loses its stream may not be able to hang up.
const IDLE_FOR: Duration = Duration::from_secs(3700);

/// Messages that wait for a peer to take them; then sending waits.
const OUTGOING: usize = 64;

/// Accepts streams until the endpoint stops.
pub(super) async fn serve_listener(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        let Ok((stream, source)) = accepted else {
            // Out of descriptors: accepting again at once would spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if !shared.packets_allow(source) {
            continue;
        }
        let Some(slot) = shared.stream_slot(source) else {
            Counters::count(&shared.counters.refused_streams);
            continue;
        };
        // Only a matter of latency.
        let _ = stream.set_nodelay(true);
        let (shared, tls) = (shared.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(shared, stream, source, Transport::Tcp, slot).await,
                Some(tls) => match tokio::time::timeout(CONNECT_WITHIN, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        serve(shared, stream, source, Transport::Tls, slot).await;
                    }
                    Ok(Err(_)) | Err(_) => {
                        Counters::count(&shared.counters.refused_streams);
                        debug!(%source, "TLS handshake failed");
                    }
                },
            }
        });
    }
}

/// Sees to it that there is a stream to a peer, where its transport needs one: one that is open and
/// was verified by this name already, or a new one.
pub(super) async fn connected(
    shared: &Arc<Shared>,
    transport: Transport,
    address: SocketAddr,
    host: &str,
) -> io::Result<()> {
    let flow = Flow { transport, peer: address };
    let is_open = || shared.open().get(&flow).is_some_and(|name| name.as_deref() == Some(host));
    if transport == Transport::Udp || is_open() {
        return Ok(());
    }
    connect(shared, transport, address, host).await
}

/// Opens a stream to a peer, and makes the library use it for that address.
async fn connect(
    shared: &Arc<Shared>,
    transport: Transport,
    address: SocketAddr,
    host: &str,
) -> io::Result<()> {
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    let slot = shared.stream_slot(address).ok_or(io::ErrorKind::QuotaExceeded)?;
    let stream = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(address))
        .await
        .map_err(timed_out)??;
    // Only a matter of latency.
    let _ = stream.set_nodelay(true);
    if transport == Transport::Tcp {
        spawn(shared, stream, (address, transport), host, slot).await;
        return Ok(());
    }
    let tls = shared.tls.as_ref().and_then(|it| it.client_for(host));
    let client = tls.ok_or(io::ErrorKind::Unsupported)?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let handshake = TlsConnector::from(client).connect(name, stream);
    let stream = tokio::time::timeout(CONNECT_WITHIN, handshake).await.map_err(timed_out)??;
    spawn(shared, stream, (address, transport), host, slot).await;
    Ok(())
}

/// A stream's place among those of its source's network and of all.
struct StreamSlot {
    _all: Slot,
    _share: Share,
}

impl Shared {
    fn stream_slot(&self, source: SocketAddr) -> Option<StreamSlot> {
        let limits = &self.limits;
        let all = Slot::take(&self.counters, |counters| &counters.open_streams, limits.streams)?;
        let share = self.streams.take(source.ip(), limits.streams_per_source)?;
        Some(StreamSlot { _all: all, _share: share })
    }
}

async fn spawn<S>(
    shared: &Arc<Shared>,
    stream: S,
    (peer, transport): (SocketAddr, Transport),
    name: &str,
    slot: StreamSlot,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let name = Some(name.to_owned());
    let Some(open) = open(shared, stream, (peer, transport), name).await else { return };
    let shared = shared.clone();
    tokio::spawn(async move { open.run(shared, peer, transport, slot).await });
}

async fn serve<S>(
    shared: Arc<Shared>,
    stream: S,
    peer: SocketAddr,
    transport: Transport,
    slot: StreamSlot,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    if let Some(open) = open(&shared, stream, (peer, transport), None).await {
        open.run(shared, peer, transport, slot).await;
    }
}

struct Open<S> {
    reader: tokio::io::ReadHalf<S>,
    writer: tokio::io::WriteHalf<S>,
    /// We have opened it, and keep it open.
    ours: bool,
    connection: SipConnection,
    outgoing: mpsc::Receiver<TransportEvent>,
    /// Its end tells the library that the stream is gone.
    _alive: mpsc::UnboundedSender<TransportEvent>,
    closed: CancellationToken,
}

/// `name`: by which it was found, and verified where it is under TLS; of a stream of ours.
async fn open<S>(
    shared: &Arc<Shared>,
    stream: S,
    (peer, transport): (SocketAddr, Transport),
    name: Option<String>,
) -> Option<Open<S>>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (alive, incoming) = mpsc::unbounded_channel();
    let (sender, outgoing) = mpsc::channel(OUTGOING);
    let closed = shared.stop.child_token();
    let address = transport.sip_addr(peer);
    let channel = ChannelConnection::create_connection_bounded(
        incoming,
        sender,
        address,
        Some(closed.clone()),
    );
    let connection = SipConnection::from(channel.await.ok()?);
    shared.endpoint.transport_layer.add_connection(connection.clone());
    let ours = name.is_some();
    shared.open().insert(Flow { transport, peer }, name);
    let (reader, writer) = tokio::io::split(stream);
    Some(Open { reader, writer, ours, connection, outgoing, _alive: alive, closed })
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Open<S> {
    async fn run(
        self,
        shared: Arc<Shared>,
        peer: SocketAddr,
        transport: Transport,
        slot: StreamSlot,
    ) {
        let Self { mut reader, mut writer, ours, connection, mut outgoing, _alive, closed } = self;
        let pause = shared.limits.keep_alive;
        let mut keep_alive = tokio::time::interval_at(tokio::time::Instant::now() + pause, pause);
        let (pongs, mut pong) = mpsc::channel::<()>(1);
        let write = async {
            loop {
                let bytes = tokio::select! {
                    event = outgoing.recv() => match event {
                        Some(TransportEvent::Incoming(message, ..)) => message.to_bytes(),
                        Some(_) => continue,
                        None => return,
                    },
                    Some(()) = pong.recv() => b"\r\n".to_vec(),
                    _ = keep_alive.tick(), if ours => KEEP_ALIVE.to_vec(),
                };
                let written = async {
                    writer.write_all(&bytes).await?;
                    writer.flush().await
                };
                if !matches!(tokio::time::timeout(MESSAGE_WITHIN, written).await, Ok(Ok(()))) {
                    return;
                }
            }
        };
        let read = read(&shared, &mut reader, &connection, peer, transport, &pongs);
        tokio::select! {
            () = write => {}
            () = read => {}
            () = closed.cancelled() => {}
        }
        closed.cancel();
        shared.open().remove(&Flow { transport, peer });
        shared.endpoint.transport_layer.remove_connection(&connection);
        drop(slot);
        debug!(%peer, %transport, "stream closed");
    }
}

async fn read(
    shared: &Arc<Shared>,
    reader: &mut (impl AsyncRead + Unpin),
    connection: &SipConnection,
    peer: SocketAddr,
    transport: Transport,
    pongs: &mpsc::Sender<()>,
) {
    let mut framer = Framer::default();
    let mut buffer = vec![0; 4096];
    let mut patience = FIRST_MESSAGE_WITHIN;
    let mut partial_since: Option<tokio::time::Instant> = None;
    loop {
        // A message that trickles in has one deadline, not one for each byte.
        let deadline = match partial_since {
            Some(since) => since + MESSAGE_WITHIN,
            None => tokio::time::Instant::now() + patience,
        };
        let Ok(Ok(length @ 1..)) =
            tokio::time::timeout_at(deadline, reader.read(&mut buffer)).await
        else {
            return;
        };
        framer.push(buffer.get(..length).unwrap_or_default());
        loop {
            match framer.next() {
                Ok(Some(Frame::Ping)) => {
                    // One answer for many pings at once is enough.
                    let _ = pongs.try_send(());
                    partial_since = None;
                }
                Ok(Some(Frame::Message(message))) => {
                    patience = IDLE_FOR;
                    partial_since = None;
                    ingress::accept(shared, &message, connection, peer, transport).await;
                }
                Ok(None) => break,
                Err(error) => {
                    Counters::count(&shared.counters.refused_streams);
                    debug!(%peer, %error, "stream cannot be followed");
                    return;
                }
            }
        }
        if framer.is_partial() {
            partial_since.get_or_insert_with(tokio::time::Instant::now);
        } else {
            partial_since = None;
        }
    }
}
