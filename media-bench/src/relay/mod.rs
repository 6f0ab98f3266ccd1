//! Metric 9: what one packet costs that is encrypted on one side only, as between a room system of
//! old and a new one, against rtpengine in user space.

mod ends;
pub mod legs;
mod rtpengine;

use types::SrtpSuite;

use crate::Plan;
use crate::fault::Result;
use crate::load::{Contender, Load, rounds};
use crate::report::{Against, Aim, Figure};
use ends::Way;
use legs::OwnLegs;
use rtpengine::RtpEngine;

/// What every room system knows.
const SUITE: SrtpSuite = SrtpSuite::AesCm128Sha1_80;
/// Calls at a time, each with a picture from one side to the other.
const CALLS: usize = 40;

/// A call after the other sends, so that packets come one by one; or a frame of each.
const LOADS: [Load; 2] = [
    Load { name: "50 pps one by one", rate: 50 * CALLS as u32, burst: 1, receivers: 1 },
    Load { name: "50 pps in fives", rate: 50 * CALLS as u32, burst: 5, receivers: 1 },
];

pub fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (way, name) in [(Way::Encrypts, "RTP → SRTP"), (Way::Decrypts, "SRTP → RTP")] {
        let mut contenders: [Box<dyn Contender>; 2] =
            [Box::new(OwnLegs::start(way)?), Box::new(RtpEngine::start(way)?)];
        for load in &LOADS {
            let title = format!("9 {name}, {CALLS} calls, {} (µs a packet)", load.name);
            let mut figure = Figure::new(title, Against::Peer, Some((Aim::AtMost, 0.35)));
            match rounds(plan, load, &mut contenders) {
                Ok([ours, peer]) => (figure.ours, figure.peer) = (ours, peer),
                Err(fault) => figure.fault = Some(fault.to_string()),
            }
            figures.push(figure);
        }
    }
    Ok(figures)
}
