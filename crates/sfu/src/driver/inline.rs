//! A shard without a thread and without sockets, for who has a clock and a network of their own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rtp::lane::Wake;
use types::PeerId;

use super::{LegSockets, Message, ShardHandle, SharedCounters};
use crate::shard::{LegTransmit, Shard, Transmit};
use crate::transport::plain::LegPort;
use crate::transport::webrtc::{Reachable, Transport};

/// Rung by commands and lanes, until the shard runs.
#[derive(Default)]
struct Rung(AtomicBool);

impl Wake for Rung {
    fn wake(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A shard that clients reach at `local`, and its handle, which is as good as a running shard's.
/// Nothing happens but when its owner says so.
pub fn inline(local: SocketAddr, now: Instant) -> (ShardHandle, InlineShard) {
    let (commands, inbox) = channel();
    let (rung, counters) = (Arc::new(Rung::default()), Arc::new(SharedCounters::default()));
    let handle = ShardHandle {
        commands,
        bell: rung.clone(),
        reachable: Reachable { udp: vec![local], tcp: Vec::new() },
        counters: counters.clone(),
        thread: Arc::new(OnceLock::new()),
    };
    let shard = Shard::new(local, None, now);
    (handle, InlineShard { shard, inbox, rung, counters, ports: HashMap::new() })
}

/// The owner's end of [`inline`].
pub struct InlineShard {
    shard: Shard,
    inbox: Receiver<Message>,
    rung: Arc<Rung>,
    counters: Arc<SharedCounters>,
    /// Held so that no other leg gets them; nothing comes through them.
    ports: HashMap<PeerId, LegSockets>,
}

impl InlineShard {
    /// Takes a datagram that came to the shard's port.
    pub fn handle_datagram(&mut self, source: SocketAddr, contents: &[u8], now: Instant) {
        self.shard.handle_datagram(Transport::Udp, source, contents, now);
    }

    /// Takes a datagram that came to a port of a leg.
    pub fn handle_leg_datagram(
        &mut self,
        peer: PeerId,
        port: LegPort,
        source: SocketAddr,
        contents: &[u8],
        now: Instant,
    ) {
        self.shard.handle_leg_datagram(peer, port, source, contents, now);
    }

    /// Whether a command or a lane waits.
    pub fn is_rung(&self) -> bool {
        self.rung.0.load(Ordering::Relaxed)
    }

    /// When [`InlineShard::run`] has something to do, unless it is rung before.
    pub fn timeout(&self) -> Option<Instant> {
        self.shard.timeout()
    }

    /// Does all that a shard's thread would do now.
    pub fn run(&mut self, now: Instant) {
        let rung = self.rung.0.swap(false, Ordering::Relaxed);
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                Message::Command(command) => self.shard.handle_command(*command, now),
                Message::LegSockets(peer, sockets) => {
                    self.ports.insert(peer, *sockets);
                }
                // There is no acceptor that could send one.
                Message::Stream(_) => {}
            }
        }
        if rung {
            self.shard.read_lanes(now);
        }
        self.shard.handle_timeout(now);
        self.shard.flush(now);
        for peer in self.shard.take_ended_legs() {
            self.ports.remove(&peer);
        }
        self.counters.publish(self.shard.counters());
    }

    /// The next datagram that the shard's port sends.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.shard.poll_transmit()
    }

    /// What the legs' ports send, taken out.
    pub fn take_leg_transmits(&mut self) -> Vec<LegTransmit> {
        self.shard.take_leg_transmits()
    }
}
