//! Making, changing and removing what is kept as it is given: it is checked as a whole, what it names
//! has to be there, and every act stands in the audit log.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use types::{RecordId, Timestamp};

use crate::people::{Denied, Group, Principal, Vault, VaultError};
use crate::problem::{ProblemCode, Problems};
use crate::store::{Act, Batch, Entity, Found, Kind, List, Records, StoreError, Target};
use crate::telephony::{Action, Contact, Device, DialPlan, DialRule, Trunk};

/// What is kept as it is given.
pub trait Kept: Entity + Clone {
    /// As many at most; `None`: any number.
    const MOST: Option<usize> = None;
    /// By which key of which other records one of these is named: as long as one does, it stays.
    const NAMED_BY: Option<(Kind, &'static str)> = None;

    /// Everything that is wrong with it by itself.
    fn faults(&self) -> Problems;

    /// The records that it names, which have to be there.
    fn names(&self) -> Vec<Named> {
        Vec::new()
    }
}

/// A record that another one names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// In which field.
    pub field: String,
    /// Of which kind.
    pub kind: Kind,
    /// Which.
    pub id: RecordId,
}

impl Named {
    pub(crate) fn new(field: impl Into<String>, kind: Kind, id: &RecordId) -> Self {
        Self { field: field.into(), kind, id: id.clone() }
    }
}

/// Why something was not kept as it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// The store says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing secret can be computed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Something is wrong with it.
    #[error(transparent)]
    Invalid(#[from] Problems),
    /// Whoever asks may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Another record names it.
    #[error("a {by} names it: change or remove that first")]
    Named {
        /// Of which kind.
        by: Kind,
    },
    /// There are as many as there may be.
    #[error("there are {most} of kind {kind}, the most there may be: remove one first")]
    Full {
        /// Of which kind.
        kind: Kind,
        /// How many.
        most: usize,
    },
}

impl KeptError {
    /// There is none, or none that whoever asks may see.
    pub fn missing<T: Entity>(id: impl Into<String>) -> Self {
        StoreError::Missing { kind: T::KIND, id: RecordId::new(id) }.into()
    }
}

/// Keeps what is given. Clones are the same.
#[derive(Clone, Debug)]
pub struct Keeper {
    records: Records,
    vault: Arc<dyn Vault>,
    /// One writer at a time: what was checked still holds when it is written.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Keeper {
    /// A keeper over this store, whose secrets this vault computes.
    pub fn new(records: Records, vault: Arc<dyn Vault>) -> Self {
        Self { records, vault, writing: Arc::default() }
    }

    /// Where it is kept.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// What computes secrets.
    pub fn vault(&self) -> &Arc<dyn Vault> {
        &self.vault
    }

    /// One of them, of this version; `None`: whichever there is.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Stale`] and others.
    pub async fn get<T: Kept>(
        &self,
        id: &RecordId,
        version: Option<u64>,
    ) -> Result<Found<T>, KeptError> {
        let found = self.records.get::<T>(id).await?.ok_or_else(|| missing::<T>(id))?;
        match version {
            Some(version) if version != found.version => {
                Err(StoreError::Stale { kind: T::KIND, id: id.clone() }.into())
            }
            _ => Ok(found),
        }
    }

    /// A new one.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn create<T: Kept>(
        &self,
        who: &Principal,
        entity: T,
        now: Timestamp,
    ) -> Result<Found<T>, KeptError> {
        let _writing = self.writing.lock().await;
        self.check(&entity, None).await?;
        self.has_room::<T>().await?;
        let id = self.records.new_id(now);
        let act =
            who.act(&action::<T>("create"), Target::record(T::KIND, &id, entity.title()), now);
        self.records.write(Batch::new(act).insert(&id, &entity), now).await?;
        Ok(Found { id, version: 1, created_at: now, changed_at: now, entity })
    }

    /// Another content of one that was read.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn change<T: Kept>(
        &self,
        who: &Principal,
        before: Found<T>,
        after: T,
        now: Timestamp,
    ) -> Result<Found<T>, KeptError> {
        let _writing = self.writing.lock().await;
        self.check(&after, Some(&before.entity)).await?;
        let target = Target::record(T::KIND, &before.id, after.title());
        let detail = serde_json::json!({ "changed": differing(&before.entity, &after) });
        let act = who.act(&action::<T>("change"), target, now);
        let act = Act { detail: detail.to_string(), ..act };
        let batch = Batch::new(act).update(&before.id, Some(before.version), &after);
        self.records.write(batch, now).await?;
        Ok(Found { version: before.version + 1, changed_at: now, entity: after, ..before })
    }

    /// One that was read goes.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn remove<T: Kept>(
        &self,
        who: &Principal,
        found: &Found<T>,
        now: Timestamp,
    ) -> Result<(), KeptError> {
        let _writing = self.writing.lock().await;
        if let Some((by, key)) = T::NAMED_BY {
            let by_it = Some((key, found.id.to_string()));
            let list = List { kind: by, by: by_it, search: None, after: None, limit: 1 };
            if !self.records.store().list(&list).await?.is_empty() {
                return Err(KeptError::Named { by });
            }
        }
        let target = Target::record(T::KIND, &found.id, found.entity.title());
        let act = who.act(&action::<T>("remove"), target, now);
        let batch = Batch::new(act).delete::<T>(&found.id, Some(found.version));
        Ok(self.records.write(batch, now).await?)
    }

    /// What stood there before may stay, even where what it names is gone.
    async fn check<T: Kept>(&self, entity: &T, before: Option<&T>) -> Result<(), KeptError> {
        let mut problems = entity.faults();
        let before = before.map(Kept::names).unwrap_or_default();
        let known: HashSet<(Kind, RecordId)> =
            before.into_iter().map(|it| (it.kind, it.id)).collect();
        for Named { field, kind, id } in entity.names() {
            if known.contains(&(kind, id.clone())) || id.as_str().is_empty() {
                continue;
            }
            if self.records.store().get(kind, &id).await?.is_none() {
                let text = format!("give the id of a {kind}: there is none of this one");
                problems.add(field, ProblemCode::Unknown, text);
            }
        }
        Ok(problems.into_result()?)
    }

    async fn has_room<T: Kept>(&self) -> Result<(), KeptError> {
        let Some(most) = T::MOST else { return Ok(()) };
        let limit = u32::try_from(most).unwrap_or(u32::MAX);
        let list = List { kind: T::KIND, by: None, search: None, after: None, limit };
        if self.records.store().list(&list).await?.len() >= most {
            return Err(KeptError::Full { kind: T::KIND, most });
        }
        Ok(())
    }
}

fn missing<T: Entity>(id: &RecordId) -> StoreError {
    StoreError::Missing { kind: T::KIND, id: id.clone() }
}

/// The word of an act in the audit log.
fn action<T: Entity>(verb: &str) -> String {
    format!("{}.{verb}", T::KIND.word())
}

/// The names of the fields that differ. What they hold may be secret.
fn differing<T: Serialize>(before: &T, after: &T) -> Vec<String> {
    let fields = |it: &T| match serde_json::to_value(it) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (fields(before), fields(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|it| before.get(*it) != after.get(*it)).cloned().collect()
}

impl Kept for Group {
    fn faults(&self) -> Problems {
        self.problems()
    }

    fn names(&self) -> Vec<Named> {
        let members = self.members.iter().enumerate();
        members.map(|(at, id)| Named::new(format!("members[{at}]"), Kind::Account, id)).collect()
    }
}

impl Kept for Device {
    fn faults(&self) -> Problems {
        self.problems()
    }
}

impl Kept for Trunk {
    const NAMED_BY: Option<(Kind, &'static str)> = Some((Kind::DialRule, DialRule::TRUNK));

    fn faults(&self) -> Problems {
        self.problems()
    }
}

impl Kept for DialRule {
    const MOST: Option<usize> = Some(DialPlan::MAX_RULES);

    fn faults(&self) -> Problems {
        self.problems()
    }

    fn names(&self) -> Vec<Named> {
        let from = self.matches.trunk.iter().map(|it| ("match.trunk", it));
        let to = match &self.action {
            Action::Trunk { trunk, .. } => Some(("action.trunk", trunk)),
            _ => None,
        };
        from.chain(to).map(|(field, id)| Named::new(field, Kind::Trunk, id)).collect()
    }
}

impl Kept for Contact {
    fn faults(&self) -> Problems {
        self.problems()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::testing::{FastVault, administrator};
    use crate::problem::testing::brief;
    use crate::store::AuditQuery;
    use crate::store::memory::Memory;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn keeper() -> Keeper {
        Keeper::new(Records::new(Arc::new(Memory::default())), Arc::new(FastVault))
    }

    fn read<T: Entity>(text: &str) -> T {
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn what_is_kept_is_right_names_what_there_is_and_stands_in_the_log() {
        let (keeper, who) = (keeper(), administrator());
        let trunk: Trunk = read(r#"{"name":"PBX","kind":"none","host":"pbx"}"#);
        let trunk = keeper.create(&who, trunk, NOW).await.unwrap();
        let rule = |trunk: &str| -> DialRule {
            let action = format!(r#"{{"to":"trunk","trunk":"{trunk}","called":"$0"}}"#);
            read(&format!(r#"{{"order":1,"name":"out","direction":"out","action":{action}}}"#))
        };
        let wrong = keeper.create(&who, rule("nowhere"), NOW).await.unwrap_err();
        let KeptError::Invalid(problems) = wrong else { panic!("{wrong}") };
        assert_eq!(brief(&problems), ["action.trunk unknown"]);
        let rule = keeper.create(&who, rule(trunk.id.as_str()), NOW).await.unwrap();
        let held = keeper.remove(&who, &trunk, NOW).await.unwrap_err();
        assert_eq!(held, KeptError::Named { by: Kind::DialRule });

        let after = DialRule { notes: "for all".into(), order: 2, ..rule.entity.clone() };
        let changed = keeper.change(&who, rule.clone(), after, NOW).await.unwrap();
        assert_eq!(changed.version, 2);
        let late = keeper.get::<DialRule>(&rule.id, Some(1)).await.unwrap_err();
        assert!(matches!(late, KeptError::Store(StoreError::Stale { .. })), "{late}");
        keeper.remove(&who, &changed, NOW).await.unwrap();
        keeper.remove(&who, &trunk, NOW).await.unwrap();

        let log = keeper.records().store().audit(&AuditQuery::default()).await.unwrap();
        let acts: Vec<_> =
            log.iter().map(|it| (it.act.action.as_str(), it.act.detail.as_str())).collect();
        assert_eq!(
            acts,
            [
                ("trunk.create", ""),
                ("dial_rule.create", ""),
                ("dial_rule.change", r#"{"changed":["notes","order"]}"#),
                ("dial_rule.remove", ""),
                ("trunk.remove", ""),
            ]
        );
    }

    #[tokio::test]
    async fn what_is_named_may_go_before_who_names_it() {
        let (keeper, who) = (keeper(), administrator());
        let group: Group = read(r#"{"name":"it","members":["gone"]}"#);
        let found = Found {
            id: RecordId::new("g"),
            version: 1,
            created_at: NOW,
            changed_at: NOW,
            entity: group,
        };
        let act = who.act("x", Target::default(), NOW);
        let batch = Batch::new(act).insert(&found.id, &found.entity);
        keeper.records().write(batch, NOW).await.unwrap();
        let after = Group { name: "IT".into(), ..found.entity.clone() };
        let changed = keeper.change(&who, found, after, NOW).await.unwrap();
        let after = Group {
            members: ["gone", "too"].map(RecordId::new).to_vec(),
            ..changed.entity.clone()
        };
        let wrong = keeper.change(&who, changed, after, NOW).await.unwrap_err();
        let KeptError::Invalid(problems) = wrong else { panic!("{wrong}") };
        assert_eq!(brief(&problems), ["members[1] unknown"]);
    }
}
