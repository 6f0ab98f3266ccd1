//! A telephone that is another program than baresip: pjsua2, which insists on confirmed provisional
//! responses (RFC 3262) and on session timers (RFC 4028).

use std::time::Duration;

use serde_json::{Value, json};
use tests::analyse;
use tests::caller::Caller;
use tests::media::{BLUE, GREEN, Mark, RED};
use tests::phone::Phone;
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(10);
const CONFIGURATION: &str = "[sip]\ntransfers = true\n\n\
    [[meeting]]\nid = \"board\"\nguest_pin = \"1234\"\n\n[[meeting]]\nid = \"hall\"\n";

fn hears(phone: &mut Phone, mark: Mark) {
    wait::until(&format!("the telephone hears {}", mark.name), PATIENCE, || {
        let (heard, rate) = phone.heard(0.6);
        (analyse::level_at(&heard, rate, mark.tone) > -40.0).then_some(())
    });
}

fn caller_hears(caller: &mut Caller, mark: Mark, does: bool) {
    wait::until(&format!("the caller hears {}: {does}", mark.name), PATIENCE, || {
        ((analyse::level(&caller.heard(0.6), mark.tone) > -40.0) == does).then_some(())
    });
}

#[test]
fn a_telephone_dials_is_dialled_holds_and_hands_its_call_on() {
    let story = Story::begin_beside_others("a_telephone_dials_is_dialled");
    let server = Server::start_with(&story, CONFIGURATION);
    let mut other = Caller::new(&server.dial("board**1234", "udp"), GREEN);
    other.dial("8 0");

    // The PIN by RFC 4733; sound in both directions.
    let mut phone = Phone::start(BLUE);
    phone.ask("dial", json!({ "uri": server.dial("board", "udp") }));
    phone.ask("press", json!({ "digits": "1234#" }));
    hears(&mut phone, GREEN);
    caller_hears(&mut other, BLUE, true);

    phone.ask("hold", json!({}));
    caller_hears(&mut other, BLUE, false);
    phone.ask("resume", json!({}));
    caller_hears(&mut other, BLUE, true);
    hears(&mut phone, GREEN);

    // It has another telephone called in, and hears how that goes.
    let mut third = Phone::start(RED);
    let told = phone.ask("transfer", json!({ "uri": third.uri() }));
    assert_eq!(told.as_array().and_then(|it| it.last()), Some(&Value::from(200)), "{told}");
    third.ask("wait_for_call", json!({}));
    caller_hears(&mut other, RED, true);
    let told = phone.ask("transfer", json!({ "uri": "sip:hall@192.0.2.1" }));
    assert_eq!(told, json!([403]), "who may not be called is not");
    phone.ask("hang_up", json!({}));
    hears(&mut third, GREEN);
    third.ask("hang_up", json!({}));
    other.hang_up();

    // And it is called itself.
    let (code, outcome, complaint) = server.call("hall", &phone.uri());
    assert_eq!((code, &outcome["state"]), (0, &"active".into()), "{outcome} {complaint}");
    phone.ask("wait_for_call", json!({}));
    let mut other = Caller::new(&server.dial("hall", "udp"), RED);
    other.dial("8 0");
    hears(&mut phone, RED);
    caller_hears(&mut other, BLUE, true);
    other.hang_up();
    phone.ask("hang_up", json!({}));
    server.stop();
}
