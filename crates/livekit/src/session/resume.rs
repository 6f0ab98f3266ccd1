//! A session whose client lost its WebSocket: media go on, and the client may come back.
//!
//! What the client was not told meanwhile, or what was lost on the way to it, it gets as the
//! current state, after the message `reconnect`.

use std::collections::VecDeque;
use std::time::Duration;

use conference::MemberEvent;
use futures_util::StreamExt;
use livekit_protocol as lk;
use lk::signal_response::Message as Response;
use room::{LeaveReason, Notice, ParticipantView, Presence};
use tokio::time::{Instant, timeout_at};

use super::{Gone, Session, Writer};
use crate::outward;
use crate::sessions::Handover;

/// How long a session waits for its client. An app in a lift or a laptop between two networks needs
/// some seconds; ICE gives up after as long.
const RESUME_WINDOW: Duration = Duration::from_secs(15);
/// A WebSocket is known to be dead after a missed ping or two: so long ago is what may not have
/// come through.
const UNSURE: Duration = Duration::from_secs(60);
/// Participants of the last minute; in a meeting where more leave, a roster that still shows some
/// of them is the lesser evil.
const MAX_DEPARTED: usize = 256;
/// Other news that may wait for the client. Whoever missed more joins anew.
const MAX_NEWS: usize = 512;

/// What a client may have missed.
#[derive(Default)]
pub(super) struct Missed {
    /// Our offer that the client has not answered yet. It may be sent twice: the same offer once
    /// more changes nothing.
    pub unanswered: Option<lk::SessionDescription>,
    departed: VecDeque<(Instant, ParticipantView)>,
    news: Vec<Notice>,
    /// Pictures that were held back, or are so no more.
    streams: Vec<lk::StreamStateInfo>,
}

impl Missed {
    /// Notes who left, as long as it is not sure that the client knows.
    pub fn note_departed(&mut self, notice: &Notice) {
        let Notice::Participants(views) = notice else { return };
        let now = Instant::now();
        self.departed.retain(|it| now - it.0 < UNSURE);
        for view in views.iter().filter(|it| matches!(it.presence, Presence::Disconnected(_))) {
            if self.departed.len() >= MAX_DEPARTED {
                self.departed.pop_front();
            }
            self.departed.push_back((now, view.clone()));
        }
    }

    /// Keeps what the snapshot of the meeting will not tell. `false`: it is too much.
    fn keep(&mut self, notice: Notice) -> bool {
        self.note_departed(&notice);
        match &notice {
            // The snapshot tells.
            Notice::Participants(_) | Notice::Meeting(_) | Notice::Joined(_) => return true,
            // Both tell changes: older ones of the same participants do not count any more.
            Notice::Speakers(speakers) => {
                let told = |it: &Notice| {
                    matches!(it, Notice::Speakers(old)
                        if old.iter().all(|old| speakers.iter().any(|it| it.sid == old.sid)))
                };
                self.news.retain(|it| !told(it));
            }
            // The last one tells all.
            Notice::Lobby(_) => self.news.retain(|it| !matches!(it, Notice::Lobby(_))),
            Notice::Qualities(qualities) => {
                let told = |it: &Notice| {
                    matches!(it, Notice::Qualities(old)
                        if old.iter().all(|old| qualities.iter().any(|it| it.0 == old.0)))
                };
                self.news.retain(|it| !told(it));
            }
            _ => {}
        }
        self.news.push(notice);
        self.news.len() <= MAX_NEWS
    }

    fn keep_stream(&mut self, state: lk::StreamStateInfo) {
        self.streams.retain(|it| it.track_sid != state.track_sid);
        if self.streams.len() < MAX_NEWS {
            self.streams.push(state);
        }
    }
}

impl Session {
    /// Waits for the client to come back; the reason if it is given up.
    pub(super) async fn wait_for_client(&mut self) -> Result<Handover, LeaveReason> {
        tracing::info!("a client lost its WebSocket");
        let deadline = Instant::now() + RESUME_WINDOW;
        loop {
            tokio::select! {
                event = self.member.next_event() => match event {
                    Some(event) => if let Err(reason) = self.miss(event).await {
                        return Err(self.tell_late(reason, deadline).await);
                    },
                    None => return Err(LeaveReason::ByItself),
                },
                handover = timeout_at(deadline, self.registration.handovers.recv()) => {
                    return handover.ok().flatten().ok_or(LeaveReason::ConnectionLost);
                }
            }
        }
    }

    /// Its participant was put out meanwhile. If the client comes back it is told why: without a
    /// session it would join anew.
    async fn tell_late(&mut self, reason: LeaveReason, deadline: Instant) -> LeaveReason {
        use LeaveReason::{MeetingEnded, MovedToLobby, Removed, Replaced};
        if !matches!(reason, Removed | MovedToLobby | Replaced | MeetingEnded) {
            return reason;
        }
        let back = timeout_at(deadline, self.registration.handovers.recv()).await;
        if let Ok(Some(Handover(socket))) = back {
            self.writer = Writer { sink: socket.split().0 };
            let _ = self.tell_end(reason).await;
        }
        reason
    }

    /// Clients take a farewell seriously once they have been let in.
    async fn tell_end(&mut self, reason: LeaveReason) -> Result<(), Gone> {
        self.writer.send(outward::reconnect_response()).await?;
        self.writer.send(Response::Leave(outward::leave(reason))).await
    }

    /// An event that the client is not there for.
    async fn miss(&mut self, event: MemberEvent) -> Result<(), LeaveReason> {
        match event {
            MemberEvent::Notice(Notice::Left(reason)) => Err(reason),
            MemberEvent::Notice(notice) => {
                self.missed.keep(notice).then_some(()).ok_or(LeaveReason::ConnectionLost)
            }
            // Its data channels may still work.
            MemberEvent::Data { kind, message } => {
                self.pass_data(kind, message).await;
                Ok(())
            }
            MemberEvent::Offer { id, sdp, mids } => {
                self.missed.unanswered = Some(super::description("offer", id, sdp, mids));
                Ok(())
            }
            // It offers once more when it comes back, and then all is told anew.
            MemberEvent::Answer { .. } | MemberEvent::SectionsNeeded { .. } => Ok(()),
            MemberEvent::PictureHeld { label, held } => {
                self.missed.keep_stream(outward::stream_state(label, held));
                Ok(())
            }
            MemberEvent::NegotiationFailed(_) => Err(LeaveReason::ConnectionLost),
        }
    }

    /// Tells a client that came back how things stand.
    pub(super) async fn catch_up(&mut self) -> Result<(), Gone> {
        tracing::info!("a client goes on with its session");
        metrics::counter!("plenum_livekit_resumed_total").increment(1);
        while let Some(event) = self.member.waiting_event() {
            if let Err(reason) = self.miss(event).await {
                self.tell_end(reason).await?;
                return Err(Gone::Misbehaved);
            }
        }
        self.writer.send(outward::reconnect_response()).await?;
        if let Some(snapshot) = self.member.meeting().snapshot().await {
            let there = |gone: &ParticipantView| {
                snapshot.participants.iter().any(|it| it.identity == gone.identity)
            };
            let gone = self.missed.departed.iter().map(|it| &it.1).filter(|it| !there(it)).cloned();
            let views = gone.chain(snapshot.participants.iter().cloned()).collect();
            for notice in [Notice::Participants(views), Notice::Meeting(snapshot.meeting)] {
                self.tell(notice).await?;
            }
        }
        for notice in std::mem::take(&mut self.missed.news) {
            self.tell(notice).await?;
        }
        let stream_states = std::mem::take(&mut self.missed.streams);
        if !stream_states.is_empty() {
            let update = lk::StreamStateUpdate { stream_states };
            self.writer.send(Response::StreamStateUpdate(update)).await?;
        }
        if let Some(offer) = self.missed.unanswered.clone() {
            self.writer.send(Response::Offer(offer)).await?;
        }
        self.member.restart_ice();
        Ok(())
    }
}
