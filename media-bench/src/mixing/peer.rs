//! Janus' AudioBridge, with the settings of ours where it lets us choose.

use serde_json::json;
use types::AudioCodec;

use super::Mixer;
use super::load::payload_type;
use crate::fault::{Result, missing};
use crate::janus::Janus;
use crate::machine;
use crate::sound::{EXPECTED_LOSS, OPUS_BITRATE};

const PLUGIN: &str = "janus.plugin.audiobridge";
/// The complexity that our encoders run at.
const COMPLEXITY: u32 = 5;

pub struct AudioBridge {
    janus: Janus,
    /// Creates and ends rooms.
    host: u64,
    room: u64,
    parties: Vec<u64>,
}

impl AudioBridge {
    pub fn start() -> Result<Self> {
        let janus = Janus::start()?;
        let host = janus.attach(PLUGIN)?;
        Ok(Self { janus, host, room: 0, parties: Vec::new() })
    }
}

impl Mixer for AudioBridge {
    fn pid(&self) -> u32 {
        self.janus.pid()
    }

    fn open(&mut self) -> Result<()> {
        self.room += 1;
        let body = json!({
            "request": "create", "room": self.room, "sampling_rate": 48_000,
            "allow_rtp_participants": true, "audiolevel_event": false,
        });
        self.janus.message(self.host, body, None).map(drop)
    }

    fn join(&mut self, codec: AudioCodec, port: u16) -> Result<u16> {
        let handle = self.janus.attach(PLUGIN)?;
        self.parties.push(handle);
        let [a, b, c, d] = machine::ADDRESS;
        let name = if codec == AudioCodec::Opus { "opus" } else { "pcmu" };
        let body = json!({
            "request": "join", "room": self.room, "codec": name, "quality": COMPLEXITY,
            "bitrate": OPUS_BITRATE, "expected_loss": EXPECTED_LOSS,
            "rtp": {
                "ip": format!("{a}.{b}.{c}.{d}"), "port": port,
                "payload_type": payload_type(codec), "fec": codec == AudioCodec::Opus,
            },
        });
        self.janus.message(handle, body, None)?;
        let joined = self.janus.event(handle)?;
        let port = joined.pointer("/plugindata/data/rtp/port").and_then(serde_json::Value::as_u64);
        port.and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| missing(format!("the port in what janus answered: {joined}")))
    }

    fn close(&mut self) -> Result<()> {
        let body = json!({ "request": "destroy", "room": self.room });
        self.janus.message(self.host, body, None)?;
        for party in self.parties.drain(..) {
            self.janus.detach(party)?;
        }
        Ok(())
    }
}
