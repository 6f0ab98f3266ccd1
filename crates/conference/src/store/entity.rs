//! Typed records: what an entity says of itself, and reading and writing it.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use types::{RecordId, Timestamp};
use uuid::{ContextV7, Uuid};

use super::{Act, Change, Draft, Kind, List, Record, Store, StoreError};

/// By what a record is found beside its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name, such as `name` or `owner`.
    pub name: &'static str,
    /// Its value, in the form in which it is looked for.
    pub value: String,
    /// Whether no other record of the kind may have the same.
    pub unique: bool,
}

impl Key {
    /// A key that one record alone may have.
    pub fn unique(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into(), unique: true }
    }

    /// A key that many records may have.
    pub fn shared(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into(), unique: false }
    }
}

/// What is kept as a record. A field that a later version adds has a default, so that older records
/// are read.
pub trait Entity: Serialize + DeserializeOwned + Send + Sync {
    /// What it is.
    const KIND: Kind;

    /// By what it is found.
    fn keys(&self) -> Vec<Key> {
        Vec::new()
    }

    /// What a search looks through.
    fn search_text(&self) -> String {
        String::new()
    }

    /// When it may be thrown away.
    fn expires_at(&self) -> Option<Timestamp> {
        None
    }

    /// How people call it, for the audit log.
    fn title(&self) -> String;
}

/// An entity with what the store knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// Its id.
    pub id: RecordId,
    /// One more with every change.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// The entity.
    pub entity: T,
}

/// Which entities are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Only those with this key of this value.
    pub by: Option<(&'static str, String)>,
    /// Only those that contain this text.
    pub text: Option<String>,
    /// Only those after this id.
    pub after: Option<RecordId>,
    /// As many at most; 0: [`Search::DEFAULT_LIMIT`].
    pub limit: u32,
}

impl Search {
    /// Where nothing is said.
    pub const DEFAULT_LIMIT: u32 = 50;
    /// The most of one page.
    pub const MAX_LIMIT: u32 = 500;

    /// Those with this key of this value.
    pub fn by(key: &'static str, value: impl Into<String>) -> Self {
        Self { by: Some((key, value.into())), ..Self::default() }
    }
}

/// Some entities, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entities.
    pub items: Vec<Found<T>>,
    /// After which id the next page begins; `None`: this was the last.
    pub next: Option<RecordId>,
}

/// Changes and acts that are written together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    changes: Vec<Change>,
    acts: Vec<Act>,
}

impl Batch {
    /// Nothing but an entry of the audit log.
    pub fn new(act: Act) -> Self {
        Self { changes: Vec::new(), acts: vec![act] }
    }

    /// Changes that nobody is told of, such as the time of a session's last request.
    pub fn silent() -> Self {
        Self::default()
    }

    /// One more act.
    #[must_use]
    pub fn act(mut self, act: Act) -> Self {
        self.acts.push(act);
        self
    }

    /// A new entity.
    #[must_use]
    pub fn insert<T: Entity>(mut self, id: &RecordId, entity: &T) -> Self {
        let (kind, id, draft) = (T::KIND, id.clone(), draft(entity));
        self.changes.push(Change::Insert { kind, id, draft });
        self
    }

    /// Another content of an entity of this version; `None`: whichever there is.
    #[must_use]
    pub fn update<T: Entity>(mut self, id: &RecordId, version: Option<u64>, entity: &T) -> Self {
        let (kind, id, draft) = (T::KIND, id.clone(), draft(entity));
        self.changes.push(Change::Update { kind, id, expected: version, draft });
        self
    }

    /// An entity of this version goes; `None`: whichever there is.
    #[must_use]
    pub fn delete<T: Entity>(mut self, id: &RecordId, version: Option<u64>) -> Self {
        let (kind, id) = (T::KIND, id.clone());
        self.changes.push(Change::Delete { kind, id, expected: version });
        self
    }
}

fn draft<T: Entity>(entity: &T) -> Draft {
    Draft {
        // Entities are structs of plain fields, whose writing cannot fail.
        body: serde_json::to_string(entity).unwrap_or_default(),
        keys: entity.keys(),
        search: entity.search_text().to_lowercase(),
        expires_at: entity.expires_at(),
    }
}

/// The store by types. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Records {
    store: Arc<dyn Store>,
    ids: Arc<ContextV7Lock>,
}

/// Counts within a millisecond, so that ids of one program never go back.
#[derive(Debug)]
struct ContextV7Lock(std::sync::Mutex<ContextV7>);

impl Records {
    /// Typed calls over `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let context = ContextV7Lock(std::sync::Mutex::new(ContextV7::new()));
        Self { store, ids: Arc::new(context) }
    }

    /// The store itself, for the audit log and the history.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The id of a new record: sorts after those made before.
    pub fn new_id(&self, now: Timestamp) -> RecordId {
        let millis = u64::try_from(now.0).unwrap_or(0);
        let (seconds, nanos) = (millis / 1000, (millis % 1000) as u32 * 1_000_000);
        let context = self.ids.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let time = uuid::Timestamp::from_unix(&*context, seconds, nanos);
        RecordId::new(Uuid::new_v7(time).to_string())
    }

    /// One entity.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get<T: Entity>(&self, id: &RecordId) -> Result<Option<Found<T>>, StoreError> {
        self.store.get(T::KIND, id).await?.map(found).transpose()
    }

    /// The entity with this unique key of this value.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find<T: Entity>(
        &self,
        key: &'static str,
        value: &str,
    ) -> Result<Option<Found<T>>, StoreError> {
        self.store.find(T::KIND, key, value).await?.map(found).transpose()
    }

    /// Some entities.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list<T: Entity>(&self, search: &Search) -> Result<Page<T>, StoreError> {
        let limit = match search.limit {
            0 => Search::DEFAULT_LIMIT,
            limit => limit.min(Search::MAX_LIMIT),
        };
        let list = List {
            kind: T::KIND,
            by: search.by.clone(),
            search: search.text.as_ref().map(|it| it.to_lowercase()),
            after: search.after.clone(),
            // One more tells whether there is a next page.
            limit: limit + 1,
        };
        let mut records = self.store.list(&list).await?;
        let more = records.len() > limit as usize;
        records.truncate(limit as usize);
        let next = records.last().filter(|_| more).map(|it| it.id.clone());
        let items = records.into_iter().map(found).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// Carries out a batch.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the batch was done.
    pub async fn write(&self, batch: Batch, now: Timestamp) -> Result<(), StoreError> {
        self.store.write(&batch.changes, &batch.acts, now).await
    }
}

fn found<T: Entity>(record: Record) -> Result<Found<T>, StoreError> {
    let Record { kind, id, version, created_at, changed_at, body } = record;
    match serde_json::from_str(&body) {
        Ok(entity) => Ok(Found { id, version, created_at, changed_at, entity }),
        Err(error) => Err(StoreError::Unreadable { kind, id, why: error.to_string() }),
    }
}
