//! A wire between two legs, a hand-made peer for one, and what they got.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rtp::packet::Header;
use rtp::rtcp::Rtcp;

use super::super::*;

/// Hosts; their four ports follow each other from 4000.
pub const HERE: u8 = 1;
pub const THERE: u8 = 2;
pub const PEER_SSRC: u32 = 0x00c0_ffee;
/// Between two packets of [`Pump::talk`].
pub const FRAME: Duration = Duration::from_millis(20);
/// From capture to sending.
pub const CAPTURE_DELAY: Duration = Duration::from_millis(30);

pub const PCMU: Codec = Codec::Audio(AudioCodec::Pcmu);
pub const H264: Codec = Codec::Video(VideoCodec::H264);

pub fn address(host: u8, port: LegPort) -> SocketAddr {
    let index = LegPort::ALL.iter().position(|it| *it == port).unwrap();
    SocketAddr::from(([10, 0, 0, host], 4000 + index as u16))
}

pub fn codec(kind: MediaKind) -> Codec {
    if kind == MediaKind::Audio { PCMU } else { H264 }
}

fn stream(kind: MediaKind, remote: u8) -> LegStream {
    let payload_type = if kind == MediaKind::Audio { 0 } else { 97 };
    LegStream {
        remote_rtp: Some(address(remote, LegPort::rtp(kind))),
        remote_rtcp: Some(address(remote, LegPort::rtcp(kind))),
        rtcp_mux: false,
        send: true,
        receive: true,
        srtp: None,
        dtls: None,
        ice: None,
        codec: codec(kind),
        payload_type,
        receives: vec![(payload_type, codec(kind))],
        telephone_event: Some((101, 8000)),
        pli: true,
        fir: false,
        parameter_sets: Vec::new(),
    }
}

/// What a leg at `_here` agreed on with `remote`.
pub fn media(_here: u8, remote: u8) -> LegMedia {
    LegMedia {
        audio: Some(stream(MediaKind::Audio, remote)),
        video: Some(stream(MediaKind::Video, remote)),
    }
}

pub fn each(mut media: LegMedia, mut change: impl FnMut(&mut LegStream)) -> LegMedia {
    media.audio.iter_mut().chain(media.video.as_mut()).for_each(&mut change);
    media
}

pub fn numbers(host: u8) -> LegNumbers {
    let host = u32::from(host);
    LegNumbers {
        audio_ssrc: 0x1000 + host,
        video_ssrc: 0x2000 + host,
        audio_seq: 0xfff0,
        video_seq: 0x7ff8,
        audio_timestamp: u32::MAX - 1000,
        video_timestamp: 5,
    }
}

pub fn leg(host: u8, media: LegMedia, now: Instant) -> Result<Leg, SrtpError> {
    let wall = UNIX_EPOCH + Duration::from_secs(1_700_000_000 + u64::from(host) * 86_400);
    Leg::new(media, numbers(host), format!("leg{host}"), NtpClock::new(now, wall), now)
}

/// The payload of a frame that [`Pump::talk`] sends.
pub fn content(kind: MediaKind, at: u64) -> [u8; 4] {
    [if kind == MediaKind::Audio { 0xff } else { 0x41 }, at as u8, 1, 2]
}

/// What a leg gave.
#[derive(Debug, Default)]
pub struct Got {
    pub packets: Vec<(MediaKind, MediaPacket, Codec)>,
    pub transmits: Vec<(LegPort, SocketAddr, Vec<u8>)>,
    times: Vec<(LegPort, Instant)>,
    now: Option<Instant>,
    pub key_frames: usize,
    pub signalling: usize,
    pub tones: Vec<Tone>,
    pub forwardable: Vec<bool>,
    pub unkeyed: Vec<HandshakeError>,
    pub silent: usize,
    pub path: Vec<LegPath>,
    /// How many packets of all came before each new beginning.
    pub begun_anew: Vec<(MediaKind, usize)>,
}

impl Got {
    pub fn of(&self, kind: MediaKind) -> Vec<&MediaPacket> {
        self.packets.iter().filter(|it| it.0 == kind).map(|it| &it.1).collect()
    }

    pub fn seqs(&self, kind: MediaKind) -> Vec<u64> {
        self.of(kind).iter().map(|it| it.seq).collect()
    }

    pub fn times_of(&self, port: LegPort) -> Vec<Instant> {
        self.times.iter().filter(|it| it.0 == port).map(|it| it.1).collect()
    }

    /// The RTCP that was sent in the clear.
    pub fn rtcp(&self) -> Vec<Rtcp> {
        let reports = self.transmits.iter().filter(|it| rtp::packet::is_rtcp(&it.2));
        reports.flat_map(|it| rtp::rtcp::read(&it.2).unwrap()).collect()
    }
}

impl LegOut for Got {
    fn transmit(&mut self, port: LegPort, destination: SocketAddr, contents: &[u8]) {
        self.transmits.push((port, destination, contents.to_vec()));
        self.times.extend(self.now.map(|now| (port, now)));
    }

    fn packet(&mut self, kind: MediaKind, packet: MediaPacket, codec: Codec) {
        self.packets.push((kind, packet, codec));
    }

    fn begins_anew(&mut self, kind: MediaKind) {
        self.begun_anew.push((kind, self.packets.len()));
    }

    fn key_frame_wanted(&mut self) {
        self.key_frames += 1;
    }

    fn key_frame_by_signalling(&mut self) {
        self.signalling += 1;
    }

    fn tone(&mut self, tone: Tone) {
        self.tones.push(tone);
    }

    fn forwardable(&mut self, yes: bool) {
        self.forwardable.push(yes);
    }

    fn path(&mut self, news: LegPath) {
        self.path.push(news);
    }

    fn silent(&mut self) {
        self.silent += 1;
    }

    fn unkeyed(&mut self, reason: HandshakeError) {
        self.unkeyed.push(reason);
    }
}

/// A leg at [`HERE`]; its peer at [`THERE`] is made by hand.
pub struct One {
    pub leg: Leg,
    pub now: Instant,
    pub began: Instant,
    pub got: Got,
    timeout: Instant,
}

impl One {
    pub fn new(media: LegMedia) -> Self {
        let now = Instant::now();
        let leg = leg(HERE, media, now).unwrap();
        Self { leg, now, began: now, got: Got::default(), timeout: now }
    }

    pub fn datagram(&mut self, port: LegPort, host: u8, contents: &[u8]) {
        self.datagram_from(port, address(host, port), contents);
    }

    pub fn datagram_from(&mut self, port: LegPort, source: SocketAddr, contents: &[u8]) {
        self.leg.receive(port, source, contents, self.now);
        self.poll();
    }

    pub fn sound(&mut self, seq: u16, timestamp: u32) {
        self.rtp(LegPort::AudioRtp, Header { pt: 0, seq, timestamp, ..peer() }, &[0xff; 160]);
    }

    pub fn tone(&mut self, seq: u16, timestamp: u32, payload: [u8; 4]) {
        self.rtp(LegPort::AudioRtp, Header { pt: 101, seq, timestamp, ..peer() }, &payload);
    }

    pub fn picture(&mut self, seq: u16, timestamp: u32, payload: &[u8]) {
        self.rtp(LegPort::VideoRtp, Header { pt: 97, seq, timestamp, ..peer() }, payload);
    }

    pub fn rtp(&mut self, port: LegPort, header: Header, payload: &[u8]) {
        self.datagram(port, THERE, &header.packet(payload));
    }

    /// Lets time pass, from one timeout to the next.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.poll();
        while self.timeout <= end {
            assert!(self.timeout > self.now, "a timeout that is over would never end");
            self.now = self.timeout;
            self.leg.handle_timeout(self.now);
            self.poll();
        }
        self.now = end;
    }

    fn poll(&mut self) {
        self.got.now = Some(self.now);
        self.timeout = self.leg.poll(self.now, &mut self.got);
    }
}

/// A header of the peer's.
pub fn peer() -> Header {
    Header { ssrc: PEER_SSRC, marker: true, ..Header::default() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

pub struct End {
    pub leg: Leg,
    pub got: Got,
    pub host: u8,
    /// Transmits that were delivered already.
    delivered: usize,
    frames: u64,
}

/// A leg at [`HERE`], one at [`THERE`], and a wire without delay.
pub struct Pump {
    pub left: End,
    pub right: End,
    pub now: Instant,
    /// Each so many-th RTP packet of either stream is lost.
    pub lose_every: Option<usize>,
    carried: [usize; 4],
    /// The host that the left's datagrams seem to come from.
    pub nat: Option<u8>,
}

impl Pump {
    pub fn new(left: LegMedia, right: LegMedia) -> Self {
        let now = Instant::now();
        let end = |host, media| End {
            leg: leg(host, media, now).unwrap(),
            got: Got::default(),
            host,
            delivered: 0,
            frames: 0,
        };
        Self {
            left: end(HERE, left),
            right: end(THERE, right),
            now,
            lose_every: None,
            carried: [0; 4],
            nat: None,
        }
    }

    pub fn packet(&self, kind: MediaKind, seq: u64, timestamp: u32) -> MediaPacket {
        MediaPacket {
            payload: Arc::from(content(kind, seq).as_slice()),
            seq,
            timestamp,
            marker: true,
            arrival: self.now,
            format: codec(kind).number(),
            audio_level: None,
            capture: Some(self.now - CAPTURE_DELAY),
        }
    }

    /// Sends so many frames of sound and picture, one each 20 ms.
    pub fn talk(&mut self, side: Side, frames: usize) {
        for _ in 0..frames {
            let at = self.end(side).frames;
            self.end(side).frames += 1;
            for kind in [MediaKind::Audio, MediaKind::Video] {
                let step = codec(kind).clock_rate() / 50;
                let packet = self.packet(kind, at, (at as u32).wrapping_mul(step));
                let now = self.now;
                self.end(side).leg.send(kind, &packet, now);
            }
            self.run(FRAME);
        }
    }

    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let timeout = self.settle();
            if timeout > end {
                break;
            }
            assert!(timeout > self.now, "a timeout that is over would never end");
            self.now = timeout;
            self.left.leg.handle_timeout(timeout);
            self.right.leg.handle_timeout(timeout);
        }
        self.now = end;
    }

    /// Delivers until nothing is on the wire.
    pub fn settle(&mut self) -> Instant {
        loop {
            let now = self.now;
            let left = self.left.leg.poll(now, &mut self.left.got);
            let right = self.right.leg.poll(now, &mut self.right.got);
            let moved = self.deliver(Side::Left) | self.deliver(Side::Right);
            if !moved {
                return left.min(right);
            }
        }
    }

    fn deliver(&mut self, from: Side) -> bool {
        let end = self.end(from);
        let sent = end.got.transmits.clone();
        let begin = std::mem::replace(&mut end.delivered, sent.len()).min(sent.len());
        let host = end.host;
        let host = self.nat.filter(|_| from == Side::Left).unwrap_or(host);
        let to = if from == Side::Left { Side::Right } else { Side::Left };
        for (port, destination, contents) in &sent[begin..] {
            if self.loses(*port, contents) {
                continue;
            }
            let now = self.now;
            let target = self.end(to);
            let theirs =
                LegPort::ALL.into_iter().find(|it| address(target.host, *it) == *destination);
            let theirs = theirs.or_else(|| {
                let nat = self.nat.filter(|_| to == Side::Left)?;
                LegPort::ALL.into_iter().find(|it| address(nat, *it) == *destination)
            });
            if let Some(theirs) = theirs {
                self.end(to).leg.receive(theirs, address(host, *port), contents, now);
            }
        }
        begin < sent.len()
    }

    fn loses(&mut self, port: LegPort, contents: &[u8]) -> bool {
        let Some(every) = self.lose_every.filter(|_| !rtp::packet::is_rtcp(contents)) else {
            return false;
        };
        let index = LegPort::ALL.iter().position(|it| *it == port).unwrap();
        self.carried[index] += 1;
        self.carried[index].is_multiple_of(every)
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }
}
