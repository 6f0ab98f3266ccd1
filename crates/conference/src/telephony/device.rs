//! Room systems of the house.

use serde::{Deserialize, Serialize};
use types::{LegLayout, MeetingId};

use super::address::is_user;
use super::digest::DigestVerifier;
use super::{KBPS, MAX_NAME, MAX_NOTES};
use crate::access::IpNetwork;
use crate::booking::has_letter;
use crate::problem::{ProblemCode, Problems};
use crate::store::{Entity, Key, Kind};

/// A room system of the house: it may register, and is called by its extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// As people know it; unique without regard to case.
    pub name: String,
    /// What is dialled to call it: 2 to 5 digits, or a name with a letter. Longer numbers are
    /// meetings' (see `booking::MeetingNumber`), so no device's number is ever a meeting's; of a
    /// meeting and a device of the same name the dial rules decide which is called.
    pub extension: MeetingId,
    /// The user that it registers as; `None`: it does not register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_user: Option<String>,
    /// What its password is checked against; `None`: its address alone tells who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<DigestVerifier>,
    /// From where it may register and call; empty: from everywhere.
    #[serde(default)]
    pub networks: Vec<IpNetwork>,
    /// How others are arranged in its picture; `None`: as its meeting says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<LegLayout>,
    /// Kilobits a second of a call in each direction; `None`: as everywhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kbps: Option<u32>,
    /// Where it stands.
    #[serde(default)]
    pub location: String,
    /// Whatever else is worth knowing.
    #[serde(default)]
    pub notes: String,
}

impl Device {
    /// Networks of one device.
    pub const MAX_NETWORKS: usize = 32;
    /// Digits of an extension, the least and the most.
    pub const DIGITS: (usize, usize) = (2, 5);

    /// The key of its name.
    pub const NAME: &'static str = "name";
    /// The key of its extension.
    pub const EXTENSION: &'static str = "extension";
    /// The key of the user that it registers as.
    pub const SIP_USER: &'static str = "sip_user";

    /// The form in which a name is looked for.
    pub fn name_key(name: &str) -> String {
        name.to_lowercase()
    }

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        problems.line("name", &self.name, MAX_NAME);
        let extension = self.extension.as_str();
        let digits = extension.bytes().all(|byte| byte.is_ascii_digit())
            && (Self::DIGITS.0..=Self::DIGITS.1).contains(&extension.len());
        let text = "an extension has 2 to 5 digits, or at least one letter";
        let good = digits || has_letter(extension);
        problems.ensure(good, "extension", ProblemCode::Format, text);
        if let Some(user) = &self.sip_user {
            problems.line("sip_user", user, MAX_NAME);
            let text = "give a user of letters, digits and -_.!~*'()&=+$,/%#";
            problems.ensure(is_user(user), "sip_user", ProblemCode::Format, text);
        }
        match &self.verifier {
            Some(verifier) => verifier.check("password", self.sip_user.as_deref(), &mut problems),
            // Otherwise everybody could be this device.
            None => {
                let known = self.sip_user.is_none() || !self.networks.is_empty();
                let text = "a device that registers has a password, or networks that it comes from";
                problems.ensure(known, "password", ProblemCode::Required, text);
            }
        }
        if problems.count("networks", self.networks.len(), Self::MAX_NETWORKS) {
            problems.distinct("networks", &self.networks);
        }
        if let Some(kbps) = self.kbps {
            problems.range("kbps", kbps, KBPS, "kilobits a second");
        }
        problems.optional_line("location", &self.location, MAX_NAME);
        problems.text("notes", &self.notes, MAX_NOTES);
        problems
    }

    /// Whether it may come from this address.
    pub fn may_come_from(&self, address: std::net::IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|it| it.contains(address))
    }
}

impl Entity for Device {
    const KIND: Kind = Kind::Device;

    fn keys(&self) -> Vec<Key> {
        let mut keys = vec![
            Key::unique(Self::NAME, Self::name_key(&self.name)),
            Key::unique(Self::EXTENSION, self.extension.as_str()),
        ];
        keys.extend(self.sip_user.as_ref().map(|user| Key::unique(Self::SIP_USER, user.as_str())));
        keys
    }

    fn search_text(&self) -> String {
        format!("{} {} {} {}", self.name, self.extension, self.location, self.notes)
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::testing::brief;

    fn hall() -> Device {
        Device {
            sip_user: Some("hall".into()),
            verifier: Some(DigestVerifier::of("hall", "plenum", "long enough", true)),
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            ..serde_json::from_str(r#"{"name":"Большой зал","extension":"101"}"#).unwrap()
        }
    }

    #[test]
    fn a_device_is_found_by_name_extension_and_user() {
        let keys = hall().keys();
        let expected = [("name", "большой зал"), ("extension", "101"), ("sip_user", "hall")];
        assert_eq!(keys, expected.map(|(name, value)| Key::unique(name, value)));
        let quiet = Device { sip_user: None, verifier: None, ..hall() };
        assert_eq!(quiet.keys().len(), 2);
        let text = serde_json::to_string(&hall()).unwrap();
        assert_eq!(serde_json::from_str::<Device>(&text).unwrap(), hall());
    }

    #[test]
    fn extensions_are_never_numbers_of_meetings() {
        for (extension, good) in [
            ("10", true),
            ("10101", true),
            ("hall", true),
            ("зал-2", true),
            ("7a", true),
            ("1", false),
            ("101010", false),
            ("1-1", false),
            ("١١", false),
            ("123456789", false),
        ] {
            let device = Device { extension: MeetingId::parse(extension).unwrap(), ..hall() };
            assert_eq!(device.problems().is_empty(), good, "{extension}");
        }
    }

    #[test]
    fn all_that_is_wrong_with_a_device_is_told_at_once() {
        assert_eq!(brief(&hall().problems()), [""; 0]);
        let bad = Device {
            name: String::new(),
            sip_user: Some("a b".into()),
            networks: vec!["10.0.0.1".parse().unwrap(); 2],
            kbps: Some(1),
            location: "a\r\nb".into(),
            notes: "x".repeat(2001),
            ..hall()
        };
        assert_eq!(
            brief(&bad.problems()),
            [
                "name required",
                "sip_user format",
                "password conflict",
                "networks[1] duplicate",
                "kbps range",
                "location format",
                "notes too_long"
            ]
        );
        let open = Device { verifier: None, networks: vec![], ..hall() };
        assert_eq!(brief(&open.problems()), ["password required"]);
        let by_address = Device { verifier: None, ..hall() };
        assert_eq!(brief(&by_address.problems()), [""; 0]);
    }

    #[test]
    fn a_device_comes_from_its_networks() {
        assert!(hall().may_come_from("10.1.2.3".parse().unwrap()));
        assert!(!hall().may_come_from("192.0.2.1".parse().unwrap()));
        let anywhere = Device { networks: vec![], ..hall() };
        assert!(anywhere.may_come_from("192.0.2.1".parse().unwrap()));
    }
}
