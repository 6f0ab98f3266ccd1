//! The dial plan and the trunks at work: as they are kept, read again when they are needed and were
//! read some seconds ago; and how many calls go over each trunk.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conference::kept::Keeper;
use conference::people::VaultError;
use conference::store::{Entity, Found, Search, StoreError};
use conference::telephony::{
    Call, CallAddress, Decision, DialPlan, DialRule, Direction, Trunk, TrunkKind, Verdict,
};
use types::{DialString, RecordId};

use crate::sip::{Credentials, Target};

/// How soon a change of rules and trunks takes effect. A flood of calls reads them no more often.
const FRESH: Duration = Duration::from_secs(2);
/// The longest address that rules are asked about, in bytes; who traces the plan may give as much.
pub(crate) const MAX_ADDRESS: usize = 255;

/// Rules and trunks, and the calls over these.
pub(crate) struct Plan {
    keeper: Keeper,
    last: tokio::sync::Mutex<Option<(Instant, Arc<Read>)>>,
    calls: Arc<Calls>,
}

/// Calls over each trunk, in both directions.
#[derive(Default)]
struct Calls(Mutex<HashMap<RecordId, u32>>);

/// Rules and trunks as they were read.
pub(crate) struct Read {
    rules: DialPlan,
    /// In the order of their ids.
    trunks: Vec<Found<Trunk>>,
}

/// A rule that matches, and where it sends the call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// The rule's name.
    pub(crate) rule: String,
    pub(crate) decision: Decision,
}

/// A call over a trunk: it counts as one for as long as this is held.
pub(crate) struct TrunkCall {
    pub(crate) trunk: Trunk,
    /// Who we are there, where we have a password.
    pub(crate) credentials: Option<Credentials>,
    /// The trunk's record.
    pub(crate) id: RecordId,
    calls: Arc<Calls>,
}

impl Plan {
    pub(crate) fn new(keeper: Keeper) -> Self {
        Self { keeper, last: tokio::sync::Mutex::default(), calls: Arc::default() }
    }

    /// Rules and trunks as they are now, or were some seconds ago. While the database cannot be read
    /// they stay as they were.
    ///
    /// # Errors
    /// [`StoreError`]: they were never read.
    pub(crate) async fn read(&self) -> Result<Arc<Read>, StoreError> {
        let mut last = self.last.lock().await;
        if let Some((at, read)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(read.clone());
        }
        let read = match (self.read_anew().await, &*last) {
            (Ok(read), _) => Arc::new(read),
            (Err(error), Some((_, before))) => {
                tracing::warn!(%error, "the dial plan cannot be read: it stays as it was");
                before.clone()
            }
            (Err(error), None) => return Err(error),
        };
        *last = Some((Instant::now(), read.clone()));
        Ok(read)
    }

    async fn read_anew(&self) -> Result<Read, StoreError> {
        let rules = self.every::<DialRule>().await?.into_iter();
        let trunks = self.every().await?;
        Ok(Read { rules: DialPlan::new(rules.map(|it| (it.id, it.entity))), trunks })
    }

    async fn every<T: Entity>(&self) -> Result<Vec<Found<T>>, StoreError> {
        let mut search = Search { limit: Search::MAX_LIMIT, ..Search::default() };
        let mut all = Vec::new();
        loop {
            let page = self.keeper.records().list::<T>(&search).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Who we are at a trunk that has a user and a password.
    ///
    /// # Errors
    /// [`VaultError`]: its password cannot be opened.
    pub(crate) fn credentials(&self, trunk: &Trunk) -> Result<Option<Credentials>, VaultError> {
        let (Some(user), Some(secret)) = (&trunk.user, &trunk.secret) else { return Ok(None) };
        let password = self.keeper.vault().open(secret.as_str())?;
        Ok(Some(Credentials { user: user.clone(), password }))
    }

    /// Calls over a trunk now.
    pub(crate) fn calls_over(&self, id: &RecordId) -> u32 {
        self.calls.lock().get(id).copied().unwrap_or_default()
    }

    /// One more call over a trunk; `None` where as many are up as may be.
    pub(crate) fn take(
        &self,
        id: &RecordId,
        trunk: &Trunk,
        credentials: Option<Credentials>,
    ) -> Option<TrunkCall> {
        let mut calls = self.calls.lock();
        let up = calls.entry(id.clone()).or_default();
        if trunk.max_calls.is_some_and(|most| *up >= most) {
            tracing::info!(trunk = trunk.name, up, "as many calls as may be go over a trunk");
            return None;
        }
        *up += 1;
        let (id, calls) = (id.clone(), self.calls.clone());
        Some(TrunkCall { trunk: trunk.clone(), credentials, id, calls })
    }
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, HashMap<RecordId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TrunkCall {
    fn drop(&mut self) {
        let mut calls = self.calls.lock();
        match calls.get_mut(&self.id) {
            Some(up) if *up > 1 => *up -= 1,
            _ => {
                calls.remove(&self.id);
            }
        }
    }
}

impl Read {
    /// What is decided on a call of ours to what somebody typed; `None`: no rule matches.
    pub(crate) fn out(&self, address: &str) -> Option<Ruling> {
        self.decide(&Call {
            direction: Direction::Out,
            trunk: None,
            calling: String::new(),
            called: called(address),
            transport: None,
            registered: false,
        })
    }

    /// What is decided on a call; `None`: no rule matches.
    pub(crate) fn decide(&self, call: &Call) -> Option<Ruling> {
        let (decision, steps) = self.rules.decide(call);
        let rule = steps.into_iter().find(|it| it.verdict == Verdict::Matched)?;
        Some(Ruling { rule: rule.name, decision })
    }

    /// All trunks, in the order of their ids.
    pub(crate) fn trunks(&self) -> &[Found<Trunk>] {
        &self.trunks
    }

    /// The trunk of this id.
    pub(crate) fn trunk(&self, id: &RecordId) -> Option<&Trunk> {
        self.trunks.iter().find(|it| it.id == *id).map(|it| &it.entity)
    }

    /// The TrueConf server whose own an address is, and who is called there.
    pub(crate) fn own(&self, address: &DialString) -> Option<(&Found<Trunk>, CallAddress)> {
        self.trunks.iter().find_map(|it| Some((it, it.entity.own(address)?)))
    }

    /// The trunk that calls from this address come over: of several the one that was made first.
    pub(crate) fn trunk_at(&self, source: IpAddr) -> Option<&Found<Trunk>> {
        self.trunks.iter().find(|it| {
            let by_address = matches!(it.entity.kind, TrunkKind::ByAddress | TrunkKind::TrueConf);
            by_address && it.entity.calls_from(source)
        })
    }
}

/// What somebody typed as rules see it: a name or number, or `user@host` without scheme, port and
/// parameters. An address is read as it is called by, so that no way of writing it escapes a rule.
fn called(address: &str) -> String {
    let address = address.trim();
    match Target::read(address) {
        Ok(target) => {
            let host = target.host.strip_suffix('.').unwrap_or(&target.host);
            match target.user.as_str() {
                "" => host.to_owned(),
                user => format!("{user}@{host}"),
            }
        }
        // Nobody but a rule can make an address of it.
        Err(_) => {
            let scheme = address.split_once(':').filter(|(scheme, _)| {
                ["sip", "sips"].iter().any(|it| it.eq_ignore_ascii_case(scheme))
            });
            scheme.map_or(address, |(_, rest)| rest).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    fn found<T: Entity>(id: &str, body: &str) -> Found<T> {
        let entity = serde_json::from_str(body).unwrap();
        let at = Timestamp(0);
        Found { id: RecordId::new(id), version: 1, created_at: at, changed_at: at, entity }
    }

    fn read() -> Read {
        let rules = [
            r#"{"order":1,"name":"city","direction":"out","match":{"called":"9(\\d+)"},
                "action":{"to":"trunk","trunk":"a","called":"+7495$1"}}"#,
            r#"{"order":2,"name":"no","direction":"out","match":{"called":".*@example\\.org"},
                "action":{"to":"reject","cause":"forbidden"}}"#,
        ];
        let rules = rules.iter().enumerate().map(|(at, body)| {
            let it = found::<DialRule>(&at.to_string(), body);
            (it.id, it.entity)
        });
        let trunk = |id: &str, kind: &str, network: &str| {
            let body =
                format!(r#"{{"name":"{id}","kind":"{kind}","host":"h","networks":["{network}"]}}"#);
            found::<Trunk>(id, &body)
        };
        let trunks = vec![
            trunk("a", "registered", "10.0.0.0/8"),
            trunk("b", "by_address", "10.0.0.0/24"),
            trunk("c", "true_conf", "10.0.0.0/8"),
            trunk("d", "none", "0.0.0.0/0"),
        ];
        Read { rules: DialPlan::new(rules), trunks }
    }

    #[test]
    fn rules_see_what_was_typed_without_scheme_port_and_parameters() {
        for (address, seen) in [
            (" 9123 ", "9123"),
            ("sip:hall@example.org:5070;transport=tcp", "hall@example.org"),
            ("SIPS:hall@[2001:db8::1]", "hall@[2001:db8::1]"),
            ("sip:hall@[2001:db8::1]:5060", "hall@[2001:db8::1]"),
            ("hall@example.org.", "hall@example.org"),
            ("sip:example.org", "example.org"),
            ("sip:+74951234567", "+74951234567"),
            ("sip:", ""),
            ("зал 1", "зал 1"),
        ] {
            assert_eq!(called(address), seen, "{address}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_none_is_told_from_a_refusal() {
        let read = read();
        let rule = |address: &str| read.out(address).map(|it| it.rule);
        assert_eq!(rule("9123").as_deref(), Some("city"));
        assert_eq!(rule("sip:hall@example.org:5060").as_deref(), Some("no"));
        assert_eq!(rule("hall@example.net"), None);
    }

    #[test]
    fn calls_come_over_the_first_trunk_that_is_known_by_its_addresses() {
        let read = read();
        let trunk =
            |from: &str| read.trunk_at(from.parse().unwrap()).map(|it| it.id.as_str().to_owned());
        assert_eq!(trunk("10.0.0.7").as_deref(), Some("b"));
        assert_eq!(trunk("10.1.0.7").as_deref(), Some("c"));
        assert_eq!(trunk("192.0.2.1"), None);
    }
}
