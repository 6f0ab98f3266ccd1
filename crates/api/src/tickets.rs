//! The tickets of those who wait in a lobby: each polls with its own, and leaves when it does not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conference::Waiting;
use rand::Rng;
use rand::distr::Alphanumeric;
use tokio::time::Instant;
use types::MeetingId;

/// Tickets at a time, of all meetings.
const MAX_TICKETS: usize = 10_000;
/// Whoever does not poll for this long has closed the page.
pub const UNPOLLED: Duration = Duration::from_secs(15);
/// Letters and digits of a ticket: 190 bits.
const LENGTH: usize = 32;

/// All tickets. Clones are the same.
#[derive(Clone)]
pub struct Tickets {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    unpolled: Duration,
}

struct Entry {
    ticket: Arc<Ticket>,
    /// Polls that go on.
    polls: usize,
    seen: Instant,
}

/// Somebody's place before a meeting.
pub struct Ticket {
    pub meeting: MeetingId,
    pub waiting: Waiting,
    /// What it gets once it is admitted.
    pub entry: crate::join::Entry,
}

/// A poll that goes on: as long as it does its ticket stays.
pub struct Poll {
    pub ticket: Arc<Ticket>,
    tickets: Tickets,
    key: String,
}

impl Tickets {
    /// Tickets that end when nobody polls with them for so long.
    pub fn new(unpolled: Duration) -> Self {
        Self { entries: Arc::default(), unpolled }
    }

    /// A new ticket; `None`: there are too many.
    pub fn issue(&self, ticket: Ticket) -> Option<String> {
        let random = rand::rng().sample_iter(Alphanumeric).take(LENGTH);
        let key: String = random.map(char::from).collect();
        {
            let mut entries = self.lock();
            if entries.len() >= MAX_TICKETS {
                return None;
            }
            let entry = Entry { ticket: Arc::new(ticket), polls: 0, seen: Instant::now() };
            entries.insert(key.clone(), entry);
        }
        tokio::spawn(self.clone().expire(key.clone()));
        Some(key)
    }

    /// Begins a poll; `None`: there is no such ticket for this meeting.
    pub fn poll(&self, meeting: &MeetingId, key: &str) -> Option<Poll> {
        let mut entries = self.lock();
        let entry = entries.get_mut(key).filter(|it| it.ticket.meeting == *meeting)?;
        entry.polls += 1;
        let ticket = entry.ticket.clone();
        Some(Poll { ticket, tickets: self.clone(), key: key.to_owned() })
    }

    /// Takes a ticket back; `false`: there is none.
    pub fn take_back(&self, meeting: &MeetingId, key: &str) -> bool {
        let mut entries = self.lock();
        let fits = entries.get(key).is_some_and(|it| it.ticket.meeting == *meeting);
        fits && entries.remove(key).is_some()
    }

    async fn expire(self, key: String) {
        loop {
            let due = {
                let mut entries = self.lock();
                let Some(entry) = entries.get(&key) else { return };
                let now = Instant::now();
                let seen = if entry.polls > 0 { now } else { entry.seen };
                if seen + self.unpolled <= now {
                    entries.remove(&key);
                    return;
                }
                seen + self.unpolled
            };
            tokio::time::sleep_until(due).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        if let Some(entry) = self.tickets.lock().get_mut(&self.key) {
            entry.polls = entry.polls.saturating_sub(1);
            entry.seen = Instant::now();
        }
    }
}
