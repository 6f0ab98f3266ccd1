//! Janus' streaming plugin: RTP into a mountpoint, WebRTC out of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use udp::Purpose;

use super::SUBSCRIBERS;
use super::client::{Client, connect};
use crate::camera::Camera;
use crate::fault::{Result, missing};
use crate::janus::{Janus, MOUNT_POINT, MOUNT_PORT};
use crate::load::Contender;

const PLUGIN: &str = "janus.plugin.streaming";

pub struct Streaming {
    janus: Janus,
    publisher: Camera,
    subscribers: Vec<Client>,
}

impl Streaming {
    pub fn start(receivers: Purpose) -> Result<Self> {
        let mut janus = Janus::start()?;
        let mut subscribers = Vec::new();
        for _ in 0..SUBSCRIBERS {
            let mut client = Client::new(receivers)?;
            watch(&mut janus, &mut client)?;
            subscribers.push(client);
            // ICE and DTLS of those before have their patience.
            for _ in 0..5 {
                subscribers.iter_mut().try_for_each(|it| it.drive(Instant::now()))?;
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        connect(&mut subscribers)?;
        Ok(Self { janus, publisher: Camera::new()?.to(MOUNT_PORT), subscribers })
    }
}

fn watch(janus: &mut Janus, client: &mut Client) -> Result<()> {
    let handle = janus.attach(PLUGIN)?;
    janus.message(handle, json!({ "request": "watch", "id": MOUNT_POINT }), None)?;
    let event = janus.event(handle)?;
    let offer = event.pointer("/jsep/sdp").and_then(Value::as_str);
    let offer = offer.ok_or_else(|| missing(format!("an offer in what janus said: {event}")))?;
    let answer = json!({ "type": "answer", "sdp": client.accept_offer(offer)? });
    janus.message(handle, json!({ "request": "start" }), Some(answer))?;
    janus.event(handle).map(drop)
}

impl Contender for Streaming {
    fn pid(&self) -> u32 {
        self.janus.pid()
    }

    fn send(&mut self, count: u32, _: Instant) -> Result<()> {
        self.publisher.send(count)
    }

    fn drive(&mut self, now: Instant) -> Result<()> {
        self.subscribers.iter_mut().try_for_each(|client| client.drive(now))
    }

    fn received(&self) -> u64 {
        self.subscribers.iter().map(Client::received).sum()
    }

    fn longest(&self) -> usize {
        self.subscribers.iter().map(Client::longest).max().unwrap_or_default()
    }
}
