//! Making, changing and removing meetings. Whoever comes in finds them in the directory of
//! [`crate::access`], which is told of every write before the write is answered.

use std::sync::Arc;

use rand::Rng;
use types::{MeetingId, RecordId, Timestamp};

use super::meeting::{Identification, Invitee, Meeting, MeetingKind};
use super::number::MeetingNumber;
use super::pin::PinHash;
use super::schedule::Schedule;
use super::settings::Settings;
use super::template::Template;
use crate::access::{Directory, Pin};
use crate::kept::{Keeper, Kept, KeptError, Named};
use crate::people::{Account, Principal, Right};
use crate::problem::{ProblemCode, Problems};
use crate::store::{Found, Kind, Page, Search, StoreError};

/// Numbers and aliases that are tried for one meeting: with 100,000 meetings the chance that none of
/// them is free is beyond measure.
const TRIES: usize = 20;

/// What is asked of a PIN.
// No Debug: it may hold one.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum PinChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is asked for no more.
    Remove,
    /// It is this one from now on, 4 to 10 digits.
    Set(String),
}

/// A meeting as it is asked for.
// No Debug: it may hold PINs.
#[derive(Clone, Default)]
pub struct Wanted {
    /// As people know it.
    pub name: String,
    /// The end of its link; `None`: a new meeting gets one that nobody guesses, another keeps its own.
    pub alias: Option<MeetingId>,
    /// What it is about.
    pub description: String,
    /// The account that it belongs to; `None`: whoever asks, or whose it is.
    pub owner: Option<RecordId>,
    /// When it takes place; `None`: always.
    pub schedule: Option<Schedule>,
    /// Asked of guests.
    pub guest_pin: PinChange,
    /// Makes whoever knows it a host.
    pub host_pin: PinChange,
    /// Who is invited.
    pub invited: Vec<Invitee>,
    /// How it behaves.
    pub settings: Settings,
    /// The template that it is made from.
    pub template: Option<RecordId>,
}

/// The meetings that are booked. Clones are the same.
#[derive(Clone, Debug)]
pub struct Bookings {
    keeper: Keeper,
    directory: Arc<Directory>,
    /// Held over a write and the news of it, so that the directory hears of writes in their order.
    telling: Arc<tokio::sync::Mutex<()>>,
}

impl Bookings {
    /// The meetings of this keeper, all of which the directory is told of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(keeper: Keeper, directory: Arc<Directory>) -> Result<Self, StoreError> {
        let mut search = Search { limit: Search::MAX_LIMIT, ..Search::default() };
        loop {
            let page = keeper.records().list::<Meeting>(&search).await?;
            page.items.into_iter().for_each(|found| directory.book(found));
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Ok(Self { keeper, directory, telling: Arc::default() }),
            }
        }
    }

    /// Some meetings: everybody's, or one's own, as the rights of whoever asks say.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn list(&self, who: &Principal, search: Search) -> Result<Page<Meeting>, KeptError> {
        let by = match who.has(Right::MeetingsRead) {
            true => search.by.clone(),
            false => {
                who.may(Right::MeetingsOwn)?;
                Some((Meeting::OWNER, who.account.to_string()))
            }
        };
        Ok(self.keeper.records().list(&Search { by, ..search }).await?)
    }

    /// The meeting of this id, alias or number, of this version (`None`: whichever there is). One that
    /// whoever asks may not see is not there.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn show(
        &self,
        who: &Principal,
        id: &str,
        version: Option<u64>,
    ) -> Result<Found<Meeting>, KeptError> {
        let alias = MeetingId::parse(id);
        let booked = alias.as_ref().ok().and_then(|it| self.directory.booked(it));
        let record = match (booked, alias) {
            (Some(booked), _) => booked.id.clone(),
            (None, Ok(id)) => RecordId::new(id.to_string()),
            (None, Err(_)) => return Err(KeptError::missing::<Meeting>("of this name")),
        };
        let found = self.keeper.get::<Meeting>(&record, None).await?;
        let own = found.entity.owner == who.account && who.has(Right::MeetingsOwn);
        if !own && !who.has(Right::MeetingsRead) {
            return Err(KeptError::missing::<Meeting>(record.to_string()));
        }
        // Not before: that there is another version is not for everybody.
        self.keeper.get(&record, version).await
    }

    /// Makes a meeting under a random number.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn create(
        &self,
        who: &Principal,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Found<Meeting>, KeptError> {
        let owner = wanted.owner.clone().unwrap_or_else(|| who.account.clone());
        may_write(who, &owner)?;
        let identification = Identification {
            alias: wanted.alias.clone().unwrap_or_else(made_alias),
            number: made_number(),
            name: wanted.name.clone(),
            owner,
        };
        let given = wanted.alias.is_some();
        let meeting = self.with(Meeting::new(identification), wanted).await?;
        let alias = move |tried: &MeetingId| if given { tried.clone() } else { made_alias() };
        self.insert(who, meeting, alias, now).await
    }

    /// Changes a meeting that was read.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn change(
        &self,
        who: &Principal,
        before: Found<Meeting>,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Found<Meeting>, KeptError> {
        may_write(who, &before.entity.owner)?;
        if let Some(owner) = &wanted.owner {
            may_write(who, owner)?;
        }
        let after = self.with(before.entity.clone(), wanted).await?;
        if after.alias != before.entity.alias {
            self.is_free(&after.alias)?;
        }
        self.write(who, before, after, now).await
    }

    async fn write(
        &self,
        who: &Principal,
        before: Found<Meeting>,
        after: Meeting,
        now: Timestamp,
    ) -> Result<Found<Meeting>, KeptError> {
        let _telling = self.telling.lock().await;
        let changed = self.keeper.change(who, before, after, now).await?;
        self.directory.book(changed.clone());
        Ok(changed)
    }

    /// Changes the personal room of whoever asks, that was read. How it is called and when it takes
    /// place stay, and so does whom it calls: that is for those who make meetings.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn change_personal(
        &self,
        who: &Principal,
        before: Found<Meeting>,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Found<Meeting>, KeptError> {
        who.may(Right::MeetingsPersonal)?;
        let after = self.with(before.entity.clone(), wanted).await?;
        let mut problems = Problems::new();
        let text = "a personal room keeps it";
        for (field, kept) in [
            ("alias", after.alias == before.entity.alias),
            ("owner", after.owner == before.entity.owner),
            ("schedule", after.schedule == before.entity.schedule),
            ("settings.dial_out", after.settings.dial_out == before.entity.settings.dial_out),
        ] {
            problems.ensure(kept, field, ProblemCode::Conflict, text);
        }
        problems.into_result()?;
        self.write(who, before, after, now).await
    }

    /// Removes a meeting that was read: nobody comes in any more.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn remove(
        &self,
        who: &Principal,
        found: &Found<Meeting>,
        now: Timestamp,
    ) -> Result<(), KeptError> {
        may_write(who, &found.entity.owner)?;
        self.forget(who, found, now).await
    }

    /// The personal room of whoever asks, which is made at the first time. Says whether it was.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn personal(
        &self,
        who: &Principal,
        now: Timestamp,
    ) -> Result<(Found<Meeting>, bool), KeptError> {
        who.may(Right::MeetingsOwn)?;
        if let Some(found) = self.personal_of(&who.account).await? {
            return Ok((found, false));
        }
        let account = self.keeper.records().get::<Account>(&who.account).await?;
        let account = account.ok_or_else(|| KeptError::missing::<Account>(who.account.as_str()))?;
        let identification = Identification {
            alias: alias_of(&account.entity.name),
            number: made_number(),
            name: account.entity.display_name,
            owner: who.account.clone(),
        };
        let room = Meeting { kind: MeetingKind::Personal, ..Meeting::new(identification) };
        let another = |tried: &MeetingId| alias_of(&format!("{tried}-{}", syllables(2)));
        match self.insert(who, room, another, now).await {
            // It was asked for twice at the same moment.
            Err(KeptError::Store(StoreError::Taken { key: Meeting::PERSONAL, .. })) => {
                let found = self.personal_of(&who.account).await?;
                let missing = || KeptError::missing::<Meeting>(who.account.as_str());
                Ok((found.ok_or_else(missing)?, false))
            }
            made => Ok((made?, true)),
        }
    }

    /// The personal room of an account that is gone goes too. Its other meetings stay, for those who
    /// are invited.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn remove_personal(
        &self,
        who: &Principal,
        owner: &RecordId,
        now: Timestamp,
    ) -> Result<(), KeptError> {
        match self.personal_of(owner).await? {
            Some(found) => self.forget(who, &found, now).await,
            None => Ok(()),
        }
    }

    /// The personal room of whoever asks, of this version (`None`: whichever there is).
    ///
    /// # Errors
    /// [`KeptError`]: that it was never asked for, too.
    pub async fn show_personal(
        &self,
        who: &Principal,
        version: Option<u64>,
    ) -> Result<Found<Meeting>, KeptError> {
        who.may(Right::MeetingsPersonal)?;
        let found = self.personal_of(&who.account).await?;
        let found = found.ok_or_else(|| KeptError::missing::<Meeting>("of one's own yet"))?;
        self.keeper.get(&found.id, version).await
    }

    async fn personal_of(&self, owner: &RecordId) -> Result<Option<Found<Meeting>>, StoreError> {
        self.keeper.records().find(Meeting::PERSONAL, owner.as_str()).await
    }

    async fn forget(
        &self,
        who: &Principal,
        found: &Found<Meeting>,
        now: Timestamp,
    ) -> Result<(), KeptError> {
        let _telling = self.telling.lock().await;
        self.keeper.remove(who, found, now).await?;
        self.directory.unbook(&found.id);
        Ok(())
    }

    /// Keeps a new meeting; where its number or alias is taken, under another one.
    async fn insert(
        &self,
        who: &Principal,
        mut meeting: Meeting,
        another: impl Fn(&MeetingId) -> MeetingId,
        now: Timestamp,
    ) -> Result<Found<Meeting>, KeptError> {
        let _telling = self.telling.lock().await;
        let mut tries = 0..TRIES;
        loop {
            let kept = match self.is_free(&meeting.alias) {
                Ok(()) => self.keeper.create(who, meeting.clone(), now).await,
                Err(taken) => Err(taken.into()),
            };
            let key = match kept {
                Ok(found) => {
                    self.directory.book(found.clone());
                    return Ok(found);
                }
                Err(KeptError::Store(StoreError::Taken { kind: Kind::Meeting, key })) => key,
                Err(error) => return Err(error),
            };
            let before = meeting.alias.clone();
            match key {
                Meeting::NUMBER => meeting.number = made_number(),
                Meeting::ALIAS => meeting.alias = another(&before),
                _ => {}
            }
            let same = key != Meeting::NUMBER && meeting.alias == before;
            if same || tries.next().is_none() {
                return Err(StoreError::Taken { kind: Kind::Meeting, key }.into());
            }
        }
    }

    /// Meetings of the configuration have their ids for themselves.
    fn is_free(&self, alias: &MeetingId) -> Result<(), StoreError> {
        match self.directory.is_configured(alias) {
            true => Err(StoreError::Taken { kind: Kind::Meeting, key: Meeting::ALIAS }),
            false => Ok(()),
        }
    }

    /// A meeting as it is wanted, with PINs hashed.
    async fn with(&self, before: Meeting, wanted: Wanted) -> Result<Meeting, KeptError> {
        let (guest_pin, host_pin) = self.pins(&before, &wanted).await?;
        let kind = match (before.kind, &wanted.schedule) {
            (MeetingKind::Personal, _) => MeetingKind::Personal,
            (_, Some(_)) => MeetingKind::Scheduled,
            (_, None) => MeetingKind::Permanent,
        };
        Ok(Meeting {
            alias: wanted.alias.unwrap_or(before.alias),
            number: before.number,
            name: wanted.name,
            description: wanted.description,
            owner: wanted.owner.unwrap_or(before.owner),
            kind,
            schedule: wanted.schedule,
            guest_pin,
            host_pin,
            invited: wanted.invited,
            settings: wanted.settings,
            template: wanted.template,
        })
    }

    async fn pins(
        &self,
        before: &Meeting,
        wanted: &Wanted,
    ) -> Result<(Option<PinHash>, Option<PinHash>), KeptError> {
        let Wanted { guest_pin: guest, host_pin: host, .. } = wanted;
        let mut problems = Problems::new();
        for (field, pin) in [("guest_pin", guest), ("host_pin", host)] {
            if let PinChange::Set(pin) = pin {
                let good = pin.parse::<Pin>().is_ok();
                problems.ensure(good, field, ProblemCode::Format, "give 4 to 10 digits");
            }
        }
        let vault = self.keeper.vault();
        let same = match (guest, host) {
            _ if !problems.is_empty() => false,
            (PinChange::Set(guest), PinChange::Set(host)) => guest == host,
            (PinChange::Set(pin), PinChange::Keep) => is(vault, pin, &before.host_pin).await?,
            (PinChange::Keep, PinChange::Set(pin)) => is(vault, pin, &before.guest_pin).await?,
            _ => false,
        };
        let text = "guests and hosts have different PINs: every guest would be a host";
        problems.ensure(!same, "host_pin", ProblemCode::Conflict, text);
        problems.into_result()?;
        let guest = self.pin(guest, before.guest_pin.as_ref()).await?;
        Ok((guest, self.pin(host, before.host_pin.as_ref()).await?))
    }

    async fn pin(
        &self,
        change: &PinChange,
        before: Option<&PinHash>,
    ) -> Result<Option<PinHash>, KeptError> {
        Ok(match change {
            PinChange::Keep => before.cloned(),
            PinChange::Remove => None,
            PinChange::Set(pin) => Some(PinHash::new(self.keeper.vault().hash(pin).await?)),
        })
    }
}

async fn is(
    vault: &Arc<dyn crate::people::Vault>,
    pin: &str,
    hash: &Option<PinHash>,
) -> Result<bool, KeptError> {
    match hash {
        Some(hash) => Ok(vault.verify(pin, Some(hash.as_str())).await?),
        None => Ok(false),
    }
}

/// Whether somebody may make, change and remove meetings of this owner.
fn may_write(who: &Principal, owner: &RecordId) -> Result<(), KeptError> {
    let right = if *owner == who.account && !who.has(Right::MeetingsWrite) {
        Right::MeetingsOwnWrite
    } else {
        Right::MeetingsWrite
    };
    Ok(who.may(right)?)
}

fn made_number() -> MeetingNumber {
    MeetingNumber::random(&mut rand::rng(), MeetingNumber::DEFAULT_DIGITS)
}

/// Such as `bako-timu-resa`: can be said on the telephone, and is one of 75^6, so that nobody finds a
/// meeting by trying.
fn made_alias() -> MeetingId {
    alias_of(&[syllables(2), syllables(2), syllables(2)].join("-"))
}

fn syllables(count: usize) -> String {
    const CONSONANTS: &[u8] = b"bdfgklmnprstvwz";
    const VOWELS: &[u8] = b"aeiou";
    let mut rng = rand::rng();
    let mut letter = |of: &[u8]| {
        let at = rng.random_range(0..of.len());
        char::from(of.get(at).copied().unwrap_or(b'a'))
    };
    (0..count).flat_map(|_| [letter(CONSONANTS), letter(VOWELS)]).collect()
}

/// A text as an alias: what may not stand in one becomes a dot.
fn alias_of(text: &str) -> MeetingId {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '.' };
    let mut alias: String = text.chars().map(plain).take(MeetingId::MAX_CHARS - 8).collect();
    if !super::has_letter(&alias) {
        alias = format!("{alias}-{}", syllables(2));
    }
    MeetingId::parse(&alias).unwrap_or_else(|_| made_alias())
}

impl Kept for Meeting {
    fn faults(&self) -> Problems {
        self.problems()
    }

    fn names(&self) -> Vec<Named> {
        let owner = std::iter::once(("owner".to_owned(), Kind::Account, &self.owner));
        let template = self.template.iter().map(|it| ("template".to_owned(), Kind::Template, it));
        let invited = self.invited.iter().enumerate().filter_map(|(at, it)| {
            Some((format!("invited[{at}].account"), Kind::Account, it.account.as_ref()?))
        });
        let all = owner.chain(template).chain(invited);
        all.map(|(field, kind, id)| Named::new(field, kind, id)).collect()
    }
}

impl Kept for Template {
    fn faults(&self) -> Problems {
        self.problems()
    }
}

#[cfg(test)]
#[path = "bookings_tests.rs"]
mod tests;
