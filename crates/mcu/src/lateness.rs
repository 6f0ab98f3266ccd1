//! How late sound is mixed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::types::count;

/// Upper bounds of the classes, in µs; what is later yet has a class of its own.
const BOUNDS: [u64; 9] = [500, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/// Ticks by how late they were.
#[derive(Debug, Default)]
pub(crate) struct Lateness([AtomicU64; BOUNDS.len() + 1]);

/// How late rounds of mixing were begun, and how long after they were due everybody's mix was made.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    pub(crate) begun: Lateness,
    pub(crate) done: Lateness,
}

impl Lateness {
    pub(crate) fn note(&self, late: Duration) {
        let class = BOUNDS.partition_point(|bound| Duration::from_micros(*bound) < late);
        if let Some(class) = self.0.get(class) {
            count(class);
        }
    }

    /// How many ticks were late by at most so much; without a bound: all.
    pub(crate) fn at_most(&self) -> Vec<(Option<Duration>, u64)> {
        let bounds = BOUNDS.into_iter().map(|it| Some(Duration::from_micros(it))).chain([None]);
        let mut sum = 0;
        let counted = bounds.zip(&self.0).map(|(bound, class)| {
            sum += class.load(Ordering::Relaxed);
            (bound, sum)
        });
        counted.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_counts_in_every_class_that_it_is_within() {
        let lateness = Lateness::default();
        for micros in [0, 500, 501, 4_999, 5_000, 5_001, 100_001] {
            lateness.note(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = lateness.at_most().iter().map(|it| it.1).collect();
        assert_eq!(counts, [2, 3, 3, 3, 5, 6, 6, 6, 6, 7]);
        assert_eq!(lateness.at_most().last().map(|it| it.0), Some(None));
    }
}
