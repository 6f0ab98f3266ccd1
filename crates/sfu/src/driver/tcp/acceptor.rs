//! The TCP port: takes connections, reads what each says first, and hands it to the shard that the
//! message is for.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;

use super::admission::{Admission, Permit};
use super::frames::LENGTH;
use crate::driver::{Message, ShardHandle};
use crate::stun;

const LISTENER: Token = Token(0);
const WAKE: Token = Token(1);
const FIRST_STREAM: usize = 2;

/// A client sends its first binding request at once.
const FIRST_FRAME_WITHIN: Duration = Duration::from_secs(2);
/// The longest first message: a binding request has some 100 bytes.
const MAX_FIRST_FRAME: usize = 1500;
/// Connections at a time that have not said whom they are for; more are turned away.
const MAX_SILENT: usize = 1024;
/// After an accept failed, as when descriptors are used up: trying at once would spin.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes that the system may keep for a connection: half a second of a good picture. What waits
/// longer comes too late, and the system's own limit is some megabytes.
const SYSTEM_BUFFER: usize = 256 << 10;

/// The port, bound and not served yet: shards announce it before it has somebody to serve.
#[derive(Debug)]
pub struct TcpPort {
    listener: TcpListener,
    local: SocketAddr,
}

/// Serves the port until it is dropped.
#[derive(Debug)]
pub struct TcpAcceptor {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

/// A connection whose first message has come.
pub(in crate::driver) struct Arrived {
    pub(super) stream: TcpStream,
    pub(super) source: SocketAddr,
    /// A STUN binding request; nothing in it was verified.
    pub(super) first: Vec<u8>,
    pub(super) permit: Permit,
    shards: Arc<[ShardHandle]>,
    asked: usize,
}

impl Arrived {
    /// The name of the session that it wants.
    pub(in crate::driver) fn ufrag(&self) -> Option<&str> {
        stun::request_ufrag(&self.first)
    }

    /// Goes to the next shard: only a shard knows its sessions' names, which change. After the last
    /// one the connection closes.
    pub(in crate::driver) fn pass_on(mut self) {
        let shards = self.shards.clone();
        if let Some(shard) = shards.get(self.asked) {
            self.asked += 1;
            shard.tell(Message::Stream(Box::new(self)));
        }
    }
}

impl TcpPort {
    /// Binds the port.
    ///
    /// # Errors
    /// The system's: most often the port is taken.
    pub fn bind(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local })
    }

    /// The addresses that clients are told, for each announced one; the bound one where none is.
    pub fn reachable(&self, announced: &[IpAddr]) -> Vec<SocketAddr> {
        match announced {
            [] => vec![self.local],
            _ => announced.iter().map(|ip| SocketAddr::new(*ip, self.local.port())).collect(),
        }
    }

    /// Takes connections for these shards, on a thread of its own.
    ///
    /// # Errors
    /// The system's.
    pub fn serve(mut self, shards: Vec<ShardHandle>) -> io::Result<TcpAcceptor> {
        let poll = Poll::new()?;
        poll.registry().register(&mut self.listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let stop = Arc::new(AtomicBool::new(false));
        let acceptor = Acceptor {
            listener: self.listener,
            poll,
            shards: shards.into(),
            admission: Admission::default(),
            silent: HashMap::new(),
            deadlines: BTreeSet::new(),
            next: FIRST_STREAM,
            retry: false,
            stop: stop.clone(),
        };
        let thread =
            std::thread::Builder::new().name("ice-tcp".into()).spawn(move || acceptor.run())?;
        Ok(TcpAcceptor { stop, waker, thread: Some(thread) })
    }
}

impl Drop for TcpAcceptor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "the acceptor of ICE over TCP cannot be woken");
            return;
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the acceptor of ICE over TCP died");
        }
    }
}

struct Acceptor {
    listener: TcpListener,
    poll: Poll,
    shards: Arc<[ShardHandle]>,
    admission: Admission,
    silent: HashMap<Token, Silent>,
    deadlines: BTreeSet<(Instant, Token)>,
    next: usize,
    /// More may wait to be accepted: the listener's event is given once.
    retry: bool,
    stop: Arc<AtomicBool>,
}

/// A connection that has not said whom it is for.
struct Silent {
    stream: TcpStream,
    source: SocketAddr,
    bytes: Vec<u8>,
    deadline: Instant,
    permit: Permit,
}

/// What a look at a silent connection gave.
enum Look {
    /// Not all is there.
    Waiting,
    /// The first message is complete.
    Complete,
    /// It closed, or says something else.
    Useless,
}

impl Acceptor {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            if let Err(error) = self.poll.poll(&mut events, self.sleep())
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "ICE over TCP cannot be served any more");
                return;
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.retry = true,
                    WAKE => {}
                    token => self.look(token),
                }
            }
            if self.retry {
                self.retry = self.accept();
            }
            self.expire(Instant::now());
        }
    }

    fn sleep(&self) -> Option<Duration> {
        let first = self.deadlines.first();
        let deadline = first.map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let pause = self.retry.then_some(PAUSE);
        [deadline, pause].into_iter().flatten().min()
    }

    /// Accepts all that wait. `true`: the system could not, and has to be asked again.
    fn accept(&mut self) -> bool {
        loop {
            match self.listener.accept() {
                Ok((stream, source)) => self.add(stream, source),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return false,
                    // The client's own affair.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                    _ => {
                        tracing::warn!(%error, "accepting ICE over TCP");
                        return true;
                    }
                },
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream, source: SocketAddr) {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        if self.silent.len() >= MAX_SILENT {
            return tracing::debug!(%source, "too many connections say nothing");
        }
        let Some(permit) = self.admission.admit(source.ip()) else {
            return tracing::debug!(%source, "too many connections");
        };
        // Without these it works as well, only later.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_send_buffer_size(SYSTEM_BUFFER);
        let token = Token(self.next);
        self.next += 1;
        if let Err(error) = self.poll.registry().register(&mut stream, token, Interest::READABLE) {
            return tracing::warn!(%error, "a connection cannot be polled");
        }
        let deadline = Instant::now() + FIRST_FRAME_WITHIN;
        self.deadlines.insert((deadline, token));
        let bytes = Vec::new();
        self.silent.insert(token, Silent { stream, source, bytes, deadline, permit });
        self.look(token);
    }

    fn look(&mut self, token: Token) {
        let Some(silent) = self.silent.get_mut(&token) else { return };
        match silent.read() {
            Look::Waiting => {}
            Look::Useless => drop(self.take(token)),
            Look::Complete => self.hand_over(token),
        }
    }

    fn take(&mut self, token: Token) -> Option<Silent> {
        let mut silent = self.silent.remove(&token)?;
        self.deadlines.remove(&(silent.deadline, token));
        // Closed below, or a shard's from now on.
        self.poll.registry().deregister(&mut silent.stream).ok()?;
        Some(silent)
    }

    fn hand_over(&mut self, token: Token) {
        let Some(Silent { stream, source, mut bytes, permit, .. }) = self.take(token) else {
            return;
        };
        let first = bytes.split_off(LENGTH.min(bytes.len()));
        let shards = self.shards.clone();
        Arrived { stream, source, first, permit, shards, asked: 0 }.pass_on();
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, token)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            drop(self.take(token));
        }
    }
}

impl Silent {
    /// Reads the first frame and not a byte more: the rest is for the shard.
    fn read(&mut self) -> Look {
        let mut buffer = [0; MAX_FIRST_FRAME];
        loop {
            let wanted = match self.bytes.first_chunk::<LENGTH>() {
                None => LENGTH,
                Some(length) => LENGTH + usize::from(u16::from_be_bytes(*length)),
            };
            if wanted > LENGTH + MAX_FIRST_FRAME {
                return Look::Useless;
            }
            if wanted == self.bytes.len() {
                let message = self.bytes.get(LENGTH..).unwrap_or_default();
                let named = stun::request_ufrag(message).is_some();
                return if named { Look::Complete } else { Look::Useless };
            }
            let room = buffer.get_mut(..wanted - self.bytes.len()).unwrap_or_default();
            match self.stream.read(room) {
                Ok(0) => return Look::Useless,
                Ok(count) => self.bytes.extend(buffer.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Look::Waiting,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Look::Useless,
            }
        }
    }
}
