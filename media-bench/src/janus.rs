//! Janus, the peer: its process, and its JSON interface over HTTP.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::camera::PAYLOAD_TYPE;
use crate::fault::{Doing, Fault, Result, missing};
use crate::{http, machine};

/// Where the streaming plugin takes RTP.
pub const MOUNT_PORT: u16 = 5_004;
/// The mountpoint there.
pub const MOUNT_POINT: u64 = 1;

const HTTP_PORT: u16 = 8_088;
const START: Duration = Duration::from_secs(10);

/// A running Janus with one session. Dropping it ends it.
pub struct Janus {
    child: Child,
    http: SocketAddr,
    session: u64,
    events: VecDeque<Value>,
}

impl Janus {
    /// Starts it on the servers' core, with a configuration of our own.
    pub fn start() -> Result<Self> {
        let folder = machine::scratch("janus")?;
        configure(&folder)?;
        let log = folder.join("janus.log");
        let log = fs::File::create(&log).doing(log.display().to_string())?;
        let errors = log.try_clone().doing("janus' log")?;
        let child = machine::pinned(machine::SERVER_CORE, "janus")
            .arg("--configs-folder")
            .arg(&folder)
            .arg("--config")
            .arg(folder.join("janus.jcfg"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .doing("starting janus (scripts/setup.sh --bench installs it)")?;
        let http = SocketAddr::from((machine::ADDRESS, HTTP_PORT));
        let mut janus = Self { child, http, session: 0, events: VecDeque::new() };
        janus.session = janus.create_session()?;
        Ok(janus)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tries until the server listens.
    fn create_session(&mut self) -> Result<u64> {
        let deadline = Instant::now() + START;
        let request = json!({ "janus": "create", "transaction": "t" });
        loop {
            match http::json(self.http, "/janus", Some(&request)) {
                Ok(answer) => return id(&answer),
                Err(fault) if Instant::now() > deadline => return Err(fault),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// A new handle of a plugin.
    pub fn attach(&self, plugin: &str) -> Result<u64> {
        let request = json!({ "janus": "attach", "plugin": plugin, "transaction": "t" });
        id(&self.post("", &request)?)
    }

    pub fn detach(&self, handle: u64) -> Result<()> {
        let request = json!({ "janus": "detach", "transaction": "t" });
        self.post(&format!("/{handle}"), &request).map(drop)
    }

    /// Asks a plugin. What it answers at once; for what is answered later see [`Janus::event`].
    pub fn message(&self, handle: u64, body: Value, jsep: Option<Value>) -> Result<Value> {
        let mut request = json!({ "janus": "message", "transaction": "t", "body": body });
        if let (Some(request), Some(jsep)) = (request.as_object_mut(), jsep) {
            request.insert("jsep".into(), jsep);
        }
        let answer = self.post(&format!("/{handle}"), &request)?;
        let data = answer.pointer("/plugindata/data").cloned().unwrap_or_default();
        refuse_error(&data)?;
        Ok(data)
    }

    /// The next event of a handle that carries what a plugin says.
    pub fn event(&mut self, handle: u64) -> Result<Value> {
        loop {
            let of_it = |event: &Value| {
                event.get("sender").and_then(Value::as_u64) == Some(handle)
                    && event.get("janus").and_then(Value::as_str) == Some("event")
            };
            if let Some(at) = self.events.iter().position(of_it) {
                let event = self.events.remove(at).ok_or_else(|| missing("an event"))?;
                refuse_error(event.pointer("/plugindata/data").unwrap_or(&Value::Null))?;
                return Ok(event);
            }
            let path = format!("/janus/{}?maxev=20", self.session);
            match http::json(self.http, &path, None)? {
                Value::Array(events) => self.events.extend(events),
                event => self.events.push_back(event),
            }
        }
    }

    fn post(&self, below: &str, request: &Value) -> Result<Value> {
        let path = format!("/janus/{}{below}", self.session);
        let answer = http::json(self.http, &path, Some(request))?;
        if answer.get("janus").and_then(Value::as_str) == Some("error") {
            return Err(Fault::Other(format!("janus: {answer}")));
        }
        Ok(answer)
    }
}

impl Drop for Janus {
    fn drop(&mut self) {
        // Nothing of it has to be kept, so it is not asked.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn id(answer: &Value) -> Result<u64> {
    answer
        .pointer("/data/id")
        .and_then(Value::as_u64)
        .ok_or_else(|| Fault::Other(format!("janus gave no id: {answer}")))
}

fn refuse_error(data: &Value) -> Result<()> {
    match data.get("error") {
        Some(error) => Err(Fault::Other(format!("janus: {error}"))),
        None => Ok(()),
    }
}

/// Its own defaults, but for what a bench needs: no time-outs, no log of every packet.
fn configure(folder: &Path) -> Result<()> {
    let [a, b, c, d] = machine::ADDRESS;
    let files = [
        (
            "janus.jcfg",
            "general: { debug_level = 2; session_timeout = 0; }\n\
             nat: { ice_enforce_list = \"bench0\"; }\n\
             plugins: { disable = \"libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,\
             libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_textroom.so,\
             libjanus_videocall.so,libjanus_videoroom.so,libjanus_voicemail.so\"; }\n\
             transports: { disable = \"libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,\
             libjanus_rabbitmq.so,libjanus_websockets.so\"; }\n"
                .to_owned(),
        ),
        (
            "janus.transport.http.jcfg",
            format!(
                "general: {{ json = \"compact\"; base_path = \"/janus\"; http = true; \
                 port = {HTTP_PORT}; ip = \"{a}.{b}.{c}.{d}\"; https = false; }}\n"
            ),
        ),
        (
            "janus.plugin.streaming.jcfg",
            format!(
                "bench: {{ type = \"rtp\"; id = {MOUNT_POINT}; media = ( {{ type = \"video\"; \
                 mid = \"v\"; label = \"v\"; port = {MOUNT_PORT}; pt = {PAYLOAD_TYPE}; \
                 codec = \"vp8\"; }} ) }}\n"
            ),
        ),
        (
            "janus.plugin.audiobridge.jcfg",
            format!(
                "general: {{ local_ip = \"{a}.{b}.{c}.{d}\"; rtp_port_range = \"10000-14999\"; }}\n"
            ),
        ),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).doing(path.display().to_string())?;
    }
    Ok(())
}
