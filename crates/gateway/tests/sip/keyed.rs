//! Room systems whose SRTP keys a DTLS handshake makes (RFC 5763), and what becomes of those that do
//! it wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use rtp::lane::MediaPacket;
use rtp::payload::audio::Tone;
use rtp::rtcp::NtpClock;
use sfu::LegPath;
use sfu::transport::plain::{
    Certificate, DtlsKeys, HandshakeError, Leg, LegMedia, LegNumbers, LegOut, LegPort, LegStream,
};
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};
use types::{AudioCodec, Codec, FingerprintHash, Fingerprints, MediaKind};

use crate::bridge::{PATIENCE, loopback};
use crate::house::{House, MEDIA};
use crate::raw::Peer;

/// A body with sound at this port, under these attributes.
fn offer(port: u16, attributes: &[&str]) -> String {
    let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
    let lines: String = attributes.iter().map(|it| format!("a={it}\r\n")).collect();
    format!("{head}m=audio {port} UDP/TLS/RTP/SAVP 0\r\n{lines}")
}

/// A room system in a call, which begins the handshake.
struct Room {
    peer: Peer,
    media: Media,
}

/// Its side of the media.
struct Media {
    socket: UdpSocket,
    server: SocketAddr,
    leg: Leg,
    got: Got,
}

#[derive(Default)]
struct Got {
    transmits: Vec<Vec<u8>>,
    packets: usize,
}

impl LegOut for Got {
    fn transmit(&mut self, port: LegPort, _: SocketAddr, contents: &[u8]) {
        assert_eq!(port, LegPort::AudioRtp);
        self.transmits.push(contents.to_vec());
    }

    fn packet(&mut self, _: MediaKind, packet: MediaPacket, _: Codec) {
        assert_eq!(packet.payload.len(), 160, "20 ms of sound");
        self.packets += 1;
    }

    fn begins_anew(&mut self, _: MediaKind) {}
    fn key_frame_wanted(&mut self) {}
    fn key_frame_by_signalling(&mut self) {}
    fn tone(&mut self, _: Tone) {}
    fn forwardable(&mut self, _: bool) {}
    fn path(&mut self, _: LegPath) {}
    fn silent(&mut self) {}

    fn unkeyed(&mut self, reason: HandshakeError) {
        panic!("it takes ours: {reason}");
    }
}

impl Room {
    /// It tells of this certificate, and has that one.
    async fn calls(house: &House, told: &Certificate, has: &Arc<Certificate>) -> Self {
        let mut peer = house.caller().await;
        let socket = UdpSocket::bind(loopback()).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let fingerprint = format!("fingerprint:{}", told.fingerprint());
        let offer = offer(port, &[&fingerprint, "setup:actpass", "rtcp-mux"]);
        let answer = peer.call(&offer).await;
        let agreed = sdp::parse(answer.body().as_bytes()).unwrap();
        let line = &agreed.media[0];
        assert_eq!((line.setup, line.rtcp_mux), (Some(sdp::Setup::Passive), true), "{}", answer.0);
        let server = SocketAddr::new(MEDIA.into(), line.port);
        let keys = DtlsKeys {
            certificate: has.clone(),
            active: true,
            fingerprints: Fingerprints {
                hash: FingerprintHash::Sha256,
                digests: vec![line.fingerprints[0].digest.clone()],
            },
        };
        let media = Media { socket, server, leg: leg(keys, server), got: Got::default() };
        Self { peer, media }
    }
}

impl Media {
    /// Goes on until `done`.
    async fn until(&mut self, done: impl Fn(&Got) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(&self.got) {
            assert!(Instant::now() < end, "{} packets came", self.got.packets);
            self.step().await;
        }
    }

    /// Sends what is to be sent; then takes what comes, or does what is due.
    async fn step(&mut self) {
        let next = self.leg.poll(Instant::now(), &mut self.got);
        for record in self.got.transmits.drain(..) {
            self.socket.send_to(&record, self.server).await.unwrap();
        }
        let mut buffer = [0; 2048];
        tokio::select! {
            got = self.socket.recv_from(&mut buffer) => {
                let (length, source) = got.unwrap();
                let record = &buffer[..length];
                self.leg.receive(LegPort::AudioRtp, source, record, Instant::now());
            }
            () = sleep_until(next.into()) => self.leg.handle_timeout(Instant::now()),
        }
    }
}

fn leg(keys: DtlsKeys, server: SocketAddr) -> Leg {
    let sound = Codec::Audio(AudioCodec::Pcmu);
    let stream = LegStream {
        remote_rtp: Some(server),
        remote_rtcp: None,
        rtcp_mux: true,
        send: true,
        receive: true,
        srtp: None,
        dtls: Some(keys),
        ice: None,
        codec: sound,
        payload_type: 0,
        receives: vec![(0, sound)],
        telephone_event: None,
        pli: false,
        fir: false,
        parameter_sets: Vec::new(),
    };
    let numbers = LegNumbers {
        audio_ssrc: 1,
        video_ssrc: 2,
        audio_seq: 1,
        video_seq: 1,
        audio_timestamp: 1,
        video_timestamp: 1,
    };
    let media = LegMedia { audio: Some(stream), video: None };
    let now = Instant::now();
    Leg::new(media, numbers, "room".into(), NtpClock::new(now, SystemTime::now()), now).unwrap()
}

#[tokio::test]
async fn a_handshake_makes_the_keys_whatever_else_comes_to_its_port() {
    let house = House::with(|_| {}).await;
    let certificate = Certificate::generate().unwrap();
    let mut room = Room::calls(&house, &certificate, &certificate).await;
    let stranger = UdpSocket::bind(loopback()).await.unwrap();
    for length in 1..200_u8 {
        let mut garbage = vec![length; usize::from(length) * 6];
        garbage[0] = 22;
        for socket in [&stranger, &room.media.socket] {
            socket.send_to(&garbage, room.media.server).await.unwrap();
        }
    }
    room.media.until(|got| got.packets > 20).await;
    room.peer.hang_up(2).await;
}

#[tokio::test]
async fn a_certificate_that_was_not_told_of_ends_the_call_and_the_bye_says_why() {
    let house = House::with(|_| {}).await;
    let [told, has] = [(); 2].map(|()| Certificate::generate().unwrap());
    let mut room = Room::calls(&house, &told, &has).await;
    let bye = timeout(PATIENCE, async {
        loop {
            tokio::select! {
                bye = room.peer.next_request() => return bye,
                () = room.media.step() => {}
            }
        }
    });
    let bye = bye.await.expect("it is hung up");
    assert!(bye.first_line().starts_with("BYE "), "{}", bye.0);
    let reason = bye.header("Reason").unwrap();
    assert!(
        reason.starts_with("SIP;cause=488;text=") && reason.contains("fingerprint"),
        "{reason}"
    );
    room.peer.respond(&bye, "200 OK", "").await;
    assert_eq!(room.media.got.packets, 0, "nothing was sent to whoever that is");
}

#[tokio::test]
async fn what_cannot_be_agreed_on_is_refused() {
    let house = House::with(|_| {}).await;
    let certificate = Certificate::generate().unwrap();
    let good = format!("fingerprint:{}", certificate.fingerprint());
    let sha1 = "fingerprint:sha-1 DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09";
    for attributes in [
        [good.as_str(), "rtcp-mux"].as_slice(),
        &[&good, "rtcp-mux", "setup:holdconn"],
        &[&good, "setup:actpass"],
        &["rtcp-mux", "setup:actpass"],
        &["rtcp-mux", "setup:actpass", sha1],
    ] {
        let mut peer = house.caller().await;
        peer.send("INVITE", 1, &offer(40_000, attributes)).await;
        assert_eq!(peer.answer(1, "INVITE").await.status(), 488, "{attributes:?}");
        peer.send("ACK", 1, "").await;
    }
}

#[tokio::test]
async fn a_peer_that_does_ice_is_answered_as_lite_with_the_announced_address() {
    let house = House::with(|_| {}).await;
    let certificate = Certificate::generate().unwrap();
    let fingerprint = format!("fingerprint:{}", certificate.fingerprint());
    let ice = ["ice-ufrag:Room", "ice-pwd:aPasswordOf22CharsOrMore"];
    let lines = [[&fingerprint, "setup:actpass", "rtcp-mux"].as_slice(), &ice].concat();
    let mut peer = house.caller().await;
    let answer = peer.call(&offer(40_000, &lines)).await;
    let body = answer.body();
    let line = &sdp::parse(body.as_bytes()).unwrap().media[0];
    let candidate = format!("a=candidate:1 1 UDP 2130706431 127.0.0.1 {} typ host", line.port);
    assert!(line.ice && body.lines().any(|it| it == candidate), "{body}");
    assert!(body.split("m=").next().unwrap().contains("a=ice-lite\r\n"), "{body}");
    let first = body.lines().find(|it| it.starts_with("a=ice-pwd:")).unwrap().to_owned();

    // The same again keeps them, and another password is another beginning.
    for (cseq, lines, same) in [(2, lines.clone(), true), (3, restarted(&lines), false)] {
        peer.send("INVITE", cseq, &offer(40_000, &lines)).await;
        let answer = peer.answer(cseq, "INVITE").await;
        peer.send("ACK", cseq, "").await;
        assert_eq!(answer.body().contains(&first), same, "{}", answer.0);
    }
    peer.hang_up(4).await;
}

fn restarted<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let other = |it: &&'a str| match it.starts_with("ice-pwd") {
        true => "ice-pwd:anotherPasswordOf22OrMore",
        false => *it,
    };
    lines.iter().map(other).collect()
}
