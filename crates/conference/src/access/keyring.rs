//! Keys of applications that are kept: made, rotated and removed while the program runs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::Rng;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use types::{RecordId, Timestamp};

use super::token::{KeyRights, Keys};
use crate::kept::KeptError;
use crate::people::{Principal, Vault};
use crate::problem::{ProblemCode, Problems};
use crate::store::{Act, Batch, Entity, Found, Key, Kind, Records, Search, StoreError, Target};

/// Letters and digits of a new id behind its prefix.
const ID_CHARS: usize = 12;
/// Letters and digits of a new secret: more bits than the hash of HS256 has.
const SECRET_CHARS: usize = 48;
/// What ids begin with, as with LiveKit's own servers.
const PREFIX: &str = "API";

/// A secret that only this server can read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// By [`Vault::seal`].
    sealed: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Until when its tokens are taken; `None`: as long as the key is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSecret(made {:?}, until {:?})", self.made_at, self.until)
    }
}

/// A key of an application that speaks LiveKit's protocol. Its id is the record's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationKey {
    /// What it is for.
    pub name: String,
    /// Whether its tokens may create rooms.
    #[serde(default)]
    pub create_rooms: bool,
    /// Whether its tokens may have room systems called.
    #[serde(default)]
    pub sip_call: bool,
    /// The newest first, with which whoever has it signs.
    secrets: Vec<SealedSecret>,
}

impl ApplicationKey {
    /// Characters of a name.
    pub const MAX_NAME: usize = 100;
    /// The most secrets whose tokens are taken at a time.
    pub const MAX_SECRETS: usize = 5;
    /// The longest time for which an old secret goes on beside a new one.
    pub const MAX_OVERLAP: Duration = Duration::from_secs(90 * 24 * 3600);

    /// The key of its name.
    pub const NAME: &'static str = "name";

    /// Its secrets whose tokens are still taken, the newest first.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &SealedSecret> {
        self.secrets.iter().filter(move |it| it.until.is_none_or(|until| now < until))
    }

    fn rights(&self) -> KeyRights {
        KeyRights { create_rooms: self.create_rooms, sip_call: self.sip_call }
    }

    fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        problems.line("name", &self.name, Self::MAX_NAME);
        problems
    }
}

impl Entity for ApplicationKey {
    const KIND: Kind = Kind::Key;

    fn keys(&self) -> Vec<Key> {
        vec![Key::unique(Self::NAME, self.name.to_lowercase())]
    }

    fn search_text(&self) -> String {
        self.name.clone()
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

/// What is changed of a key; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// Another name.
    pub name: Option<String>,
    /// Whether its tokens may create rooms.
    pub create_rooms: Option<bool>,
    /// Whether its tokens may have room systems called.
    pub sip_call: Option<bool>,
}

/// The keys that are kept. Whoever verifies tokens hears of every write before it is answered.
/// Clones are the same.
#[derive(Clone, Debug)]
pub struct Keyring {
    records: Records,
    vault: Arc<dyn Vault>,
    keys: Arc<Keys>,
    /// One writer at a time, so that `keys` hears of writes in their order.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Keyring {
    /// The keys of this store, all of which `keys` is told of. One that cannot be unsealed is told in
    /// the log and left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(
        records: Records,
        vault: Arc<dyn Vault>,
        keys: Arc<Keys>,
    ) -> Result<Self, StoreError> {
        let keyring = Self { records, vault, keys, writing: Arc::default() };
        let mut search = Search { limit: Search::MAX_LIMIT, ..Search::default() };
        loop {
            let page = keyring.records.list::<ApplicationKey>(&search).await?;
            for found in page.items {
                if let Err(error) = keyring.tell(&found.id, &found.entity) {
                    tracing::error!(key = %found.id, %error, "tokens of this key are refused");
                }
            }
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Ok(keyring),
            }
        }
    }

    /// Where they are kept.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// A key, of this version; `None`: whichever there is.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Stale`] and others.
    pub async fn get(
        &self,
        id: &RecordId,
        version: Option<u64>,
    ) -> Result<Found<ApplicationKey>, KeptError> {
        let found = self.records.get::<ApplicationKey>(id).await?;
        let found = found.ok_or_else(|| KeptError::missing::<ApplicationKey>(id.to_string()))?;
        match version {
            Some(version) if version != found.version => {
                Err(StoreError::Stale { kind: Kind::Key, id: id.clone() }.into())
            }
            _ => Ok(found),
        }
    }

    /// A new key and its secret, which nobody sees again.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn create(
        &self,
        who: &Principal,
        name: String,
        rights: KeyRights,
        now: Timestamp,
    ) -> Result<(Found<ApplicationKey>, String), KeptError> {
        let _writing = self.writing.lock().await;
        let (secret, sealed) = self.new_secret(now)?;
        let KeyRights { create_rooms, sip_call } = rights;
        let name = name.trim().to_owned();
        let key = ApplicationKey { name, create_rooms, sip_call, secrets: vec![sealed] };
        key.problems().into_result()?;
        let all = Search { limit: Search::MAX_LIMIT, ..Search::default() };
        if self.records.list::<ApplicationKey>(&all).await?.items.len() >= MOST {
            return Err(KeptError::Full { kind: Kind::Key, most: MOST });
        }
        let id = RecordId::new(format!("{PREFIX}{}", random(ID_CHARS)));
        let act = act(who, "key.create", &id, &key, now);
        self.records.write(Batch::new(act).insert(&id, &key), now).await?;
        self.tell(&id, &key)?;
        Ok((Found { id, version: 1, created_at: now, changed_at: now, entity: key }, secret))
    }

    /// Another name, other rights. Tokens that were signed before have them too.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn change(
        &self,
        who: &Principal,
        id: &RecordId,
        version: Option<u64>,
        change: KeyChange,
        now: Timestamp,
    ) -> Result<Found<ApplicationKey>, KeptError> {
        let _writing = self.writing.lock().await;
        let mut found = self.get(id, version).await?;
        let key = &mut found.entity;
        let KeyChange { name, create_rooms, sip_call } = change;
        key.name = name.map_or_else(|| key.name.clone(), |it| it.trim().to_owned());
        key.create_rooms = create_rooms.unwrap_or(key.create_rooms);
        key.sip_call = sip_call.unwrap_or(key.sip_call);
        key.problems().into_result()?;
        self.write(who, "key.change", found, now).await
    }

    /// A new secret, which nobody sees again. Tokens of the older ones are taken for `overlap` more,
    /// so that applications change over without a break.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn rotate(
        &self,
        who: &Principal,
        id: &RecordId,
        version: Option<u64>,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<(Found<ApplicationKey>, String), KeptError> {
        let _writing = self.writing.lock().await;
        let mut found = self.get(id, version).await?;
        let millis = i64::try_from(overlap.min(ApplicationKey::MAX_OVERLAP).as_millis());
        let end = Timestamp(now.0.saturating_add(millis.unwrap_or_default()));
        let (secret, sealed) = self.new_secret(now)?;
        let older = found.entity.secrets(now).cloned().map(|it| {
            let until = it.until.map_or(end, |until| until.min(end));
            SealedSecret { until: Some(until), ..it }
        });
        let still_good = older.filter(|it| it.until.is_some_and(|until| now < until));
        found.entity.secrets = [sealed].into_iter().chain(still_good).collect();
        if found.entity.secrets.len() > ApplicationKey::MAX_SECRETS {
            let mut problems = Problems::new();
            let text = "too many older secrets go on still: end them with an overlap of 0";
            problems.add("overlap_hours", ProblemCode::TooMany, text);
            return Err(problems.into());
        }
        Ok((self.write(who, "key.rotate", found, now).await?, secret))
    }

    /// Tokens of this key are refused from now on.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn remove(
        &self,
        who: &Principal,
        id: &RecordId,
        version: Option<u64>,
        now: Timestamp,
    ) -> Result<(), KeptError> {
        let _writing = self.writing.lock().await;
        let found = self.get(id, version).await?;
        let act = act(who, "key.remove", id, &found.entity, now);
        let batch = Batch::new(act).delete::<ApplicationKey>(id, Some(found.version));
        self.records.write(batch, now).await?;
        self.keys.forget(id.as_str());
        Ok(())
    }

    async fn write(
        &self,
        who: &Principal,
        action: &str,
        found: Found<ApplicationKey>,
        now: Timestamp,
    ) -> Result<Found<ApplicationKey>, KeptError> {
        let act = act(who, action, &found.id, &found.entity, now);
        let batch = Batch::new(act).update(&found.id, Some(found.version), &found.entity);
        self.records.write(batch, now).await?;
        self.tell(&found.id, &found.entity)?;
        Ok(Found { version: found.version + 1, changed_at: now, ..found })
    }

    fn new_secret(&self, now: Timestamp) -> Result<(String, SealedSecret), KeptError> {
        let secret = random(SECRET_CHARS);
        let sealed = self.vault.seal(&secret)?;
        Ok((secret, SealedSecret { sealed, made_at: now, until: None }))
    }

    fn tell(&self, id: &RecordId, key: &ApplicationKey) -> Result<(), KeptError> {
        let mut secrets = Vec::new();
        for it in &key.secrets {
            secrets.push((self.vault.open(&it.sealed)?, it.until.map(system_time)));
        }
        self.keys.keep(id.as_str(), &secrets, key.rights());
        Ok(())
    }
}

/// Keys of one house: applications, not people.
const MOST: usize = 200;

fn act(who: &Principal, action: &str, id: &RecordId, key: &ApplicationKey, now: Timestamp) -> Act {
    who.act(action, Target::record(Kind::Key, id, &key.name), now)
}

fn random(chars: usize) -> String {
    rand::rng().sample_iter(&Alphanumeric).take(chars).map(char::from).collect()
}

fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Grant, TokenError};
    use crate::people::testing::{FastVault, administrator};
    use crate::store::memory::Memory;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const RIGHTS: KeyRights = KeyRights { create_rooms: true, sip_call: false };

    fn after(hours: i64) -> Timestamp {
        Timestamp(NOW.0 + hours * 3_600_000)
    }

    async fn keyring(records: &Records) -> Keyring {
        Keyring::open(records.clone(), Arc::new(FastVault), Arc::default()).await.unwrap()
    }

    /// A token as an application signs it, that does not know this program.
    fn signed(id: &RecordId, secret: &str) -> String {
        let mut own = Keys::new();
        own.add(id.as_str(), secret, RIGHTS).unwrap();
        let grant = Grant { issuer: id.to_string(), ..Grant::default() };
        own.sign(&grant, 1000 * HOUR, system_time(NOW)).unwrap()
    }

    #[tokio::test]
    async fn a_key_is_rotated_without_a_break_and_is_there_after_a_restart() {
        let records = Records::new(Arc::new(Memory::default()));
        let (keyring, who) = (self::keyring(&records).await, administrator());
        let (key, first) = keyring.create(&who, "Portal".into(), RIGHTS, NOW).await.unwrap();
        let taken = |keyring: &Keyring, secret: &str, at| {
            keyring.keys.verify(&signed(&key.id, secret), system_time(at)).map(drop)
        };
        assert_eq!(taken(&keyring, &first, NOW), Ok(()));
        let rotated = keyring.rotate(&who, &key.id, Some(1), 24 * HOUR, after(1)).await;
        let (rotated, second) = rotated.unwrap();
        assert_eq!((rotated.version, rotated.entity.secrets(after(1)).count()), (2, 2));
        for keyring in [&keyring, &self::keyring(&records).await] {
            for (secret, at, answer) in [
                (&first, after(24), Ok(())),
                (&second, after(24), Ok(())),
                (&first, after(25), Err(TokenError::BadSignature)),
                (&second, after(26), Ok(())),
            ] {
                assert_eq!(taken(keyring, secret, at), answer, "{at:?}");
            }
        }
        let change = KeyChange { create_rooms: Some(false), ..KeyChange::default() };
        keyring.change(&who, &key.id, None, change, after(1)).await.unwrap();
        assert_eq!(keyring.keys.rights(key.id.as_str()), Some(KeyRights::default()));
        keyring.remove(&who, &key.id, None, after(2)).await.unwrap();
        assert_eq!(taken(&keyring, &second, after(2)), Err(TokenError::UnknownKey));
        assert_eq!(
            taken(&self::keyring(&records).await, &second, NOW),
            Err(TokenError::UnknownKey)
        );
    }

    #[tokio::test]
    async fn secrets_are_sealed_in_the_store_and_bounded() {
        let records = Records::new(Arc::new(Memory::default()));
        let (keyring, who) = (self::keyring(&records).await, administrator());
        let (key, mut last) = keyring.create(&who, "Portal".into(), RIGHTS, NOW).await.unwrap();
        for _ in 1..ApplicationKey::MAX_SECRETS {
            last = keyring.rotate(&who, &key.id, None, HOUR, NOW).await.unwrap().1;
        }
        let kept = records.store().get(Kind::Key, &key.id).await.unwrap().unwrap();
        assert!(!kept.body.contains(&last), "{}", kept.body);
        let full = keyring.rotate(&who, &key.id, None, HOUR, NOW).await.unwrap_err();
        assert!(matches!(full, KeptError::Invalid(_)), "{full}");
        let (alone, _) = keyring.rotate(&who, &key.id, None, Duration::ZERO, NOW).await.unwrap();
        assert_eq!(alone.entity.secrets(NOW).count(), 1);
        let twice = keyring.create(&who, "portal".into(), RIGHTS, NOW).await.unwrap_err();
        assert!(matches!(twice, KeptError::Store(StoreError::Taken { .. })), "{twice}");
        let unnamed = keyring.create(&who, " ".into(), RIGHTS, NOW).await.unwrap_err();
        assert!(matches!(unnamed, KeptError::Invalid(_)), "{unnamed}");
    }
}
