//! The physical limit: the same packets received, sealed once for each receiver, and sent, by a
//! process that does nothing else.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};
use udp::{Purpose, SendBatch, Socket};

use super::SUBSCRIBERS;
use crate::camera::Camera;
use crate::child::{self, OwnServer};
use crate::fault::{Doing, Fault, Result};
use crate::load::Contender;
use crate::machine;

/// The name of this role on the command line.
pub const ROLE: &str = "floor";

/// RTP's fixed header and the extensions that our own packets carry: sent in the clear.
const HEADER: usize = 24;
/// GCM's tag.
const TAG: usize = 16;

#[derive(Serialize, Deserialize)]
struct Request {
    receivers: Vec<SocketAddr>,
    gso: bool,
}

/// The parent's side, with receivers that only count.
pub struct Floor {
    server: OwnServer,
    publisher: Camera,
    receivers: Vec<Socket>,
    received: u64,
    longest: usize,
}

impl Floor {
    pub fn start(gso: bool, receivers: Purpose) -> Result<Self> {
        let address = SocketAddr::from((machine::ADDRESS, 0));
        let mut sockets = Vec::new();
        for _ in 0..SUBSCRIBERS {
            sockets.push(Socket::bind_for(address, receivers).doing("a socket")?);
        }
        let addresses = sockets.iter().map(Socket::local_addr).collect();
        let mut server = OwnServer::start(ROLE)?;
        let port: u16 = server.ask(&Request { receivers: addresses, gso })?;
        Ok(Self {
            server,
            publisher: Camera::new()?.to(port),
            receivers: sockets,
            received: 0,
            longest: 0,
        })
    }
}

impl Contender for Floor {
    fn pid(&self) -> u32 {
        self.server.pid()
    }

    fn send(&mut self, count: u32, _: Instant) -> Result<()> {
        self.publisher.send(count)
    }

    fn drive(&mut self, _: Instant) -> Result<()> {
        for socket in &mut self.receivers {
            let mut more = true;
            while more {
                let longest = &mut self.longest;
                let longer = |it: udp::Datagram<'_>| *longest = it.contents.len().max(*longest);
                let received = socket.recv(longer).doing("receiving")?;
                self.received += received.datagrams as u64;
                more = received.more;
            }
        }
        Ok(())
    }

    fn received(&self) -> u64 {
        self.received
    }

    fn longest(&self) -> usize {
        self.longest
    }
}

/// The child: the first request sets it up; then a thread forwards until the process ends.
pub fn serve() -> Result<()> {
    child::serve(|request: Request| {
        let address = SocketAddr::from((machine::ADDRESS, 0));
        let mut socket = Socket::bind(address).doing("a socket")?;
        if !request.gso {
            socket.disable_gso();
        }
        let port = socket.local_addr().port();
        let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| unusable())?;
        let forwarder = Forwarder {
            socket,
            receivers: request.receivers,
            key: LessSafeKey::new(key),
            batch: SendBatch::default(),
            waiting: Vec::new(),
            nonce: 0,
        };
        std::thread::spawn(move || {
            if let Err(fault) = forwarder.run() {
                eprintln!("media-bench: the floor: {fault}");
            }
        });
        Ok(port)
    })
}

fn unusable() -> Fault {
    Fault::Other("AES-GCM cannot be used".into())
}

struct Forwarder {
    socket: Socket,
    receivers: Vec<SocketAddr>,
    key: LessSafeKey,
    batch: SendBatch,
    waiting: Vec<Vec<u8>>,
    nonce: u64,
}

impl Forwarder {
    fn run(mut self) -> Result<()> {
        let mut poll = Poll::new().doing("poll")?;
        let mut events = Events::with_capacity(8);
        poll.registry()
            .register(&mut SourceFd(&self.socket.as_raw_fd()), Token(0), Interest::READABLE)
            .doing("poll")?;
        loop {
            match poll.poll(&mut events, Some(Duration::from_secs(1))) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(error).doing("poll");
                }
                _ => {}
            }
            while self.receive()? > 0 {
                self.forward()?;
            }
        }
    }

    fn receive(&mut self) -> Result<usize> {
        let waiting = &mut self.waiting;
        waiting.clear();
        let received = self.socket.recv(|datagram| waiting.push(datagram.contents.to_vec()));
        Ok(received.doing("receiving")?.datagrams)
    }

    fn forward(&mut self) -> Result<()> {
        for receiver in &self.receivers {
            for packet in &self.waiting {
                // The header as it would be rewritten: longer by the extensions.
                let (header, payload) = packet.split_at_checked(12).unwrap_or_default();
                self.nonce += 1;
                let mut nonce = [0; 12];
                for (byte, value) in nonce.iter_mut().zip(self.nonce.to_be_bytes()) {
                    *byte = value;
                }
                let nonce = Nonce::assume_unique_for_key(nonce);
                let key = &self.key;
                let sealed = self.batch.push_with(*receiver, HEADER + payload.len() + TAG, |out| {
                    seal(key, nonce, header, payload, out)
                });
                sealed.map_err(|error| Fault::Other(format!("the batch: {error}")))??;
            }
        }
        self.socket.send(&mut self.batch).doing("sending").map(drop)
    }
}

fn seal(
    key: &LessSafeKey,
    nonce: Nonce,
    header: &[u8],
    payload: &[u8],
    out: &mut [u8],
) -> Result<()> {
    let (clear, rest) = out.split_at_mut_checked(HEADER).ok_or_else(unusable)?;
    let (text, room) = rest.split_at_mut_checked(payload.len()).ok_or_else(unusable)?;
    for (byte, value) in clear.iter_mut().zip(header) {
        *byte = *value;
    }
    text.copy_from_slice(payload);
    let tag =
        key.seal_in_place_separate_tag(nonce, Aad::from(&*clear), text).map_err(|_| unusable())?;
    if room.len() != TAG {
        return Err(unusable());
    }
    room.copy_from_slice(tag.as_ref());
    Ok(())
}
