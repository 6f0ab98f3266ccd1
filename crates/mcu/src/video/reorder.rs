//! Putting one stream's packets back into order, and telling what is lost for good.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rtp::lane::MediaPacket;

/// How long a missing packet is waited for: a retransmission within the country takes as long.
const PATIENCE: Duration = Duration::from_millis(80);

/// Packets that wait at most: a large key frame and what follows it meanwhile.
const MAX_WAITING: usize = 1_024;

#[derive(Default)]
pub(super) struct Reorder {
    waiting: BTreeMap<u64, MediaPacket>,
    next: Option<u64>,
}

pub(super) enum InOrder {
    Packet(MediaPacket),
    /// What stands between the packet before and the next one will not come.
    Lost,
}

impl Reorder {
    pub(super) fn push(&mut self, packet: MediaPacket) {
        if let Some(next) = self.next
            && packet.seq < next
        {
            if next - packet.seq < 1_000 {
                return;
            }
            // A sender that has started anew.
            self.waiting.clear();
            self.next = None;
        }
        self.waiting.insert(packet.seq, packet);
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<InOrder> {
        let (seq, first) = self.waiting.first_key_value()?;
        let next = *self.next.get_or_insert(*seq);
        if *seq != next {
            let waited = now.saturating_duration_since(first.arrival);
            if waited < PATIENCE && self.waiting.len() < MAX_WAITING {
                return None;
            }
            self.next = Some(*seq);
            return Some(InOrder::Lost);
        }
        self.next = Some(next + 1);
        self.waiting.pop_first().map(|(_, packet)| InOrder::Packet(packet))
    }

    /// When what waits is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, first)| first.arrival + PATIENCE)
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(seq: u64, arrival: Instant) -> MediaPacket {
        MediaPacket {
            payload: [].into(),
            seq,
            timestamp: 0,
            marker: false,
            arrival,
            format: 0,
            audio_level: None,
            capture: None,
        }
    }

    fn drain(reorder: &mut Reorder, now: Instant) -> Vec<Option<u64>> {
        std::iter::from_fn(|| reorder.pop(now))
            .map(|popped| match popped {
                InOrder::Packet(packet) => Some(packet.seq),
                InOrder::Lost => None,
            })
            .collect()
    }

    #[test]
    fn a_late_packet_is_put_in_its_place_and_a_lost_one_is_told_in_time() {
        let start = Instant::now();
        let mut reorder = Reorder::default();
        for seq in [5, 6, 8, 9] {
            reorder.push(packet(seq, start));
        }
        assert_eq!(drain(&mut reorder, start), [Some(5), Some(6)]);
        reorder.push(packet(7, start + Duration::from_millis(50)));
        assert_eq!(drain(&mut reorder, start), [Some(7), Some(8), Some(9)]);
        reorder.push(packet(12, start));
        assert_eq!(drain(&mut reorder, start + Duration::from_millis(79)), []);
        assert_eq!(reorder.deadline(), Some(start + PATIENCE));
        assert_eq!(drain(&mut reorder, start + PATIENCE), [None, Some(12)]);
        reorder.push(packet(10, start + PATIENCE));
        assert_eq!(drain(&mut reorder, start + PATIENCE * 2), [], "too late");
    }

    #[test]
    fn a_flood_behind_a_gap_is_bounded() {
        let start = Instant::now();
        let mut reorder = Reorder::default();
        reorder.push(packet(0, start));
        assert_eq!(drain(&mut reorder, start), [Some(0)]);
        for seq in 2..20_000 {
            reorder.push(packet(seq, start));
            drain(&mut reorder, start);
            assert!(reorder.waiting.len() <= MAX_WAITING);
        }
    }
}
