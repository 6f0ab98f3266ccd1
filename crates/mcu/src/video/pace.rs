//! How often, and how large, a composition can be made on this machine: under overload the rate
//! falls first (30, 15, 8 pictures a second), then the size.

use std::time::Duration;

/// The mean cost of a picture above which the rate falls, as a share of the time between two. What
/// is left is for decoding and for other compositions.
const TOO_MUCH: f64 = 0.8;

/// The share of the time between two pictures at the better rate below which it is tried again.
const EASY: f64 = 0.4;

/// For how long it has to be easy: 5 s.
const CALM: Duration = Duration::from_secs(5);

/// Of 32 ticks, how many may be missed before the rate falls.
const MAX_MISSED: u32 = 8;

/// The rates below the wanted one; at the last the size is halved too.
const STEPS: [u32; 4] = [u32::MAX, 15, 8, 8];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) fps: u32,
    /// The sides are divided by it.
    pub(super) divisor: u32,
}

pub(super) struct Pace {
    wanted: u32,
    step: usize,
    mean: f64,
    easy: Duration,
    ticks: u32,
    missed: u32,
}

impl Pace {
    pub(super) fn new(fps: u32) -> Self {
        Self {
            wanted: fps.clamp(1, 60),
            step: 0,
            mean: 0.0,
            easy: Duration::ZERO,
            ticks: 0,
            missed: 0,
        }
    }

    fn at(&self, step: usize) -> Step {
        let most = STEPS.get(step).copied().unwrap_or(8);
        Step { fps: self.wanted.min(most), divisor: if step + 1 == STEPS.len() { 2 } else { 1 } }
    }

    pub(super) fn now(&self) -> Step {
        self.at(self.step)
    }

    /// Nothing is left to save at.
    pub(super) fn is_last(&self) -> bool {
        self.step + 1 == STEPS.len()
    }

    pub(super) fn period(&self) -> Duration {
        Duration::from_secs(1) / self.now().fps
    }

    /// A picture was made, at this cost. `true`: the step has changed.
    pub(super) fn made(&mut self, cost: Duration) -> bool {
        self.mean += (cost.as_secs_f64() - self.mean) / 16.0;
        let period = self.period();
        if self.mean > TOO_MUCH * period.as_secs_f64() {
            return self.worse();
        }
        // At half of the sides a picture costs a quarter; the better step has to bear the whole.
        let scale = if self.now().divisor == 2 { 4.0 } else { 1.0 };
        let Some(better) = self.step.checked_sub(1).map(|step| self.at(step)) else { return false };
        if self.mean * scale < EASY / f64::from(better.fps) {
            self.easy += period;
        } else {
            self.easy = Duration::ZERO;
        }
        if self.easy < CALM {
            return false;
        }
        self.step -= 1;
        self.settle();
        true
    }

    /// A tick came, after `missed` ones at which nobody had time for it. `true`: the step has
    /// changed.
    pub(super) fn ticked(&mut self, missed: u64) -> bool {
        self.ticks += 1;
        self.missed += u32::try_from(missed).unwrap_or(u32::MAX).min(32);
        if self.missed > 0 {
            self.easy = Duration::ZERO;
        }
        if self.missed > MAX_MISSED {
            return self.worse();
        }
        if self.ticks >= 32 {
            (self.ticks, self.missed) = (0, 0);
        }
        false
    }

    fn worse(&mut self) -> bool {
        // Steps that change nothing, such as 15 for who wants 10, are passed over.
        let before = self.now();
        while self.step + 1 < STEPS.len() {
            self.step += 1;
            if self.now() != before {
                self.settle();
                return true;
            }
        }
        self.settle();
        false
    }

    fn settle(&mut self) {
        self.easy = Duration::ZERO;
        self.mean = 0.0;
        (self.ticks, self.missed) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_lowers_the_rate_then_the_size_and_ease_brings_them_back() {
        let mut pace = Pace::new(30);
        let mut seen = vec![pace.now()];
        for _ in 0..400 {
            if pace.made(Duration::from_millis(200)) {
                seen.push(pace.now());
            }
        }
        let steps: Vec<(u32, u32)> = seen.iter().map(|s| (s.fps, s.divisor)).collect();
        assert_eq!(steps, [(30, 1), (15, 1), (8, 1), (8, 2)]);
        for _ in 0..1_000 {
            pace.made(Duration::from_millis(3));
        }
        assert_eq!(pace.now(), Step { fps: 30, divisor: 1 });
    }

    #[test]
    fn a_cost_that_fits_changes_nothing_and_one_slow_picture_neither() {
        let mut pace = Pace::new(30);
        for i in 0..1_000 {
            assert!(!pace.made(Duration::from_millis(if i % 50 == 0 { 120 } else { 12 })));
        }
        for _ in 0..1_000 {
            assert!(!pace.ticked(0));
        }
        assert!((0..40).any(|_| pace.ticked(1)), "missing every other tick is overload");
        assert_eq!(pace.now().fps, 15);
    }
}
