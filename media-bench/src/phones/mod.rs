//! Metric 18: what two hundred phones in meetings hear while the whole program has one core. They
//! speak G.711 on plain RTP, all of them at once; there is no peer, the figures are the program's own
//! counters. A server that takes its whole core is a figure too, not a reason to refuse the others.

mod call;

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use types::AudioCodec;

use crate::fault::{Fault, Result, missing};
use crate::machine::cpu_of;
use crate::mixing::load::Load;
use crate::report::{Against, Aim, Figure};
use crate::serving::MEETINGS;
use crate::serving::program::{Program, fresh_folder, meeting};
use crate::{Plan, http, sound};
use call::Caller;

const PHONES: usize = 200;
/// The server takes 50 requests a second from an address.
const PACE: Duration = Duration::from_millis(25);
/// Until buffers have filled and everybody is heard.
const WARM_UP: Duration = Duration::from_secs(3);
/// How many spans of the plan a round lasts: one in a thousand has to be many, and the server brings
/// its counters up to date once a second.
const SPANS: u32 = 5;
/// Ticks that may be later than the figure.
const LATE: f64 = 0.01;

const CONCEALED: &str = "plenum_mcu_audio_concealed_total";
const DECODED: &str = "plenum_mcu_audio_decoded_total";
const BEGUN: &str = "plenum_mcu_sound_begun_seconds_bucket{le=\"";
const DONE: &str = "plenum_mcu_sound_done_seconds_bucket{le=\"";

pub fn measure(plan: &Plan) -> Result<[Figure; 4]> {
    let figure = |what: &str, most| {
        let title = format!("18 {PHONES} phones in {MEETINGS} meetings, {what}");
        Figure::new(title, Against::Target, Some((Aim::AtMost, most)))
    };
    let mut concealed = figure("concealed of what is heard (%)", 0.1);
    let mut late = figure("a round of mixing begun after it was due, p99 (ms)", 5.0);
    // Whoever is done later than the next round is due falls behind.
    let mut done = figure("a round of mixing done after it was due, p99 (ms)", 20.0);
    let mut busy = figure("the server's share of its core (%)", 85.0);
    let mut run = || -> Result<()> {
        let server = Program::start(&fresh_folder("phones")?)?;
        let mut load = Load::default();
        let mut caller = Caller::new()?;
        for phone in 0..PHONES {
            let voice = Arc::new(sound::record(AudioCodec::Pcmu, phone as u32, true)?);
            let meeting = meeting(phone % MEETINGS);
            load.join(AudioCodec::Pcmu, voice, |port| caller.call(&meeting, port))?;
            sleep(PACE);
        }
        load.run(WARM_UP)?;
        for round in 0..plan.rounds {
            let counted = listen(plan, &server, &mut load)?;
            if round > 0 {
                concealed.ours.push(counted.concealed * 100.0);
                late.ours.push(counted.late * 1e3);
                done.ours.push(counted.done * 1e3);
                busy.ours.push(counted.busy * 100.0);
            }
        }
        server.stop()
    };
    if let Err(fault) = run() {
        for figure in [&mut concealed, &mut late, &mut done, &mut busy] {
            figure.fault = Some(fault.to_string());
        }
    }
    Ok([concealed, late, done, busy])
}

/// What the server has counted in a round.
struct Counted {
    /// Of all frames that were played.
    concealed: f64,
    /// Seconds after which all but [`LATE`] of the rounds were begun.
    late: f64,
    /// Seconds after which they were done.
    done: f64,
    /// Its share of its core.
    busy: f64,
}

/// One round.
fn listen(plan: &Plan, server: &Program, load: &mut Load) -> Result<Counted> {
    load.begin();
    let before = http::text(server.http(), "/metrics")?;
    let (cpu, begun) = (cpu_of(server.pid())?, Instant::now());
    load.run(plan.span * SPANS)?;
    let cpu = cpu_of(server.pid())?.saturating_sub(cpu);
    let busy = cpu.as_secs_f64() / begun.elapsed().as_secs_f64();
    let after = http::text(server.http(), "/metrics")?;
    let loudness = load.heard(AudioCodec::Pcmu)?;
    if loudness < 0.01 {
        return Err(Fault::Refused(format!("the mix is silent: {loudness}")));
    }
    let counted = |name: &str| Ok::<_, Fault>(counter(&after, name)? - counter(&before, name)?);
    let (concealed, decoded) = (counted(CONCEALED)?, counted(DECODED)?);
    if decoded < 1.0 {
        return Err(missing("sound that was decoded"));
    }
    let concealed = concealed / (concealed + decoded);
    let within = |name: &str| {
        let found = quantile(&buckets(&before, name), &buckets(&after, name));
        found.ok_or_else(|| missing("how late sound was mixed"))
    };
    Ok(Counted { concealed, late: within(BEGUN)?, done: within(DONE)?, busy })
}

fn counter(metrics: &str, name: &str) -> Result<f64> {
    let value = metrics.lines().find_map(|it| it.strip_prefix(name)?.trim().parse().ok());
    value.ok_or_else(|| missing(name))
}

/// Rounds of mixing that were begun or done within so many seconds, by rising bounds.
fn buckets(metrics: &str, name: &str) -> Vec<(f64, f64)> {
    let bucket = |line: &str| {
        let (bound, count) = line.strip_prefix(name)?.split_once("\"}")?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, count.trim().parse().ok()?))
    };
    let mut buckets: Vec<(f64, f64)> = metrics.lines().filter_map(bucket).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets
}

/// The time that all but [`LATE`] of the rounds between two looks took at most, as Prometheus has it:
/// inside a bucket they are taken to be spread evenly.
fn quantile(before: &[(f64, f64)], after: &[(f64, f64)]) -> Option<f64> {
    let counts = after
        .iter()
        .enumerate()
        .map(|(place, (bound, count))| (*bound, count - before.get(place).map_or(0.0, |it| it.1)));
    let counts: Vec<(f64, f64)> = counts.collect();
    let all = counts.last().map(|it| it.1).filter(|it| *it > 0.0)?;
    let wanted = all * (1.0 - LATE);
    let mut below = (0.0, 0.0);
    for (bound, count) in counts {
        if count >= wanted {
            // Beyond the last bound nothing more is known.
            let upper = if bound.is_finite() { bound } else { return Some(below.0) };
            let share = (wanted - below.1) / (count - below.1).max(1.0);
            return Some(below.0 + (upper - below.0) * share);
        }
        below = (bound, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "plenum_mcu_sound_done_seconds_bucket{le=\"0.001\"} 10\n\
        plenum_mcu_sound_done_seconds_bucket{le=\"+Inf\"} 20\n\
        plenum_mcu_sound_done_seconds_bucket{le=\"0.005\"} 20\n\
        plenum_mcu_audio_decoded_total 7\n";
    const AFTER: &str = "plenum_mcu_sound_done_seconds_bucket{le=\"0.005\"} 120\n\
        plenum_mcu_sound_done_seconds_bucket{le=\"0.001\"} 100\n\
        plenum_mcu_sound_done_seconds_bucket{le=\"+Inf\"} 120\n";

    #[test]
    fn the_hundredth_that_is_latest_is_read_from_the_servers_counters() {
        assert_eq!(counter(BEFORE, DECODED).unwrap(), 7.0);
        // 90 within 1 ms and 10 more within 5 ms: the 99th of a hundred is nine tenths on the way.
        let late = quantile(&buckets(BEFORE, DONE), &buckets(AFTER, DONE)).unwrap();
        assert!((late - 0.0046).abs() < 1e-9, "{late}");
        assert_eq!(quantile(&buckets(AFTER, DONE), &buckets(AFTER, DONE)), None);
    }
}
