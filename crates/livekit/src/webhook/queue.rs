//! The queue of one URL: in order for each room, side by side for different ones.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use types::MeetingId;

use super::delivery::{Bounds, Message, Target};

/// What waits for one URL, or is on its way to it; more is dropped. Messages have some hundred bytes,
/// but for long metadata.
const BOUNDS: Bounds = Bounds { messages: 1000, bytes: 16 << 20 };
/// Rooms whose messages are on their way to one URL at a time.
const AT_ONCE: usize = 8;

/// Where messages for one URL are put.
pub struct Inbox {
    target: Arc<Target>,
    // Bounded by what the target admits.
    messages: mpsc::UnboundedSender<Arc<Message>>,
}

impl Inbox {
    /// Puts a message in, or drops it.
    pub fn put(&self, message: Arc<Message>) {
        if self.target.admit(message.size(), BOUNDS) {
            let _ = self.messages.send(message);
        }
    }
}

/// What waits.
#[derive(Default)]
struct Lanes {
    /// By room; a room has a lane while something of it waits or is on its way.
    lanes: HashMap<MeetingId, VecDeque<Arc<Message>>>,
    /// Rooms of which something waits and nothing is on its way.
    ready: VecDeque<MeetingId>,
}

/// The queue's task.
pub struct Queue {
    target: Arc<Target>,
    inbox: mpsc::UnboundedReceiver<Arc<Message>>,
    lanes: Lanes,
    under_way: JoinSet<MeetingId>,
}

impl Queue {
    /// Starts the queue of a URL. It ends once its inbox is dropped and everything is delivered or
    /// given up.
    pub fn start(target: Arc<Target>) -> (Inbox, JoinHandle<()>) {
        let (messages, inbox) = mpsc::unbounded_channel();
        let (lanes, under_way) = (Lanes::default(), JoinSet::new());
        let queue = Self { target: target.clone(), inbox, lanes, under_way };
        (Inbox { target, messages }, tokio::spawn(queue.run()))
    }

    async fn run(mut self) {
        let mut open = true;
        while open || !self.under_way.is_empty() {
            tokio::select! {
                message = self.inbox.recv(), if open => match message {
                    Some(message) => self.lanes.put(message),
                    None => open = false,
                },
                Some(done) = self.under_way.join_next() => {
                    if let Ok(room) = done {
                        self.lanes.free(room);
                    }
                }
            }
            while self.under_way.len() < AT_ONCE
                && let Some(message) = self.lanes.take()
            {
                let target = self.target.clone();
                self.under_way.spawn(async move {
                    target.deliver(&message).await;
                    message.room.clone()
                });
            }
        }
    }
}

impl Lanes {
    fn put(&mut self, message: Arc<Message>) {
        if let Some(lane) = self.lanes.get_mut(&message.room) {
            lane.push_back(message);
            return;
        }
        self.ready.push_back(message.room.clone());
        self.lanes.insert(message.room.clone(), VecDeque::from([message]));
    }

    /// The next message that may go; its room is busy until it is freed.
    fn take(&mut self) -> Option<Arc<Message>> {
        let room = self.ready.pop_front()?;
        self.lanes.get_mut(&room)?.pop_front()
    }

    fn free(&mut self, room: MeetingId) {
        match self.lanes.get(&room).map(VecDeque::is_empty) {
            Some(true) => {
                self.lanes.remove(&room);
            }
            Some(false) => self.ready.push_back(room),
            None => {}
        }
    }
}
