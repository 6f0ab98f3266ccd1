//! Other servers and telephone exchanges.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use types::{Codec, DialString};

use super::address::{CallAddress, is_host, is_host_name, is_user, split_port};
use super::dial_rule::Transport;
use super::{KBPS, MAX_NAME, MAX_NOTES};
use crate::access::IpNetwork;
use crate::problem::{ProblemCode, Problems};
use crate::store::{Entity, Key, Kind};

/// How a trunk's two ends know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrunkKind {
    /// We register there with a user and a password, and calls come over that registration.
    Registered,
    /// By the addresses that calls come from.
    ByAddress,
    /// Not at all: calls go out, none comes in.
    None,
    /// TrueConf Server: by its addresses, with a user and a password for calls of ours. Its users and
    /// conferences are called by its host, and it calls our meetings, without any rule.
    TrueConf,
}

/// When we register at a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Register {
    /// As its kind says: a registered one always, others never.
    #[default]
    Auto,
    /// Always.
    Always,
    /// When there is a call of ours; the registration is left to end by itself.
    BeforeCall,
}

/// Whether media are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SrtpPolicy {
    /// Never.
    Never,
    /// Where the other end can.
    #[default]
    Optional,
    /// Always: calls without encryption are refused.
    Required,
}

/// A secret that was sealed with the server's key, as opaque text. Digest authentication towards
/// others needs the password itself as long as their realm is not known. `Debug` hides even this.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedSecret(String);

impl SealedSecret {
    /// Bytes of a sealed secret.
    pub const MAX_BYTES: usize = 1_000;

    /// Wraps what was sealed, never a secret in clear.
    pub fn new(sealed: impl Into<String>) -> Self {
        Self(sealed.into())
    }

    /// What was sealed, for whoever opens it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedSecret(****)")
    }
}

/// Whom the other end sees calling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallerIdentity {
    /// The number or user; empty: the meeting's number.
    pub number: String,
    /// The name; empty: the meeting's name.
    pub name: String,
}

/// Another server or a telephone exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk {
    /// As people know it; unique without regard to case.
    pub name: String,
    /// How both ends know each other.
    pub kind: TrunkKind,
    /// Its host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// Its port; `None`: what its transport has by default, or what DNS says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Others to be tried where that one does not answer, in this order: a host, or `host:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<String>,
    /// What carries the signalling.
    #[serde(default)]
    pub transport: Transport,
    /// When we register there.
    #[serde(default)]
    pub register: Register,
    /// The addresses that its calls come from.
    #[serde(default)]
    pub networks: Vec<IpNetwork>,
    /// The user that we are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// That user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SealedSecret>,
    /// Whom it sees calling.
    #[serde(default)]
    pub caller: CallerIdentity,
    /// The codecs that are offered and taken, by their media types, in the order of choice; empty: all
    /// that we have.
    #[serde(default)]
    pub codecs: Vec<String>,
    /// Whether media are encrypted.
    #[serde(default)]
    pub srtp: SrtpPolicy,
    /// Kilobits a second of a call in each direction; `None`: as everywhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kbps: Option<u32>,
    /// Calls at a time in both directions; `None`: as many as the server takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u32>,
    /// How often it is asked whether it is there; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_seconds: Option<u32>,
    /// Numbers by which its users and conferences are called from devices that know nothing else, each
    /// with the id that it stands for; who calls from there is seen as the number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, String>,
    /// Whatever else is worth knowing.
    #[serde(default)]
    pub notes: String,
}

impl Trunk {
    /// Further hosts of one trunk.
    pub const MAX_BACKUPS: usize = 4;
    /// Numbers of one trunk.
    pub const MAX_NUMBERS: usize = 1_000;
    /// Networks of one trunk.
    pub const MAX_NETWORKS: usize = 64;
    /// Calls at a time, the least and the most.
    pub const MAX_CALLS: (u32, u32) = (1, 10_000);
    /// Seconds between two checks, the least and the most.
    pub const CHECK_SECONDS: (u32, u32) = (10, 3_600);

    /// The key of its name.
    pub const NAME: &'static str = "name";

    /// The form in which a name is looked for.
    pub fn name_key(name: &str) -> String {
        name.to_lowercase()
    }

    /// The codecs that are offered and taken; empty: all that we have.
    pub fn codecs(&self) -> Vec<Codec> {
        self.codecs.iter().filter_map(|it| Codec::from_mime(it)).collect()
    }

    /// When we register there; `None`: never.
    pub fn registers(&self) -> Option<Register> {
        match (self.register, self.kind) {
            (Register::Auto, TrunkKind::Registered) => Some(Register::Always),
            (Register::Auto, _) => None,
            (given, _) => Some(given),
        }
    }

    /// Its hosts in the order in which they are tried, each with its port if it has one.
    pub fn hosts(&self) -> Vec<(&str, Option<u16>)> {
        let backups = self.backups.iter().map(|it| match split_port(it) {
            Some((host, port)) => (host, port.parse().ok()),
            None => (it.as_str(), None),
        });
        std::iter::once((self.host.as_str(), self.port)).chain(backups).collect()
    }

    /// Who of its people is called by an address, where this is a TrueConf server and the address is one
    /// of its own: `id@host`, `00<conference>@host`, `\c\<conference>` with or without the host, or a
    /// number that stands for one of them.
    pub fn own(&self, address: &DialString) -> Option<CallAddress> {
        if self.kind != TrunkKind::TrueConf {
            return None;
        }
        let id = self.numbers.get(&address.user).filter(|_| address.host.is_none());
        let address = match id {
            Some(id) => &DialString::read(id)?,
            None => address,
        };
        let host = address.host.as_deref().map(|host| {
            let host = host.split(';').next().unwrap_or_default();
            split_port(host).map_or(host, |(host, _)| host)
        });
        let ours = match host {
            Some(host) => host.trim_end_matches('.').eq_ignore_ascii_case(&self.host),
            None => id.is_some() || address.is_conference(),
        };
        let called = DialString { host: None, ..address.clone() };
        called.address().parse().ok().filter(|_| ours)
    }

    /// Who calls from there: the number that stands for it, where one does.
    pub fn seen_as<'a>(&'a self, calling: &'a str) -> &'a str {
        let user = calling.split('@').next().unwrap_or_default();
        let number = self.numbers.iter().find(|(_, id)| id.eq_ignore_ascii_case(user));
        number.map_or(calling, |(number, _)| number)
    }

    /// Whether calls from this address are its calls.
    pub fn calls_from(&self, address: std::net::IpAddr) -> bool {
        self.kind != TrunkKind::None && self.networks.iter().any(|it| it.contains(address))
    }

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        problems.line("name", &self.name, MAX_NAME);
        let text = "give a name, an IPv4 address, or an IPv6 address in brackets";
        problems.ensure(is_host_name(&self.host), "host", ProblemCode::Format, text);
        let port = self.port != Some(0);
        problems.ensure(port, "port", ProblemCode::Range, "give 1 to 65535");
        if problems.count("backups", self.backups.len(), Self::MAX_BACKUPS) {
            let text = "give a host, or host:port";
            for (index, backup) in self.backups.iter().enumerate() {
                let field = format!("backups[{index}]");
                problems.ensure(is_host(backup), &field, ProblemCode::Format, text);
            }
        }
        self.check_identity(&mut problems);
        if problems.count("codecs", self.codecs.len(), 16) {
            problems.distinct("codecs", self.codecs.iter().map(|it| it.to_ascii_lowercase()));
            for (index, codec) in self.codecs.iter().enumerate() {
                let text = "give a media type such as audio/opus, audio/PCMA or video/H264";
                let known = Codec::from_mime(codec).is_some();
                let field = format!("codecs[{index}]");
                problems.ensure(known, &field, ProblemCode::Unknown, text);
            }
        }
        if let Some(kbps) = self.kbps {
            problems.range("kbps", kbps, KBPS, "kilobits a second");
        }
        if let Some(calls) = self.max_calls {
            problems.range("max_calls", calls, Self::MAX_CALLS, "calls");
        }
        if let Some(seconds) = self.check_seconds {
            problems.range("check_seconds", seconds, Self::CHECK_SECONDS, "seconds");
        }
        if problems.count("numbers", self.numbers.len(), Self::MAX_NUMBERS) {
            let text = r"give a number, and an id such as anna or \c\7700";
            for (number, id) in &self.numbers {
                let id = DialString::read(id).map(|it| it.address().parse::<CallAddress>().is_ok());
                let good = is_user(number) && number.len() <= MAX_NAME && id == Some(true);
                problems.ensure(good, "numbers", ProblemCode::Format, text);
            }
        }
        problems.text("notes", &self.notes, MAX_NOTES);
        problems
    }

    /// How both ends know each other.
    fn check_identity(&self, problems: &mut Problems) {
        let text = "give a user of letters, digits and -_.!~*'()&=+$,/%#";
        if let Some(user) = &self.user {
            let good = is_user(user) && user.len() <= MAX_NAME;
            problems.ensure(good, "user", ProblemCode::Format, text);
        }
        let number = &self.caller.number;
        let good = number.is_empty() || (is_user(number) && number.len() <= MAX_NAME);
        problems.ensure(good, "caller.number", ProblemCode::Format, text);
        problems.optional_line("caller.name", &self.caller.name, MAX_NAME);
        if problems.count("networks", self.networks.len(), Self::MAX_NETWORKS) {
            problems.distinct("networks", &self.networks);
        }
        let text = "a trunk that we register at has a user and a password";
        let registers = self.registers().is_some();
        let user = !registers || self.user.is_some();
        problems.ensure(user, "user", ProblemCode::Required, text);
        let secret = !registers || self.secret.is_some();
        problems.ensure(secret, "secret", ProblemCode::Required, text);
        if let Some(secret) = &self.secret {
            let fits = (1..=SealedSecret::MAX_BYTES).contains(&secret.as_str().len());
            problems.ensure(fits, "secret", ProblemCode::Format, "this is no sealed secret");
        }
        let needs_networks = matches!(self.kind, TrunkKind::ByAddress | TrunkKind::TrueConf);
        let text = "a trunk that is known by its addresses has at least one";
        let networks = !needs_networks || !self.networks.is_empty();
        problems.ensure(networks, "networks", ProblemCode::Required, text);
    }
}

impl Entity for Trunk {
    const KIND: Kind = Kind::Trunk;

    fn keys(&self) -> Vec<Key> {
        vec![Key::unique(Self::NAME, Self::name_key(&self.name))]
    }

    fn search_text(&self) -> String {
        format!("{} {} {}", self.name, self.host, self.notes)
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::testing::brief;

    fn pbx(kind: &str) -> Trunk {
        let text = format!(r#"{{"name":"PBX","kind":"{kind}","host":"pbx.example.org"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn each_kind_of_trunk_asks_for_what_it_needs() {
        for (kind, told) in [
            ("registered", vec!["user required", "secret required"]),
            ("by_address", vec!["networks required"]),
            ("true_conf", vec!["networks required"]),
            ("none", vec![]),
        ] {
            assert_eq!(brief(&pbx(kind).problems()), told, "{kind}");
        }
        let mut whole = pbx("registered");
        whole.user = Some("plenum".into());
        whole.secret = Some(SealedSecret::new("v1:abc"));
        whole.codecs = vec!["audio/opus".into(), "video/h264".into()];
        assert_eq!(brief(&whole.problems()), [""; 0]);
        assert_eq!(whole.codecs().len(), 2);
        assert!(!format!("{whole:?}").contains("abc"));
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Trunk>(&text).unwrap(), whole);
        assert_eq!(whole.keys(), [Key::unique("name", "pbx")]);
    }

    #[test]
    fn registration_is_by_the_kind_or_as_it_is_said() {
        let mut trunk = pbx("registered");
        assert_eq!(trunk.registers(), Some(Register::Always));
        trunk.register = Register::BeforeCall;
        assert_eq!(trunk.registers(), Some(Register::BeforeCall));
        let mut peer = pbx("none");
        assert_eq!(peer.registers(), None);
        peer.register = Register::Always;
        assert_eq!(brief(&peer.problems()), ["user required", "secret required"]);
    }

    #[test]
    fn a_trueconf_server_is_called_by_its_own_addresses() {
        let mut peer = pbx("true_conf");
        peer.host = "tc.example.org".into();
        peer.networks = vec!["10.0.0.1".parse().unwrap()];
        peer.numbers = [("5501", "anna"), ("5502", r"\c\7700")]
            .map(|(number, id)| (number.into(), id.into()))
            .into();
        assert_eq!(brief(&peer.problems()), [""; 0]);
        for (address, called) in [
            ("anna@tc.example.org", Some("anna")),
            ("sip:anna@TC.example.org.:5060", Some("anna")),
            ("007700@tc.example.org", Some("007700")),
            (r"\c\7700@tc.example.org", Some("%5Cc%5C7700")),
            (r"\c\7700", Some("%5Cc%5C7700")),
            ("5501", Some("anna")),
            ("5502", Some("%5Cc%5C7700")),
            ("5503", None),
            ("anna", None),
            ("anna@example.org", None),
            (r"\c\7700@example.org", None),
        ] {
            let own = peer.own(&DialString::read(address).unwrap());
            assert_eq!(own.as_ref().map(CallAddress::as_str), called, "{address}");
        }
        assert_eq!((peer.seen_as("anna@tc.example.org"), peer.seen_as("boris")), ("5501", "boris"));
        peer.kind = TrunkKind::ByAddress;
        assert_eq!(peer.own(&DialString::read("anna@tc.example.org").unwrap()), None);
        peer.numbers.insert("5 5".into(), "x".into());
        assert_eq!(brief(&peer.problems()), ["numbers format"]);
    }

    #[test]
    fn hosts_are_tried_in_their_order() {
        let mut trunk = pbx("none");
        trunk.port = Some(5070);
        trunk.backups = vec!["b.org".into(), "[2001:db8::1]:5080".into(), "[2001:db8::2]".into()];
        assert_eq!(
            trunk.hosts(),
            [
                ("pbx.example.org", Some(5070)),
                ("b.org", None),
                ("[2001:db8::1]", Some(5080)),
                ("[2001:db8::2]", None)
            ]
        );
    }

    #[test]
    fn all_that_is_wrong_with_a_trunk_is_told_at_once() {
        let bad = Trunk {
            name: "a\nb".into(),
            host: "a b".into(),
            port: Some(0),
            backups: vec!["a.org:5070".into(), "a b".into()],
            user: Some("a:b".into()),
            secret: Some(SealedSecret::new("")),
            caller: CallerIdentity { number: "1 2".into(), name: "x\r\nTo: y".into() },
            codecs: vec!["audio/opus".into(), "audio/mp3".into(), "AUDIO/opus".into()],
            kbps: Some(0),
            max_calls: Some(0),
            check_seconds: Some(1),
            notes: "x\u{0}".into(),
            ..pbx("by_address")
        };
        assert_eq!(
            brief(&bad.problems()),
            [
                "name format",
                "host format",
                "port range",
                "backups[1] format",
                "user format",
                "caller.number format",
                "caller.name format",
                "secret format",
                "networks required",
                "codecs[2] duplicate",
                "codecs[1] unknown",
                "kbps range",
                "max_calls range",
                "check_seconds range",
                "notes format",
            ]
        );
    }

    #[test]
    fn calls_come_from_its_addresses_unless_none_may_come() {
        let mut trunk = pbx("by_address");
        trunk.networks = vec!["10.0.0.0/24".parse().unwrap()];
        assert!(trunk.calls_from("10.0.0.9".parse().unwrap()));
        assert!(!trunk.calls_from("10.0.1.9".parse().unwrap()));
        trunk.kind = TrunkKind::None;
        assert!(!trunk.calls_from("10.0.0.9".parse().unwrap()));
    }
}
