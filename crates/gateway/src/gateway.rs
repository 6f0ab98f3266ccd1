//! All legs of this program.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use conference::access::{DialPattern, Limiter, Rate};
use conference::kept::Keeper;
use conference::store::Records;
use conference::telephony::{CallAddress, Decision, Present, Trunk, TrunkState};
use conference::{
    CameraOrder, CameraRefusal, Conference, DialRefusal, DialledLeg, Dialler, LegId, LegState,
    random_id,
};
use room::{Command, LAYOUT_ATTRIBUTE, MemberChange, Role};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use types::{DialString, Identity, LegLayout, MeetingId, RecordId};

use crate::ladders;
use crate::leg::{self, Caller, CallingSide, Cameras, Codes, DialledLegs, MediaRules, Place};
use crate::plan::{self, Plan, Read, Ruling};
use crate::registrar::{Callee, InCall, Registrar};
use crate::sip::{
    CallId, Flow, Hop, Incoming, IncomingCall, Share, Shares, SipConfig, SipEndpoint, SipStats,
    StartError, Target, Transport,
};
use crate::trunks::{self, Trunks};

/// How long all calls together may take to end.
const FAREWELL: Duration = Duration::from_secs(3);
/// Wrong PINs of one address: a few at once, then one in a minute.
const PIN_FAILURES: Rate = Rate { burst: 10, interval: Duration::from_secs(60) };
/// Addresses whose wrong PINs are remembered.
const PIN_ADDRESSES: usize = 10_000;
/// One network may have one in so many of the calls that there may be at once, so that whoever calls as
/// often as it can, and lets every call run out, leaves most of them to others. Trunks have limits of
/// their own and are not counted. Devices of the house are, like everybody at their address: one that
/// goes wild is no better than a stranger, and a quarter is more than an office has.
const SHARE_OF_ONE: usize = 4;
/// Requests to register that wait at a time; more are told to come again.
const REGISTERS: usize = 256;

/// How room systems are served.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Signalling.
    pub sip: SipConfig,
    /// Addresses at which our media ports are reached; of these each leg is told one of its own
    /// family.
    pub announced: Vec<IpAddr>,
    /// What is agreed to.
    pub media: MediaRules,
    /// Which addresses may be called.
    pub allow_dial: Vec<DialPattern>,
    /// The proxy over which all of them are called that are no registered device and behind no trunk.
    pub outbound_proxy: Option<Hop>,
    /// Whether who dials our address alone is asked for a meeting's number.
    pub reception: bool,
    /// What is done in a meeting by a room system's remote control.
    pub codes: Codes,
}

/// The running gateway.
pub struct Gateway {
    shared: Arc<Shared>,
    /// Keeps what was said in calls.
    writer: TaskTracker,
}

/// What all legs share.
pub(crate) struct Shared {
    pub(crate) endpoint: SipEndpoint,
    pub(crate) dialled: DialledLegs,
    pub(crate) registrar: Option<Arc<Registrar>>,
    pub(crate) plan: Option<Plan>,
    pub(crate) trunks: Trunks,
    allow_dial: Vec<DialPattern>,
    outbound_proxy: Option<Hop>,
    pub(crate) reception: bool,
    pub(crate) codes: Codes,
    pub(crate) cameras: Arc<Cameras>,
    /// Where acts are noted.
    pub(crate) records: Option<Records>,
    pub(crate) conference: Conference,
    pub(crate) media: MediaRules,
    pub(crate) stop: CancellationToken,
    announced: Vec<IpAddr>,
    pin_failures: Mutex<Limiter>,
    places: Mutex<HashMap<CallId, (MeetingId, Role)>>,
    /// Calls that came in, but for those over trunks, and how many one network may have.
    callers: Arc<Shares>,
    calls_of_one: usize,
    legs: TaskTracker,
}

impl Gateway {
    /// Listens for calls, and lets them into the conference's meetings. Of what is kept the devices may
    /// register, and dial rules and trunks say where calls go; without a keeper there are none.
    ///
    /// # Errors
    /// [`StartError`]: nothing listens then.
    pub async fn start(
        config: GatewayConfig,
        conference: Conference,
        keeper: Option<Keeper>,
    ) -> Result<Self, StartError> {
        let (sender, registers) = mpsc::channel(REGISTERS);
        let records = keeper.as_ref().map(|it| it.records().clone());
        let writer = TaskTracker::new();
        let ladders = records.clone().map(|records| {
            let (sender, ladders) = mpsc::channel(ladders::QUEUE);
            writer.spawn(ladders::keep(records, ladders));
            sender
        });
        writer.close();
        let registrar = records.map(|it| Registrar::new(it, Instant::now())).transpose();
        let registrar = registrar.map_err(|error| StartError::Stack(error.into()))?;
        let registers_here = registrar.is_some().then_some(sender);
        let calls_of_one = (config.sip.limits.calls / SHARE_OF_ONE).max(1);
        let sip = SipConfig { registers: registers_here, ladders, ..config.sip };
        let (endpoint, calls) = SipEndpoint::start(sip).await?;
        let shared = Arc::new(Shared {
            endpoint,
            dialled: DialledLegs::default(),
            registrar: registrar.clone(),
            records: keeper.as_ref().map(|it| it.records().clone()),
            plan: keeper.map(Plan::new),
            trunks: Trunks::default(),
            allow_dial: config.allow_dial,
            outbound_proxy: config.outbound_proxy,
            reception: config.reception,
            codes: config.codes,
            cameras: Arc::default(),
            conference,
            media: config.media,
            announced: config.announced,
            stop: CancellationToken::new(),
            pin_failures: Mutex::new(Limiter::new(PIN_FAILURES, PIN_ADDRESSES)),
            places: Mutex::default(),
            callers: Arc::default(),
            calls_of_one,
            legs: TaskTracker::new(),
        });
        if let Some(registrar) = registrar {
            let here = Arc::downgrade(&shared);
            let is_open =
                move |flow: &Flow| here.upgrade().is_some_and(|it| it.endpoint.is_open(flow));
            tokio::spawn(registrar.serve(registers, is_open));
        }
        tokio::spawn(accept(shared.clone(), calls));
        tokio::spawn(trunks::look_after(shared.clone()));
        Ok(Self { shared, writer })
    }

    /// The addresses that are listened on.
    pub fn local_addrs(&self) -> &[(Transport, SocketAddr)] {
        self.shared.endpoint.local_addrs()
    }

    /// Counters of the signalling.
    pub fn stats(&self) -> SipStats {
        self.shared.endpoint.stats()
    }

    /// Hangs every call up and stops listening.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.legs.close();
        if tokio::time::timeout(FAREWELL, self.shared.legs.wait()).await.is_err() {
            tracing::warn!("some calls did not end in time");
        }
        self.shared.endpoint.shutdown();
        if tokio::time::timeout(FAREWELL, self.writer.wait()).await.is_err() {
            tracing::warn!("what was said in the last calls could not be kept in time");
        }
    }
}

#[async_trait]
impl Dialler for Gateway {
    async fn dial(
        &self,
        meeting: &MeetingId,
        address: &str,
        layout: Option<LegLayout>,
    ) -> Result<DialledLeg, DialRefusal> {
        let shared = &self.shared;
        if shared.stop.is_cancelled() {
            return Err(DialRefusal::Unavailable);
        }
        let callee = shared.callee(address).await?;
        shared.launch(meeting, callee, layout, None).map(|(leg, _)| leg)
    }

    fn leg(&self, meeting: &MeetingId, id: &LegId) -> Option<DialledLeg> {
        self.shared.dialled.leg(meeting, id)
    }

    fn present(&self) -> Vec<Present> {
        let Some(registrar) = &self.shared.registrar else { return Vec::new() };
        registrar.present(|flow| self.shared.endpoint.is_open(flow), Instant::now())
    }

    fn trunks(&self) -> Vec<TrunkState> {
        let Shared { trunks, plan, .. } = &*self.shared;
        trunks.states(|id| plan.as_ref().map_or(0, |plan| plan.calls_over(id)))
    }

    fn set_layout(&self, meeting: &MeetingId, id: &LegId, layout: LegLayout) -> Option<DialledLeg> {
        self.shared.dialled.set_layout(meeting, id, layout, |leg| self.shared.show_layout(leg))
    }

    fn steer_camera(
        &self,
        meeting: &MeetingId,
        identity: &Identity,
        order: CameraOrder,
    ) -> Result<(), CameraRefusal> {
        self.shared.cameras.steer(meeting, identity, order)
    }

    fn hang_up(&self, meeting: &MeetingId, id: &LegId) -> Option<DialledLeg> {
        self.shared.dialled.hang_up(meeting, id)
    }
}

impl Shared {
    /// Calls somebody into a meeting; the call goes on by itself, and `side` hears how it stands.
    pub(crate) fn launch(
        self: &Arc<Self>,
        meeting: &MeetingId,
        callee: Callee,
        layout: Option<LegLayout>,
        side: Option<CallingSide>,
    ) -> Result<(DialledLeg, CancellationToken), DialRefusal> {
        let Callee { device, trunk, targets } = callee;
        let target = targets.first().ok_or(DialRefusal::BadAddress)?;
        let settings = self.conference.directory().find(meeting);
        let settings = settings.ok_or(DialRefusal::NoSuchMeeting)?;
        if settings.e2ee {
            return Err(DialRefusal::NotEncrypted);
        }
        let meeting = &settings.id;
        let layout = layout.unwrap_or_else(|| self.layout_of(meeting));
        let caller = Caller::dialled(target, layout);
        let leg = DialledLeg {
            id: LegId(random_id("LG_")),
            meeting: meeting.clone(),
            identity: caller.identity().clone(),
            address: target.shown(),
            state: LegState::Dialling,
            layout,
        };
        let hang_up = self.stop.child_token();
        self.dialled.add(leg.clone(), hang_up.clone())?;
        self.conference.tell_leg(&leg);
        let trunk_name = trunk.as_ref().map(|it| it.trunk.name.clone());
        let place =
            Place::new(self.clone(), leg.id.clone(), hang_up.clone(), trunk).for_caller(side);
        let span = tracing::info_span!("leg", %meeting, leg = %leg.id, ?target, trunk = trunk_name);
        let meeting = meeting.clone();
        let in_call = self.in_call(device);
        let work = async move {
            leg::call(place, meeting, targets, caller).await;
            drop(in_call);
        };
        self.legs.spawn(work.instrument(span));
        Ok((leg, hang_up))
    }

    /// Who is called by this address: a device of the house by its extension or name, whoever a dial
    /// rule says, or whoever `[sip] allow_dial` lets be called.
    pub(crate) async fn callee(&self, address: &str) -> Result<Callee, DialRefusal> {
        let name = address.trim();
        if let Some(callee) = self.device(name) {
            return Ok(callee);
        }
        // What cannot be read so is refused further down.
        let spelled = DialString::read(name);
        let name = spelled.as_ref().map_or_else(|| name.to_owned(), DialString::address);
        let name = name.as_str();
        if let Some(plan) = &self.plan
            && let Some(callee) = self.callee_by_rules(plan, name, spelled.as_ref()).await?
        {
            return Ok(callee);
        }
        let target = match Target::read(name) {
            Ok(target) if !(target.user.is_empty() && is_name(name)) => target,
            // Nobody else is called by a mere name.
            Ok(_) => return Err(DialRefusal::NotRegistered),
            Err(_) if is_name(name) => return Err(DialRefusal::NotRegistered),
            Err(_) => return Err(DialRefusal::BadAddress),
        };
        if !self.allow_dial.iter().any(|it| it.matches(&target.user, &target.host)) {
            tracing::info!(?target, "a call is forbidden by [sip] allow_dial");
            return Err(DialRefusal::Forbidden);
        }
        let target = match &self.outbound_proxy {
            Some(proxy) => target.by(proxy.clone()),
            None => target,
        };
        Ok(Callee { device: None, trunk: None, targets: vec![target] })
    }

    /// A device that is registered under this extension or name.
    pub(crate) fn device(&self, name: &str) -> Option<Callee> {
        self.registrar.as_ref()?.find(name, Instant::now())
    }

    /// Whom the dial plan says, and where no rule matches a TrueConf server whose own it is; `None`:
    /// neither.
    async fn callee_by_rules(
        &self,
        plan: &Plan,
        address: &str,
        spelled: Option<&DialString>,
    ) -> Result<Option<Callee>, DialRefusal> {
        if address.len() > plan::MAX_ADDRESS {
            return Err(DialRefusal::BadAddress);
        }
        let read = plan.read().await.map_err(|error| {
            tracing::warn!(%error, "nobody is called: the dial plan cannot be read");
            DialRefusal::Unavailable
        })?;
        let Some(Ruling { rule, decision }) = read.out(address) else {
            let own = spelled.and_then(|it| read.own(it));
            let own = own.map(|(trunk, called)| {
                let name = trunk.entity.name.clone();
                over_trunk(plan, &read, name, &trunk.id, &called)
            });
            return own.transpose();
        };
        tracing::info!(rule, "a dial rule decides on a call of ours");
        match decision {
            Decision::Trunk { trunk, called } => {
                over_trunk(plan, &read, rule, &trunk, &called).map(Some)
            }
            Decision::Device(extension) => match self.device(extension.as_str()) {
                Some(callee) => Ok(Some(callee)),
                None => Err(DialRefusal::NotRegistered),
            },
            // Rules for calls out cannot have the others.
            Decision::Reject(_) | Decision::Meeting(_) | Decision::Ivr => {
                Err(DialRefusal::ByRule { rule })
            }
        }
    }

    /// Which meetings calls are in, and as what.
    pub(crate) fn places(&self) -> MutexGuard<'_, HashMap<CallId, (MeetingId, Role)>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that the gateway's end waits for.
    pub(crate) fn track(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.legs.spawn(work);
    }

    /// Shows a device in a call for as long as this is held.
    pub(crate) fn in_call(&self, device: Option<RecordId>) -> Option<InCall> {
        self.registrar.as_ref()?.in_call(device?)
    }

    /// The same for whoever calls this way, if it is registered.
    pub(crate) fn caller_in_call(&self, flow: &Flow) -> Option<InCall> {
        let registrar = self.registrar.as_ref()?;
        registrar.in_call(registrar.caller(flow, Instant::now())?)
    }

    /// Our address for a peer; its own is not known where it is called by a name.
    pub(crate) fn announced_to(&self, peer: Option<IpAddr>) -> IpAddr {
        let same = |it: &&IpAddr| peer.is_none_or(|peer| it.is_ipv4() == peer.is_ipv4());
        let found = self.announced.iter().find(same).or(self.announced.first());
        found.copied().unwrap_or(IpAddr::from([127, 0, 0, 1]))
    }

    /// How others are arranged in a picture of which nothing else was said.
    pub(crate) fn layout_of(&self, meeting: &MeetingId) -> LegLayout {
        let settings = self.conference.directory().find(meeting);
        settings.and_then(|it| it.layout).unwrap_or(self.media.layout)
    }

    /// Tells the meeting how others are arranged in the picture of a call of ours.
    pub(crate) fn show_layout(&self, leg: &DialledLeg) {
        let Some(meeting) = self.conference.find(&leg.meeting) else { return };
        let layout = (LAYOUT_ATTRIBUTE.to_owned(), leg.layout.to_string());
        let change = MemberChange { attributes: [layout].into(), ..MemberChange::default() };
        let identity = leg.identity.clone();
        meeting.tell(Command::UpdateMember { identity, change, permissions: None });
    }

    /// A call's place among those of its network; `None`: they are as many as may be.
    pub(crate) fn share(&self, source: IpAddr) -> Option<Share> {
        self.callers.take(source, self.calls_of_one)
    }

    /// Whether this address has guessed wrong too often of late.
    pub(crate) fn may_try_pin(&self, source: IpAddr) -> bool {
        self.limiter().check(source, Instant::now()).is_ok()
    }

    pub(crate) fn note_wrong_pin(&self, source: IpAddr) {
        metrics::counter!("plenum_sip_wrong_pins_total").increment(1);
        self.limiter().charge(source, Instant::now());
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.pin_failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever is called so over a trunk.
pub(crate) fn over_trunk(
    plan: &Plan,
    read: &Read,
    rule: String,
    id: &RecordId,
    called: &CallAddress,
) -> Result<Callee, DialRefusal> {
    let Some(trunk) = read.trunk(id) else {
        tracing::warn!(rule, trunk = %id, "a dial rule names a trunk that is not there");
        return Err(DialRefusal::TrunkUnusable { rule });
    };
    let targets = hops(trunk).map(|hop| Target::over(hop, called)).collect::<Result<_, _>>();
    let targets = targets.map_err(|_| DialRefusal::BadAddress)?;
    let credentials = plan.credentials(trunk).map_err(|error| {
        tracing::warn!(%error, trunk = trunk.name, "a trunk's password cannot be read");
        DialRefusal::TrunkUnusable { rule }
    })?;
    let call = plan.take(id, trunk, credentials);
    let call = call.ok_or_else(|| DialRefusal::TrunkFull { trunk: trunk.name.clone() })?;
    Ok(Callee { device: None, trunk: Some(call), targets })
}

/// A trunk's hosts in the order in which they are tried.
fn hops(trunk: &Trunk) -> impl Iterator<Item = Hop> {
    let transport = trunk.transport.into();
    let hosts = trunk.hosts().into_iter();
    hosts.map(move |(host, port)| Hop { host: host.to_owned(), port, transport, name: None })
}

/// Whether this may be what people call a device, and no address of a host.
fn is_name(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && !text.contains(['@', ':', '.', '[', '<', ';']) && text != "localhost"
}

async fn accept(shared: Arc<Shared>, mut calls: mpsc::Receiver<Incoming>) {
    while let Some(Incoming::Call(call)) = calls.recv().await {
        let span = span(&call);
        let leg = leg::answer(shared.clone(), call).instrument(span);
        shared.legs.spawn(leg);
    }
}

fn span(call: &IncomingCall) -> tracing::Span {
    let id = call.id().map(ToString::to_string).unwrap_or_default();
    tracing::info_span!("leg", call = %id, source = %call.source)
}
