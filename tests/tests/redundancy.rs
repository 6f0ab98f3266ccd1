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

/// Bytes a packet of the heaviest sound that somebody receives, in those of the lightest. Chromium
/// names Opus in its statistics whatever carries it, but a frame that is sent twice weighs double.
fn spread(person: &mut Browser) -> f64 {
    let streams = person.inbound().into_iter().filter(|it| it.kind == "audio" && it.received > 0);
    let weights: Vec<f64> = streams.map(|it| it.bytes as f64 / it.received as f64).collect();
    assert_eq!(weights.len(), 2, "{}", person.mark.name);
    weights.iter().copied().fold(0.0, f64::max) / weights.iter().copied().fold(f64::MAX, f64::min)
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
    for (person, reads) in [(&mut red, true), (&mut green, true), (&mut blue, false)] {
        let spread = spread(person);
        let right = if reads { spread > 1.6 } else { spread < 1.3 };
        assert!(right, "{}: a spread of {spread}", person.mark.name);
    }
    server.stop();
}
