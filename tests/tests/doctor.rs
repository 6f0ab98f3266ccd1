//! `plenum doctor` beside the program itself, started and stopped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;
use tests::server::{free_tcp_port, free_udp_port, program};
use tests::story::Story;

/// A configuration with ports of its own, as for the public.
struct House {
    story: Story,
    http: u16,
}

/// What the doctor said.
#[derive(Debug)]
struct Said {
    code: i32,
    findings: Vec<Value>,
}

impl Said {
    /// What a check found, in this state.
    fn of(&self, check: &str, state: &str) -> Vec<&str> {
        let found = self.findings.iter().filter(|it| it["check"] == check && it["state"] == state);
        found.map(|it| it["what"].as_str().expect("a text")).collect()
    }
}

impl House {
    fn new(name: &str, http: &str) -> Self {
        let house = Self { story: Story::begin_beside_others(name), http: free_tcp_port() };
        house.configure(&house.story.file("data"), http);
        house
    }

    fn configure(&self, data: &std::path::Path, http: &str) {
        let text = format!(
            "[data]\ndir = {data:?}\n[http]\nlisten = \"127.0.0.1:{}\"\n\
             tls_listen = \"127.0.0.1:{}\"\n{http}\n[sfu]\nshards = 1\nudp_port = {}\n\
             tcp_port = {}\nannounced_addresses = [\"192.0.2.1\"]\n[sip]\n\
             udp_listen = \"127.0.0.1:{}\"\ntcp_listen = \"off\"\ntls_listen = \"off\"\n\
             [rtp]\nport_min = 32000\nport_max = 32700\n",
            self.http,
            free_tcp_port(),
            free_udp_port(),
            free_tcp_port(),
            free_udp_port(),
        );
        fs::write(self.file(), text).expect("the configuration");
    }

    fn file(&self) -> PathBuf {
        self.story.file("plenum.toml")
    }

    fn ask(&self, more: &[&str]) -> (i32, String) {
        let done = Command::new(program())
            .args(["doctor", "--config"])
            .arg(self.file())
            .args(more)
            .output()
            .expect("the program starts");
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(complaint.is_empty(), "{complaint}");
        let printed = String::from_utf8(done.stdout).expect("text");
        (done.status.code().expect("an exit code"), printed)
    }

    fn doctor(&self) -> Said {
        let (code, printed) = self.ask(&["--json"]);
        let mut report: Value = serde_json::from_str(&printed).expect("JSON");
        let findings = report["findings"].as_array_mut().map(std::mem::take).expect("findings");
        let failures = findings.iter().filter(|it| it["state"] == "failure").count();
        assert_eq!(report["failures"], failures);
        assert_eq!(code, i32::from(failures > 0), "{findings:?}");
        for it in &findings {
            assert_eq!(it["mend"].is_null(), it["state"] == "ok", "{it}");
        }
        Said { code, findings }
    }

    /// A certificate of this year, which has ended where that is said, and the words that name it.
    fn certificate(&self, ends: i32) -> String {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(ends, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (public, private) = (self.story.file("c.pem"), self.story.file("k.pem"));
        fs::write(&public, certificate.pem()).expect("the certificate");
        fs::write(&private, key.serialize_pem()).expect("the key");
        fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).expect("its rights");
        format!("certificate = {public:?}\nprivate_key = {private:?}\n")
    }
}

/// A server that is ended with its owner.
struct Running(Child);

impl Running {
    fn start(house: &House) -> Self {
        let log = fs::File::create(house.story.file("server.log")).expect("its log");
        let mut process = Command::new(program())
            .args(["serve", "--config"])
            .arg(house.file())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let output = process.stdout.take().expect("its output");
        let running = Self(process);
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Data:")), "it does not start: see its log");
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn all_is_well_before_the_start_while_it_runs_and_after() {
    let house = House::new("all_is_well", "");
    let before = house.doctor();
    assert_eq!(before.code, 0, "{before:?}");
    assert_eq!(before.of("ports", "ok"), ["all 5 can be bound"]);
    let first = before.of("disk", "warning");
    assert!(first.iter().any(|it| it.contains("no data folder")), "{before:?}");

    let server = Running::start(&house);
    let during = house.doctor();
    let held = format!("all 5 are held by the running Plenum (process {})", server.0.id());
    assert_eq!(during.of("ports", "ok"), [held], "{during:?}");
    let certificate = during.of("certificate", "ok");
    assert!(certificate[0].starts_with("by the local authority, which lasts until"), "{during:?}");
    let disk = during.of("disk", "ok");
    assert!(disk[0].contains("the database opens"), "{during:?}");

    drop(server);
    let after = house.doctor();
    assert_eq!(after.of("ports", "ok"), ["all 5 can be bound"], "{after:?}");
    let (code, printed) = house.ask(&[]);
    assert_eq!(code, 0, "{printed}");
    for check in ["configuration", "ports", "certificate", "clock", "dns", "disk", "limits"] {
        assert!(printed.contains(&format!(" {check} ")), "{check}: {printed}");
    }
    let last = printed.lines().last().unwrap_or_default();
    assert!(last == "All is well." || last.starts_with("Nothing fails"), "{printed}");
}

#[test]
fn a_port_that_somebody_else_holds_is_told_with_its_holder() {
    let house = House::new("a_port_that_somebody_else_holds", "");
    let _holder = TcpListener::bind(("127.0.0.1", house.http)).expect("the port is free");
    let said = house.doctor();
    let ports = said.of("ports", "failure");
    let process = format!("(process {})", std::process::id());
    assert_eq!((said.code, ports.len()), (1, 1), "{said:?}");
    assert!(
        ports[0].starts_with("HTTP: TCP 127.0.0.1:") && ports[0].ends_with(&process),
        "{said:?}"
    );
    let (_, printed) = house.ask(&[]);
    assert!(printed.contains("to mend: end that program, or set another port"), "{printed}");
    assert!(printed.lines().last().unwrap_or_default().starts_with("Failures: 1"), "{printed}");
}

#[test]
fn a_certificate_that_has_ended_fails_and_one_that_holds_does_not() {
    let house = House::new("a_certificate_that_has_ended", "");
    let data = house.story.file("data");
    house.configure(&data, &house.certificate(2021));
    let said = house.doctor();
    let found = said.of("certificate", "failure");
    assert!(found.iter().any(|it| it.ends_with("ended on 2021-01-01")), "{said:?}");
    house.configure(&data, &house.certificate(2090));
    let said = house.doctor();
    assert_eq!(said.code, 0, "{said:?}");
    fs::write(house.story.file("k.pem"), "nonsense").expect("the key");
    let said = house.doctor();
    assert_eq!(said.of("certificate", "failure").len(), 1, "{said:?}");
}

#[test]
fn a_data_folder_that_is_missing_or_cannot_be_written_fails() {
    let house = House::new("a_data_folder_that_cannot_be_written", "");
    // Whoever runs the tests as root may write wherever that is possible at all.
    house.configure("/proc/plenum".as_ref(), "");
    let missing = house.doctor();
    let found = missing.of("disk", "failure");
    assert!(found.iter().any(|it| it.contains("nor can it be made")), "{missing:?}");
    house.configure("/proc/sys".as_ref(), "");
    let unwritable = house.doctor();
    let found = unwritable.of("disk", "failure");
    assert!(found.iter().any(|it| it.contains("nothing can be written")), "{unwritable:?}");
    house.configure(&house.file(), "");
    let file = house.doctor();
    assert!(file.of("disk", "failure").iter().any(|it| it.ends_with("is no folder")), "{file:?}");
    fs::write(house.file(), "[data]\ndri = \"x\"\n").expect("the configuration");
    let unknown = house.doctor();
    assert_eq!((unknown.code, unknown.findings.len()), (1, 1), "{unknown:?}");
    assert_eq!(unknown.of("configuration", "failure").len(), 1);
}
