//! What is known of each trunk. Sans-IO: time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use conference::random_id;
use conference::store::Found;
use conference::telephony::{Enrolment, Reach, Trunk, TrunkServer, TrunkState};
use tokio_util::sync::CancellationToken;
use types::RecordId;

use super::New;
use crate::sip::{AskError, Located, Transport};

/// A server that is down is asked again after this time, then after twice as long, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The longest that it is left alone.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// A server that nobody checks counts as down for this long after a call that it did not answer.
const DOWN_FOR: Duration = Duration::from_secs(60);
/// The least pause between two registrations.
const LEAST_REFRESH: Duration = Duration::from_secs(1);

/// Over what, and where.
pub(crate) type Way = (Transport, SocketAddr);

#[derive(Default)]
pub(super) struct Entries(HashMap<RecordId, Entry>);

/// One trunk.
pub(super) struct Entry {
    version: u64,
    name: String,
    /// The user part of our contact there: nobody else knows it.
    pub(super) contact: String,
    pub(super) stop: CancellationToken,
    servers: Vec<Server>,
    problem: Option<String>,
    enrolled: Option<Enrolled>,
    /// Registrations that failed since the last that did not.
    failures: u32,
    refusal: Option<String>,
    call_id: String,
    sequence: u32,
}

struct Enrolled {
    way: Way,
    until: Instant,
}

struct Server {
    way: Way,
    reach: Reach,
    since: Option<Instant>,
    problem: Option<String>,
    failures: u32,
    /// When it is to be asked; `None`: nobody asks it, or it was never asked.
    check_at: Option<Instant>,
    checked: bool,
    /// Until when it wants to be left alone.
    spared: Option<Instant>,
}

impl Entries {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RecordId, &Entry)> {
        self.0.iter()
    }

    pub(super) fn get(&self, id: &RecordId) -> Option<&Entry> {
        self.0.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &RecordId) -> Option<&mut Entry> {
        self.0.get_mut(id)
    }

    /// Takes the trunks as they are kept: what is gone or was changed, and what is new or was.
    pub(super) fn follow(&mut self, trunks: &[Found<Trunk>]) -> (Vec<Entry>, Vec<New>) {
        let kept = |id: &RecordId, entry: &Entry| {
            trunks.iter().any(|it| it.id == *id && it.version == entry.version)
        };
        let gone: Vec<_> = self.0.extract_if(|id, entry| !kept(id, entry)).collect();
        let new: Vec<_> = trunks.iter().filter(|it| !self.0.contains_key(&it.id)).collect();
        let new = new.into_iter().map(|found| {
            let stop = CancellationToken::new();
            self.0.insert(found.id.clone(), Entry::new(found, stop.clone()));
            (found.clone(), stop)
        });
        let new = new.collect();
        let gone = gone.into_iter().map(|(_, entry)| {
            if !self.0.values().any(|it| it.name == entry.name) {
                gauge("plenum_sip_trunk_servers_up", &entry.name, 0.0);
                gauge("plenum_sip_trunk_registered", &entry.name, 0.0);
            }
            entry
        });
        (gone.collect(), new)
    }
}

impl Entry {
    fn new(found: &Found<Trunk>, stop: CancellationToken) -> Self {
        Self {
            version: found.version,
            name: found.entity.name.clone(),
            contact: random_id("t"),
            stop,
            servers: Vec::new(),
            problem: None,
            enrolled: None,
            failures: 0,
            refusal: None,
            call_id: random_id(""),
            sequence: 0,
        }
    }

    pub(super) fn shown(&self, id: &RecordId, calls: u32, now: Instant) -> TrunkState {
        let servers = self.servers.iter().map(|it| TrunkServer {
            address: it.way.1,
            transport: it.way.0.into(),
            reach: it.reach,
            problem: it.problem.clone(),
        });
        let remains = self.remains(now);
        TrunkState {
            trunk: id.clone(),
            name: self.name.clone(),
            servers: servers.collect(),
            enrolment: match (&remains, &self.refusal) {
                (Some(_), _) => Enrolment::Registered,
                (None, Some(_)) => Enrolment::Failed,
                (None, None) => Enrolment::None,
            },
            remains,
            problem: self.refusal.clone().or(self.problem.clone()),
            calls,
        }
    }

    /// These are its servers now.
    pub(super) fn located(&mut self, servers: &[Located], problem: Option<String>) {
        self.problem = problem;
        let ways: Vec<Way> = servers.iter().map(|it| (it.transport, it.address)).collect();
        // While its name cannot be looked up what was known of it stays.
        if ways.is_empty() {
            return;
        }
        let mut before = std::mem::take(&mut self.servers);
        for way in ways {
            let known = before.iter().position(|it| it.way == way);
            let server = match known {
                Some(place) => before.swap_remove(place),
                None if self.servers.iter().any(|it| it.way == way) => continue,
                None => Server::new(way),
            };
            self.servers.push(server);
        }
        self.measure();
    }

    pub(super) fn is_down(&self, way: Way, now: Instant) -> bool {
        let server = self.servers.iter().find(|it| it.way == way);
        server.is_some_and(|it| {
            let spared = it.spared.is_some_and(|until| now < until);
            let lately = it.since.is_some_and(|at| now.saturating_duration_since(at) < DOWN_FOR);
            spared || (it.reach == Reach::Down && (it.checked || lately))
        })
    }

    /// Notes whether a server answers; whether that is news.
    pub(super) fn found(&mut self, way: Way, found: Result<(), AskError>, now: Instant) -> bool {
        let place = self.servers.iter().position(|it| it.way == way);
        if place.is_none() {
            self.servers.push(Server::new(way));
        }
        let place = place.unwrap_or(self.servers.len().saturating_sub(1));
        let Some(server) = self.servers.get_mut(place) else { return false };
        let before = server.reach;
        match found {
            Ok(()) => (server.reach, server.problem, server.failures) = (Reach::Up, None, 0),
            Err(error) => {
                server.reach = Reach::Down;
                server.problem = Some(error.to_string());
                server.failures = server.failures.saturating_add(1);
            }
        }
        server.since = Some(now);
        let news = server.reach != before;
        self.measure();
        news
    }

    /// It is too busy for calls until then, whether or not it answers.
    pub(super) fn spare(&mut self, way: Way, until: Instant) {
        if let Some(server) = self.servers.iter_mut().find(|it| it.way == way) {
            server.spared = Some(until);
        }
    }

    pub(super) fn is_due(&self, way: Way, now: Instant) -> bool {
        let server = self.servers.iter().find(|it| it.way == way);
        server.is_some_and(|it| it.check_at.is_none_or(|at| at <= now))
    }

    /// A server was asked: when it is to be again.
    pub(super) fn check_again(&mut self, way: Way, period: Duration, now: Instant) {
        if let Some(server) = self.servers.iter_mut().find(|it| it.way == way) {
            let pause = match server.reach {
                Reach::Down => back_off(server.failures),
                Reach::Up | Reach::Unknown => period,
            };
            (server.check_at, server.checked) = (Some(now + pause), true);
        }
    }

    /// When the next of its servers is to be asked.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.servers.iter().filter_map(|it| it.check_at).min()
    }

    /// It took our registration; after which time it is renewed.
    pub(super) fn registered(&mut self, way: Way, given: Duration, now: Instant) -> Duration {
        if self.remains(now).is_none() {
            tracing::info!(trunk = self.name, server = %way.1, "registered at a trunk");
        }
        self.enrolled = Some(Enrolled { way, until: now + given });
        (self.failures, self.refusal) = (0, None);
        self.found(way, Ok(()), now);
        (given / 2).max(LEAST_REFRESH)
    }

    /// Nobody took our registration; after which time it is tried again.
    pub(super) fn failed(&mut self, problem: String) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.refusal = Some(problem);
        self.measure();
        back_off(self.failures)
    }

    /// How long we are registered.
    pub(super) fn remains(&self, now: Instant) -> Option<Duration> {
        let enrolled = self.enrolled.as_ref()?;
        enrolled.until.checked_duration_since(now).filter(|it| !it.is_zero())
    }

    /// The server that may send us calls over our registration.
    pub(super) fn registrar(&self, now: Instant) -> Option<IpAddr> {
        self.registered_at(now).map(|it| it.1.ip())
    }

    /// Whether we are registered where nobody answers any more, and could be elsewhere.
    pub(super) fn registrar_is_down(&self, now: Instant) -> bool {
        let down = self.enrolled.as_ref().is_some_and(|it| self.is_down(it.way, now));
        down && self.servers.iter().any(|it| !self.is_down(it.way, now))
    }

    /// Where we are registered.
    pub(super) fn registered_at(&self, now: Instant) -> Option<Way> {
        self.remains(now)?;
        self.enrolled.as_ref().map(|it| it.way)
    }

    pub(super) fn take_registrar(&mut self, now: Instant) -> Option<Way> {
        self.remains(now)?;
        self.enrolled.take().map(|it| it.way)
    }

    pub(super) fn call_id(&self) -> String {
        self.call_id.clone()
    }

    /// The place of the next REGISTER; those that prove who we are take the ones behind it.
    pub(super) fn sequence(&mut self) -> u32 {
        let place = self.sequence.wrapping_add(1) & 0x7fff_ffff;
        self.sequence = place.wrapping_add(3);
        place.max(1)
    }

    fn measure(&self) {
        let up = self.servers.iter().filter(|it| it.reach == Reach::Up).count();
        gauge("plenum_sip_trunk_servers_up", &self.name, up as f64);
        let registered = self.enrolled.is_some() && self.refusal.is_none();
        gauge("plenum_sip_trunk_registered", &self.name, if registered { 1.0 } else { 0.0 });
    }
}

impl Server {
    fn new(way: Way) -> Self {
        Self {
            way,
            reach: Reach::Unknown,
            since: None,
            problem: None,
            failures: 0,
            check_at: None,
            checked: false,
            spared: None,
        }
    }
}

fn gauge(name: &'static str, trunk: &str, value: f64) {
    metrics::gauge!(name, "trunk" => trunk.to_owned()).set(value);
}

/// How long is waited after so many failures.
fn back_off(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_RETRY.saturating_mul(doubled).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Timestamp;

    fn found(version: u64) -> Found<Trunk> {
        let body = r#"{"name":"PBX","kind":"none","host":"pbx.example.org"}"#;
        let (entity, at) = (serde_json::from_str(body).unwrap(), Timestamp(0));
        Found { id: RecordId::new("pbx"), version, created_at: at, changed_at: at, entity }
    }

    fn at(last: u8) -> Located {
        let address = SocketAddr::from(([10, 0, 0, last], 5060));
        Located { transport: Transport::Udp, address, host: "pbx.example.org".into() }
    }

    fn way(last: u8) -> Way {
        (Transport::Udp, at(last).address)
    }

    fn entry() -> Entry {
        let mut entry = Entry::new(&found(1), CancellationToken::new());
        entry.located(&[at(1), at(2)], None);
        entry
    }

    #[test]
    fn a_server_that_is_down_is_asked_ever_more_rarely() {
        let (mut entry, mut now) = (entry(), Instant::now());
        let period = Duration::from_secs(60);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(entry.is_due(way(1), now));
            entry.found(way(1), Err(AskError::Silent), now);
            entry.check_again(way(1), period, now);
            let next = entry.next_check().unwrap();
            pauses.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert!(entry.is_down(way(1), now) && !entry.is_down(way(2), now));
        assert!(entry.found(way(1), Ok(()), now), "that is news");
        entry.check_again(way(1), period, now);
        assert_eq!(entry.next_check(), Some(now + period));
    }

    #[test]
    fn without_checks_a_silent_server_is_passed_over_for_a_while() {
        let (mut entry, now) = (entry(), Instant::now());
        entry.found(way(1), Err(AskError::Silent), now);
        assert!(entry.is_down(way(1), now + Duration::from_secs(59)));
        assert!(!entry.is_down(way(1), now + Duration::from_secs(60)));
    }

    #[test]
    fn a_server_that_wants_to_be_left_alone_is_passed_over_though_it_answers() {
        let (mut entry, now) = (entry(), Instant::now());
        entry.found(way(1), Err(AskError::Silent), now);
        entry.spare(way(1), now + Duration::from_secs(600));
        entry.found(way(1), Ok(()), now);
        assert!(entry.is_down(way(1), now + Duration::from_secs(599)));
        assert!(!entry.is_down(way(1), now + Duration::from_secs(600)));
    }

    #[test]
    fn a_registration_is_renewed_at_half_its_time_and_moves_away_from_a_dead_server() {
        let (mut entry, now) = (entry(), Instant::now());
        let failed = entry.failed("it answers 500".into());
        assert_eq!((failed, entry.failed("x".into())), (FIRST_RETRY, 2 * FIRST_RETRY));
        let shown = entry.shown(&RecordId::new("pbx"), 2, now);
        assert_eq!((shown.enrolment, shown.problem.as_deref()), (Enrolment::Failed, Some("x")));
        let given = Duration::from_secs(600);
        assert_eq!(entry.registered(way(1), given, now), given / 2);
        assert_eq!(entry.registrar(now), Some(at(1).address.ip()));
        assert_eq!(entry.registrar(now + given), None);
        assert!(!entry.registrar_is_down(now));
        entry.found(way(1), Err(AskError::Silent), now);
        assert!(entry.registrar_is_down(now));
        entry.found(way(2), Err(AskError::Silent), now);
        assert!(!entry.registrar_is_down(now), "there is nowhere to go");
    }

    #[test]
    fn what_is_known_of_a_server_stays_with_it_and_a_changed_trunk_begins_anew() {
        let (mut entry, now) = (entry(), Instant::now());
        entry.found(way(2), Err(AskError::Silent), now);
        entry.located(&[at(2), at(3), at(3)], None);
        let shown = entry.shown(&RecordId::new("pbx"), 0, now);
        let reach: Vec<_> = shown.servers.iter().map(|it| (it.address, it.reach)).collect();
        assert_eq!(reach, [(at(2).address, Reach::Down), (at(3).address, Reach::Unknown)]);
        entry.located(&[], Some("no name server answers".into()));
        assert_eq!(entry.servers.len(), 2, "what was known stays");

        let mut entries = Entries::default();
        let (gone, new) = entries.follow(&[found(1)]);
        assert_eq!((gone.len(), new.len()), (0, 1));
        let (gone, new) = entries.follow(&[found(1)]);
        assert_eq!((gone.len(), new.len()), (0, 0));
        let (gone, new) = entries.follow(&[found(2)]);
        assert_eq!((gone.len(), new.len()), (1, 1));
        let (gone, new) = entries.follow(&[]);
        assert_eq!((gone.len(), new.len()), (1, 0));
    }
}
