//! Sequence numbers that do not wrap.

/// Extends 16-bit sequence numbers to 64 bits. One for each SSRC.
///
/// A number is taken as the nearest to the last: up to 32,767 ahead or 32,768 behind.
#[derive(Debug, Clone, Default)]
pub struct SeqUnwrapper {
    last: Option<u64>,
}

impl SeqUnwrapper {
    /// An unwrapper that has seen nothing. The first number is put into the second cycle, so that
    /// one before it still has a place.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// The extended number of `seq`.
    pub fn unwrap(&mut self, seq: u16) -> u64 {
        let extended = match self.last {
            None => 0x1_0000 | u64::from(seq),
            Some(last) => {
                let step = seq.wrapping_sub(last as u16) as i16;
                // Below zero only after a cycle and a half of steps back: then start anew.
                last.checked_add_signed(i64::from(step)).unwrap_or(0x1_0000 | u64::from(seq))
            }
        };
        self.last = Some(extended);
        extended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_over_the_wrap_and_back() {
        let mut unwrapper = SeqUnwrapper::new();
        let got = [65534, 65535, 1, 0, 2, 65533].map(|seq| unwrapper.unwrap(seq));
        let first = 0x1_0000 + 65534;
        assert_eq!(got, [first, first + 1, first + 3, first + 2, first + 4, first - 1]);
    }

    #[test]
    fn a_peer_that_counts_down_forever_does_no_harm() {
        let mut unwrapper = SeqUnwrapper::new();
        for round in 0..200_000_u32 {
            let seq = (round.wrapping_mul(40_000) & 0xffff) as u16;
            assert_eq!(unwrapper.unwrap(seq) as u16, seq);
        }
    }
}
