//! Threads and sockets: each shard on a thread of its own, with one UDP port.

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
use udp::{SendBatch, Socket};

use crate::command::Command;
use crate::shard::{Shard, ShardCounters};
use crate::transport::webrtc::{Reachable, Transport};

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);

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
}

/// A running shard, seen from other threads. Clones speak to the same shard.
#[derive(Clone)]
pub struct ShardHandle {
    commands: Sender<Command>,
    waker: Arc<Waker>,
    reachable: Reachable,
    counters: Arc<SharedCounters>,
    thread: Arc<OnceLock<JoinHandle<()>>>,
}

#[derive(Default)]
struct SharedCounters {
    packets_in: AtomicU64,
    packets_out: AtomicU64,
    strays: AtomicU64,
}

impl ShardHandle {
    /// Sends a command. Nothing happens if the shard has ended.
    pub fn send(&self, command: Command) {
        if self.commands.send(command).is_ok()
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a shard could not be woken");
        }
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
        }
    }

    /// Whether the shard's thread has ended.
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
    let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
    let (commands, inbox) = channel();
    let counters = Arc::new(SharedCounters::default());
    let driver = Driver {
        shard: Shard::new(local, Instant::now()),
        socket,
        batch: SendBatch::default(),
        poll,
        inbox,
        counters: counters.clone(),
    };
    let thread = std::thread::Builder::new()
        .name(format!("shard-{}", config.index))
        .spawn(move || driver.run())?;
    let handle = ShardHandle {
        commands,
        waker,
        reachable: Reachable { udp, tcp: Vec::new() },
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
    poll: Poll,
    inbox: Receiver<Command>,
    counters: Arc<SharedCounters>,
}

impl Driver {
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        let mut stopping = false;
        while !stopping {
            if let Err(error) = self.poll.poll(&mut events, Some(self.sleep()))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a shard cannot poll its socket and ends");
                return;
            }
            loop {
                let (commands, stop) = self.take_commands();
                stopping |= stop;
                let datagrams = self.receive();
                let now = Instant::now();
                self.shard.handle_timeout(now);
                self.shard.flush(now);
                self.transmit();
                self.publish_counters();
                if commands + datagrams == 0 || stopping {
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
                Ok(command) => {
                    let stop = matches!(command, Command::Stop);
                    self.shard.handle_command(command, Instant::now());
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

    fn receive(&mut self) -> usize {
        let mut total = 0;
        for _ in 0..MAX_BATCHES {
            let now = Instant::now();
            let shard = &mut self.shard;
            let received = self.socket.recv(|datagram| {
                shard.handle_datagram(Transport::Udp, datagram.source, datagram.contents, now);
            });
            match received {
                Ok(0) => break,
                Ok(count) => total += count,
                Err(error) => {
                    tracing::warn!(%error, "receiving");
                    break;
                }
            }
            self.shard.flush(now);
            self.transmit();
        }
        total
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.shard.poll_transmit() {
            if transmit.transport == Transport::Udp
                && let Err(error) = self.batch.push(transmit.destination, &transmit.contents)
            {
                tracing::debug!(%error, "a datagram cannot be sent");
            }
        }
        if !self.batch.is_empty()
            && let Err(error) = self.socket.send(&mut self.batch)
        {
            tracing::warn!(%error, "sending");
            self.batch.clear();
        }
    }

    fn publish_counters(&self) {
        let counters = self.shard.counters();
        self.counters.packets_in.store(counters.packets_in, Ordering::Relaxed);
        self.counters.packets_out.store(counters.packets_out, Ordering::Relaxed);
        self.counters.strays.store(counters.strays, Ordering::Relaxed);
    }
}
