//! The drivers: threads with the real clock, or one caller with a clock of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::audio::{AudioBridge, TICK};
use crate::bridge::Bridge;
use crate::lateness::Rounds;
use crate::scheduler::Scheduler;
use crate::types::{BridgeStats, Counters, Events, Totals};

/// How the mcu is driven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct McuConfig {
    /// Threads for video; `None`: one less than the machine has cores, at least one.
    pub video_workers: Option<usize>,
}

/// Why the mcu cannot be started.
#[derive(Debug, Error)]
pub enum McuError {
    /// The system gives no thread.
    #[error("cannot start a media thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// All bridges of a program, and what drives them.
pub struct Mcu {
    scheduler: Arc<Scheduler>,
    epoch: Instant,
    new_audio: Sender<AudioBridge>,
    totals: Mutex<Totals>,
    rounds: Arc<Rounds>,
    driver: Driver,
}

enum Driver {
    Threads { stop: Arc<AtomicBool>, threads: Vec<JoinHandle<()>> },
    Inline(Mutex<Inline>),
}

/// How far behind its deadlines sound catches up; beyond it, what was missed is left out.
const MAX_CATCH_UP: u64 = 5;

impl Mcu {
    /// Starts the threads. Dropping the `Mcu` stops them and with them all bridges.
    pub fn start(config: McuConfig) -> Result<Self, McuError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = config.video_workers.unwrap_or(cores - 1).max(1);
        let scheduler = Arc::new(Scheduler::default());
        let (new_audio, bridges) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let epoch = Instant::now();
        let mut threads = Vec::with_capacity(workers + 1);
        let rounds = Arc::<Rounds>::default();
        let (stopped, noted) = (stop.clone(), rounds.clone());
        threads.push(
            thread::Builder::new()
                .name("mcu-audio".into())
                .spawn(move || audio_thread(epoch, &bridges, &stopped, &noted))?,
        );
        for worker in 0..workers {
            let scheduler = scheduler.clone();
            threads.push(
                thread::Builder::new()
                    .name(format!("mcu-video-{worker}"))
                    .spawn(move || video_thread(&scheduler))?,
            );
        }
        let totals = Mutex::default();
        let driver = Driver::Threads { stop, threads };
        Ok(Self { scheduler, epoch, new_audio, totals, rounds, driver })
    }

    /// An mcu without threads, in virtual time from `start` on: [`Self::advance`] does the work.
    pub fn inline(start: Instant) -> Self {
        let (new_audio, bridges) = mpsc::channel();
        let inline = Inline {
            now: start,
            tick: 0,
            new: bridges,
            bridges: Vec::new(),
            cost: Duration::from_millis(1),
        };
        Self {
            scheduler: Arc::default(),
            epoch: start,
            new_audio,
            totals: Mutex::default(),
            rounds: Arc::default(),
            driver: Driver::Inline(Mutex::new(inline)),
        }
    }

    /// A bridge for one meeting; dropping it ends everything of it. `label` names it in the log.
    pub fn bridge(&self, label: &str, events: Arc<dyn Events>) -> Bridge {
        let counters = Arc::new(Counters::default());
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).add(counters.clone());
        let scheduler = self.scheduler.clone();
        let (bridge, audio) = Bridge::new(label, self.epoch, scheduler, events, counters);
        // The receiver lives as long as the thread, and the thread as long as `self`.
        let _ = self.new_audio.send(audio);
        bridge
    }

    /// Whether the machine has no time for more video: some composition has come down to its lowest
    /// rate and size. New video legs should then be audio-only.
    pub fn is_strained(&self) -> bool {
        self.scheduler.is_strained()
    }

    /// What all bridges together have done since the start, those that ended included.
    pub fn stats(&self) -> BridgeStats {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).sum()
    }

    /// How many rounds of mixing were begun within so long after they were due; without a bound: all
    /// of them. In virtual time none is counted.
    pub fn sound_begun_within(&self) -> Vec<(Option<Duration>, u64)> {
        self.rounds.begun.at_most()
    }

    /// The same of when everybody's mix was made.
    pub fn sound_done_within(&self) -> Vec<(Option<Duration>, u64)> {
        self.rounds.done.at_most()
    }

    /// How many different pictures are composed and encoded now, whoever watches them.
    pub fn compositions(&self) -> usize {
        self.scheduler.compositions()
    }

    /// Inline only: does all that is due until `to`. With threads it does nothing.
    pub fn advance(&self, to: Instant) {
        if let Driver::Inline(inline) = &self.driver {
            inline.lock().unwrap_or_else(PoisonError::into_inner).advance(
                &self.scheduler,
                self.epoch,
                to,
            );
        }
    }

    /// Inline only: what every run of a video task is said to take from now on, to try an overload.
    pub fn pretend_cost(&self, cost: Duration) {
        if let Driver::Inline(inline) = &self.driver {
            inline.lock().unwrap_or_else(PoisonError::into_inner).cost = cost;
        }
    }
}

impl Drop for Mcu {
    fn drop(&mut self) {
        self.scheduler.stop();
        if let Driver::Threads { stop, threads } = &mut self.driver {
            stop.store(true, Ordering::Relaxed);
            for thread in threads.drain(..) {
                // A thread that has panicked has said so already.
                let _ = thread.join();
            }
        }
    }
}

fn video_thread(scheduler: &Scheduler) {
    while let Some(mut taken) = scheduler.wait(Instant::now) {
        let begin = Instant::now();
        let next = taken.run(begin);
        taken.spent(begin.elapsed());
        scheduler.put(taken, next);
    }
}

fn tick_time(epoch: Instant, tick: u64) -> Instant {
    epoch + Duration::from_millis(TICK.as_millis() as u64 * tick)
}

fn audio_thread(epoch: Instant, new: &Receiver<AudioBridge>, stop: &AtomicBool, rounds: &Rounds) {
    let mut bridges: Vec<AudioBridge> = Vec::new();
    let mut tick = 0;
    while !stop.load(Ordering::Relaxed) {
        if bridges.is_empty() {
            // Nothing to mix: no timer runs.
            match new.recv_timeout(Duration::from_millis(200)) {
                Ok(bridge) => bridges.push(bridge),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        bridges.extend(new.try_iter());
        let now = Instant::now();
        let due = tick_time(epoch, tick);
        if now < due {
            thread::sleep(due - now);
        } else {
            let behind = ((now - due).as_millis() / TICK.as_millis()) as u64;
            if behind > MAX_CATCH_UP {
                tick += behind;
            }
        }
        let now = Instant::now();
        rounds.begun.note(now.saturating_duration_since(due));
        bridges.retain_mut(|bridge| bridge.tick(tick, now));
        rounds.done.note(due.elapsed());
        tick += 1;
    }
}

struct Inline {
    now: Instant,
    tick: u64,
    new: Receiver<AudioBridge>,
    bridges: Vec<AudioBridge>,
    cost: Duration,
}

impl Inline {
    fn advance(&mut self, scheduler: &Scheduler, epoch: Instant, to: Instant) {
        loop {
            while let Some(mut taken) = scheduler.take(self.now) {
                let next = taken.run(self.now);
                taken.spent(self.cost);
                scheduler.put(taken, next);
            }
            let audio = tick_time(epoch, self.tick);
            let next = scheduler.next_due().map_or(audio, |video| video.min(audio));
            if next > to {
                self.now = self.now.max(to);
                return;
            }
            self.now = self.now.max(next);
            if audio <= self.now {
                self.bridges.extend(self.new.try_iter());
                let (tick, now) = (self.tick, self.now);
                self.bridges.retain_mut(|bridge| bridge.tick(tick, now));
                self.tick += 1;
            }
        }
    }
}
