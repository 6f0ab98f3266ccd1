//! Control of a room system's camera: H.224 over RTP, on a port of its own beside the call's media.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conference::{CameraOrder, CameraRefusal, Motion};
use rtp::packet::{Header, Packet};
use rtp::payload::h224::{Frame, Request};
use rtp::srtp::Srtp;
use sdp::CameraStream;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use types::{Identity, MeetingId};

/// Orders that may wait for one camera: more are refused.
const ORDERS: usize = 8;
/// A motion ends by itself after 800 ms that nobody continues (H.281).
const CONTINUE: Duration = Duration::from_millis(400);
/// A motion that nobody stops ends after this long: whoever began it may be gone.
const LONGEST: Duration = Duration::from_secs(5);
/// Who asks who is here is answered this often at most.
const TELL: Duration = Duration::from_millis(100);
/// Ticks of H.224's RTP clock in a second (RFC 4573).
const CLOCK: f64 = 4800.0;
/// Frames are of some dozen bytes; with SRTP and RTP far less than this.
const MAX_PACKET: usize = 1500;

/// What hosts want of one camera.
pub(super) struct Orders {
    sender: mpsc::Sender<CameraOrder>,
    receiver: mpsc::Receiver<CameraOrder>,
}

impl Orders {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(ORDERS);
        Self { sender, receiver }
    }

    pub(super) async fn next(&mut self) -> CameraOrder {
        match self.receiver.recv().await {
            Some(order) => order,
            // It holds a sender itself.
            None => std::future::pending().await,
        }
    }
}

/// Cameras that may be steered now, by who has them in a meeting.
#[derive(Default)]
pub(crate) struct Cameras(Mutex<HashMap<Identity, (MeetingId, mpsc::Sender<CameraOrder>)>>);

/// A camera's place among them; dropped, it is steered no more.
pub(super) struct Steered {
    cameras: Arc<Cameras>,
    identity: Identity,
}

impl Cameras {
    pub(super) fn add(
        self: &Arc<Self>,
        meeting: MeetingId,
        identity: Identity,
        orders: &Orders,
    ) -> Steered {
        self.lock().insert(identity.clone(), (meeting, orders.sender.clone()));
        Steered { cameras: self.clone(), identity }
    }

    pub(crate) fn steer(
        &self,
        meeting: &MeetingId,
        identity: &Identity,
        order: CameraOrder,
    ) -> Result<(), CameraRefusal> {
        let cameras = self.lock();
        let found = cameras.get(identity).filter(|it| it.0 == *meeting);
        let (_, orders) = found.ok_or(CameraRefusal::NoCamera)?;
        orders.try_send(order).map_err(|_| CameraRefusal::Busy)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, (MeetingId, mpsc::Sender<CameraOrder>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Steered {
    fn drop(&mut self) {
        self.cameras.lock().remove(&self.identity);
    }
}

/// A camera that may be steered.
pub(super) struct Camera {
    socket: Arc<UdpSocket>,
    peer: SocketAddr,
    payload_type: u8,
    /// Ours, the peer's.
    srtp: Option<(Srtp, Srtp)>,
    ssrc: u32,
    seq: u16,
    began: Instant,
    /// When it was last told who is here; `None`: that is due.
    told: Option<Instant>,
    /// The other side has said whether it has a camera: once is enough.
    listed: bool,
    moving: Option<Moving>,
}

struct Moving {
    motion: Motion,
    continue_at: Instant,
    until: Instant,
}

impl Camera {
    /// As it was agreed on; `None` where nothing may be sent.
    pub(super) fn new(socket: Arc<UdpSocket>, stream: &CameraStream, now: Instant) -> Option<Self> {
        let CameraStream { transport, payload_type } = stream;
        let peer = transport.rtp.filter(|_| transport.send)?;
        let srtp = transport.srtp.as_ref().map(|it| {
            let keys = [&it.local, &it.remote].map(|key| Srtp::new(it.suite, key.key_and_salt()));
            let [ours, peers] = keys;
            Ok::<_, rtp::srtp::SrtpError>((ours?, peers?))
        });
        let srtp = srtp.transpose().inspect_err(|error| {
            tracing::info!(%error, "a camera is not steered: its keys do not fit");
        });
        Some(Self {
            socket,
            peer,
            payload_type: *payload_type,
            srtp: srtp.ok()?,
            ssrc: rand::random(),
            seq: rand::random(),
            began: now,
            told: None,
            listed: false,
            moving: None,
        })
    }

    /// The next frame of the other side; others' packets and noise are passed over.
    pub(super) async fn hear(&mut self) -> Frame {
        let mut bytes = [0; MAX_PACKET];
        loop {
            // What comes back of a port that is closed is no end: it may be opened again.
            let Ok((length, from)) = self.socket.recv_from(&mut bytes).await else { continue };
            if from.ip() != self.peer.ip() {
                continue;
            }
            let Some(packet) = bytes.get(..length) else { continue };
            let plain = match &mut self.srtp {
                Some((_, peers)) => peers.unprotect_rtp(packet).ok(),
                None => Some(packet.to_vec()),
            };
            if let Some(plain) = plain
                && let Ok(packet) = Packet::parse(&plain)
                && packet.header.pt == self.payload_type
                && let Ok(frame) = Frame::parse(packet.payload)
            {
                return frame;
            }
        }
    }

    /// Takes what the other side says. Whether it has a camera that can be steered, where it says so
    /// for the first time.
    pub(super) fn heard(&mut self, frame: &Frame, now: Instant) -> Option<bool> {
        match frame {
            Frame::AskClients => {
                self.told = self.told.filter(|it| now.saturating_duration_since(*it) < TELL);
            }
            Frame::Clients { camera } if !std::mem::replace(&mut self.listed, true) => {
                return Some(*camera);
            }
            _ => {}
        }
        None
    }

    /// When [`Self::do_what_is_due`] has to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let greeting = self.told.is_none().then_some(self.began);
        let moving = self.moving.as_ref().map(|it| it.continue_at.min(it.until));
        greeting.into_iter().chain(moving).min()
    }

    /// Tells that somebody is here who steers cameras; lets a motion go on, or ends it.
    pub(super) async fn do_what_is_due(&mut self, now: Instant) {
        if self.told.is_none() {
            self.told = Some(now);
            self.send(&Frame::Clients { camera: true }, now).await;
        }
        let Some(moving) = &mut self.moving else { return };
        if now >= moving.until {
            self.stop(now).await;
        } else if now >= moving.continue_at {
            moving.continue_at = now + CONTINUE;
            let motion = moving.motion;
            self.send(&Frame::Camera(Request::Continue(motion)), now).await;
        }
    }

    /// Does what a host wants.
    pub(super) async fn obey(&mut self, order: CameraOrder, now: Instant) {
        self.stop(now).await;
        let request = match order {
            CameraOrder::Stop => return,
            CameraOrder::Move(motion) => {
                let (continue_at, until) = (now + CONTINUE, now + LONGEST);
                self.moving = Some(Moving { motion, continue_at, until });
                Request::Start(motion)
            }
            CameraOrder::Store(place) => Request::Store(place),
            CameraOrder::Recall(place) => Request::Recall(place),
        };
        self.send(&Frame::Camera(request), now).await;
    }

    /// It was agreed on anew, or is there no more: its motion goes on there, or ends here.
    pub(super) async fn give_way(mut self, next: Option<&mut Self>, now: Instant) {
        match next {
            Some(next) => next.moving = self.moving,
            None => self.stop(now).await,
        }
    }

    async fn stop(&mut self, now: Instant) {
        if let Some(Moving { motion, .. }) = self.moving.take() {
            self.send(&Frame::Camera(Request::Stop(motion)), now).await;
        }
    }

    async fn send(&mut self, frame: &Frame, now: Instant) {
        self.seq = self.seq.wrapping_add(1);
        let elapsed = now.saturating_duration_since(self.began).as_secs_f64();
        let header = Header {
            pt: self.payload_type,
            seq: self.seq,
            timestamp: (elapsed * CLOCK) as u64 as u32,
            ssrc: self.ssrc,
            marker: true,
        };
        let packet = header.packet(&frame.payload());
        let packet = match &mut self.srtp {
            Some((ours, _)) => ours.protect_rtp(&packet).ok(),
            None => Some(packet),
        };
        // One that is lost is as one that the network lost: the next says how it stands.
        if let Some(packet) = packet {
            let _ = self.socket.send_to(&packet, self.peer).await;
        }
    }
}
