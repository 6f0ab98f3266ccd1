//! Which task runs next: shared by the threads of the pool and by the inline executor.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rtp::lane::Wake;

/// When a task wants to run again. Waking runs it earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    At(Instant),
    Wait,
}

/// A piece of video work: one source's decoding, or one composition. It runs on one thread at a
/// time and does a bounded amount of work.
pub(crate) trait Task: Send {
    fn run(&mut self, now: Instant) -> Next;

    /// How long the last run took.
    fn spent(&mut self, _cost: Duration) {}
}

#[derive(Default)]
pub(crate) struct Scheduler {
    state: Mutex<State>,
    bell: Condvar,
    strained: AtomicUsize,
    compositions: AtomicUsize,
}

#[derive(Default)]
struct State {
    tasks: HashMap<u64, Entry>,
    ready: VecDeque<u64>,
    timers: BTreeSet<(Instant, u64)>,
    next_id: u64,
    stopped: bool,
}

struct Entry {
    /// `None` while it runs.
    task: Option<Box<dyn Task>>,
    due: Option<Instant>,
    /// In `ready`, or woken while it runs.
    woken: bool,
}

/// A task that was taken out to run.
pub(crate) struct Taken {
    id: u64,
    task: Box<dyn Task>,
}

impl Taken {
    pub(crate) fn run(&mut self, now: Instant) -> Next {
        self.task.run(now)
    }

    pub(crate) fn spent(&mut self, cost: Duration) {
        self.task.spent(cost);
    }
}

impl Scheduler {
    /// Whether some composition is at the end of its means.
    pub(crate) fn is_strained(&self) -> bool {
        self.strained.load(Ordering::Relaxed) > 0
    }

    /// How many compositions there are.
    pub(crate) fn compositions(&self) -> usize {
        self.compositions.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a task, and runs it soon for the first time. It lives as long as the handle.
    pub(crate) fn spawn(self: &Arc<Self>, task: Box<dyn Task>) -> TaskHandle {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.tasks.insert(id, Entry { task: Some(task), due: None, woken: true });
        state.ready.push_back(id);
        drop(state);
        self.bell.notify_one();
        TaskHandle { waker: Waker { scheduler: self.clone(), id } }
    }

    fn wake(&self, id: u64) {
        let mut state = self.lock();
        let Some(entry) = state.tasks.get_mut(&id).filter(|entry| !entry.woken) else { return };
        entry.woken = true;
        let waits = entry.task.is_some();
        if waits {
            state.ready.push_back(id);
            drop(state);
            self.bell.notify_one();
        }
    }

    fn remove(&self, id: u64) {
        let mut state = self.lock();
        let entry = state.tasks.remove(&id);
        if let Some(due) = entry.as_ref().and_then(|entry| entry.due) {
            state.timers.remove(&(due, id));
        }
        drop(state);
        // Here, without the lock: a task's end destroys codecs.
        drop(entry);
    }

    /// A task that is due. Timers come before woken tasks: a composition has a cadence to keep.
    pub(crate) fn take(&self, now: Instant) -> Option<Taken> {
        self.lock().take(now)
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.lock().timers.first().map(|(due, _)| *due)
    }

    /// Puts a task back.
    pub(crate) fn put(&self, taken: Taken, next: Next) {
        let Taken { id, task } = taken;
        let mut state = self.lock();
        let Some(entry) = state.tasks.get_mut(&id) else {
            drop(state);
            drop(task);
            return;
        };
        entry.task = Some(task);
        if let Next::At(due) = next {
            entry.due = Some(due);
        }
        let woken = entry.woken;
        if let Next::At(due) = next {
            state.timers.insert((due, id));
        }
        if woken {
            state.ready.push_back(id);
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Blocks until a task is due; `None` once the scheduler is stopped. `clock` tells the time.
    pub(crate) fn wait(&self, clock: impl Fn() -> Instant) -> Option<Taken> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let now = clock();
            if let Some(taken) = state.take(now) {
                return Some(taken);
            }
            let sleep = state.timers.first().map(|(due, _)| due.saturating_duration_since(now));
            state = match sleep {
                Some(sleep) => {
                    let waited = self.bell.wait_timeout(state, sleep);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Ends every `wait`, and all tasks that do not run at the moment.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        let tasks = std::mem::take(&mut state.tasks);
        state.ready.clear();
        state.timers.clear();
        drop(state);
        self.bell.notify_all();
        drop(tasks);
    }
}

impl State {
    fn take(&mut self, now: Instant) -> Option<Taken> {
        if let Some((due, id)) = self.timers.first().copied()
            && due <= now
        {
            self.timers.pop_first();
            if let Some(entry) = self.tasks.get_mut(&id) {
                entry.due = None;
                if let Some(task) = entry.task.take() {
                    // It may stand in `ready` as well; there it is then passed over.
                    entry.woken = false;
                    return Some(Taken { id, task });
                }
            }
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(entry) = self.tasks.get_mut(&id) else { continue };
            if !entry.woken {
                continue;
            }
            let Some(task) = entry.task.take() else { continue };
            entry.woken = false;
            if let Some(due) = entry.due.take() {
                self.timers.remove(&(due, id));
            }
            return Some(Taken { id, task });
        }
        None
    }
}

/// Owns a task: dropping it ends the task, at the latest when its present run is over.
pub(crate) struct TaskHandle {
    waker: Waker,
}

impl TaskHandle {
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        self.waker.scheduler.remove(self.waker.id);
    }
}

#[derive(Clone)]
pub(crate) struct Waker {
    scheduler: Arc<Scheduler>,
    id: u64,
}

impl Waker {
    pub(crate) fn wake(&self) {
        self.scheduler.wake(self.id);
    }
}

/// A composition's mark on the scheduler: that there is one, and, while it is set, that it is at the
/// end of its means.
pub(crate) struct Strain {
    scheduler: Arc<Scheduler>,
    set: bool,
}

impl Strain {
    pub(crate) fn new(scheduler: Arc<Scheduler>) -> Self {
        scheduler.compositions.fetch_add(1, Ordering::Relaxed);
        Self { scheduler, set: false }
    }

    pub(crate) fn set(&mut self, set: bool) {
        match (std::mem::replace(&mut self.set, set), set) {
            (false, true) => self.scheduler.strained.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.scheduler.strained.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
    }
}

impl Drop for Strain {
    fn drop(&mut self) {
        self.set(false);
        self.scheduler.compositions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A lane's bell that is made before the task that it wakes. Until then it does nothing, for a task
/// looks at its lane when it begins.
#[derive(Default)]
pub(crate) struct LaneBell {
    waker: OnceLock<Waker>,
}

impl LaneBell {
    pub(crate) fn bind(&self, waker: Waker) {
        // A bell belongs to one source; a second binding is a caller's mistake without harm.
        let _ = self.waker.set(waker);
    }
}

impl Wake for LaneBell {
    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    struct Every(Duration, Arc<AtomicU64>);

    impl Task for Every {
        fn run(&mut self, now: Instant) -> Next {
            self.1.fetch_add(1, Ordering::SeqCst);
            if self.0.is_zero() { Next::Wait } else { Next::At(now + self.0) }
        }
    }

    fn run_due(scheduler: &Scheduler, now: Instant) {
        while let Some(mut taken) = scheduler.take(now) {
            let next = taken.run(now);
            scheduler.put(taken, next);
        }
    }

    #[test]
    fn timers_and_wakes_run_a_task_and_its_handles_end_ends_it() {
        let scheduler = Arc::new(Scheduler::default());
        let start = Instant::now();
        let ran = Arc::new(AtomicU64::new(0));
        let timed = scheduler.spawn(Box::new(Every(Duration::from_millis(10), ran.clone())));
        let woken_runs = Arc::new(AtomicU64::new(0));
        let woken = scheduler.spawn(Box::new(Every(Duration::ZERO, woken_runs.clone())));
        for ms in 0..100 {
            run_due(&scheduler, start + Duration::from_millis(ms));
        }
        assert_eq!(ran.load(Ordering::SeqCst), 10);
        assert_eq!(woken_runs.load(Ordering::SeqCst), 1);
        woken.wake();
        woken.wake();
        run_due(&scheduler, start);
        assert_eq!(woken_runs.load(Ordering::SeqCst), 2, "two wakes before a run are one");
        // A wake before its time moves a timer; it does not run twice for it.
        timed.wake();
        run_due(&scheduler, start + Duration::from_millis(99));
        assert_eq!(ran.load(Ordering::SeqCst), 11);
        drop(timed);
        run_due(&scheduler, start + Duration::from_secs(9));
        assert_eq!(ran.load(Ordering::SeqCst), 11);
        assert_eq!(scheduler.next_due(), None);
    }

    #[test]
    fn a_wake_during_a_run_is_not_lost() {
        let scheduler = Arc::new(Scheduler::default());
        let ran = Arc::new(AtomicU64::new(0));
        let handle = scheduler.spawn(Box::new(Every(Duration::ZERO, ran.clone())));
        let now = Instant::now();
        let mut taken = scheduler.take(now).unwrap();
        handle.wake();
        assert!(scheduler.take(now).is_none(), "it runs on one thread at a time");
        let next = taken.run(now);
        scheduler.put(taken, next);
        assert!(scheduler.take(now).is_some());
    }
}
