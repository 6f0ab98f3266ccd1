//! A meeting that is encrypted from end to end: whoever has the key sees and hears, and nobody else.

use std::time::Duration;

use serde_json::Value;
use tests::analyse::{self, Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::{Browser, Mode};
use tests::media::{BLUE, GREEN, Mark, RATE, RED, wav};
use tests::person::{Person, all_receive};
use tests::server::Server;
use tests::story::Story;
use tests::{token, wait};

const PATIENCE: Duration = Duration::from_secs(25);
const MEETING: &str = "[[meeting]]\nid = \"sealed\"\ne2ee = true\nroom_systems = false\n";
/// Another phrase than the one that the page made.
const WRONG: &str = "sealed#key=another%20phrase";

/// Nothing of somebody can be made out in what comes.
fn shows_nothing_of(story: &Story, person: &mut dyn Person, identity: &str, mark: Mark) {
    let name = person.mark().name;
    if person.sees(identity) {
        let file = story.file(&format!("{name}-sees-{}.png", mark.name));
        person.picture(identity, &file);
        let share = Picture::read(&file).share(mark, WHOLE);
        assert!(share < 0.05, "{name} sees {share} of {} without its key", mark.name);
    }
    let heard = person.record(identity, 2.0);
    if heard.len() > 1000 {
        let heard = &heard[heard.len() / 4..];
        let file = story.file(&format!("{name}-hears-{}.wav", mark.name));
        std::fs::write(file, wav(heard)).expect("a recording is written");
        let above = analyse::above_the_rest(heard, RATE as u32, mark.tone);
        let what = format!("{name} hears {}'s tone {above} dB above all others", mark.name);
        assert!(above < analyse::STANDS_OUT, "{what}");
    }
}

fn said(browser: &mut Browser, banner: &str) -> String {
    let script = format!("() => document.querySelector({banner:?})?.textContent || null");
    wait::until(&format!("the page shows {banner}"), PATIENCE, || {
        browser.evaluate(&script).as_str().map(str::to_owned)
    })
}

#[test]
fn whoever_has_the_key_sees_and_hears_and_nobody_else() {
    let story = Story::begin("whoever_has_the_key_sees_and_hears_and_nobody_else");
    let server = Server::start_with(&story, MEETING);

    // Red comes first and makes the key.
    let mut red = Browser::launch(RED, &server.origin);
    red.begin_to_join("sealed");
    red.wait_for("[data-attr=key-form]");
    red.screenshot(&story, "key.png", Some((1280, 800)));
    red.screenshot(&story, "key-phone.png", Some((390, 844)));
    red.screenshot(&story, "key.png", Some((1280, 800)));
    red.press("[data-attr=key-make]");
    red.wait_until_in();
    red.wait_for("[data-attr=e2ee]");
    let hash = red.evaluate("() => location.hash");
    let hash = hash.as_str().expect("a fragment").to_owned();
    assert!(hash.starts_with("#key=") && hash.len() > 20, "{hash}");

    // Green has the link.
    let mut green = Browser::launch(GREEN, &server.origin);
    green.join_through_page(&format!("sealed{hash}"));
    let (red_identity, green_identity) = (red.identity.clone(), green.identity.clone());
    for (person, identity) in [(&mut red, &green_identity), (&mut green, &red_identity)] {
        person.wait_for_picture(identity);
        person.wait_for_sound(identity);
    }
    let senders = [(red_identity.clone(), RED), (green_identity.clone(), GREEN)];
    all_receive(&story, &mut [&mut red, &mut green], &senders);
    let heard = green.record(&red_identity, 2.0);
    let above = analyse::above_the_rest(&heard[heard.len() / 4..], RATE as u32, RED.tone);
    assert!(above > 30.0, "green hears red's tone {above} dB above all others");
    green.press("[data-attr=controls-participants]");
    green.wait_for("[data-attr=copy-link]");
    green.screenshot(&story, "sealed.png", None);

    // Blue has another phrase, and is told so.
    let mut blue = Browser::launch(BLUE, &server.origin);
    blue.join_through_page(WRONG);
    let notice = said(&mut blue, "[data-banner=notice]");
    assert!(notice.contains("red") || notice.contains("green"), "{notice}");
    shows_nothing_of(&story, &mut blue, &red_identity, RED);
    let blue_identity = blue.identity.clone();
    shows_nothing_of(&story, &mut green, &blue_identity, BLUE);
    blue.screenshot(&story, "wrong-key.png", None);
    drop(blue);

    nobody_sends_in_the_clear(&server, &mut red, &red_identity, &story);
    no_room_system_takes_part(&server, &story);

    let log = std::fs::read_to_string(story.file("server.log")).expect("the server's log");
    assert!(!log.contains(&hash["#key=".len()..]), "the server knows the key");
    for browser in [&mut red, &mut green] {
        let (mut errors, foreign) = browser.complaints();
        // LiveKit's client writes down each track of blue's that it cannot read.
        errors.retain(|it| !it.starts_with("InvalidKey: "));
        assert_eq!((errors, foreign), (vec![], vec![]), "{}", browser.mark.name);
    }
    server.stop();
}

/// A client that knows nothing of the key is in, and its tracks are not taken.
fn nobody_sends_in_the_clear(
    server: &Server,
    red: &mut Browser,
    red_identity: &str,
    story: &Story,
) {
    let mut plain = Browser::launch(BLUE, &server.origin);
    plain.connect_by_client(&token::to_join("plain", "sealed"), Mode::V1);
    let publishes = "async () => {
        const me = window.plenum.room.localParticipant;
        return await me.setCameraEnabled(true).then(() => 'sent', String);
    }";
    let outcome = plain.evaluate(publishes);
    assert_ne!(outcome, Value::from("sent"));
    let tracks = "() => window.plenum.room.remoteParticipants.get('plain')?.trackPublications.size";
    wait::until("red knows of the plain client", PATIENCE, || red.evaluate(tracks).as_u64());
    assert_eq!(red.evaluate(tracks), 0, "its track is not taken");
    shows_nothing_of(story, &mut plain, red_identity, RED);
}

fn no_room_system_takes_part(server: &Server, story: &Story) {
    let mut room = Baresip::start(story, BaresipConfig::new(BLUE));
    let refusal = room.try_dial(&server.dial("sealed", "udp"));
    assert_eq!(refusal, Err("404 Not Found".into()), "as if there were no such meeting");
    let (_, _, complaint) = server.call("sealed", &room.uri());
    assert!(complaint.contains("encrypted from end to end"), "{complaint}");
}
