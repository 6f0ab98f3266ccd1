//! Somebody in a meeting who sees and hears, and what all who meet owe each other.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::analyse::{self, Picture, WHOLE};
use crate::driver::Inbound;
use crate::media::{Mark, RATE, wav};
use crate::story::Story;
use crate::wait;

/// How long anything in a client may take on two loaded cores.
pub const PATIENCE: Duration = Duration::from_secs(25);
/// A leaving sender is gone from everybody's view within this time.
pub const GONE_WITHIN: Duration = Duration::from_secs(2);
/// Distance between what is heard of others and of oneself.
const APART_DB: f64 = 40.0;
/// A tone stronger than this is heard.
const HEARD_DB: f64 = -40.0;
/// A tone weaker than this is not there.
const SILENT_DB: f64 = -60.0;
/// Shown frames a second of a clip of fifteen.
const STEPS_A_SECOND: f64 = 10.0;

/// A client whose received pictures and sounds can be looked at.
pub trait Person: Send {
    /// What it sends.
    fn mark(&self) -> Mark;
    /// Who it is in the meeting.
    fn identity(&self) -> &str;
    /// Whether it has a picture of somebody.
    fn sees(&mut self, identity: &str) -> bool;
    /// Whether nothing of somebody is left: no tile, no picture, no sound.
    fn shows_nothing_of(&mut self, identity: &str) -> bool;
    /// How many different frames of somebody it shows in some seconds.
    fn steps(&mut self, identity: &str, seconds: f64) -> usize;
    /// The picture of somebody as it is shown, as a PNG.
    fn picture(&mut self, identity: &str, file: &Path);
    /// What it hears of somebody, at 48 kHz.
    fn record(&mut self, identity: &str, seconds: f64) -> Vec<i16>;
    /// All that it receives, together, whoever it is of.
    fn record_all(&mut self, seconds: f64) -> Vec<i16>;
    /// Figures of all streams that it receives.
    fn inbound(&mut self) -> Vec<Inbound>;

    /// What its client noted, where it notes something.
    fn log(&mut self) -> String {
        String::new()
    }

    /// Waits until it has a picture of somebody.
    ///
    /// # Panics
    /// When it gets none.
    fn wait_for_picture(&mut self, identity: &str) {
        let what = format!("{} sees {identity}", self.mark().name);
        let late = Instant::now() + PATIENCE / 2;
        let mut told = false;
        wait::until(&what, PATIENCE, || {
            // What it got until now tells whether the network or the client is to blame.
            if Instant::now() > late && !std::mem::replace(&mut told, true) {
                println!("{what}: late; it receives {:?} {}", self.inbound(), self.log());
            }
            self.sees(identity).then_some(())
        });
    }

    /// Waits until nothing of somebody is there any more.
    ///
    /// # Panics
    /// When something stays.
    fn wait_until_gone(&mut self, identity: &str, patience: Duration) {
        let what = format!("{identity} is gone for {}", self.mark().name);
        wait::until(&what, patience, || self.shows_nothing_of(identity).then_some(()));
    }

    /// Packets that did not come so far.
    fn lost(&mut self) -> i64 {
        self.inbound().iter().map(|it| it.lost).sum()
    }
}

/// Everybody sees and hears everybody else, and not themselves.
///
/// # Panics
/// When somebody does not.
pub fn meet(story: &Story, people: &mut [&mut dyn Person]) {
    let all: Vec<_> = people.iter().map(|it| (it.identity().to_owned(), it.mark())).collect();
    for person in people.iter_mut() {
        let me = person.mark();
        for (identity, _) in all.iter().filter(|it| it.1 != me) {
            person.wait_for_picture(identity);
        }
    }
    let lost_before: Vec<i64> = people.iter_mut().map(|it| it.lost()).collect();
    all_receive(story, people, &all);
    for (person, before) in people.iter_mut().zip(lost_before) {
        assert_eq!(person.lost(), before, "packets lost on the way to {}", person.mark().name);
    }
}

/// Everybody sees and hears, at the same time, all of these but themselves.
///
/// # Panics
/// When somebody does not.
pub fn all_receive(story: &Story, people: &mut [&mut dyn Person], senders: &[(String, Mark)]) {
    std::thread::scope(|scope| {
        let receiving = people.iter_mut().map(|person| {
            scope.spawn(move || {
                let me = person.mark();
                for (identity, mark) in senders.iter().filter(|it| it.1 != me) {
                    receives(story, *person, identity, *mark);
                }
            })
        });
        let receiving: Vec<_> = receiving.collect();
        for person in receiving {
            person.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// It sees and hears somebody, and not itself.
///
/// # Panics
/// When it does not.
pub fn receives(story: &Story, person: &mut dyn Person, identity: &str, mark: Mark) {
    let me = person.mark();
    sees_moving(person, identity);

    let file = story.file(&format!("{}-sees-{}.png", me.name, mark.name));
    person.picture(identity, &file);
    let share = Picture::read(&file).share(mark, WHOLE);
    assert!(share > 0.7, "{} fills {share} of {}'s picture", mark.name, me.name);

    hears(me, &[mark], || {
        let heard = person.record(identity, 2.0);
        let recording = story.file(&format!("{}-hears-{}.wav", me.name, mark.name));
        std::fs::write(recording, wav(&heard)).expect("a recording is written");
        // The first moments of a recording hold the filter's start.
        (heard[heard.len() / 4..].to_vec(), RATE as u32)
    });
}

/// It sees somebody at full rate. The machine may be taken away for a moment: the rate has to be
/// reached, not in the first try.
///
/// # Panics
/// When it is not.
pub fn sees_moving(person: &mut dyn Person, identity: &str) {
    let name = person.mark().name;
    wait::until(&format!("{name} sees {STEPS_A_SECOND} steps a second"), PATIENCE, || {
        let steps = person.steps(identity, 3.0) as f64 / 3.0;
        println!("{name} sees {steps} steps a second");
        (steps >= STEPS_A_SECOND).then_some(())
    });
}

/// Somebody's recordings (samples, and how many of them make a second) have the others' tones, and
/// its own far below.
///
/// Sound that stutters, because the machine was taken away for a moment, has something of every tone: a
/// recording that flows has to come. Who hears themselves does so in all of them.
///
/// # Panics
/// When no recording is like that.
pub fn hears(me: Mark, others: &[Mark], mut record: impl FnMut() -> (Vec<i16>, u32)) {
    wait::until(&format!("{} hears the others and not itself", me.name), PATIENCE, || {
        let (samples, rate) = record();
        let own = analyse::level_at(&samples, rate, me.tone);
        let levels = others.iter().map(|it| analyse::level_at(&samples, rate, it.tone));
        let levels: Vec<f64> = levels.collect();
        println!("{} hears the others at {levels:.1?} dB, itself at {own:.1}", me.name);
        levels.iter().all(|it| *it > HEARD_DB && it - own >= APART_DB).then_some(())
    });
}

/// Somebody left at this moment: tile and tone are gone for everybody else in time.
///
/// # Panics
/// When something of it stays.
pub fn is_gone(story: &Story, mark: Mark, identity: &str, others: &mut [&mut dyn Person]) {
    let left = Instant::now();
    for person in others.iter_mut() {
        person.wait_until_gone(identity, GONE_WITHIN.saturating_sub(left.elapsed()));
    }
    for person in others.iter_mut() {
        let name = person.mark().name;
        let heard = person.record_all(1.0);
        let recording = story.file(&format!("{name}-after-{}-left.wav", mark.name));
        std::fs::write(recording, wav(&heard)).expect("a recording is written");
        // Nothing at all is received where nobody else is left.
        let level =
            if heard.len() < RATE / 2 { -f64::INFINITY } else { analyse::level(&heard, mark.tone) };
        assert!(level < SILENT_DB, "{name} still hears {} at {level} dB", mark.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{GREEN, RED};

    /// A second of a tone, which stutters or flows: half a period is missing ten times.
    fn tone(hertz: u32, stutters: bool) -> Vec<i16> {
        let step = f64::from(hertz) * std::f64::consts::TAU / RATE as f64;
        let missing =
            |n| if stutters { (n / (RATE / 10)) as f64 * std::f64::consts::PI } else { 0.0 };
        (0..RATE).map(|n| (1200.0 * (n as f64 * step + missing(n)).sin()) as i16).collect()
    }

    #[test]
    fn sound_that_stutters_is_recorded_anew() {
        let mut recordings = [tone(GREEN.tone, true), tone(GREEN.tone, false)].into_iter();
        let stutters = recordings.as_slice()[0].as_slice();
        let levels = [GREEN, RED].map(|it| analyse::level(stutters, it.tone));
        assert!(levels[0] - levels[1] < APART_DB, "it leaks into others: {levels:?}");
        hears(RED, &[GREEN], || (recordings.next().expect("two are enough"), RATE as u32));
        assert_eq!(recordings.len(), 0, "the recording that stutters was not taken");
    }
}
