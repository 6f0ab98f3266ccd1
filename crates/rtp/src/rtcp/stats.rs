use std::time::{Duration, Instant};

use super::{NtpClock, NtpTime, ReportBlock, SenderInfo};

/// What we know of a source that we receive (RFC 3550 appendices A.3 and A.8).
#[derive(Debug)]
pub struct ReceiverStats {
    ssrc: u32,
    clock_rate: u32,
    first: Option<u64>,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// Transit of the last packet, in ticks, modulo 2³².
    transit: Option<u32>,
    /// Sixteen times the jitter, in ticks.
    jitter: u32,
    origin: Option<Instant>,
    last_sr: Option<(NtpTime, Instant)>,
}

impl ReceiverStats {
    /// Statistics of the source `ssrc`, whose clock has `clock_rate` Hz.
    #[must_use]
    pub const fn new(ssrc: u32, clock_rate: u32) -> Self {
        Self {
            ssrc,
            clock_rate,
            first: None,
            highest: 0,
            received: 0,
            expected_before: 0,
            received_before: 0,
            transit: None,
            jitter: 0,
            origin: None,
            last_sr: None,
        }
    }

    /// A packet came, with its extended sequence number.
    pub fn on_packet(&mut self, seq: u64, timestamp: u32, arrival: Instant) {
        self.first.get_or_insert(seq);
        self.highest = self.highest.max(seq);
        self.received += 1;
        let origin = *self.origin.get_or_insert(arrival);
        let elapsed = arrival.saturating_duration_since(origin).as_micros();
        let ticks = (elapsed * u128::from(self.clock_rate) / 1_000_000) as u32;
        let transit = ticks.wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let step = (transit.wrapping_sub(last) as i32).unsigned_abs();
            let faded = self.jitter - ((self.jitter + 8) >> 4).min(self.jitter);
            // A jump of the sender's count is no jitter, and must not overflow.
            self.jitter = faded.saturating_add(step).min(u32::MAX - 8);
        }
    }

    /// A sender report of this source came.
    pub fn on_sender_report(&mut self, info: &SenderInfo, now: Instant) {
        self.last_sr = Some((info.ntp, now));
    }

    /// Interarrival jitter (RFC 3550 section 6.4.1).
    #[must_use]
    pub fn jitter(&self) -> Duration {
        let ticks = u64::from(self.jitter >> 4);
        Duration::from_micros(ticks * 1_000_000 / u64::from(self.clock_rate.max(1)))
    }

    /// The block for the next report. The fraction lost covers what came since the last call.
    pub fn report(&mut self, now: Instant) -> ReportBlock {
        let expected = self
            .first
            .map_or(0, |first| (self.highest - first.min(self.highest)).saturating_add(1));
        let lost = (expected as i64).saturating_sub(self.received as i64);
        let span = expected.saturating_sub(self.expected_before);
        let got = self.received - self.received_before;
        (self.expected_before, self.received_before) = (expected, self.received);
        // Duplicates never make up for a loss, and 255 stands for all.
        let fraction = (span.saturating_sub(got).min(u64::MAX >> 8) << 8).checked_div(span);
        let (last_sr, delay) = self.last_sr.map_or((0, 0), |(ntp, at)| {
            let delay = now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000;
            (ntp.middle(), u32::try_from(delay).unwrap_or(u32::MAX))
        });
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction.unwrap_or(0).min(255) as u8,
            lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_seq: self.highest as u32,
            jitter: self.jitter >> 4,
            last_sr,
            delay_since_sr: delay,
        }
    }
}

/// What we have sent as one source, and what its receiver told.
#[derive(Debug)]
pub struct SenderStats {
    clock_rate: u32,
    packets: u32,
    bytes: u32,
    last: Option<(u32, Instant)>,
    rtt: Option<Duration>,
    fraction_lost: u8,
}

impl SenderStats {
    /// Statistics of a source whose clock has `clock_rate` Hz.
    #[must_use]
    pub const fn new(clock_rate: u32) -> Self {
        Self { clock_rate, packets: 0, bytes: 0, last: None, rtt: None, fraction_lost: 0 }
    }

    /// A packet was sent, whose content was captured at `capture`: it ties RTP time to ours.
    pub fn on_packet(&mut self, timestamp: u32, payload_len: usize, capture: Instant) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(payload_len as u32);
        self.last = Some((timestamp, capture));
    }

    /// What to report at `now`; `None` before the first packet.
    #[must_use]
    pub fn info(&self, clock: &NtpClock, now: Instant) -> Option<SenderInfo> {
        let (timestamp, capture) = self.last?;
        let ticks =
            |span: Duration| (span.as_micros() * u128::from(self.clock_rate) / 1_000_000) as u32;
        let timestamp = timestamp
            .wrapping_add(ticks(now.saturating_duration_since(capture)))
            .wrapping_sub(ticks(capture.saturating_duration_since(now)));
        Some(SenderInfo {
            ntp: clock.ntp(now),
            timestamp,
            packets: self.packets,
            bytes: self.bytes,
        })
    }

    /// The receiver's report about us came (RFC 3550 section 6.4.1).
    pub fn on_report(&mut self, block: &ReportBlock, clock: &NtpClock, now: Instant) {
        self.fraction_lost = block.fraction_lost;
        if block.last_sr == 0 {
            return;
        }
        let elapsed = clock.ntp(now).middle().wrapping_sub(block.last_sr);
        // A negative round trip is a lie or a clock that runs fast: it is as good as none.
        let rtt = (elapsed.wrapping_sub(block.delay_since_sr) as i32).max(0);
        self.rtt = Some(Duration::from_micros(rtt.unsigned_abs() as u64 * 1_000_000 / 65_536));
    }

    /// The last round trip that was measured.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Share of packets that the receiver lost lately, 0..1.
    #[must_use]
    pub fn loss(&self) -> f32 {
        f32::from(self.fraction_lost) / 256.0
    }
}
