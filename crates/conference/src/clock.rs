//! What a conference knows the time from: the system, or somebody's hand, in virtual time.

use std::future::pending;
use std::time::Instant;

use tokio::sync::watch;

/// A clock. Clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    ByHand(watch::Receiver<Instant>),
}

/// Moves a [`Clock`].
#[derive(Debug)]
pub struct ClockHand(watch::Sender<Instant>);

impl Clock {
    /// The system's.
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// One that stands at `now` until its hand is moved.
    pub fn by_hand(now: Instant) -> (Self, ClockHand) {
        let (hand, clock) = watch::channel(now);
        (Self(Kind::ByHand(clock)), ClockHand(hand))
    }

    /// What it shows.
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => Instant::now(),
            Kind::ByHand(clock) => *clock.borrow(),
        }
    }

    /// Returns when it shows `at`, or more.
    pub async fn sleep_until(&self, at: Instant) {
        match &self.0 {
            Kind::System => tokio::time::sleep_until(at.into()).await,
            Kind::ByHand(clock) => {
                let mut clock = clock.clone();
                if clock.wait_for(|now| *now >= at).await.is_err() {
                    // Its hand is gone: it shows the same for ever.
                    pending::<()>().await;
                }
            }
        }
    }
}

impl ClockHand {
    /// Moves the clock on to `now`; it never goes back.
    pub fn set(&self, now: Instant) {
        self.0.send_if_modified(|shown| {
            let later = now > *shown;
            *shown = now.max(*shown);
            later
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_clock_by_hand_wakes_whoever_slept_until_it_shows_their_time() {
        let start = Instant::now();
        let (clock, hand) = Clock::by_hand(start);
        let second = Duration::from_secs(1);
        clock.sleep_until(start).await;
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(start + second * 3600).await;
                clock.now()
            }
        });
        tokio::task::yield_now().await;
        hand.set(start + second);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        hand.set(start + second * 3601);
        hand.set(start);
        assert_eq!(sleeper.await.ok(), Some(start + second * 3601));
    }
}
