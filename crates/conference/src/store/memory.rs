//! A store that forgets, for unit tests alone.

use std::sync::Mutex;

use async_trait::async_trait;
use types::{RecordId, Timestamp};

use super::audit::{self, GENESIS};
use super::{
    Act, AuditEntry, AuditQuery, Change, Draft, Figures, History, HistoryQuery, HistoryRetention,
    HistoryRow, Kind, LadderQuery, LegCall, List, Record, Run, Stay, Store, StoreError,
};
use crate::telephony::{Ladder, LadderHead};

#[derive(Debug, Default)]
pub struct Memory {
    kept: Mutex<Kept>,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    rows: Vec<(Record, Draft)>,
    log: Vec<AuditEntry>,
}

impl Kept {
    fn position(
        &self,
        kind: Kind,
        id: &RecordId,
        expected: Option<u64>,
    ) -> Result<usize, StoreError> {
        let is = |it: &(Record, Draft)| it.0.kind == kind && it.0.id == *id;
        let index = self.rows.iter().position(is);
        let index = index.ok_or_else(|| StoreError::Missing { kind, id: id.clone() })?;
        match expected {
            Some(version) if version != self.rows[index].0.version => {
                Err(StoreError::Stale { kind, id: id.clone() })
            }
            _ => Ok(index),
        }
    }

    fn free(&self, kind: Kind, id: &RecordId, draft: &Draft) -> Result<(), StoreError> {
        let others = || self.rows.iter().filter(|it| it.0.kind == kind && it.0.id != *id);
        for key in draft.keys.iter().filter(|it| it.unique) {
            if others().any(|it| it.1.keys.contains(key)) {
                return Err(StoreError::Taken { kind, key: key.name });
            }
        }
        Ok(())
    }

    fn apply(&mut self, change: &Change, now: Timestamp) -> Result<(), StoreError> {
        match change {
            Change::Insert { kind, id, draft } => {
                if self.position(*kind, id, None).is_ok() {
                    return Err(StoreError::Taken { kind: *kind, key: "id" });
                }
                self.free(*kind, id, draft)?;
                let record = Record {
                    kind: *kind,
                    id: id.clone(),
                    version: 1,
                    created_at: now,
                    changed_at: now,
                    body: draft.body.clone(),
                };
                self.rows.push((record, draft.clone()));
            }
            Change::Update { kind, id, expected, draft } => {
                let index = self.position(*kind, id, *expected)?;
                self.free(*kind, id, draft)?;
                let row = &mut self.rows[index];
                row.0.version += 1;
                row.0.changed_at = now;
                row.0.body.clone_from(&draft.body);
                row.1 = draft.clone();
            }
            Change::Delete { kind, id, expected } => {
                let index = self.position(*kind, id, *expected)?;
                self.rows.remove(index);
            }
        }
        Ok(())
    }
}

impl Memory {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }
}

/// Nothing of it is looked at by tests of this crate.
#[async_trait]
impl History for Memory {
    async fn write_history(&self, _: &[HistoryRow], _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn end_history_left_open(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn runs(&self, _: &HistoryQuery) -> Result<Vec<Run>, StoreError> {
        Ok(Vec::new())
    }

    async fn stays(&self, _: &HistoryQuery) -> Result<Vec<Stay>, StoreError> {
        Ok(Vec::new())
    }

    async fn legs(&self, _: &HistoryQuery) -> Result<Vec<LegCall>, StoreError> {
        Ok(Vec::new())
    }

    async fn ladders(&self, _: &LadderQuery) -> Result<Vec<LadderHead>, StoreError> {
        Ok(Vec::new())
    }

    async fn ladder(&self, _: &RecordId) -> Result<Option<Ladder>, StoreError> {
        Ok(None)
    }

    async fn figures(
        &self,
        _: &RecordId,
        _: Timestamp,
        _: u32,
    ) -> Result<Vec<Figures>, StoreError> {
        Ok(Vec::new())
    }

    async fn trim_history(&self, _: HistoryRetention) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, kind: Kind, id: &RecordId) -> Result<Option<Record>, StoreError> {
        let kept = self.kept();
        Ok(kept.position(kind, id, None).ok().map(|index| kept.rows[index].0.clone()))
    }

    async fn find(
        &self,
        kind: Kind,
        key: &'static str,
        value: &str,
    ) -> Result<Option<Record>, StoreError> {
        let has = |it: &&(Record, Draft)| {
            it.0.kind == kind
                && it.1.keys.iter().any(|it| it.unique && it.name == key && it.value == value)
        };
        Ok(self.kept().rows.iter().find(has).map(|it| it.0.clone()))
    }

    async fn list(&self, list: &List) -> Result<Vec<Record>, StoreError> {
        let fits = |it: &&(Record, Draft)| {
            let by = |(key, value): &(&str, String)| {
                it.1.keys.iter().any(|it| it.name == *key && it.value == *value)
            };
            it.0.kind == list.kind
                && list.by.as_ref().is_none_or(by)
                && list.search.as_ref().is_none_or(|text| it.1.search.contains(text))
                && list.after.as_ref().is_none_or(|after| it.0.id > *after)
        };
        let mut found: Vec<Record> =
            self.kept().rows.iter().filter(fits).map(|it| it.0.clone()).collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.truncate(list.limit as usize);
        Ok(found)
    }

    async fn write(
        &self,
        changes: &[Change],
        acts: &[Act],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let mut after = kept.clone();
        for change in changes {
            after.apply(change, now)?;
        }
        for act in acts {
            let before = after.log.last().map_or(GENESIS, |it| &it.hash);
            let number = after.log.len() as u64 + 1;
            let hash = audit::hash(before, number, act);
            after.log.push(AuditEntry { number, act: act.clone(), hash });
        }
        *kept = after;
        Ok(())
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut kept = self.kept();
        let before = kept.rows.len();
        kept.rows.retain(|it| it.1.expires_at.is_none_or(|at| at > now));
        Ok((before - kept.rows.len()) as u64)
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let log = self.kept().log.clone();
        Ok(log.into_iter().filter(|it| it.number > query.after).collect())
    }

    async fn audit_head(&self) -> Result<Option<(u64, String)>, StoreError> {
        Ok(self.kept().log.last().map(|it| (it.number, it.hash.clone())))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
