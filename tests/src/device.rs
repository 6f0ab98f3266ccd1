//! A room system made by hand: for what no other can be asked for, and for measuring. It sends a
//! clip frame by frame and its sound by one clock, and notes when everything of others comes.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use codec::{AudioEncoder, OpusSettings};
use rtp::packet::{Header, Packet, is_rtcp};
use rtp::payload::h264::{Mode, Packetizer};
use rtp::rtcp::{self, CompoundBuilder, NtpClock, NtpTime, Rtcp, SenderInfo};
use types::AudioCodec;

use crate::media::{H264Clip, RATE};
use crate::wait;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long a socket is listened to before a thread looks whether the call has ended.
const LOOK: Duration = Duration::from_millis(100);
/// Time of a packet of sound.
const PACKET: Duration = Duration::from_millis(20);
/// How often it reports.
const REPORT: Duration = Duration::from_millis(500);
const PCMU: u8 = 0;
const H264: u8 = 96;
/// Ticks a second of the clocks of sound and picture.
const CLOCKS: [u32; 2] = [8_000, 90_000];
const SOUND: usize = 0;
const PICTURE: usize = 1;

/// A packet that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When.
    pub arrival: Instant,
    /// Its header.
    pub header: Header,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// What came of one stream.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// In the order of arrival.
    pub packets: Vec<Received>,
    /// Moments of sender reports: the sender's wall clock and its RTP clock.
    pub reports: Vec<(NtpTime, u32)>,
}

/// What both threads share.
struct Shared {
    ended: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    heard: [Heard; 2],
    clip: Option<Arc<H264Clip>>,
    /// The clip's next frame.
    frame: usize,
    /// Its encoder begins anew: other numbers, another source.
    restarts: u32,
    key_frames_asked: u32,
    /// Whether it begins its clip anew when a key frame is asked for.
    obeys: bool,
}

/// A room system in a call, which ends with its owner.
pub struct Device {
    call: Call,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// From where and to where the reports on pictures go.
    reports: (UdpSocket, SocketAddr),
    /// When its clip and its sound began.
    pub began: Instant,
    /// What the wall clock said then.
    pub began_at: SystemTime,
}

impl Device {
    /// Dials a meeting, like `sip:demo@127.0.0.1:5060`, and sends from then on: the clip again and
    /// again, and a sound that `sound` tells by the number of the sample, at 48 kHz.
    ///
    /// # Panics
    /// When the call is not taken.
    pub fn dial(uri: &str, clip: H264Clip, sound: fn(u64) -> f32) -> Self {
        Self::dial_with(uri, clip, sound, "")
    }

    /// The same, with other lines than those of sound and picture after them in its offer.
    ///
    /// # Panics
    /// When the call is not taken, or one of its lines is not.
    pub fn dial_with(uri: &str, clip: H264Clip, sound: fn(u64) -> f32, lines: &str) -> Self {
        let sockets = [(); 4].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
        for socket in &sockets {
            socket.set_read_timeout(Some(LOOK)).expect("a timeout");
        }
        let ports = sockets.each_ref().map(|it| it.local_addr().expect("its port").port());
        let (call, remotes) = Call::dial(uri, &(offer(ports, clip.profile) + lines));
        let obeys = !clip.has_many_key_frames;
        let state = State { clip: Some(Arc::new(clip)), obeys, ..State::default() };
        let shared = Arc::new(Shared { ended: AtomicBool::new(false), state: Mutex::new(state) });
        let (began, began_at) = (Instant::now(), SystemTime::now());
        let [audio, audio_rtcp, video, video_rtcp] = sockets;
        let clone = |socket: &UdpSocket| socket.try_clone().expect("a socket");
        let reports = (clone(&video_rtcp), remotes[3]);
        let sender = Sender {
            shared: shared.clone(),
            sockets: [clone(&audio), clone(&audio_rtcp), clone(&video), clone(&video_rtcp)],
            remotes,
            began,
            clock: NtpClock::new(began, began_at),
            sent: [Sent::new(SOUND, 0), Sent::new(PICTURE, 0)],
        };
        let threads = vec![
            thread::spawn(move || sender.run(sound)),
            listen(&shared, SOUND, audio),
            listen(&shared, SOUND, audio_rtcp),
            listen(&shared, PICTURE, video),
            listen(&shared, PICTURE, video_rtcp),
        ];
        Self { call, shared, threads, reports, began, began_at }
    }

    /// Its encoder begins anew, with another clip: another source, other numbers.
    pub fn restart(&self, clip: H264Clip) {
        let mut state = self.state();
        state.obeys = !clip.has_many_key_frames;
        (state.clip, state.frame) = (Some(Arc::new(clip)), 0);
        state.restarts += 1;
    }

    /// The answer to its call.
    pub fn answer(&self) -> &str {
        &self.call.answer
    }

    /// How often a key frame was asked for.
    pub fn key_frames_asked(&self) -> u32 {
        self.state().key_frames_asked
    }

    /// What came since its beginning, sound and picture.
    pub fn heard(&self) -> [Heard; 2] {
        self.state().heard.clone()
    }

    /// Asks for a picture of so many bits a second at most, headers of 40 bytes a packet included
    /// (TMMBR, RFC 5104 section 4.2.1).
    ///
    /// # Panics
    /// When no picture came yet.
    pub fn wants_at_most(&self, bits: u32) {
        let [_, picture] = self.heard();
        let source = picture.packets.last().expect("a picture").header.ssrc;
        let exponent = bits.ilog2().saturating_sub(16);
        let limit = exponent << 26 | (bits >> exponent) << 9 | 40;
        let words = [0x83cd_0004, 1, 0, source, limit];
        let message: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
        let (socket, to) = &self.reports;
        socket.send_to(&message, to).expect("it is sent");
    }

    /// Bits a second of the picture's payload that came in the last seconds.
    pub fn picture_rate(&self, seconds: f64) -> f64 {
        let since = Instant::now() - Duration::from_secs_f64(seconds);
        let [_, picture] = self.heard();
        let came = picture.packets.iter().rev().take_while(|it| it.arrival > since);
        came.map(|it| it.payload.len() as f64 * 8.0).sum::<f64>() / seconds
    }

    /// Waits until it has sent for so long.
    pub fn wait_until_sent(&self, time: Duration) {
        wait::until("the device has sent long enough", time * 2, || {
            (self.began.elapsed() >= time).then_some(())
        });
    }

    /// Ends its call.
    pub fn hang_up(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !self.shared.ended.swap(true, Ordering::AcqRel) {
            self.call.hang_up();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no thread of it failed")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.end();
    }
}

/// One source of it.
struct Sent {
    ssrc: u32,
    seq: u16,
    /// The RTP time of its beginning.
    base: u32,
    packets: u32,
    bytes: u32,
}

impl Sent {
    fn new(kind: usize, restarts: u32) -> Self {
        let number = restarts * 2 + kind as u32 + 1;
        let base = number.wrapping_mul(0x9e37_79b9);
        Self { ssrc: base ^ 0x5eed, seq: (base >> 16) as u16, base, packets: 0, bytes: 0 }
    }
}

struct Sender {
    shared: Arc<Shared>,
    /// RTP and RTCP of sound, then of the picture.
    sockets: [UdpSocket; 4],
    remotes: [SocketAddr; 4],
    began: Instant,
    clock: NtpClock,
    sent: [Sent; 2],
}

impl Sender {
    fn run(mut self, sound: fn(u64) -> f32) {
        let mut encoder =
            AudioEncoder::new(AudioCodec::Pcmu, OpusSettings::default()).expect("an encoder");
        let (mut packets, mut frames, mut reports) = (0u32, 0u32, 0u32);
        let mut restarts = 0;
        while !self.shared.ended.load(Ordering::Acquire) {
            // A packet of sound is whole only after its time.
            let at = self.began + PACKET * (packets + 1);
            let fps = self.with_state(|it| it.clip.as_ref().map_or(15, |clip| clip.fps));
            let frame_at = self.began + Duration::from_secs(1) * frames / fps;
            let report_at = self.began + REPORT * reports;
            let next = at.min(frame_at).min(report_at);
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if next == at {
                self.send_sound(packets, &mut encoder, sound);
                packets += 1;
            } else if next == frame_at {
                let now = self.with_state(|it| it.restarts);
                if std::mem::replace(&mut restarts, now) != now {
                    self.sent[PICTURE] = Sent::new(PICTURE, now);
                }
                self.send_picture(frames, fps);
                frames += 1;
            } else {
                self.report(next);
                reports += 1;
            }
        }
    }

    fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.shared.state.lock().expect("no thread of it failed"))
    }

    fn send_sound(&mut self, packet: u32, encoder: &mut AudioEncoder, sound: fn(u64) -> f32) {
        let samples = RATE as u64 / 50;
        let first = u64::from(packet) * samples;
        let frame: Vec<f32> = (first..first + samples).map(sound).collect();
        let mut payload = Vec::new();
        encoder.encode(&frame, &mut payload).expect("encoded sound");
        self.send(SOUND, PCMU, packet.wrapping_mul(CLOCKS[SOUND] / 50), packet == 0, &payload);
    }

    fn send_picture(&mut self, number: u32, fps: u32) {
        let (frame, shown) = self.with_state(|it| {
            let clip = it.clip.clone().expect("a clip");
            let place = it.frame % clip.frames.len();
            it.frame = place + 1;
            let (frame, later) = clip.frames[place].clone();
            // Frames are sent in the order of decoding: one is shown before or after that.
            (frame, i64::from(number) + later)
        });
        let time = (shown * i64::from(CLOCKS[PICTURE] / fps)) as u32;
        let payloads = Packetizer::new(Mode::NonInterleaved).packetize(&frame).expect("packets");
        let last = payloads.len() - 1;
        for (place, payload) in payloads.iter().enumerate() {
            self.send(PICTURE, H264, time, place == last, payload);
        }
    }

    fn send(&mut self, kind: usize, pt: u8, time: u32, marker: bool, payload: &[u8]) {
        let sent = &mut self.sent[kind];
        let timestamp = sent.base.wrapping_add(time);
        let header = Header { pt, seq: sent.seq, timestamp, ssrc: sent.ssrc, marker };
        sent.seq = sent.seq.wrapping_add(1);
        sent.packets += 1;
        sent.bytes += payload.len() as u32;
        let place = kind * 2;
        let _ = self.sockets[place].send_to(&header.packet(payload), self.remotes[place]);
    }

    fn report(&self, at: Instant) {
        let since = at.saturating_duration_since(self.began).as_micros();
        for kind in [SOUND, PICTURE] {
            let Sent { ssrc, base, packets, bytes, .. } = self.sent[kind];
            let ticks = (since * u128::from(CLOCKS[kind]) / 1_000_000) as u32;
            let timestamp = base.wrapping_add(ticks);
            let info = SenderInfo { ntp: self.clock.ntp(at), timestamp, packets, bytes };
            let report = CompoundBuilder::new(ssrc, Some(info), &[], "device").finish();
            let place = kind * 2 + 1;
            let _ = self.sockets[place].send_to(&report, self.remotes[place]);
        }
    }
}

/// Takes in what comes to one port.
fn listen(shared: &Arc<Shared>, kind: usize, socket: UdpSocket) -> JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || {
        let mut bytes = [0; 2_048];
        while !shared.ended.load(Ordering::Acquire) {
            let Ok((length, _)) = socket.recv_from(&mut bytes) else { continue };
            let arrival = Instant::now();
            let mut state = shared.state.lock().expect("no thread of it failed");
            if is_rtcp(&bytes[..length]) {
                take_reports(&bytes[..length], kind, &mut state);
            } else if let Ok(packet) = Packet::parse(&bytes[..length]) {
                let (header, payload) = (packet.header, packet.payload.to_vec());
                state.heard[kind].packets.push(Received { arrival, header, payload });
            }
        }
    })
}

fn take_reports(bytes: &[u8], kind: usize, state: &mut State) {
    for report in rtcp::read(bytes).unwrap_or_default() {
        match report {
            Rtcp::SenderReport { info, .. } => {
                state.heard[kind].reports.push((info.ntp, info.timestamp));
            }
            Rtcp::Pli { .. } | Rtcp::Fir { .. } => {
                state.key_frames_asked += 1;
                if state.obeys {
                    state.frame = 0;
                }
            }
            _ => {}
        }
    }
}

fn offer(ports: [u16; 4], profile: &str) -> String {
    let [audio, audio_rtcp, video, video_rtcp] = ports;
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nb=AS:2000\r\nt=0 0\r\n\
         m=audio {audio} RTP/AVP {PCMU}\r\na=rtcp:{audio_rtcp}\r\na=rtpmap:{PCMU} PCMU/8000\r\n\
         a=sendrecv\r\n\
         m=video {video} RTP/AVP {H264}\r\na=rtcp:{video_rtcp}\r\na=rtpmap:{H264} H264/90000\r\n\
         a=fmtp:{H264} profile-level-id={profile};packetization-mode=1\r\n\
         a=rtcp-fb:{H264} nack pli\r\na=rtcp-fb:{H264} ccm fir\r\na=sendrecv\r\n"
    )
}

/// A dialog over UDP.
struct Call {
    socket: UdpSocket,
    uri: String,
    id: String,
    to: String,
    /// What the other side answered.
    answer: String,
}

impl Call {
    /// Dials; where RTP and RTCP of sound and picture go.
    fn dial(uri: &str, offer: &str) -> (Self, [SocketAddr; 4]) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let server = uri.split_once('@').expect("an address in the URI").1;
        socket.connect(server).expect("the server");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("device-{}-{count}", std::process::id());
        let (to, answer) = (format!("<{uri}>"), String::new());
        let mut call = Self { socket, uri: uri.to_owned(), id, to, answer };
        call.request("INVITE", 1, offer);
        let answer = call.wait_for_answer("1 INVITE");
        assert!(answer.starts_with("SIP/2.0 200"), "{uri}: {answer}");
        call.to = header(&answer, "To").expect("who answered").to_owned();
        call.request("ACK", 1, "");
        let addresses = addresses(&answer);
        call.answer = answer;
        (call, addresses)
    }

    fn request(&self, method: &str, number: u32, body: &str) {
        let Self { uri, id, to, .. } = self;
        let local = self.socket.local_addr().expect("its address");
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let message = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-{method}-{id}\r\n\
             From: \"Device\" <sip:device@{local}>;tag=device\r\nTo: {to}\r\nCall-ID: {id}\r\n\
             CSeq: {number} {method}\r\nContact: <sip:device@{local}>\r\nMax-Forwards: 70\r\n\
             {kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.send(message.as_bytes()).expect("the server is there");
    }

    /// The final answer to a request.
    fn wait_for_answer(&self, cseq: &str) -> String {
        let mut bytes = [0; 8_192];
        loop {
            let length = self.socket.recv(&mut bytes).expect("an answer in time");
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let ours = header(&message, "CSeq") == Some(cseq);
            if ours && !message.starts_with("SIP/2.0 1") {
                return message;
            }
        }
    }

    fn hang_up(&self) {
        self.request("BYE", 2, "");
        // A server that has ended answers no more.
        let _ = self.socket.recv(&mut [0; 8_192]);
    }
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let lines = message.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|it| it.1.trim())
}

/// Where an answer wants RTP and RTCP of its first two media.
fn addresses(answer: &str) -> [SocketAddr; 4] {
    let mut ports: Vec<u16> = Vec::new();
    for line in answer.lines() {
        let number = |text: &str| -> Option<u16> { text.split(' ').next()?.parse().ok() };
        if let Some((kind, rest)) = line.strip_prefix("m=").and_then(|it| it.split_once(' ')) {
            let port = number(rest).expect("a port");
            assert_ne!(port, 0, "{kind} is refused: {answer}");
            ports.extend([port, port + 1]);
        } else if let Some(port) = line.strip_prefix("a=rtcp:").and_then(number) {
            *ports.last_mut().expect("a medium") = port;
        }
    }
    let all = ports.into_iter().take(4).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    all.collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("two media: {answer}"))
}
