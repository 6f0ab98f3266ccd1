//! RTP that we send: continuous numbers, whoever made the packets.

use std::time::{Duration, Instant};

use rtp::lane::MediaPacket;
use rtp::packet::Header;
use rtp::rtcp::{NtpClock, SenderInfo, SenderStats};

use crate::core::Rewrite;

/// Who has sent within two of our reports' intervals counts as a sender (RFC 3550 section 6.4).
const SENDER_FOR: Duration = Duration::from_secs(6);

/// One source of ours.
#[derive(Debug)]
pub struct Egress {
    pub ssrc: u32,
    seq: u16,
    timestamp: u32,
    clock_rate: u32,
    rewrite: Rewrite,
    pub stats: SenderStats,
    last_sent: Option<Instant>,
    pub sent: u64,
    pub sent_bytes: u64,
    pub unsent: u64,
    pub remote_lost: i32,
}

impl Egress {
    pub fn new(ssrc: u32, seq: u16, timestamp: u32, clock_rate: u32) -> Self {
        Self {
            ssrc,
            seq: seq & 0x7fff,
            timestamp,
            clock_rate,
            rewrite: Rewrite::default(),
            stats: SenderStats::new(clock_rate),
            last_sent: None,
            sent: 0,
            sent_bytes: 0,
            unsent: 0,
            remote_lost: 0,
        }
    }

    /// The next packet is of another run.
    pub fn restart(&mut self) {
        self.rewrite.restart(false);
    }

    /// The next packet is of the same run, after some that did not go out.
    pub fn resume(&mut self) {
        self.rewrite.restart(true);
    }

    /// Another codec is sent from now on.
    pub fn change_codec(&mut self, clock_rate: u32) {
        self.restart();
        if clock_rate != self.clock_rate {
            self.clock_rate = clock_rate;
            self.stats = SenderStats::new(clock_rate);
        }
    }

    /// The RTP packet of a media packet; `None` if it is older than its run.
    pub fn write(&mut self, packet: &MediaPacket, pt: u8, now: Instant) -> Option<Vec<u8>> {
        let numbers = self.rewrite.apply(packet, self.clock_rate, None)?;
        let header = Header {
            pt,
            seq: self.seq.wrapping_add(numbers.seq as u16),
            timestamp: self.timestamp.wrapping_add(numbers.timestamp),
            ssrc: self.ssrc,
            marker: packet.marker,
        };
        let capture = packet.capture.unwrap_or(packet.arrival);
        self.stats.on_packet(header.timestamp, packet.payload.len(), capture);
        self.last_sent = Some(now);
        let packet = header.packet(&packet.payload);
        self.sent += 1;
        self.sent_bytes += packet.len() as u64;
        Some(packet)
    }

    /// What to report of us, if we are a sender.
    pub fn info(&self, clock: &NtpClock, now: Instant) -> Option<SenderInfo> {
        self.last_sent.filter(|at| now.saturating_duration_since(*at) < SENDER_FOR)?;
        self.stats.info(clock, now)
    }
}
