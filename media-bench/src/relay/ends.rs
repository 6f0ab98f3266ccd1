//! Both ends of all calls: cameras on one side, and those who only count on the other.

use std::net::SocketAddr;
use std::time::Instant;

use rtp::packet::Packet;
use rtp::srtp::Srtp;
use serde::{Deserialize, Serialize};
use udp::{Purpose, Socket};

use super::{CALLS, SUITE};
use crate::camera::Camera;
use crate::fault::{Doing, Fault, Result, missing};
use crate::load::Contender;
use crate::{machine, packets};

/// One packet in so many is looked at.
const LOOKED_AT: u64 = 100;

/// What the server does to a packet.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    Encrypts,
    Decrypts,
}

/// What the server protects with, or what it takes off again: of all calls.
pub fn key_and_salt() -> Vec<u8> {
    (0..SUITE.key_len() + SUITE.salt_len()).map(|at| at as u8).collect()
}

/// One end of a call that receives.
struct Receiver {
    socket: Socket,
    /// How what comes is read, where it is SRTP.
    srtp: Option<Srtp>,
    received: u64,
}

/// The ends of all calls.
pub struct Ends {
    cameras: Vec<Camera>,
    receivers: Vec<Receiver>,
    turn: usize,
    longest: usize,
}

impl Ends {
    /// Ends that are not connected to a server yet.
    pub fn new() -> Result<Self> {
        let address = SocketAddr::from((machine::ADDRESS, 0));
        let receiver = |_| {
            let socket = Socket::bind_for(address, Purpose::One).doing("a socket")?;
            Ok(Receiver { socket, srtp: None, received: 0 })
        };
        Ok(Self {
            cameras: (0..CALLS).map(|_| Camera::new()).collect::<Result<_>>()?,
            receivers: (0..CALLS).map(receiver).collect::<Result<_>>()?,
            turn: 0,
            longest: 0,
        })
    }

    /// Where the two ends of each call are: what sends, and what receives.
    pub fn addresses(&self) -> Vec<[SocketAddr; 2]> {
        let receivers = self.receivers.iter().map(|it| it.socket.local_addr());
        self.cameras.iter().map(Camera::address).zip(receivers).map(<[_; 2]>::from).collect()
    }

    /// The server listens to each call's camera on this port. `keys`: what the server encrypts each
    /// call with, if it does; else the cameras encrypt with [`key_and_salt`].
    pub fn connect(&mut self, ports: &[u16], keys: Option<&[Vec<u8>]>) -> Result<()> {
        let cameras = std::mem::take(&mut self.cameras);
        for (camera, port) in cameras.into_iter().zip(ports) {
            let camera = camera.to(*port);
            self.cameras.push(match keys {
                None => camera.protected(Srtp::new(SUITE, &key_and_salt())?),
                Some(_) => camera,
            });
        }
        for (receiver, key) in self.receivers.iter_mut().zip(keys.unwrap_or_default()) {
            receiver.srtp = Some(Srtp::new(SUITE, key)?);
        }
        Ok(())
    }

    /// The next call's camera sends a burst.
    pub fn send(&mut self, count: u32) -> Result<()> {
        self.turn = (self.turn + 1) % CALLS;
        self.cameras.get_mut(self.turn).ok_or_else(|| missing("a camera"))?.send(count)
    }

    /// Takes what has come, and reads some of it.
    pub fn drive(&mut self) -> Result<()> {
        for Receiver { socket, srtp, received } in &mut self.receivers {
            let mut wrong = None;
            let longest = &mut self.longest;
            while socket
                .recv(|datagram| {
                    // Reports are much shorter.
                    if datagram.contents.len() < packets::PAYLOAD {
                        return;
                    }
                    *longest = datagram.contents.len().max(*longest);
                    if received.is_multiple_of(LOOKED_AT) {
                        wrong = look_at(srtp.as_mut(), datagram.contents).err().or(wrong.take());
                    }
                    *received += 1;
                })
                .doing("receiving")?
                .more
            {}
            if let Some(fault) = wrong {
                return Err(fault);
            }
        }
        Ok(())
    }

    pub fn received(&self) -> u64 {
        self.receivers.iter().map(|it| it.received).sum()
    }

    pub fn longest(&self) -> usize {
        self.longest
    }
}

/// A server between the ends of all calls.
pub trait Relaying {
    fn pid(&self) -> u32;
    fn ends(&self) -> &Ends;
    fn ends_mut(&mut self) -> &mut Ends;
}

impl<T: Relaying> Contender for T {
    fn pid(&self) -> u32 {
        Relaying::pid(self)
    }

    fn send(&mut self, count: u32, _: Instant) -> Result<()> {
        self.ends_mut().send(count)
    }

    fn drive(&mut self, _: Instant) -> Result<()> {
        self.ends_mut().drive()
    }

    fn received(&self) -> u64 {
        self.ends().received()
    }

    fn longest(&self) -> usize {
        self.ends().longest()
    }
}

/// It is one of the packets that were sent.
fn look_at(srtp: Option<&mut Srtp>, datagram: &[u8]) -> Result<()> {
    let packet = match srtp {
        Some(srtp) => srtp.unprotect_rtp(datagram)?,
        None => datagram.to_vec(),
    };
    let payload = Packet::parse(&packet).map(|it| it.payload.to_vec());
    let is_it = payload.is_ok_and(|it| it.len() == packets::PAYLOAD && it.ends_with(&[0x55; 64]));
    if is_it { Ok(()) } else { Err(Fault::Other("a packet came out changed".into())) }
}
