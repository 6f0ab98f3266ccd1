//! The sequence numbers that a peer's packets go on under.

use std::collections::VecDeque;

/// Shifts that late packets are still numbered by. A press of a key makes some tens.
const MAX_SHIFTS: usize = 64;

/// Maps a peer's extended sequence numbers onto one run: goes on over a change of source, makes
/// room for what is put in and closes up where something is taken out. Losses stay gaps, and late
/// packets get the number that was left for them.
#[derive(Debug)]
pub struct Numbering {
    /// In the order of their beginnings.
    shifts: VecDeque<Shift>,
    /// One above the highest number given.
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Shift {
    /// First number of the peer's that it is for.
    from: u64,
    /// Ours minus the peer's.
    offset: i64,
}

impl Default for Numbering {
    fn default() -> Self {
        Self { shifts: VecDeque::from([Shift { from: 0, offset: 0 }]), next: 0 }
    }
}

impl Numbering {
    /// Another source begins with its number `first`.
    pub fn begin(&mut self, first: u64) {
        if self.next > 0 {
            let offset = self.next.wrapping_sub(first) as i64;
            self.shifts = VecDeque::from([Shift { from: first, offset }]);
        }
    }

    /// Our number of a packet; `None` if there is no room for it any more.
    pub fn number(&mut self, seq: u64) -> Option<u64> {
        let number = seq.checked_add_signed(self.offset(seq)?)?;
        self.next = self.next.max(number + 1);
        Some(number)
    }

    /// Takes out the packet `seq`, above which none came yet.
    pub fn skip(&mut self, seq: u64) {
        if let Some(offset) = self.offset(seq) {
            self.shift(seq + 1, offset - 1);
        }
    }

    /// Makes room for `count` packets before `seq`, which nothing came from on yet: the first
    /// one's number.
    pub fn insert(&mut self, seq: u64, count: usize) -> Option<u64> {
        let offset = self.offset(seq)?;
        self.shift(seq, offset + count as i64);
        seq.checked_add_signed(offset)
    }

    fn offset(&self, seq: u64) -> Option<i64> {
        self.shifts.iter().rev().find(|it| it.from <= seq).map(|it| it.offset)
    }

    fn shift(&mut self, from: u64, offset: i64) {
        if self.shifts.len() >= MAX_SHIFTS {
            self.shifts.pop_front();
        }
        self.shifts.push_back(Shift { from, offset });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_and_taken_out_leaves_late_packets_their_place() {
        let mut numbering = Numbering::default();
        assert_eq!(numbering.number(100), Some(100));
        // 101 is late, two sets go before 102, 103 is a tone.
        assert_eq!(numbering.insert(102, 2), Some(102));
        assert_eq!(numbering.number(102), Some(104));
        assert_eq!(numbering.number(101), Some(101));
        numbering.skip(103);
        assert_eq!(numbering.number(104), Some(105));
        // 105 is lost.
        assert_eq!(numbering.number(106), Some(107));
        numbering.begin(70_000);
        assert_eq!(numbering.number(70_000), Some(108));
        assert_eq!(numbering.number(69_999), None, "before the beginning there is no room");
    }
}
