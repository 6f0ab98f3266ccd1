//! A camera on plain RTP, or on SRTP.

use std::net::SocketAddr;

use rtp::packet::Header;
use rtp::srtp::Srtp;
use udp::{Purpose, SendBatch, Socket};

use crate::fault::{Doing, Fault, Result};
use crate::{machine, packets};

/// Of all that it sends.
pub const PAYLOAD_TYPE: u8 = 96;

pub struct Camera {
    socket: Socket,
    batch: SendBatch,
    server: SocketAddr,
    srtp: Option<Srtp>,
    sent: u64,
}

impl Camera {
    /// One that nobody looks at yet.
    pub fn new() -> Result<Self> {
        let address = SocketAddr::from((machine::ADDRESS, 0));
        let socket = Socket::bind_for(address, Purpose::One).doing("a socket")?;
        Ok(Self { socket, batch: SendBatch::default(), server: address, srtp: None, sent: 0 })
    }

    /// Sends to this port of a server.
    pub fn to(self, port: u16) -> Self {
        Self { server: SocketAddr::from((machine::ADDRESS, port)), ..self }
    }

    /// Sends SRTP.
    pub fn protected(self, srtp: Srtp) -> Self {
        Self { srtp: Some(srtp), ..self }
    }

    /// Its own address.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// Sends `count` packets as one burst.
    pub fn send(&mut self, count: u32) -> Result<()> {
        for _ in 0..count {
            let header = Header {
                pt: PAYLOAD_TYPE,
                // Wraps, as RTP's numbers do.
                seq: self.sent as u16,
                timestamp: packets::timestamp(self.sent),
                ssrc: 0x1234,
                marker: false,
            };
            let mut packet = header.packet(&packets::payload(self.sent));
            if let Some(srtp) = &mut self.srtp {
                packet = srtp.protect_rtp(&packet)?;
            }
            self.batch
                .push(self.server, &packet)
                .map_err(|error| Fault::Other(format!("a packet cannot be sent: {error}")))?;
            self.sent += 1;
        }
        self.socket.send(&mut self.batch).doing("sending RTP").map(drop)
    }
}
