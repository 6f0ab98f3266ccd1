//! Continuous numbers for a receiver, whatever is switched, paused or muted before it.

use std::time::Instant;

use rtp::lane::MediaPacket;

/// No stream begins nearer to timestamp 0 than this: 23 minutes at 48 kHz.
///
/// str0m reports a stream before its first packet too, and says timestamp 0 then. libwebrtc takes a
/// later report for the same timeline if it is up to 2^25 ticks ahead, and skews its lip-sync by up to
/// half a second until the false report is forgotten, after 20 s; of reports that are further away
/// it lets the third begin anew.
const NEAR_ZERO: u32 = 1 << 26;
/// What is added then.
const AWAY: u32 = 1 << 30;

/// Maps one source layer after the other onto one outgoing stream: sequence numbers without gaps
/// but for real losses, timestamps and VP8 picture ids that go on (RFC 3550 section 5.1, RFC 7741
/// section 4.2).
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    segment: Option<Segment>,
    /// The next outgoing sequence number if nothing is lost.
    next_seq: u64,
    last: Option<Last>,
    vp8: Vp8Ids,
}

/// A run of packets of one layer with constant offsets.
#[derive(Clone, Copy, Debug)]
struct Segment {
    first_seq: u64,
    highest_seq: u64,
    /// Outgoing minus incoming.
    seq_offset: i64,
    timestamp_offset: u32,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    timestamp: u32,
    arrival: Instant,
}

/// The numbers that a packet goes out under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// VP8 picture id and TL0PICIDX, where the payload has them and they change.
    pub vp8: Option<Vp8Numbers>,
}

/// VP8 payload descriptor fields to be written over the payload's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8Numbers {
    /// 15 bits.
    pub picture_id: u16,
    /// TL0PICIDX.
    pub tl0_pic_idx: Option<u8>,
}

impl Rewrite {
    /// The next packet starts a new run: of another layer (`same_clock` false) or of the same one
    /// after a deliberate pause.
    pub fn restart(&mut self, same_clock: bool) {
        if let Some(segment) = self.segment.take()
            && same_clock
        {
            self.vp8.keep_clock = Some(segment.timestamp_offset);
        } else {
            self.vp8.keep_clock = None;
        }
        self.vp8.rebase = !same_clock;
    }

    /// The numbers for `packet`, or `None` if it belongs before the run and comes too late.
    /// `vp8` are the payload's own picture id (15 bits) and TL0PICIDX.
    pub fn apply(
        &mut self,
        packet: &MediaPacket,
        clock_rate: u32,
        vp8: Option<(u16, Option<u8>)>,
    ) -> Option<Numbers> {
        let segment = match self.segment {
            Some(segment) => segment,
            None => self.start(packet, clock_rate, vp8),
        };
        if packet.seq < segment.first_seq {
            return None;
        }
        let seq = packet.seq.checked_add_signed(segment.seq_offset)?;
        let timestamp = packet.timestamp.wrapping_add(segment.timestamp_offset);
        if packet.seq >= segment.highest_seq {
            self.segment = Some(Segment { highest_seq: packet.seq, ..segment });
            self.next_seq = seq + 1;
            self.last = Some(Last { timestamp, arrival: packet.arrival });
        }
        Some(Numbers { seq, timestamp, vp8: self.vp8.apply(vp8) })
    }

    /// A packet that only filled the publisher's bandwidth was left out: closes the gap, so that
    /// the receiver does not take it for a loss.
    pub fn skip(&mut self, seq: u64) {
        if let Some(segment) = &mut self.segment
            && seq == segment.highest_seq + 1
        {
            segment.highest_seq = seq;
            segment.seq_offset -= 1;
        }
    }

    fn start(
        &mut self,
        packet: &MediaPacket,
        clock_rate: u32,
        vp8: Option<(u16, Option<u8>)>,
    ) -> Segment {
        let timestamp_offset = match (self.vp8.keep_clock.take(), self.last) {
            (Some(offset), _) => offset,
            (None, None) if packet.timestamp.wrapping_add(NEAR_ZERO) < 2 * NEAR_ZERO => AWAY,
            (None, None) => 0,
            (None, Some(last)) => {
                // Another layer counts from another origin: what has passed on the wall has
                // passed in the stream, and at least one tick.
                let passed = packet.arrival.saturating_duration_since(last.arrival);
                let ticks = (passed.as_secs_f64() * f64::from(clock_rate)) as u32;
                last.timestamp.wrapping_add(ticks.max(1)).wrapping_sub(packet.timestamp)
            }
        };
        self.vp8.start(vp8);
        let segment = Segment {
            first_seq: packet.seq,
            highest_seq: packet.seq,
            seq_offset: self.next_seq.wrapping_sub(packet.seq) as i64,
            timestamp_offset,
        };
        self.segment = Some(segment);
        segment
    }
}

/// Picture ids that go on over switches.
#[derive(Clone, Debug, Default)]
struct Vp8Ids {
    keep_clock: Option<u32>,
    rebase: bool,
    picture_offset: u16,
    tl0_offset: u8,
    last: Option<(u16, u8)>,
}

const PICTURE_ID_MASK: u16 = 0x7fff;

impl Vp8Ids {
    fn start(&mut self, ids: Option<(u16, Option<u8>)>) {
        if !std::mem::take(&mut self.rebase) {
            return;
        }
        if let (Some((picture, tl0)), Some((last_picture, last_tl0))) = (ids, self.last) {
            self.picture_offset =
                last_picture.wrapping_add(1).wrapping_sub(picture) & PICTURE_ID_MASK;
            self.tl0_offset = last_tl0.wrapping_add(1).wrapping_sub(tl0.unwrap_or_default());
        }
    }

    fn apply(&mut self, ids: Option<(u16, Option<u8>)>) -> Option<Vp8Numbers> {
        let (picture, tl0) = ids?;
        let picture_id = picture.wrapping_add(self.picture_offset) & PICTURE_ID_MASK;
        let tl0_pic_idx = tl0.map(|tl0| tl0.wrapping_add(self.tl0_offset));
        self.last = Some((picture_id, tl0_pic_idx.unwrap_or_default()));
        let changed = self.picture_offset != 0 || self.tl0_offset != 0;
        changed.then_some(Vp8Numbers { picture_id, tl0_pic_idx })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    /// Where a source's timestamps begin that is far from 0.
    const ORIGIN: u32 = 500_000_000;

    #[test]
    fn no_stream_begins_near_timestamp_0_which_reports_before_it_say() {
        let start = Instant::now();
        let first = |timestamp| {
            let packet = packet(start, 0, 1, timestamp);
            Rewrite::default().apply(&packet, 90_000, None).unwrap().timestamp
        };
        for timestamp in [0, 1, 250_000, (1 << 26) - 1, u32::MAX, u32::MAX - 90_000] {
            assert_eq!(first(timestamp), timestamp.wrapping_add(1 << 30));
        }
        assert_eq!(
            [1 << 26, 1 << 31, u32::MAX - (1 << 26)].map(first),
            [1 << 26, 1 << 31, u32::MAX - (1 << 26)]
        );
    }

    fn packet(start: Instant, ms: u64, seq: u64, timestamp: u32) -> MediaPacket {
        MediaPacket {
            payload: Arc::from([1u8].as_slice()),
            seq,
            timestamp,
            marker: false,
            arrival: start + Duration::from_millis(ms),
            format: 0,
            audio_level: None,
            capture: None,
        }
    }

    #[test]
    fn losses_stay_gaps_and_late_packets_keep_their_place() {
        let start = Instant::now();
        let mut rewrite = Rewrite::default();
        let mut seq = |n| rewrite.apply(&packet(start, 0, n, 7), 90_000, None).map(|n| n.seq);
        assert_eq!(seq(70_000), Some(0));
        assert_eq!(seq(70_003), Some(3));
        assert_eq!(seq(70_001), Some(1));
        assert_eq!(seq(69_999), None);
        assert_eq!(seq(70_004), Some(4));
    }

    #[test]
    fn a_switch_of_layers_goes_on_in_sequence_time_and_picture_id() {
        let start = Instant::now();
        let mut rewrite = Rewrite::default();
        let ids = |picture, tl0| Some((picture, Some(tl0)));
        let first = rewrite.apply(&packet(start, 0, 10, ORIGIN), 90_000, ids(0x7fff, 9)).unwrap();
        assert_eq!((first.seq, first.timestamp, first.vp8), (0, ORIGIN, None));
        rewrite.restart(false);
        let next = rewrite.apply(&packet(start, 40, 900, 77), 90_000, ids(5, 200)).unwrap();
        assert_eq!((next.seq, next.timestamp), (1, ORIGIN + 3600));
        assert_eq!(next.vp8, Some(Vp8Numbers { picture_id: 0, tl0_pic_idx: Some(10) }));
        let then = rewrite.apply(&packet(start, 80, 901, 77 + 3600), 90_000, ids(6, 201)).unwrap();
        assert_eq!((then.seq, then.timestamp), (2, ORIGIN + 7200));
        assert_eq!(then.vp8, Some(Vp8Numbers { picture_id: 1, tl0_pic_idx: Some(11) }));
    }

    #[test]
    fn a_pause_leaves_no_gap_in_sequence_but_its_length_in_time() {
        let start = Instant::now();
        let mut rewrite = Rewrite::default();
        rewrite.apply(&packet(start, 0, 10, ORIGIN), 48_000, None).unwrap();
        rewrite.restart(true);
        let next = rewrite.apply(&packet(start, 2000, 110, ORIGIN + 96_000), 48_000, None).unwrap();
        assert_eq!((next.seq, next.timestamp), (1, ORIGIN + 96_000));
    }

    #[test]
    fn padding_that_is_left_out_is_no_loss() {
        let start = Instant::now();
        let mut rewrite = Rewrite::default();
        rewrite.apply(&packet(start, 0, 10, 1), 90_000, None).unwrap();
        rewrite.skip(11);
        let next = rewrite.apply(&packet(start, 1, 12, 1), 90_000, None).unwrap();
        assert_eq!(next.seq, 1);
    }
}
