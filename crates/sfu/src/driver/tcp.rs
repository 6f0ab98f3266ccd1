//! ICE over TCP (RFC 6544, passive): the acceptor, and a shard's connections, polled beside its
//! socket. A connection that no session takes packets from, or that takes none itself, ends.

mod acceptor;
mod admission;
mod frames;

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::shard::Shard;
use crate::transport::webrtc::Transport;
use admission::Permit;
use frames::{Frames, Outgoing};

pub(super) use acceptor::Arrived;
pub use acceptor::{TcpAcceptor, TcpPort};

/// Bytes that wait for a slow reader beside the system's buffer; what does not fit is dropped like
/// a lost packet, and the client asks for what it needs.
const MAX_WAITING: usize = 64 << 10;
/// A reader that takes nothing for so long is gone: a moment without radio is shorter.
const STALLED: Duration = Duration::from_secs(10);
/// Without a packet that a session takes, a connection ends: browsers check a spare path twice a
/// minute.
const IDLE: Duration = Duration::from_secs(75);
/// How often stalled and idle connections are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// Read at once.
const CHUNK: usize = 16 << 10;
/// Reads of one connection between two looks at all others.
const MAX_READS: usize = 4;

/// Connections by token.
pub(super) struct TcpIo {
    connections: HashMap<Token, Connection>,
    /// By the client's address: what the shard knows them by.
    tokens: HashMap<SocketAddr, Token>,
    next: usize,
    buffer: Vec<u8>,
    /// Connections that have something to write since the last flush.
    filled: Vec<Token>,
    swept: Instant,
}

struct Connection {
    stream: TcpStream,
    source: SocketAddr,
    frames: Frames,
    outgoing: Outgoing,
    /// Since when the system takes nothing more.
    full_since: Option<Instant>,
    /// When a session last took a packet.
    heard: Instant,
    /// Held for its own end.
    _permit: Permit,
}

/// A connection has ended: closed, broken, or not to be kept.
struct Ended;

impl TcpIo {
    /// No connections; tokens from `first` on are this one's.
    pub(super) fn new(first: usize, now: Instant) -> Self {
        Self {
            connections: HashMap::new(),
            tokens: HashMap::new(),
            next: first,
            buffer: vec![0; CHUNK],
            filled: Vec::new(),
            swept: now,
        }
    }

    /// Takes a connection over, for whose first message the shard has a session. The token to read
    /// from now on, if it is kept.
    pub(super) fn add(
        &mut self,
        registry: &Registry,
        arrived: Arrived,
        shard: &mut Shard,
    ) -> Option<Token> {
        let now = Instant::now();
        let Arrived { mut stream, source, first, permit, .. } = arrived;
        // Its integrity is checked with the session's password: a stranger who knows the name
        // alone gets no further.
        if !shard.handle_datagram(Transport::Tcp, source, &first, now) {
            tracing::debug!(%source, "a connection's first message was refused");
            return None;
        }
        // An address that comes again had its old connection closed.
        if let Some(old) = self.tokens.get(&source).copied() {
            self.remove(registry, old);
        }
        let token = Token(self.next);
        self.next += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = registry.register(&mut stream, token, interest) {
            tracing::error!(%source, %error, "a connection cannot be polled");
            return None;
        }
        let connection = Connection {
            stream,
            source,
            frames: Frames::default(),
            outgoing: Outgoing::new(MAX_WAITING),
            full_since: None,
            heard: now,
            _permit: permit,
        };
        self.connections.insert(token, connection);
        self.tokens.insert(source, token);
        Some(token)
    }

    /// Serves a connection that is readable or writable. `true`: more may wait in it.
    pub(super) fn receive(&mut self, registry: &Registry, token: Token, shard: &mut Shard) -> bool {
        let Some(connection) = self.connections.get_mut(&token) else { return false };
        let written = connection.write(Instant::now());
        match written.and_then(|()| connection.read(&mut self.buffer, shard)) {
            Ok(more) => more,
            Err(Ended) => {
                self.remove(registry, token);
                false
            }
        }
    }

    /// Takes a datagram for a connection, until [`TcpIo::flush`]. Dropped where there is none or
    /// its reader is too slow.
    pub(super) fn push(&mut self, destination: SocketAddr, contents: &[u8]) {
        let Some(token) = self.tokens.get(&destination).copied() else { return };
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let was_empty = connection.outgoing.waiting().is_empty();
        if connection.outgoing.push(contents) && was_empty {
            self.filled.push(token);
        }
    }

    /// Writes what was pushed, as far as the system takes it.
    pub(super) fn flush(&mut self, registry: &Registry) {
        for token in std::mem::take(&mut self.filled) {
            let Some(connection) = self.connections.get_mut(&token) else { continue };
            if connection.write(Instant::now()).is_err() {
                self.remove(registry, token);
            }
        }
    }

    /// Ends connections that stand still.
    pub(super) fn sweep(&mut self, registry: &Registry, now: Instant) {
        if now.saturating_duration_since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        let stands = |it: &Connection| {
            let stalled = it.full_since.is_some_and(|at| now.duration_since(at) > STALLED);
            stalled || now.duration_since(it.heard) > IDLE
        };
        let standing: Vec<Token> =
            self.connections.iter().filter(|it| stands(it.1)).map(|it| *it.0).collect();
        for token in standing {
            self.remove(registry, token);
        }
    }

    fn remove(&mut self, registry: &Registry, token: Token) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        if self.tokens.get(&connection.source) == Some(&token) {
            self.tokens.remove(&connection.source);
        }
        if let Err(error) = registry.deregister(&mut connection.stream) {
            tracing::warn!(source = %connection.source, %error, "a connection was not polled");
        }
        tracing::debug!(source = %connection.source, "a connection ended");
    }
}

impl Connection {
    /// Reads a bounded amount; whether more may wait.
    fn read(&mut self, buffer: &mut [u8], shard: &mut Shard) -> Result<bool, Ended> {
        for _ in 0..MAX_READS {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(Ended),
                Ok(count) => count,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(false),
                    ErrorKind::Interrupted => continue,
                    _ => return Err(Ended),
                },
            };
            let now = Instant::now();
            self.frames.push(buffer.get(..count).unwrap_or_default());
            while let Some(frame) = self.frames.next().map_err(|_| Ended)? {
                if shard.handle_datagram(Transport::Tcp, self.source, frame, now) {
                    self.heard = now;
                }
            }
        }
        Ok(true)
    }

    /// Writes all that waits, as far as the system takes it.
    fn write(&mut self, now: Instant) -> Result<(), Ended> {
        while !self.outgoing.waiting().is_empty() {
            match self.stream.write(self.outgoing.waiting()) {
                Ok(0) => return Err(Ended),
                Ok(count) => {
                    self.outgoing.advance(count);
                    self.full_since = None;
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        self.full_since.get_or_insert(now);
                        return Ok(());
                    }
                    ErrorKind::Interrupted => {}
                    _ => return Err(Ended),
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
