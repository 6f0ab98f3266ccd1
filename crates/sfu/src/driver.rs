//! Threads and sockets: each shard on a thread of its own, with one UDP port; and the TCP port for
//! all of them.

mod inline;
mod legs;
mod ports;
mod tcp;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rtp::lane::Wake;
use types::PeerId;
use udp::{SendBatch, Socket};

use crate::command::Command;
use crate::shard::{Shard, ShardCounters};
use crate::transport::webrtc::{Reachable, Transport};
use legs::LegIo;
use tcp::{Arrived, TcpIo};

pub use inline::{InlineShard, inline};
pub use ports::{FloorSockets, LegSockets, NoPorts, PortRange};
pub use tcp::{TcpAcceptor, TcpPort};

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);
const FIRST_LEG: usize = 2;
/// Neither legs nor connections ever count so far.
const FIRST_STREAM: usize = usize::MAX / 2;

/// Batches that are read before timers get their turn, so that a flood cannot starve them.
const MAX_BATCHES: usize = 16;
/// Commands that are carried out between two batches: a join's worth of them, so that a burst of
/// joins does not hold up forwarding.
const MAX_COMMANDS: usize = 32;
/// The longest sleep; only a bound, since everything that matters wakes the shard.
const IDLE: Duration = Duration::from_millis(500);

/// How a shard is set up.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Number of the shard, for its thread's name and the logs.
    pub index: usize,
    /// The address to bind.
    pub listen: SocketAddr,
    /// Addresses at which clients reach the bound port; the bound one where empty.
    pub announced: Vec<std::net::IpAddr>,
    /// Where clients reach the TCP port; empty where there is none.
    pub tcp: Vec<SocketAddr>,
}

/// A running shard, seen from other threads. Clones speak to the same shard.
#[derive(Clone)]
pub struct ShardHandle {
    commands: Sender<Message>,
    bell: Arc<dyn Wake + Send + Sync>,
    reachable: Reachable,
    counters: Arc<SharedCounters>,
    thread: Arc<OnceLock<JoinHandle<()>>>,
}

/// What a shard's thread is told.
enum Message {
    /// For the shard itself.
    Command(Box<Command>),
    /// The ports of a leg that is about to be added.
    LegSockets(PeerId, Box<LegSockets>),
    /// A connection that may be for one of its sessions.
    Stream(Box<Arrived>),
}

/// Wakes a shard's thread to read its lanes.
struct Bell(Waker);

impl Wake for Bell {
    fn wake(&self) {
        if let Err(error) = self.0.wake() {
            tracing::error!(%error, "a shard could not be woken");
        }
    }
}

#[derive(Default)]
struct SharedCounters {
    packets_in: AtomicU64,
    packets_out: AtomicU64,
    strays: AtomicU64,
    lanes_dropped: AtomicU64,
    legs_received: AtomicU64,
    legs_lost: AtomicU64,
    legs_lost_there: AtomicU64,
}

impl SharedCounters {
    fn publish(&self, counters: ShardCounters) {
        self.packets_in.store(counters.packets_in, Ordering::Relaxed);
        self.packets_out.store(counters.packets_out, Ordering::Relaxed);
        self.strays.store(counters.strays, Ordering::Relaxed);
        self.lanes_dropped.store(counters.lanes_dropped, Ordering::Relaxed);
        self.legs_received.store(counters.legs_received, Ordering::Relaxed);
        self.legs_lost.store(counters.legs_lost, Ordering::Relaxed);
        self.legs_lost_there.store(counters.legs_lost_there, Ordering::Relaxed);
    }
}

impl ShardHandle {
    /// Sends a command. Nothing happens if the shard has ended.
    pub fn send(&self, command: Command) {
        self.tell(Message::Command(Box::new(command)));
    }

    /// Gives a leg's ports to the shard; [`Command::AddLeg`] has to follow, and closes them when
    /// the leg ends.
    pub fn give_sockets(&self, peer: PeerId, sockets: LegSockets) {
        self.tell(Message::LegSockets(peer, Box::new(sockets)));
    }

    fn tell(&self, message: Message) {
        if self.commands.send(message).is_ok() {
            self.bell.wake();
        }
    }

    /// What lanes into this shard have to ring.
    pub fn bell(&self) -> Arc<dyn Wake + Send + Sync> {
        self.bell.clone()
    }

    /// Where sessions of this shard are reached.
    pub fn reachable(&self) -> &Reachable {
        &self.reachable
    }

    /// What the shard counted, as of its last batch.
    pub fn counters(&self) -> ShardCounters {
        ShardCounters {
            packets_in: self.counters.packets_in.load(Ordering::Relaxed),
            packets_out: self.counters.packets_out.load(Ordering::Relaxed),
            strays: self.counters.strays.load(Ordering::Relaxed),
            lanes_dropped: self.counters.lanes_dropped.load(Ordering::Relaxed),
            legs_received: self.counters.legs_received.load(Ordering::Relaxed),
            legs_lost: self.counters.legs_lost.load(Ordering::Relaxed),
            legs_lost_there: self.counters.legs_lost_there.load(Ordering::Relaxed),
        }
    }

    /// Whether the shard has no thread that runs: it has ended, or never had one ([`inline`]).
    pub fn is_finished(&self) -> bool {
        self.thread.get().is_none_or(JoinHandle::is_finished)
    }
}

/// Binds the shard's port and starts its thread.
///
/// # Errors
/// The system's: most often the port is taken.
pub fn start(config: &ShardConfig) -> io::Result<ShardHandle> {
    let socket = Socket::bind(config.listen)?;
    let bound = socket.local_addr();
    let mut udp: Vec<SocketAddr> =
        config.announced.iter().map(|ip| SocketAddr::new(*ip, bound.port())).collect();
    if udp.is_empty() {
        udp.push(bound);
    }
    let local = udp.first().copied().unwrap_or(bound);
    let poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), SOCKET, Interest::READABLE)?;
    let bell = Arc::new(Bell(Waker::new(poll.registry(), WAKE)?));
    let (commands, inbox) = channel();
    let counters = Arc::new(SharedCounters::default());
    let now = Instant::now();
    let driver = Driver {
        shard: Shard::new(local, config.tcp.first().copied(), now),
        socket,
        batch: SendBatch::default(),
        legs: LegIo::new(FIRST_LEG),
        tcp: TcpIo::new(FIRST_STREAM, now),
        receives: false,
        readable: Vec::new(),
        poll,
        inbox,
        counters: counters.clone(),
    };
    let thread = std::thread::Builder::new()
        .name(format!("shard-{}", config.index))
        .spawn(move || driver.run())?;
    let handle = ShardHandle {
        commands,
        bell,
        reachable: Reachable { udp, tcp: config.tcp.clone() },
        counters,
        thread: Arc::new(OnceLock::new()),
    };
    let _ = handle.thread.set(thread);
    Ok(handle)
}

struct Driver {
    shard: Shard,
    socket: Socket,
    batch: SendBatch,
    legs: LegIo,
    tcp: TcpIo,
    /// Something waits at the socket, as far as is known: events are given once.
    receives: bool,
    /// Leg sockets and connections to look at, for the same reason.
    readable: Vec<Token>,
    poll: Poll,
    inbox: Receiver<Message>,
    counters: Arc<SharedCounters>,
}

impl Driver {
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut stopping = false;
        while !stopping {
            if let Err(error) = self.poll.poll(&mut events, Some(self.sleep()))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a shard cannot poll its socket and ends");
                return;
            }
            let others = events.iter().map(|it| it.token()).filter(|it| it.0 >= FIRST_LEG);
            self.readable.extend(others);
            self.receives |= events.iter().any(|it| it.token() == SOCKET);
            let mut woken = events.iter().any(|it| it.token() == WAKE);
            loop {
                let (commands, stop) = self.take_commands();
                stopping |= stop;
                if std::mem::take(&mut woken) {
                    self.shard.read_lanes(Instant::now());
                }
                self.receive();
                self.receive_from_others();
                let now = Instant::now();
                self.tcp.sweep(self.poll.registry(), now);
                self.shard.handle_timeout(now);
                self.shard.flush(now);
                self.transmit();
                self.counters.publish(self.shard.counters());
                let idle = commands + self.readable.len() == 0 && !self.receives;
                if idle || stopping {
                    break;
                }
            }
        }
    }

    fn sleep(&self) -> Duration {
        if !self.batch.is_empty() {
            // The kernel's buffer was full: look again soon.
            return Duration::from_millis(1);
        }
        self.shard
            .timeout()
            .map_or(IDLE, |at| at.saturating_duration_since(Instant::now()))
            .min(IDLE)
    }

    fn take_commands(&mut self) -> (usize, bool) {
        for taken in 0..MAX_COMMANDS {
            match self.inbox.try_recv() {
                Ok(Message::LegSockets(peer, sockets)) => {
                    self.legs.add(self.poll.registry(), peer, *sockets);
                }
                Ok(Message::Stream(arrived)) => self.take_stream(*arrived),
                Ok(Message::Command(command)) => {
                    let stop = matches!(*command, Command::Stop);
                    self.shard.handle_command(*command, Instant::now());
                    if stop {
                        return (taken + 1, true);
                    }
                }
                Err(TryRecvError::Empty) => return (taken, false),
                Err(TryRecvError::Disconnected) => return (taken, true),
            }
        }
        (MAX_COMMANDS, false)
    }

    fn receive_from_others(&mut self) {
        let mut readable = std::mem::take(&mut self.readable);
        readable.retain(|token| {
            if token.0 < FIRST_STREAM {
                return self.legs.receive(*token, &mut self.shard);
            }
            let more = self.tcp.receive(self.poll.registry(), *token, &mut self.shard);
            // Each connection's packets go out before the next one's are read: they are bounded.
            self.shard.flush(Instant::now());
            self.transmit();
            more
        });
        self.readable = readable;
    }

    fn take_stream(&mut self, arrived: Arrived) {
        if !arrived.ufrag().is_some_and(|ufrag| self.shard.knows(ufrag)) {
            return arrived.pass_on();
        }
        let token = self.tcp.add(self.poll.registry(), arrived, &mut self.shard);
        self.readable.extend(token);
    }

    /// Reads the shard's own socket, where something waits.
    fn receive(&mut self) {
        for _ in 0..MAX_BATCHES {
            if !self.receives {
                return;
            }
            let now = Instant::now();
            let shard = &mut self.shard;
            let received = self.socket.recv(|datagram| {
                shard.handle_datagram(Transport::Udp, datagram.source, datagram.contents, now);
            });
            self.receives = match received {
                Ok(received) => received.more,
                Err(error) => {
                    tracing::warn!(%error, "receiving");
                    false
                }
            };
            self.shard.flush(now);
            self.transmit();
        }
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.shard.poll_transmit() {
            match transmit.transport {
                Transport::Tcp => self.tcp.push(transmit.destination, &transmit.contents),
                Transport::Udp => {
                    let pushed = self.batch.push(transmit.destination, &transmit.contents);
                    if let Err(error) = pushed {
                        tracing::debug!(%error, "a datagram cannot be sent");
                    }
                }
            }
        }
        self.tcp.flush(self.poll.registry());
        if !self.batch.is_empty()
            && let Err(error) = self.socket.send(&mut self.batch)
        {
            tracing::warn!(%error, "sending");
            self.batch.clear();
        }
        self.legs.transmit(self.shard.take_leg_transmits());
        for peer in self.shard.take_ended_legs() {
            self.legs.remove(self.poll.registry(), peer);
        }
    }
}
