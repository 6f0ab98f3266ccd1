//! People and room systems on another machine of the building: they know the server by its announced
//! address, and verify the certificate that its local authority issued.

use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tests::analyse::{Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::Browser;
use tests::machine::Machine;
use tests::media::{BLUE, RED};
use tests::network::Network;
use tests::person::{GONE_WITHIN, Person, receives};
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(15);
const MEETING: &str = "[[meeting]]\nid = \"board\"\n";

/// A room system that takes TLS and encrypted media only, whose keys a handshake makes, and finds the
/// way of its media by ICE.
fn room_config() -> BaresipConfig {
    BaresipConfig { dtls: true, ice: true, transport: "tls", ..BaresipConfig::new(BLUE) }
}

#[test]
fn a_browser_and_a_room_system_on_another_machine_meet() {
    let story = Story::begin("a_browser_and_a_room_system_on_another_machine_meet");
    let [here, there] = Network::two_machines();
    let server = Server::start_for(&story, MEETING, &here);
    let machine = Machine::new(&story, "home", &there);
    machine.trust(&Server::authority(&story));

    let mut red = Browser::launch_on(RED, &server.origin, &machine);
    // Who types the address without a scheme comes by plain HTTP.
    let plain = format!("http://{}/m/board", server.http);
    red.open(&plain).expect("the page is shown");
    assert!(
        server.origin.starts_with(&format!("https://{}:", here.address())),
        "{}",
        server.origin
    );
    let page = format!("{}/m/board", server.origin);
    assert_eq!(red.evaluate("() => [location.href, isSecureContext]"), json!([page, true]));
    red.join_through_page("board");
    assert_eq!(red.evaluate("() => [location.href, isSecureContext]"), json!([page, true]));

    let mut room = Baresip::start_on(&story, room_config(), &machine);
    let uri = server.dial("board", "tls");
    room.dial(&uri);
    names_its_address(&machine, &uri);
    let room_identity = red.wait_for_room_system();
    red.wait_for_picture(&room_identity);
    wait::until("the room sees red", PATIENCE, || {
        let picture = Picture::read(&room.picture("waits.png"));
        (picture.share(RED, WHOLE) > 0.7).then_some(())
    });
    let lost = red.lost();
    receives(&story, &mut red, &room_identity, BLUE);
    room.receives(RED);
    assert_eq!(red.lost(), lost, "packets were lost on the way to red");

    // All of it went to the announced address, and came from there.
    let announced = here.address().to_string();
    let addresses = red.peer_addresses();
    assert!(!addresses.is_empty() && addresses.iter().all(|it| *it == announced), "{addresses:?}");
    assert!(red.transports().iter().all(|it| it == "udp"), "{:?}", red.transports());
    assert_eq!(room.peer_addresses(), [IpAddr::from(here.address()); 4]);
    let received = server.metric("plenum_leg_received_total");
    assert!(received > 300.0, "only {received} packets of the room are counted");

    room.hang_up();
    red.wait_until_gone(&room_identity, GONE_WITHIN);
    let (errors, foreign) = red.complaints();
    assert_eq!(errors, [""; 0], "errors of the page");
    assert_eq!(foreign, [plain], "requests to other origins");
    server.stop();
}

/// A client that also asks whether the certificate names the address takes it: baresip 1.0.0 does
/// not ask.
fn names_its_address(machine: &Machine, uri: &str) {
    let (_, address) = uri.split_once('@').expect("an address");
    let (ip, _) = address.split_once(':').expect("a port");
    let checked = machine
        .command("openssl")
        .args(["s_client", "-connect", address, "-verify_return_error", "-verify_ip", ip])
        .arg("-CAfile")
        .arg(machine.roots().expect("roots"))
        .stdin(Stdio::null())
        .output()
        .expect("openssl starts");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.contains("Verification: OK"), "{checked:?}");
}

#[test]
fn another_machine_without_the_root_stays_outside() {
    let story = Story::begin("another_machine_without_the_root_stays_outside");
    let [here, there] = Network::two_machines();
    let server = Server::start_for(&story, MEETING, &here);
    let machine = Machine::new(&story, "home", &there);

    let mut red = Browser::launch_on(RED, &server.origin, &machine);
    let refusal = red.open(&server.origin).expect_err("no page is shown");
    assert!(refusal.contains("net::ERR_CERT_AUTHORITY_INVALID"), "{refusal}");
    let mut room = Baresip::start_on(&story, room_config(), &machine);
    // What baresip makes of a handshake that failed.
    assert_eq!(room.try_dial(&server.dial("board", "tls")), Err("Protocol error".into()));

    // Both refuse the certificate alone: the root is all that they lack.
    machine.trust(&Server::authority(&story));
    let mut room = Baresip::start_on(&story, room_config(), &machine);
    room.dial(&server.dial("board", "tls"));
    let mut red = Browser::launch_on(RED, &server.origin, &machine);
    red.open(&server.origin).expect("the page is shown");
    server.stop();
}
