//! What the lower layers must not touch: sockets, clocks, locks, and str0m outside its module.

use crate::Violation;
use crate::source::Source;

/// Own sockets, threads or clocks in layers 0 to 2.
const DRIVERS: &[&str] = &["crates/sfu/src/driver", "crates/udp/src/", "crates/mcu/src/pool"];

const PACKET_PATH: &[&str] = &["crates/sfu/src/core.rs", "crates/sfu/src/core/"];

const SOCKETS: &[&str] = &[
    "async_std",
    "mio",
    "quinn_udp",
    "smol",
    "socket2",
    "tokio",
    "tokio_util",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixDatagram",
    "UnixListener",
    "UnixStream",
];

const CLOCKS: &[&[&str]] = &[
    &["Instant", ":", ":", "now"],
    &["SystemTime", ":", ":", "now"],
    &["Utc", ":", ":", "now"],
    &["Local", ":", ":", "now"],
    // Of an Instant: it reads the clock as well.
    &[".", "elapsed", "(", ")"],
];

/// Locks, channels, threads and clocks, by name.
const SHARED: &[&str] = &[
    "Barrier",
    "Condvar",
    "LazyLock",
    "Mutex",
    "OnceLock",
    "RwLock",
    "Semaphore",
    "SystemTime",
    "async_channel",
    "crossbeam",
    "crossbeam_channel",
    "flume",
    "mpsc",
    "parking_lot",
    "thread",
];

fn is_in(source: &Source, places: &[&str]) -> bool {
    places.iter().any(|place| source.path.starts_with(place))
}

/// A lower layer's code that is no driver.
fn is_pure(source: &Source) -> bool {
    source.is_product() && source.layer() <= 2 && !is_in(source, DRIVERS)
}

fn named(source: &Source, names: &[&str], mend: &'static str) -> Vec<Violation> {
    let tokens = source.tokens();
    let hits = tokens.iter().filter(|token| names.contains(&&*token.text));
    hits.map(|t| Violation::in_line(&source.path, t.line, format!("names `{}`", t.text), mend))
        .collect()
}

fn clocks(source: &Source, mend: &'static str) -> Vec<Violation> {
    let mut broken = Vec::new();
    for clock in CLOCKS {
        let what = format!("reads a clock by `{}`", clock.concat());
        let lines = source.find(clock);
        broken.extend(lines.iter().map(|l| Violation::in_line(&source.path, *l, &*what, mend)));
    }
    broken
}

/// A leaner egress must be able to replace str0m in one place.
pub fn str0m_in_one_module(source: &Source) -> Vec<Violation> {
    if !source.is_product() || source.path.starts_with("crates/sfu/src/transport/webrtc") {
        return Vec::new();
    }
    named(source, &["str0m"], "translate to own types in sfu::transport::webrtc")
}

/// Layers 0 to 2 run in virtual time, over a virtual network.
pub fn no_sockets_outside_drivers(source: &Source) -> Vec<Violation> {
    if !is_pure(source) {
        return Vec::new();
    }
    named(
        source,
        SOCKETS,
        "take packets as input and give them as output; a driver owns the socket",
    )
}

/// Time is an argument.
pub fn no_clock_outside_drivers(source: &Source) -> Vec<Violation> {
    if !is_pure(source) {
        return Vec::new();
    }
    clocks(source, "take `now` as an argument; a driver reads the clock")
}

/// A shard shares nothing and never waits.
pub fn sfu_core_is_pure(source: &Source) -> Vec<Violation> {
    if !is_in(source, PACKET_PATH) {
        return Vec::new();
    }
    let mend =
        "keep the state in the shard, pass packets by `rtp::lane`, take `now` as an argument";
    let mut broken = named(source, SHARED, mend);
    broken.extend(clocks(source, mend));
    let atomics = source.tokens().into_iter().filter(|t| t.text.starts_with("Atomic"));
    broken
        .extend(atomics.map(|t| {
            Violation::in_line(&source.path, t.line, format!("names `{}`", t.text), mend)
        }));
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(rule: fn(&Source) -> Vec<Violation>, path: &str, text: &str) -> Vec<String> {
        rule(&Source::parse(path, text).unwrap()).into_iter().map(|v| v.at).collect()
    }

    #[test]
    fn str0m_elsewhere_is_found() {
        let text = "\nuse str0m::Rtc;";
        let rule = str0m_in_one_module;
        assert_eq!(
            broken(rule, "crates/sfu/src/core/route.rs", text),
            ["crates/sfu/src/core/route.rs:2"]
        );
        assert_eq!(broken(rule, "crates/livekit/src/lib.rs", text).len(), 1);
        assert!(broken(rule, "crates/sfu/src/transport/webrtc.rs", text).is_empty());
        assert!(broken(rule, "crates/sfu/src/transport/webrtc/ice.rs", text).is_empty());
        assert!(broken(rule, "crates/sfu/tests/join.rs", text).is_empty());
    }

    #[test]
    fn a_socket_outside_a_driver_is_found() {
        let rule = no_sockets_outside_drivers;
        let text = "use std::net::{SocketAddr, UdpSocket};\nasync fn f() { tokio::spawn(g()); }";
        assert_eq!(broken(rule, "crates/room/src/lib.rs", text).len(), 2);
        for driver in
            ["crates/sfu/src/driver.rs", "crates/mcu/src/pool/audio.rs", "crates/udp/src/lib.rs"]
        {
            assert!(broken(rule, driver, text).is_empty(), "{driver}");
        }
        assert!(broken(rule, "crates/gateway/src/lib.rs", text).is_empty());
        assert!(broken(rule, "crates/room/src/lib.rs", "use std::net::SocketAddr;").is_empty());
    }

    #[test]
    fn a_clock_outside_a_driver_is_found() {
        let rule = no_clock_outside_drivers;
        for text in [
            "fn f() { let now = std::time::Instant::now(); }",
            "fn f() { SystemTime :: now(); }",
            "fn f(since: Instant) { since.elapsed(); }",
        ] {
            assert_eq!(broken(rule, "crates/rtp/src/jitter.rs", text).len(), 1, "{text}");
            assert!(broken(rule, "crates/sfu/src/driver/mod.rs", text).is_empty());
            assert!(broken(rule, "crates/conference/src/lib.rs", text).is_empty());
        }
        let test = "#[cfg(test)] mod tests { fn f() { Instant::now(); } }";
        assert!(broken(rule, "crates/rtp/src/jitter.rs", test).is_empty());
    }

    #[test]
    fn whatever_is_shared_on_the_packet_path_is_found() {
        for text in [
            "use std::sync::Mutex;",
            "struct S { a: std::sync::RwLock<u8> }",
            "use std::sync::mpsc::channel;",
            "use std::sync::atomic::AtomicU64;",
            "fn f() { std::thread::yield_now(); }",
            "fn f() { Instant::now(); }",
        ] {
            assert_eq!(
                broken(sfu_core_is_pure, "crates/sfu/src/core/mod.rs", text).len(),
                1,
                "{text}"
            );
            assert!(broken(sfu_core_is_pure, "crates/sfu/src/driver.rs", text).is_empty());
        }
    }
}
