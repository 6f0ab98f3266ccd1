//! RTP that the peer sends: one source at a time, whose packets go on under numbers of ours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtp::lane::MediaPacket;
use rtp::packet::{Header, Packet};
use rtp::payload::audio::{Tone, ToneReader};
use rtp::rtcp::{ReceiverStats, ReportBlock, SenderInfo};
use rtp::seq::SeqUnwrapper;
use types::{Codec, MediaKind, VideoCodec};

use super::numbering::Numbering;
use super::pictures::Pictures;
use super::reports::{PeerClock, PeerReport};
use super::{Event, Shared};

/// A jump of sequence numbers ahead that is still taken for a loss (RFC 3550 appendix A.1).
const MAX_DROPOUT: i16 = 3000;
/// The same for a step back that is taken for a late packet.
const MAX_MISORDER: i16 = 100;
/// So long packets of a source that another has replaced are taken for late ones.
const FORMER_FOR: Duration = Duration::from_millis(500);
/// A report that puts a packet's capture further from its arrival than this is wrong.
const MAX_CAPTURE_GAP: Duration = Duration::from_secs(10);
/// A picture's clock that goes further ahead or back of ours than this, from one packet to the next,
/// has been set: an encoder began anew. More than any order of B-frames makes.
const MAX_CLOCK_JUMP: Duration = Duration::from_secs(2);
/// The level of H.264 that browsers say they take: 3.1, as in `42e01f`.
const BROWSERS_LEVEL: u8 = 31;
/// Bytes of RTP's fixed header.
const RTP_HEADER: usize = 12;
/// Ticks a second of the tones that we give on.
const TONE_CLOCK: u64 = 8000;

/// What a payload type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Sound or picture.
    Media(Codec),
    /// Telephone-events of this clock, Hz.
    Tone(u32),
}

/// What came of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// A key frame begins in it.
    pub key: bool,
    /// It is of another source than the one before it: what was received is of no more use.
    pub replaced: bool,
}

/// Why a valid packet was not given on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Much too late, or of a source given up.
    Unwanted,
    /// Too much waits already.
    Overflow,
}

/// All that the peer sent on one stream.
#[derive(Debug)]
pub struct Ingress {
    kind: MediaKind,
    source: Option<Source>,
    /// The source before it, and until when its packets may still come.
    former: Option<(u32, Instant)>,
    numbering: Numbering,
    report: Option<PeerReport>,
    tones: ToneReader,
    pub pictures: Pictures,
    received: u64,
    received_bytes: u64,
    lost_before: i64,
}

/// One SSRC of the peer.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    clock_rate: u32,
    seq: SeqUnwrapper,
    first: u64,
    highest: u64,
    received: u64,
    stats: ReceiverStats,
    /// The number by which a jump turns out to be a new beginning.
    restart_at: Option<u16>,
    /// Timestamp and arrival of the newest packet.
    newest: Option<(u32, Instant)>,
}

impl Source {
    /// Notes the newest packet's time; whether its clock was set since the one before it.
    fn is_set_anew(&mut self, timestamp: u32, now: Instant) -> bool {
        let Some((before, at)) = self.newest.replace((timestamp, now)) else { return false };
        let ticks = f64::from(timestamp.wrapping_sub(before) as i32);
        let passed = now.saturating_duration_since(at).as_secs_f64();
        (ticks / f64::from(self.clock_rate) - passed).abs() > MAX_CLOCK_JUMP.as_secs_f64()
    }

    fn lost(&self) -> i64 {
        (self.highest - self.first + 1) as i64 - self.received as i64
    }
}

impl Ingress {
    pub fn new(kind: MediaKind) -> Self {
        Self {
            kind,
            source: None,
            former: None,
            numbering: Numbering::default(),
            report: None,
            tones: ToneReader::new(),
            pictures: Pictures::new(BROWSERS_LEVEL),
            received: 0,
            received_bytes: 0,
            lost_before: 0,
        }
    }

    /// Takes a packet that is the peer's and in order.
    pub fn take(
        &mut self,
        packet: &Packet<'_>,
        format: Format,
        now: Instant,
        shared: &mut Shared,
    ) -> Result<Taken, Refusal> {
        let header = packet.header;
        let mut replaced = self.choose_source(&header, format, now)?;
        let Some(source) = &mut self.source else { return Err(Refusal::Unwanted) };
        let seq = source.seq.unwrap(header.seq);
        let newest = source.received == 0 || seq > source.highest;
        if source.received == 0 {
            source.first = seq;
            self.numbering.begin(seq);
        }
        source.highest = source.highest.max(seq);
        source.received += 1;
        source.stats.on_packet(seq, header.timestamp, now);
        // Sound is played by its jitter buffer, which sees that for itself.
        if self.kind == MediaKind::Video && newest && source.is_set_anew(header.timestamp, now) {
            replaced = true;
            // It tells the time of the clock as it was.
            self.report = None;
        }
        self.received += 1;
        self.received_bytes += (RTP_HEADER + packet.payload.len()) as u64;
        if replaced {
            shared.push(Event::BeginsAnew(self.kind));
        }
        let codec = match format {
            Format::Media(codec) if !packet.payload.is_empty() => codec,
            // Neither is a part of the sound or picture, and must not look like a loss in it.
            Format::Media(_) | Format::Tone(_) => {
                if newest {
                    self.numbering.skip(seq);
                }
                if let Format::Tone(clock) = format {
                    self.read_tone(packet, clock, shared);
                }
                return Ok(Taken { key: false, replaced });
            }
        };
        let media = MediaPacket {
            payload: Arc::from(packet.payload),
            seq,
            timestamp: header.timestamp,
            marker: header.marker,
            arrival: now,
            format: codec.number(),
            audio_level: None,
            capture: self.capture(&header, codec, now, &shared.peer_clock),
        };
        let key = self.give_on(media, codec, newest, shared)?;
        Ok(Taken { key, replaced })
    }

    /// When the newest packet came.
    pub fn newest(&self) -> Option<Instant> {
        self.source.as_ref()?.newest.map(|(_, at)| at)
    }

    /// The SSRC that a key frame is to be asked of.
    pub fn ssrc(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Of the source that sends now.
    pub fn jitter(&self) -> Duration {
        self.source.as_ref().map_or(Duration::ZERO, |it| it.stats.jitter())
    }

    pub fn lost(&self) -> i64 {
        self.lost_before + self.source.as_ref().map_or(0, Source::lost)
    }

    /// What to report of the peer's source.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        self.source.as_mut().map(|source| source.stats.report(now))
    }

    /// A sender report came. One of a source that does not send here is of no use.
    pub fn on_sender_report(
        &mut self,
        ssrc: u32,
        info: SenderInfo,
        now: Instant,
        clock: &mut PeerClock,
    ) {
        match &mut self.source {
            Some(source) if source.ssrc == ssrc => source.stats.on_sender_report(&info, now),
            Some(_) => return,
            None => {}
        }
        self.report = Some(clock.report(ssrc, info, now));
    }

    /// These sources of the peer ended.
    pub fn on_bye(&mut self, sources: &[u32]) {
        if let Some(source) = self.source.take_if(|it| sources.contains(&it.ssrc)) {
            self.lost_before += source.lost();
        }
    }

    /// Lets `source` be that of the packet, new if it has to be. Whether it replaced another.
    fn choose_source(
        &mut self,
        header: &Header,
        format: Format,
        now: Instant,
    ) -> Result<bool, Refusal> {
        let clock_rate = match (format, &self.source) {
            (Format::Media(codec), _) => codec.clock_rate(),
            (Format::Tone(_), Some(source)) => source.clock_rate,
            (Format::Tone(clock), None) => clock,
        };
        if let Some(source) = &mut self.source
            && source.ssrc == header.ssrc
            && source.clock_rate == clock_rate
        {
            let step = header.seq.wrapping_sub(source.highest as u16) as i16;
            if (-MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
                source.restart_at = None;
                return Ok(false);
            }
            if source.restart_at != Some(header.seq) {
                source.restart_at = Some(header.seq.wrapping_add(1));
                return Err(Refusal::Unwanted);
            }
        } else if self.former.is_some_and(|(ssrc, until)| ssrc == header.ssrc && now < until) {
            return Err(Refusal::Unwanted);
        }
        let replaced = self.source.take();
        if let Some(source) = &replaced {
            self.lost_before += source.lost();
            if source.ssrc == header.ssrc {
                // It counts anew: its report is of the old count.
                self.report = None;
            } else {
                self.former = Some((source.ssrc, now + FORMER_FOR));
            }
        }
        let mut stats = ReceiverStats::new(header.ssrc, clock_rate);
        self.report = self.report.filter(|report| report.ssrc == header.ssrc);
        if let Some(report) = &self.report {
            stats.on_sender_report(&report.info, report.received);
        }
        self.source = Some(Source {
            ssrc: header.ssrc,
            clock_rate,
            seq: SeqUnwrapper::new(),
            first: 0,
            highest: 0,
            received: 0,
            stats,
            restart_at: None,
            newest: None,
        });
        Ok(replaced.is_some())
    }

    fn read_tone(&mut self, packet: &Packet<'_>, clock: u32, shared: &mut Shared) {
        for tone in self.tones.push(packet.header.timestamp, packet.payload).into_iter().flatten() {
            let duration = u64::from(tone.duration) * TONE_CLOCK / u64::from(clock.max(1));
            let duration = u16::try_from(duration).unwrap_or(u16::MAX);
            shared.push(Event::Tone(Tone { duration, ..tone }));
        }
    }

    fn capture(
        &self,
        header: &Header,
        codec: Codec,
        now: Instant,
        clock: &PeerClock,
    ) -> Option<Instant> {
        let report = self.report.as_ref().filter(|report| report.ssrc == header.ssrc)?;
        let at = clock.capture(report, header.timestamp, codec.clock_rate())?;
        let gap = at.saturating_duration_since(now).max(now.saturating_duration_since(at));
        (gap < MAX_CAPTURE_GAP).then_some(at)
    }

    /// Numbers a packet, whose `seq` is still the peer's, and puts it out, missing parameter sets
    /// before it. Whether a key frame begins in it.
    fn give_on(
        &mut self,
        media: MediaPacket,
        codec: Codec,
        newest: bool,
        shared: &mut Shared,
    ) -> Result<bool, Refusal> {
        let look = match codec {
            Codec::Video(codec) if newest => self.pictures.look(&media, codec),
            _ => super::pictures::Look::default(),
        };
        if let Some(yes) = look.verdict {
            shared.push(Event::Forwardable(yes));
        }
        if look.bare && codec == Codec::Video(VideoCodec::H264) {
            let count = self.pictures.sets().count();
            let first = self.numbering.insert(media.seq, count).ok_or(Refusal::Unwanted)?;
            for (seq, set) in (first..).zip(self.pictures.sets()) {
                let set =
                    MediaPacket { payload: Arc::from(set), seq, marker: false, ..media.clone() };
                if !shared.push(Event::Packet(self.kind, set, codec)) {
                    return Err(Refusal::Overflow);
                }
            }
        }
        let seq = self.numbering.number(media.seq).ok_or(Refusal::Unwanted)?;
        let fits = shared.push(Event::Packet(self.kind, MediaPacket { seq, ..media }, codec));
        if fits { Ok(look.key) } else { Err(Refusal::Overflow) }
    }
}
