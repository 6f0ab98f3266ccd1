//! The sockets of plain legs, polled beside the shard's own.

use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use types::PeerId;
use udp::{SendBatch, Socket};

use super::ports::{LegSockets, Pair};
use crate::shard::{LegTransmit, Shard};
use crate::transport::plain::LegPort;

/// Batches of one socket between two looks at all others.
const MAX_BATCHES: usize = 4;

/// Sockets by token.
pub(super) struct LegIo {
    sockets: HashMap<Token, LegSocket>,
    tokens: HashMap<(PeerId, LegPort), Token>,
    next: usize,
}

struct LegSocket {
    peer: PeerId,
    port: LegPort,
    socket: Socket,
    batch: SendBatch,
}

impl LegIo {
    /// No sockets; tokens from `first` on are this one's.
    pub(super) fn new(first: usize) -> Self {
        Self { sockets: HashMap::new(), tokens: HashMap::new(), next: first }
    }

    pub(super) fn add(&mut self, registry: &Registry, peer: PeerId, sockets: LegSockets) {
        let LegSockets { audio, video } = sockets;
        let sound =
            audio.map(|Pair { rtp, rtcp }| [(LegPort::AudioRtp, rtp), (LegPort::AudioRtcp, rtcp)]);
        let Pair { rtp, rtcp } = video;
        let picture = [(LegPort::VideoRtp, rtp), (LegPort::VideoRtcp, rtcp)];
        for (port, socket) in sound.into_iter().flatten().chain(picture) {
            let token = Token(self.next);
            self.next += 1;
            let mut source = SourceFd(&socket.as_raw_fd());
            if let Err(error) = registry.register(&mut source, token, Interest::READABLE) {
                tracing::error!(%peer, ?port, %error, "a leg's port cannot be polled");
                continue;
            }
            self.tokens.insert((peer, port), token);
            let batch = SendBatch::default();
            self.sockets.insert(token, LegSocket { peer, port, socket, batch });
        }
    }

    pub(super) fn remove(&mut self, registry: &Registry, peer: PeerId) {
        for port in LegPort::ALL {
            let token = self.tokens.remove(&(peer, port));
            if let Some(entry) = token.and_then(|token| self.sockets.remove(&token))
                && let Err(error) = registry.deregister(&mut SourceFd(&entry.socket.as_raw_fd()))
            {
                tracing::warn!(%peer, ?port, %error, "a leg's port was not polled");
            }
        }
    }

    /// Reads a socket that is readable. `true`: more may wait in it.
    pub(super) fn receive(&mut self, token: Token, shard: &mut Shard) -> bool {
        let Some(LegSocket { peer, port, socket, .. }) = self.sockets.get_mut(&token) else {
            return false;
        };
        for _ in 0..MAX_BATCHES {
            let now = Instant::now();
            let received = socket.recv(|datagram| {
                let (source, contents) = (datagram.source, datagram.contents);
                shard.handle_leg_datagram(*peer, *port, source, contents, now);
            });
            match received {
                Ok(received) if !received.more => return false,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%peer, ?port, %error, "receiving");
                    return false;
                }
            }
        }
        true
    }

    /// Sends all that legs have to send. What the system does not take at once is dropped: a leg's
    /// socket has room for a second of media, and what waits longer is of no use.
    pub(super) fn transmit(&mut self, transmits: Vec<LegTransmit>) {
        let mut filled = Vec::new();
        for LegTransmit { peer, port, destination, contents } in transmits {
            let Some(token) = self.tokens.get(&(peer, port)).copied() else { continue };
            let Some(entry) = self.sockets.get_mut(&token) else { continue };
            if entry.batch.is_empty() {
                filled.push(token);
            }
            if let Err(error) = entry.batch.push(destination, &contents) {
                tracing::debug!(%peer, ?port, %error, "a datagram cannot be sent");
            }
        }
        for token in filled {
            let Some(entry) = self.sockets.get_mut(&token) else { continue };
            match entry.socket.send(&mut entry.batch) {
                Ok(report) if report.would_block => {
                    tracing::debug!(peer = %entry.peer, "a leg's socket is full");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(peer = %entry.peer, %error, "sending"),
            }
            entry.batch.clear();
        }
    }
}
