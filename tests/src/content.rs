//! The second picture of a room system, and its floor, which a program on libre asks for or gives.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rtp::lane::MediaPacket;
use rtp::packet::{Header, Packet, is_rtcp};
use rtp::payload::h264::{Depacketizer, Mode, Packetizer};
use rtp::rtcp::{self, Rtcp};
use types::{Codec, VideoCodec};

use crate::baresip;
use crate::device::Received;
use crate::media::H264Clip;
use crate::server;
use crate::story::Story;

const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
const H264: u8 = 98;

/// Who of the room system and the server is the floor control server, and how they talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// The room system is a client, over UDP.
    Client,
    /// A client that connects over TCP.
    TcpClient,
    /// It insists on being the server, over UDP.
    Server,
    /// A server, which waits for a connection over TCP.
    TcpServer,
    /// A client that connects over TLS.
    TlsClient,
    /// A server, which waits for a connection over TLS.
    TlsServer,
}

impl Floor {
    const fn is_server(self) -> bool {
        matches!(self, Self::Server | Self::TcpServer | Self::TlsServer)
    }

    /// For libre's program, and as SDP has it.
    const fn transport(self) -> (&'static str, &'static str) {
        match self {
            Self::Client | Self::Server => ("udp", "UDP/BFCP"),
            Self::TcpClient | Self::TcpServer => ("tcp", "TCP/BFCP"),
            Self::TlsClient | Self::TlsServer => ("tls", "TCP/TLS/BFCP"),
        }
    }

    fn is_connection(self) -> bool {
        self.transport().0 != "udp"
    }

    /// What libre's program tells first, where there is a connection.
    pub fn opens(self) -> &'static [&'static str] {
        match self.transport().0 {
            "tls" => &["secured"],
            "tcp" => &["connected"],
            _ => &[],
        }
    }
}

/// What the room system says of its conference, where it is the server.
const IDS: [&str; 3] = ["4711", "12", "3"];

#[derive(Default)]
struct State {
    to: Option<SocketAddr>,
    clip: Option<Arc<H264Clip>>,
    /// The clip's next frame.
    frame: usize,
    /// Access units that came, each with whether it is a key frame.
    shown: Vec<(Vec<u8>, bool)>,
}

struct Shared {
    ended: AtomicBool,
    state: Mutex<State>,
}

/// The second picture, before and in a call.
pub struct Content {
    kind: Floor,
    program: PathBuf,
    ports: [u16; 3],
    /// Where it goes over TLS.
    certificate: Option<PathBuf>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    floor: Option<(Child, Receiver<String>)>,
}

impl Content {
    /// Its ports; libre's program is built.
    ///
    /// # Panics
    /// When there is no compiler, or no libre.
    pub fn new(story: &Story, kind: Floor) -> Self {
        let program = story.file("floor");
        if !program.exists() {
            crate::libre::build("floor.c", &[], &program);
        }
        let sockets = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
        let [rtp, rtcp] = sockets.each_ref().map(|it| it.local_addr().expect("its port").port());
        for socket in &sockets {
            socket.set_read_timeout(Some(LOOK)).expect("a timeout");
        }
        let floor = match kind.is_connection() {
            true => server::free_tcp_port(),
            false => server::free_udp_port(),
        };
        let certificate = (kind.transport().0 == "tls").then(|| story.file("floor.pem"));
        if let Some(file) = certificate.as_ref().filter(|it| !it.exists()) {
            baresip::certify(file);
        }
        let shared = Arc::new(Shared { ended: AtomicBool::new(false), state: Mutex::default() });
        // The second one is for reports alone.
        let threads = [true, false].into_iter().zip(sockets).map(|(sends, socket)| {
            let shared = shared.clone();
            thread::spawn(move || run(&shared, &socket, sends))
        });
        let (ports, threads) = ([rtp, rtcp, floor], threads.collect());
        Self { kind, program, ports, certificate, shared, threads, floor: None }
    }

    /// What stands in an offer, after its other lines.
    pub fn offer(&self) -> String {
        let [rtp, rtcp, floor] = self.ports;
        let (_, proto) = self.kind.transport();
        let [conference, user, id] = IDS;
        let role = match self.kind.is_server() {
            true => format!(
                "s-only\r\na=confid:{conference}\r\na=userid:{user}\r\na=floorid:{id} m-stream:3"
            ),
            false => "c-only".to_owned(),
        };
        let setup = match (self.kind.is_connection(), self.kind.is_server()) {
            (true, false) => "a=setup:active\r\na=connection:new\r\n",
            (true, true) => "a=setup:passive\r\na=connection:new\r\n",
            (false, _) => "",
        };
        let print = self.certificate.as_ref().map(|it| fingerprint(it)).unwrap_or_default();
        let port = if setup.contains("active") { 9 } else { floor };
        format!(
            "m=video {rtp} RTP/AVP {H264}\r\na=rtcp:{rtcp}\r\na=rtpmap:{H264} H264/90000\r\n\
             a=fmtp:{H264} profile-level-id=42e028;packetization-mode=1\r\n\
             a=rtcp-fb:{H264} nack pli\r\na=content:slides\r\na=label:3\r\n\
             m=application {port} {proto} *\r\na=floorctrl:{role}\r\n{setup}{print}"
        )
    }

    /// The call was answered so: media and floor control begin.
    ///
    /// # Panics
    /// When the answer has not what was asked for.
    pub fn begin(&mut self, answer: &str) {
        let lines: Vec<&str> = answer.split("m=").collect();
        let [.., slides, floor] = lines.as_slice() else { panic!("four lines: {answer}") };
        let port = |line: &str| -> u16 {
            let port = line.split(' ').nth(1).and_then(|it| it.parse().ok());
            port.filter(|it| *it != 0).unwrap_or_else(|| panic!("refused: {answer}"))
        };
        self.state().to = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port(slides))));
        let value = |name: &str| {
            let found = floor.lines().find_map(|it| it.strip_prefix(&format!("a={name}:")));
            found
                .unwrap_or_else(|| panic!("{name}: {answer}"))
                .split(' ')
                .next()
                .unwrap()
                .to_owned()
        };
        let (role, ids, their) = match self.kind.is_server() {
            true => ("server", IDS.map(str::to_owned), 0),
            false => ("client", ["confid", "userid", "floorid"].map(value), port(floor)),
        };
        let (transport, _) = self.kind.transport();
        let ports = [self.ports[2], their].map(|it| it.to_string());
        let secured = self.certificate.as_ref().map(|file| {
            let (_, theirs) = floor.split_once("a=fingerprint:sha-256 ").expect("its fingerprint");
            [file.clone(), theirs.lines().next().unwrap().into()]
        });
        let mut child = Command::new(&self.program)
            .args([role, transport])
            .args(ports)
            .args(ids)
            .args(secured.into_iter().flatten())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("libre's program runs");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (told, hears) = mpsc::channel();
        thread::spawn(move || {
            for word in output.lines().map_while(Result::ok) {
                println!("libre hears: {word}");
                if told.send(word).is_err() {
                    return;
                }
            }
        });
        self.floor = Some((child, hears));
    }

    /// Orders libre's program something, by its letter.
    ///
    /// # Panics
    /// When it has ended.
    pub fn order(&mut self, letter: char) {
        let (child, _) = self.floor.as_mut().expect("its call has begun");
        let input = child.stdin.as_mut().expect("its input");
        writeln!(input, "{letter}").expect("it listens");
    }

    /// Waits until libre's program has heard these words, one after the other.
    ///
    /// # Panics
    /// When it hears another one, or nothing.
    pub fn hears(&mut self, words: &[&str]) {
        let (_, hears) = self.floor.as_ref().expect("its call has begun");
        for word in words {
            let heard = hears.recv_timeout(PATIENCE);
            assert_eq!(heard.as_deref(), Ok(*word), "of {words:?}");
        }
    }

    /// Shows a clip again and again, or nothing any more.
    pub fn show(&self, clip: Option<H264Clip>) {
        let mut state = self.state();
        (state.clip, state.frame) = (clip.map(Arc::new), 0);
    }

    /// Pictures that came so far.
    pub fn pictures(&self) -> usize {
        self.state().shown.len()
    }

    /// What came last as a PNG, which ffmpeg decodes; `None` before the first key frame.
    ///
    /// # Panics
    /// When ffmpeg cannot decode it.
    pub fn snapshot(&self, file: &Path) -> Option<()> {
        let shown = self.state().shown.clone();
        decode(&shown, file)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no thread of it failed")
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if let Some((child, _)) = &mut self.floor {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A certificate as SDP tells of it.
fn fingerprint(certificate: &Path) -> String {
    let told = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(certificate)
        .output()
        .expect("openssl starts");
    let told = String::from_utf8(told.stdout).expect("words");
    let (_, digest) = told.trim().split_once('=').expect("its fingerprint");
    format!("a=fingerprint:sha-256 {digest}\r\n")
}

/// The last picture of H.264 that came as a PNG, which ffmpeg decodes; `None` before the first key
/// frame.
///
/// # Panics
/// When ffmpeg cannot decode it.
pub fn snapshot(packets: &[Received], file: &Path) -> Option<()> {
    let mut depacketizer = Depacketizer::new();
    let mut units = Vec::new();
    for Received { header, payload, .. } in packets {
        units.extend(frames(&mut depacketizer, header, payload));
    }
    decode(&units, file)
}

fn decode(units: &[(Vec<u8>, bool)], file: &Path) -> Option<()> {
    let first = units.iter().rposition(|(_, key)| *key)?;
    let units = &units[first..];
    let raw = file.with_extension("h264");
    fs::write(&raw, units.iter().flat_map(|(unit, _)| unit.clone()).collect::<Vec<u8>>())
        .expect("what came is written");
    let last = format!("select=gte(n\\,{})", units.len() - 1);
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "h264", "-i"])
        .arg(&raw)
        .args(["-vf", &last, "-update", "1"])
        .arg(file)
        .status()
        .expect("ffmpeg starts");
    assert!(status.success(), "ffmpeg: {status}");
    Some(())
}

/// Sends and takes in until the call is over.
fn run(shared: &Shared, socket: &UdpSocket, sends: bool) {
    let (mut depacketizer, mut seq) = (Depacketizer::new(), 0u16);
    let (mut due, mut timestamp, mut bytes) = (Instant::now(), 0u32, [0; 2048]);
    while !shared.ended.load(Ordering::Acquire) {
        let next = {
            let mut state = shared.state.lock().expect("no thread of it failed");
            let clip = state.clip.clone().filter(|_| sends && due <= Instant::now());
            clip.zip(state.to).map(|(clip, to)| {
                let place = state.frame % clip.frames.len();
                state.frame = place + 1;
                due = Instant::now() + Duration::from_secs(1) / clip.fps;
                timestamp += 90_000 / clip.fps;
                (clip.frames[place].0.clone(), to)
            })
        };
        if let Some((frame, to)) = next {
            let payloads =
                Packetizer::new(Mode::NonInterleaved).packetize(&frame).expect("packets");
            for (place, payload) in payloads.iter().enumerate() {
                seq = seq.wrapping_add(1);
                let marker = place + 1 == payloads.len();
                let header = Header { pt: H264, seq, timestamp, ssrc: 0x511d, marker };
                let _ = socket.send_to(&header.packet(payload), to);
            }
        }
        if let Ok((length, _)) = socket.recv_from(&mut bytes) {
            take(shared, &mut depacketizer, &bytes[..length]);
        }
    }
}

fn take(shared: &Shared, depacketizer: &mut Depacketizer, bytes: &[u8]) {
    let mut state = shared.state.lock().expect("no thread of it failed");
    if is_rtcp(bytes) {
        for report in rtcp::read(bytes).unwrap_or_default() {
            if matches!(report, Rtcp::Pli { .. } | Rtcp::Fir { .. }) {
                state.frame = 0;
            }
        }
    } else if let Ok(packet) = Packet::parse(bytes) {
        state.shown.extend(frames(depacketizer, &packet.header, packet.payload));
    }
}

/// The access units that a packet completes, each with whether it is a key frame.
fn frames(
    depacketizer: &mut Depacketizer,
    header: &Header,
    payload: &[u8],
) -> Vec<(Vec<u8>, bool)> {
    let packet = MediaPacket {
        payload: Arc::from(payload),
        seq: header.seq.into(),
        timestamp: header.timestamp,
        marker: header.marker,
        arrival: Instant::now(),
        format: Codec::Video(VideoCodec::H264).number(),
        audio_level: None,
        capture: None,
    };
    let first = depacketizer.push(&packet);
    let rest = std::iter::from_fn(|| depacketizer.pop());
    first.into_iter().chain(rest).map(|it| (it.data, it.key)).collect()
}
