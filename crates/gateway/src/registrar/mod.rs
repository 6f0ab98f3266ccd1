//! Room systems of the house: who may register, who is registered, and how they are called.
//!
//! A device is called the way that its REGISTER came, whatever its contact says: nobody who knows a
//! device's password can make us call another address.

mod bindings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conference::access::{Limiter, Rate};
use conference::store::{Found, Records};
use conference::telephony::{
    Device, DigestResponse, NonceWorth, Nonces, Presence, Present, REALM, Registered,
};
use tokio::sync::{Semaphore, mpsc};
use types::{MeetingId, RecordId};

use crate::plan::TrunkCall;
use crate::sip::{Flow, Register, RegisterAnswer, Registration, Status, Target};
use bindings::{BindError, Binding, Bindings};

/// Wrong passwords of one address, which may be a whole office with one device that has a wrong one:
/// as many at once, then one in ten seconds.
const WRONG: Rate = Rate { burst: 60, interval: Duration::from_secs(10) };
/// Addresses whose wrong passwords are remembered.
const ADDRESSES: usize = 10_000;
/// How soon a device that was removed, or got another password, is registered no more.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Registrations that are looked up at a time: a flood of them leaves the database to others, too.
const LOOK_UPS: usize = 16;
/// The method that proofs of a password are about.
const METHOD: &str = "REGISTER";

/// Keeps what is registered.
pub(crate) struct Registrar {
    records: Records,
    state: Mutex<State>,
}

struct State {
    nonces: Nonces,
    wrong: Limiter,
    devices: HashMap<RecordId, Entry>,
}

/// A device that was registered, or is in a call.
struct Entry {
    device: Device,
    bindings: Bindings,
    calls: usize,
}

/// Who can be called.
pub(crate) struct Callee {
    /// Its record, where it is one of the house.
    pub(crate) device: Option<RecordId>,
    /// What it goes over, where it goes over a trunk.
    pub(crate) trunk: Option<TrunkCall>,
    /// Where to try, in this order.
    pub(crate) targets: Vec<Target>,
}

/// A device is in a call as long as this is held.
pub(crate) struct InCall {
    registrar: Arc<Registrar>,
    device: RecordId,
}

impl Registrar {
    /// For the devices that are kept here.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn new(records: Records, now: Instant) -> std::io::Result<Arc<Self>> {
        let state = State::new(now)?;
        Ok(Arc::new(Self { records, state: Mutex::new(state) }))
    }

    /// Answers those that register, and looks after those that are, until nobody sends any more.
    pub(crate) async fn serve(
        self: Arc<Self>,
        mut registers: mpsc::Receiver<Register>,
        is_open: impl Fn(&Flow) -> bool,
    ) {
        let mut look = tokio::time::interval(LOOK_AGAIN);
        let room = Arc::new(Semaphore::new(LOOK_UPS));
        loop {
            tokio::select! {
                register = registers.recv() => {
                    let Some(register) = register else { return };
                    // Each waits for the database by itself; those beyond wait in their queue, and
                    // when that is full they are told to come again.
                    let Ok(place) = room.clone().acquire_owned().await else { return };
                    let this = self.clone();
                    tokio::spawn(async move {
                        this.answer(register).await;
                        drop(place);
                    });
                }
                _ = look.tick() => self.look_again(&is_open).await,
            }
        }
    }

    async fn answer(&self, register: Register) {
        let asked = &register.registration;
        let found = self.records.find::<Device>(Device::SIP_USER, &asked.user).await;
        let answer = match found {
            Ok(found) => self.state().register(found, asked, Instant::now()),
            Err(error) => {
                tracing::warn!(%error, "nobody can register: the devices cannot be read");
                RegisterAnswer::Refused(Status::SERVICE_UNAVAILABLE)
            }
        };
        register.answer(answer);
    }

    /// Devices that were removed or changed are registered no more, and what was closed is forgotten.
    async fn look_again(&self, is_open: &impl Fn(&Flow) -> bool) {
        let now = Instant::now();
        let known: Vec<RecordId> = self.state().devices.keys().cloned().collect();
        for id in known {
            // Where the database cannot be read it goes on as it is.
            if let Ok(found) = self.records.get::<Device>(&id).await {
                self.state().refresh(&id, found.map(|it| it.entity), is_open, now);
            }
        }
    }

    /// A device that is registered under this extension or name.
    pub(crate) fn find(&self, name: &str, now: Instant) -> Option<Callee> {
        self.state().find(name, now)
    }

    /// The device that calls this way.
    pub(crate) fn caller(&self, flow: &Flow, now: Instant) -> Option<RecordId> {
        let state = self.state();
        let mut devices = state.devices.iter();
        devices
            .find(|(_, it)| it.bindings.iter(now).any(|it| it.flow == *flow))
            .map(|it| it.0.clone())
    }

    /// Counts a call of a device, or with it.
    pub(crate) fn in_call(self: &Arc<Self>, device: RecordId) -> Option<InCall> {
        self.state().devices.get_mut(&device)?.calls += 1;
        Some(InCall { registrar: self.clone(), device })
    }

    /// All that are registered now, by their names.
    pub(crate) fn present(&self, is_open: impl Fn(&Flow) -> bool, now: Instant) -> Vec<Present> {
        let mut present = self.state().present(is_open, now);
        present.sort_by(|a, b| a.name.cmp(&b.name));
        present
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        if let Some(entry) = self.registrar.state().devices.get_mut(&self.device) {
            entry.calls = entry.calls.saturating_sub(1);
        }
    }
}

impl State {
    fn new(now: Instant) -> std::io::Result<Self> {
        let nonces = Nonces::new(now).map_err(|_| std::io::Error::other("no random numbers"))?;
        Ok(Self { nonces, wrong: Limiter::new(WRONG, ADDRESSES), devices: HashMap::new() })
    }

    /// `found`: the device that registers as this user, if there is one.
    fn register(
        &mut self,
        found: Option<Found<Device>>,
        asked: &Registration,
        now: Instant,
    ) -> RegisterAnswer {
        let source = asked.flow.peer.ip();
        let found = found.filter(|it| it.entity.may_come_from(source));
        match self.judge(found.as_ref().map(|it| &it.entity), asked, source, now) {
            Ok(()) => match found {
                Some(found) => self.bind(found, asked, now),
                None => RegisterAnswer::Refused(Status::FORBIDDEN),
            },
            Err(answer) => answer,
        }
    }

    /// Whether somebody has shown to be this device. Who is unknown is answered like who is not.
    fn judge(
        &mut self,
        device: Option<&Device>,
        asked: &Registration,
        source: IpAddr,
        now: Instant,
    ) -> Result<(), RegisterAnswer> {
        let verifier = device.and_then(|it| it.verifier.as_ref());
        if device.is_some() && verifier.is_none() {
            // Its address alone tells.
            return Ok(());
        }
        let algorithm =
            verifier.map_or_else(|| self.nonces.decoy(&asked.user), |it| it.algorithm());
        let challenge = |nonces: &Nonces, stale: bool| RegisterAnswer::Challenge {
            realm: REALM,
            nonce: nonces.give(now),
            algorithm: algorithm.name(),
            stale,
        };
        let mut shown = asked.credentials.iter().filter_map(|it| DigestResponse::read(it));
        let Some(shown) = shown.find(|it| it.realm == REALM) else {
            return Err(challenge(&self.nonces, false));
        };
        if self.wrong.check(source, now).is_err() {
            return Err(RegisterAnswer::Refused(Status::FORBIDDEN));
        }
        if !verifier.is_some_and(|it| it.accepts(&shown, METHOD)) {
            self.wrong.charge(source, now);
            metrics::counter!("plenum_sip_wrong_passwords_total").increment(1);
            // Not the name: it may be a password that was typed into the wrong field.
            tracing::info!(flow = %asked.flow, known = device.is_some(), "a registration is refused");
            return Err(RegisterAnswer::Refused(Status::FORBIDDEN));
        }
        match self.nonces.take(&shown, now) {
            NonceWorth::Fresh => Ok(()),
            NonceWorth::Stale | NonceWorth::Foreign => Err(challenge(&self.nonces, true)),
        }
    }

    fn bind(&mut self, found: Found<Device>, asked: &Registration, now: Instant) -> RegisterAnswer {
        let Found { id, entity: device, .. } = found;
        let entry = self.devices.entry(id.clone()).or_insert_with(|| Entry {
            device: device.clone(),
            bindings: Bindings::default(),
            calls: 0,
        });
        let was_there = entry.bindings.iter(now).next().is_some();
        entry.device = device;
        let answer = match entry.bindings.change(asked, now) {
            Ok(()) => {
                RegisterAnswer::Done(entry.bindings.iter(now).map(|it| left(it, now)).collect())
            }
            Err(BindError::TooBrief) => RegisterAnswer::TooBrief(bindings::LEAST),
            Err(BindError::OutOfOrder) => RegisterAnswer::Refused(Status::SERVER_ERROR),
        };
        let is_there = entry.bindings.iter(now).next().is_some();
        if was_there != is_there {
            let name = &entry.device.name;
            tracing::info!(device = %id, name, flow = %asked.flow, registered = is_there, "registration");
        }
        if !is_there && entry.calls == 0 {
            self.devices.remove(&id);
        }
        answer
    }

    fn refresh(
        &mut self,
        id: &RecordId,
        found: Option<Device>,
        is_open: &impl Fn(&Flow) -> bool,
        now: Instant,
    ) {
        let Some(entry) = self.devices.get_mut(id) else { return };
        let known = &entry.device;
        let same =
            found.filter(|it| it.sip_user == known.sip_user && it.verifier == known.verifier);
        match same {
            Some(device) => {
                let may = |flow: &Flow| is_open(flow) && device.may_come_from(flow.peer.ip());
                entry.bindings.retain(may, now);
                entry.device = device;
            }
            None => entry.bindings = Bindings::default(),
        }
        if entry.calls == 0 && entry.bindings.iter(now).next().is_none() {
            tracing::info!(device = %id, name = entry.device.name, "registered no more");
            self.devices.remove(id);
        }
    }

    fn find(&self, name: &str, now: Instant) -> Option<Callee> {
        let name = name.trim();
        let extension = MeetingId::parse(name).ok();
        let key = Device::name_key(name);
        let is = |device: &Device| {
            extension.as_ref() == Some(&device.extension) || Device::name_key(&device.name) == key
        };
        let (id, entry) = self.devices.iter().find(|it| is(&it.1.device))?;
        let targets: Vec<Target> =
            entry.bindings.iter(now).filter_map(|it| target(it, &entry.device)).collect();
        (!targets.is_empty()).then(|| Callee { device: Some(id.clone()), trunk: None, targets })
    }

    fn present(&self, is_open: impl Fn(&Flow) -> bool, now: Instant) -> Vec<Present> {
        let present = self.devices.iter().filter_map(|(id, entry)| {
            let registered: Vec<Registered> = entry
                .bindings
                .iter(now)
                .filter(|it| is_open(&it.flow))
                .map(|it| Registered {
                    from: it.flow.peer,
                    transport: it.flow.transport.into(),
                    agent: it.agent.clone(),
                    remains: it.until - now,
                })
                .collect();
            (!registered.is_empty() || entry.calls > 0).then(|| Present {
                device: id.clone(),
                name: entry.device.name.clone(),
                extension: entry.device.extension.clone(),
                presence: if entry.calls > 0 { Presence::InCall } else { Presence::Online },
                registered,
            })
        });
        present.collect()
    }
}

fn target(binding: &Binding, device: &Device) -> Option<Target> {
    let Binding { contact, flow, path, .. } = binding;
    let extension = device.extension.as_str();
    Target::registered(contact, *flow, path, extension, &device.name).ok()
}

fn left(binding: &Binding, now: Instant) -> (String, u32) {
    let seconds = binding.until.saturating_duration_since(now).as_secs();
    (binding.contact.clone(), u32::try_from(seconds).unwrap_or(u32::MAX))
}
