//! Which meeting was dialled, and by which PIN it is entered.

use std::time::{Duration, Instant};

use types::MeetingId;

/// Wrong PINs until the call is ended.
const TRIES: u32 = 3;
/// Digits of a PIN, at least and at most; with the last nobody has to press `#`.
const PIN: (usize, usize) = (4, 10);
/// The same of what a meeting is called by on a remote control. One that was made elsewhere than here
/// may have a name of few digits, for which `#` is pressed.
const NUMBER: (usize, usize) = (6, 12);
/// Without another digit for this long, what was entered counts as whole.
const PAUSE: Duration = Duration::from_secs(5);
/// Without any digit for this long nobody is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was dialled: `meeting` or `meeting**pin`. Its `Debug` has no PIN in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Dialled {
    pub(super) meeting: MeetingId,
    pub(super) pin: Option<String>,
}

impl std::fmt::Debug for Dialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialled")
            .field("meeting", &self.meeting)
            .field("pin", &self.pin.is_some())
            .finish()
    }
}

impl Dialled {
    /// A meeting by what was called; `None` if that names none.
    pub(super) fn of(UserPart { called, pin }: UserPart) -> Option<Self> {
        Some(Self { meeting: MeetingId::parse(&called).ok()?, pin })
    }
}

/// The user part of an address: what is called, and the PIN behind `**`. Not for logs.
pub(super) struct UserPart {
    pub(super) called: String,
    pub(super) pin: Option<String>,
}

impl UserPart {
    /// Reads it; `None` if it cannot be read.
    pub(super) fn read(user: &str) -> Option<Self> {
        let user = percent_decoded(user)?;
        let (called, pin) = match user.split_once("**") {
            Some((called, pin)) => (called, Some(pin.to_owned())),
            None => (user.as_str(), None),
        };
        Some(Self { called: called.to_owned(), pin: pin.filter(|pin| !pin.is_empty()) })
    }
}

/// RFC 3261 section 19.1.2: `*` may come as `%2A`, letters of any script always do.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |it: Option<u8>| char::from(it?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

/// Takes a PIN or a meeting's number from the keys of a remote. Sans-IO.
pub(super) struct KeyEntry {
    digits: String,
    /// Digits at least, where no `#` ends them, and at most.
    least: usize,
    most: usize,
    tries: u32,
    last_key: Instant,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait for more.
    Wait,
    /// Look whether this is right.
    Try(String),
    /// Nobody enters anything.
    GiveUp,
}

impl KeyEntry {
    /// Of a PIN. `failed`: a wrong one was dialled already.
    pub(super) fn pin(failed: bool, now: Instant) -> Self {
        Self { tries: u32::from(failed), ..Self::new(PIN, now) }
    }

    /// Of a meeting's number.
    pub(super) fn number(now: Instant) -> Self {
        Self::new(NUMBER, now)
    }

    fn new((least, most): (usize, usize), now: Instant) -> Self {
        Self { digits: String::new(), least, most, tries: 0, last_key: now }
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: char, now: Instant) -> Step {
        self.last_key = now;
        match key {
            '#' => self.submit(),
            '*' => {
                self.digits.clear();
                Step::Wait
            }
            '0'..='9' => {
                self.digits.push(key);
                if self.digits.len() >= self.most { self.submit() } else { Step::Wait }
            }
            _ => Step::Wait,
        }
    }

    /// When [`Self::timeout`] is due.
    pub(super) fn deadline(&self) -> Instant {
        self.last_key + if self.digits.len() >= self.least { PAUSE } else { PATIENCE }
    }

    /// The deadline came.
    pub(super) fn timeout(&mut self, now: Instant) -> Step {
        if now < self.deadline() {
            Step::Wait
        } else if self.digits.len() >= self.least {
            self.last_key = now;
            self.submit()
        } else {
            Step::GiveUp
        }
    }

    /// It was wrong. `true`: one more try.
    pub(super) fn wrong(&mut self) -> bool {
        self.tries += 1;
        self.tries < TRIES
    }

    /// The digits so far. Not for logs.
    pub(super) fn entered(&self) -> &str {
        &self.digits
    }

    fn submit(&mut self) -> Step {
        match std::mem::take(&mut self.digits) {
            digits if digits.is_empty() => Step::Wait,
            digits => Step::Try(digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dialled_is_a_meeting_with_or_without_a_pin() {
        let dialled = |user| UserPart::read(user).and_then(Dialled::of);
        let read = |user| dialled(user).map(|it| (it.meeting.to_string(), it.pin));
        assert_eq!(read("Board"), Some(("board".into(), None)));
        assert_eq!(read("board**1234"), Some(("board".into(), Some("1234".into()))));
        assert_eq!(read("board%2A%2a1234"), Some(("board".into(), Some("1234".into()))));
        assert_eq!(read("%D1%81%D0%BE%D0%B2%D0%B5%D1%82"), Some(("совет".into(), None)));
        assert_eq!(read("board**"), Some(("board".into(), None)));
        for wrong in ["", "**1234", "a b", "%zz", "%D1", "board%", "x\u{0}"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        let shown = format!("{:?}", dialled("board**1234").unwrap());
        assert!(!shown.contains("1234"), "{shown}");
    }

    #[test]
    fn a_pin_is_entered_with_a_hash_with_a_pause_or_by_its_tenth_digit() {
        let start = Instant::now();
        let mut entry = KeyEntry::pin(false, start);
        let type_in = |entry: &mut KeyEntry, keys: &str| {
            keys.chars().map(|key| entry.key(key, start)).last().unwrap()
        };
        assert_eq!(type_in(&mut entry, "12*3456#"), Step::Try("3456".into()));
        assert_eq!(type_in(&mut entry, "#"), Step::Wait, "nothing was entered");
        assert_eq!(type_in(&mut entry, "0123456789"), Step::Try("0123456789".into()));
        type_in(&mut entry, "1234");
        assert_eq!(entry.timeout(start + Duration::from_secs(4)), Step::Wait);
        assert_eq!(entry.timeout(start + PAUSE), Step::Try("1234".into()));
        type_in(&mut entry, "12");
        assert_eq!(entry.timeout(start + PAUSE), Step::Wait, "too short to be whole");
        assert_eq!(entry.timeout(start + PATIENCE), Step::GiveUp);
    }

    #[test]
    fn a_number_is_longer_than_a_pin_and_a_short_one_ends_with_a_hash() {
        let start = Instant::now();
        let mut entry = KeyEntry::number(start);
        let mut steps: Vec<Step> = "123456789012".chars().map(|it| entry.key(it, start)).collect();
        assert_eq!(steps.pop(), Some(Step::Try("123456789012".into())));
        assert!(steps.iter().all(|it| *it == Step::Wait));
        assert_eq!((entry.key('7', start), entry.entered()), (Step::Wait, "7"));
        assert_eq!(entry.timeout(start + PAUSE), Step::Wait, "more may come");
        assert_eq!(entry.key('#', start), Step::Try("7".into()));
    }

    #[test]
    fn three_wrong_pins_end_it_and_the_dialled_one_counts() {
        let mut entry = KeyEntry::pin(false, Instant::now());
        assert_eq!([entry.wrong(), entry.wrong(), entry.wrong()], [true, true, false]);
        let mut entry = KeyEntry::pin(true, Instant::now());
        assert_eq!([entry.wrong(), entry.wrong()], [true, false]);
    }
}
