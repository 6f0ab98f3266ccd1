//! Room systems that can dial an address alone are asked for the meeting.

use std::time::Duration;

use serde_json::Value;
use tests::admin::CommandLine;
use tests::analyse;
use tests::baresip::{Baresip, BaresipConfig};
use tests::caller::Caller;
use tests::media::{BLUE, GREEN, RED};
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(15);
const MEETING: &str = "246810";
/// More shards than are needed: the meeting's is not the one on which all are received.
const CONFIGURATION: &str = "[log]\nfilter = \"info,gateway=debug\"\n\n[sfu]\nshards = 3\n\n\
    [[meeting]]\nid = \"246810\"\nlobby = true\nguest_pin = \"1234\"\n\n\
    [[meeting]]\nid = \"135790\"\nroom_systems = false\n";

/// Waits until it is shown these words.
fn reads(room: &mut Baresip, words: &str) {
    let mut last = String::new();
    wait::until(&format!("the room reads {words:?}"), PATIENCE, || {
        last = analyse::text(&room.picture("reads.png"));
        last.contains(words).then_some(())
    });
}

fn waiting(server: &Server, count: usize) {
    wait::until(&format!("{count} wait"), PATIENCE, || {
        let lobby = server.steer(MEETING, "GET", "lobby", &Value::Null);
        (lobby["waiting"].as_array()?.len() == count).then_some(())
    });
}

#[test]
fn who_dials_the_address_alone_enters_number_and_pin_waits_and_is_admitted() {
    let story = Story::begin_beside_others("who_dials_the_address_alone");
    let server = Server::start_with(&story, CONFIGURATION);
    let address = server.dial("", "udp");
    // A baresip makes the address of a user out of an address alone: a rule sends it there.
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let rule = ["dial-rule", "create", "Voice", "--order", "1", "--direction", "in"];
    let made = admin.run(&[&rule[..], &["--called", "reception", "--to-ivr"]].concat(), "");
    assert_eq!(made.code, 0, "{made:?}");
    let reception = server.dial("reception", "udp");

    // By INFO, with what is said. Meanwhile the rule takes effect, which may last two seconds.
    let mut caller = Caller::new(&address, GREEN);
    caller.dial("8 0");
    let [loud, quiet] = analyse::loud_and_quiet(&caller.heard(2.5));
    assert!(loud > 0.3 && quiet > 0.05, "it is spoken to: {loud} loud, {quiet} quiet");
    format!("{MEETING}#").chars().for_each(|key| caller.press(key));
    "1234#".chars().for_each(|key| caller.press(key));
    waiting(&server, 1);

    // By RFC 4733, with what is shown.
    let mut room = Baresip::start(&story, BaresipConfig::new(BLUE));
    room.dial(&reception);
    reads(&mut room, "Enter the meeting number");
    room.send_dtmf("135790#");
    reads(&mut room, "There is no such meeting");
    room.send_dtmf(&format!("{MEETING}#"));
    reads(&mut room, "Enter the PIN");
    room.send_dtmf("1234#");
    reads(&mut room, "the host will let you in");
    waiting(&server, 2);

    server.steer(MEETING, "POST", "lobby/admit-all", &Value::Null);
    wait::until("the room hears who was admitted with it", PATIENCE, || {
        let (heard, rate) = room.heard(1.0);
        (analyse::level_at(&heard, rate, GREEN.tone) > -40.0).then_some(())
    });
    wait::until("who was admitted hears the room", PATIENCE, || {
        let heard = caller.heard(1.0);
        (analyse::level(&heard, BLUE.tone) > -40.0).then_some(())
    });
    caller.hang_up();
    room.hang_up();

    // Three wrong ones, of either kind, end the call. A server for development has a meeting of every
    // name but for those that are closed.
    let mut caller = Caller::new(&address, RED);
    caller.dial("8 0");
    "135790#135790#135790#".chars().for_each(|key| caller.press(key));
    caller.wait_for_bye(PATIENCE);
    room.dial(&reception);
    reads(&mut room, "Enter the meeting number");
    room.send_dtmf(&format!("{MEETING}#"));
    reads(&mut room, "Enter the PIN");
    room.send_dtmf("1111#2222#3333#");
    room.wait_for_end(PATIENCE);
    wait::until("the history has the call with the rule that it came by", PATIENCE, || {
        let legs = admin.json(&["history", "legs"]);
        let mut legs = legs.as_array()?.iter();
        legs.any(|it| it["rule"] == "Voice" && it["codecs"] != "").then_some(())
    });
    let log = std::fs::read_to_string(story.file("server.log")).expect("the log");
    for word in ["three wrong numbers", "three wrong PINs", "sits at its meeting now"] {
        assert!(log.contains(word), "{word}");
    }
    server.stop();
}
