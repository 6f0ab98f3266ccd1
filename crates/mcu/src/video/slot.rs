//! What one source shows now: written by its decoding, read by every composition.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use codec::Picture;

/// A source's present picture.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<Shown>,
    /// Some composition shows it: without, nothing is decoded.
    wanted: AtomicBool,
    /// The stream has to begin anew: it was muted.
    restart: AtomicBool,
}

/// What is to be seen; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Shown {
    /// Changes with everything that a composition has to draw again.
    pub(super) version: u64,
    /// The last picture; `None` before the first, and while muted.
    pub(super) picture: Option<Arc<Picture>>,
    pub(super) capture: Option<Instant>,
    pub(super) name: Arc<str>,
    muted: bool,
}

impl Slot {
    pub(super) fn new(name: &str) -> Self {
        let slot = Self::default();
        slot.lock().name = name.into();
        slot
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shown(&self) -> Shown {
        self.lock().clone()
    }

    pub(super) fn version(&self) -> u64 {
        self.lock().version
    }

    pub(super) fn show(&self, picture: Arc<Picture>, capture: Option<Instant>) {
        let mut state = self.lock();
        if !state.muted {
            state.picture = Some(picture);
            state.capture = capture;
            state.version += 1;
        }
    }

    /// Only the name from now on.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.picture = None;
        state.capture = None;
        state.version += 1;
    }

    pub(super) fn rename(&self, name: &str) {
        let mut state = self.lock();
        if *state.name != *name {
            state.name = name.into();
            state.version += 1;
        }
    }

    pub(super) fn set_muted(&self, muted: bool) {
        if std::mem::replace(&mut self.lock().muted, muted) == muted {
            return;
        }
        if muted {
            self.clear();
        } else {
            self.restart.store(true, Ordering::Release);
        }
    }

    pub(super) fn set_wanted(&self, wanted: bool) -> bool {
        self.wanted.swap(wanted, Ordering::AcqRel) != wanted
    }

    /// Whether pictures are of use now.
    pub(super) fn wants_pictures(&self) -> bool {
        self.wanted.load(Ordering::Acquire) && !self.lock().muted
    }

    /// Whether the stream has to begin anew; says so once.
    pub(super) fn take_restart(&self) -> bool {
        self.restart.swap(false, Ordering::AcqRel)
    }
}
