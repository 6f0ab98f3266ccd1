//! A WebRTC client on a socket of its own: ICE, DTLS and SRTP in full, with the reports that a
//! browser would send, so that a server is spared none of its work.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};
use udp::{Purpose, SendBatch, Socket};

use crate::fault::{Doing, Fault, Result, missing};
use crate::machine;
use crate::packets;

pub struct Client {
    socket: Socket,
    rtc: Rtc,
    batch: SendBatch,
    timeout: Instant,
    pending: Option<SdpPendingOffer>,
    /// The section of a picture that was offered, and that of sound.
    mid: Option<Mid>,
    sound: Option<Mid>,
    state: State,
    sent: u64,
    sounds: u64,
}

/// What events have told.
#[derive(Default)]
struct State {
    connected: bool,
    lost: bool,
    received: u64,
    longest: usize,
}

impl Client {
    pub fn new(purpose: Purpose) -> Result<Self> {
        let address = SocketAddr::from((machine::ADDRESS, 0));
        let socket = Socket::bind_for(address, purpose).doing("a socket")?;
        let now = Instant::now();
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(now);
        let candidate = Candidate::host(socket.local_addr(), "udp")
            .map_err(|error| Fault::Other(format!("a candidate: {error}")))?;
        rtc.add_local_candidate(candidate);
        Ok(Self {
            socket,
            rtc,
            batch: SendBatch::default(),
            timeout: now,
            pending: None,
            mid: None,
            sound: None,
            state: State::default(),
            sent: 0,
            sounds: 0,
        })
    }

    /// An offer to send or receive one picture.
    pub fn offer(&mut self, direction: Direction) -> Result<String> {
        let mut api = self.rtc.sdp_api();
        self.mid = Some(api.add_media(MediaKind::Video, direction, None, None, None));
        let (offer, pending) = api.apply().ok_or_else(|| missing("an offer"))?;
        self.pending = Some(pending);
        Ok(offer.to_sdp_string())
    }

    /// An offer to send a picture and sound, tracks of these names in one stream.
    pub fn offer_both(&mut self, stream: &str, picture: &str, sound: &str) -> Result<String> {
        let mut api = self.rtc.sdp_api();
        let mut add = |kind, track: &str| {
            let (stream, track) = (Some(stream.to_owned()), Some(track.to_owned()));
            Some(api.add_media(kind, Direction::SendOnly, stream, track, None))
        };
        self.mid = add(MediaKind::Video, picture);
        self.sound = add(MediaKind::Audio, sound);
        let (offer, pending) = api.apply().ok_or_else(|| missing("an offer"))?;
        self.pending = Some(pending);
        Ok(offer.to_sdp_string())
    }

    pub fn accept_answer(&mut self, sdp: &str) -> Result<()> {
        let pending = self.pending.take().ok_or_else(|| missing("an offer"))?;
        let answer = SdpAnswer::from_sdp_string(sdp)
            .map_err(|error| Fault::Other(format!("the server's answer: {error}")))?;
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    /// The answer to a server's offer.
    pub fn accept_offer(&mut self, sdp: &str) -> Result<String> {
        let offer = SdpOffer::from_sdp_string(sdp)
            .map_err(|error| Fault::Other(format!("the server's offer: {error}")))?;
        Ok(self.rtc.sdp_api().accept_offer(offer)?.to_sdp_string())
    }

    pub fn is_connected(&self) -> bool {
        self.state.connected
    }

    /// Packets of the measured kind that have come.
    pub fn received(&self) -> u64 {
        self.state.received
    }

    /// The longest datagram that has come.
    pub fn longest(&self) -> usize {
        self.state.longest
    }

    /// Takes what has come, and does what is due.
    pub fn drive(&mut self, now: Instant) -> Result<()> {
        let Self { socket, rtc, batch, state, timeout, .. } = self;
        let local = socket.local_addr();
        let mut failed = None;
        let mut more = true;
        while more {
            more = socket
                .recv(|datagram| {
                    state.longest = state.longest.max(datagram.contents.len());
                    let Ok(contents) = datagram.contents.try_into() else { return };
                    let source = datagram.source;
                    let receive =
                        Receive { proto: Protocol::Udp, source, destination: local, contents };
                    let taken = rtc.handle_input(Input::Receive(now, receive));
                    let drained =
                        taken.map_err(Fault::from).and_then(|()| drain(rtc, batch, state));
                    match drained {
                        Ok(next) => *timeout = next,
                        Err(fault) => failed = Some(fault),
                    }
                })
                .doing("receiving")?
                .more;
        }
        if let Some(fault) = failed {
            return Err(fault);
        }
        if *timeout <= now {
            rtc.handle_input(Input::Timeout(now))?;
            *timeout = drain(rtc, batch, state)?;
        }
        self.flush()?;
        if self.state.lost {
            return Err(Fault::Other("a client lost its server".into()));
        }
        Ok(())
    }

    /// Sends `count` packets as one burst.
    pub fn send(&mut self, count: u32, now: Instant) -> Result<()> {
        let pt = self.payload_type(Codec::Vp8)?;
        for _ in 0..count {
            let payload = packets::payload(self.sent);
            let timestamp = packets::timestamp(self.sent);
            let write = RtpWrite::new(pt, self.sent.into(), timestamp, now, payload);
            self.sent += 1;
            self.write(self.mid, write, now)?;
        }
        self.flush()
    }

    /// Sends 20 ms of sound.
    pub fn send_sound(&mut self, now: Instant) -> Result<()> {
        let (payload, timestamp) = packets::sound(self.sounds);
        let pt = self.payload_type(Codec::Opus)?;
        let level = ExtensionValues { audio_level: Some(-20), ..Default::default() };
        let write = RtpWrite::new(pt, self.sounds.into(), timestamp, now, payload);
        self.sounds += 1;
        self.write(self.sound, write.ext_vals(level), now)?;
        self.flush()
    }

    fn write(&mut self, section: Option<Mid>, write: RtpWrite, now: Instant) -> Result<()> {
        let mid = section.ok_or_else(|| missing("a media section"))?;
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).ok_or_else(|| missing("a stream"))?;
        stream.write_rtp(write);
        self.rtc.handle_input(Input::Timeout(now))?;
        self.timeout = drain(&mut self.rtc, &mut self.batch, &mut self.state)?;
        Ok(())
    }

    fn payload_type(&self, codec: Codec) -> Result<Pt> {
        let mut codecs = self.rtc.codec_config().iter();
        let found = codecs.find(|it| it.spec().codec == codec);
        Ok(found.ok_or_else(|| missing(format!("{codec:?}")))?.pt())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.batch.is_empty() {
            self.socket.send(&mut self.batch).doing("sending")?;
        }
        Ok(())
    }
}

/// Until nothing is left to do now; when there is again.
fn drain(rtc: &mut Rtc, batch: &mut SendBatch, state: &mut State) -> Result<Instant> {
    loop {
        match rtc.poll_output()? {
            Output::Timeout(at) => return Ok(at),
            Output::Transmit(transmit) => {
                batch
                    .push(transmit.destination, &transmit.contents)
                    .map_err(|error| Fault::Other(format!("a datagram: {error}")))?;
            }
            Output::Event(Event::RtpPacket(packet)) => {
                state.received += u64::from(packets::is_measured(&packet.payload));
            }
            Output::Event(Event::Connected) => state.connected = true,
            Output::Event(Event::IceConnectionStateChange(change)) => {
                state.lost = change.is_disconnected();
            }
            Output::Event(_) => {}
        }
    }
}

/// Drives all until everybody is connected.
pub fn connect(clients: &mut [Client]) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let deadline = Instant::now() + PATIENCE;
    while !clients.iter().all(Client::is_connected) {
        let now = Instant::now();
        if now > deadline {
            let missing = clients.iter().filter(|it| !it.is_connected()).count();
            let all = clients.len();
            return Err(Fault::Other(format!("{missing} of {all} clients do not connect")));
        }
        for client in &mut *clients {
            client.drive(now)?;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
