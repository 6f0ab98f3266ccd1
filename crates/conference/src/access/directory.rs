//! Which meetings there are, who is let in, and as what.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;
use types::{Bandwidth, LegLayout, MeetingId, RecordId, Timestamp};

use super::booked::{Booked, Bookings};
use crate::booking::{Joining, Meeting, MeetingRole, PinHash, WhoMayJoin};
use crate::people::{Vault, VaultError};
use crate::store::Found;

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

/// A PIN as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptPin {
    /// As the configuration has it.
    Clear(Pin),
    /// As the database has it.
    Hash(PinHash),
}

impl From<Pin> for KeptPin {
    fn from(pin: Pin) -> Self {
        Self::Clear(pin)
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
    pub guest_pin: Option<KeptPin>,
    /// Makes whoever knows it a host; `None`: nobody becomes host by PIN.
    pub host_pin: Option<KeptPin>,
    /// Whether room systems may dial in.
    pub room_systems: bool,
    /// How others are arranged in room systems' pictures; `None`: as everywhere else.
    pub layout: Option<LegLayout>,
    /// Participants at a time, of every kind.
    pub max_participants: u32,
    /// What each of them may send and is sent; `None`: as everywhere else.
    pub bandwidth: Option<Bandwidth>,
    /// Whether media are encrypted between the participants, so that the server cannot read them.
    pub e2ee: bool,
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
            bandwidth: None,
            e2ee: false,
            lobby: false,
            mute_on_entry: false,
            guests: room::Role::Presenter,
            attendees_listen: false,
        }
    }
}

/// Somebody who wants to come in.
// No Debug: it holds a PIN.
#[derive(Clone, Copy)]
pub struct Visitor<'a> {
    /// What they gave as PIN. An empty one counts as none, and one that nobody asked for is passed
    /// over.
    pub pin: Option<&'a str>,
    /// The account that they are signed in with, and its e-mail address.
    pub account: Option<(&'a RecordId, Option<&'a str>)>,
    /// When they come.
    pub now: Timestamp,
}

impl<'a> Visitor<'a> {
    /// Somebody without an account.
    pub fn guest(pin: Option<&'a str>, now: Timestamp) -> Self {
        Self { pin, account: None, now }
    }

    fn pin(&self) -> Option<&'a str> {
        self.pin.map(str::trim).filter(|pin| !pin.is_empty())
    }
}

/// Somebody is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The meeting.
    pub settings: MeetingSettings,
    /// As what.
    pub role: Role,
    /// Whether they were invited to share their screen where not everybody may.
    presents: bool,
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
    /// Whoever comes has to sign in first.
    #[error("only those who are signed in may join this meeting")]
    SignInFirst,
    /// Whoever comes is not invited.
    #[error("only those who are invited may join this meeting")]
    NotInvited,
    /// It has not begun.
    #[error("this meeting has not begun yet")]
    NotYet {
        /// When joining opens.
        opens_at: Timestamp,
        /// When it begins.
        starts_at: Timestamp,
    },
    /// It takes place no more.
    #[error("this meeting is over")]
    Over {
        /// Since when.
        ended_at: Option<Timestamp>,
    },
    /// Too many PINs are checked at once, or none can be.
    #[error("the PIN cannot be checked now: try again in a moment")]
    Busy,
}

impl From<VaultError> for AdmissionError {
    fn from(error: VaultError) -> Self {
        if error != VaultError::Busy {
            tracing::error!(%error, "a PIN cannot be checked");
        }
        Self::Busy
    }
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

/// The meetings: those of the configuration, those that were booked, those that a key created, and,
/// where the directory is open, any name.
#[derive(Debug)]
pub struct Directory {
    configured: HashMap<MeetingId, MeetingSettings>,
    booked: RwLock<Bookings>,
    created: RwLock<HashMap<MeetingId, MeetingSettings>>,
    open: bool,
    /// What checks the PINs of meetings that were booked.
    vault: Option<Arc<dyn Vault>>,
}

/// A meeting that there is.
enum Known {
    Plain(MeetingSettings),
    Booked(Arc<Booked>),
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
        let (booked, created) = (RwLock::default(), RwLock::default());
        Self { configured, booked, created, open, vault: None }
    }

    /// `vault` checks the PINs of meetings that were booked.
    #[must_use]
    pub fn with_vault(self, vault: Arc<dyn Vault>) -> Self {
        Self { vault: Some(vault), ..self }
    }

    /// The meeting `id`; of one that was booked, its alias or its number.
    pub fn find(&self, id: &MeetingId) -> Option<MeetingSettings> {
        match self.known(id)? {
            Known::Plain(settings) => Some(settings),
            Known::Booked(booked) => Some(booked.settings.clone()),
        }
    }

    fn known(&self, id: &MeetingId) -> Option<Known> {
        if let Some(settings) = self.configured.get(id) {
            return Some(Known::Plain(settings.clone()));
        }
        if let Some(booked) = self.bookings().find(id) {
            return Some(Known::Booked(booked.clone()));
        }
        let created = self.created.read().unwrap_or_else(PoisonError::into_inner);
        match created.get(id) {
            Some(settings) => Some(Known::Plain(settings.clone())),
            None => self.open.then(|| Known::Plain(MeetingSettings::open(id.clone()))),
        }
    }

    /// The one id by which a meeting runs: the alias, where `id` is the number of one that was
    /// booked.
    pub fn canonical(&self, id: &MeetingId) -> MeetingId {
        self.booked(id).map_or_else(|| id.clone(), |it| it.settings.id.clone())
    }

    /// The meeting that was booked under this alias or number.
    pub fn booked(&self, id: &MeetingId) -> Option<Arc<Booked>> {
        let configured = self.is_configured(id);
        self.bookings().find(id).filter(|_| !configured).cloned()
    }

    /// Whether the configuration has a meeting of this id, which nobody can book.
    pub fn is_configured(&self, id: &MeetingId) -> bool {
        self.configured.contains_key(id)
    }

    /// A meeting is there, or is another one, from now on.
    pub fn book(&self, found: Found<Meeting>) {
        let id = found.id.clone();
        match Booked::of(found) {
            Ok(booked) => self.bookings_mut().put(booked),
            Err(problems) => {
                tracing::error!(%id, %problems, "a meeting's schedule cannot be read: it is closed");
                self.unbook(&id);
            }
        }
    }

    /// A meeting that was booked is there no more.
    pub fn unbook(&self, id: &RecordId) {
        self.bookings_mut().take(id);
    }

    fn bookings(&self) -> RwLockReadGuard<'_, Bookings> {
        self.booked.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn bookings_mut(&self) -> RwLockWriteGuard<'_, Bookings> {
        self.booked.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a meeting for a key that may create rooms.
    pub fn create(&self, settings: MeetingSettings) -> Result<(), CreateError> {
        let is_booked = self.bookings().find(&settings.id).is_some();
        let mut created = self.created.write().unwrap_or_else(PoisonError::into_inner);
        let known = self.is_configured(&settings.id) || created.contains_key(&settings.id);
        if known || is_booked {
            return Err(CreateError::Exists(settings.id));
        }
        if created.len() >= Self::MAX_CREATED {
            return Err(CreateError::Full(Self::MAX_CREATED));
        }
        created.insert(settings.id.clone(), settings);
        Ok(())
    }

    /// Takes a created meeting away and says whether there was one; all others stay.
    pub fn remove(&self, id: &MeetingId) -> bool {
        self.created.write().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    /// Forgets the created meetings that are not needed any more.
    pub fn forget(&self, is_needed: impl Fn(&MeetingId) -> bool) {
        let mut created = self.created.write().unwrap_or_else(PoisonError::into_inner);
        created.retain(|id, _| is_needed(id));
    }

    /// Lets somebody into the meeting `id`, or not.
    ///
    /// # Errors
    /// [`AdmissionError`].
    pub async fn admit(
        &self,
        id: &MeetingId,
        visitor: Visitor<'_>,
    ) -> Result<Admission, AdmissionError> {
        match self.known(id) {
            Some(Known::Plain(settings)) => {
                let role = self.role_for(&settings, visitor.pin()).await?;
                Ok(Admission { settings, role, presents: false })
            }
            Some(Known::Booked(booked)) => self.admit_to(&booked, visitor).await,
            None => {
                // A wrong PIN takes as long, whether or not there is such a meeting.
                if let (Some(vault), Some(Ok(_))) =
                    (&self.vault, visitor.pin().map(str::parse::<Pin>))
                {
                    let pin = visitor.pin().unwrap_or_default();
                    vault.verify(pin, None).await?;
                    vault.verify(pin, None).await?;
                }
                Err(AdmissionError::NotFound)
            }
        }
    }

    async fn admit_to(
        &self,
        booked: &Booked,
        visitor: Visitor<'_>,
    ) -> Result<Admission, AdmissionError> {
        let Booked { meeting, settings, .. } = booked;
        match booked.joining(visitor.now) {
            None | Some(Joining::Open(_)) => {}
            Some(Joining::NotYet { opens_at, next }) => {
                return Err(AdmissionError::NotYet { opens_at, starts_at: next.start });
            }
            Some(Joining::Over) => {
                return Err(AdmissionError::Over { ended_at: booked.ended_at(visitor.now) });
            }
        }
        let invited = visitor.account.and_then(|(id, email)| meeting.role_of(id, email));
        let admission = |role| {
            let presents = invited == Some(MeetingRole::Presenter);
            Ok(Admission { settings: settings.clone(), role, presents })
        };
        if invited == Some(MeetingRole::Host) {
            return admission(Role::Host);
        }
        let role = self.role_for(settings, visitor.pin()).await;
        if role == Ok(Role::Host) || meeting.lets_in(visitor.account) {
            return admission(role?);
        }
        match (role, meeting.settings.who_may_join) {
            (Err(error @ (AdmissionError::PinWrong | AdmissionError::Busy)), _) => Err(error),
            (_, WhoMayJoin::Invited) if visitor.account.is_some() => {
                Err(AdmissionError::NotInvited)
            }
            _ => Err(AdmissionError::SignInFirst),
        }
    }

    async fn role_for(
        &self,
        settings: &MeetingSettings,
        given: Option<&str>,
    ) -> Result<Role, AdmissionError> {
        let MeetingSettings { guest_pin, host_pin, .. } = settings;
        let asks_nothing = guest_pin.is_none() && host_pin.is_none();
        let Some(given) = given.filter(|_| !asks_nothing) else {
            return match guest_pin {
                Some(_) => Err(AdmissionError::PinRequired),
                None => Ok(Role::Guest),
            };
        };
        let pin: Pin = given.parse().map_err(|PinError| AdmissionError::PinWrong)?;
        // Both are compared whatever the first says: the time taken must not tell them apart.
        let hashed = [guest_pin, host_pin].iter().any(|it| matches!(it, Some(KeptPin::Hash(_))));
        let host = self.fits(host_pin.as_ref(), (&pin, given), hashed).await?;
        let guest = self.fits(guest_pin.as_ref(), (&pin, given), hashed).await?;
        match (host, guest) {
            (true, _) => Ok(Role::Host),
            (false, true) => Ok(Role::Guest),
            (false, false) => Err(AdmissionError::PinWrong),
        }
    }

    /// Whether a PIN is the kept one. `hashed`: it takes as long where there is none.
    async fn fits(
        &self,
        kept: Option<&KeptPin>,
        (pin, text): (&Pin, &str),
        hashed: bool,
    ) -> Result<bool, AdmissionError> {
        let hash = match kept {
            Some(KeptPin::Clear(kept)) => return Ok(kept.same(pin).into()),
            Some(KeptPin::Hash(hash)) => Some(hash.as_str()),
            None if hashed => None,
            None => return Ok(false),
        };
        let vault = self.vault.as_ref().ok_or(AdmissionError::Busy)?;
        Ok(vault.verify(text, hash).await?)
    }
}

impl Admission {
    /// What it is in the meeting.
    pub fn place(&self) -> room::Role {
        match self.role {
            Role::Host => room::Role::Host,
            Role::Guest if self.presents => room::Role::Presenter,
            Role::Guest => self.settings.guests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MeetingId {
        MeetingId::parse(text).unwrap()
    }

    fn pin(digits: &str) -> KeptPin {
        KeptPin::Clear(digits.parse().unwrap())
    }

    async fn admitted(
        directory: &Directory,
        meeting: &str,
        pin: Option<&str>,
    ) -> Result<Admission, AdmissionError> {
        directory.admit(&id(meeting), Visitor::guest(pin, Timestamp(0))).await
    }

    fn board() -> MeetingSettings {
        MeetingSettings {
            guest_pin: Some(pin("1234")),
            host_pin: Some(pin("987654")),
            ..MeetingSettings::open(id("board"))
        }
    }

    #[tokio::test]
    async fn the_pin_decides_who_is_host_and_who_stays_outside() {
        let directory = Directory::new([board()], false);
        let admit = async |pin| admitted(&directory, "Board", pin).await.map(|it| it.role);
        assert_eq!(admit(None).await, Err(AdmissionError::PinRequired));
        assert_eq!(admit(Some("")).await, Err(AdmissionError::PinRequired));
        assert_eq!(admit(Some("1234")).await, Ok(Role::Guest));
        assert_eq!(admit(Some(" 987654 ")).await, Ok(Role::Host));
        for wrong in ["1235", "12345", "123", "98765", "12340", "1234\0", "twelve"] {
            assert_eq!(admit(Some(wrong)).await, Err(AdmissionError::PinWrong), "{wrong:?}");
        }
        assert_eq!(admitted(&directory, "other", None).await, Err(AdmissionError::NotFound));
    }

    #[tokio::test]
    async fn a_meeting_with_a_host_pin_alone_takes_guests_without_one() {
        let meeting = MeetingSettings { guest_pin: None, ..board() };
        let directory = Directory::new([meeting], false);
        let admit = async |pin| admitted(&directory, "board", pin).await.map(|it| it.role);
        assert_eq!(admit(None).await, Ok(Role::Guest));
        assert_eq!(admit(Some("987654")).await, Ok(Role::Host));
        assert_eq!(admit(Some("1111")).await, Err(AdmissionError::PinWrong));
    }

    #[tokio::test]
    async fn an_open_directory_takes_any_name_but_keeps_the_pins_of_those_it_knows() {
        let directory = Directory::new([board()], true);
        let lunch = admitted(&directory, "Lunch", Some("0000")).await.unwrap();
        assert_eq!((lunch.role, lunch.settings.room_systems), (Role::Guest, true));
        let asked = admitted(&directory, "board", None).await;
        assert_eq!(asked, Err(AdmissionError::PinRequired));
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
