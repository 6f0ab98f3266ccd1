//! What shows only after a while: `make soak`. Not part of `make test`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::analyse::{self, Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::Browser;
use tests::media::{BLUE, GREEN, Mark, RED};
use tests::person::Person;
use tests::server::{Server, free_udp_port};
use tests::story::{Story, workspace};
use tests::wait;

/// How long the long call lasts, in seconds; `SOAK_SECONDS` says otherwise.
const LONG_CALL: usize = 600;
/// What the room system's clip is longer than the call: the checks before and after it.
const MARGIN: usize = 120;
/// Until then caches fill and buffers find their sizes.
const WARM: Duration = Duration::from_secs(60);
/// Resident memory may grow by this share in the rest of the long call.
const LONG_GROWTH: f64 = 0.10;
/// How often the long call is looked at.
const GLANCE: Duration = Duration::from_secs(30);
/// A look at everything takes this long on a loaded machine.
const GLANCE_TAKES: Duration = Duration::from_secs(60);
const STEPS_A_SECOND: f64 = 10.0;
const HEARD_DB: f64 = -40.0;

/// Calls of each half, how many begin in a second, and how long each lasts in milliseconds.
const CALLS: &str = "250";
const RATE: &str = "20";
const LENGTH: &str = "2000";
/// Resident memory after the second half, against that after the first.
const CALLS_GROWTH: f64 = 0.05;
/// An empty meeting lingers for 20 s.
const SETTLES: Duration = Duration::from_secs(60);
/// Threads and tasks that wait for more work end within this time after that.
const LOOKS: Duration = Duration::from_secs(20);

/// What a process has of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Footprint {
    descriptors: usize,
    sockets: usize,
    threads: usize,
    tasks: u64,
}

fn footprint(server: &Server) -> Footprint {
    let tasks = server.metric("plenum_tasks") as u64;
    let process = PathBuf::from(format!("/proc/{}", server.process()));
    let links: Vec<PathBuf> = fs::read_dir(process.join("fd"))
        .unwrap()
        .filter_map(|it| fs::read_link(it.ok()?.path()).ok())
        .collect();
    let sockets = links.iter().filter(|it| it.to_string_lossy().starts_with("socket:")).count();
    let threads = fs::read_dir(process.join("task")).unwrap().count();
    Footprint { descriptors: links.len(), sockets, threads, tasks }
}

/// Resident memory in KiB.
fn resident(server: &Server) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Calls that sipp makes, with sound; all succeed.
fn calls(story: &Story, server: &Server, count: &str) {
    let folder = story.file("sipp");
    fs::create_dir_all(&folder).unwrap();
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
        .args(["sine=frequency=650:duration=10", "-ar", "8000", "-ac", "1", "-f", "alaw"])
        .arg(folder.join("tone.alaw"))
        .status()
        .expect("ffmpeg starts");
    assert!(made.success());
    let uri = server.dial("soak", "udp");
    let (_, address) = uri.split_once('@').unwrap();
    let output = Command::new("sipp")
        .arg("-sf")
        .arg(workspace().join("tests/sipp/call.xml"))
        .args([address, "-s", "soak", "-m", count, "-r", RATE, "-d", LENGTH, "-t", "u1"])
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", &free_udp_port().to_string()])
        .args(["-nostdin", "-timeout", "120s", "-timeout_error"])
        .args(["-trace_err", "-error_file", "errors.log"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .expect("sipp is installed");
    let errors = fs::read_to_string(folder.join("errors.log")).unwrap_or_default();
    let screen = String::from_utf8_lossy(&output.stdout);
    let tail: Vec<_> = screen.lines().rev().take(40).collect();
    assert!(output.status.success(), "sipp: {:?}\n{errors}\n{tail:#?}", output.status);
}

#[test]
#[ignore = "soak"]
fn five_hundred_calls_leave_nothing_behind() {
    let story = Story::begin("five_hundred_calls_leave_nothing_behind");
    let server = Server::start(&story);
    // What the first call makes stays: it is not counted as left behind.
    calls(&story, &server, "1");
    let before = settled(&server, None);
    let first = resident(&server);
    println!("before: {before:?}, {first} KiB resident");
    let mut halves = Vec::new();
    for half in 1..=2 {
        let (began, sound) = (Instant::now(), server.metric("plenum_leg_received_total"));
        calls(&story, &server, CALLS);
        let sound = server.metric("plenum_leg_received_total") - sound;
        let took = began.elapsed();
        let after = settled(&server, Some(before));
        halves.push(resident(&server));
        println!(
            "after {CALLS} calls more (half {half}) in {took:?}: {after:?}, {} KiB resident, \
             {sound} packets of sound taken, {} KiB before",
            halves[half - 1],
            first
        );
        // 2 s in packets of 20 ms.
        let wanted = CALLS.parse::<f64>().unwrap() * 100.0;
        assert!(sound > 0.8 * wanted, "only {sound} of {wanted} packets were taken");
    }
    let growth = halves[1] / halves[0] - 1.0;
    println!("resident memory changed by {:.1}% in the second half", growth * 100.0);
    assert!(growth <= CALLS_GROWTH, "{halves:?}");
    for refused in ["rate_limited", "malformed", "refused_calls", "lost_events"] {
        assert_eq!(server.metric(&format!("plenum_sip_{refused}_total")), 0.0, "{refused}");
    }
    server.stop();
}

/// What it has once all calls and meetings are over; with `wanted`, once it has that.
fn settled(server: &Server, wanted: Option<Footprint>) -> Footprint {
    let deadline = Instant::now() + SETTLES;
    wait::until("no meeting is left", SETTLES, || {
        let idle = ["plenum_meetings", "plenum_sip_calls", "plenum_mcu_compositions"];
        idle.iter().all(|it| server.metric(it) == 0.0).then_some(())
    });
    let mut last = footprint(server);
    let patience = deadline.saturating_duration_since(Instant::now()).max(LOOKS);
    let what = wanted.map_or("it stays as it is".to_owned(), |it| format!("it has {it:?} again"));
    wait::until(&what, patience, || {
        let now = footprint(server);
        let before = std::mem::replace(&mut last, now);
        if before != now {
            println!("still {now:?}");
        }
        (now == wanted.unwrap_or(before)).then_some(now)
    })
}

/// Everybody sees and hears everybody else now.
fn all_meet(people: &mut [Browser; 2], room: &mut Baresip, identity: &str) {
    let senders = people.each_ref().map(|it| (it.identity.clone(), it.mark));
    let all: Vec<(String, Mark)> =
        senders.into_iter().chain([(identity.to_owned(), BLUE)]).collect();
    for person in people.iter_mut() {
        let me = person.mark;
        for (identity, mark) in all.iter().filter(|it| it.1 != me) {
            let steps = person.steps(identity, 3.0) as f64 / 3.0;
            assert!(steps >= STEPS_A_SECOND, "{} sees {steps} of {}", me.name, mark.name);
            let heard = person.record(identity, 2.0);
            let level = analyse::level(&heard[heard.len() / 4..], mark.tone);
            assert!(level > HEARD_DB, "{} hears {} at {level} dB", me.name, mark.name);
            println!("{}: {steps:.1} steps a second, {level:.1} dB of {}", me.name, mark.name);
        }
    }
    let frames = room.frames();
    let (samples, rate) = room.heard(3.0);
    let frames = (room.frames() - frames) as f64 / 3.0;
    assert!(frames >= STEPS_A_SECOND, "the room sees {frames} frames a second");
    let picture = Picture::read(&room.picture("sees.png"));
    for mark in [RED, GREEN] {
        let level = analyse::level_at(&samples, rate, mark.tone);
        let share = picture.share(mark, WHOLE);
        assert!(level > HEARD_DB, "the room hears {} at {level} dB", mark.name);
        assert!(share > 0.1, "{} fills {share} of the room's picture", mark.name);
        println!("the room: {frames:.1} frames a second, {level:.1} dB of {}", mark.name);
    }
}

#[test]
#[ignore = "soak"]
fn a_long_call_ends_as_it_began() {
    let story = Story::begin("a_long_call_ends_as_it_began");
    let server = Server::start(&story);
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|it| it.parse().ok());
    let seconds = seconds.unwrap_or(LONG_CALL);
    let mut people = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
    for person in &mut people {
        person.join_through_page("demo");
    }
    let config = BaresipConfig { seconds: seconds + MARGIN, ..BaresipConfig::new(BLUE) };
    let mut room = Baresip::start(&story, config);
    room.dial(&server.dial("demo", "udp"));
    let (began, whole) = (Instant::now(), Duration::from_secs(seconds as u64));
    let identity = people[0].wait_for_room_system();
    for person in &mut people {
        person.wait_for_picture(&identity);
    }
    // The room's coming makes both pages encode anew, for a moment twice.
    let identities = people.each_ref().map(|it| it.identity.clone());
    for (person, other) in people.iter_mut().zip(identities.iter().rev()) {
        wait::until("the page sends H.264", SETTLES, || {
            (person.codec_of(other)? == "video/H264").then_some(())
        });
    }
    all_meet(&mut people, &mut room, &identity);

    let mut warm = None;
    let mut received = server.metric("plenum_leg_received_total");
    let (mut glance, mut packets) = (Instant::now(), room.packets());
    wait::until("the long call has lasted", whole + GLANCE_TAKES, || {
        if glance.elapsed() >= GLANCE {
            glance = Instant::now();
            let memory = resident(&server);
            if warm.is_none() && began.elapsed() >= WARM.min(whole / 2) {
                warm = Some(memory);
            }
            let now = server.metric("plenum_leg_received_total");
            let there = room.packets();
            println!(
                "{:3} s: {memory} KiB, {} packets from the room, {} and {} to it, {} lost there, \
                 {} pictures left out",
                began.elapsed().as_secs(),
                now - received,
                there[0] - packets[0],
                there[1] - packets[1],
                room.lost(),
                server.metric("plenum_mcu_video_skipped_total"),
            );
            assert!(now - received > 1000.0 && there[0] - packets[0] > 1000, "media ceased");
            (received, packets) = (now, there);
        }
        (began.elapsed() >= whole).then_some(())
    });
    all_meet(&mut people, &mut room, &identity);
    let (warm, end) = (warm.expect("a first measure"), resident(&server));
    let growth = end / warm - 1.0;
    println!("{warm} KiB when warm, {end} KiB after {seconds} s: {:.1}%", growth * 100.0);
    assert!(growth <= LONG_GROWTH, "{warm} KiB grew to {end} KiB");
    room.hang_up();
    server.stop();
}
