//! Kamailio, the peer: it passes calls on to one who answers them all, and keeps the state of their
//! transactions.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::caller::Answerer;
use crate::fault::{Doing, Fault, Result};
use crate::machine;

/// Where it listens.
pub const PORT: u16 = 5_070;
const ANSWERER: (&str, u16) = ("127.0.0.2", 5_080);
const START: Duration = Duration::from_secs(10);

/// A running Kamailio with whoever answers behind it. Dropping it ends both.
pub struct Kamailio {
    child: Child,
    _answerer: Answerer,
}

impl Kamailio {
    /// Starts it on the servers' core.
    pub fn start() -> Result<Self> {
        let folder = machine::scratch("kamailio")?;
        let modules = ["x86_64", "aarch64"]
            .map(|it| format!("/usr/lib/{it}-linux-gnu/kamailio/modules/"))
            .join(":");
        let (address, port) = ANSWERER;
        let text = CONFIGURATION
            .replace("@MODULES@", &modules)
            .replace("@PORT@", &PORT.to_string())
            .replace("@ANSWERER@", &format!("{address}:{port}"));
        fs::write(folder.join("kamailio.cfg"), text).doing("kamailio's configuration")?;
        let log = folder.join("kamailio.log");
        let file = fs::File::create(&log).doing(log.display().to_string())?;
        let errors = file.try_clone().doing("kamailio's log")?;
        let child = machine::pinned(machine::SERVER_CORE, "kamailio")
            .args(["-DD", "-E", "-f", "kamailio.cfg", "-m", "64", "-M", "8", "-Y", "."])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .doing("starting kamailio (scripts/setup.sh --bench installs it)")?;
        let mut kamailio = Self { child, _answerer: Answerer::start(address, port)? };
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", PORT)).is_err() {
            let ended = kamailio.child.try_wait().doing("kamailio")?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(Fault::Other(format!(
                    "kamailio does not start; see {}",
                    log.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(kamailio)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // The first of its processes ends the others, if it is asked to.
        let pid = self.pid().to_string();
        let _ = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CONFIGURATION: &str = r#"
debug=1
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
listen=udp:127.0.0.1:@PORT@
listen=tcp:127.0.0.1:@PORT@
mpath="@MODULES@"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"

request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (has_totag()) {
        if (loose_route() || is_method("ACK")) { t_relay(); exit; }
        sl_send_reply("404", "Not Here");
        exit;
    }
    if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
    record_route();
    $ru = "sip:" + $rU + "@@ANSWERER@";
    t_relay();
}
"#;
