//! Metric 14: what the signalling of a call costs, against a proxy that only passes it on and keeps
//! the state of its transactions; and what ten thousand calls leave behind.

mod caller;
mod footprint;
mod kamailio;

use std::time::Duration;

use crate::fault::{Fault, Result};
use crate::machine::cpu_of_tree;
use crate::report::{Against, Aim, Figure};
use crate::serving::program::{Program, fresh_folder, meeting};
use crate::{Plan, measured};
use caller::{Callers, Media};
use footprint::Footprint;
use kamailio::Kamailio;

/// Callers at a time, each with an address of its own: of one address a server takes 50 requests a
/// second.
const LOADS: [usize; 2] = [1, 2];
/// Calls of the leak test in all, and its callers.
const CALLS: (u32, usize) = (10_000, 2);
const QUICK_CALLS: u32 = 200;
/// Until the last call's transactions have ended and its meeting is empty.
const SETTLES: Duration = Duration::from_secs(60);

/// Where a call goes.
struct Called<'a> {
    pid: u32,
    user: &'a str,
    port: u16,
}

pub fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let ours = Program::start(&fresh_folder("signalling")?)?;
    let peer = Kamailio::start()?;
    let board = meeting(0);
    let called = [
        Called { pid: ours.pid(), user: &board, port: 5_060 },
        Called { pid: peer.pid(), user: "somebody", port: kamailio::PORT },
    ];
    let mut figures = Vec::new();
    for callers in LOADS {
        let rate = callers as u32 * caller::RATE;
        let title = format!("14 signalling, {rate} calls a second (ms a call)");
        let mut figure = Figure::new(title, Against::Peer, Some((Aim::AtMost, 1.0)));
        match rounds(plan, callers, &called) {
            Ok([ours, peer]) => (figure.ours, figure.peer) = (ours, peer),
            Err(fault) => figure.fault = Some(fault.to_string()),
        }
        figures.push(figure);
    }
    drop(peer);
    figures.extend(leaks(plan, &ours, &board));
    ours.stop()?;
    Ok(figures)
}

fn rounds(
    plan: &Plan,
    callers: usize,
    called: &[Called<'_>; 2],
) -> Result<[crate::report::Series; 2]> {
    let mut series: [crate::report::Series; 2] = Default::default();
    for round in 0..plan.rounds {
        for (called, series) in called.iter().zip(&mut series) {
            let cost = measured(|| cost(plan, callers, called))?;
            if round > 0 {
                series.push(cost);
            }
        }
    }
    Ok(series)
}

/// Milliseconds of CPU time a call.
fn cost(plan: &Plan, callers: usize, called: &Called<'_>) -> Result<f64> {
    // Two seconds of calls make one of a bench's span of media: a call is a long thing.
    let calls = (2.0 * plan.span.as_secs_f64() * f64::from(caller::RATE)) as u32;
    let before = cpu_of_tree(called.pid)?;
    let made = Callers::new(callers, calls, Media::Inactive).call(called.user, called.port)?;
    std::thread::sleep(plan.span / 4);
    let spent = cpu_of_tree(called.pid)?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e3 / f64::from(made))
}

/// Memory after ten thousand calls against that after half of them, and what else is left.
fn leaks(plan: &Plan, server: &Program, user: &str) -> [Figure; 2] {
    let (all, callers) = CALLS;
    let all = if plan.rounds < Plan::FULL.rounds { QUICK_CALLS } else { all };
    let title = format!("14 {all} calls: resident memory ÷ that after half of them");
    let mut memory = Figure::new(title, Against::Target, Some((Aim::AtMost, 1.02)));
    let title = format!("14 {all} calls: descriptors and threads left behind");
    let mut left = Figure::new(title, Against::Target, Some((Aim::AtMost, 0.0)));
    let mut run = || {
        let half = all / 2 / callers as u32;
        // What the first call makes stays: it is not left behind.
        Callers::new(1, 1, Media::Flows).call(user, 5_060)?;
        let begun = Footprint::settled(server, None, SETTLES)?;
        Callers::new(callers, half, Media::Flows).call(user, 5_060)?;
        let first = Footprint::settled(server, Some(&begun), SETTLES)?;
        Callers::new(callers, half, Media::Flows).call(user, 5_060)?;
        let second = Footprint::settled(server, Some(&begun), SETTLES)?;
        memory.ours.push(second.resident / first.resident);
        left.ours.push(second.held as f64 - begun.held as f64);
        Ok::<_, Fault>(())
    };
    if let Err(fault) = run() {
        memory.fault = Some(fault.to_string());
        left.fault = Some(fault.to_string());
    }
    [memory, left]
}
