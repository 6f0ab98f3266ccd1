//! The trunks at work: whether their servers are there, and whether we are registered.
//!
//! One task looks after each trunk that is checked or registered at, and ends when its record is
//! changed or removed. What it finds out decides in which order a call tries the servers.

mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conference::random_id;
use conference::store::Found;
use conference::telephony::{Register, Trunk, TrunkState};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use types::RecordId;

use crate::gateway::Shared;
use crate::sip::{AskError, Credentials, IncomingCall, LocateError, Located, Registering, Target};
use state::{Entry, Way};

/// How soon a change of a trunk takes effect on its checks and its registration.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The wish of a registration, in seconds: short enough for a registrar that has forgotten us.
const EXPIRES: u32 = 600;
/// A registration with less than this left is renewed before a call.
const TOO_SHORT: Duration = Duration::from_secs(5);
/// A farewell to a registrar takes no longer.
const FAREWELL: Duration = Duration::from_secs(1);
/// The farthest that a task sleeps.
const LONG: Duration = Duration::from_secs(3_600);

/// How all trunks stand.
#[derive(Default)]
pub(crate) struct Trunks(Mutex<state::Entries>);

impl Trunks {
    fn lock(&self) -> MutexGuard<'_, state::Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How they stand, by their names; `calls` counts those over one.
    pub(crate) fn states(&self, calls: impl Fn(&RecordId) -> u32) -> Vec<TrunkState> {
        let now = Instant::now();
        let entries = self.lock();
        let mut states: Vec<_> =
            entries.iter().map(|(id, entry)| entry.shown(id, calls(id), now)).collect();
        states.sort_by(|a, b| a.name.cmp(&b.name));
        states
    }

    /// Puts servers that are down behind the others.
    pub(crate) fn sort(&self, trunk: &RecordId, targets: &mut [Target]) {
        let now = Instant::now();
        let entries = self.lock();
        let Some(entry) = entries.get(trunk) else { return };
        targets.sort_by_key(|it| it.server().is_some_and(|at| entry.is_down(at, now)));
    }

    /// A call found out whether a server answers.
    pub(crate) fn note(&self, trunk: &RecordId, server: Way, answers: bool) {
        if let Some(entry) = self.lock().get_mut(trunk) {
            let found = if answers { Ok(()) } else { Err(AskError::Silent) };
            entry.found(server, found, Instant::now());
        }
    }

    /// A server wants to be left alone for a while.
    pub(crate) fn spare(&self, trunk: &RecordId, server: Way, pause: Duration) {
        if let Some(entry) = self.lock().get_mut(trunk) {
            entry.spare(server, Instant::now() + pause);
        }
    }

    /// The trunk whose registration a call comes over: by the user part that only its registrar knows,
    /// or by the address of the server where we are registered.
    pub(crate) fn over_registration(&self, call: &IncomingCall) -> Option<(RecordId, bool)> {
        let now = Instant::now();
        let entries = self.lock();
        let by_contact = |entry: &Entry| call.user.as_deref() == Some(entry.contact.as_str());
        let by_server = |entry: &Entry| entry.registrar(now) == Some(call.source.ip());
        let found = |by: &dyn Fn(&Entry) -> bool| {
            entries.iter().find(|(_, entry)| by(entry)).map(|(id, _)| id.clone())
        };
        let contact = found(&by_contact).map(|id| (id, true));
        contact.or_else(|| found(&by_server).map(|id| (id, false)))
    }
}

/// Looks after the trunks for as long as the gateway runs.
pub(crate) async fn look_after(shared: Arc<Shared>) {
    let mut look = tokio::time::interval(LOOK_AGAIN);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = shared.stop.cancelled() => return,
        }
        let Some(plan) = &shared.plan else { return };
        // Where the database cannot be read it goes on as it is.
        let Ok(read) = plan.read().await else { continue };
        let (gone, new) = shared.trunks.lock().follow(read.trunks());
        for entry in gone {
            entry.stop.cancel();
        }
        for (found, stop) in new {
            let watch = Watch { shared: shared.clone(), id: found.id, trunk: found.entity, stop };
            shared.track(watch.run());
        }
    }
}

/// Registers at a trunk that wants it before a call.
pub(crate) async fn before_call(shared: &Arc<Shared>, id: &RecordId, trunk: &Trunk) {
    if trunk.registers() != Some(Register::BeforeCall) {
        return;
    }
    let left = shared.trunks.lock().get(id).and_then(|it| it.remains(Instant::now()));
    if left.is_some_and(|left| left > TOO_SHORT) {
        return;
    }
    let stop = shared.stop.child_token();
    let watch = Watch { shared: shared.clone(), id: id.clone(), trunk: trunk.clone(), stop };
    let servers = watch.servers().await;
    watch.register(&servers).await;
}

/// What looks after one trunk.
struct Watch {
    shared: Arc<Shared>,
    id: RecordId,
    trunk: Trunk,
    stop: CancellationToken,
}

impl Watch {
    async fn run(self) {
        let always = self.trunk.registers() == Some(Register::Always);
        if self.trunk.check_seconds.is_none() && !always {
            return;
        }
        let mut register_at = always.then(Instant::now);
        let mut alive = tokio::time::interval(self.shared.endpoint.keep_alive());
        'looks: loop {
            let servers = self.servers().await;
            if let Some(seconds) = self.trunk.check_seconds {
                let period = Duration::from_secs(seconds.into());
                self.check(&servers, period).await;
            }
            let due = register_at.is_some_and(|at| at <= Instant::now());
            if always && (due || self.registrar_is_down()) {
                register_at = Some(Instant::now() + self.register(&servers).await);
            }
            let check = self.with(|entry| entry.next_check()).flatten();
            let next = [register_at, check].into_iter().flatten().min();
            let next = next.map_or(LONG, |at| at.saturating_duration_since(Instant::now()));
            // A name that was not found, and a call that found a server silent, are soon looked at.
            let soon = if servers.is_empty() { LOOK_AGAIN } else { LONG };
            let look_again = tokio::time::Instant::now() + next.min(soon);
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(look_again) => break,
                    _ = alive.tick() => self.keep_open(),
                    () = self.stop.cancelled() => break 'looks,
                    () = self.shared.stop.cancelled() => break 'looks,
                }
            }
        }
        self.take_off().await;
    }

    /// Keeps the way open by which the registrar sends us calls.
    fn keep_open(&self) {
        let registrar = self.with(|entry| entry.registered_at(Instant::now())).flatten();
        if let Some((transport, peer)) = registrar {
            self.shared.endpoint.keep_open(transport, peer);
        }
    }

    /// The trunk's servers, all of its hosts'.
    async fn servers(&self) -> Vec<Located> {
        let mut servers = Vec::new();
        let mut problem: Option<LocateError> = None;
        for (host, port) in self.trunk.hosts() {
            let transport = Some(self.trunk.transport.into());
            match self.shared.endpoint.servers(host, port, transport).await {
                Ok(found) => servers.extend(found),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        self.with(|entry| entry.located(&servers, problem.map(|it| it.to_string())));
        servers
    }

    /// Asks those that are to be asked now, all at a time.
    async fn check(&self, servers: &[Located], period: Duration) {
        let now = Instant::now();
        let due = servers.iter().filter(|it| {
            self.with(|entry| entry.is_due((it.transport, it.address), now)).unwrap_or(false)
        });
        let asked = due.map(|server| async move {
            let found = self.shared.endpoint.check(server, &self.domain()).await;
            let way = (server.transport, server.address);
            self.with(|entry| {
                if entry.found(way, found.clone(), Instant::now()) {
                    let trunk = &self.trunk.name;
                    let (transport, address) = way;
                    match &found {
                        Ok(()) => tracing::info!(trunk, %transport, %address, "a trunk is there"),
                        Err(error) => {
                            tracing::warn!(trunk, %transport, %address, %error, "a trunk is down");
                        }
                    }
                }
                entry.check_again(way, period, Instant::now());
            });
        });
        futures_util::future::join_all(asked).await;
    }

    /// Registers at the first server that answers; when it is to be done again.
    async fn register(&self, servers: &[Located]) -> Duration {
        let credentials = match self.shared.plan.as_ref().map(|it| it.credentials(&self.trunk)) {
            Some(Ok(Some(credentials))) => credentials,
            _ => {
                let problem = "its password cannot be opened".to_owned();
                return self.with(|entry| entry.failed(problem)).unwrap_or(LONG);
            }
        };
        let now = Instant::now();
        let mut ordered: Vec<&Located> = servers.iter().collect();
        self.with(|entry| {
            ordered.sort_by_key(|it| entry.is_down((it.transport, it.address), now));
        });
        let mut problem = None;
        for server in ordered {
            let way = (server.transport, server.address);
            match self.ask(server, &credentials, EXPIRES).await {
                Ok(seconds) => {
                    let given = Duration::from_secs(seconds.into());
                    let again = self.with(|entry| entry.registered(way, given, Instant::now()));
                    return again.unwrap_or(LONG);
                }
                Err(AskError::Silent) => {
                    self.with(|entry| entry.found(way, Err(AskError::Silent), Instant::now()));
                    problem = problem.or(Some(AskError::Silent));
                }
                // What one of them refuses so do the others.
                Err(error) => {
                    problem = Some(error);
                    break;
                }
            }
        }
        let problem = problem.map(|it| it.to_string());
        if let Some(why) = &problem {
            tracing::warn!(trunk = self.trunk.name, why, "no registration at a trunk");
        }
        let problem = problem.unwrap_or_else(|| "none of its servers is known".to_owned());
        self.with(|entry| entry.failed(problem)).unwrap_or(LONG)
    }

    async fn ask(
        &self,
        server: &Located,
        credentials: &Credentials,
        expires: u32,
    ) -> Result<u32, AskError> {
        let next = self.with(|entry| (entry.contact.clone(), entry.call_id(), entry.sequence()));
        let (contact, call_id, sequence) =
            next.unwrap_or_else(|| (random_id(""), random_id(""), 1));
        let registering = Registering {
            domain: self.domain(),
            credentials: credentials.clone(),
            contact,
            call_id,
            sequence,
            expires,
        };
        self.shared.endpoint.register(server, &registering).await
    }

    /// Takes our registration off, where there is one.
    async fn take_off(&self) {
        let registrar = self.with(|entry| entry.take_registrar(Instant::now())).flatten();
        let Some((transport, address)) = registrar else { return };
        let Some(Ok(Some(credentials))) =
            self.shared.plan.as_ref().map(|it| it.credentials(&self.trunk))
        else {
            return;
        };
        let server = Located { transport, address, host: self.trunk.host.clone() };
        // It ends by itself where this does not come through.
        let _ = timeout(FAREWELL, self.ask(&server, &credentials, 0)).await;
    }

    /// The trunk's domain as it stands in addresses.
    fn domain(&self) -> String {
        let Trunk { host, port, .. } = &self.trunk;
        port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }

    fn registrar_is_down(&self) -> bool {
        self.with(|entry| entry.registrar_is_down(Instant::now())).unwrap_or(false)
    }

    /// `None`: the trunk is there no more.
    fn with<T>(&self, work: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.shared.trunks.lock().get_mut(&self.id).map(work)
    }
}

/// A trunk that is to be looked after from now on.
type New = (Found<Trunk>, CancellationToken);
