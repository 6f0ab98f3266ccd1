//! The program itself, started as a user would.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::story::{Story, target};
use crate::wait;

/// What the program promises after SIGTERM.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// A running server on this machine, ended with its owner.
pub struct Server {
    process: Child,
    /// `http://127.0.0.1:port`.
    pub origin: String,
}

impl Server {
    /// Starts the program with `--dev` on free ports.
    ///
    /// # Panics
    /// When it is not built or does not start.
    pub fn start(story: &Story) -> Self {
        let program = target().join("debug/plenum");
        assert!(program.exists(), "{} is missing: cargo build -p plenum", program.display());
        let log = File::create(story.file("server.log")).expect("the server's log");
        let mut process = Command::new(program)
            .args(["serve", "--dev", "--config", "/dev/null"])
            .env("PLENUM_HTTP_LISTEN", "127.0.0.1:0")
            .env("PLENUM_SFU_SHARDS", "1")
            .env("PLENUM_SFU_UDP_PORT", free_udp_port().to_string())
            .env("PLENUM_LOG_FILTER", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let origin = lines
            .find_map(|line| {
                let line = line.expect("its output");
                let (_, address) = line.split_once("http://")?;
                Some(format!("http://{}", address.trim_end_matches('/')))
            })
            .expect("it prints its address");
        // It must never block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, origin }
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

    fn terminate(&self) {
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
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

/// A port that was free a moment ago.
pub fn free_udp_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("its number").port()
}
