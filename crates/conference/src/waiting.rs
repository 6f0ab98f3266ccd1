//! Somebody before a meeting, and how they come in.

use std::fmt;

use room::{Fate, Knock};
use tokio::sync::watch;
use types::{Identity, MeetingId};

use crate::conference::{Conference, JoinError};
use crate::meeting::{ExecuteError, MeetingHandle};

/// Somebody who asked to come in. Dropping it ends the waiting.
pub struct Waiting {
    identity: Identity,
    /// Tells this waiting from an earlier one of the same identity.
    number: u64,
    meeting: MeetingHandle,
    fate: watch::Receiver<Option<Fate>>,
}

impl Waiting {
    /// Who.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What became of it; `None`: it waits.
    pub fn fate(&self) -> Option<Fate> {
        let fate = *self.fate.borrow();
        // Without a word: the meeting is over, or the same identity waits elsewhere.
        fate.or_else(|| self.fate.has_changed().is_err().then_some(Fate::Over))
    }

    /// Returns when its fate is known. May be dropped and called again.
    pub async fn settled(&self) -> Fate {
        let mut fate = self.fate.clone();
        let known = fate.wait_for(Option::is_some).await;
        known.ok().and_then(|it| *it).unwrap_or(Fate::Over)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.meeting.stop_waiting(self.identity.clone(), self.number);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Conference {
    /// Asks to come into a meeting, which begins if nobody was in it. Whoever need not wait is
    /// admitted at once; then, and once a host has let it in, it may join.
    ///
    /// # Errors
    /// [`JoinError`]: no such meeting, the lobby is full, or a host has removed this identity.
    pub async fn knock(&self, meeting: &MeetingId, knock: Knock) -> Result<Waiting, JoinError> {
        loop {
            let handle = self.open(meeting)?;
            let (number, identity) = (self.next_id(), knock.identity.clone());
            let (sender, fate) = watch::channel(None);
            match handle.knock(knock.clone(), number, sender).await {
                // It ended between finding it and knocking: it begins anew.
                Err(ExecuteError::Over) => {}
                Err(ExecuteError::Refused(refusal)) => return Err(JoinError::Refused(refusal)),
                Ok(()) => return Ok(Waiting { identity, number, meeting: handle, fate }),
            }
        }
    }

    /// Whether somebody without rights would have to knock: it waits, perhaps.
    pub fn has_door(&self, meeting: &MeetingId) -> bool {
        let lobby = self.directory().find(meeting).is_some_and(|it| it.lobby);
        lobby || self.find(meeting).is_some()
    }
}
