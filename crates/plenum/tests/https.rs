//! The program as it is started without `--dev`, asked by curl over HTTPS and HTTP.
// Helpers of tests may fail like tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};

/// What peers would be told; nobody sends there.
const ANNOUNCED: &str = "192.0.2.1";
const PATIENCE: Duration = Duration::from_secs(10);

/// A server in a folder of its own, on free ports of loopback.
struct Server {
    process: Child,
    folder: PathBuf,
    http: u16,
    https: u16,
}

impl Server {
    fn start(name: &str, more: &[(&str, &Path)]) -> Self {
        let folder = folder(name);
        let log = File::create(folder.join("log")).unwrap();
        let mut process = program(&folder, "serve")
            .env("PLENUM_HTTP_LISTEN", "127.0.0.1:0")
            .env("PLENUM_HTTP_TLS_LISTEN", "127.0.0.1:0")
            .env("PLENUM_SIP_UDP_LISTEN", "off")
            .env("PLENUM_SIP_TCP_LISTEN", "off")
            .env("PLENUM_SIP_TLS_LISTEN", "off")
            .env("PLENUM_SFU_SHARDS", "1")
            .env("PLENUM_SFU_UDP_PORT", free_udp_port().to_string())
            .env("PLENUM_SFU_TCP_PORT", "0")
            .envs(more.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut port = |scheme: &str| {
            let start = format!("{scheme}://{ANNOUNCED}:");
            let line = lines.find_map(|line| Some(line.unwrap().split_once(&start)?.1.to_owned()));
            let line = line.unwrap_or_else(|| {
                panic!("no {start}: {}", fs::read_to_string(folder.join("log")).unwrap())
            });
            line.split('/').next().unwrap().parse().unwrap()
        };
        let https = port("https");
        // Only where browsers need the root is the other one told.
        let http = if more.is_empty() { port("http") } else { 0 };
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, folder, http, https }
    }

    /// What curl says to a path over HTTPS, trusting `root` alone.
    fn curl(&self, root: &Path, path: &str) -> Output {
        let url = format!("https://127.0.0.1:{}{path}", self.https);
        curl(&["--cacert", root.to_str().unwrap(), &url])
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    fn stop(mut self) {
        self.signal("-TERM");
        let ended = until("the server ends", || self.process.try_wait().unwrap());
        assert!(ended.success(), "{ended}: {}", self.log());
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

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn program(folder: &Path, command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_plenum"));
    program
        .args([command, "--config", "/dev/null"])
        .env("PLENUM_DATA_DIR", folder)
        .env("PLENUM_SFU_ANNOUNCED_ADDRESSES", ANNOUNCED)
        .stdin(Stdio::null());
    program
}

fn curl(arguments: &[&str]) -> Output {
    let common = ["--silent", "--show-error", "--max-time", "10", "--noproxy", "*"];
    Command::new("curl").args(common).args(arguments).output().expect("curl is there")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_udp_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn https_is_trusted_by_the_authoritys_root_and_http_points_there() {
    let server = Server::start("authority", &[]);
    let clear = format!("http://127.0.0.1:{}", server.http);

    let root = curl(&["--fail", &format!("{clear}/authority.pem")]);
    assert!(root.status.success(), "{}", text(&root.stderr));
    let printed = program(&server.folder, "authority").output().unwrap();
    assert_eq!(text(&printed.stdout), text(&root.stdout), "`plenum authority` prints the same");
    let file = server.folder.join("installed.pem");
    fs::write(&file, &root.stdout).unwrap();

    let page = server.curl(&file, "/m/board");
    assert!(text(&page.stdout).contains("<html"), "{}", text(&page.stderr));
    let untrusting = curl(&[&format!("https://127.0.0.1:{}/", server.https)]);
    assert_eq!(untrusting.status.code(), Some(60), "curl trusts it without the root");
    let named = format!("localhost:{}:127.0.0.1", server.https);
    let by_name = format!("https://localhost:{}/healthz", server.https);
    let by_name = curl(&["--cacert", file.to_str().unwrap(), "--resolve", &named, &by_name]);
    assert_eq!(text(&by_name.stdout), "ok\n", "{}", text(&by_name.stderr));

    let format = "%{http_code} %{redirect_url}";
    let sent = curl(&["-w", format, "-X", "POST", &format!("{clear}/twirp/a?b=c")]);
    let wanted = format!("308 https://127.0.0.1:{}/twirp/a?b=c", server.https);
    assert_eq!(text(&sent.stdout), wanted);
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = curl(&["-w", "%{http_code}", "-o", "/dev/null", &format!("{clear}{path}")]);
        assert_eq!(text(&answer.stdout), "200", "{path} in clear");
    }
    server.stop();
}

#[test]
fn wss_reaches_the_signalling() {
    let server = Server::start("wss", &[]);
    let root = server.folder.join("authority/root.pem");
    let url = format!("https://127.0.0.1:{}/rtc", server.https);
    let answer = curl(&[
        "--cacert",
        root.to_str().unwrap(),
        "-w",
        "%{http_code}",
        "-o",
        "/dev/null",
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        &url,
    ]);
    // LiveKit's word for a missing token: it is its route that answers, not the page.
    assert_eq!(text(&answer.stdout), "401", "{}", text(&answer.stderr));
    server.stop();
}

#[test]
fn a_new_certificate_is_shown_after_sighup_and_a_broken_one_never() {
    let files = folder("files");
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| files.join(name));
    let make = || {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.self_signed(&pair).unwrap().pem(), pair.serialize_pem())
    };
    let (first, first_key) = make();
    let (second, second_key) = make();
    let root = |name: &str, pem: &str| {
        let path = files.join(name);
        fs::write(&path, pem).unwrap();
        path
    };
    let (trust_first, trust_second) = (root("first.pem", &first), root("second.pem", &second));
    fs::write(&certificate, &first).unwrap();
    fs::write(&key, &first_key).unwrap();
    let server = Server::start(
        "sighup",
        &[("PLENUM_HTTP_CERTIFICATE", &certificate), ("PLENUM_HTTP_PRIVATE_KEY", &key)],
    );
    assert_eq!(text(&server.curl(&trust_first, "/healthz").stdout), "ok\n");
    let status = |path: &str| {
        let url = format!("https://127.0.0.1:{}{path}", server.https);
        let trusted = trust_first.to_str().unwrap();
        text(&curl(&["--cacert", trusted, "-w", "%{http_code}", "-o", "/dev/null", &url]).stdout)
    };
    assert_eq!(status("/authority.pem"), "404", "a certificate was given");

    fs::write(&certificate, &second).unwrap();
    server.signal("-HUP");
    until("the log tells", || server.log().contains("the old one stays").then_some(()));
    assert_eq!(text(&server.curl(&trust_first, "/healthz").stdout), "ok\n", "with the old key");

    fs::write(&key, &second_key).unwrap();
    server.signal("-HUP");
    until("the new certificate is shown", || {
        server.curl(&trust_second, "/healthz").status.success().then_some(())
    });
    assert!(!server.curl(&trust_first, "/healthz").status.success(), "the old one is gone");
    server.stop();
}

#[test]
fn without_an_authority_the_command_says_why() {
    let folder = folder("none");
    let told = program(&folder, "authority").output().unwrap();
    assert!(!told.status.success() && told.stdout.is_empty());
    assert!(text(&told.stderr).contains("there is no local authority in"), "{told:?}");
}
