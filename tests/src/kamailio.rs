//! Another SIP server: a real Kamailio that asks for passwords, keeps what registers, and relays calls.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::baresip::free_sip_port;
use crate::server::Server;
use crate::story::Story;
use crate::wait;

const PATIENCE: Duration = Duration::from_secs(15);
/// The user and the password of everybody who is asked.
pub const USER: &str = "plenum";
/// The same of whoever registers, whatever its user.
pub const PASSWORD: &str = "a-trunk-of-five-words";

/// Where it sends calls to whom it does not know: to the server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// By its address.
    ByAddress,
    /// Where [`USER`] is registered; nowhere else.
    Registered,
}

/// A Kamailio on loopback, ended with its owner. A conference of TrueConf Server's kind, dialled as
/// `00<id>` or `\c\<id>`, is whoever registers as `c<id>`.
pub struct Kamailio {
    process: Child,
    log: PathBuf,
    /// Where it listens, UDP and TCP.
    pub port: u16,
}

impl Kamailio {
    /// Starts it on free ports.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(story: &Story, server: &Server, numbers: Numbers) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = story.file(&format!("kamailio-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder).expect("its folder");
        let port = free_sip_port();
        let modules = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
            .map(|it| format!("{it}/kamailio/modules/"));
        let known = server.dial("x", "udp");
        let plenum = known.rsplit_once(':').expect("a port").1;
        let unknown = match numbers {
            Numbers::ByAddress => format!("$ru = \"sip:\" + $rU + \"@127.0.0.1:{plenum}\";"),
            Numbers::Registered => format!(
                "$rU = \"{USER}\"; \
                 if (!lookup(\"location\")) {{ sl_send_reply(\"404\", \"Not Found\"); exit; }}"
            ),
        };
        let configuration = CONFIGURATION
            .replace("@MODULES@", &modules.join(":"))
            .replace("@PORT@", &port.to_string())
            .replace("@PLENUM@", plenum)
            .replace("@PASSWORD@", PASSWORD)
            .replace("@UNKNOWN@", &unknown);
        fs::write(folder.join("kamailio.cfg"), configuration).expect("its configuration");
        let log = folder.join("kamailio.log");
        let file = File::create(&log).expect("its log");
        // In the foreground: its end is the end of all its processes.
        let process = Command::new("kamailio")
            .args(["-DD", "-E", "-f", "kamailio.cfg", "-m", "32", "-M", "4", "-Y", "."])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("its log"))
            .stderr(file)
            .spawn()
            .expect("kamailio starts");
        let mut kamailio = Self { process, log, port };
        wait::until("kamailio listens", PATIENCE, || {
            let ended = kamailio.process.try_wait().expect("its state");
            assert!(ended.is_none(), "kamailio: {ended:?}\n{}", kamailio.said());
            std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        kamailio
    }

    /// How somebody is called there.
    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@127.0.0.1:{}", self.port)
    }

    /// What it wrote.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it: whoever sends it something is not answered any more.
    pub fn stop(self) {}
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let ended = |process: &mut Child| process.try_wait().ok().flatten();
        for _ in 0..100 {
            if ended(&mut self.process).is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
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
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"

request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (has_totag()) {
        if (loose_route() || is_method("ACK")) { t_relay(); exit; }
        sl_send_reply("404", "Not Here");
        exit;
    }
    if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
    if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
    if (is_method("REGISTER")) {
        if (!pv_www_authenticate("house", "@PASSWORD@", "0")) { auth_challenge("house", "1"); exit; }
        save("location");
        exit;
    }
    if (!is_method("INVITE")) { sl_send_reply("405", "Method Not Allowed"); exit; }
    if ($sp == @PLENUM@) {
        if (!pv_proxy_authenticate("house", "@PASSWORD@", "0")) { proxy_challenge("house", "1"); exit; }
        consume_credentials();
    }
    record_route();
    if ($rU =~ "^00[0-9]+$") { $rU = "c" + $(rU{s.substr,2,0}); }
    if ($rU =~ "^%5[Cc]c%5[Cc]") { $rU = "c" + $(rU{s.substr,7,0}); }
    if (!lookup("location")) {
        if ($sp == @PLENUM@) { sl_send_reply("404", "Not Found"); exit; }
        @UNKNOWN@
    }
    t_relay();
}
"#;
