//! Calls that we make: what is remembered of them, and one call's way into its meeting.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conference::telephony::Trunk;
use conference::{
    DialRefusal, DialledLeg, JoinError, Leg, LegContent, LegEvent, LegFormat, LegId, LegState,
};
use sfu::transport::plain::LegMedia;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use types::{Bandwidth, Identity, LegLayout, MeetingId};

use super::line::{Caller, Line};
use super::media::{MediaRules, Session};
use crate::gateway::Shared;
use crate::plan::TrunkCall;
use crate::sip::{Advice, Call, CallEvent, Dial, FailureKind, Proof, Target};
use crate::trunks;

/// Calls that are remembered at a time.
const MAX_LEGS: usize = 2000;
/// How long an ended call is remembered.
const REMEMBERED: Duration = Duration::from_secs(300);

/// A server that says nothing for this long is passed over, where there is another.
const NO_ANSWER_OF_ONE: Duration = Duration::from_secs(4);

/// How often one call is sent on to somebody else.
const MAX_SENT_ON: usize = 5;

/// All calls of ours that are up, or ended lately.
#[derive(Default)]
pub(crate) struct Dialled {
    legs: Mutex<HashMap<LegId, Entry>>,
}

struct Entry {
    leg: DialledLeg,
    hang_up: CancellationToken,
    ended: Option<Instant>,
}

/// One call's place among them.
pub(crate) struct Place {
    shared: Arc<Shared>,
    id: LegId,
    hang_up: CancellationToken,
    /// What it goes over, where it goes over a trunk.
    trunk: Option<TrunkCall>,
    /// For whom it is made, where somebody called here.
    side: Option<CallingSide>,
}

/// What of the refusals of a call was followed.
#[derive(Default)]
struct Followed {
    proofs: u32,
    interval: bool,
}

/// Who called here, by the user of its address, and who wants to know how the call on stands.
pub(crate) type CallingSide = (String, watch::Sender<LegState>);

impl Dialled {
    fn lock(&self) -> MutexGuard<'_, HashMap<LegId, Entry>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new call, if there is room for it: where there is none, what ended first is forgotten.
    pub(crate) fn add(
        &self,
        leg: DialledLeg,
        hang_up: CancellationToken,
    ) -> Result<(), DialRefusal> {
        let mut legs = self.lock();
        legs.retain(|_, it| it.ended.is_none_or(|at| at.elapsed() < REMEMBERED));
        if legs.len() >= MAX_LEGS {
            let ended = legs.iter().filter_map(|(id, it)| Some((it.ended?, id)));
            let first = ended.min_by_key(|(at, _)| *at).map(|(_, id)| id.clone());
            legs.remove(&first.ok_or(DialRefusal::TooMany)?);
        }
        legs.insert(leg.id.clone(), Entry { leg, hang_up, ended: None });
        Ok(())
    }

    pub(crate) fn leg(&self, meeting: &MeetingId, id: &LegId) -> Option<DialledLeg> {
        self.lock().get(id).map(|it| it.leg.clone()).filter(|it| it.meeting == *meeting)
    }

    /// `show` tells the meeting, in the order of the changes.
    pub(crate) fn set_layout(
        &self,
        meeting: &MeetingId,
        id: &LegId,
        layout: LegLayout,
        show: impl Fn(&DialledLeg),
    ) -> Option<DialledLeg> {
        let mut legs = self.lock();
        let leg = &mut legs.get_mut(id).filter(|it| it.leg.meeting == *meeting)?.leg;
        if !leg.state.is_over() {
            leg.layout = layout;
            show(leg);
        }
        Some(leg.clone())
    }

    /// A room system that we called arranges others so by itself.
    pub(crate) fn note_layout(&self, identity: &Identity, layout: LegLayout) {
        if let Some(entry) = self.lock().values_mut().find(|it| it.leg.identity == *identity) {
            entry.leg.layout = layout;
        }
    }

    /// Once it is in: what was changed before that did not reach the meeting.
    fn show(&self, id: &LegId, show: impl Fn(&DialledLeg)) {
        if let Some(entry) = self.lock().get(id) {
            show(&entry.leg);
        }
    }

    pub(crate) fn hang_up(&self, meeting: &MeetingId, id: &LegId) -> Option<DialledLeg> {
        let legs = self.lock();
        let entry = legs.get(id).filter(|it| it.leg.meeting == *meeting)?;
        entry.hang_up.cancel();
        Some(entry.leg.clone())
    }

    /// The call as it stands then, if that is another state than before.
    fn set(&self, id: &LegId, state: LegState) -> Option<DialledLeg> {
        let mut legs = self.lock();
        let entry = legs.get_mut(id)?;
        if entry.leg.state.is_over() || entry.leg.state == state {
            return None;
        }
        entry.leg.state = state;
        entry.ended = state.is_over().then(Instant::now);
        Some(entry.leg.clone())
    }
}

impl Place {
    pub(crate) fn new(
        shared: Arc<Shared>,
        id: LegId,
        hang_up: CancellationToken,
        trunk: Option<TrunkCall>,
    ) -> Self {
        Self { shared, id, hang_up, trunk, side: None }
    }

    /// It is made for somebody who called here.
    pub(crate) fn for_caller(mut self, side: Option<CallingSide>) -> Self {
        self.side = side;
        self
    }

    /// What is agreed to.
    fn rules(&self) -> MediaRules {
        self.shared.media.over(self.trunk.as_ref().map(|it| &it.trunk))
    }

    /// The call to be made.
    fn dial(&self, meeting: &MeetingId, target: &Target, offer: Vec<u8>) -> Dial {
        let directory = self.shared.conference.directory();
        let name = directory.find(meeting).map(|it| it.name);
        let (from, display_name) = match &self.trunk {
            Some(TrunkCall { trunk: Trunk { caller, .. }, .. }) => {
                let number = || match directory.booked(meeting) {
                    Some(booked) => booked.meeting.number.to_string(),
                    None => meeting.to_string(),
                };
                let given = |text: &String| Some(text.clone()).filter(|it| !it.is_empty());
                let number = || self.calling().unwrap_or_else(number);
                (given(&caller.number).unwrap_or_else(number), given(&caller.name).or(name))
            }
            None => (self.calling().unwrap_or_else(|| meeting.to_string()), name),
        };
        Dial {
            display_name,
            transport: target.hop.as_ref().map(|it| it.transport),
            flow: target.flow,
            route: target.route.clone(),
            next_hop: target.hop.clone(),
            replaces: target.replaces.clone(),
            ..Dial::new(target.address.clone(), from, offer)
        }
    }

    /// A call that was refused, as its refusal says that it is to be made, if it says so. Who we are is
    /// proved once, and once more where the first proof only came too late; whoever wants another
    /// session interval gets it once.
    fn again(&self, dial: &Dial, refused: &Call, followed: &mut Followed) -> Option<Dial> {
        let Advice { challenge, interval, .. } = refused.advice();
        let dial = Dial { again: Some(refused.id().clone()), ..dial.clone() };
        let Followed { proofs, interval: given } = followed;
        if let Some(interval) = interval.filter(|it| *it > dial.interval && !*given) {
            *given = true;
            tracing::info!(interval, "calling again: with the session interval that is asked for");
            return Some(Dial { interval, ..dial });
        }
        let challenge = challenge?;
        *proofs += 1;
        let may = *proofs == 1 || (*proofs == 2 && challenge.is_stale());
        let credentials = self.trunk.as_ref()?.credentials.clone().filter(|_| may)?;
        tracing::info!("calling again: with who we are at the trunk");
        Some(Dial { proof: Some(Proof::new(challenge, credentials)?), ..dial })
    }

    /// Who is to be called instead, as far as they may be called: over the same trunk, which alone is
    /// told who we are there, or like this call over none.
    async fn instead(&self, contacts: &[String]) -> Vec<Target> {
        let ours = self.trunk.as_ref().map(|it| &it.id);
        let mut targets = Vec::new();
        for contact in contacts {
            match self.shared.callee(contact).await {
                Ok(callee) if callee.trunk.as_ref().map(|it| &it.id) == ours => {
                    targets.extend(callee.targets);
                }
                Ok(_) => tracing::info!("a call is not sent on by another way"),
                Err(refusal) => tracing::info!(%refusal, "a call is not sent on"),
            }
        }
        targets
    }

    /// Who called here, if that can be told.
    fn calling(&self) -> Option<String> {
        self.side.as_ref().map(|it| it.0.clone()).filter(|it| !it.is_empty())
    }

    fn set(&self, state: LegState) {
        if state.is_over() {
            let result = format!("{state:?}");
            tracing::info!(result, "a call of ours is over");
            metrics::counter!("plenum_sip_dialled_total", "result" => result).increment(1);
        }
        self.change(state);
    }

    fn change(&self, state: LegState) {
        if let Some(leg) = self.shared.dialled.set(&self.id, state) {
            self.shared.conference.tell_leg(&leg);
            if let Some((_, tell)) = &self.side {
                tell.send_replace(leg.state);
            }
        }
    }
}

impl Drop for Place {
    /// Whatever way its task ended, the call is over.
    fn drop(&mut self) {
        self.change(LegState::Ended);
    }
}

/// Calls a room system, and stays with the call until its end. It stands in the roster from the
/// beginning, so that people see it ring. It may be at several places, which are tried in turn.
pub(crate) async fn call(place: Place, meeting: MeetingId, targets: Vec<Target>, caller: Caller) {
    let Some(first) = targets.first() else { return place.set(LegState::Unreachable) };
    let ended = match begin(&place, &meeting, first, &caller).await {
        Ok((mut session, mut leg)) => {
            match somewhere(&place, &meeting, &targets, &mut session, &mut leg).await {
                Ok(call) => {
                    place.set(LegState::Active);
                    leg.answered(&call.id().to_string(), &session.spoken()).await;
                    let stop = place.hang_up.clone();
                    let line = Line::new(place.shared.clone(), call, session, leg, caller, stop);
                    line.run(meeting, None).await;
                    LegState::Ended
                }
                Err(state) => state,
            }
        }
        Err(state) => state,
    };
    place.set(ended);
}

/// Its ports, and its place in the meeting.
async fn begin(
    place: &Place,
    meeting: &MeetingId,
    target: &Target,
    caller: &Caller,
) -> Result<(Session, Leg), LegState> {
    let not_admitted = |error: JoinError| {
        tracing::info!(%error, "a room system is not called");
        LegState::NotAdmitted
    };
    let shared = &place.shared;
    let mut seat = shared.conference.seat_leg(meeting).map_err(not_admitted)?;
    seat.add_content();
    let announced = shared.announced_to(target.ip());
    let bandwidth = place.trunk.as_ref().and_then(|it| it.trunk.kbps).map(Bandwidth::kilobits);
    let bandwidth = [seat.bandwidth(), bandwidth];
    let session = Session::new(&mut seat, announced, &place.rules(), target.secure, bandwidth);
    // Without media there are no keys that could be wrong.
    let mut leg = seat
        .start(LegMedia::default(), LegFormat::default(), LegContent::default())
        .map_err(|_| LegState::Incompatible)?;
    leg.join(meeting, caller.participant()).await.map_err(not_admitted)?;
    shared.dialled.show(&place.id, |leg| shared.show_layout(leg));
    Ok((session, leg))
}

/// Calls it at one place after the other, until something answers there.
async fn somewhere(
    place: &Place,
    meeting: &MeetingId,
    targets: &[Target],
    session: &mut Session,
    leg: &mut Leg,
) -> Result<Call, LegState> {
    let shared = &place.shared;
    let trunk = place.trunk.as_ref();
    if let Some(TrunkCall { id, trunk, .. }) = trunk {
        trunks::before_call(shared, id, trunk).await;
    }
    let mut servers = located(shared, targets).await;
    if let Some(TrunkCall { id, .. }) = trunk {
        shared.trunks.sort(id, &mut servers);
    }
    let mut done = LegState::Unreachable;
    let mut servers = VecDeque::from(servers);
    let mut sent_on = 0;
    while let Some(target) = servers.pop_front() {
        session.aim(shared.announced_to(target.ip()), &place.rules(), target.secure);
        let no_answer = servers.front().map(|_| NO_ANSWER_OF_ONE);
        let outcome = answered(place, meeting, (&target, no_answer), session, leg).await;
        if let (Some(TrunkCall { id, .. }), Some(server)) = (trunk, target.server())
            && !place.hang_up.is_cancelled()
        {
            let answers = outcome.as_ref().err().is_none_or(|it| it.state != LegState::Unreachable);
            shared.trunks.note(id, server, answers);
            let pause = outcome.as_ref().err().and_then(|it| it.advice.retry_after);
            if let Some(pause) = pause {
                shared.trunks.spare(id, server, pause);
            }
        }
        let NotAnswered { state, advice } = match outcome {
            Ok(call) => return Ok(call),
            Err(not_answered) => not_answered,
        };
        done = state;
        if place.hang_up.is_cancelled() {
            break;
        }
        if !advice.contacts.is_empty() && shared.endpoint.hands_on() && sent_on < MAX_SENT_ON {
            sent_on += 1;
            tracing::info!("a call is sent on to somebody else");
            let others = place.instead(&advice.contacts).await;
            let others = located(shared, &others).await;
            if !others.is_empty() {
                servers = others.into();
                continue;
            }
        }
        // What one server of a trunk does not know the others know neither.
        match state {
            LegState::Unreachable => {}
            LegState::NotFound if trunk.is_none() => {}
            _ => break,
        }
    }
    Err(done)
}

/// Why a call was not answered, and what its refusal said.
struct NotAnswered {
    state: LegState,
    advice: Box<Advice>,
}

impl From<LegState> for NotAnswered {
    fn from(state: LegState) -> Self {
        Self { state, advice: Box::default() }
    }
}

/// All servers of all targets, as far as they can be found.
async fn located(shared: &Shared, targets: &[Target]) -> Vec<Target> {
    let mut all = Vec::new();
    for target in targets {
        match shared.endpoint.locate(target).await {
            Ok(servers) => all.extend(servers),
            Err(error) => tracing::warn!(%error, ?target, "nobody to call there"),
        }
    }
    all
}

/// Calls, and again where that was refused for its media: some take keys only where encryption is
/// demanded, others only where it is not, and to some a second picture or a word on cameras is too much.
async fn answered(
    place: &Place,
    meeting: &MeetingId,
    target: (&Target, Option<Duration>),
    session: &mut Session,
    leg: &mut Leg,
) -> Result<Call, NotAnswered> {
    let incompatible = |done: &Result<Call, NotAnswered>| {
        done.as_ref().err().is_some_and(|it| it.state == LegState::Incompatible)
    };
    let mut done = attempt(place, meeting, target, session, leg).await;
    if incompatible(&done) && session.demand_srtp() {
        tracing::info!("calling again: with encryption demanded");
        done = attempt(place, meeting, target, session, leg).await;
    }
    if incompatible(&done) && session.forgo_extras() {
        tracing::info!("calling again: with sound and picture alone");
        done = attempt(place, meeting, target, session, leg).await;
    }
    done
}

async fn attempt(
    place: &Place,
    meeting: &MeetingId,
    (target, no_answer): (&Target, Option<Duration>),
    session: &mut Session,
    leg: &mut Leg,
) -> Result<Call, NotAnswered> {
    let mut followed = Followed::default();
    let dial = place.dial(meeting, target, session.offer());
    let mut dial = Dial { no_answer, ..dial };
    let (call, sdp) = loop {
        let mut call = place.shared.endpoint.dial(dial.clone()).await.map_err(|error| {
            tracing::info!(%error, "a room system cannot be called");
            LegState::Unreachable
        })?;
        match outcome(place, leg, &mut call).await {
            Ok(sdp) => break (call, sdp),
            Err(state) if place.hang_up.is_cancelled() => return Err(state.into()),
            Err(state) => match place.again(&dial, &call, &mut followed) {
                Some(again) => dial = again,
                None => return Err(NotAnswered { state, advice: Box::new(call.advice()) }),
            },
        }
    };
    match session.complete(&sdp) {
        Ok(Some(agreed)) => {
            agreed.reach(leg).await;
            Ok(call)
        }
        done => {
            tracing::info!(reason = ?done.err(), "hanging up: no session");
            super::line::hang_up(&call).await;
            Err(LegState::Incompatible.into())
        }
    }
}

/// Waits for a call's answer: the SDP in it.
async fn outcome(place: &Place, leg: &mut Leg, call: &mut Call) -> Result<Vec<u8>, LegState> {
    let (mut early, mut taken_back) = (None, false);
    loop {
        tokio::select! {
            event = call.next() => match event {
                Some(CallEvent::Ringing { sdp, .. }) => {
                    early = sdp.or(early);
                    place.set(LegState::Ringing);
                    leg.set_status("ringing").await;
                }
                Some(CallEvent::Answered { sdp }) if sdp.is_empty() => {
                    return Ok(early.unwrap_or_default());
                }
                Some(CallEvent::Answered { sdp }) => return Ok(sdp),
                Some(CallEvent::Failed(kind)) => return Err(state_of(kind)),
                Some(_) => {}
                None => return Err(LegState::Cancelled),
            },
            event = leg.next_event() => if let LegEvent::Out(_) | LegEvent::Lost = event {
                call.handle().cancel();
                return Err(LegState::Cancelled);
            },
            () = place.hang_up.cancelled(), if !taken_back => {
                call.handle().cancel();
                taken_back = true;
            }
        }
    }
}

fn state_of(kind: FailureKind) -> LegState {
    match kind {
        FailureKind::Busy => LegState::Busy,
        FailureKind::Declined => LegState::Declined,
        FailureKind::TimedOut => LegState::TimedOut,
        // It cannot serve now, and another server may (RFC 3261 section 21.5.4).
        FailureKind::Unreachable | FailureKind::Refused(503) => LegState::Unreachable,
        FailureKind::NotFound => LegState::NotFound,
        FailureKind::Refused(415 | 488 | 606) => LegState::Incompatible,
        FailureKind::Refused(_) => LegState::Refused,
        FailureKind::Cancelled => LegState::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(number: usize) -> DialledLeg {
        DialledLeg {
            id: LegId(number.to_string()),
            meeting: MeetingId::parse("board").unwrap(),
            identity: Identity::new("hall"),
            address: "hall@example.org".to_owned(),
            state: LegState::Dialling,
            layout: LegLayout::Grid,
        }
    }

    #[test]
    fn calls_that_have_ended_are_in_nobodys_way() {
        let dialled = Dialled::default();
        let add = |number| dialled.add(leg(number), CancellationToken::new());
        for number in 0..MAX_LEGS {
            add(number).unwrap();
        }
        assert_eq!(add(MAX_LEGS), Err(DialRefusal::TooMany), "all of them are up");
        for number in [7, 3] {
            dialled.set(&leg(number).id, LegState::Ended).unwrap();
        }
        let known = |number| dialled.leg(&leg(number).meeting, &leg(number).id).is_some();
        add(MAX_LEGS).unwrap();
        assert_eq!([known(7), known(3)], [false, true], "what ended first is forgotten first");
        add(MAX_LEGS + 1).unwrap();
        assert_eq!(add(MAX_LEGS + 2), Err(DialRefusal::TooMany));
    }
}
