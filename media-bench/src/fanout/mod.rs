//! Metrics 1 and 2: what forwarding one packet to one receiver costs, against Janus and against
//! what the kernel and the cipher cost alone.

pub mod client;
pub mod floor;
mod futex;
mod packets;
mod peer;
pub mod shard;

use std::time::{Duration, Instant};

use crate::fault::{Fault, Result, missing};
use crate::machine::Span;
use crate::report::{Against, Aim, Figure, Series};
use crate::{Plan, measured};
use floor::Floor;
use futex::FutexCount;
use peer::Streaming;
use shard::OwnShard;

/// Receivers of the one publisher.
pub const SUBSCRIBERS: usize = 30;

/// Until queues and caches have settled.
const WARM_UP: Duration = Duration::from_millis(300);
/// Clients that are not being measured have to be looked at this often, or ICE gives them up.
const KEEP_ALIVE: Duration = Duration::from_millis(100);
/// How often the measured clients' sockets are looked at.
const STEP: Duration = Duration::from_millis(1);
/// The share of the packets that has to come for the figure to count.
const DELIVERED: f64 = 0.99;
/// The share of the bursts that may leave together with the one before, because the load's core was
/// taken: they would give segmentation offload more to merge than the load says.
const LATE: f64 = 0.05;
/// What a measured packet may be longer or shorter than 1200 bytes, by header extensions and tag.
const SIZE: std::ops::RangeInclusive<usize> = 1_180..=1_220;

/// A server with its publisher and its receivers.
trait Contender {
    fn pid(&self) -> u32;
    /// The publisher sends so many packets at once.
    fn send(&mut self, count: u32, now: Instant) -> Result<()>;
    /// Everybody takes what has come.
    fn drive(&mut self, now: Instant) -> Result<()>;
    /// Packets that all receivers together have got so far.
    fn received(&self) -> u64;
    /// The longest datagram that a receiver has got.
    fn longest(&self) -> usize;
}

/// How the publisher sends: browsers pace a frame in bursts, and only bursts give segmentation
/// offload something to merge.
struct Load {
    name: &'static str,
    rate: u32,
    burst: u32,
}

const LOADS: [Load; 4] = [
    Load { name: "200 pps one by one", rate: 200, burst: 1 },
    Load { name: "200 pps in twos", rate: 200, burst: 2 },
    Load { name: "600 pps one by one", rate: 600, burst: 1 },
    Load { name: "600 pps in sixes", rate: 600, burst: 6 },
];

pub fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let mut contenders: Vec<Box<dyn Contender>> = vec![
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

/// One series for each contender, in microseconds a packet.
fn rounds(plan: &Plan, load: &Load, contenders: &mut [Box<dyn Contender>]) -> Result<[Series; 4]> {
    let mut series: [Series; 4] = Default::default();
    for round in 0..plan.rounds {
        for (place, series) in series.iter_mut().enumerate() {
            let cost = measured(|| cost(plan, load, contenders, place))?;
            if round > 0 {
                series.push(cost);
            }
        }
    }
    Ok(series)
}

/// Microseconds of CPU time a delivered packet of the contender at this place.
fn cost(
    plan: &Plan,
    load: &Load,
    contenders: &mut [Box<dyn Contender>],
    place: usize,
) -> Result<f64> {
    run(load, contenders, place, WARM_UP)?;
    let contender = |contenders: &[Box<dyn Contender>]| {
        let it = contenders.get(place).ok_or_else(|| missing("a contender"))?;
        Ok::<_, Fault>((it.pid(), it.received(), it.longest()))
    };
    let (pid, before, _) = contender(contenders)?;
    let span = Span::begin(pid)?;
    let late = run(load, contenders, place, plan.span)?;
    let spent = span.end()?;
    let (_, after, longest) = contender(contenders)?;
    if late > LATE {
        let late = late * 100.0;
        return Err(Fault::Refused(format!("{late:.0}% of the bursts left late")));
    }
    if !SIZE.contains(&longest) {
        return Err(Fault::Refused(format!("packets of {longest} bytes")));
    }
    let packets = (after - before) as f64;
    let expected = spent.wall.as_secs_f64() * f64::from(load.rate) * SUBSCRIBERS as f64;
    if packets < expected * DELIVERED {
        let share = packets / expected * 100.0;
        return Err(Fault::Refused(format!("only {share:.1}% of the packets came")));
    }
    Ok(spent.server.as_secs_f64() * 1e6 / packets)
}

/// An open loop: what is due is sent, whatever has come back. The share of the bursts that left
/// together with the one before.
fn run(
    load: &Load,
    contenders: &mut [Box<dyn Contender>],
    place: usize,
    time: Duration,
) -> Result<f64> {
    let start = Instant::now();
    let (mut bursts, mut late) = (0u32, 0u32);
    let interval = Duration::from_secs(1) * load.burst / load.rate;
    let (mut burst_at, mut keep_alive) = (start, start + KEEP_ALIVE);
    loop {
        let now = Instant::now();
        if now >= start + time {
            return Ok(f64::from(late) / f64::from(bursts.max(1)));
        }
        let all = keep_alive <= now;
        if all {
            keep_alive = now + KEEP_ALIVE;
        }
        for (index, contender) in contenders.iter_mut().enumerate() {
            if index == place {
                while burst_at <= now {
                    contender.send(load.burst, now)?;
                    burst_at += interval;
                    bursts += 1;
                    late += u32::from(burst_at <= now);
                }
                contender.drive(now)?;
            } else if all {
                contender.drive(now)?;
            }
        }
        let next = burst_at.min(now + STEP);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
