//! Meetings that run: participants who join by LiveKit's protocol over two connections, send sound
//! and a picture, and receive everybody else's.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use conference::access::{Grant, KeyRights, Keys, VideoGrant};
use livekit_protocol as lk;
use lk::signal_request::Message as Request;
use lk::signal_response::Message as Response;
use prost::Message as _;
use tungstenite::{Message as Frame, WebSocket};
use types::Identity;
use udp::Purpose;

use super::program::{self, KEY, Program, SECRET};
use super::{MEETINGS, PUBLISHERS};
use crate::fanout::client::Client;
use crate::fault::{Doing, Fault, Result};

/// Packets of a picture a second: 1.4 Mbit/s, as a camera of 720p sends.
const PICTURES: u32 = 150;
/// Packets that leave at once, as a pacer sends them.
const BURST: u32 = 5;
/// Packets of sound a second.
const SOUNDS: u32 = 50;
/// How often everybody's sockets are looked at.
const STEP: Duration = Duration::from_millis(2);
/// Clients tell that they are there.
const PING: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);

/// All meetings, with their participants.
pub struct Meetings {
    participants: Vec<Participant>,
}

impl Meetings {
    /// Everybody joins and publishes, until everybody receives everybody else.
    pub fn begin(program: &Program) -> Result<Self> {
        let mut meetings = Self { participants: Vec::new() };
        for number in 0..MEETINGS * PUBLISHERS {
            let meeting = program::meeting(number % MEETINGS);
            meetings.participants.push(Participant::join(program, &meeting, number)?);
            // Handshakes of those before have their patience.
            meetings.run(Duration::from_millis(50), || false)?;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before: Vec<u64> =
                meetings.participants.iter().map(Participant::received).collect();
            let second = Duration::from_secs(1);
            meetings.run(second, || false)?;
            let least = u64::from(PICTURES) * (PUBLISHERS as u64 - 1) * 9 / 10;
            let all = meetings.participants.iter().zip(&before);
            if all.into_iter().all(|(it, before)| it.received() - before >= least) {
                return Ok(meetings);
            }
            if Instant::now() > deadline {
                return Err(Fault::Other("not everybody receives everybody else".into()));
            }
        }
    }

    /// They go on for `time`, or until `over`.
    pub fn run(&mut self, time: Duration, over: impl Fn() -> bool) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let now = Instant::now();
            if now >= end || over() {
                return Ok(());
            }
            self.participants.iter_mut().try_for_each(|it| it.drive(now))?;
            std::thread::sleep((now + STEP).saturating_duration_since(Instant::now()));
        }
    }

    /// Packets of pictures that all have got so far.
    pub fn received(&self) -> u64 {
        self.participants.iter().map(Participant::received).sum()
    }

    /// What [`Self::received`] should grow by.
    pub fn packets_a_second(&self) -> f64 {
        (MEETINGS * PUBLISHERS * (PUBLISHERS - 1)) as f64 * f64::from(PICTURES)
    }
}

struct Participant {
    name: String,
    socket: WebSocket<TcpStream>,
    publisher: Client,
    subscriber: Client,
    /// When it began to send; everything is due from then on.
    began: Option<Instant>,
    bursts: u32,
    sounds: u32,
    ping: Instant,
}

impl Participant {
    fn join(program: &Program, meeting: &str, number: usize) -> Result<Self> {
        let name = format!("publisher-{number}");
        let token = token(&name, meeting)?;
        let server = program.http();
        let stream = TcpStream::connect(server).doing("connecting")?;
        stream.set_nodelay(true).doing("connecting")?;
        let url = format!("ws://{server}/rtc?access_token={token}&auto_subscribe=1");
        let (socket, _) = tungstenite::client(url, stream.try_clone().doing("connecting")?)
            .map_err(|error| Fault::Other(format!("joining: {error}")))?;
        stream.set_nonblocking(true).doing("connecting")?;
        let mut participant = Self {
            publisher: Client::new(Purpose::One)?,
            subscriber: Client::new(Purpose::One)?,
            name,
            socket,
            began: None,
            bursts: 0,
            sounds: 0,
            ping: Instant::now() + PING,
        };
        participant.publish()?;
        Ok(participant)
    }

    fn publish(&mut self) -> Result<()> {
        let [camera, microphone] = ["camera", "microphone"].map(|it| format!("{}-{it}", self.name));
        for (cid, kind, source) in [
            (&microphone, lk::TrackType::Audio, lk::TrackSource::Microphone),
            (&camera, lk::TrackType::Video, lk::TrackSource::Camera),
        ] {
            self.send(Request::AddTrack(lk::AddTrackRequest {
                cid: cid.clone(),
                r#type: kind as i32,
                source: source as i32,
                width: 1280,
                height: 720,
                ..Default::default()
            }))?;
        }
        let sdp = self.publisher.offer_both(&self.name, &camera, &microphone)?;
        self.send(Request::Offer(lk::SessionDescription {
            r#type: "offer".into(),
            sdp,
            id: 1,
            ..Default::default()
        }))
    }

    fn received(&self) -> u64 {
        self.subscriber.received()
    }

    /// Takes what has come, and does what is due.
    fn drive(&mut self, now: Instant) -> Result<()> {
        self.listen()?;
        if now >= self.ping {
            self.ping = now + PING;
            self.send(Request::PingReq(lk::Ping { timestamp: 1, rtt: 0 }))?;
        }
        self.publisher.drive(now)?;
        self.subscriber.drive(now)?;
        if !self.publisher.is_connected() {
            return Ok(());
        }
        let began = *self.began.get_or_insert(now);
        let due = |number: u32, rate: u32| began + Duration::from_secs(1) * number / rate <= now;
        while due(self.bursts, PICTURES / BURST) {
            self.bursts += 1;
            self.publisher.send(BURST, now)?;
        }
        while due(self.sounds, SOUNDS) {
            self.sounds += 1;
            self.publisher.send_sound(now)?;
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<()> {
        loop {
            let frame = match self.socket.read() {
                Ok(Frame::Binary(bytes)) => bytes,
                Ok(_) => continue,
                Err(tungstenite::Error::Io(error))
                    if error.kind() == std::io::ErrorKind::WouldBlock =>
                {
                    return Ok(());
                }
                Err(error) => return Err(Fault::Other(format!("{}: {error}", self.name))),
            };
            let response = lk::SignalResponse::decode(frame);
            let response = response.map_err(|error| Fault::Other(error.to_string()))?;
            match response.message {
                Some(Response::Answer(answer)) => self.publisher.accept_answer(&answer.sdp)?,
                Some(Response::Offer(offer)) => {
                    let sdp = self.subscriber.accept_offer(&offer.sdp)?;
                    self.send(Request::Answer(lk::SessionDescription {
                        r#type: "answer".into(),
                        sdp,
                        id: offer.id,
                        ..Default::default()
                    }))?;
                }
                Some(Response::Leave(leave)) => {
                    return Err(Fault::Other(format!("{} is put out: {leave:?}", self.name)));
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, request: Request) -> Result<()> {
        let bytes = lk::SignalRequest { message: Some(request) }.encode_to_vec();
        let sent = self.socket.send(Frame::Binary(bytes.into()));
        sent.map_err(|error| Fault::Other(format!("{}: {error}", self.name)))
    }
}

fn token(identity: &str, meeting: &str) -> Result<String> {
    let failed = |error: String| Fault::Other(format!("a token: {error}"));
    let mut keys = Keys::new();
    keys.add(KEY, SECRET, KeyRights::default()).map_err(|error| failed(error.to_string()))?;
    let grant = Grant {
        issuer: KEY.into(),
        identity: Some(Identity::new(identity)),
        video: VideoGrant { room_join: true, room: Some(meeting.into()), ..VideoGrant::default() },
        ..Grant::default()
    };
    let signed = Arc::new(keys).sign(&grant, Duration::from_secs(3600), SystemTime::now());
    signed.map_err(|error| failed(error.to_string()))
}
