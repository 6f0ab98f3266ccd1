//! Codes that are dialled on a remote control in a meeting: which there are, and how they are read from
//! its keys. Sans-IO.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use conference::access::{Buckets, Rate};

/// Keys of a code at least, so that none is pressed by accident, and at most.
const KEYS: (usize, usize) = (2, 6);
/// After a pause of this length between two keys the second begins a code.
const PAUSE: Duration = Duration::from_secs(3);
/// Codes of one room system: more at once than anybody dials, then two a second.
const CODES: Rate = Rate { burst: 16, interval: Duration::from_millis(500) };

/// What is done by a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Mutes the room system's own microphone, or lifts that.
    Mute,
    /// Mutes everybody but hosts. For hosts.
    MuteGuests,
    /// Raises or lowers a hand.
    Hand,
    /// Locks the meeting, or opens it. For hosts.
    Lock,
    /// Arranges others in the room system's picture in the next way.
    Layout,
    /// Shows shared screens in the room system's picture, or does no more.
    Content,
    /// Ends the meeting for all. For hosts.
    End,
}

/// The keys of one code, such as `*6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// There is none: that control cannot be had.
    Off,
    /// 2 to 6 keys, of which the first is `*` or `#`.
    Keys(String),
}

impl FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let begins = text.starts_with(['*', '#']);
        let is_key = |it: char| it.is_ascii_digit() || begins_code(it);
        match text {
            "off" => Ok(Self::Off),
            keys if begins
                && (KEYS.0..=KEYS.1).contains(&keys.len())
                && keys.chars().all(is_key) =>
            {
                Ok(Self::Keys(keys.to_owned()))
            }
            _ => Err(()),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Keys(keys) => f.write_str(keys),
        }
    }
}

/// Whether a code may begin with this key.
const fn begins_code(key: char) -> bool {
    matches!(key, '*' | '#')
}

/// Two codes cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{longer:?} begins with {shorter:?}, which is a code as well: change one of them")]
pub struct CodesError {
    shorter: String,
    longer: String,
}

/// Which codes there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codes(Vec<(String, Control)>);

impl Codes {
    /// Takes the code of each control.
    ///
    /// # Errors
    /// One of them begins with another, or is the same.
    pub fn new(codes: impl IntoIterator<Item = (Control, Code)>) -> Result<Self, CodesError> {
        let mut taken: Vec<(String, Control)> = Vec::new();
        for (control, code) in codes {
            let Code::Keys(keys) = code else { continue };
            for (other, _) in &taken {
                let (shorter, longer) =
                    if other.len() <= keys.len() { (other, &keys) } else { (&keys, other) };
                if longer.starts_with(shorter.as_str()) {
                    let (shorter, longer) = (shorter.clone(), longer.clone());
                    return Err(CodesError { shorter, longer });
                }
            }
            taken.push((keys, control));
        }
        Ok(Self(taken))
    }

    fn find(&self, keys: &str) -> Option<Control> {
        self.0.iter().find(|(code, _)| code == keys).map(|(_, control)| *control)
    }

    fn begin_with(&self, keys: &str) -> bool {
        self.0.iter().any(|(code, _)| code.starts_with(keys))
    }
}

/// What a key came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// More keys make a code of it; or it came too fast, or belongs to what was no code.
    Nothing,
    /// A code.
    Control(Control),
    /// These keys are no code.
    Unknown(String),
}

/// The keys of one remote control.
pub(super) struct KeyReader {
    /// What may still become a code.
    keys: String,
    last_key: Option<Instant>,
    /// What was pressed is no code: the keys behind it belong to it.
    lost: bool,
    rate: Buckets<()>,
}

impl KeyReader {
    pub(super) fn new() -> Self {
        Self { keys: String::new(), last_key: None, lost: false, rate: Buckets::new(CODES, 1) }
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: char, codes: &Codes, now: Instant) -> Heard {
        let paused = self.last_key.is_none_or(|at| now.saturating_duration_since(at) >= PAUSE);
        self.last_key = Some(now);
        if paused || (self.lost && begins_code(key)) {
            self.keys.clear();
            self.lost = false;
        }
        if self.lost {
            return Heard::Nothing;
        }
        self.keys.push(key);
        let heard = match codes.find(&self.keys) {
            Some(control) => Heard::Control(control),
            None if codes.begin_with(&self.keys) => return Heard::Nothing,
            None => Heard::Unknown(self.keys.clone()),
        };
        self.keys.clear();
        if let Heard::Unknown(_) = heard {
            // Its last key may be the first of what was meant.
            let begun = Some(key.to_string()).filter(|it| begins_code(key) && codes.begin_with(it));
            self.lost = begun.is_none();
            self.keys = begun.unwrap_or_default();
        }
        if self.rate.take(&(), now).is_ok() { heard } else { Heard::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::Heard::{Control as Did, Nothing, Unknown};
    use super::*;

    fn codes() -> Codes {
        let code = |control, keys: &str| (control, keys.parse().unwrap());
        let codes =
            [code(Control::Mute, "*6"), code(Control::End, "##"), code(Control::Hand, "off")];
        Codes::new(codes).unwrap()
    }

    /// What these keys come to, pressed with so much time between them.
    fn press(reader: &mut KeyReader, keys: &str, apart: Duration, now: &mut Instant) -> Vec<Heard> {
        let press = |key| {
            *now += apart;
            reader.key(key, &codes(), *now)
        };
        keys.chars().map(press).filter(|it| *it != Nothing).collect()
    }

    fn pressed(keys: &str) -> Vec<Heard> {
        let apart = Duration::from_millis(900);
        press(&mut KeyReader::new(), keys, apart, &mut Instant::now())
    }

    #[test]
    fn codes_are_found_and_what_is_none_is_told_once() {
        assert_eq!(pressed("*6"), [Did(Control::Mute)]);
        assert_eq!(pressed("*6##"), [Did(Control::Mute), Did(Control::End)]);
        assert_eq!(pressed("*9"), [Unknown("*9".into())]);
        assert_eq!(pressed("1234"), [Unknown("1".into())], "the rest belongs to it");
        assert_eq!(pressed("1234*6"), [Unknown("1".into()), Did(Control::Mute)]);
        assert_eq!(pressed("**6"), [Unknown("**".into()), Did(Control::Mute)]);
        assert_eq!(pressed("*#"), [Unknown("*#".into())]);
        assert_eq!(pressed("*#6"), [Unknown("*#".into()), Unknown("#6".into())]);
        assert_eq!(pressed("A6"), [Unknown("A".into())]);
        assert_eq!(pressed("*"), []);
    }

    #[test]
    fn a_pause_ends_what_was_begun() {
        let (mut reader, mut now) = (KeyReader::new(), Instant::now());
        assert_eq!(press(&mut reader, "#", Duration::ZERO, &mut now), []);
        assert_eq!(press(&mut reader, "#", PAUSE, &mut now), [], "not the end of the meeting");
        let soon = Duration::from_millis(10);
        assert_eq!(press(&mut reader, "#", soon, &mut now), [Did(Control::End)]);
        assert_eq!(press(&mut reader, "77", soon, &mut now), [Unknown("7".into())]);
        assert_eq!(press(&mut reader, "7", PAUSE, &mut now), [Unknown("7".into())]);
    }

    #[test]
    fn however_fast_keys_come_there_are_few_codes() {
        let (mut reader, mut now) = (KeyReader::new(), Instant::now());
        let many = "*6".repeat(500);
        let done = press(&mut reader, &many, Duration::from_millis(1), &mut now).len();
        assert!((16..=19).contains(&done), "{done}");
        let more = press(&mut reader, "*6", Duration::from_secs(2), &mut now);
        assert_eq!(more, [Did(Control::Mute)]);
    }

    #[test]
    fn codes_that_cannot_be_told_apart_are_refused() {
        for wrong in ["", "*", "6*", "66", "*a", "*1234567", "Off", "* 6"] {
            assert_eq!(wrong.parse::<Code>(), Err(()), "{wrong:?}");
        }
        let new = |mute: &str, end: &str| {
            let codes =
                [(Control::Mute, mute.parse().unwrap()), (Control::End, end.parse().unwrap())];
            Codes::new(codes).map_err(|error| error.to_string())
        };
        let clash = "\"*67\" begins with \"*6\", which is a code as well: change one of them";
        assert_eq!(new("*6", "*67"), Err(clash.to_owned()));
        assert_eq!(new("*67", "*6"), Err(clash.to_owned()));
        assert!(new("*6", "*6").is_err());
        assert!(new("off", "off").is_ok_and(|it| it == Codes::default()));
    }
}
