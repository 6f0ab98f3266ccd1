//! A room system that does what a test tells it, word for word: SIP over UDP, and one stream of
//! sound.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use codec::{AudioDecoder, AudioEncoder, OpusSettings};
use types::AudioCodec;

use crate::media::{self, Mark};
use crate::sight::Sight;
use crate::wait;

const PATIENCE: Duration = Duration::from_secs(15);
/// How long one look at a socket waits.
const LOOK: Duration = Duration::from_millis(5);
const FRAME: Duration = Duration::from_millis(20);
/// Samples of a frame, as the codecs take it.
const FRAME_SAMPLES: usize = media::RATE / 50;
const RTP_HEADER: usize = 12;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A SIP message that came.
#[derive(Clone, Debug)]
pub struct Message(pub String);

impl Message {
    /// The status of an answer, 0 for a request.
    pub fn status(&self) -> u16 {
        let status = self.0.strip_prefix("SIP/2.0 ").and_then(|it| it.get(..3));
        status.map_or(0, |it| it.parse().expect("a status"))
    }

    /// The method of a request.
    fn method(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head().lines().filter_map(|it| it.split_once(':')).find_map(|(found, value)| {
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Everything before the body.
    pub fn head(&self) -> &str {
        self.0.split("\r\n\r\n").next().unwrap_or_default()
    }

    /// Everything after the head.
    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |it| it.1)
    }
}

/// A room system in one call. It sends its mark's tone.
pub struct Caller {
    socket: UdpSocket,
    server: SocketAddr,
    uri: String,
    call_id: String,
    to_tag: String,
    cseq: u32,
    version: u32,
    sound: Arc<Sound>,
    media: Option<JoinHandle<()>>,
    sight: Option<Sight>,
    camera: Option<UdpSocket>,
}

struct Sound {
    socket: UdpSocket,
    mark: Mark,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Frames that go out before the tone goes on.
    keys: VecDeque<Vec<f32>>,
    to: Option<(SocketAddr, AudioCodec)>,
    heard: Vec<i16>,
    packets: u64,
    codec: Option<AudioCodec>,
    over: bool,
}

impl Sound {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// A room system that dials `uri`, such as `sip:demo@127.0.0.1:5060`.
    ///
    /// # Panics
    /// When it gets no port.
    pub fn new(uri: &str, mark: Mark) -> Self {
        // What comes last is its address, whether or not a user stands before it.
        let server = uri.rsplit_once('@').or(uri.split_once(':')).expect("an address").1;
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (socket, rtp) = (bind(), bind());
        for socket in [&socket, &rtp] {
            socket.set_read_timeout(Some(LOOK)).expect("a timeout");
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let sound = Arc::new(Sound { socket: rtp, mark, state: Mutex::default() });
        Self {
            socket,
            server: server.parse().expect("an IP address and a port"),
            uri: uri.to_owned(),
            call_id: format!("caller-{}-{number}", std::process::id()),
            to_tag: String::new(),
            cseq: 0,
            version: 0,
            sound,
            media: None,
            sight: None,
            camera: None,
        }
    }

    /// It takes a picture as well.
    #[must_use]
    pub fn with_picture(mut self) -> Self {
        self.sight = Some(Sight::open());
        self
    }

    /// It has a camera that may be steered (H.224).
    ///
    /// # Panics
    /// When it gets no port.
    #[must_use]
    pub fn with_camera(mut self) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        self.camera = Some(socket);
        self
    }

    /// The next frame of H.224 for its camera.
    ///
    /// # Panics
    /// When none comes.
    pub fn steered(&mut self) -> Vec<u8> {
        let mut bytes = [0; 1500];
        let camera = self.camera.as_ref().expect("a room system with a camera");
        let length = camera.recv(&mut bytes).expect("a frame for the camera");
        bytes[RTP_HEADER..length].to_vec()
    }

    /// Writes the picture that it sees into a file, in grey (PGM).
    ///
    /// # Panics
    /// When it sees none.
    pub fn picture(&self, file: &Path) {
        self.sight.as_ref().expect("a room system with a picture").picture(file);
    }

    /// A session description with these payload types, such as `0 8`, and a direction, which is that of
    /// the sound: a picture is taken and not sent.
    pub fn sdp(&mut self, formats: &str, direction: &str) -> String {
        self.version += 1;
        let port_of = |it: &UdpSocket| it.local_addr().expect("its port").port();
        let port = port_of(&self.sound.socket);
        let camera = self.camera.as_ref().map_or_else(String::new, |it| {
            format!("m=application {} RTP/AVP 100\r\na=rtpmap:100 H224/4800\r\n", port_of(it))
        });
        format!(
            "v=0\r\no=caller 1 {} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {formats}\r\na={direction}\r\n\
             m=video {} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\na=recvonly\r\n{camera}",
            self.version,
            self.sight.as_ref().map_or(0, Sight::port),
        )
    }

    /// Dials with a body (or with none); the final answer. One that is good is not acknowledged yet.
    pub fn invite(&mut self, body: &str) -> Message {
        let answer = self.ask("INVITE", "application/sdp", body);
        if answer.status() >= 300 {
            let to = answer.header("To").expect("To").to_owned();
            self.send("ACK", "", "", &to);
        } else {
            self.take_tag(&answer);
        }
        answer
    }

    /// Acknowledges a good answer to an INVITE.
    pub fn acknowledge(&mut self, body: &str) {
        let to = self.to();
        self.send("ACK", "application/sdp", body, &to);
    }

    /// Dials, offering these payload types, and lets sound flow.
    ///
    /// # Panics
    /// When it is refused.
    pub fn dial(&mut self, formats: &str) {
        let offer = self.sdp(formats, "sendrecv");
        let answer = self.invite(&offer);
        assert_eq!(answer.status(), 200, "{}", answer.0);
        self.acknowledge("");
        self.flow(answer.body());
    }

    /// Offers something else in the call, by INVITE or UPDATE; the answer.
    ///
    /// # Panics
    /// When it is refused.
    pub fn offer_again(&mut self, method: &str, formats: &str, direction: &str) -> String {
        let offer = self.sdp(formats, direction);
        let answer = self.ask(method, "application/sdp", &offer);
        assert_eq!(answer.status(), 200, "{}", answer.0);
        if method == "INVITE" {
            self.acknowledge("");
        }
        answer.body().to_owned()
    }

    /// Sends as this answer (or offer) of the server allows.
    ///
    /// # Panics
    /// When it cannot be used.
    pub fn flow(&mut self, sdp: &str) {
        let sdp = sdp.split("m=video").next().unwrap_or_default();
        let line = sdp.lines().find_map(|it| it.strip_prefix("m=audio ")).expect("sound");
        let words: Vec<&str> = line.split(' ').collect();
        let port: u16 = words[0].parse().expect("a port");
        let codec = codec_of(words[2].parse().expect("a payload type")).expect("a known codec");
        let sends = !sdp.contains("a=sendonly") && !sdp.contains("a=inactive");
        let to = SocketAddr::new(self.server.ip(), port);
        self.sound.state().to = sends.then_some((to, codec));
        if self.media.is_none() {
            let sound = self.sound.clone();
            self.media = Some(std::thread::spawn(move || run(&sound)));
        }
    }

    /// Sends (or not) whatever was agreed.
    pub fn cease(&mut self) {
        self.sound.state().to = None;
    }

    /// What it hears from now on for some seconds, at [`media::RATE`].
    pub fn heard(&mut self, seconds: f64) -> Vec<i16> {
        self.sound.state().heard.clear();
        let wanted = (seconds * media::RATE as f64) as usize;
        wait::until("it hears so much", PATIENCE + Duration::from_secs_f64(seconds), || {
            self.sound.state().heard.get(..wanted).map(<[i16]>::to_vec)
        })
    }

    /// Packets of sound that came so far.
    pub fn packets(&self) -> u64 {
        self.sound.state().packets
    }

    /// The codec of the last packet that came.
    pub fn codec(&self) -> Option<AudioCodec> {
        self.sound.state().codec
    }

    /// Presses a key, told in an INFO (`application/dtmf-relay`).
    ///
    /// # Panics
    /// When it is refused.
    pub fn press(&mut self, key: char) {
        let body = format!("Signal={key}\r\nDuration=160\r\n");
        let answer = self.ask("INFO", "application/dtmf-relay", &body);
        assert_eq!(answer.status(), 200, "{}", answer.0);
    }

    /// Presses keys that are heard in its sound alone, each for 120 ms, in the place of its tone.
    ///
    /// # Panics
    /// When there is no such key.
    pub fn sound(&mut self, keys: &str) {
        let frames: Vec<Vec<f32>> = keys.chars().flat_map(key_sound).collect();
        self.sound.state().keys.extend(frames);
    }

    /// Hangs up.
    ///
    /// # Panics
    /// When that is refused.
    pub fn hang_up(&mut self) {
        let answer = self.ask("BYE", "", "");
        assert_eq!(answer.status(), 200, "{}", answer.0);
    }

    /// Waits until the server hangs up, and agrees.
    pub fn wait_for_bye(&mut self, patience: Duration) {
        wait::until("the server hangs up", patience, || {
            let message = self.receive()?;
            self.agree(&message);
            (message.method() == "BYE").then_some(())
        });
    }

    /// Sends a request; its final answer.
    pub fn ask(&mut self, method: &str, kind: &str, body: &str) -> Message {
        self.cseq += 1;
        let to = self.to();
        self.send(method, kind, body, &to);
        let wanted = format!("{} {method}", self.cseq);
        wait::until(&format!("an answer to {method}"), PATIENCE, || {
            let message = self.receive()?;
            self.agree(&message);
            let ours = message.header("CSeq") == Some(wanted.as_str());
            (ours && message.status() >= 200).then_some(message)
        })
    }

    fn to(&self) -> String {
        format!("<{}>{}", self.uri, self.to_tag)
    }

    fn take_tag(&mut self, answer: &Message) {
        let to = answer.header("To").expect("To");
        let (_, tag) = to.split_once(";tag=").expect("a tag");
        self.to_tag = format!(";tag={tag}");
    }

    fn send(&self, method: &str, kind: &str, body: &str, to: &str) {
        let local = self.socket.local_addr().expect("its address");
        // The ACK of a refusal belongs to the INVITE's transaction; that of a 200 does not.
        let branch = if method == "ACK" && self.to_tag.is_empty() { "INVITE" } else { method };
        let kind = if body.is_empty() { "" } else { &format!("Content-Type: {kind}\r\n") };
        let message = format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK-{branch}-{cseq}-{call}\r\n\
             From: \"Caller\" <sip:caller@{local}>;tag=caller\r\nTo: {to}\r\nCall-ID: {call}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:caller@{local}>\r\nMax-Forwards: 70\r\n{kind}\
             Content-Length: {length}\r\n\r\n{body}",
            uri = self.uri,
            cseq = self.cseq,
            call = self.call_id,
            length = body.len(),
        );
        self.socket.send_to(message.as_bytes(), self.server).expect("a request goes out");
    }

    fn receive(&self) -> Option<Message> {
        let mut buffer = vec![0; 65_536];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(Message(String::from_utf8(buffer[..length].to_vec()).expect("text")))
    }

    /// Agrees to a request of the server.
    fn agree(&mut self, request: &Message) {
        if request.status() != 0 || request.method() == "ACK" {
            return;
        }
        let mut body = String::new();
        if request.method() == "INVITE" {
            // The server has another place for its media.
            self.flow(request.body());
            body = self.sdp("8 0", "sendrecv");
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"]
            .map(|it| format!("{it}: {}\r\n", request.header(it).expect("a header")));
        let (copied, length) = (copied.concat(), body.len());
        let answer =
            format!("SIP/2.0 200 OK\r\n{copied}{kind}Content-Length: {length}\r\n\r\n{body}");
        self.socket.send_to(answer.as_bytes(), self.server).expect("an answer goes out");
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.sound.state().over = true;
        if let Some(media) = self.media.take() {
            let _ = media.join();
        }
    }
}

/// The two tones of a key (ITU-T Q.23) for 120 ms, then 100 ms of silence.
fn key_sound(key: char) -> Vec<Vec<f32>> {
    let place = "123A456B789C*0#D".find(key).expect("a key");
    let [row, column] = [[697, 770, 852, 941][place / 4], [1209, 1336, 1477, 1633][place % 4]];
    let angle = |hertz: u32, n: usize| {
        std::f32::consts::TAU * (n as f32 * hertz as f32 / media::RATE as f32).fract()
    };
    let tones =
        (0..6 * FRAME_SAMPLES).map(|n| 0.2 * (angle(row, n).sin() + angle(column, n).sin()));
    let samples: Vec<f32> = tones.chain(std::iter::repeat_n(0.0, 5 * FRAME_SAMPLES)).collect();
    samples.chunks(FRAME_SAMPLES).map(<[f32]>::to_vec).collect()
}

fn codec_of(payload_type: u8) -> Option<AudioCodec> {
    match payload_type {
        0 => Some(AudioCodec::Pcmu),
        8 => Some(AudioCodec::Pcma),
        9 => Some(AudioCodec::G722),
        _ => None,
    }
}

/// Sends and receives until the call is over.
fn run(sound: &Sound) {
    let tone = media::tone(sound.mark.tone, media::RATE);
    let frames: Vec<Vec<f32>> = tone
        .chunks_exact(FRAME_SAMPLES)
        .map(|it| it.iter().map(|it| f32::from(*it) / 32_768.0).collect())
        .collect();
    let (mut encoder, mut decoder) = (None, None);
    let (mut sent, mut due, mut buffer) = (0u32, Instant::now(), [0; 2048]);
    while !sound.state().over {
        if due <= Instant::now() {
            due += FRAME;
            sent += 1;
            let (to, key) = {
                let mut state = sound.state();
                (state.to, state.keys.pop_front())
            };
            if let Some((to, codec)) = to {
                let frame = key.as_ref().unwrap_or(&frames[sent as usize % frames.len()]);
                let packet = packet(&mut encoder, codec, frame, sent);
                let _ = sound.socket.send_to(&packet, to);
            }
        }
        if let Ok((length, _)) = sound.socket.recv_from(&mut buffer) {
            hear(sound, &mut decoder, &buffer[..length]);
        }
    }
}

fn packet(
    encoder: &mut Option<(AudioCodec, AudioEncoder)>,
    codec: AudioCodec,
    frame: &[f32],
    number: u32,
) -> Vec<u8> {
    if encoder.as_ref().is_none_or(|it| it.0 != codec) {
        let new = AudioEncoder::new(codec, OpusSettings::default()).expect("an encoder");
        *encoder = Some((codec, new));
    }
    let payload_type = match codec {
        AudioCodec::Pcmu => 0,
        AudioCodec::Pcma => 8,
        AudioCodec::G722 | AudioCodec::Opus => 9,
    };
    let mut packet = vec![0x80, payload_type];
    packet.extend((number as u16).to_be_bytes());
    packet.extend((number * 160).to_be_bytes());
    packet.extend(0x00c0_ffee_u32.to_be_bytes());
    let (_, encoder) = encoder.as_mut().expect("an encoder");
    encoder.encode(frame, &mut packet).expect("a frame");
    packet
}

fn hear(sound: &Sound, decoder: &mut Option<(AudioCodec, AudioDecoder)>, packet: &[u8]) {
    let Some(codec) = packet.get(1).and_then(|it| codec_of(it & 0x7f)) else { return };
    if decoder.as_ref().is_none_or(|it| it.0 != codec) {
        *decoder = Some((codec, AudioDecoder::new(codec).expect("a decoder")));
    }
    let (_, decoder) = decoder.as_mut().expect("a decoder");
    let mut samples = Vec::new();
    decoder.decode(&packet[RTP_HEADER..], &mut samples).expect("a packet");
    let mut state = sound.state();
    state.heard.extend(samples.iter().map(|it| (it * 32_767.0) as i16));
    state.packets += 1;
    state.codec = Some(codec);
}
