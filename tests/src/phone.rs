//! A SIP telephone in pjsua2, with a tone of its own.

use serde_json::{Value, json};

use crate::baresip::free_sip_port;
use crate::driver::{Driver, samples};
use crate::media::{self, Mark};
use crate::python::python;

/// A telephone that takes every call, ended with its owner.
pub struct Phone {
    driver: Driver,
    port: u16,
}

impl Phone {
    /// Starts it on a free port; it sends this mark's tone.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(mark: Mark) -> Self {
        let port = free_sip_port();
        let driver = Driver::start("pjsua2", &mut python("pjsua.py"));
        let mut phone = Self { driver, port };
        phone.ask("start", json!({ "port": port, "wav": media::clip(mark).wav }));
        phone
    }

    /// How others dial it.
    pub fn uri(&self) -> String {
        format!("sip:phone@127.0.0.1:{}", self.port)
    }

    /// Has it do something: see `tests/python/pjsua.py`.
    pub fn ask(&mut self, command: &str, mut arguments: Value) -> Value {
        arguments["command"] = command.into();
        self.driver.ask(&arguments)
    }

    /// What it hears, and how many samples a second that is.
    ///
    /// # Panics
    /// When it is in no call.
    pub fn heard(&mut self, seconds: f64) -> (Vec<i16>, u32) {
        let heard = self.ask("heard", json!({ "seconds": seconds }));
        let rate = heard["rate"].as_u64().and_then(|it| it.try_into().ok()).expect("a rate");
        (samples(&heard["samples"]), rate)
    }
}
