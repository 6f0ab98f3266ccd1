//! Metrics 1 and 2: what forwarding one packet to one receiver costs, against Janus and against
//! what the kernel and the cipher cost alone.

pub mod client;
pub mod floor;
mod futex;
mod peer;
pub mod shard;

use crate::Plan;
use crate::fault::{Fault, Result, missing};
use crate::load::{Contender, Load, WARM_UP, rounds, run};
use crate::report::{Against, Aim, Figure};
use floor::Floor;
use futex::FutexCount;
use peer::Streaming;
use shard::OwnShard;

/// Receivers of the one publisher.
pub const SUBSCRIBERS: usize = 30;

const LOADS: [Load; 4] = [
    load("200 pps one by one", 200, 1),
    load("200 pps in twos", 200, 2),
    load("600 pps one by one", 600, 1),
    load("600 pps in sixes", 600, 6),
];

const fn load(name: &'static str, rate: u32, burst: u32) -> Load {
    Load { name, rate, burst, receivers: SUBSCRIBERS }
}

pub fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let mut contenders: [Box<dyn Contender>; 4] = [
        Box::new(OwnShard::start(plan.receivers)?),
        Box::new(Streaming::start(plan.receivers)?),
        Box::new(Floor::start(false, plan.receivers)?),
        Box::new(Floor::start(true, plan.receivers)?),
    ];
    let mut figures = Vec::new();
    for load in &LOADS {
        let (series, fault) = match rounds(plan, load, &mut contenders) {
            Ok(series) => (series, None),
            Err(fault) => (Default::default(), Some(fault.to_string())),
        };
        let [ours, peer, plain, gso] = series;
        let title = |number| format!("{number} forwarding 1 → 30, {} (µs a packet)", load.name);
        let mut against_peer = Figure::new(title(1), Against::Peer, Some((Aim::AtMost, 0.1)));
        let (floor, name, target) =
            if load.burst > 1 { (gso, "GSO", 2.0) } else { (plain, "sendmmsg", 1.5) };
        let title = format!("{} ÷ {name}", title(2));
        let mut against_floor = Figure::new(title, Against::Floor, Some((Aim::AtMost, target)));
        (against_peer.ours, against_floor.ours) = (ours.clone(), ours);
        (against_peer.peer, against_floor.floor) = (peer, floor);
        for mut figure in [against_peer, against_floor] {
            figure.fault.clone_from(&fault);
            figures.push(figure);
        }
    }
    figures.push(futex_calls(&mut contenders));
    figures.sort_by(|a, b| a.metric.cmp(&b.metric));
    Ok(figures)
}

/// A packet's way through a shard has no lock that anybody waits for.
fn futex_calls(contenders: &mut [Box<dyn Contender>]) -> Figure {
    let title = "2 forwarding, futex calls in 10,000 packets";
    let mut figure = Figure::new(title, Against::Target, Some((Aim::AtMost, 0.0)));
    match count_futex_calls(contenders) {
        Ok(calls) => figure.ours.push(calls),
        Err(fault) => figure.fault = Some(fault.to_string()),
    }
    figure
}

fn count_futex_calls(contenders: &mut [Box<dyn Contender>]) -> Result<f64> {
    const PACKETS: u64 = 10_000;
    /// Steps of the load, each a few thousand packets.
    const STEPS: usize = 50;
    let [.., load] = &LOADS;
    let ours = |all: &[Box<dyn Contender>]| {
        let ours = all.first().ok_or_else(|| missing("a contender"))?;
        Ok::<_, Fault>((ours.pid(), ours.received()))
    };
    run(load, contenders, 0, WARM_UP)?;
    let (pid, before) = ours(contenders)?;
    let count = FutexCount::begin(pid)?;
    for _ in 0..STEPS {
        run(load, contenders, 0, WARM_UP)?;
        if ours(contenders)?.1 - before >= PACKETS {
            break;
        }
    }
    let packets = ours(contenders)?.1 - before;
    let calls = count.end()?;
    if packets < PACKETS {
        return Err(Fault::Refused(format!("only {packets} packets came under the tracer")));
    }
    Ok(calls as f64 * PACKETS as f64 / packets as f64)
}
