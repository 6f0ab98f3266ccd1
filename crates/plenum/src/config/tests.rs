use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use conference::access::{Directory, Grant, Role, Visitor};

use types::{LegLayout, Timestamp};

use super::setting::Srtp;
use super::*;

/// A file of the name `plenum.toml` with `text` in it, in a folder of its own.
struct File {
    dir: PathBuf,
}

impl File {
    fn new(name: &str, text: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("plenum-config-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = Self { dir };
        file.add("plenum.toml", text);
        file
    }

    fn add(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>().into_iter()
}

fn load(name: &str, text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = File::new(name, text);
    Config::load(Some(&file.dir.join("plenum.toml")), env(variables), false)
}

/// The message without the folder of the test.
fn refusal(name: &str, text: &str, variables: &[(&str, &str)]) -> String {
    let message = load(name, text, variables).unwrap_err().to_string();
    match message.split_once("plenum.toml") {
        Some((_, rest)) => format!("plenum.toml{rest}"),
        None => message,
    }
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn nothing_said_gives_the_usual_ports_but_no_address_to_announce() {
    let config = Config::load(None, env(&[("PATH", "/bin")]), false).unwrap();
    assert_eq!(config.http.listen, SocketAddr::from(([0, 0, 0, 0], 7880)));
    assert_eq!(config.http.tls_listen.address().unwrap().port(), 7443);
    assert_eq!((config.sfu.udp_port, config.sfu.tcp_port, config.sfu.shards), (7882, 7881, 0));
    assert_eq!(config.sip.tls_listen.address().unwrap().port(), 5061);
    assert_eq!((config.rtp.port_min, config.rtp.port_max), (20_000, 29_999));
    assert!(config.sip.allow_dial.is_empty() && !config.sip.keys_over_cleartext && !config.dev);
    let error = config.announced().unwrap_err();
    assert!(error.to_string().contains("`announced_addresses` in [sfu]"), "{error}");
}

#[test]
fn dev_lives_on_loopback_with_the_well_known_key() {
    let config = Config::load(None, env(&[]), true).unwrap();
    assert!(config.http.listen.ip().is_loopback());
    assert!(config.sip.udp_listen.address().unwrap().ip().is_loopback());
    assert_eq!(config.announced().unwrap(), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    assert_eq!(config.keys.rights("devkey"), Some(KeyRights::ALL));
    assert!(config.sip.keys_over_cleartext);
    let may_dial = |host| config.sip.allow_dial.iter().any(|p| p.matches("room", host));
    assert!(may_dial("127.0.0.1") && may_dial("localhost") && may_dial("[::1]"));
    assert!(!may_dial("10.0.0.1"));
}

#[tokio::test]
async fn a_whole_file_is_read_and_the_environment_has_the_last_word() {
    let file = File::new(
        "whole",
        r#"
            [http]
            listen = "192.0.2.1:80"
            tls_listen = "off"
            [sfu]
            shards = 0x02
            [sip]
            allow_dial = ["10.0.0.0/8", "8*@pbx.example.org"]
            srtp = "required"
            layout = "speaker"
            picture_size = "1920x1080"
            picture_fps = 25
            [log]
            filter = "info,gateway=debug"
            [[key]]
            id = "portal"
            secret_file = "SECRET"
            rights = ["sip_call"]
            [[meeting]]
            id = "Board"
            guest_pin = "1234"
            [[meeting]]
            id = "lobby"
            room_systems = false
            layout = "grid"
            lobby = true
            mute_on_entry = true
            guests = "attendee"
        "#,
    );
    let secret = file.add("secret", &format!("{SECRET}\n"));
    let path = file.dir.join("plenum.toml");
    let text = fs::read_to_string(&path).unwrap().replace("SECRET", secret.to_str().unwrap());
    file.add("plenum.toml", &text);
    let variables = [
        ("PLENUM_HTTP_LISTEN", "[::1]:8080"),
        ("PLENUM_SFU_ANNOUNCED_ADDRESSES", "203.0.113.7, 2001:db8::7"),
        ("PLENUM_SIP_ALLOW_DIAL", ""),
        ("PLENUM_SIP_KEYS_OVER_CLEARTEXT", "true"),
        ("PLENUM_SIP_PICTURE_BITRATE", "4000000"),
        ("PLENUM_MEETING_2_HOST_PIN", "4321"),
        ("PLENUM_MEETING_3_ID", "annex"),
        ("PLENUM_PORT_7880_TCP", "tcp://10.0.0.1:7880"),
    ];
    let config = Config::load(Some(&path), env(&variables), false).unwrap();

    assert_eq!(config.http.listen, "[::1]:8080".parse().unwrap());
    assert_eq!((config.http.tls_listen, config.sfu.shards), (Listen::Off, 2));
    assert_eq!(config.announced().unwrap().len(), 2);
    assert!(config.sip.allow_dial.is_empty() && config.sip.keys_over_cleartext);
    assert_eq!((config.sip.srtp, config.log.format), (Srtp::Required, LogFormat::Text));

    assert_eq!(config.sip.layout, LegLayout::Speaker);
    assert_eq!(config.sip.picture_size, PictureSize { width: 1920, height: 1080 });
    assert_eq!((config.sip.picture_fps, config.sip.picture_bitrate), (25, 4_000_000));

    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut same = Keys::new();
    same.add("portal", SECRET, KeyRights::ALL).unwrap();
    let grant = Grant { issuer: "portal".to_owned(), ..Grant::default() };
    let token = same.sign(&grant, Duration::from_secs(60), now).unwrap();
    config.keys.verify(&token, now).expect("the line break is no part of the secret");
    let rights = KeyRights { create_rooms: false, sip_call: true };
    assert_eq!(config.keys.rights("portal"), Some(rights));

    let directory = Directory::new(config.meetings, config.dev);
    let id = |text| MeetingId::parse(text).unwrap();
    for (meeting, pin, role) in [("board", "1234", Role::Guest), ("lobby", "4321", Role::Host)] {
        let visitor = Visitor::guest(Some(pin), Timestamp(0));
        assert_eq!(directory.admit(&id(meeting), visitor).await.unwrap().role, role);
    }
    assert!(!directory.find(&id("lobby")).unwrap().room_systems);
    assert_eq!(directory.find(&id("lobby")).unwrap().layout, Some(LegLayout::Grid));
    assert_eq!(directory.find(&id("board")).unwrap().layout, None, "as [sip] says");
    let lobby = directory.find(&id("lobby")).unwrap();
    assert!(lobby.lobby && lobby.mute_on_entry && !lobby.attendees_listen);
    assert_eq!(lobby.guests, room::Role::Attendee);
    let board = directory.find(&id("board")).unwrap();
    assert!(!board.lobby && !board.mute_on_entry && board.guests == room::Role::Presenter);
    assert!(directory.find(&id("annex")).is_some());
    assert!(directory.find(&id("anything")).is_none());
}

#[test]
fn an_unknown_word_is_refused_where_it_stands_with_the_nearest_known_one() {
    assert_eq!(
        refusal("key", "[data]\n\n[http]\nlisen = \"0.0.0.0:1\"\n", &[]),
        "plenum.toml:4: unknown key `lisen` in [http]: did you mean `listen`?"
    );
    assert_eq!(
        refusal("far", "[http]\ncolour = 1", &[]),
        "plenum.toml:2: unknown key `colour` in [http]"
    );
    assert_eq!(
        refusal("section", "[log]\n[htp]\n", &[]),
        "plenum.toml:2: unknown section `htp`: did you mean `http`?"
    );
    assert_eq!(
        refusal("entry", "[[meeting]]\nid = 'a'\n[[meeting]]\nguestpin = '1234'", &[]),
        "plenum.toml:4: unknown key `guestpin` in [[meeting]] number 2: did you mean `guest_pin`?"
    );
    for (name, text, why) in [
        ("no-host", "ca_file = 'a'", "`host` is \"\": give a name or an address, without a port"),
        (
            "port",
            "host = 'a:5061'",
            "`host` is \"a:5061\": give a name or an address, without a port",
        ),
        ("nothing", "host = 'a'", "give a `ca_file`, or a `certificate` with its `private_key`"),
        ("half", "host = 'a'\ncertificate = 'b'", "`certificate` and `private_key` go together"),
        (
            "twice",
            "host = 'a'\nca_file = 'b'\n[[sip_tls]]\nhost = 'A'",
            "there is already one for A",
        ),
    ] {
        let said = refusal(name, &format!("[[sip_tls]]\n{text}"), &[]);
        assert!(said.contains("[[sip_tls]] number") && said.ends_with(why), "{name}: {said}");
    }
    assert_eq!(
        refusal("variable", "", &[("PLENUM_HTTP_LISSEN", "x")]),
        "unknown environment variable PLENUM_HTTP_LISSEN: did you mean `PLENUM_HTTP_LISTEN`?"
    );
}

#[test]
fn a_value_that_is_not_allowed_is_refused_with_what_is() {
    for (name, text, said) in [
        (
            "port",
            "[sfu]\nudp_port = 0",
            "plenum.toml:2: `udp_port` in [sfu] is 0: give a whole number from 1 to 65535",
        ),
        (
            "big",
            "[sfu]\nudp_port = 70000",
            "plenum.toml:2: `udp_port` in [sfu] is 70000: give a whole number from 1 to 65535",
        ),
        (
            "type",
            "[sfu]\nudp_port = \"7882\"",
            "plenum.toml:2: `udp_port` in [sfu] is string: give an integer",
        ),
        (
            "socket",
            "[http]\nlisten = \"7880\"",
            "plenum.toml:2: `listen` in [http] is \"7880\": give an IP address and a port, such as \"0.0.0.0:7880\" or \"[::]:7880\"",
        ),
        (
            "word",
            "[sip]\nsrtp = \"maybe\"",
            "plenum.toml:2: `srtp` in [sip] is \"maybe\": give \"allowed\" or \"required\"",
        ),
        (
            "layout",
            "[sip]\nlayout = \"tiles\"",
            "plenum.toml:2: `layout` in [sip] is \"tiles\": give \"grid\" or \"speaker\"",
        ),
        (
            "odd",
            "[sip]\npicture_size = \"1280x721\"",
            "plenum.toml:2: `picture_size` in [sip] is \"1280x721\": give width and height, even numbers from \"128x96\" to \"1920x1080\"",
        ),
        (
            "large",
            "[sip]\npicture_size = \"3840x2160\"",
            "plenum.toml:2: `picture_size` in [sip] is \"3840x2160\": give",
        ),
        (
            "fps",
            "[sip]\npicture_fps = 120",
            "plenum.toml:2: `picture_fps` in [sip] is 120: give a whole number from 5 to 60",
        ),
        (
            "any",
            "[sfu]\nannounced_addresses = [\"0.0.0.0\"]",
            "plenum.toml:2: `announced_addresses` in [sfu] is wrong at \"0.0.0.0\": nobody can send there",
        ),
        (
            "filter",
            "[log]\nfilter = \"a=b=c\"",
            "plenum.toml:2: `filter` in [log] is \"a=b=c\": give a level or `target=level` between commas",
        ),
        ("array", "[[http]]\n", "plenum.toml:1: `http` is a section: write [http]"),
        ("syntax", "[http]\n\nlisten = \n", "plenum.toml:3: "),
    ] {
        let message = refusal(name, text, &[]);
        assert!(message.starts_with(said), "{name}: {message}");
    }
    let variable = refusal("flag", "", &[("PLENUM_SIP_KEYS_OVER_CLEARTEXT", "ja")]);
    assert_eq!(
        variable,
        "PLENUM_SIP_KEYS_OVER_CLEARTEXT: `keys_over_cleartext` in [sip] is \"ja\": give true or false"
    );
}

#[test]
fn secrets_and_pins_are_refused_without_being_shown() {
    let short = refusal("short", "[[key]]\nid = 'a'\nsecret = 'hunter2'", &[]);
    assert_eq!(short, "[[key]] number 1: the secret of key a has fewer than 32 characters");
    let pin = refusal("pin", "[[meeting]]\nid = 'a'\nguest_pin = '77x77'", &[]);
    assert!(pin.ends_with("is no PIN: give 4 to 10 digits, in quotes"), "{pin}");
    let none = refusal("none", "[[key]]\nid = 'a'", &[]);
    assert_eq!(none, "[[key]] number 1: give either `secret` or `secret_file`");
    let gone = refusal("gone", "[[key]]\nid = 'a'\nsecret_file = '/nowhere/key'", &[]);
    assert!(gone.starts_with("[[key]] number 1: cannot read /nowhere/key"), "{gone}");
    let text = format!("[[key]]\nid = 'a'\nsecret = '{SECRET}'");
    assert!(!format!("{:?}", load("debug", &text, &[]).unwrap()).contains("0123"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (name, text, said) in [
        ("half", "[http]\ncertificate = 'a.pem'", "`certificate` and `private_key` go together"),
        ("public", "[http]\npublic_url = 'https://a/b'", "the page has no other place"),
        ("sealed", "[[meeting]]\nid = 'a'\ne2ee = true", "`e2ee` keeps room systems out"),
        ("narrow", "[[meeting]]\nid = 'a'\nkbps = 10", "`kbps` is 0, or 64 at least"),
        ("span", "[rtp]\nport_min = 3000\nport_max = 3002", "no room for one call"),
        ("order", "[rtp]\nport_min = 3000\nport_max = 2000", "no room for one call"),
        ("end", "[sfu]\nudp_port = 65535\nshards = 2", "do not all exist"),
        ("inside", "[sfu]\nudp_port = 20500", "lie among those of [rtp]"),
        ("twice", "[[meeting]]\nid = 'a'\n[[meeting]]\nid = 'A'", "already a meeting a"),
        ("no id", "[[meeting]]\nname = 'x'", "a meeting id cannot be empty"),
        (
            "pins",
            "[[meeting]]\nid = 'a'\nhost_pin = '1234'\nguest_pin = '1234'",
            "`host_pin` and `guest_pin` are the same",
        ),
    ] {
        let message = refusal(name, text, &[]);
        assert!(message.contains(said), "{name}: {message}");
    }
}

#[test]
fn only_loopback_is_no_address_for_others() {
    let config = load("loop", "[sfu]\nannounced_addresses = ['127.0.0.1']", &[]).unwrap();
    assert!(matches!(config.announced(), Err(ConfigError::NoAddress)));
    let config = load("own", "[sip]\nudp_listen = '192.0.2.5:5060'", &[]).unwrap();
    assert_eq!(config.announced().unwrap(), ["192.0.2.5".parse::<IpAddr>().unwrap()]);
}

fn example_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plenum.example.toml")
}

/// After a change of a section: `UPDATE_EXAMPLE=1 cargo test -p plenum example`.
#[test]
fn the_example_in_the_repository_is_the_generated_one() {
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        fs::write(example_path(), example()).unwrap();
    }
    let written = fs::read_to_string(example_path()).unwrap();
    assert!(written == example(), "plenum.example.toml is out of date: run with UPDATE_EXAMPLE=1");
}

#[test]
fn the_example_is_a_configuration_as_it_stands_and_with_every_line_put_to_use() {
    let as_it_stands = load("example", &example(), &[]).unwrap();
    assert_eq!(as_it_stands.http.listen.port(), 7880);
    assert!(as_it_stands.meetings.is_empty());

    let in_use = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    let file = File::new("used", "");
    let secret = file.add("secret", SECRET);
    let text: Vec<_> = example()
        .lines()
        // A key has its secret from one place, and the example's file is not here.
        .filter(|line| !line.starts_with("#secret ="))
        .map(|line| in_use(line).replace("/run/secrets/plenum-key", secret.to_str().unwrap()))
        .collect();
    file.add("plenum.toml", &text.join("\n"));
    let config = Config::load(Some(&file.dir.join("plenum.toml")), env(&[]), false).unwrap();
    assert_eq!(config.keys.rights("conference-portal"), Some(KeyRights::ALL));
    assert_eq!(config.meetings[0].name, "Board meeting");
    assert_eq!(config.sip.allow_dial.len(), 3);
    assert!(config.announced().is_ok());
}

#[test]
fn webhooks_need_a_key_that_there_is_and_urls_that_are_http() {
    let key = format!("[[key]]\nid = \"portal\"\nsecret = \"{SECRET}\"\n");
    let section = |rest: &str| format!("[webhook]\nurls = [\"https://h.example.org/x\"]\n{rest}");
    let good = load("webhook", &format!("{}{key}", section("key = \"portal\"\n")), &[]).unwrap();
    assert_eq!(good.webhook.urls[0].to_string(), "https://h.example.org/x");
    let refused = refusal("webhook-none", &section(""), &[]);
    assert_eq!(refused, "[webhook]: `urls` need a `key` to sign with: give the id of a [[key]]");
    let refused = refusal("webhook-other", &format!("{}{key}", section("key = \"p\"\n")), &[]);
    assert_eq!(refused, "[webhook]: `key` is \"p\": no [[key]] has this id");
    let urls = [("PLENUM_WEBHOOK_URLS", "http://a.example.org/,ftp://b.example.org/")];
    let refused = refusal("webhook-ftp", "", &urls);
    assert!(refused.contains("ftp://b.example.org/") && refused.contains("https://"), "{refused}");
    let dev = Config::load(None, env(&[("PLENUM_WEBHOOK_URLS", "http://127.0.0.1:1/")]), true);
    assert_eq!(dev.unwrap().webhook.key.as_deref(), Some("devkey"));
}

#[test]
fn codes_of_remote_controls_are_keys_and_none_begins_with_another() {
    let codes = load("codes", "[remote_control]\nend = \"off\"\nmute = \"#61\"", &[]).unwrap();
    assert_eq!(codes.remote_control.mute.to_string(), "#61");
    assert_eq!(codes.remote_control.end, gateway::Code::Off);
    assert_eq!(codes.remote_control.lock.to_string(), "*7");
    let wrong = refusal("codes-wrong", "[remote_control]\nlock = \"77\"", &[]);
    assert!(wrong.contains("lock") && wrong.contains("begin with * or #"), "{wrong}");
    let clash = refusal("codes-clash", "[remote_control]\nlock = \"*61\"", &[]);
    assert!(clash.contains("\"*61\" begins with \"*6\""), "{clash}");
}
