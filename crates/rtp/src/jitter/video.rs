use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::lane::MediaPacket;

/// Packets that wait at most: more than the largest frame has (1 MB of 1200-byte packets).
const MAX_PACKETS: usize = 1024;
/// A number further ahead than this is a new count, not a loss worth waiting for.
const MAX_GAP: u64 = 3000;

/// What comes out of a [`VideoBuffer`], in order.
#[derive(Debug)]
pub enum Ordered {
    /// The next packet.
    Packet(MediaPacket),
    /// These extended sequence numbers did not come in time: ask for a key frame.
    Lost(Range<u64>),
}

/// What a [`VideoBuffer`] has seen since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VideoStats {
    /// Packets that were pushed.
    pub received: u64,
    /// Packets that came after they were given up.
    pub late: u64,
    /// Packets that were there already.
    pub duplicate: u64,
    /// Packets that were given up.
    pub lost: u64,
}

/// Puts the packets of one video source in order; a missing one is waited for, then reported.
///
/// It adds no delay while nothing is missing.
#[derive(Debug)]
pub struct VideoBuffer {
    wait: Duration,
    packets: BTreeMap<u64, MediaPacket>,
    next: Option<u64>,
    stats: VideoStats,
}

impl VideoBuffer {
    /// A buffer that waits for a missing packet until the one after it is `wait` old: the time a
    /// retransmission takes, or that packets overtake each other by.
    #[must_use]
    pub fn new(wait: Duration) -> Self {
        Self { wait, packets: BTreeMap::new(), next: None, stats: VideoStats::default() }
    }

    /// Takes a packet from the network. Its `arrival` starts the wait for those before it.
    pub fn push(&mut self, packet: MediaPacket) {
        self.stats.received += 1;
        let next = *self.next.get_or_insert(packet.seq);
        if packet.seq < next {
            if next - packet.seq <= MAX_GAP {
                self.stats.late += 1;
                return;
            }
            // A count that goes on far behind: its sender began anew.
            self.packets.clear();
            self.next = Some(packet.seq);
        }
        if self.packets.contains_key(&packet.seq) {
            self.stats.duplicate += 1;
            return;
        }
        self.packets.insert(packet.seq, packet);
    }

    /// The next packet or loss, or `None` if there is nothing to do now. Call it until then.
    pub fn pop(&mut self, now: Instant) -> Option<Ordered> {
        let next = self.next?;
        let (&first, packet) = self.packets.first_key_value()?;
        if first > next {
            let over = now.saturating_duration_since(packet.arrival) >= self.wait
                || self.packets.len() >= MAX_PACKETS
                || first - next > MAX_GAP;
            if !over {
                return None;
            }
            self.stats.lost += first - next;
            self.next = Some(first);
            return Some(Ordered::Lost(next..first));
        }
        self.next = Some(first.saturating_add(1));
        self.packets.pop_first().map(|(_, packet)| Ordered::Packet(packet))
    }

    /// When [`Self::pop`] will have something to say without another packet.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.packets.first_key_value().map(|(_, packet)| packet.arrival + self.wait)
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> VideoStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Rng, epoch, packet};

    const WAIT: Duration = Duration::from_millis(60);

    fn at(ms: u64) -> Instant {
        epoch() + Duration::from_millis(ms)
    }

    fn drain(buffer: &mut VideoBuffer, now: Instant) -> (Vec<u64>, Vec<Range<u64>>) {
        let (mut packets, mut losses) = (Vec::new(), Vec::new());
        while let Some(ordered) = buffer.pop(now) {
            match ordered {
                Ordered::Packet(packet) => packets.push(packet.seq),
                Ordered::Lost(range) => losses.push(range),
            }
        }
        (packets, losses)
    }

    #[test]
    fn packets_that_overtake_each_other_are_put_right_without_a_loss() {
        let mut buffer = VideoBuffer::new(WAIT);
        for seq in [10, 12, 13, 11, 12, 9] {
            buffer.push(packet(seq, 0, &[]));
        }
        assert_eq!(drain(&mut buffer, at(0)), (vec![10, 11, 12, 13], vec![]));
        let stats = buffer.stats();
        assert_eq!((stats.received, stats.duplicate, stats.late, stats.lost), (6, 1, 1, 0));
    }

    #[test]
    fn a_missing_packet_is_waited_for_then_reported_once() {
        let mut buffer = VideoBuffer::new(WAIT);
        for seq in [1, 4, 5] {
            buffer.push(packet(seq, 0, &[]));
        }
        assert_eq!(drain(&mut buffer, at(59)), (vec![1], vec![]));
        assert_eq!(buffer.deadline(), Some(at(60)));
        let (packets, losses) = drain(&mut buffer, at(60));
        assert_eq!((packets, losses.len(), losses.first()), (vec![4, 5], 1, Some(&(2..4))));
        buffer.push(packet(2, 0, &[]));
        assert_eq!(drain(&mut buffer, at(61)), (vec![], vec![]));
        assert_eq!((buffer.stats().late, buffer.stats().lost), (1, 2));
    }

    #[test]
    fn a_seeded_mess_comes_out_in_order_and_every_number_is_accounted_for() {
        let mut rng = Rng::new(3);
        let mut buffer = VideoBuffer::new(WAIT);
        let (mut numbers, mut lost) = (Vec::new(), 0);
        let mut schedule = Vec::new();
        for seq in 1..20_000 {
            if rng.below(50) > 0 {
                schedule.push((seq * 2 + rng.below(70), seq));
            }
        }
        schedule.push((0, 0));
        schedule.sort_unstable();
        for (ms, seq) in schedule {
            buffer.push(MediaPacket { arrival: at(ms), ..packet(seq, 0, &[]) });
            let (packets, losses) = drain(&mut buffer, at(ms));
            numbers.extend(packets);
            lost += losses.into_iter().map(|r| r.end - r.start).sum::<u64>();
        }
        let (packets, losses) = drain(&mut buffer, at(100_000));
        numbers.extend(packets);
        lost += losses.into_iter().map(|r| r.end - r.start).sum::<u64>();
        assert!(numbers.is_sorted_by(|a, b| a < b));
        assert_eq!(numbers.len() as u64 + lost, numbers.last().unwrap() + 1);
        assert!((300..600).contains(&lost), "{lost} of 20,000 at a loss of 2%");
    }

    #[test]
    fn a_flood_with_gaps_stays_bounded() {
        let mut buffer = VideoBuffer::new(WAIT);
        for at_once in 0..100_000 {
            buffer.push(packet(at_once * 2, 0, &[]));
            let _ = drain(&mut buffer, at(0));
            assert!(buffer.packets.len() <= MAX_PACKETS);
        }
    }
}
