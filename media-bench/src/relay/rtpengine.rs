//! rtpengine without its kernel module, spoken to by its control protocol "ng": dictionaries of
//! bencode in datagrams.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::SUITE;
use super::ends::{Ends, Relaying, Way, key_and_salt};
use crate::camera::PAYLOAD_TYPE;
use crate::fault::{Doing, Fault, Result, missing};
use crate::machine;

const CONTROL_PORT: u16 = 2_223;
const START: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer.
const DATAGRAM: usize = 65_536;

pub struct RtpEngine {
    process: Process,
    ends: Ends,
}

/// A running rtpengine. Dropping it ends it.
struct Process {
    child: Child,
    control: UdpSocket,
    asked: u32,
}

impl RtpEngine {
    pub fn start(way: Way) -> Result<Self> {
        let mut process = Process::start()?;
        let mut ends = Ends::new()?;
        let (mut ports, mut keys) = (Vec::new(), Vec::new());
        for (number, [camera, receiver]) in ends.addresses().into_iter().enumerate() {
            let call = format!("call-{number}");
            // Who offers has no encryption, and is asked for none; who answers has it.
            let (offers, answers) = match way {
                Way::Encrypts => (camera, receiver),
                Way::Decrypts => (receiver, camera),
            };
            let offered = process.ask(&[
                ("command", "offer"),
                ("call-id", &call),
                ("from-tag", "offers"),
                ("transport-protocol", "RTP/SAVP"),
                ("ICE", "remove"),
                ("sdp", &sdp(offers, "RTP/AVP", "")),
            ])?;
            let (tag, key) = crypto(&offered)?;
            let own = BASE64.encode(key_and_salt());
            let line = format!("a=crypto:{tag} {} inline:{own}\r\n", SUITE.name());
            let answered = process.ask(&[
                ("command", "answer"),
                ("call-id", &call),
                ("from-tag", "offers"),
                ("to-tag", "answers"),
                ("ICE", "remove"),
                ("sdp", &sdp(answers, "RTP/SAVP", &line)),
            ])?;
            ports.push(match way {
                Way::Encrypts => media_port(&answered)?,
                Way::Decrypts => media_port(&offered)?,
            });
            keys.push(key);
        }
        ends.connect(&ports, (way == Way::Encrypts).then_some(&*keys))?;
        Ok(Self { process, ends })
    }
}

impl Relaying for RtpEngine {
    fn pid(&self) -> u32 {
        self.process.child.id()
    }

    fn ends(&self) -> &Ends {
        &self.ends
    }

    fn ends_mut(&mut self) -> &mut Ends {
        &mut self.ends
    }
}

impl Process {
    /// Starts it on the servers' core, with a thread for media as our shard has one.
    fn start() -> Result<Self> {
        let folder = machine::scratch("rtpengine")?;
        let log = folder.join("rtpengine.log");
        let log = fs::File::create(&log).doing(log.display().to_string())?;
        let errors = log.try_clone().doing("rtpengine's log")?;
        let [a, b, c, d] = machine::ADDRESS;
        let child = machine::pinned(machine::SERVER_CORE, "rtpengine")
            .args(["--config-file=none", "--foreground", "--table=-1", "--num-threads=1"])
            .args(["--log-level=3", "--log-stderr", "--port-min=30000", "--port-max=39999"])
            .arg(format!("--interface={a}.{b}.{c}.{d}"))
            .arg(format!("--listen-ng=127.0.0.1:{CONTROL_PORT}"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .doing("starting rtpengine (scripts/setup.sh --bench installs it)")?;
        let control = UdpSocket::bind("127.0.0.1:0").doing("a socket")?;
        control.connect(("127.0.0.1", CONTROL_PORT)).doing("a socket")?;
        control.set_read_timeout(Some(PATIENCE)).doing("a socket")?;
        let mut process = Self { child, control, asked: 0 };
        let deadline = Instant::now() + START;
        while let Err(fault) = process.ask(&[("command", "ping")]) {
            if Instant::now() > deadline {
                return Err(fault);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(process)
    }

    /// What it answers, as it stands in the datagram.
    fn ask(&mut self, dictionary: &[(&str, &str)]) -> Result<String> {
        self.asked += 1;
        let cookie = self.asked.to_string();
        let pairs: String =
            dictionary.iter().map(|(key, value)| bencode(key) + &bencode(value)).collect();
        let request = format!("{cookie} d{pairs}e");
        self.control.send(request.as_bytes()).doing("asking rtpengine")?;
        let mut answer = vec![0; DATAGRAM];
        let length = self.control.recv(&mut answer).doing("rtpengine's answer")?;
        answer.truncate(length);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if answer.contains("6:result5:error") {
            return Err(Fault::Other(format!("rtpengine: {answer}")));
        }
        Ok(answer)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing of it has to be kept, so it is not asked.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bencode(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// One picture, at this address.
fn sdp(address: SocketAddr, protocol: &str, more: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=video {port} {protocol} {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} VP8/90000\r\n\
         a=sendrecv\r\n{more}"
    )
}

/// The port of the picture in the session description of an answer.
fn media_port(answer: &str) -> Result<u16> {
    let after = answer.split_once("m=video ").map(|it| it.1);
    let port = after.and_then(|it| it.split(' ').next()?.parse().ok());
    port.ok_or_else(|| missing(format!("a port in what rtpengine said: {answer}")))
}

/// The tag and the key of its offer of our suite.
fn crypto(answer: &str) -> Result<(String, Vec<u8>)> {
    let found = answer.lines().find_map(|line| {
        let mut words = line.strip_prefix("a=crypto:")?.split(' ');
        let tag = words.next()?;
        let is_it = words.next()? == SUITE.name();
        let key = words.next()?.strip_prefix("inline:")?.split('|').next()?;
        is_it.then(|| Some((tag.to_owned(), BASE64.decode(key).ok()?)))?
    });
    found.ok_or_else(|| missing(format!("a key in what rtpengine said: {answer}")))
}
