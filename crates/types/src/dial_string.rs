//! Addresses as people and machines write them, turned into SIP's own form.

use std::fmt;

/// Whom a dial string calls. Its `Debug` has no PIN in it.
#[derive(Clone, PartialEq, Eq)]
pub struct DialString {
    /// Who or which meeting; empty: whatever is at the host.
    pub user: String,
    /// The PIN that stands in it.
    pub pin: Option<String>,
    /// The host with its port and whatever stands behind it; `None`: the dial rules know.
    pub host: Option<String>,
    /// Whether the signalling has to be encrypted (`sips:`).
    pub secure: bool,
}

/// Signs of which two stand before a PIN, and how each stands in a URI where it is escaped.
const BEFORE_PIN: [(char, &str); 3] = [('*', "%2a"), ('#', "%23"), ('$', "%24")];

/// TrueConf's sign of a conference, and how it stands in a URI (RFC 3261 section 19.1.2).
const CONFERENCE: (&str, &str) = (r"\c\", "%5Cc%5C");

impl DialString {
    /// The longest that is read, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Reads one of:
    /// `sip:user@host`, `sips:…`, `user@host`, `tel:+7-495-…`, a number or a name;
    /// `meeting**pin@host` and Polycom's `meeting$$pin@host`;
    /// `host##meeting##pin` as Zoom, Polycom and H.323 devices write it, also with one `#` before the pin;
    /// TrueConf's `\c\conference`, `\c\conference@server`, `#sip:user@host` and `#tel:number`.
    ///
    /// `None`: it is empty, too long, or has in it what could change a message.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let clean = |c: char| !c.is_control() && !c.is_whitespace() && !"<>\"".contains(c);
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.chars().all(clean) {
            return None;
        }
        let hash = text.strip_prefix('#').filter(|it| scheme(it).is_some());
        let (scheme, rest) = match scheme(hash.unwrap_or(text)) {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        if scheme == Some("tel") {
            return number(rest);
        }
        if let Some((host, meeting)) = rest.split_once("##") {
            return at_host(host, meeting);
        }
        let (sign, rest) = match rest.strip_prefix(CONFERENCE.0) {
            Some(rest) => (CONFERENCE.1, rest),
            None => ("", rest),
        };
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (user, Some(host.to_owned())),
            None if scheme.is_some() && sign.is_empty() => ("", Some(rest.to_owned())),
            None => (rest, None),
        };
        let parts = user.split_once("**").or_else(|| user.split_once("$$"));
        let (user, pin) = parts.map_or((user, ""), |parts| parts);
        if host.as_deref().is_some_and(str::is_empty) || (host.is_none() && user.is_empty()) {
            return None;
        }
        let pin = Some(pin.to_owned()).filter(|it| !it.is_empty());
        Some(Self { user: format!("{sign}{user}"), pin, host, secure: scheme == Some("sips") })
    }

    /// As an address that SIP knows, with the PIN behind `**`. Not for logs.
    pub fn address(&self) -> String {
        let Self { user, pin, host, secure } = self;
        let scheme = if *secure { "sips:" } else { "" };
        let pin = pin.as_ref().map_or_else(String::new, |pin| format!("**{pin}"));
        match host {
            Some(host) if user.is_empty() => {
                format!("sip{}:{host}", if *secure { "s" } else { "" })
            }
            Some(host) => format!("{scheme}{user}{pin}@{host}"),
            None => format!("{user}{pin}"),
        }
    }

    /// The conference of a TrueConf server that is called, where one is.
    pub fn is_conference(&self) -> bool {
        let sign = self.user.get(..CONFERENCE.1.len());
        sign.is_some_and(|sign| sign.eq_ignore_ascii_case(CONFERENCE.1))
    }
}

impl fmt::Debug for DialString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, pin, host, .. } = self;
        let pin = pin.is_some();
        f.debug_struct("DialString")
            .field("user", &without_pin(user))
            .field("pin", &pin)
            .field("host", host)
            .finish()
    }
}

/// An address or a user part as it may be logged and shown to others: up to where a PIN begins.
#[must_use]
pub fn without_pin(address: &str) -> &str {
    split_pin(address).map_or(address, |(before, ..)| before)
}

/// Cuts a text at the first `**`, `##` or `$$`, however it is escaped: what stands before, the two signs,
/// and what follows them, which may begin with a PIN. `None`: it has none.
#[must_use]
pub fn split_pin(text: &str) -> Option<(&str, &str, &str)> {
    text.char_indices().find_map(|(at, _)| {
        let (first, rest) = sign(text.get(at..)?)?;
        let (second, rest) = sign(rest)?;
        if first != second {
            return None;
        }
        let end = text.len() - rest.len();
        Some((text.get(..at)?, text.get(at..end)?, rest))
    })
}

/// The sign that a text begins with, if it is one of those before a PIN, and the rest.
fn sign(text: &str) -> Option<(char, &str)> {
    BEFORE_PIN.into_iter().find_map(|(sign, escaped)| {
        if let Some(rest) = text.strip_prefix(sign) {
            return Some((sign, rest));
        }
        let start = text.get(..escaped.len())?;
        let rest = text.get(escaped.len()..)?;
        start.eq_ignore_ascii_case(escaped).then_some((sign, rest))
    })
}

fn scheme(text: &str) -> Option<(&'static str, &str)> {
    let (found, rest) = text.split_once(':')?;
    let known = ["sip", "sips", "tel"].into_iter().find(|it| it.eq_ignore_ascii_case(found))?;
    Some((known, rest))
}

/// RFC 3966: without its visual separators and its parameters.
fn number(rest: &str) -> Option<DialString> {
    let bare = rest.split(';').next().unwrap_or_default();
    let user: String = bare.chars().filter(|it| !"-.()".contains(*it)).collect();
    let digits = user.strip_prefix('+').unwrap_or(&user);
    let good =
        !digits.is_empty() && digits.chars().all(|it| it.is_ascii_digit() || "*#".contains(it));
    good.then_some(DialString { user, pin: None, host: None, secure: false })
}

/// What stands behind `host##`.
fn at_host(host: &str, meeting: &str) -> Option<DialString> {
    let (meeting, pin) =
        meeting.split_once("##").or_else(|| meeting.split_once('#')).unwrap_or((meeting, ""));
    // A chairman's password behind the pin is no matter of ours.
    let pin = pin.split('#').next().unwrap_or_default();
    let good = !host.is_empty() && !host.contains('@') && !meeting.is_empty();
    let pin = Some(pin.to_owned()).filter(|it| !it.is_empty());
    let (user, host) = (meeting.to_owned(), Some(host.to_owned()));
    good.then_some(DialString { user, pin, host, secure: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_writing_an_address_means_what_its_maker_says() {
        for (text, address) in [
            ("sip:hall@example.org", "hall@example.org"),
            (" SIP:hall@example.org:5070;transport=tcp ", "hall@example.org:5070;transport=tcp"),
            ("sips:hall@[2001:db8::1]", "sips:hall@[2001:db8::1]"),
            ("sips:example.org", "sips:example.org"),
            ("sip:10.0.0.7", "sip:10.0.0.7"),
            ("hall@10.0.0.7", "hall@10.0.0.7"),
            ("101", "101"),
            ("+74951234567", "+74951234567"),
            ("hall", "hall"),
            ("tel:+7(495)123-45-67;ext=1", "+74951234567"),
            ("board**1234@example.org", "board**1234@example.org"),
            ("7700$$1234@example.org", "7700**1234@example.org"),
            ("7700**1234", "7700**1234"),
            ("10.0.0.7##7700", "7700@10.0.0.7"),
            ("10.0.0.7##7700##1234", "7700**1234@10.0.0.7"),
            ("10.0.0.7##7700#1234", "7700**1234@10.0.0.7"),
            ("mcu.example.org##7700##1234##9999", "7700**1234@mcu.example.org"),
            ("anna@trueconf.example.org", "anna@trueconf.example.org"),
            ("007700@trueconf.example.org", "007700@trueconf.example.org"),
            (r"\c\7700@trueconf.example.org", "%5Cc%5C7700@trueconf.example.org"),
            (r"\c\7700", "%5Cc%5C7700"),
            (r"sip:\c\7700@trueconf.example.org", "%5Cc%5C7700@trueconf.example.org"),
            ("#sip:board@plenum.example.org", "board@plenum.example.org"),
            ("#sip:@10.0.0.7", "sip:10.0.0.7"),
            ("#tel:+74951234567", "+74951234567"),
        ] {
            let read = DialString::read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.address(), address, "{text}");
            assert_eq!(read.is_conference(), text.contains(r"\c\"), "{text}");
            assert!(!format!("{read:?}").contains("1234\""), "a PIN is shown: {read:?}");
            let again = DialString::read(address).unwrap();
            assert_eq!(again.address(), address, "what was read is read as the same");
        }
    }

    #[test]
    fn no_spelling_of_a_pin_is_shown() {
        let signs = [
            "**", "*%2A", "*%2a", "%2A*", "%2a*", "%2A%2A", "%2a%2a", "%2A%2a", "%2a%2A", "##",
            "#%23", "%23#", "%23%23", "$$", "$%24", "%24$", "%24%24",
        ];
        for signs in signs {
            for host in ["", "@example.org"] {
                let text = format!("board{signs}1234{host}");
                let after = format!("1234{host}");
                assert_eq!(split_pin(&text), Some(("board", signs, after.as_str())));
                assert_eq!(without_pin(&text), "board", "{text}");
                // What stands behind `host##` is the meeting.
                if let Some(read) = DialString::read(&text).filter(|_| signs != "##") {
                    assert!(!format!("{read:?}").contains("1234"), "a PIN is shown: {read:?}");
                }
            }
        }
        assert_eq!(without_pin("зал**1234"), "зал");
        assert_eq!(without_pin("**1234"), "");
        for whole in ["", "board", "*1", "#1", "$", "a*#b", "*%23", "%2", "%2a", "100%зал", "a*b*c"]
        {
            assert_eq!(without_pin(whole), whole);
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        let long = "x".repeat(DialString::MAX_BYTES + 1);
        for text in [
            "",
            " ",
            "a b@c",
            "a@b\r\nX: y",
            "<sip:a@b>",
            "\"a\"@b",
            "a@",
            "sip:",
            "tel:",
            "tel:abc",
        ] {
            assert_eq!(DialString::read(text), None, "{text:?}");
        }
        for text in ["##7700", "10.0.0.7##", "a@b##1", r"\c\", long.as_str()] {
            assert_eq!(DialString::read(text), None, "{text:?}");
        }
    }
}
