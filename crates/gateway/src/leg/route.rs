//! Where a call that comes in goes: by the dial plan, or into the meeting that was dialled.

use std::time::Instant;

use conference::booking::Called;
use conference::store::Found;
use conference::telephony::{Call, Decision, Direction, Trunk, TrunkKind};
use types::MeetingId;

use super::Refused;
use super::admission::{Dialled, UserPart, percent_decoded};
use crate::gateway::Shared;
use crate::plan::{MAX_ADDRESS, Plan, Read, Ruling, TrunkCall};
use crate::sip::{Flow, IncomingCall, Target};

/// The way of a call that may come in.
pub(super) struct Way {
    pub(super) dialled: Dialled,
    /// What it comes over, where it comes over a trunk.
    pub(super) trunk: Option<TrunkCall>,
}

/// Asks the dial plan. Rules see what was called without the PIN behind it. Where none matches, who
/// comes over a trunk is refused, and whoever else has dialled a meeting.
pub(super) async fn way(shared: &Shared, call: &IncomingCall) -> Result<Way, Refused> {
    let user = call.user.as_deref().and_then(UserPart::read).ok_or(Refused::NoMeetingDialled)?;
    match &shared.plan {
        Some(plan) => {
            let read = plan.read().await?;
            by_plan(shared, plan, &read, call, user)
        }
        None => Ok(Way { dialled: dialled(user)?, trunk: None }),
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
    let dialled = match (read.decide(&asked), trunk) {
        (Some(ruling), _) => by_rule(ruling, user)?,
        (None, Some(trunk)) if trunk.entity.kind == TrunkKind::TrueConf => dialled(user)?,
        (None, Some(trunk)) => return Err(Refused::NoRule { trunk: trunk.entity.name.clone() }),
        (None, None) => dialled(user)?,
    };
    let Some(trunk) = trunk else { return Ok(Way { dialled, trunk: None }) };
    match plan.take(&trunk.id, &trunk.entity, None) {
        Some(call) => Ok(Way { dialled, trunk: Some(call) }),
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

fn by_rule(ruling: Ruling, user: UserPart) -> Result<Dialled, Refused> {
    let Ruling { rule, decision } = ruling;
    let to = match decision {
        Decision::Meeting(called) => {
            tracing::info!(rule, "a dial rule sends a call into a meeting");
            let meeting = match called {
                Called::Alias(alias) => alias,
                Called::Number(number) => {
                    MeetingId::parse(number.as_str()).map_err(|_| Refused::NoMeetingDialled)?
                }
            };
            return Ok(Dialled { meeting, pin: user.pin });
        }
        Decision::Reject(cause) => return Err(Refused::ByRule { rule, cause }),
        Decision::Ivr => "to a voice",
        Decision::Trunk { .. } => "over a trunk",
        Decision::Device(_) => "to a device",
    };
    Err(Refused::NotBuilt { rule, to })
}

fn dialled(user: UserPart) -> Result<Dialled, Refused> {
    Dialled::of(user).ok_or(Refused::NoMeetingDialled)
}

/// Whether a registered device calls, by the way that it registered.
fn is_registered(shared: &Shared, call: &IncomingCall) -> bool {
    let flow = Flow { transport: call.transport, peer: call.source };
    let registrar = shared.registrar.as_ref();
    registrar.is_some_and(|it| it.caller(&flow, Instant::now()).is_some())
}
