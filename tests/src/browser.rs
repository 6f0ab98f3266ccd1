//! A person in a real Chromium, with a picture and a tone of their own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::media::{self, Mark};
use crate::story::{Story, workspace};
use crate::wait;

/// How long anything in a page may take on two loaded cores.
const PATIENCE: Duration = Duration::from_secs(25);

/// A browser, ended with its owner.
pub struct Browser {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What it sends.
    pub mark: Mark,
    /// Who it is in the meeting, once it joined.
    pub identity: String,
    origin: String,
}

/// Figures of one received stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    /// `audio` or `video`.
    pub kind: String,
    /// Packets that came.
    pub received: i64,
    /// Packets that did not.
    pub lost: i64,
    /// Pictures that were decoded.
    pub decoded: i64,
}

impl Browser {
    /// Starts a browser that sends this mark.
    ///
    /// # Panics
    /// When it does not start.
    pub fn launch(mark: Mark, origin: &str) -> Self {
        let clip = media::clip(mark);
        let mut process = Command::new("node")
            .arg(workspace().join("tests/browser/driver.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("the driver's output"));
        let (identity, origin) = (String::new(), origin.to_owned());
        let mut browser = Self { process, input, output, mark, identity, origin };
        let (video, audio, origin) = (clip.y4m, clip.wav, browser.origin.clone());
        browser
            .ask(json!({ "command": "launch", "video": video, "audio": audio, "origin": origin }));
        browser
    }

    /// Joins a meeting through the page, as its user does.
    pub fn join_through_page(&mut self, meeting: &str) {
        let name = self.mark.name;
        self.ask(json!({ "command": "goto", "url": format!("{}/m/{meeting}", self.origin) }));
        self.ask(json!({ "command": "fill", "selector": "input[type=text]", "text": name }));
        let joined = "() => window.plenum?.room?.state === 'connected' \
             ? window.plenum.room.localParticipant.identity : null";
        // The form, then the look into the mirror: each has one button that goes on.
        self.identity = wait::until("the page joins", PATIENCE, || {
            if let Value::String(identity) = self.evaluate(joined) {
                return Some(identity);
            }
            let _ = self.evaluate(
                "() => document.querySelector('button[type=submit]:not(:disabled)')?.click()",
            );
            None
        });
    }

    /// Joins a meeting without a page, by LiveKit's own client.
    pub fn join_by_client(&mut self, token: &str, single_connection: bool) {
        self.ask(json!({ "command": "blank" }));
        let url = self.origin.replacen("http", "ws", 1);
        let script = format!(
            "async () => {{
                const {{ Room, RoomEvent }} = window.LivekitClient;
                const room = new Room({{ singlePeerConnection: {single_connection} }});
                window.plenum = {{ room }};
                window.messages = [];
                room.on(RoomEvent.TrackSubscribed, (track, _, participant) => {{
                    const element = track.attach();
                    const tile = document.createElement('div');
                    tile.dataset.identity = participant.identity;
                    if (track.kind === 'audio') element.dataset.identity = participant.identity;
                    tile.append(element);
                    document.body.append(tile);
                }});
                room.on(RoomEvent.TrackUnsubscribed, (track) => {{
                    for (const element of track.detach()) element.parentElement.remove();
                }});
                room.on(RoomEvent.DataReceived, (data, participant) => {{
                    window.messages.push([participant?.identity, new TextDecoder().decode(data)]);
                }});
                await room.connect({url:?}, {token:?});
                await room.localParticipant.enableCameraAndMicrophone();
                return room.localParticipant.identity;
            }}"
        );
        self.identity = self.evaluate(&script).as_str().expect("an identity").to_owned();
    }

    /// Runs a function in the page; its value.
    pub fn evaluate(&mut self, script: &str) -> Value {
        // The driver evaluates expressions: a function is called here.
        self.ask(json!({ "command": "evaluate", "script": format!("({script})()") }))
    }

    /// Waits until a room system is in the meeting; its identity.
    pub fn wait_for_room_system(&mut self) -> String {
        let script = "() => [...window.plenum.room.remoteParticipants.values()]\
             .find((it) => it.kind === 3)?.identity ?? null";
        wait::until("a room system is in the meeting", PATIENCE, || {
            self.evaluate(script).as_str().map(str::to_owned)
        })
    }

    /// Waits until the page shows the picture of somebody.
    pub fn wait_for_picture(&mut self, identity: &str) {
        let script = format!(
            "() => document.querySelector({:?})?.videoWidth > 0 || null",
            video_of(identity)
        );
        wait::until(&format!("{} sees {identity}", self.mark.name), PATIENCE, || {
            self.evaluate(&script).as_bool()
        });
    }

    /// Waits until nothing of somebody is on the page any more; how long it took.
    pub fn wait_until_gone(&mut self, identity: &str, patience: Duration) {
        let script =
            format!("() => document.querySelector('[data-identity={identity:?}]') ? null : true");
        wait::until(&format!("{identity} is gone for {}", self.mark.name), patience, || {
            self.evaluate(&script).as_bool()
        });
    }

    /// How many different frames of somebody it shows in some seconds.
    pub fn steps(&mut self, identity: &str, seconds: f64) -> usize {
        let selector = video_of(identity);
        let counters =
            self.ask(json!({ "command": "counters", "selector": selector, "seconds": seconds }));
        counters.as_array().map_or(0, Vec::len)
    }

    /// The picture of somebody as it is shown, as a PNG.
    pub fn picture(&mut self, identity: &str, file: &Path) {
        self.ask(json!({ "command": "picture", "selector": video_of(identity), "file": file }));
    }

    /// What it hears of somebody, at 48 kHz.
    pub fn record(&mut self, identity: &str, seconds: f64) -> Vec<i16> {
        let selector = format!("audio[data-identity={identity:?}]");
        let samples =
            self.ask(json!({ "command": "record", "selector": selector, "seconds": seconds }));
        let bytes = STANDARD.decode(samples.as_str().expect("samples")).expect("base64");
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Figures of all streams that it receives.
    pub fn inbound(&mut self) -> Vec<Inbound> {
        let streams = self.ask(json!({ "command": "stats" }));
        let number = |it: &Value| it.as_i64().unwrap_or_default();
        streams
            .as_array()
            .expect("a list of streams")
            .iter()
            .map(|it| Inbound {
                kind: it["kind"].as_str().unwrap_or_default().to_owned(),
                received: number(&it["packetsReceived"]),
                lost: number(&it["packetsLost"]),
                decoded: number(&it["framesDecoded"]),
            })
            .collect()
    }

    /// A screenshot of the page, after a change of the window's size if one is given.
    pub fn screenshot(&mut self, story: &Story, name: &str, size: Option<(u32, u32)>) {
        let (width, height) = size.unwrap_or_default();
        let file = story.file(name);
        self.ask(
            json!({ "command": "screenshot", "file": file, "width": width, "height": height }),
        );
    }

    /// Errors of the page, and requests that it made to other origins.
    pub fn complaints(&mut self) -> (Vec<String>, Vec<String>) {
        let seen = self.ask(json!({ "command": "seen" }));
        let list = |name: &str| -> Vec<String> {
            let all = seen[name].as_array().cloned().unwrap_or_default();
            all.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
        };
        (list("errors"), list("foreign"))
    }

    fn ask(&mut self, command: Value) -> Value {
        let input = self.input.as_mut().expect("an open driver");
        writeln!(input, "{command}").expect("the driver listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the driver answers");
        let answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the driver ended at {command}: {line}"));
        if let Some(error) = answer["error"].as_str() {
            panic!("{}: {command}: {error}", self.mark.name);
        }
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver closes its browser when its input ends.
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

fn video_of(identity: &str) -> String {
    format!("[data-identity={identity:?}] video")
}
