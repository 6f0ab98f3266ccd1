//! RTCP: what we report, what the peer reports and asks for (RFC 3550 section 6, 4585, 5104).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rtp::rtcp::{BitrateLimit, CompoundBuilder, NtpTime, ReportBlock, Rtcp, SenderInfo};
use types::MediaKind;

use super::stream::Stream;
use super::{Event, LegPort, Shared};
use crate::command::LegPath;
use crate::transport::webrtc::capture::{Report, SenderClock};

/// Seconds from 1900, where NTP begins, to 1970.
const NTP_TO_UNIX: Duration = Duration::from_secs(2_208_988_800);
/// A report that our picture of the peer's clock puts further from now than this shows that the
/// peer's clock was set.
const MAX_CLOCK_ERROR: Duration = Duration::from_secs(5);

/// The first report: soon, so that lip-sync has not long to wait.
pub const FIRST_REPORT: Duration = Duration::from_secs(1);
/// Half of RFC 3550's least interval, as RFC 4585 allows where feedback is agreed.
const INTERVAL_MS: u64 = 2500;
/// Either way, so that legs that began together do not report together.
const JITTER_MS: u64 = 500;
/// Bytes of payload in a packet of a picture, next to which its headers count.
const PACKET: u64 = 1_200;

/// When the next report follows, by who reports and how often it has.
pub fn report_interval(ssrc: u32, count: u32) -> Duration {
    let mixed = (u64::from(ssrc) << 32 | u64::from(count)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let jitter = (mixed >> 33) % (2 * JITTER_MS + 1);
    Duration::from_millis(INTERVAL_MS - JITTER_MS + jitter)
}

/// The peer's wall clock against ours, by the sender reports of both its streams.
#[derive(Debug, Default)]
pub struct PeerClock {
    clock: SenderClock,
    /// How often the peer's clock was set. Reports from before are of no use.
    era: u32,
}

/// The last sender report of a source.
#[derive(Clone, Copy, Debug)]
pub struct PeerReport {
    pub ssrc: u32,
    pub info: SenderInfo,
    pub received: Instant,
    timing: Option<(Report, u32)>,
}

impl PeerClock {
    /// Notes a report that came at `received`.
    pub fn report(&mut self, ssrc: u32, info: SenderInfo, received: Instant) -> PeerReport {
        // Zero: the peer has no wall clock (RFC 3550 section 6.4.1).
        let wall = Some(info.ntp).filter(|ntp| ntp.0 != 0).and_then(wall);
        let timing = wall.map(|wall| {
            let report = self.clock.report(wall, info.timestamp, received);
            let late = self
                .clock
                .capture(report, info.timestamp, 1)
                .map(|made| received.saturating_duration_since(made));
            if late.is_some_and(|late| late < MAX_CLOCK_ERROR) {
                return (report, self.era);
            }
            self.clock = SenderClock::default();
            self.era = self.era.wrapping_add(1);
            (self.clock.report(wall, info.timestamp, received), self.era)
        });
        PeerReport { ssrc, info, received, timing }
    }

    /// When the sample of an RTP timestamp was captured, on our clock.
    pub fn capture(&self, report: &PeerReport, timestamp: u32, clock_rate: u32) -> Option<Instant> {
        let (report, _) = report.timing.filter(|(_, era)| *era == self.era)?;
        self.clock.capture(report, timestamp, clock_rate)
    }
}

fn wall(ntp: NtpTime) -> Option<SystemTime> {
    let nanos = ((ntp.0 & 0xffff_ffff) * 1_000_000_000) >> 32;
    let since_1900 = Duration::from_secs(ntp.0 >> 32) + Duration::from_nanos(nanos);
    UNIX_EPOCH.checked_add(since_1900)?.checked_sub(NTP_TO_UNIX)
}

impl Stream {
    /// Takes the packets of a compound of the peer's.
    pub(super) fn take_reports(&mut self, packets: Vec<Rtcp>, now: Instant, shared: &mut Shared) {
        for packet in packets {
            match packet {
                Rtcp::SenderReport { ssrc, info, reports } => {
                    self.ingress.on_sender_report(ssrc, info, now, &mut shared.peer_clock);
                    self.take_blocks(&reports, now, shared);
                }
                Rtcp::ReceiverReport { reports, .. } => self.take_blocks(&reports, now, shared),
                Rtcp::Bye { sources } => self.ingress.on_bye(&sources),
                Rtcp::Pli { media } | Rtcp::Fir { media, .. } | Rtcp::OldFir { media } => {
                    // Some devices leave the source out; there is but one.
                    if self.kind == MediaKind::Video && [0, self.egress.ssrc].contains(&media) {
                        self.wanted_of_us.ask();
                    }
                }
                Rtcp::Tmmbr { sender, limits } => {
                    let ours = |it: &&BitrateLimit| [0, self.egress.ssrc].contains(&it.ssrc);
                    if let Some(limit) = limits.iter().find(ours) {
                        self.take_limit(sender, *limit, now, shared);
                    }
                }
                Rtcp::Remb { bitrate, sources } => {
                    let ours = sources.is_empty() || sources.contains(&self.egress.ssrc);
                    let [_, limits] = &mut self.said;
                    if ours && self.kind == MediaKind::Video && limits.passes(now) {
                        shared.push(Event::Path(LegPath::AtMost(bitrate)));
                    }
                }
                // We keep no packets to send again, we limit nobody, and names are of no use where
                // there is one peer.
                Rtcp::Nack { .. } | Rtcp::Cname { .. } | Rtcp::Tmmbn { .. } => {}
            }
        }
    }

    fn take_blocks(&mut self, blocks: &[ReportBlock], now: Instant, shared: &mut Shared) {
        for block in blocks.iter().filter(|block| block.ssrc == self.egress.ssrc) {
            self.egress.stats.on_report(block, &shared.ntp, now);
            self.egress.remote_lost = block.lost;
            let [losses, _] = &mut self.said;
            if self.kind == MediaKind::Video && losses.passes(now) {
                let lost = f32::from(block.fraction_lost) / 256.0;
                shared.push(Event::Path(LegPath::Loss(lost)));
            }
        }
    }

    /// Takes a limit of the peer's, and tells it so: until then it asks again (RFC 5104 section
    /// 3.5.4).
    fn take_limit(&mut self, sender: u32, limit: BitrateLimit, now: Instant, shared: &mut Shared) {
        let [_, limits] = &mut self.said;
        if self.kind != MediaKind::Video || !limits.passes(now) {
            return;
        }
        let whole = PACKET + u64::from(limit.overhead);
        let payload = u128::from(limit.bitrate) * u128::from(PACKET) / u128::from(whole);
        let payload = u64::try_from(payload).unwrap_or(u64::MAX);
        shared.push(Event::Path(LegPath::AtMost(payload)));
        let bound = BitrateLimit { ssrc: sender, ..limit };
        self.report(now, shared, |compound| compound.tmmbn(&[bound]));
    }

    /// Sends a compound: our report, and what `finish` puts after it.
    pub(super) fn report(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        finish: impl FnOnce(CompoundBuilder) -> CompoundBuilder,
    ) {
        let Some((port, destination)) = self.rtcp_path() else { return };
        let block = self.ingress.report_block(now);
        let info = self.egress.info(&shared.ntp, now);
        let builder = CompoundBuilder::new(self.egress.ssrc, info, block.as_slice(), &shared.cname);
        let plain = finish(builder).finish();
        match self.ciphers.protect_rtcp(plain) {
            Ok(contents) => {
                shared.push(Event::Transmit(port, destination, contents));
            }
            Err(error) => tracing::debug!(%error, "a report cannot be sent"),
        }
    }

    /// Sends the report that is due, and says when the next one is.
    pub(super) fn report_if_due(&mut self, now: Instant, shared: &mut Shared) {
        if self.next_report > now || !self.is_agreed() {
            return;
        }
        self.report(now, shared, |compound| compound);
        self.next_report = now + report_interval(self.egress.ssrc, self.reported);
        self.reported = self.reported.wrapping_add(1);
    }

    /// Ends our source.
    pub(super) fn say_goodbye(&mut self, now: Instant, shared: &mut Shared) {
        self.report(now, shared, CompoundBuilder::bye);
    }

    /// Asks the peer for a key frame by every way that it understands: of those that claim both,
    /// some obey but one, and none answers one request twice within a round trip.
    pub(super) fn ask_for_key_frame(&mut self, now: Instant, shared: &mut Shared) {
        let feedback = self.agreed().map(|it| (it.pli, it.fir)).filter(|_| !self.by_signalling());
        let (Some((pli, fir)), Some(media)) = (feedback, self.ingress.ssrc()) else {
            shared.push(Event::KeyFrameBySignalling);
            return;
        };
        if fir {
            self.fir_seq = self.fir_seq.wrapping_add(1);
        }
        let seq = self.fir_seq;
        self.report(now, shared, |compound| {
            let compound = if pli { compound.pli(media) } else { compound };
            if fir { compound.fir(media, seq) } else { compound }
        });
    }

    /// Our port and the peer's address for RTCP.
    pub(super) fn rtcp_path(&self) -> Option<(LegPort, std::net::SocketAddr)> {
        if !self.is_open() {
            return None;
        }
        if self.agreed()?.rtcp_mux {
            Some((LegPort::rtp(self.kind), self.rtp.destination()?))
        } else {
            Some((LegPort::rtcp(self.kind), self.rtcp.destination()?))
        }
    }
}
