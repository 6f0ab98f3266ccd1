//! Real peers: sipp and sipsak, which the set-up script installs.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use gateway::sip::Transport;
use tokio::process::Command;

use crate::bridge::{Bridge, config, loopback};

/// Calls, and how many at once, in the runs of a scenario.
const CALLS: &str = "20";

async fn sipp(bridge: &Bridge, user: &str, transport: Transport, scenario: &[&str]) {
    let server = bridge.address(transport);
    let directory = std::env::temp_dir().join(format!("plenum-sipp-{}-{user}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mode = if transport == Transport::Udp { "u1" } else { "t1" };
    let port = free_port().to_string();
    let output = Command::new("sipp")
        .args(scenario)
        .args([&server.to_string(), "-s", user, "-m", CALLS, "-l", CALLS, "-r", "50"])
        .args(["-i", "127.0.0.1", "-p", &port, "-t", mode, "-d", "100", "-nostdin"])
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
    assert!(output.status.success(), "sipp: {:?}\n{errors}\n{tail:#?}", output.status);
    bridge.idle().await;
}

fn free_port() -> u16 {
    let free: SocketAddr = std::net::UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
    free.port()
}

fn scenario(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sip/scenarios").join(name);
    path.to_str().unwrap().to_owned()
}

/// Runs a scenario of ours in twenty calls; gives back the notes of one event, counted.
async fn run(name: &str, user: &str, transport: Transport) -> Vec<String> {
    let mut bridge = Bridge::start(config()).await;
    sipp(&bridge, user, transport, &["-sf", &scenario(name)]).await;
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
        sipp(&bridge, "service", transport, &["-sn", "uac"]).await;
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
