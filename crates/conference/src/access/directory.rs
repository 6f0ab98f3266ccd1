//! Which meetings there are, who is let in, and as what.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;
use types::{LegLayout, MeetingId};

/// What a participant may do in a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// May take part.
    Guest,
    /// May also mute, remove and admit others.
    Host,
}

/// A meeting's PIN: 4 to 10 digits. `Debug` never shows it.
#[derive(Clone)]
pub struct Pin {
    /// Padded with [`Pin::PAD`], so that a comparison tells nothing of the length either.
    digits: [u8; Pin::MAX_DIGITS],
}

/// A text is no PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a PIN has 4 to 10 digits")]
pub struct PinError;

impl Pin {
    /// The fewest digits of a PIN.
    pub const MIN_DIGITS: usize = 4;
    /// The most digits of a PIN.
    pub const MAX_DIGITS: usize = 10;
    const PAD: u8 = 0;

    fn same(&self, other: &Self) -> Choice {
        self.digits.ct_eq(&other.digits)
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (Self::MIN_DIGITS..=Self::MAX_DIGITS).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PinError);
        }
        let mut digits = [Self::PAD; Self::MAX_DIGITS];
        for (slot, byte) in digits.iter_mut().zip(text.bytes()) {
            *slot = byte;
        }
        Ok(Self { digits })
    }
}

impl PartialEq for Pin {
    fn eq(&self, other: &Self) -> bool {
        self.same(other).into()
    }
}

impl Eq for Pin {}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(****)")
    }
}

/// A meeting as it was set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingSettings {
    /// What people dial and type.
    pub id: MeetingId,
    /// What people read.
    pub name: String,
    /// Asked of guests; `None` lets everybody in as a guest.
    pub guest_pin: Option<Pin>,
    /// Makes whoever knows it a host; `None`: nobody becomes host by PIN.
    pub host_pin: Option<Pin>,
    /// Whether room systems may dial in.
    pub room_systems: bool,
    /// How others are arranged in room systems' pictures; `None`: as everywhere else.
    pub layout: Option<LegLayout>,
    /// Participants at a time, of every kind.
    pub max_participants: u32,
    /// Whether whoever is no host waits until a host lets them in.
    pub lobby: bool,
    /// Whether microphones of those who come in are muted.
    pub mute_on_entry: bool,
    /// What guests are in the meeting; hosts are hosts.
    pub guests: room::Role,
    /// Whether attendees but listen.
    pub attendees_listen: bool,
}

impl MeetingSettings {
    /// Participants of a meeting for which nothing else was said.
    pub const DEFAULT_MAX_PARTICIPANTS: u32 = 200;

    /// A meeting without PIN that lets room systems in, named by its id.
    pub fn open(id: MeetingId) -> Self {
        Self {
            name: id.as_str().to_owned(),
            id,
            guest_pin: None,
            host_pin: None,
            room_systems: true,
            layout: None,
            max_participants: Self::DEFAULT_MAX_PARTICIPANTS,
            lobby: false,
            mute_on_entry: false,
            guests: room::Role::Presenter,
            attendees_listen: false,
        }
    }
}

/// Somebody is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The meeting.
    pub settings: MeetingSettings,
    /// As what.
    pub role: Role,
}

/// Somebody is not let in. An unknown source must not learn which of these it was: adapters answer
/// a room system alike for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AdmissionError {
    /// No such meeting.
    #[error("there is no such meeting")]
    NotFound,
    /// The meeting wants a PIN, none was given.
    #[error("this meeting asks for a PIN")]
    PinRequired,
    /// The PIN given is none of the meeting's.
    #[error("this is not the PIN of the meeting")]
    PinWrong,
}

/// A meeting cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CreateError {
    /// There is one of this id.
    #[error("there is already a meeting {0}")]
    Exists(MeetingId),
    /// Created meetings are bounded in number.
    #[error("there are already {0} created meetings, the most there may be")]
    Full(usize),
}

/// The meetings: those of the configuration, those that a key created, and, where the directory is
/// open, any name.
#[derive(Debug)]
pub struct Directory {
    configured: HashMap<MeetingId, MeetingSettings>,
    created: RwLock<HashMap<MeetingId, MeetingSettings>>,
    open: bool,
}

impl Directory {
    /// Meetings that keys may create, at a time.
    pub const MAX_CREATED: usize = 10_000;

    /// A directory of `meetings`; of two with one id the first stands. With `open`, any name is a
    /// meeting.
    pub fn new(meetings: impl IntoIterator<Item = MeetingSettings>, open: bool) -> Self {
        let mut configured = HashMap::new();
        for meeting in meetings {
            configured.entry(meeting.id.clone()).or_insert(meeting);
        }
        Self { configured, created: RwLock::default(), open }
    }

    /// The meeting `id`.
    pub fn find(&self, id: &MeetingId) -> Option<MeetingSettings> {
        if let Some(settings) = self.configured.get(id) {
            return Some(settings.clone());
        }
        let created = self.created.read().unwrap_or_else(PoisonError::into_inner);
        match created.get(id) {
            Some(settings) => Some(settings.clone()),
            None => self.open.then(|| MeetingSettings::open(id.clone())),
        }
    }

    /// Adds a meeting for a key that may create rooms.
    pub fn create(&self, settings: MeetingSettings) -> Result<(), CreateError> {
        let mut created = self.created.write().unwrap_or_else(PoisonError::into_inner);
        if self.configured.contains_key(&settings.id) || created.contains_key(&settings.id) {
            return Err(CreateError::Exists(settings.id));
        }
        if created.len() >= Self::MAX_CREATED {
            return Err(CreateError::Full(Self::MAX_CREATED));
        }
        created.insert(settings.id.clone(), settings);
        Ok(())
    }

    /// Takes a created meeting away and says whether there was one; configured ones stay.
    pub fn remove(&self, id: &MeetingId) -> bool {
        self.created.write().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    /// Forgets the created meetings that are not needed any more.
    pub fn forget(&self, is_needed: impl Fn(&MeetingId) -> bool) {
        let mut created = self.created.write().unwrap_or_else(PoisonError::into_inner);
        created.retain(|id, _| is_needed(id));
    }

    /// Lets somebody with `pin` into the meeting `id`, or not. An empty PIN counts as none; a PIN
    /// that nobody asked for is passed over.
    pub fn admit(&self, id: &MeetingId, pin: Option<&str>) -> Result<Admission, AdmissionError> {
        let settings = self.find(id).ok_or(AdmissionError::NotFound)?;
        let role = settings.role_for(pin.map(str::trim).filter(|pin| !pin.is_empty()))?;
        Ok(Admission { settings, role })
    }
}

impl Admission {
    /// What it is in the meeting.
    pub fn place(&self) -> room::Role {
        match self.role {
            Role::Host => room::Role::Host,
            Role::Guest => self.settings.guests,
        }
    }
}

impl MeetingSettings {
    fn role_for(&self, given: Option<&str>) -> Result<Role, AdmissionError> {
        let asks_nothing = self.guest_pin.is_none() && self.host_pin.is_none();
        let Some(given) = given.filter(|_| !asks_nothing) else {
            return match self.guest_pin {
                Some(_) => Err(AdmissionError::PinRequired),
                None => Ok(Role::Guest),
            };
        };
        let given: Pin = given.parse().map_err(|PinError| AdmissionError::PinWrong)?;
        // Both are compared whatever the first says: the time taken must not tell them apart.
        let matches = |pin: &Option<Pin>| match pin {
            Some(pin) => pin.same(&given),
            None => Choice::from(0),
        };
        let (host, guest) = (matches(&self.host_pin), matches(&self.guest_pin));
        if host.into() {
            Ok(Role::Host)
        } else if guest.into() {
            Ok(Role::Guest)
        } else {
            Err(AdmissionError::PinWrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MeetingId {
        MeetingId::parse(text).unwrap()
    }

    fn board() -> MeetingSettings {
        MeetingSettings {
            guest_pin: Some("1234".parse().unwrap()),
            host_pin: Some("987654".parse().unwrap()),
            ..MeetingSettings::open(id("board"))
        }
    }

    #[test]
    fn the_pin_decides_who_is_host_and_who_stays_outside() {
        let directory = Directory::new([board()], false);
        let admit = |pin| directory.admit(&id("Board"), pin).map(|admission| admission.role);
        assert_eq!(admit(None), Err(AdmissionError::PinRequired));
        assert_eq!(admit(Some("")), Err(AdmissionError::PinRequired));
        assert_eq!(admit(Some("1234")), Ok(Role::Guest));
        assert_eq!(admit(Some(" 987654 ")), Ok(Role::Host));
        for wrong in ["1235", "12345", "123", "98765", "12340", "1234\0", "twelve"] {
            assert_eq!(admit(Some(wrong)), Err(AdmissionError::PinWrong), "{wrong:?}");
        }
        assert_eq!(directory.admit(&id("other"), None), Err(AdmissionError::NotFound));
    }

    #[test]
    fn a_meeting_with_a_host_pin_alone_takes_guests_without_one() {
        let meeting = MeetingSettings { guest_pin: None, ..board() };
        let directory = Directory::new([meeting], false);
        assert_eq!(directory.admit(&id("board"), None).unwrap().role, Role::Guest);
        assert_eq!(directory.admit(&id("board"), Some("987654")).unwrap().role, Role::Host);
        assert_eq!(directory.admit(&id("board"), Some("1111")), Err(AdmissionError::PinWrong));
    }

    #[test]
    fn an_open_directory_takes_any_name_but_keeps_the_pins_of_those_it_knows() {
        let directory = Directory::new([board()], true);
        let lunch = directory.admit(&id("Lunch"), Some("0000")).unwrap();
        assert_eq!((lunch.role, lunch.settings.room_systems), (Role::Guest, true));
        assert_eq!(directory.admit(&id("board"), None), Err(AdmissionError::PinRequired));
    }

    #[test]
    fn keys_create_meetings_up_to_a_bound_and_never_over_a_configured_one() {
        let directory = Directory::new([board()], false);
        let board_again = MeetingSettings::open(id("board"));
        assert_eq!(directory.create(board_again), Err(CreateError::Exists(id("board"))));
        for number in 0..Directory::MAX_CREATED {
            directory.create(MeetingSettings::open(id(&format!("m{number}")))).unwrap();
        }
        let one_more = MeetingSettings::open(id("more"));
        assert_eq!(directory.create(one_more.clone()), Err(CreateError::Full(10_000)));
        assert!(directory.remove(&id("m7")));
        assert!(!directory.remove(&id("board")));
        assert_eq!(directory.find(&id("m7")), None);
        directory.create(one_more).unwrap();
        directory.forget(|it| *it == id("m8"));
        let left = ["m8", "m9", "more", "board"].map(|it| directory.find(&id(it)).is_some());
        assert_eq!(left, [true, false, false, true], "configured ones stay");
    }

    #[test]
    fn a_pin_never_shows_in_a_log() {
        let shown = format!("{:?}", board());
        assert!(!shown.contains("1234") && !shown.contains("9876"), "{shown}");
        assert!("123".parse::<Pin>().is_err() && "12345678901".parse::<Pin>().is_err());
    }
}
