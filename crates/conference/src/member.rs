//! The participant's seam: what an adapter holds of its participant.

use std::sync::Arc;

use room::{Command, DataKind, LeaveReason, Notice};
use sfu::transport::webrtc::{Answer, NegotiationError, Offer};
use sfu::{DataChannel, PeerEvent, PeerEvents, ShardHandle, TrackLabel};
use tokio::sync::mpsc;
use types::{Identity, ParticipantSid, PeerId};

use crate::bridge::LegFormat;
use crate::meeting::{ActorMessage, ExecuteError, MeetingHandle};

/// Events that may wait for an adapter. Whoever is further behind is put out: what waits here must
/// not be lost.
pub(crate) const EVENT_QUEUE: usize = 1024;

/// Something that an adapter passes on to its client.
#[derive(Debug)]
pub enum MemberEvent {
    /// From the meeting's rules.
    Notice(Notice),
    /// The answer to the client's offer; section → track sid.
    Answer {
        /// The offer's number.
        id: u32,
        /// The text.
        sdp: String,
        /// Which media section carries which track.
        mids: Vec<(String, String)>,
    },
    /// An offer to the client; section → track sid.
    Offer {
        /// Our number of it.
        id: u32,
        /// The text.
        sdp: String,
        /// Which media section carries which track.
        mids: Vec<(String, String)>,
    },
    /// The client is to offer again with so many more sections to receive on.
    SectionsNeeded {
        /// For sound.
        audio: u32,
        /// For pictures.
        video: u32,
    },
    /// The participant's bandwidth leaves nothing for a picture any more, or something again.
    PictureHeld {
        /// Whose it is, and which.
        label: TrackLabel,
        /// Whether it is held back.
        held: bool,
    },
    /// The client's offer or answer could not be used.
    NegotiationFailed(NegotiationError),
    /// The client sent a data message.
    Data {
        /// On which channel.
        kind: DataKind,
        /// The whole message.
        message: Vec<u8>,
    },
}

/// A participant in a meeting. Dropping it takes the participant out.
pub struct Member {
    pub(crate) peer: PeerId,
    pub(crate) sid: ParticipantSid,
    pub(crate) identity: Identity,
    pub(crate) meeting: MeetingHandle,
    pub(crate) shard: ShardHandle,
    pub(crate) events: mpsc::Receiver<MemberEvent>,
    pub(crate) left: bool,
}

impl Member {
    /// Its connection.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Its name on the wire.
    pub fn sid(&self) -> &ParticipantSid {
        &self.sid
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its meeting.
    pub fn meeting(&self) -> &MeetingHandle {
        &self.meeting
    }

    /// The next event; `None` once the participant is out and everything was read.
    pub async fn next_event(&mut self) -> Option<MemberEvent> {
        self.events.recv().await
    }

    /// An event that came already.
    pub fn waiting_event(&mut self) -> Option<MemberEvent> {
        self.events.try_recv().ok()
    }

    /// Asks the meeting for something.
    ///
    /// # Errors
    /// The rule that forbids it, or that the meeting is over.
    pub async fn execute(&self, command: Command) -> Result<(), ExecuteError> {
        self.meeting.execute(command).await
    }

    /// Hands the client's offer to the media plane; the answer comes as an event.
    ///
    /// # Errors
    /// The text cannot be read.
    pub fn offer(&self, id: u32, sdp: &str) -> Result<(), NegotiationError> {
        let offer = Offer::parse(sdp)?;
        self.shard.send(sfu::Command::Offer { peer: self.peer, id, offer });
        Ok(())
    }

    /// Hands the client's answer to the media plane.
    ///
    /// # Errors
    /// The text cannot be read.
    pub fn answer(&self, sdp: &str) -> Result<(), NegotiationError> {
        let answer = Answer::parse(sdp)?;
        self.shard.send(sfu::Command::Answer { peer: self.peer, answer });
        Ok(())
    }

    /// The client found its way back, perhaps from another network.
    pub fn restart_ice(&self) {
        self.shard.send(sfu::Command::RestartIce(self.peer));
    }

    /// A room system negotiated its media anew.
    pub(crate) fn change_leg(&self, format: LegFormat) {
        self.meeting.change_leg(self.peer, format);
    }

    /// Its second picture is another one.
    pub(crate) fn change_content(&self, content: PeerId, format: LegFormat) {
        self.meeting.change_leg(content, format);
    }

    /// A room system asks for a key frame in its signalling.
    pub(crate) fn leg_needs_key_frame(&self) {
        self.meeting.leg_needs_key_frame(self.peer);
    }

    /// Sends the client a data message of the server's; it is lost while there is no channel yet.
    pub fn send_data(&self, kind: DataKind, message: Arc<[u8]>) {
        send_data(&self.shard, self.peer, kind, message);
    }

    /// Takes the participant out.
    pub fn leave(mut self, reason: LeaveReason) {
        self.left = true;
        self.meeting.leave(self.peer, reason);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.left {
            self.meeting.leave(self.peer, LeaveReason::ConnectionLost);
        }
    }
}

/// Sorts a peer's events: the rules' to the meeting's actor, the rest to the adapter.
pub(crate) struct EventSorter {
    pub(crate) actor: mpsc::UnboundedSender<ActorMessage>,
    pub(crate) adapter: mpsc::Sender<MemberEvent>,
}

impl PeerEvents for EventSorter {
    fn event(&mut self, peer: PeerId, event: PeerEvent) {
        let event = match event {
            PeerEvent::Answer { id, sdp, mids } => MemberEvent::Answer { id, sdp, mids },
            PeerEvent::Offer { id, sdp, mids } => MemberEvent::Offer { id, sdp, mids },
            PeerEvent::SectionsNeeded { audio, video } => {
                MemberEvent::SectionsNeeded { audio, video }
            }
            PeerEvent::PictureHeld { label, held } => MemberEvent::PictureHeld { label, held },
            PeerEvent::NegotiationFailed(error) => MemberEvent::NegotiationFailed(error),
            PeerEvent::Data { channel, message } => {
                MemberEvent::Data { kind: kind_of(channel), message }
            }
            event => {
                let _ = self.actor.send(ActorMessage::Peer { peer, event });
                return;
            }
        };
        let lossy = matches!(&event, MemberEvent::Data { kind, .. } if *kind != DataKind::Reliable);
        if self.adapter.try_send(event).is_err() && !lossy {
            let reason = LeaveReason::Misbehaved;
            let _ = self.actor.send(ActorMessage::Leave { peer, reason });
        }
    }
}

fn kind_of(channel: DataChannel) -> DataKind {
    match channel {
        DataChannel::Reliable => DataKind::Reliable,
        DataChannel::Lossy => DataKind::Lossy,
        DataChannel::Track => DataKind::Track,
    }
}

/// A message on its way to a data channel.
pub(crate) fn send_data(shard: &ShardHandle, peer: PeerId, kind: DataKind, message: Arc<[u8]>) {
    let channel = match kind {
        DataKind::Reliable => DataChannel::Reliable,
        DataKind::Lossy => DataChannel::Lossy,
        DataKind::Track => DataChannel::Track,
    };
    shard.send(sfu::Command::SendData { peer, channel, message });
}
