//! An open loop, and what a packet costs the server that it is sent through.

use std::time::{Duration, Instant};

use crate::fault::{Fault, Result, missing};
use crate::machine::Span;
use crate::report::Series;
use crate::{Plan, measured};

/// Until queues and caches have settled.
pub const WARM_UP: Duration = Duration::from_millis(300);
/// Contenders that are not being measured have to be looked at this often, or ICE gives them up.
const KEEP_ALIVE: Duration = Duration::from_millis(100);
/// How often the measured contender's sockets are looked at.
const STEP: Duration = Duration::from_millis(1);
/// The share of the packets that has to come for the figure to count.
const DELIVERED: f64 = 0.99;
/// The share of the bursts that may leave together with the one before, because the load's core was
/// taken: they would give segmentation offload more to merge than the load says.
const LATE: f64 = 0.05;
/// What a measured packet may be longer or shorter than 1200 bytes, by header extensions and tag.
const SIZE: std::ops::RangeInclusive<usize> = 1_170..=1_220;

/// A server with those who send through it, and those who receive.
pub trait Contender {
    fn pid(&self) -> u32;
    /// A sender sends so many packets at once.
    fn send(&mut self, count: u32, now: Instant) -> Result<()>;
    /// Everybody takes what has come.
    fn drive(&mut self, now: Instant) -> Result<()>;
    /// Packets that all receivers together have got so far.
    fn received(&self) -> u64;
    /// The longest datagram that a receiver has got.
    fn longest(&self) -> usize;
}

/// How is sent: browsers pace a frame in bursts, and only bursts give segmentation offload something
/// to merge.
pub struct Load {
    pub name: &'static str,
    /// Packets a second of all senders together.
    pub rate: u32,
    pub burst: u32,
    /// How many receive each packet.
    pub receivers: usize,
}

/// One series for each contender, in microseconds a packet.
pub fn rounds<const N: usize>(
    plan: &Plan,
    load: &Load,
    contenders: &mut [Box<dyn Contender>; N],
) -> Result<[Series; N]> {
    let mut series = std::array::from_fn(|_| Series::default());
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
    let expected = spent.wall.as_secs_f64() * f64::from(load.rate) * load.receivers as f64;
    if packets < expected * DELIVERED {
        let share = packets / expected * 100.0;
        return Err(Fault::Refused(format!("only {share:.1}% of the packets came")));
    }
    Ok(spent.server.as_secs_f64() * 1e6 / packets)
}

/// An open loop: what is due is sent, whatever has come back. The share of the bursts that left
/// together with the one before.
pub fn run(
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
