//! Sound with redundancy (RFC 2198) goes to those who read it, and plain to the others.

use tests::browser::{Browser, Mode};
use tests::media::{BLUE, GREEN, RED};
use tests::person::{Person, meet};
use tests::server::Server;
use tests::story::Story;
use tests::token;

/// What an older browser's offers look like.
const WITHOUT_REDUNDANCY: &str = "() => {
    const { prototype } = window.RTCPeerConnection;
    const createOffer = prototype.createOffer;
    const codecs = RTCRtpReceiver.getCapabilities('audio').codecs;
    const plain = codecs.filter(({ mimeType }) => mimeType.toLowerCase() !== 'audio/red');
    prototype.createOffer = function (...args) {
        for (const transceiver of this.getTransceivers()) {
            if (transceiver.receiver.track.kind === 'audio') transceiver.setCodecPreferences(plain);
        }
        return createOffer.apply(this, args);
    };
}";

/// What the audio that somebody receives comes as.
fn codecs(person: &mut Browser) -> Vec<String> {
    let streams = person.inbound().into_iter().filter(|it| it.kind == "audio" && it.received > 0);
    let mut codecs: Vec<String> = streams.map(|it| it.codec).collect();
    codecs.sort();
    codecs
}

#[test]
fn redundant_sound_reaches_those_who_read_it_and_plain_sound_the_others() {
    let story = Story::begin("redundant_sound_reaches_those_who_read_it");
    let server = Server::start(&story);
    let modes = [(RED, Mode::V1), (GREEN, Mode::V0), (BLUE, Mode::V1)];
    let [mut red, mut green, mut blue] = modes.map(|(mark, mode)| {
        let mut person = Browser::launch(mark, &server.origin);
        person.open_blank();
        if mark == BLUE {
            person.evaluate(WITHOUT_REDUNDANCY);
        }
        person.join_from_here(&token::to_join(mark.name, "redundancy"), mode);
        person
    });
    meet(&story, &mut [&mut red, &mut green, &mut blue]);
    // Blue neither sends nor reads it.
    assert_eq!(codecs(&mut red), ["audio/opus", "audio/red"]);
    assert_eq!(codecs(&mut green), ["audio/opus", "audio/red"]);
    assert_eq!(codecs(&mut blue), ["audio/opus", "audio/opus"]);
    server.stop();
}
