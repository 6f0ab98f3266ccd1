//! A call that comes in for somebody who is no meeting: a device of the house, or whoever is called over
//! a trunk. Both sides meet in a meeting of their own, of which nobody else knows the name, and each
//! leaves with the other.

use std::sync::Arc;

use conference::access::{Directory, MeetingSettings};
use conference::{LegState, random_id};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use types::MeetingId;

use super::{Refused, line};
use crate::gateway::Shared;
use crate::registrar::Callee;
use crate::sip::{CallEvent, IncomingCall};

/// Their meeting, for as long as this is held.
struct Private {
    shared: Arc<Shared>,
    id: MeetingId,
}

impl Private {
    fn new(shared: &Arc<Shared>, name: String) -> Result<Self, Refused> {
        let id = MeetingId::parse(&random_id("call-")).map_err(|_| Refused::NoMeetingDialled)?;
        let settings = MeetingSettings { name, max_participants: 2, ..MeetingSettings::open(id) };
        let id = settings.id.clone();
        directory(shared).create(settings).map_err(|error| {
            tracing::warn!(%error, "a call cannot be put through");
            Refused::NotReached(LegState::NotAdmitted)
        })?;
        Ok(Self { shared: shared.clone(), id })
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        directory(&self.shared).remove(&self.id);
    }
}

fn directory(shared: &Shared) -> &Directory {
    shared.conference.directory()
}

/// The other side of a call that was put through: it hangs up with this.
pub(super) struct Other {
    /// It has hung up, or the server stops.
    pub(super) gone: CancellationToken,
    _hang_up: DropGuard,
    _meeting: Private,
}

/// Calls whom a call is for until it answers, while the caller is told that it rings: their meeting.
///
/// # Errors
/// Why the call is to be refused.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    call: &mut IncomingCall,
    callee: Callee,
) -> Result<(MeetingId, Other), Refused> {
    let private = Private::new(shared, line::name_of(call))?;
    let meeting = private.id.clone();
    let (tell, mut state) = watch::channel(LegState::Dialling);
    let calling = call.calling.split('@').next().unwrap_or_default().to_owned();
    let launched = shared.launch(&meeting, callee, None, Some((calling, tell)));
    let hang_up = launched.map_err(Refused::NotCalled)?.1.drop_guard();
    tracing::info!(%meeting, "a call is put through");
    answered(call, &mut state).await?;
    let gone = shared.stop.child_token();
    let told = gone.clone();
    tokio::spawn(async move {
        // That nobody tells any more is an end as well.
        let _ = state.wait_for(|it| it.is_over()).await;
        told.cancel();
    });
    Ok((meeting, Other { gone, _hang_up: hang_up, _meeting: private }))
}

/// Waits for the other side's answer.
async fn answered(
    call: &mut IncomingCall,
    state: &mut watch::Receiver<LegState>,
) -> Result<(), Refused> {
    loop {
        let now = *state.borrow_and_update();
        match now {
            LegState::Active => return Ok(()),
            LegState::Ringing => {
                if let Err(error) = call.ringing() {
                    tracing::debug!(%error, "the caller does not hear that it rings");
                }
            }
            LegState::Dialling => {}
            over => return Err(Refused::NotReached(over)),
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() {
                return Err(Refused::NotReached(LegState::Ended));
            },
            event = call.next() => match event {
                None | Some(CallEvent::Cancelled | CallEvent::TimedOut) => {
                    return Err(Refused::GaveUp);
                }
                Some(_) => {}
            },
        }
    }
}
