//! Content sharing with a room system that has a second picture: its floor is libre's, its pictures are
//! decoded by ffmpeg.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tests::analyse::{self, Picture, WHOLE};
use tests::browser::{Browser, Mode};
use tests::content::{self, Content, Floor};
use tests::device::Device;
use tests::media::{BLUE, GREEN, Mark, RED, h264_clip};
use tests::person::Person;
use tests::server::Server;
use tests::story::Story;
use tests::{token, wait};

const PATIENCE: Duration = Duration::from_secs(15);
const WORDS: &str = "about after again always amount answer behind better bottle bridge button \
    camera carbon castle change circle coffee common copper corner cotton course danger decide \
    dinner doctor double engine family father finger forest friend garden ground hammer harbor \
    island jacket kitchen ladder letter listen market matter mirror modern mother music narrow \
    nature number office orange paper pencil people picture planet pocket problem question \
    railway record reason report river school season second silver simple sister spring station \
    street strong summer supply table thunder ticket travel trouble valley village voice water \
    weather window winter wonder yellow";

/// A page of text: so many words of [`WORDS`] a line, in another order each.
fn page() -> Vec<String> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let word = |place: usize| words[place * 37 % words.len()];
    (0..16)
        .map(|line| (0..12).map(|it| word(line * 12 + it)).collect::<Vec<_>>().join(" "))
        .collect()
}

/// Shares a page of text in letters of 12 points on a screen of 1080p, in the place of what it shares.
fn share(browser: &mut Browser, lines: &[String]) {
    let script = format!(
        "async () => {{
            const me = window.plenum.room.localParticipant;
            if (window.shared) await me.unpublishTrack(window.shared);
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [1920, 1080];
            const picture = canvas.getContext('2d');
            const lines = {};
            const paint = () => {{
                picture.fillStyle = '#fff';
                picture.fillRect(0, 0, canvas.width, canvas.height);
                picture.fillStyle = '#000';
                picture.font = '12pt sans-serif';
                lines.forEach((line, at) => picture.fillText(line, 160, 120 + at * 50));
            }};
            paint();
            setInterval(paint, 250);
            window.shared = canvas.captureStream(4).getVideoTracks()[0];
            window.shared.contentHint = 'text';
            await me.publishTrack(window.shared, {{
                source: 'screen_share', simulcast: false, videoCodec: 'vp8',
                videoEncoding: {{ maxBitrate: 2500000, maxFramerate: 5 }},
            }});
        }}",
        json!(lines)
    );
    let _ = browser.evaluate(&script);
}

/// Which share of the words of a page is read in a picture.
fn read(picture: &Path, lines: &[String]) -> f64 {
    let text = analyse::text(picture);
    let mut read: Vec<&str> = text.split_whitespace().collect();
    let wanted: Vec<&str> = lines.iter().flat_map(|it| it.split(' ')).collect();
    let found = wanted.iter().filter(|word| {
        let place = read.iter().position(|it| it == *word);
        place.map(|it| read.swap_remove(it)).is_some()
    });
    found.count() as f64 / wanted.len() as f64
}

/// Waits until the room's own picture, which is decoded to `file`, is filled by a mark.
fn fills(device: &Device, file: &Path, mark: Mark) {
    wait::until(&format!("{} fills the room's picture", mark.name), PATIENCE, || {
        let [_, picture] = device.heard();
        content::snapshot(&picture.packets, file)?;
        (Picture::read(file).share(mark, WHOLE) > 0.7).then_some(())
    });
}

#[test]
fn a_browser_and_a_room_share_in_turn() {
    let story = Story::begin("a_browser_and_a_room_share_in_turn");
    let server = Server::start(&story);
    let mut green = Browser::launch(GREEN, &server.origin);
    green.join_by_client(&token::to_join(GREEN.name, "demo"), Mode::V1);
    let mut content = Content::new(&story, Floor::Client);
    let (uri, clip) = (server.dial("demo", "udp"), h264_clip(RED, "baseline"));
    let device = Device::dial_with(&uri, clip, |_| 0.0, &content.offer());
    content.begin(device.answer());
    content.hears(&["hello", "free"]);

    // The browser's screen is on the second picture, and can be read there.
    let lines = page();
    share(&mut green, &lines);
    content.hears(&["theirs"]);
    let (screen, people) = (story.file("screen.png"), story.file("people.png"));
    wait::until("the room's screen can be read", PATIENCE, || {
        content.snapshot(&screen)?;
        let share = read(&screen, &lines);
        println!("{share:.3} of the words are read");
        (share >= 0.95).then_some(())
    });
    let shown = Picture::read(&screen);
    assert_eq!((shown.width, shown.height), (1920, 1080));
    fills(&device, &people, GREEN);

    // The room takes the floor: its screen reaches the browser, and nothing comes back to it.
    let room = green.wait_for_room_system();
    content.order('a');
    content.hears(&["Granted", "ours"]);
    content.show(Some(h264_clip(BLUE, "baseline")));
    let screens = format!(
        "() => [...window.plenum.room.remoteParticipants.get({room:?}).trackPublications.values()]\
            .filter((it) => it.source === 'screen_share' && it.track).length"
    );
    let seen = story.file("room.png");
    wait::until("the browser sees the room's screen", PATIENCE, || {
        (green.evaluate(&screens) == 1).then_some(())?;
        green.wait_for_picture(&room);
        green.picture(&room, &seen);
        (Picture::read(&seen).share(BLUE, WHOLE) > 0.7).then_some(())
    });
    let before = content.pictures();
    fills(&device, &people, GREEN);
    assert_eq!(content.pictures(), before, "the room is shown its own screen");

    // The browser takes it back.
    share(&mut green, &lines);
    content.hears(&["Revoked", "free", "theirs"]);
    content.show(None);
    wait::until("the room's screen is gone", PATIENCE, || {
        (green.evaluate(&screens) == 0).then_some(())
    });
    wait::until("the room sees the browser's screen again", PATIENCE, || {
        (content.pictures() > before).then_some(())
    });
    device.hang_up();
}

/// Two rooms: the first is a client, the second has a floor control server of its own.
fn share_with_a_server(first: Floor, second: Floor, name: &str) {
    let story = Story::begin(name);
    let server = Server::start(&story);
    let uri = server.dial("demo", "udp");
    let dial = |content: &mut Content, mark: Mark| {
        let clip = h264_clip(mark, "baseline");
        let device = Device::dial_with(&uri, clip, |_| 0.0, &content.offer());
        content.begin(device.answer());
        device
    };
    let mut client = Content::new(&story, first);
    let _red = dial(&mut client, RED);
    client.hears(first.opens());
    client.hears(&["hello", "free"]);
    let mut host = Content::new(&story, second);
    let _green = dial(&mut host, GREEN);
    host.hears(second.opens());
    host.hears(&["hello"]);

    client.order('a');
    client.hears(&["Granted", "ours"]);
    client.show(Some(h264_clip(BLUE, "baseline")));
    // We ask the second room's server before anything goes to it.
    host.hears(&["asked"]);
    let sees = |content: &Content, mark: Mark| {
        let file = story.file(&format!("{}.png", mark.name));
        wait::until(&format!("{} is on a second picture", mark.name), PATIENCE, || {
            content.snapshot(&file)?;
            (Picture::read(&file).share(mark, WHOLE) > 0.7).then_some(())
        });
    };
    sees(&host, BLUE);

    // Somebody at the second room shows something, as its server says.
    host.order('s');
    host.hears(&["given back"]);
    host.show(Some(h264_clip(GREEN, "baseline")));
    client.hears(&["Revoked", "free", "theirs"]);
    client.show(None);
    sees(&client, GREEN);
    host.order('e');
    client.hears(&["free"]);
}

#[test]
fn floors_over_tcp_go_round() {
    share_with_a_server(Floor::TcpClient, Floor::TcpServer, "floors_over_tcp_go_round");
}

#[test]
fn floors_over_tls_go_round() {
    share_with_a_server(Floor::TlsClient, Floor::TlsServer, "floors_over_tls_go_round");
}

#[test]
fn a_room_that_insists_on_being_the_server_is_asked() {
    let name = "a_room_that_insists_on_being_the_server_is_asked";
    share_with_a_server(Floor::Client, Floor::Server, name);
}
