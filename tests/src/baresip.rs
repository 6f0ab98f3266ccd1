//! A room system in a real headless baresip, with a picture and a tone of its own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::Socket;

use crate::analyse::{Picture, WHOLE};
use crate::machine::Machine;
use crate::media::{self, Mark};
use crate::network;
use crate::person::hears;
use crate::story::Story;
use crate::wait;

/// How long an answer of the program or of its peer may take on two loaded cores.
const PATIENCE: Duration = Duration::from_secs(15);
/// A request over UDP that nobody answers fails after 32 s (RFC 3261, timer B).
const DIAL_PATIENCE: Duration = Duration::from_secs(40);
/// How long one look at the control connection waits for more.
const LOOK: Duration = Duration::from_millis(20);
/// RTP ports of one instance; below the ports that systems give out by themselves.
const RTP_PORTS: std::ops::Range<u32> = 20_000..32_000;
const RTP_PORTS_EACH: u32 = 40;
/// Lines of the log that a failure shows.
const TAIL: usize = 30;
/// Displayed frames a second of a clip of fifteen.
const FRAMES_A_SECOND: f64 = 10.0;

/// What a room system is and can do. It answers calls by itself.
#[derive(Clone, Copy, Debug)]
pub struct BaresipConfig {
    /// What it sends.
    pub mark: Mark,
    /// Its one audio codec: `pcmu`, `pcma`, `g722` or `opus`.
    pub audio: &'static str,
    /// Its one video codec: `H264` or `VP8`.
    pub video: &'static str,
    /// Whether it insists on SRTP, keyed in the SDP.
    pub srtp: bool,
    /// Whether it insists on SRTP, keyed by DTLS; then RTCP shares the ports of RTP.
    pub dtls: bool,
    /// Whether it finds its way by ICE, which it does on no loopback.
    pub ice: bool,
    /// How it dials and is dialled: `udp`, `tcp` or `tls`.
    pub transport: &'static str,
    /// How long its calls may last.
    pub seconds: usize,
}

impl BaresipConfig {
    /// A-law and H.264 in the clear over UDP.
    pub fn new(mark: Mark) -> Self {
        let seconds = media::ROOM_SECONDS;
        let (srtp, dtls, ice) = (false, false, false);
        let (audio, video, transport) = ("pcma", "H264", "udp");
        Self { mark, audio, video, srtp, dtls, ice, transport, seconds }
    }
}

/// A room system, ended with its owner. It is in one call at a time.
pub struct Baresip {
    process: Child,
    control: Socket,
    received: Vec<u8>,
    answers: Vec<Value>,
    events: Vec<Value>,
    /// Events before this one were awaited already.
    seen: usize,
    asked: u32,
    folder: PathBuf,
    config: BaresipConfig,
    place: Place,
}

/// Where an instance is among others.
struct Place {
    address: Ipv4Addr,
    /// For SIP over UDP and TCP, and TLS beside it.
    sip: u16,
    control: u16,
    rtp: RangeInclusive<u32>,
    /// Roots to verify certificates with, PEM.
    roots: Option<PathBuf>,
}

impl Baresip {
    /// Starts it on free ports, in a folder of its own among the story's artefacts.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(story: &Story, config: BaresipConfig) -> Self {
        Self::launch(story, config, None, None)
    }

    /// The same with an account at a server, where it registers: `server` is an address such as
    /// `sip:hall@127.0.0.1:5060;transport=tcp`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn register(story: &Story, config: BaresipConfig, server: &str, password: &str) -> Self {
        let account = format!("<{server}>;auth_pass={password};regint=60");
        Self::launch(story, config, None, Some(&account))
    }

    /// The same on a visitor's machine, where it verifies certificates.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_on(story: &Story, config: BaresipConfig, machine: &Machine) -> Self {
        Self::launch(story, config, Some(machine), None)
    }

    fn launch(
        story: &Story,
        config: BaresipConfig,
        machine: Option<&Machine>,
        account: Option<&str>,
    ) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = story.file(&format!("room-{}-{count}", config.mark.name));
        let place = Place {
            address: machine.map_or(Ipv4Addr::LOCALHOST, Machine::address),
            sip: free_sip_port(),
            control: free_tcp_port(),
            rtp: rtp_ports(count),
            roots: machine.and_then(Machine::roots),
        };
        let own = format!("<sip:room@{}:{}>;regint=0", place.address, place.sip);
        furnish(&folder, config, &place, account.unwrap_or(&own));

        let log = File::create(folder.join("baresip.log")).expect("its log");
        // It replaces itself by baresip: the process id stays. Lines come as they are written.
        let mut process = machine
            .map_or_else(|| Command::new("stdbuf"), |machine| machine.command("stdbuf"))
            .args(["-oL", "baresip", "-f", ".", "-v", "-s"])
            .current_dir(&folder)
            .envs(config.dtls.then(|| ("LD_PRELOAD", preload(story))))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("baresip starts");
        let control = wait::until("baresip listens to its control port", PATIENCE, || {
            let ended = process.try_wait().expect("its state");
            assert!(ended.is_none(), "baresip: {ended:?}\n{}", tail(&folder));
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.control));
            network::connect(machine.map(Machine::network), address).ok()
        });
        control.set_read_timeout(Some(LOOK)).expect("a timeout");
        let mut baresip = Self {
            process,
            control,
            received: Vec::new(),
            answers: Vec::new(),
            events: Vec::new(),
            seen: 0,
            asked: 0,
            folder,
            config,
            place,
        };
        // An application that answers has read its configuration and its account.
        baresip.ask("reginfo", "");
        baresip
    }

    /// How others dial it.
    pub fn uri(&self) -> String {
        let Place { address, sip, .. } = self.place;
        match self.config.transport {
            "udp" => format!("sip:room@{address}:{sip}"),
            // Its TLS socket is beside the others.
            "tls" => format!("sip:room@{address}:{};transport=tls", sip + 1),
            other => format!("sip:room@{address}:{sip};transport={other}"),
        }
    }

    /// Dials and waits until the call is established.
    ///
    /// # Panics
    /// When the call ends instead.
    pub fn dial(&mut self, uri: &str) {
        if let Err(reason) = self.try_dial(uri) {
            panic!("{} dials {uri}: {reason}\n{}", self.name(), tail(&self.folder));
        }
    }

    /// Dials and waits until the call is established.
    ///
    /// # Errors
    /// With the reason for which it ended instead, like `404 Not Found`.
    pub fn try_dial(&mut self, uri: &str) -> Result<(), String> {
        self.look();
        self.seen = self.events.len();
        let over = match self.config.transport {
            transport if transport != "udp" && !uri.contains(";transport=") => {
                format!(";transport={transport}")
            }
            _ => String::new(),
        };
        self.ask("dial", &format!("{uri}{over}"));
        let event = self.event("its call is answered", DIAL_PATIENCE, |it| {
            matches!(it["type"].as_str(), Some("CALL_ESTABLISHED" | "CALL_CLOSED"))
        });
        if event["type"] == "CALL_CLOSED" { Err(text(&event["param"])) } else { Ok(()) }
    }

    /// Waits until it is in a call that another dialled.
    pub fn wait_for_call(&mut self) {
        self.event("it is called", PATIENCE, |it| {
            it["type"] == "CALL_ESTABLISHED" && it["direction"] == "incoming"
        });
    }

    /// Waits until its call ends; why it did.
    pub fn wait_for_end(&mut self, patience: Duration) -> String {
        let event = self.event("its call ends", patience, |it| it["type"] == "CALL_CLOSED");
        text(&event["param"])
    }

    /// Ends its call.
    pub fn hang_up(&mut self) {
        self.ask("hangup", "");
        self.wait_for_end(PATIENCE);
    }

    /// Ends it as somebody who switches it off: it takes itself off where it is registered.
    ///
    /// # Panics
    /// When it does not end.
    pub fn quit(mut self) {
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        wait::until("baresip ends", PATIENCE, || self.process.try_wait().expect("its state"));
    }

    /// Sends digits as telephone events (RFC 4733).
    pub fn send_dtmf(&mut self, digits: &str) {
        self.ask("sndcode", digits);
    }

    /// The digits that came as telephone events so far.
    pub fn dtmf(&mut self) -> String {
        self.look();
        let begun = self.events.iter().filter(|it| it["type"] == "CALL_DTMF_START");
        begun.map(|it| text(&it["param"])).collect()
    }

    /// Puts its call on hold and waits until the other side agreed. It neither sends nor shows
    /// anything then. Recordings end here, and [`Self::heard`] with them, on both sides if the other
    /// is a baresip: version 1.0.0 does not take them up again with the call.
    pub fn hold(&mut self) {
        self.renegotiate("hold");
    }

    /// Takes its call up again and waits until the other side agreed.
    pub fn resume(&mut self) {
        self.renegotiate("resume");
    }

    /// Lets its encoder begin anew, with the same clip.
    pub fn restart_encoder(&mut self) {
        self.ask("vidsrc", "avformat,clip.avi");
    }

    /// How many pictures it displayed so far in this call.
    pub fn frames(&mut self) -> u64 {
        let said = self.ask("video_debug", "");
        let display = said.split_once("vidisp:").map_or("", |it| it.1);
        numbers(display, "frames=").first().map_or(0, |it| it.unsigned_abs())
    }

    /// How many RTP packets of audio and of video came so far in this call.
    pub fn packets(&mut self) -> [u64; 2] {
        ["audio_debug", "video_debug"].map(|stream| {
            let said = self.ask(stream, "");
            numbers(&said, "rcvd=").iter().map(|it| it.unsigned_abs()).sum()
        })
    }

    /// Where it sends its audio and its video to, and where from both come to it.
    pub fn peer_addresses(&mut self) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for stream in ["audio_debug", "video_debug"] {
            let said = self.ask(stream, "");
            for word in ["remote: ", "IP="] {
                let found = said.split_once(word).and_then(|it| it.1.split(':').next());
                let address = found.and_then(|it| it.parse().ok());
                let name = self.name();
                addresses.push(address.unwrap_or_else(|| panic!("{name} {stream}: {said}")));
            }
        }
        addresses
    }

    /// How many RTP packets, audio and video, were lost on the way to it so far in this call.
    pub fn lost(&mut self) -> i64 {
        let streams = ["audio_debug", "video_debug"].map(|stream| self.ask(stream, ""));
        streams.iter().flat_map(|said| numbers(said, "lost=")).sum()
    }

    /// The picture that it displays, as a PNG in its folder.
    ///
    /// # Panics
    /// When it displays none.
    pub fn picture(&mut self, name: &str) -> PathBuf {
        let file = self.folder.join(name);
        let _ = fs::remove_file(&file);
        self.ask("snapshot_recv", name);
        wait::until(&format!("{} displays a picture", self.name()), PATIENCE, || {
            // The last chunk of a PNG, without its checksum.
            let written = fs::read(&file).ok()?;
            let (_, last) = written.split_at_checked(written.len().checked_sub(8)?)?;
            last.starts_with(b"IEND").then_some(())
        });
        file
    }

    /// What it hears from now on for some seconds: samples, mono, and how many of them make a
    /// second (the codec's own rate). Packets that are lost are not in it.
    ///
    /// # Panics
    /// When sound does not come, or stopped for a hold.
    pub fn heard(&mut self, seconds: f64) -> (Vec<i16>, u32) {
        let folder = self.folder.join("rec");
        let before: HashMap<PathBuf, u64> = recordings(&folder).into_iter().collect();
        let what = format!("{} hears {seconds} s (see {})", self.name(), self.folder.display());
        let patience = PATIENCE + Duration::from_secs_f64(seconds);
        // Each call has a recording of its own, which may begin only now.
        wait::until(&what, patience, || {
            recordings(&folder).into_iter().find_map(|(file, length)| {
                let start = *before.get(&file).unwrap_or(&WAV_HEADER);
                if length <= start.max(WAV_HEADER) {
                    return None;
                }
                let (samples, rate) = mono(&file, start.max(WAV_HEADER));
                let wanted = (seconds * f64::from(rate)) as usize;
                samples.get(..wanted).map(|it| (it.to_vec(), rate))
            })
        })
    }

    /// It sees and hears the one other, and not itself; nothing is lost meanwhile.
    ///
    /// # Panics
    /// When it does not.
    pub fn receives(&mut self, other: Mark) {
        let own = self.config.mark;
        wait::until("pictures are displayed", PATIENCE, || (self.frames() > 0).then_some(()));
        let lost = self.lost();
        let (began, before) = (Instant::now(), self.frames());
        hears(own, &[other], || self.heard(2.0));
        let frames = (self.frames() - before) as f64 / began.elapsed().as_secs_f64();
        assert!(frames >= FRAMES_A_SECOND, "{} sees {frames} frames a second", own.name);

        let picture = Picture::read(&self.picture("sees.png"));
        let share = picture.share(other, WHOLE);
        assert!(share > 0.7, "{} fills {share} of {}'s picture", other.name, own.name);
        assert!(picture.counter(WHOLE).is_some(), "{} sees no frame counter", own.name);
        assert_eq!(self.lost(), lost, "packets lost on the way to {}", own.name);
    }

    /// Its name in messages: that of its mark.
    fn name(&self) -> &'static str {
        self.config.mark.name
    }

    fn renegotiate(&mut self, command: &str) {
        self.look();
        self.seen = self.events.len();
        self.ask(command, "");
        self.event(&format!("the answer to its {command}"), PATIENCE, |it| {
            it["type"] == "CALL_REMOTE_SDP" && it["param"] == "answer"
        });
    }

    /// Gives a command; what it says to it.
    fn ask(&mut self, command: &str, params: &str) -> String {
        self.asked += 1;
        let token = self.asked.to_string();
        let message = json!({ "command": command, "params": params, "token": token }).to_string();
        let message = format!("{}:{message},", message.len());
        self.control.write_all(message.as_bytes()).expect("baresip takes commands");
        let what = format!("{} answers to {command}", self.name());
        let answer = wait::until(&what, PATIENCE, || {
            self.look();
            let place = self.answers.iter().position(|it| it["token"] == token.as_str())?;
            Some(self.answers.swap_remove(place))
        });
        let said = text(&answer["data"]);
        assert!(answer["ok"] == true, "{} {command} {params}: {said}", self.name());
        said
    }

    /// Waits for an event that was not awaited yet.
    fn event(&mut self, what: &str, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{}: {what} (see {})", self.name(), self.folder.display());
        wait::until(&what, patience, || {
            self.look();
            let place = self.seen + self.events[self.seen..].iter().position(&wanted)?;
            self.seen = place + 1;
            Some(self.events[place].clone())
        })
    }

    /// Takes in what came on the control connection.
    fn look(&mut self) {
        let mut bytes = [0; 16_384];
        loop {
            match self.control.read(&mut bytes) {
                Ok(0) => panic!("{} ended\n{}", self.name(), tail(&self.folder)),
                Ok(count) => self.received.extend(&bytes[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => break,
                Err(error) => panic!("{}: {error}\n{}", self.name(), tail(&self.folder)),
            }
        }
        while let Some((message, rest)) = netstring(&self.received) {
            let message: Value = serde_json::from_slice(message).expect("JSON of baresip");
            self.received = rest.to_vec();
            if message["event"] == true {
                self.events.push(message);
            } else {
                self.answers.push(message);
            }
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let mut events = String::new();
        for event in &self.events {
            let _ = writeln!(events, "{event}");
        }
        let _ = fs::write(self.folder.join("events.jsonl"), events);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes what baresip reads at its start. Names are relative: it cuts long ones off.
fn furnish(folder: &Path, config: BaresipConfig, place: &Place, account: &str) {
    let Place { address, sip, control, rtp, roots } = place;
    fs::create_dir_all(folder.join("rec")).expect("its folder");
    let clip = media::room_clip(config.mark, config.seconds);
    symlink(clip.avi, folder.join("clip.avi")).expect("its clip");
    symlink(clip.wav, folder.join("tone.wav")).expect("its tone");
    // It dials over TLS too, whatever it is dialled by.
    certify(&folder.join("tls.pem"));

    let audio = match config.audio {
        "opus" => "opus/48000/2",
        "g722" => "g722/16000/1",
        "pcmu" => "pcmu/8000/1",
        "pcma" => "pcma/8000/1",
        other => panic!("{other} is no audio codec of baresip"),
    };
    let encryption = match config {
        BaresipConfig { dtls: true, .. } => ";mediaenc=dtls_srtp",
        BaresipConfig { srtp: true, .. } => ";mediaenc=srtp-mand",
        _ => "",
    };
    let way = if config.ice { ";medianat=ice" } else { "" };
    let account = format!(
        "{account};answermode=auto;audio_codecs={audio};video_codecs={}{encryption}{way}\n",
        config.video
    );
    fs::write(folder.join("accounts"), account).expect("its account");

    // Without a player: the recording is made as packets are decoded.
    let mut lines = format!(
        "sip_listen {address}:{sip}\n\
         sip_certificate tls.pem\n\
         net_interface {address}\n\
         rtp_ports {}-{}\n\
         rtp_stats yes\n\
         ctrl_tcp_listen 127.0.0.1:{control}\n\
         audio_source aufile,tone.wav\n\
         ausrc_srate 48000\n\
         ausrc_channels 1\n\
         video_source avformat,clip.avi\n\
         video_display fakevideo,nil\n\
         video_size {}x{}\n\
         video_fps {}\n\
         video_bitrate 800000\n\
         videnc_format yuv420p\n\
         avcodec_h264enc libx264\n\
         avcodec_h264dec h264\n\
         snd_path rec\n\
         statmode_default off\n\
         rtcp_mux {}\n\
         module_path /usr/lib/baresip/modules\n",
        rtp.start(),
        rtp.end(),
        media::WIDTH,
        media::HEIGHT,
        media::FPS,
        if config.dtls { "yes" } else { "no" },
    );
    if let Some(roots) = roots {
        symlink(roots, folder.join("roots.pem")).expect("its roots");
        lines.push_str("sip_cafile roots.pem\n");
    }
    let modules = [
        (
            "module",
            "opus g722 g711 sndfile aufile avcodec vp8 avformat fakevideo snapshot srtp dtls_srtp ice",
        ),
        ("module_tmp", "account"),
        ("module_app", "menu debug_cmd ctrl_tcp"),
    ];
    for (kind, names) in modules {
        for name in names.split(' ') {
            let _ = writeln!(lines, "{kind} {name}.so");
        }
    }
    fs::write(folder.join("config"), lines).expect("its configuration");
}

/// The library that gives it a certificate for DTLS, built among the story's artefacts.
fn preload(story: &Story) -> PathBuf {
    let library = story.file("certificate.so");
    crate::libre::build("certificate.c", &["-shared", "-fPIC"], &library);
    library
}

/// Makes an ECDSA key and a certificate for it, which nobody trusts, in one file.
pub(crate) fn certify(file: &Path) {
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout"])
        .arg(file)
        .arg("-out")
        .arg(file)
        .stderr(Stdio::null())
        .status()
        .expect("openssl starts");
    assert!(status.success(), "openssl: {status}");
}

fn free_tcp_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("its number").port()
}

/// A port that is free for UDP and TCP, and for TLS beside it.
/// A port that is free for UDP and TCP, with a free one behind it.
pub fn free_sip_port() -> u16 {
    wait::until("free ports for SIP", PATIENCE, || {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = tcp.local_addr().ok()?.port();
        UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(1)?)).ok()?;
        Some(port)
    })
}

/// Ports for an instance that no other of this process has, and hardly one of another.
fn rtp_ports(count: u32) -> RangeInclusive<u32> {
    let places = RTP_PORTS.len() as u32 / RTP_PORTS_EACH;
    let place = (std::process::id().wrapping_mul(7) % places + count) % places;
    let first = RTP_PORTS.start + place * RTP_PORTS_EACH;
    first..=first + RTP_PORTS_EACH - 1
}

/// The first message of a stream of netstrings, and what follows it.
fn netstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().position(|it| *it == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().expect("a netstring");
    let (message, rest) = bytes[colon + 1..].split_at_checked(length)?;
    Some((message, rest.strip_prefix(b",")?))
}

/// The numbers that follow a word in what baresip says.
fn numbers(said: &str, word: &str) -> Vec<i64> {
    let number = |it: &str| {
        let end = it.find(|it: char| !it.is_ascii_digit() && it != '-').unwrap_or(it.len());
        it[..end].parse().ok()
    };
    said.split(word).skip(1).filter_map(number).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What it recorded of others, with the length in bytes.
fn recordings(folder: &Path) -> Vec<(PathBuf, u64)> {
    let files = fs::read_dir(folder).expect("the folder of its recordings");
    files
        .filter_map(|it| Some((it.as_ref().ok()?.path(), it.ok()?.metadata().ok()?.len())))
        .filter(|(file, _)| file.to_string_lossy().ends_with("-dec.wav"))
        .collect()
}

/// Bytes of a WAV file before its samples, as the recorder writes it.
const WAV_HEADER: u64 = 44;

/// The samples of a WAV file from a byte on, channels mixed, and their rate. The sizes in its header
/// are those of its start while it grows.
fn mono(file: &Path, start: u64) -> (Vec<i16>, u32) {
    let mut file = File::open(file).expect("its recording");
    let (mut header, mut bytes) = ([0; WAV_HEADER as usize], Vec::new());
    file.read_exact(&mut header).expect("a header");
    assert_eq!(&header[36..40], b"data", "a recording of another form");
    file.seek(SeekFrom::Start(start)).expect("a place in its recording");
    file.read_to_end(&mut bytes).expect("its recording");

    let channels = usize::from(u16::from_le_bytes([header[22], header[23]]));
    let rate = u32::from_le_bytes([header[24], header[25], header[26], header[27]]);
    let value = |it: &[u8]| i32::from(i16::from_le_bytes([it[0], it[1]]));
    let mix = |frame: &[u8]| frame.chunks_exact(2).map(value).sum::<i32>() / channels as i32;
    (bytes.chunks_exact(2 * channels).map(|frame| mix(frame) as i16).collect(), rate)
}

/// The end of its log.
fn tail(folder: &Path) -> String {
    let log = fs::read(folder.join("baresip.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}
