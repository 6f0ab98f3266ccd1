//! Forty people on plain RTP: an open loop, a packet each every 20 ms, whatever comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codec::AudioDecoder;
use rtp::packet::{Header, Packet};
use types::AudioCodec;
use udp::{Purpose, SendBatch, Socket};

use crate::fault::{Doing, Fault, Result};
use crate::{machine, sound};

const PTIME: Duration = Duration::from_millis(20);
/// How often sockets are looked at.
const STEP: Duration = Duration::from_millis(1);

/// Payload types that both servers are told.
pub const fn payload_type(codec: AudioCodec) -> u8 {
    match codec {
        AudioCodec::Opus => 111,
        AudioCodec::G722 => 9,
        AudioCodec::Pcma => 8,
        AudioCodec::Pcmu => 0,
    }
}

#[derive(Default)]
pub struct Load {
    parties: Vec<Party>,
}

struct Party {
    socket: Socket,
    batch: SendBatch,
    server: SocketAddr,
    voice: Arc<Vec<Vec<u8>>>,
    codec: AudioCodec,
    sent: u32,
    /// When the next packet is due; `None` before the first.
    due: Option<Instant>,
    received: u64,
    /// Payloads, in the order in which they came.
    kept: Vec<Vec<u8>>,
    keeps: bool,
}

impl Load {
    /// One more; `join` tells the server the port and gives the server's.
    pub fn join(
        &mut self,
        codec: AudioCodec,
        voice: Arc<Vec<Vec<u8>>>,
        join: impl FnOnce(u16) -> Result<u16>,
    ) -> Result<()> {
        let address = SocketAddr::from((machine::ADDRESS, 0));
        let socket = Socket::bind_for(address, Purpose::One).doing("a socket")?;
        let port = join(socket.local_addr().port())?;
        self.parties.push(Party {
            socket,
            batch: SendBatch::default(),
            server: SocketAddr::from((machine::ADDRESS, port)),
            voice,
            codec,
            sent: 0,
            due: None,
            received: 0,
            kept: Vec::new(),
            keeps: self.parties.is_empty(),
        });
        Ok(())
    }

    /// Sends and receives for so long.
    pub fn run(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        // Phones have no common clock: their packets come evenly spread over the 20 ms.
        let spread = PTIME / self.parties.len().max(1) as u32;
        for (place, party) in self.parties.iter_mut().enumerate() {
            party.due.get_or_insert(start + spread * place as u32);
        }
        loop {
            let now = Instant::now();
            if now >= start + time {
                return Ok(());
            }
            for party in &mut self.parties {
                party.step(now)?;
            }
            std::thread::sleep((now + STEP).saturating_duration_since(Instant::now()));
        }
    }

    /// Counts from now on.
    pub fn begin(&mut self) {
        for party in &mut self.parties {
            party.received = 0;
            party.kept.clear();
        }
    }

    /// Packets that all have received.
    pub fn received(&self) -> u64 {
        self.parties.iter().map(|party| party.received).sum()
    }

    /// How loud the mix is that the first of them hears.
    pub fn heard(&self, codec: AudioCodec) -> Result<f32> {
        let mut decoder = AudioDecoder::new(codec)?;
        let mut samples = Vec::new();
        for payload in self.parties.iter().flat_map(|party| &party.kept) {
            decoder.decode(payload, &mut samples)?;
        }
        Ok(sound::loudness(&samples))
    }
}

impl Party {
    fn step(&mut self, now: Instant) -> Result<()> {
        while let Some(due) = self.due.filter(|due| *due <= now) {
            self.send()?;
            self.due = Some(due + PTIME);
        }
        if !self.batch.is_empty() {
            self.socket.send(&mut self.batch).doing("sending RTP")?;
        }
        let Self { socket, received, kept, keeps, codec, .. } = self;
        socket
            .recv(|datagram| {
                let Ok(packet) = Packet::parse(datagram.contents) else { return };
                if packet.header.pt != payload_type(*codec) || packet.payload.is_empty() {
                    return;
                }
                *received += 1;
                if *keeps {
                    kept.push(packet.payload.to_vec());
                }
            })
            .doing("receiving RTP")?;
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let Some(payload) = self.voice.get(self.sent as usize % self.voice.len().max(1)) else {
            return Ok(());
        };
        let header = Header {
            pt: payload_type(self.codec),
            // Both wrap, as RTP's numbers do.
            seq: self.sent as u16,
            timestamp: self.sent.wrapping_mul(self.codec.clock_rate() / 50),
            ssrc: 0x4000 + u32::from(self.socket.local_addr().port()),
            marker: self.sent == 0,
        };
        self.sent += 1;
        self.batch
            .push(self.server, &header.packet(payload))
            .map_err(|error| Fault::Other(format!("a packet cannot be sent: {error}")))
    }
}
