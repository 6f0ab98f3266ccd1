//! Where a call that comes in goes: by the dial plan, or into the meeting that was dialled.

use std::time::Instant;

use conference::DialRefusal;
use conference::booking::Called;
use conference::store::Found;
use conference::telephony::{Call, Decision, Direction, Trunk, TrunkKind};
use room::Role;
use types::{MeetingId, RecordId};

use super::Refused;
use super::admission::{Dialled, UserPart, percent_decoded};
use crate::gateway::{Shared, over_trunk};
use crate::plan::{MAX_ADDRESS, Plan, Read, Ruling, TrunkCall};
use crate::registrar::Callee;
use crate::sip::{Flow, IncomingCall, Target};

/// The way of a call that may come in.
pub(super) struct Way {
    pub(super) to: To,
    /// What it comes over, where it comes over a trunk.
    pub(super) trunk: Option<TrunkCall>,
    /// The dial rule that sends it there, where one does.
    pub(super) rule: Option<String>,
}

/// Where a call goes.
pub(super) enum To {
    Meeting(Dialled),
    /// To the voice that asks for a meeting's number.
    Reception,
    /// To somebody who is called.
    Callee(Box<Callee>),
    /// Into another call's place in a meeting.
    Place(MeetingId, Role),
}

/// Asks the dial plan. Rules see what was called without the PIN behind it. Where none matches, who
/// comes over a trunk is refused; whoever else has dialled a meeting, or our address alone.
pub(super) async fn way(shared: &Shared, call: &IncomingCall) -> Result<Way, Refused> {
    if let Some(replaced) = &call.replaces {
        // Whoever knows both ends of a call has it from one of them.
        let place = shared.places().get(replaced.id()).cloned();
        let (meeting, role) = place.ok_or(Refused::NotReplaced)?;
        return Ok(Way { to: To::Place(meeting, role), trunk: None, rule: None });
    }
    let user = call.user.as_deref().unwrap_or_default();
    let user = UserPart::read(user).ok_or(Refused::NoMeetingDialled)?;
    match &shared.plan {
        Some(plan) => {
            let read = plan.read().await?;
            by_plan(shared, plan, &read, call, user)
        }
        None => Ok(Way { to: dialled(shared, user)?, trunk: None, rule: None }),
    }
}

fn by_plan(
    shared: &Shared,
    plan: &Plan,
    read: &Read,
    call: &IncomingCall,
    user: UserPart,
) -> Result<Way, Refused> {
    let (trunk, user) = comes_over(shared, read, call, user)?;
    let calling = percent_decoded(&call.calling).unwrap_or_else(|| call.calling.clone());
    let asked = Call {
        direction: Direction::In,
        trunk: trunk.map(|it| it.id.clone()),
        calling: trunk.map_or(calling.as_str(), |it| it.entity.seen_as(&calling)).to_owned(),
        called: user.called.clone(),
        transport: Some(call.transport.into()),
        registered: is_registered(shared, call),
    };
    // What is longer than any address would only keep the rules busy.
    if asked.called.len() > MAX_ADDRESS || asked.calling.len() > MAX_ADDRESS {
        return Err(Refused::NoMeetingDialled);
    }
    let ruling = read.decide(&asked);
    let rule = ruling.as_ref().map(|it| it.rule.clone());
    let to = match (ruling, trunk) {
        (Some(ruling), from) => {
            let from = from.map(|it| &it.id);
            by_rule(shared, plan, read, ruling, user, from)?
        }
        (None, Some(trunk)) if trunk.entity.kind == TrunkKind::TrueConf => dialled(shared, user)?,
        (None, Some(trunk)) => return Err(Refused::NoRule { trunk: trunk.entity.name.clone() }),
        (None, None) if asked.registered => match shared.device(&user.called) {
            // Devices of the house call each other.
            Some(callee) => To::Callee(Box::new(callee)),
            None => dialled(shared, user)?,
        },
        (None, None) => dialled(shared, user)?,
    };
    let Some(trunk) = trunk else { return Ok(Way { to, trunk: None, rule }) };
    match plan.take(&trunk.id, &trunk.entity, None) {
        Some(call) => Ok(Way { to, trunk: Some(call), rule }),
        None => Err(Refused::TrunkFull { trunk: trunk.entity.name.clone() }),
    }
}

/// The trunk that a call comes over, and who is called: over our registration that is whom its caller
/// named, since the request itself names our contact.
fn comes_over<'a>(
    shared: &Shared,
    read: &'a Read,
    call: &IncomingCall,
    user: UserPart,
) -> Result<(Option<&'a Found<Trunk>>, UserPart), Refused> {
    let Some((id, by_contact)) = shared.trunks.over_registration(call) else {
        return Ok((read.trunk_at(call.source.ip()), user));
    };
    let user = match by_contact {
        true => Target::read(&call.to).ok().and_then(|to| UserPart::read(&to.user)),
        false => Some(user),
    };
    let user = user.ok_or(Refused::NoMeetingDialled)?;
    Ok((read.trunks().iter().find(|it| it.id == id), user))
}

fn by_rule(
    shared: &Shared,
    plan: &Plan,
    read: &Read,
    ruling: Ruling,
    user: UserPart,
    from: Option<&RecordId>,
) -> Result<To, Refused> {
    let Ruling { rule, decision } = ruling;
    match decision {
        Decision::Meeting(called) => {
            tracing::info!(rule, "a dial rule sends a call into a meeting");
            let meeting = match called {
                Called::Alias(alias) => alias,
                Called::Number(number) => {
                    MeetingId::parse(number.as_str()).map_err(|_| Refused::NoMeetingDialled)?
                }
            };
            Ok(To::Meeting(Dialled { meeting, pin: user.pin }))
        }
        Decision::Reject(cause) => Err(Refused::ByRule { rule, cause }),
        Decision::Ivr => {
            tracing::info!(rule, "a dial rule sends a call to the reception");
            Ok(To::Reception)
        }
        // What came over a trunk would go round and round.
        Decision::Trunk { trunk, .. } if from == Some(&trunk) => Err(Refused::Loop { rule }),
        Decision::Trunk { trunk, called } => {
            tracing::info!(rule, "a dial rule sends a call over a trunk");
            over_trunk(plan, read, rule, &trunk, &called)
                .map(|it| To::Callee(Box::new(it)))
                .map_err(Refused::NotCalled)
        }
        Decision::Device(extension) => {
            tracing::info!(rule, "a dial rule sends a call to a device");
            let device = shared.device(extension.as_str());
            let device = device.map(|it| To::Callee(Box::new(it)));
            device.ok_or(Refused::NotCalled(DialRefusal::NotRegistered))
        }
    }
}

fn dialled(shared: &Shared, user: UserPart) -> Result<To, Refused> {
    if user.called.is_empty() && shared.reception {
        return Ok(To::Reception);
    }
    Dialled::of(user).map(To::Meeting).ok_or(Refused::NoMeetingDialled)
}

/// Whether a registered device calls, by the way that it registered.
fn is_registered(shared: &Shared, call: &IncomingCall) -> bool {
    let flow = Flow { transport: call.transport, peer: call.source };
    let registrar = shared.registrar.as_ref();
    registrar.is_some_and(|it| it.caller(&flow, Instant::now()).is_some())
}
