//! Real peers: sipp and sipsak, which the set-up script installs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use conference::{Dialler as _, LegState};
use gateway::sip::{CallEvent, Dial, Transport};
use tokio::process::Command;

use crate::bridge::{Bridge, SDP, config, loopback};
use crate::house::House;
use crate::trunks::{becomes, city, dial, with_password};

/// Calls, and how many at once, in the runs of a scenario.
const CALLS: &str = "20";

/// Runs sipp until its calls are done.
async fn sipp(name: &str, port: u16, transport: Transport, arguments: &[&str]) {
    let directory = std::env::temp_dir().join(format!("plenum-sipp-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mode = if transport == Transport::Udp { "u1" } else { "t1" };
    let output = Command::new("sipp")
        .args(arguments)
        .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-t", mode, "-d", "100", "-nostdin"])
        .args(["-timeout", "30s", "-timeout_error", "-trace_err", "-error_file", "errors.log"])
        .current_dir(&directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("sipp is installed");
    let errors = std::fs::read_to_string(directory.join("errors.log")).unwrap_or_default();
    std::fs::remove_dir_all(&directory).unwrap();
    let screen = String::from_utf8_lossy(&output.stdout);
    let tail: Vec<_> = screen.lines().rev().take(40).collect();
    assert!(output.status.success(), "sipp {name}: {:?}\n{errors}\n{tail:#?}", output.status);
}

/// Has sipp call a user of ours twenty times.
async fn calls(server: SocketAddr, user: &str, transport: Transport, scenario: &[&str]) {
    let server = server.to_string();
    let many = [&server, "-s", user, "-m", CALLS, "-l", CALLS, "-r", "50"];
    let name = format!("{user}-{}", scenario.len());
    sipp(&name, free_port(), transport, &[scenario, &many].concat()).await;
}

/// sipp that takes one call and does with it what a scenario says, with options of its own: where,
/// and until it is done.
fn takes(name: &'static str, options: &'static [&str]) -> (SocketAddr, impl Future<Output = ()>) {
    let port = free_port();
    let run = async move {
        let scenario = scenario(name);
        let arguments = [&["-sf", &scenario, "-m", "1"], options].concat();
        sipp(name, port, Transport::Udp, &arguments).await;
    };
    ((Ipv4Addr::LOCALHOST, port).into(), run)
}

fn free_port() -> u16 {
    let free: SocketAddr = std::net::UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
    free.port()
}

fn scenario(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sip/scenarios").join(name);
    path.to_str().unwrap().to_owned()
}

/// Runs a scenario of ours in twenty calls; what happened in them.
async fn run(name: &str, user: &str, transport: Transport) -> Vec<String> {
    run_with(&["-sf", &scenario(name)], user, transport).await
}

/// The same with options of sipp's own.
async fn run_with(options: &[&str], user: &str, transport: Transport) -> Vec<String> {
    let mut bridge = Bridge::start(config()).await;
    calls(bridge.address(transport), user, transport, options).await;
    bridge.idle().await;
    let mut notes = Vec::new();
    while let Ok(note) = bridge.notes.try_recv() {
        notes.push(note);
    }
    notes
}

fn count(notes: &[String], begins: &str) -> usize {
    notes.iter().filter(|note| note.starts_with(begins)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_calls_over_udp_and_tcp() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bridge = Bridge::start(config()).await;
        calls(bridge.address(transport), "service", transport, &["-sn", "uac"]).await;
        bridge.idle().await;
        for _ in 0..20 {
            bridge.note("bye").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_offers_late() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let notes = run("late_offer.xml", "late", transport).await;
        let offers = notes.iter().filter(|note| note.ends_with("offering none")).count();
        assert_eq!((offers, count(&notes, "confirmed v=0")), (20, 20), "{notes:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_cancels() {
    let notes = run("cancel.xml", "ring", Transport::Udp).await;
    assert_eq!(count(&notes, "cancelled"), 20, "{notes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_cancels_too_late() {
    let late = run("cancel_late.xml", "late", Transport::Udp).await;
    assert_eq!((count(&late, "cancelled"), count(&late, "bye")), (0, 20), "{late:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_insists_on_provisional_responses() {
    let notes = run("reliable.xml", "early", Transport::Udp).await;
    assert_eq!((count(&notes, "confirmed"), count(&notes, "bye")), (20, 20), "{notes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_has_session_timers() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let notes = run("timers.xml", "timers", transport).await;
        assert_eq!((count(&notes, "offer v=0"), count(&notes, "bye")), (20, 20), "{notes:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_puts_us_on_hold() {
    let house = House::with(|_| {}).await;
    calls(house.address(), "board", Transport::Udp, &["-sf", &scenario("hold.xml")]).await;
    house.stand(0, 0).await;
    house.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_hands_its_calls_on_where_it_may() {
    let house = House::with(|_| {}).await;
    calls(house.address(), "board", Transport::Udp, &["-sf", &scenario("refer_refused.xml")]).await;
    house.gateway.stop().await;

    let house = House::handing_on().await;
    let (hall, taken) = takes("busy.xml", &[]);
    let (server, hall) = (house.address().to_string(), hall.to_string());
    let scenario = scenario("refer.xml");
    let arguments = ["-sf", &scenario, "-key", "target", &hall, &server, "-s", "board", "-m", "1"];
    tokio::join!(taken, sipp("refer", free_port(), Transport::Udp, &arguments));
    house.stand(0, 0).await;
    house.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_sends_early_media_that_is_confirmed() {
    let bridge = Bridge::start(config()).await;
    let (at, done) = takes("early_media.xml", &[]);
    let call = async {
        let dial = Dial::new(format!("sip:room@{at}"), "board".to_owned(), SDP.into());
        let mut call = bridge.endpoint.dial(dial).await.unwrap();
        let mut early = false;
        loop {
            match call.next().await.expect("an answer") {
                CallEvent::Ringing { status: 183, sdp } => early |= sdp.is_some(),
                CallEvent::Answered { sdp } => break assert!(sdp.is_empty(), "it came before"),
                other => panic!("{other:?}"),
            }
        }
        assert!(early);
        call.handle().bye().await.unwrap();
    };
    tokio::join!(done, call);
    bridge.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_asks_who_we_are_before_a_call_and_at_its_end() {
    let (at, done) = takes("asks_who.xml", &[]);
    let house = House::keeping(&[with_password(at), city()]).await;
    let call = async {
        let leg = dial(&house, "9123").await.unwrap();
        becomes(&house, &leg, LegState::Active).await;
        house.gateway.hang_up(&leg.meeting, &leg.id).unwrap();
        becomes(&house, &leg, LegState::Ended).await;
    };
    tokio::join!(done, call);
    house.stand(0, 0).await;
    house.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_asks_for_options() {
    run("options.xml", "options", Transport::Udp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_sends_update_info_and_options_in_an_early_dialog() {
    let notes = run("early.xml", "early", Transport::Udp).await;
    assert_eq!((count(&notes, "confirmed"), count(&notes, "bye")), (20, 20), "{notes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_changes_the_session_and_wants_pictures() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let notes = run("reinvite.xml", "change", transport).await;
        assert_eq!((count(&notes, "offer v=0"), count(&notes, "picture")), (20, 20), "{notes:#?}");
    }
}

/// Both change the session at once (RFC 3261 section 14.1): neither does, and one after the other
/// does then.
#[tokio::test(flavor = "multi_thread")]
async fn sipp_changes_the_session_while_we_do() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let notes = run("glare.xml", "glare", transport).await;
        let met = notes.iter().filter(|it| it.starts_with("re-invite Err") && it.contains("Glare"));
        let told = ["offer v=0", "re-invite Ok", "bye"].map(|it| count(&notes, it));
        assert_eq!((met.count(), told), (20, [20; 3]), "{notes:#?}");
    }
}

/// `-nr` leaves what comes twice to the scenario.
#[tokio::test(flavor = "multi_thread")]
async fn sipp_says_all_twice_and_hears_all_twice() {
    let scenario = scenario("repeats.xml");
    let notes = run_with(&["-nr", "-sf", &scenario], "again", Transport::Udp).await;
    let told = ["call ", "confirmed", "bye"].map(|it| count(&notes, it));
    assert_eq!(told, [20; 3], "nothing happened twice: {notes:#?}");

    let (at, done) = takes("hears_the_second_time.xml", &["-nr"]);
    let bridge = Bridge::start(config()).await;
    let call = async {
        let dial = Dial::new(format!("sip:room@{at}"), "board".to_owned(), SDP.into());
        let mut call = bridge.endpoint.dial(dial).await.unwrap();
        let mut events = Vec::new();
        while !matches!(events.last(), Some(CallEvent::Dtmf(_))) {
            events.push(call.next().await.expect("a key is pressed"));
        }
        let answers = events.iter().filter(|it| matches!(it, CallEvent::Answered { .. })).count();
        assert_eq!(answers, 1, "{events:?}");
        call.handle().bye().await.unwrap();
    };
    tokio::join!(done, call);
    bridge.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipsak_gets_its_answer() {
    let bridge = Bridge::start(config()).await;
    let uri = format!("sip:options@{}", bridge.address(Transport::Udp));
    let output = Command::new("sipsak")
        .args(["-v", "-s", &uri])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("sipsak is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
