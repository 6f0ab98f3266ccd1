//! The program itself, started as a user would.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use conference::access::{Grant, VideoGrant};
use serde_json::Value;
use types::Identity;

use crate::network::{self, Network};
use crate::story::{Story, target};
use crate::token;
use crate::wait;

/// What the program promises after SIGTERM.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// A running server on this machine, ended with its owner.
pub struct Server {
    process: Child,
    /// Where browsers open it: `http://127.0.0.1:port`, or over HTTPS where it has that.
    pub origin: String,
    /// Where it listens for plain HTTP.
    pub http: SocketAddr,
    /// Where it listens for SIP, by transport: `udp`, `tcp`, `tls`.
    sip: HashMap<String, SocketAddr>,
    /// The first administrator's name and password, where it printed them.
    pub first: Option<(String, String)>,
    network: Option<Network>,
}

/// Ports for the media of room systems: below those that systems give out by themselves, above
/// those of the kit's room systems.
const RTP_PORTS: [&str; 2] = ["32000", "32700"];

impl Server {
    /// Starts the program with `--dev` on free ports.
    ///
    /// # Panics
    /// When it is not built or does not start.
    pub fn start(story: &Story) -> Self {
        Self::start_in(story, "", None)
    }

    /// Starts it so, with more configuration, such as meetings.
    ///
    /// # Panics
    /// When it is not built or does not start.
    pub fn start_with(story: &Story, configuration: &str) -> Self {
        Self::start_in(story, configuration, None)
    }

    /// Starts it as for the public, with these meetings alone: calls can be refused, their media
    /// would not arrive.
    ///
    /// # Panics
    /// When it is not built or does not start.
    pub fn start_public(story: &Story, configuration: &str) -> Self {
        let configuration = format!(
            "[sfu]\nannounced_addresses = [\"192.0.2.1\"]\n[http]\ntls_listen = \"off\"\n\
             {configuration}"
        );
        Self::launch(story, &configuration, &[], None)
    }

    /// Starts it as for the public of a network, with these meetings alone: HTTPS and SIP over TLS by
    /// the local authority.
    ///
    /// # Panics
    /// When it is not built or does not start.
    pub fn start_for(story: &Story, configuration: &str, network: &Network) -> Self {
        let configuration = format!(
            "[sfu]\nannounced_addresses = [\"{}\"]\n[http]\ntls_listen = \"0.0.0.0:0\"\n\
             {configuration}",
            network.address()
        );
        Self::launch(story, &configuration, &[], Some(network))
    }

    /// The same as [`Server::start_with`] in a network of the story's own.
    ///
    /// # Panics
    /// When it is not built or does not start.
    pub fn start_in(story: &Story, configuration: &str, network: Option<&Network>) -> Self {
        Self::launch(story, configuration, &["--dev"], network)
    }

    fn launch(
        story: &Story,
        configuration: &str,
        more: &[&str],
        network: Option<&Network>,
    ) -> Self {
        // Where nobody else comes by, nobody else is listened to.
        let reached = network.map_or(Ipv4Addr::LOCALHOST, Network::address);
        let listen =
            if reached.is_loopback() { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let listen = SocketAddr::from((listen, 0)).to_string();
        let log = File::create(story.file("server.log")).expect("the server's log");
        let file = story.file("plenum.toml");
        std::fs::write(&file, configuration).expect("the configuration");
        let mut process = network::command(network, program())
            .args(["serve", "--config"])
            .arg(file)
            .args(more)
            .env("PLENUM_DATA_DIR", story.file("data"))
            .env("PLENUM_HTTP_LISTEN", &listen)
            .env("PLENUM_SIP_UDP_LISTEN", &listen)
            .env("PLENUM_SIP_TCP_LISTEN", &listen)
            .env("PLENUM_SIP_TLS_LISTEN", &listen)
            .env("PLENUM_RTP_PORT_MIN", RTP_PORTS[0])
            .env("PLENUM_RTP_PORT_MAX", RTP_PORTS[1])
            .envs((!configuration.contains("shards")).then_some(("PLENUM_SFU_SHARDS", "1")))
            .env("PLENUM_SFU_UDP_PORT", free_udp_port().to_string())
            .env("PLENUM_SFU_TCP_PORT", free_tcp_port().to_string())
            .envs((!configuration.contains("[log]")).then(|| ("PLENUM_LOG_FILTER", log_filter())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        // What it prints may be an announced address, which tests do not reach.
        let here = |address: &str| {
            let address = address.split('/').next().expect("an address");
            let address: SocketAddr = address.parse().expect("an address");
            SocketAddr::from((reached, address.port()))
        };
        let (mut http, mut https, mut sip) = (None, None, HashMap::new());
        let mut first = None;
        for line in &mut lines {
            let line = line.expect("its output");
            if let Some((_, address)) = line.split_once("http://") {
                http = Some(here(address));
            } else if let Some((_, address)) = line.split_once("https://") {
                https = Some(here(address));
            } else if let Some((_, dial)) = line.split_once("sip:MEETING@") {
                let (address, transport) = dial.split_once(";transport=").unwrap_or((dial, "udp"));
                sip.insert(transport.to_owned(), here(address));
            } else if let Some((_, admin)) = line.split_once("First administrator: ") {
                let (name, rest) = admin.split_once(", password ").expect("a password");
                let password = rest.split(' ').next().expect("a password");
                first = Some((name.to_owned(), password.to_owned()));
            } else if line.contains("Data:") {
                break;
            }
        }
        let http = http.expect("it prints its address");
        let origin = https.map_or(format!("http://{http}"), |https| format!("https://{https}"));
        // It must never block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, origin, http, sip, first, network: network.cloned() }
    }

    /// The root certificate of its local authority, as `plenum authority` prints it.
    ///
    /// # Panics
    /// When it has none.
    pub fn authority(story: &Story) -> String {
        let printed = Command::new(program())
            .args(["authority", "--config"])
            .arg(story.file("plenum.toml"))
            .env("PLENUM_DATA_DIR", story.file("data"))
            .output()
            .expect("the program starts");
        let complaint = String::from_utf8_lossy(&printed.stderr);
        assert!(printed.status.success(), "plenum authority: {complaint}");
        String::from_utf8(printed.stdout).expect("PEM")
    }

    /// What a room system dials for a meeting, or for the server alone if that is empty, over `udp`, `tcp` or `tls`.
    ///
    /// # Panics
    /// When the server does not listen there.
    pub fn dial(&self, meeting: &str, transport: &str) -> String {
        let address = self.sip.get(transport);
        let address = address.unwrap_or_else(|| panic!("no {transport}: {:?}", self.sip));
        let user = if meeting.is_empty() { String::new() } else { format!("{meeting}@") };
        format!("sip:{user}{address}")
    }

    /// Runs `plenum call`; its exit code, the outcome as JSON, and what it complained of.
    ///
    /// # Panics
    /// When it does not run.
    pub fn call(&self, meeting: &str, address: &str) -> (i32, Value, String) {
        let done = Command::new(program())
            .args(["call", "--dev", "--config", "/dev/null", "--json", "--server", &self.origin])
            .args([meeting, address])
            .output()
            .expect("the command runs");
        let outcome = serde_json::from_slice(&done.stdout).unwrap_or_default();
        let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code().expect("an exit code"), outcome, complaint)
    }

    /// The value of a metric; 0 where there is none of it yet. With several, their sum.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn metric(&self, name: &str) -> f64 {
        let answer = self.request("GET", "/metrics", "", "");
        let value = |line: &str| -> Option<f64> {
            let rest = line.strip_prefix(name)?;
            matches!(rest.bytes().next()?, b' ' | b'{').then_some(())?;
            rest.rsplit(' ').next()?.trim().parse().ok()
        };
        answer.lines().filter_map(value).sum()
    }

    /// Calls LiveKit's RoomService as who may do everything with a meeting.
    ///
    /// # Panics
    /// When it is refused.
    pub fn administer(&self, meeting: &str, method: &str, request: &Value) -> Value {
        let token = token::sign(&Grant {
            identity: Some(Identity::new("administrator")),
            video: VideoGrant {
                room_admin: true,
                room_create: true,
                room: Some(meeting.into()),
                ..VideoGrant::default()
            },
            ..Grant::default()
        });
        let head = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let path = format!("/twirp/livekit.RoomService/{method}");
        let answer = self.request("POST", &path, &head, &request.to_string());
        assert!(answer.starts_with("HTTP/1.1 200"), "{method} {request}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{method}: {error}: {answer}"))
    }

    /// Calls a room system into a meeting by the API, or asks about that leg or changes it: `leg` is
    /// empty, or a slash and its id. The status, and the answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn legs(&self, meeting: &str, method: &str, leg: &str, body: &Value) -> (u16, Value) {
        self.api(&token::to_call(meeting), method, &format!("{meeting}/legs{leg}"), body)
    }

    /// Steers a meeting by the API, as an application's server does: what stands after the meeting
    /// in the path. The answer.
    ///
    /// # Panics
    /// When it is refused.
    pub fn steer(&self, meeting: &str, method: &str, path: &str, body: &Value) -> Value {
        let token = token::to_rule(meeting);
        let (status, answer) = self.api(&token, method, &format!("{meeting}/{path}"), body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    fn api(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let head = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let path = format!("/api/v1/meetings/{path}");
        let answer = self.request(method, &path, &head, &body.to_string());
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// Everybody that stands in a meeting's roster, as LiveKit's `ParticipantInfo`.
    pub fn roster(&self, meeting: &str) -> Vec<Value> {
        let answer =
            self.administer(meeting, "ListParticipants", &serde_json::json!({ "room": meeting }));
        answer["participants"].as_array().cloned().unwrap_or_default()
    }

    /// Its number among the system's processes.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// A request as it stands on the wire; `head` are more lines, each with its end.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn request(&self, method: &str, path: &str, head: &str, body: &str) -> String {
        self.try_request(method, path, head, body).expect("an answer")
    }

    /// The same of a server that may end meanwhile.
    ///
    /// # Errors
    /// The connection's.
    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        head: &str,
        body: &str,
    ) -> std::io::Result<String> {
        let address = self.http;
        let mut stream = network::connect(self.network.as_ref(), address)?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{head}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Ends it as a power failure does.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(mut self) {
        self.process.kill().expect("it can be ended");
        self.process.wait().expect("its end");
    }

    /// Ends it as an administrator does.
    ///
    /// # Panics
    /// When it does not end in time and well.
    pub fn stop(mut self) {
        let started = Instant::now();
        self.terminate();
        let status = wait::until("the server ends after SIGTERM", STOPS_WITHIN, || {
            self.process.try_wait().expect("its state")
        });
        assert!(status.success(), "the server ended with {status} after {:?}", started.elapsed());
    }

    /// Tells it to end, and goes on: [`Self::stop`] waits for it.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args([&format!("-{name}"), &id]).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// What servers log: `PLENUM_LOG_FILTER=info,sfu=trace` before the runner's command says another.
fn log_filter() -> String {
    std::env::var("PLENUM_LOG_FILTER").unwrap_or_else(|_| "info".to_owned())
}

/// The program.
///
/// # Panics
/// When it is not built.
pub fn program() -> PathBuf {
    let program = target().join("debug/plenum");
    assert!(program.exists(), "{} is missing: cargo build -p plenum", program.display());
    program
}

/// A UDP port that was free a moment ago.
pub fn free_udp_port() -> u16 {
    new_port(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.local_addr().expect("its number").port()
    })
}

/// A TCP port that was free a moment ago.
pub fn free_tcp_port() -> u16 {
    new_port(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("its number").port()
    })
}

/// A port that was not given out before: what is free again may come a second time.
fn new_port(free: impl Fn() -> u16) -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().expect("ports");
    std::iter::repeat_with(free).find(|port| given.insert(*port)).expect("there is always another")
}
