//! One client's signalling session.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, close_code};
use conference::{JoinError, JoinRequest, Member, MemberEvent};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as lk;
use lk::signal_request::Message as Request;
use lk::signal_response::Message as Response;
use prost::Message as _;
use room::{Command, DataKind, LeaveReason, Notice};
use sfu::transport::webrtc::Connections;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument;
use types::ParticipantSid;

use crate::Shared;
use crate::outward::{self, Told};
use crate::sessions::{Handover, Owner, Registration};
use resume::Missed;

mod data;
mod requests;
mod resume;

/// A client that does not take a message for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that says nothing for this long is given up: three missed pings and some.
const READ_TIMEOUT: Duration = Duration::from_secs(outward::PING_TIMEOUT as u64 + 5);
/// Messages a second that a client may send on average, and in a burst: a page that lays out a
/// hundred tiles sends a settings message for each.
const MESSAGE_RATE: f64 = 100.0;
const MESSAGE_BURST: f64 = 1000.0;

/// Runs a session until its end, or goes on with the one of `resumes`.
pub async fn run(
    socket: WebSocket,
    state: Shared,
    request: JoinRequest,
    first: lk::JoinRequest,
    resumes: Option<ParticipantSid>,
) {
    let (meeting, identity) = (request.meeting.clone(), request.identity.clone());
    let connections = request.connections;
    if let Some(sid) = resumes {
        let owner = Owner { identity, meeting, connections };
        let Err(socket) = state.sessions.hand_over(&sid, &owner, socket).await else { return };
        // Its session ended meanwhile.
        let mut writer = Writer { sink: socket.split().0 };
        let _ = writer.send(Response::Leave(join_anew())).await;
        return writer.close().await;
    }
    let (sink, stream) = socket.split();
    let mut writer = Writer { sink };
    let dual = connections == Connections::Dual;
    let member = match state.conference.join(request).await {
        Ok(member) => member,
        Err(error) => {
            tracing::info!(%meeting, %identity, %error, "a participant is refused");
            metrics::counter!("plenum_livekit_refused_total").increment(1);
            let _ = writer.send(Response::Leave(refusal(&error))).await;
            return writer.close().await;
        }
    };
    let span = tracing::info_span!("participant", %meeting, %identity, peer = %member.peer());
    let registration = state.sessions.register(&member, connections);
    let session = Session {
        member,
        state,
        writer,
        dual,
        budget: Budget::new(),
        registration,
        missed: Missed::default(),
    };
    session.run(stream, first).instrument(span).await;
}

struct Session {
    member: Member,
    state: Shared,
    writer: Writer,
    dual: bool,
    budget: Budget,
    registration: Registration,
    missed: Missed,
}

/// Why a client is not served any more.
enum Gone {
    /// Its WebSocket is lost; it may come back with another.
    Lost,
    /// It broke the protocol; the session ends.
    Misbehaved,
    /// It came back before its WebSocket was known to be lost.
    Back(Box<Handover>),
}

impl Session {
    async fn run(mut self, mut stream: SplitStream<WebSocket>, first: lk::JoinRequest) {
        let mut served = self.begin(first).await;
        let reason = loop {
            let gone = match served {
                Ok(()) => match self.serve(&mut stream).await {
                    Ok(reason) => break reason,
                    Err(gone) => gone,
                },
                Err(gone) => gone,
            };
            let back = match gone {
                Gone::Misbehaved => break LeaveReason::Misbehaved,
                Gone::Back(handover) => Ok(*handover),
                Gone::Lost => self.wait_for_client().await,
            };
            let Handover(socket) = match back {
                Ok(handover) => handover,
                Err(reason) => break reason,
            };
            let (sink, new_stream) = socket.split();
            let old = std::mem::replace(&mut self.writer, Writer { sink });
            tokio::spawn(old.close());
            stream = new_stream;
            served = self.catch_up().await;
        };
        let Self { member, writer, .. } = self;
        member.leave(reason);
        writer.close().await;
    }

    /// What comes along with the request to join.
    async fn begin(&mut self, first: lk::JoinRequest) -> Result<(), Gone> {
        for request in first.add_track_requests {
            self.handle(Request::AddTrack(request)).await?;
        }
        if let Some(offer) = first.publisher_offer {
            self.handle(Request::Offer(offer)).await?;
        }
        Ok(())
    }

    async fn serve(&mut self, stream: &mut SplitStream<WebSocket>) -> Result<LeaveReason, Gone> {
        let mut deadline = Instant::now() + READ_TIMEOUT;
        loop {
            tokio::select! {
                event = self.member.next_event() => match event {
                    Some(event) => {
                        if let Some(reason) = self.pass_on(event).await? {
                            return Ok(reason);
                        }
                    }
                    None => return Ok(LeaveReason::ByItself),
                },
                // Never `None`: the session itself keeps the sender's entry alive.
                Some(handover) = self.registration.handovers.recv() => {
                    return Err(Gone::Back(Box::new(handover)));
                }
                frame = timeout_at(deadline, stream.next()) => {
                    let Ok(Some(frame)) = frame else { return Err(Gone::Lost) };
                    let frame = frame.map_err(broken)?;
                    deadline = Instant::now() + READ_TIMEOUT;
                    match self.read(frame)? {
                        Some(Request::Leave(_)) => return Ok(LeaveReason::ByItself),
                        Some(request) => self.handle(request).await?,
                        None => {}
                    }
                }
            }
        }
    }

    fn read(&mut self, frame: Frame) -> Result<Option<Request>, Gone> {
        if !self.budget.take() {
            tracing::warn!("a client sends too many messages and is given up");
            metrics::counter!("plenum_livekit_rate_limited_total").increment(1);
            return Err(Gone::Misbehaved);
        }
        match frame {
            Frame::Binary(bytes) => match lk::SignalRequest::decode(bytes) {
                Ok(request) => Ok(request.message),
                Err(error) => {
                    tracing::debug!(%error, "a message cannot be read");
                    metrics::counter!("plenum_livekit_malformed_total").increment(1);
                    Ok(None)
                }
            },
            Frame::Close(_) => Err(Gone::Lost),
            Frame::Text(_) | Frame::Ping(_) | Frame::Pong(_) => Ok(None),
        }
    }

    /// Passes an event on to the client; the reason if it ends the session.
    async fn pass_on(&mut self, event: MemberEvent) -> Result<Option<LeaveReason>, Gone> {
        let response = match event {
            MemberEvent::Notice(notice) => {
                let left = match &notice {
                    Notice::Left(reason) => Some(*reason),
                    _ => None,
                };
                self.missed.note_departed(&notice);
                self.tell(notice).await?;
                return Ok(left);
            }
            MemberEvent::Answer { id, sdp, mids } => {
                Response::Answer(description("answer", id, sdp, mids))
            }
            MemberEvent::Offer { id, sdp, mids } => {
                let offer = description("offer", id, sdp, mids);
                self.missed.unanswered = Some(offer.clone());
                Response::Offer(offer)
            }
            MemberEvent::SectionsNeeded { audio, video } => {
                Response::MediaSectionsRequirement(lk::MediaSectionsRequirement {
                    num_audios: audio,
                    num_videos: video,
                })
            }
            MemberEvent::PictureHeld { label, held } => {
                let stream_states = vec![outward::stream_state(label, held)];
                Response::StreamStateUpdate(lk::StreamStateUpdate { stream_states })
            }
            MemberEvent::NegotiationFailed(error) => {
                tracing::warn!(%error, "a negotiation failed; the client is to join anew");
                Response::Leave(join_anew())
            }
            MemberEvent::Data { kind, message } => {
                self.pass_data(kind, message).await;
                return Ok(None);
            }
        };
        self.writer.send(response).await?;
        Ok(None)
    }

    /// Passes a client's data message on: to others, or to a call of the server API that waits for
    /// it.
    async fn pass_data(&mut self, kind: DataKind, message: Vec<u8>) {
        let packet = data::read(kind, &message);
        if packet.as_ref().is_some_and(|it| self.state.calls.hear(&self.member, it)) {
            return;
        }
        let command = data::stamp(&self.member, kind, packet, message);
        self.ask(command).await;
    }

    async fn tell(&mut self, notice: Notice) -> Result<(), Gone> {
        match outward::notice(notice, self.dual) {
            Told::Signal(message) => self.writer.send(*message).await,
            Told::Data(packet) => {
                self.member.send_data(DataKind::Reliable, packet.encode_to_vec().into());
                Ok(())
            }
        }
    }

    /// Asks the meeting; a refusal is only noted, where the protocol has no answer for it.
    async fn ask(&mut self, command: Command) {
        if let Err(error) = self.member.execute(command).await {
            tracing::debug!(%error, "refused");
        }
    }
}

/// A WebSocket that ends by accident, or with a frame that is no frame or too large.
fn broken(error: axum::Error) -> Gone {
    tracing::debug!(%error, "the WebSocket broke");
    metrics::counter!("plenum_livekit_broken_total").increment(1);
    let inner = error.into_inner();
    match inner.downcast_ref() {
        Some(tungstenite::Error::Capacity(_)) => Gone::Misbehaved,
        _ => Gone::Lost,
    }
}

/// Nothing can be gone on with: the client is to join again, by itself.
fn join_anew() -> lk::LeaveRequest {
    lk::LeaveRequest {
        can_reconnect: true,
        reason: lk::DisconnectReason::StateMismatch as i32,
        action: lk::leave_request::Action::Reconnect as i32,
        regions: None,
    }
}

fn description(
    kind: &str,
    id: u32,
    sdp: String,
    mids: Vec<(String, String)>,
) -> lk::SessionDescription {
    lk::SessionDescription {
        r#type: kind.into(),
        sdp,
        id,
        mid_to_track_id: mids.into_iter().collect(),
    }
}

fn refusal(error: &JoinError) -> lk::LeaveRequest {
    let reason = match error {
        JoinError::Stopping => lk::DisconnectReason::ServerShutdown,
        JoinError::NoSuchMeeting
        | JoinError::NotNow
        | JoinError::NoPorts
        | JoinError::Refused(_) => lk::DisconnectReason::JoinFailure,
    };
    lk::LeaveRequest { reason: reason as i32, ..Default::default() }
}

/// The WebSocket's writing half.
struct Writer {
    sink: SplitSink<WebSocket, Frame>,
}

impl Writer {
    async fn send(&mut self, response: Response) -> Result<(), Gone> {
        let bytes = lk::SignalResponse { message: Some(response) }.encode_to_vec();
        match timeout(WRITE_TIMEOUT, self.sink.send(Frame::Binary(bytes.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone::Lost),
        }
    }

    async fn close(mut self) {
        // Without a code clients take the end of a session that they asked for as an accident.
        let normal = CloseFrame { code: close_code::NORMAL, reason: "".into() };
        let farewell = async {
            self.sink.send(Frame::Close(Some(normal))).await?;
            self.sink.close().await
        };
        let _ = timeout(WRITE_TIMEOUT, farewell).await;
    }
}

/// How many messages a client may still send.
struct Budget {
    messages: f64,
    at: Instant,
}

impl Budget {
    fn new() -> Self {
        Self { messages: MESSAGE_BURST, at: Instant::now() }
    }

    fn take(&mut self) -> bool {
        let now = Instant::now();
        let earned = (now - self.at).as_secs_f64() * MESSAGE_RATE;
        self.messages = (self.messages + earned).min(MESSAGE_BURST) - 1.0;
        self.at = now;
        self.messages >= 0.0
    }
}
