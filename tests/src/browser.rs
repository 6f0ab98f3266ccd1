//! A person in a real Chromium, with a picture and a tone of their own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::{Driver, Inbound, inbound, samples};
use crate::machine::Machine;
use crate::media::{self, Mark};
use crate::network::{self, Network};
use crate::person::Person;
use crate::story::{Story, workspace};
use crate::wait;

/// How long anything in a page may take on two loaded cores.
const PATIENCE: Duration = Duration::from_secs(25);

/// A browser, ended with its owner.
pub struct Browser {
    driver: Driver,
    /// What it sends.
    pub mark: Mark,
    /// Who it is in the meeting, once it joined.
    pub identity: String,
    origin: String,
}

/// How LiveKit's own client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `/rtc`: two peer connections.
    V0,
    /// `/rtc/v1`: one.
    V1,
    /// `/rtc` with a join request: one.
    V0WithJoinRequest,
}

impl Browser {
    /// Starts a browser that sends this mark.
    ///
    /// # Panics
    /// When it does not start.
    pub fn launch(mark: Mark, origin: &str) -> Self {
        Self::launch_in(mark, origin, None)
    }

    /// The same in a network of the story's own.
    ///
    /// # Panics
    /// When it does not start.
    pub fn launch_in(mark: Mark, origin: &str, network: Option<&Network>) -> Self {
        Self::start(mark, origin, network::command(network, "node"))
    }

    /// The same on a visitor's machine.
    ///
    /// # Panics
    /// When it does not start.
    pub fn launch_on(mark: Mark, origin: &str, machine: &Machine) -> Self {
        Self::start(mark, origin, machine.command("node"))
    }

    fn start(mark: Mark, origin: &str, mut command: Command) -> Self {
        let clip = media::clip(mark);
        command.arg(workspace().join("tests/browser/driver.mjs"));
        let driver = Driver::start(mark.name, &mut command);
        let (identity, origin) = (String::new(), origin.to_owned());
        let mut browser = Self { driver, mark, identity, origin };
        let (video, audio, origin) = (clip.y4m, clip.wav, browser.origin.clone());
        // Several start at the same time.
        browser.driver.begin(
            json!({ "command": "launch", "video": video, "audio": audio, "origin": origin }),
        );
        browser
    }

    /// Goes to an address, as its user types it.
    ///
    /// # Errors
    /// With why no page is shown, like `net::ERR_CONNECTION_REFUSED`.
    pub fn open(&mut self, url: &str) -> Result<(), String> {
        self.driver.try_ask(&json!({ "command": "goto", "url": url })).map(drop)
    }

    /// Joins a meeting through the page, as its user does.
    pub fn join_through_page(&mut self, meeting: &str) {
        self.fill_form(meeting);
        self.wait_until_in();
    }

    /// Joins a meeting through the page with the PIN of a host.
    pub fn host_through_page(&mut self, meeting: &str, pin: &str) {
        self.fill_form(meeting);
        self.fill_pin(pin);
        self.wait_until_in();
    }

    /// Asks to join a meeting through the page that has to know more than a name first.
    pub fn begin_to_join(&mut self, meeting: &str) {
        self.fill_form(meeting);
        self.press("button[type=submit]:not(:disabled)");
    }

    /// Asks to join a meeting through the page, with a PIN or without, and has to wait in its lobby.
    pub fn knock_through_page(&mut self, meeting: &str, pin: Option<&str>) {
        self.fill_form(meeting);
        if let Some(pin) = pin {
            self.fill_pin(pin);
        }
        self.press("button[type=submit]:not(:disabled)");
        self.wait_for("[data-waiting]");
    }

    /// Asks to join a meeting through the page, and is told why it may not.
    pub fn refused_through_page(&mut self, meeting: &str) -> String {
        self.fill_form(meeting);
        self.press("button[type=submit]:not(:disabled)");
        let said = "() => document.querySelector('[role=alert]')?.textContent || null";
        wait::until("the page says why", PATIENCE, || {
            self.evaluate(said).as_str().map(str::to_owned)
        })
    }

    fn fill_form(&mut self, meeting: &str) {
        let name = self.mark.name;
        self.ask(json!({ "command": "goto", "url": format!("{}/m/{meeting}", self.origin) }));
        self.ask(json!({ "command": "fill", "selector": "input[type=text]", "text": name }));
    }

    fn fill_pin(&mut self, pin: &str) {
        self.press("[data-attr=join-pin]");
        self.ask(json!({ "command": "fill", "selector": "input[type=password]", "text": pin }));
    }

    /// Waits until the page shows something.
    pub fn wait_for(&mut self, selector: &str) {
        let script = format!("() => !!document.querySelector({selector:?}) || null");
        wait::until(&format!("{} shows {selector}", self.mark.name), PATIENCE, || {
            self.evaluate(&script).as_bool()
        });
    }

    /// Presses something of the page, once it is there.
    pub fn press(&mut self, selector: &str) {
        self.wait_for(selector);
        let _ = self.evaluate(&format!("() => document.querySelector({selector:?})?.click()"));
    }

    /// Holds the mouse's button on something of the page, once it is there, until [`Self::release`].
    pub fn hold(&mut self, selector: &str) {
        self.wait_for(selector);
        self.ask(json!({ "command": "hold", "selector": selector }));
    }

    /// Lets the mouse's button go.
    pub fn release(&mut self) {
        self.ask(json!({ "command": "release" }));
    }

    /// Holds a key, such as `ArrowUp`, until [`Self::release_key`].
    pub fn hold_key(&mut self, key: &str) {
        self.ask(json!({ "command": "hold_key", "key": key }));
    }

    /// Lets a key go.
    pub fn release_key(&mut self, key: &str) {
        self.ask(json!({ "command": "release_key", "key": key }));
    }

    /// Waits until the page is in the meeting; whatever it has to press it presses.
    pub fn wait_until_in(&mut self) {
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

    /// Opens a page with LiveKit's own client and nothing else.
    pub fn open_blank(&mut self) {
        self.ask(json!({ "command": "blank" }));
    }

    /// Joins a meeting without a page, by LiveKit's own client.
    pub fn join_by_client(&mut self, token: &str, mode: Mode) {
        self.open_blank();
        self.join_from_here(token, mode);
    }

    /// Joins a meeting by LiveKit's own client from a page that [`Browser::open_blank`] opened.
    pub fn join_from_here(&mut self, token: &str, mode: Mode) {
        self.connect_from_here(token, mode);
        let _ =
            self.evaluate("() => window.plenum.room.localParticipant.enableCameraAndMicrophone()");
    }

    /// Joins a meeting by LiveKit's own client, and sends nothing yet.
    pub fn connect_by_client(&mut self, token: &str, mode: Mode) {
        self.open_blank();
        self.connect_from_here(token, mode);
    }

    fn connect_from_here(&mut self, token: &str, mode: Mode) {
        let single_connection = mode != Mode::V0;
        if mode == Mode::V0WithJoinRequest {
            // The client itself would send its join request to the other address.
            self.evaluate(
                "() => {
                    const Native = window.WebSocket;
                    window.WebSocket = class extends Native {
                        constructor(url, ...rest) {
                            super(String(url).replace('/rtc/v1?', '/rtc?'), ...rest);
                        }
                    };
                }",
            );
        }
        let url = self.origin.replacen("http", "ws", 1);
        let script = format!(
            "async () => {{
                const {{ Room, RoomEvent }} = window.LivekitClient;
                const room = new Room({{ singlePeerConnection: {single_connection} }});
                window.plenum = {{ room }};
                const tiles = new Map();
                window.messages = [];
                window.texts = [];
                window.events = [];
                // By the room's state: after a reconnect the client may keep an event back.
                const showTiles = () => {{
                    const shown = new Set();
                    for (const participant of room.remoteParticipants.values()) {{
                        for (const {{ track }} of participant.trackPublications.values()) {{
                            if (!track) continue;
                            shown.add(track);
                            if (tiles.has(track)) continue;
                            const element = track.attach();
                            const tile = document.createElement('div');
                            tile.dataset.identity = participant.identity;
                            if (track.kind === 'audio') {{
                                element.dataset.identity = participant.identity;
                            }}
                            tile.append(element);
                            document.body.append(tile);
                            tiles.set(track, tile);
                        }}
                    }}
                    for (const [track, tile] of tiles) {{
                        if (shown.has(track)) continue;
                        tile.remove();
                        tiles.delete(track);
                    }}
                }};
                setInterval(showTiles, 50);
                room.on(RoomEvent.DataReceived, (data, participant, kind) => {{
                    const name = kind === 0 ? 'reliable' : 'lossy';
                    const text = new TextDecoder().decode(data);
                    window.messages.push([participant?.identity, name, text]);
                }});
                for (const event of ['Reconnecting', 'SignalReconnecting', 'Reconnected',
                    'ParticipantDisconnected', 'Disconnected', 'TrackUnsubscribed']) {{
                    room.on(RoomEvent[event], () => window.events.push(event));
                }}
                room.registerTextStreamHandler('story', async (reader, {{ identity }}) => {{
                    window.texts.push([identity, await reader.readAll()]);
                }});
                room.registerRpcMethod('greet', async ({{ callerIdentity, payload }}) =>
                    `${{room.localParticipant.identity}} greets ${{callerIdentity}}: ${{payload}}`);
                window.testFirsts.clicks.set('connect', performance.now());
                await room.connect({url:?}, {token:?});
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

    /// What carries each of its peer connections: `udp` or `tcp`.
    pub fn transports(&mut self) -> Vec<String> {
        self.of_candidates("local", "protocol")
    }

    /// Where each of its peer connections sends to.
    pub fn peer_addresses(&mut self) -> Vec<String> {
        self.of_candidates("remote", "address")
    }

    /// A property of the candidate that each of its peer connections uses on one side.
    fn of_candidates(&mut self, side: &str, property: &str) -> Vec<String> {
        let script = "async () => {
            const found = [];
            for (const connection of window.testConnections) {
                if (connection.connectionState !== 'connected') continue;
                const stats = await connection.getStats();
                const reports = [...stats.values()];
                const transport = reports.find((it) => it.type === 'transport');
                const pair = stats.get(transport?.selectedCandidatePairId);
                const candidate = stats.get(pair?.SIDECandidateId);
                found.push(candidate?.PROPERTY ?? 'none');
            }
            return found;
        }";
        let script = script.replace("SIDE", side).replace("PROPERTY", property);
        let found = self.evaluate(&script);
        let list = found.as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
    }

    /// In which codec it gets somebody's camera, such as `video/VP8`; `None` before the first packet.
    pub fn codec_of(&mut self, identity: &str) -> Option<String> {
        let script = format!(
            "async () => {{
                const person = window.plenum.room.remoteParticipants.get({identity:?});
                const track = person?.getTrackPublication('camera')?.videoTrack;
                return (await track?.getReceiverStats())?.mimeType ?? null;
            }}"
        );
        self.evaluate(&script).as_str().map(str::to_owned)
    }

    /// What it sends of its camera: the codec with its parameters, and the layers' names.
    pub fn camera_sent(&mut self) -> (String, Vec<String>) {
        let script = "async () => {
            const me = window.plenum.room.localParticipant;
            const stats = await me.getTrackPublication('camera').track.sender.getStats();
            const sent = [...stats.values()].filter((it) => it.type === 'outbound-rtp');
            const codec = stats.get(sent.find((it) => it.codecId)?.codecId);
            return {
                codec: `${codec?.mimeType} ${codec?.sdpFmtpLine ?? ''}`,
                layers: sent.map((it) => it.rid).sort(),
            };
        }";
        let sent = self.evaluate(script);
        let layers = sent["layers"].as_array().cloned().unwrap_or_default();
        let layers = layers.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect();
        (sent["codec"].as_str().unwrap_or_default().to_owned(), layers)
    }

    /// Waits until the page plays the sound of somebody, however loud.
    pub fn wait_for_sound(&mut self, identity: &str) {
        let script = format!(
            "() => !!document.querySelector('audio[data-identity={identity:?}]')?.srcObject || null"
        );
        wait::until(&format!("{} plays {identity}", self.mark.name), PATIENCE, || {
            self.evaluate(&script).as_bool()
        });
    }

    /// How long after joining (the button of the page, or the client's call) the first picture of
    /// somebody was shown. It waits for that.
    pub fn time_to_picture(&mut self, identity: &str) -> Duration {
        let script = format!(
            "() => {{
                const {{ clicks, pictures }} = window.testFirsts;
                const at = pictures[{identity:?}];
                return at === undefined ? null : at - [...clicks.values()].at(-1);
            }}"
        );
        let what = format!("{} sees the first picture of {identity}", self.mark.name);
        let milliseconds = wait::until(&what, PATIENCE, || self.evaluate(&script).as_f64());
        Duration::from_secs_f64(milliseconds.max(0.0) / 1000.0)
    }

    /// The frame counters of somebody that it shows in some seconds, without repetitions.
    pub fn counters(&mut self, identity: &str, seconds: f64) -> Vec<u64> {
        let selector = video_of(identity);
        let counters =
            self.ask(json!({ "command": "counters", "selector": selector, "seconds": seconds }));
        counters.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
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
        self.driver.ask(&command)
    }
}

impl Person for Browser {
    fn mark(&self) -> Mark {
        self.mark
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn sees(&mut self, identity: &str) -> bool {
        let video = video_of(identity);
        let script = format!("() => document.querySelector({video:?})?.videoWidth > 0");
        self.evaluate(&script) == Value::Bool(true)
    }

    fn shows_nothing_of(&mut self, identity: &str) -> bool {
        let script = format!("() => !document.querySelector('[data-identity={identity:?}]')");
        self.evaluate(&script) == Value::Bool(true)
    }

    fn steps(&mut self, identity: &str, seconds: f64) -> usize {
        let selector = video_of(identity);
        let counters =
            self.ask(json!({ "command": "counters", "selector": selector, "seconds": seconds }));
        counters.as_array().map_or(0, Vec::len)
    }

    fn picture(&mut self, identity: &str, file: &Path) {
        self.ask(json!({ "command": "picture", "selector": video_of(identity), "file": file }));
    }

    fn record(&mut self, identity: &str, seconds: f64) -> Vec<i16> {
        let selector = format!("audio[data-identity={identity:?}]");
        samples(&self.ask(json!({ "command": "record", "selector": selector, "seconds": seconds })))
    }

    fn record_all(&mut self, seconds: f64) -> Vec<i16> {
        samples(&self.ask(json!({ "command": "record_all", "seconds": seconds })))
    }

    fn inbound(&mut self) -> Vec<Inbound> {
        inbound(&self.ask(json!({ "command": "stats" })))
    }
}

fn video_of(identity: &str) -> String {
    format!("[data-identity={identity:?}] video")
}
