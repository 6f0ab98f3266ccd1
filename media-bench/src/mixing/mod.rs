//! Metric 10: how many participants a core mixes, against Janus' AudioBridge. Both get the same
//! packets over plain RTP, so that nobody's WebRTC is in the figure.

pub mod bridge;
mod floor;
pub mod load;
mod peer;

use std::sync::Arc;
use std::time::Duration;

use types::AudioCodec;

use crate::fault::{Fault, Result};
use crate::machine::Span;
use crate::report::{Against, Aim, Figure};
use crate::{Plan, measured, sound};
use bridge::OwnBridge;
use load::Load;
use peer::AudioBridge;

/// Participants in the room.
pub const PARTIES: usize = 40;

/// Until buffers have filled and everybody is heard.
const WARM_UP: Duration = Duration::from_millis(1_000);

/// What is left of 50 packets a second when a server's ticks fall badly into a short span.
const DELIVERED: f64 = 0.97;

/// A room that mixes.
trait Mixer {
    fn pid(&self) -> u32;
    /// Opens a room.
    fn open(&mut self) -> Result<()>;
    /// Lets somebody in who listens at this port; the server's port for what they send.
    fn join(&mut self, codec: AudioCodec, port: u16) -> Result<u16>;
    /// Ends the room and everybody in it.
    fn close(&mut self) -> Result<()>;
}

struct Case {
    name: &'static str,
    codec: AudioCodec,
    talkers: usize,
    target: f64,
}

const CASES: [Case; 3] = [
    Case {
        name: "10 mixing Opus, 40 of 40 talk (participants a core)",
        codec: AudioCodec::Opus,
        talkers: PARTIES,
        target: 1.3,
    },
    Case {
        name: "10 mixing Opus, 3 of 40 talk (participants a core)",
        codec: AudioCodec::Opus,
        talkers: 3,
        target: 6.0,
    },
    Case {
        name: "10 mixing PCMU, 40 of 40 talk (participants a core)",
        codec: AudioCodec::Pcmu,
        talkers: PARTIES,
        target: 2.0,
    },
];

pub fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let mut ours = OwnBridge::start()?;
    let mut peer = AudioBridge::start()?;
    let mut figures = Vec::new();
    for case in &CASES {
        let mut figure = Figure::new(case.name, Against::Peer, Some((Aim::AtLeast, case.target)));
        if let Err(fault) = rounds(plan, case, &mut ours, &mut peer, &mut figure) {
            figure.fault = Some(fault.to_string());
        }
        figures.push(figure);
    }
    Ok(figures)
}

fn rounds(
    plan: &Plan,
    case: &Case,
    ours: &mut OwnBridge,
    peer: &mut AudioBridge,
    figure: &mut Figure,
) -> Result<()> {
    let mut voices = Vec::new();
    for party in 0..PARTIES {
        let voice = sound::record(case.codec, party as u32, party < case.talkers)?;
        voices.push(Arc::new(voice));
    }
    for round in 0..plan.mixing_rounds {
        let mine = measured(|| round_of(plan, case, &voices, ours))?;
        let theirs = measured(|| round_of(plan, case, &voices, peer))?;
        let floor = floor::capacity(case.codec, &voices, case.talkers)?;
        if round > 0 {
            figure.ours.push(mine);
            figure.peer.push(theirs);
            figure.floor.push(floor);
        }
    }
    Ok(())
}

/// Participants that a core would carry, by the CPU time that these took.
fn round_of(
    plan: &Plan,
    case: &Case,
    voices: &[Arc<Vec<Vec<u8>>>],
    mixer: &mut dyn Mixer,
) -> Result<f64> {
    mixer.open()?;
    let mut load = Load::default();
    for voice in voices {
        load.join(case.codec, voice.clone(), |port| mixer.join(case.codec, port))?;
    }
    load.run(WARM_UP)?;
    load.begin();
    let span = Span::begin(mixer.pid())?;
    load.run(plan.span)?;
    let spent = span.end();
    mixer.close()?;
    let spent = spent?;
    let expected = spent.wall.as_secs_f64() * 50.0 * PARTIES as f64;
    let share = load.received() as f64 / expected;
    if share < DELIVERED {
        return Err(Fault::Refused(format!("only {:.0}% of the mix came", share * 100.0)));
    }
    let loudness = load.heard(case.codec)?;
    if loudness < 0.01 {
        return Err(Fault::Refused(format!("the mix is silent: {loudness}")));
    }
    Ok(PARTIES as f64 * spent.wall.as_secs_f64() / spent.server.as_secs_f64())
}
