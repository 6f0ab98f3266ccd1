//! Registered rooms call each other by name.

use std::time::Duration;

use serde_json::json;
use tests::admin::CommandLine;
use tests::baresip::{Baresip, BaresipConfig};
use tests::media::{BLUE, RED};
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(15);
const PASSWORD: &str = "long-enough-for-a-hall";

#[test]
fn a_registered_room_calls_another_one_by_its_name() {
    let story = Story::begin_beside_others("a_registered_room_calls_another_one_by_its_name");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let register = |mark, name, extension, user| {
        let create = ["device", "create", name, "--extension", extension, "--sip-user", user];
        let typed = format!("{PASSWORD}\n");
        assert_eq!(admin.run(&[&create[..], &["--ask-password"]].concat(), &typed).code, 0);
        // One makes its keys by DTLS, the other has none: the server stands between.
        let config = BaresipConfig { dtls: mark == RED, ..BaresipConfig::new(mark) };
        Baresip::register(&story, config, &server.dial(user, "udp"), PASSWORD)
    };
    let mut red = register(RED, "Lobby", "101", "lobby");
    let mut blue = register(BLUE, "Hall", "102", "hall");
    let stand = |how: &str| {
        wait::until(&format!("both are {how}"), PATIENCE, || {
            let present = admin.json(&["device", "presence"]);
            let all = present.as_array()?;
            (all.len() == 2 && all.iter().all(|it| it["presence"] == json!(how))).then_some(())
        });
    };
    stand("online");
    red.dial(&server.dial("hall", "udp"));
    blue.wait_for_call();
    red.receives(BLUE);
    blue.receives(RED);
    stand("in_call");
    red.hang_up();
    blue.wait_for_end(PATIENCE);
    stand("online");
    server.stop();
}
