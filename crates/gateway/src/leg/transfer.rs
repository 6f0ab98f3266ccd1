//! Calls that are handed on: a room system has somebody else called into its meeting (REFER), or
//! another call takes its place there (`Replaces`). Both only where the configuration lets them.

use std::sync::Arc;

use conference::LegState;
use room::Role;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use types::MeetingId;

use super::line::Line;
use super::{roster, status_of_leg};
use crate::gateway::Shared;
use crate::registrar::Callee;
use crate::sip::{CallId, Reports, Status, Subscription, Target, Transfer};

/// A call's place in a meeting, by which another may take it, for as long as this is held.
pub(super) struct Inside {
    shared: Arc<Shared>,
    call: CallId,
    pub(super) meeting: MeetingId,
    /// It is out again.
    pub(super) out: CancellationToken,
}

impl Inside {
    pub(super) fn new(shared: &Arc<Shared>, call: CallId, meeting: MeetingId, role: Role) -> Self {
        shared.places().insert(call.clone(), (meeting.clone(), role));
        let out = shared.stop.child_token();
        Self { shared: shared.clone(), call, meeting, out }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.shared.places().remove(&self.call);
        self.out.cancel();
    }
}

impl Line {
    /// Tells the room system who is in its meeting; of any other it hears nothing.
    pub(super) fn subscribed(&self, mut subscription: Subscription) {
        let Some(Inside { meeting, out, .. }) = &self.inside else { return };
        subscription.accept();
        let telling = roster::tell(self.shared.clone(), meeting.clone(), subscription, out.clone());
        tokio::spawn(telling.in_current_span());
    }

    /// Has somebody else called into the room system's meeting, if anybody may be called there by the
    /// rules that hold for all calls of ours.
    pub(super) async fn transfer(&mut self, transfer: Transfer) {
        let Some(Inside { meeting, .. }) = &self.inside else {
            return transfer.reject(Status::FORBIDDEN);
        };
        let callee = match self.shared.callee(&transfer.to).await {
            Ok(callee) => callee,
            Err(refusal) => {
                tracing::info!(%refusal, "a room system hands its call on to nobody");
                return transfer.reject(Status::FORBIDDEN);
            }
        };
        let replaces = transfer.replaces.clone();
        let targets = callee.targets.into_iter();
        let targets = targets.map(|it| Target { replaces: replaces.clone(), ..it }).collect();
        let callee = Callee { targets, ..callee };
        let (tell, state) = watch::channel(LegState::Dialling);
        let side = Some((String::new(), tell));
        match self.shared.launch(meeting, callee, None, side) {
            Ok((leg, _)) => {
                tracing::info!(leg = %leg.id, "a room system hands its call on");
                let reports = transfer.accept();
                tokio::spawn(report(reports, state));
            }
            Err(refusal) => {
                tracing::info!(%refusal, "a room system cannot hand its call on");
                transfer.reject(Status::TEMPORARILY_UNAVAILABLE);
            }
        }
    }
}

/// Tells the room system how the call stands until it is answered or over.
async fn report(reports: Reports, mut state: watch::Receiver<LegState>) {
    loop {
        let now = *state.borrow_and_update();
        let status = match now {
            LegState::Dialling => 100,
            LegState::Ringing => 180,
            LegState::Active => 200,
            over => status_of_leg(over).code(),
        };
        if let Err(error) = reports.tell(status).await {
            return tracing::debug!(%error, "word of a transfer is not wanted");
        }
        if status >= 200 || state.changed().await.is_err() {
            return;
        }
    }
}
