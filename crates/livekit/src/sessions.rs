//! The sessions that a client which lost its WebSocket may go on with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ws::WebSocket;
use conference::Member;
use sfu::transport::webrtc::Connections;
use tokio::sync::mpsc;
use types::{Identity, MeetingId, ParticipantSid};

/// The WebSocket with which a client goes on.
pub struct Handover(pub WebSocket);

/// Sessions by their participant. Clones are the same.
#[derive(Clone, Default)]
pub struct Sessions {
    entries: Arc<Mutex<HashMap<ParticipantSid, Entry>>>,
}

struct Entry {
    owner: Owner,
    handovers: mpsc::Sender<Handover>,
}

/// What a client has to show, by its token and its address, to go on with a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who.
    pub identity: Identity,
    /// Where.
    pub meeting: MeetingId,
    /// With how many peer connections.
    pub connections: Connections,
}

/// A session's place among the others; it ends with its owner.
pub struct Registration {
    sessions: Sessions,
    sid: ParticipantSid,
    /// New WebSockets of the client.
    pub handovers: mpsc::Receiver<Handover>,
}

impl Sessions {
    /// Makes a session known.
    pub fn register(&self, member: &Member, connections: Connections) -> Registration {
        let sid = member.sid().clone();
        let owner = Owner {
            identity: member.identity().clone(),
            meeting: member.meeting().id().clone(),
            connections,
        };
        // One at a time: a client that knocks again before it was heard has to wait.
        let (sender, handovers) = mpsc::channel(1);
        self.lock().insert(sid.clone(), Entry { owner, handovers: sender });
        Registration { sessions: self.clone(), sid, handovers }
    }

    /// Gives a session its client's new WebSocket; gives it back if there is no such session.
    ///
    /// Clients name the participant; one that does not is known by its identity.
    pub async fn hand_over(
        &self,
        sid: &ParticipantSid,
        owner: &Owner,
        socket: WebSocket,
    ) -> Result<(), WebSocket> {
        let found = {
            let entries = self.lock();
            let entry = if sid.as_str().is_empty() {
                entries.values().find(|it| it.owner == *owner)
            } else {
                entries.get(sid).filter(|it| it.owner == *owner)
            };
            entry.map(|it| it.handovers.clone())
        };
        let Some(handovers) = found else { return Err(socket) };
        handovers.send(Handover(socket)).await.map_err(|error| error.0.0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ParticipantSid, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.sid);
    }
}
