//! What is kept, in memory: records that are there from the beginning, and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use conference::kept::Keeper;
use conference::people::{CodeSecret, Vault, VaultError};
use conference::store::{
    Act, AuditEntry, AuditQuery, Change, Figures, History, HistoryQuery, HistoryRetention,
    HistoryRow, Kind, LadderQuery, LegCall, List, Record, Records, Run, Stay, Store, StoreError,
};
use conference::telephony::{Ladder, LadderHead};
use types::{RecordId, Timestamp};

/// A keeper of these records, each with its kind, its id and its body.
pub fn keeper(records: &[(Kind, &str, String)]) -> Keeper {
    let records = records.iter().map(|(kind, id, body)| Record {
        kind: *kind,
        id: RecordId::new(*id),
        version: 1,
        created_at: Timestamp(0),
        changed_at: Timestamp(0),
        body: body.clone(),
    });
    let mut records: Vec<_> = records.collect();
    records.sort_by(|a, b| a.id.cmp(&b.id));
    Keeper::new(Records::new(Arc::new(Shelf(records))), Arc::new(Turned))
}

#[derive(Debug)]
struct Shelf(Vec<Record>);

#[async_trait]
impl Store for Shelf {
    async fn get(&self, kind: Kind, id: &RecordId) -> Result<Option<Record>, StoreError> {
        Ok(self.0.iter().find(|it| it.kind == kind && it.id == *id).cloned())
    }

    async fn find(&self, _: Kind, _: &'static str, _: &str) -> Result<Option<Record>, StoreError> {
        Ok(None)
    }

    async fn list(&self, list: &List) -> Result<Vec<Record>, StoreError> {
        let after = |it: &&Record| list.after.as_ref().is_none_or(|after| it.id > *after);
        let found = self.0.iter().filter(|it| it.kind == list.kind).filter(after);
        Ok(found.take(list.limit as usize).cloned().collect())
    }

    async fn write(&self, _: &[Change], _: &[Act], _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("nothing is written here".to_owned()))
    }

    async fn purge(&self, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn audit(&self, _: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn audit_head(&self) -> Result<Option<(u64, String)>, StoreError> {
        Ok(None)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// There is none.
#[async_trait]
impl History for Shelf {
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

/// Seals by turning texts round.
#[derive(Debug)]
struct Turned;

#[async_trait]
impl Vault for Turned {
    async fn hash(&self, clear: &str) -> Result<String, VaultError> {
        self.seal(clear)
    }

    async fn verify(&self, clear: &str, hash: Option<&str>) -> Result<bool, VaultError> {
        Ok(hash.is_some_and(|hash| self.seal(clear).as_deref() == Ok(hash)))
    }

    fn seal(&self, clear: &str) -> Result<String, VaultError> {
        Ok(clear.chars().rev().collect())
    }

    fn open(&self, sealed: &str) -> Result<String, VaultError> {
        self.seal(sealed)
    }

    fn new_code_secret(&self, _: &str) -> CodeSecret {
        CodeSecret { base32: String::new(), url: String::new() }
    }

    fn code_step(&self, _: &str, _: &str, _: Timestamp) -> Option<u64> {
        None
    }
}
