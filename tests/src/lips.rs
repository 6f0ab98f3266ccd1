//! Sound against picture, and mouth to ear: a flash and a beep at the same instant of every second,
//! made at one end and noted at the other.

use std::time::{Duration, Instant, SystemTime};

use codec::{AudioDecoder, Decoder, PicturePool};
use rtp::lane::MediaPacket;
use rtp::payload::h264::Depacketizer;
use rtp::rtcp::NtpTime;
use serde_json::{Value, json};
use types::{AudioCodec, VideoCodec};

use crate::browser::Browser;
use crate::device::{Heard, Received};
use crate::media::RATE;
use crate::story::Story;

/// How far sound may be from the picture, in ms; below zero it comes first.
pub const SKEW: std::ops::RangeInclusive<f64> = -60.0..=80.0;
/// How late nearly every sound may be, in ms.
pub const MOUTH_TO_EAR: f64 = 300.0;
/// A flash and a beep that are this far apart, in ms, do not belong together.
const APART: f64 = 450.0;
/// Louder than this is a beep, and what comes after so many quiet samples begins one.
const LOUD: f32 = 0.05;
const QUIET: usize = RATE * 3 / 10;
/// Seconds from 1900, where NTP begins, to 1970.
const NTP_TO_UNIX: f64 = 2_208_988_800.0;

/// Beeps of 100 ms at 1 kHz, one at the beginning of each second.
pub fn beep(sample: u64) -> f32 {
    let place = sample % RATE as u64;
    if place >= RATE as u64 / 10 {
        return 0.0;
    }
    (std::f32::consts::TAU * 1000.0 * place as f32 / RATE as f32).sin() * 0.5
}

/// When beeps and flashes began, in ms of the wall clock.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// Sounds.
    pub beeps: Vec<f64>,
    /// Pictures.
    pub flashes: Vec<f64>,
}

impl Moments {
    fn of(value: &Value) -> Self {
        let list = |name: &str| {
            let all = value[name].as_array().expect("a list of moments");
            all.iter().filter_map(Value::as_f64).collect()
        };
        Self { beeps: list("beeps"), flashes: list("flashes") }
    }

    /// How much later each beep is than its flash.
    pub fn skews(&self) -> Vec<f64> {
        self.beeps
            .iter()
            .filter_map(|beep| {
                let apart = |flash: &f64| (beep - flash).abs();
                let near =
                    self.flashes.iter().copied().min_by(|a, b| apart(a).total_cmp(&apart(b)));
                near.map(|flash| beep - flash).filter(|it| it.abs() < APART)
            })
            .collect()
    }

    /// How much later each of these moments is than the last one in `causes` before it.
    fn after(moments: &[f64], causes: &[f64]) -> Vec<f64> {
        let late = |at: f64| {
            let all = causes.iter().map(move |it| at - it);
            all.filter(|it| (0.0..1000.0).contains(it)).min_by(f64::total_cmp)
        };
        moments.iter().filter_map(|at| late(*at)).collect()
    }

    /// Without what was before a moment.
    #[must_use]
    pub fn since(mut self, begin: f64) -> Self {
        self.beeps.retain(|it| *it >= begin);
        self.flashes.retain(|it| *it >= begin);
        self
    }
}

/// Lets a page make flashes and beeps, from one clock, and publish them; the flashes by `codec`,
/// as the client names it.
pub fn publish(browser: &mut Browser, codec: &str) {
    browser.evaluate(include_str!("../browser/lips.js"));
    browser.evaluate(&format!(
        "async () => {{ window.sent = await window.lips.send(window.plenum.room, \
         window.LivekitClient, {codec:?}); }}"
    ));
}

/// What [`publish`] made so far.
pub fn published(browser: &mut Browser) -> Moments {
    Moments::of(&browser.evaluate("() => window.sent"))
}

/// Lets a page note what it plays and shows of somebody from now on.
pub fn watch(browser: &mut Browser, identity: &str) {
    browser.evaluate(include_str!("../browser/lips.js"));
    browser.evaluate(&format!(
        "async () => {{ window.seen = await window.lips.receive({identity:?}); }}"
    ));
}

/// What [`watch`] noted so far.
pub fn watched(browser: &mut Browser) -> Moments {
    Moments::of(&browser.evaluate("() => window.seen"))
}

/// What came to a device: by when it could be played and shown, and by what the sender's reports
/// say of when it was captured. Only what came after `since`.
pub struct AtDevice {
    /// By arrival.
    pub arrived: Moments,
    /// By the reports.
    pub reported: Moments,
}

impl AtDevice {
    /// `now`: the same moment on both clocks.
    ///
    /// # Panics
    /// When no report came.
    pub fn of([sound, picture]: &[Heard; 2], now: (Instant, SystemTime), since: Instant) -> Self {
        let (mut arrived, mut reported) = (Moments::default(), Moments::default());
        for (at, timestamp) in beeps(&sound.packets) {
            arrived.beeps.push(wall(at, now));
            reported.beeps.push(captured(sound, timestamp, 8_000.0));
        }
        for (at, timestamp) in flashes(&picture.packets) {
            arrived.flashes.push(wall(at, now));
            reported.flashes.push(captured(picture, timestamp, 90_000.0));
        }
        let since = wall(since, now);
        // What is captured is some time older.
        Self { arrived: arrived.since(since), reported: reported.since(since) }
    }
}

/// Milliseconds of the wall clock.
pub fn wall(at: Instant, (instant, time): (Instant, SystemTime)) -> f64 {
    let now = time.duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    let after = at.saturating_duration_since(instant).as_secs_f64();
    let before = instant.saturating_duration_since(at).as_secs_f64();
    (now.as_secs_f64() + after - before) * 1000.0
}

fn captured(stream: &Heard, timestamp: f64, clock: f64) -> f64 {
    let (NtpTime(ntp), at) = *stream.reports.last().expect("a sender report");
    let seconds = ntp as f64 / (1u64 << 32) as f64 - NTP_TO_UNIX;
    // Nothing lasts so long that the clock would have wrapped unseen.
    let whole = (timestamp as u32).wrapping_sub(at) as i32;
    (seconds + (f64::from(whole) + timestamp.fract()) / clock) * 1000.0
}

/// Where beeps begin: when that was there to be played, and its RTP time.
fn beeps(packets: &[Received]) -> Vec<(Instant, f64)> {
    let mut decoder = AudioDecoder::new(AudioCodec::Pcmu).expect("a decoder");
    let (mut samples, mut quiet, mut found) = (Vec::new(), 0, Vec::new());
    for packet in packets {
        samples.clear();
        decoder.decode(&packet.payload, &mut samples).expect("sound");
        for (place, sample) in samples.iter().enumerate() {
            if sample.abs() < LOUD {
                quiet += 1;
                continue;
            }
            if quiet > QUIET {
                let seconds = place as f64 / RATE as f64;
                let at = packet.arrival + Duration::from_secs_f64(seconds);
                found.push((at, f64::from(packet.header.timestamp) + seconds * 8_000.0));
            }
            quiet = 0;
        }
    }
    found
}

/// Where flashes begin: when the last packet of the picture came, and its RTP time.
fn flashes(packets: &[Received]) -> Vec<(Instant, f64)> {
    let mut depacketizer = Depacketizer::new();
    let mut decoder = Decoder::new(VideoCodec::H264, PicturePool::new(4)).expect("a decoder");
    let mut pictures = Vec::new();
    let mut seq = 1u64 << 16;
    for packet in packets {
        let step = packet.header.seq.wrapping_sub(seq as u16) as i16;
        seq = seq.saturating_add_signed(step.into());
        let media = MediaPacket {
            payload: packet.payload.as_slice().into(),
            seq,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            arrival: packet.arrival,
            format: 0,
            audio_level: None,
            capture: None,
        };
        for frame in depacketizer.push(&media).into_iter().chain(depacketizer.pop()) {
            let Ok(Some(picture)) = decoder.decode(&frame.data) else { continue };
            let (width, height) = (picture.width(), picture.height());
            let places = (0..64).map(|it| (it % 8 * 2 + 1, it / 8 * 2 + 1));
            let lumas = places.map(|(x, y)| picture.pixel(x * width / 16, y * height / 16).y);
            let brightness: u32 = lumas.map(u32::from).sum();
            pictures.push((packet.arrival, f64::from(frame.timestamp), brightness / 64));
        }
    }
    let all = || pictures.iter().map(|it| it.2);
    let (dark, bright) = (all().min().unwrap_or_default(), all().max().unwrap_or_default());
    assert!(bright > dark + 20, "no flash in {} pictures: {dark} to {bright}", pictures.len());
    let is_bright = |brightness: u32| brightness > (dark + bright) / 2;
    let pairs = pictures.windows(2).filter(|it| !is_bright(it[0].2) && is_bright(it[1].2));
    pairs.map(|it| (it[1].0, it[1].1)).collect()
}

/// The figures of one way, kept as JSON and printed.
pub struct Figures {
    name: String,
    json: serde_json::Map<String, Value>,
}

impl Figures {
    /// None yet.
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), json: serde_json::Map::new() }
    }

    /// Adds a series; its least, 5th percentile, median, 95th percentile and greatest.
    ///
    /// # Panics
    /// When it has few values.
    pub fn add(&mut self, name: &str, values: &[f64]) -> [f64; 5] {
        assert!(values.len() >= 10, "{}: {name} has but {} values", self.name, values.len());
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = (sorted.len() - 1) as f64;
        let at = |share: f64| (sorted[(share * last).round() as usize] * 10.0).round() / 10.0;
        let [least, p5, median, p95, most] = [0.0, 0.05, 0.5, 0.95, 1.0].map(at);
        println!(
            "{} {name}: {least} ms, p5 {p5}, median {median}, p95 {p95}, most {most} ({})",
            self.name,
            sorted.len()
        );
        let figures = json!({ "least": least, "p5": p5, "median": median, "p95": p95,
            "most": most, "values": values });
        self.json.insert(name.to_owned(), figures);
        [least, p5, median, p95, most]
    }

    /// Adds anything else.
    pub fn note(&mut self, name: &str, value: Value) {
        self.json.insert(name.to_owned(), value);
    }

    /// Writes them among the artefacts.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn keep(self, story: &Story) {
        let text = serde_json::to_string_pretty(&Value::Object(self.json)).expect("JSON");
        std::fs::write(story.file(&format!("{}.json", self.name)), text).expect("the figures");
    }

    /// Adds how late sounds were after they were made, in ms; the 95th percentile.
    pub fn add_mouth_to_ear(&mut self, made: &[f64], heard: &[f64]) -> f64 {
        self.add("mouth to ear", &Moments::after(heard, made))[3]
    }

    /// Adds how late pictures were after they were made, in ms.
    pub fn add_lens_to_eye(&mut self, made: &[f64], seen: &[f64]) {
        self.add("lens to eye", &Moments::after(seen, made));
    }
}
