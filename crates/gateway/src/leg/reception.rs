//! The reception: who dialled our address alone is asked for a meeting's number.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use conference::telephony::Trunk;
use types::{Bandwidth, MeetingId};

use super::admission::{Dialled, KeyEntry};
use super::line::Line;
use super::prompt::Prompt;
use super::{Entry, Refused, admit};

/// A room system that gets its picture from elsewhere now may have dropped the first key frame, which
/// came before it was ready, and not ask for another one: of a calm picture it would see nothing.
const READY: Duration = Duration::from_secs(1);

impl Line {
    /// The room system has to enter the number of a meeting, which may ask for a PIN then. A wrong
    /// number counts as a wrong PIN does: nobody tries them all.
    pub(super) async fn receive(mut self, source: IpAddr, over: Option<&Trunk>) {
        tracing::info!(peer = %self.leg.peer(), "a room system is asked for a meeting's number");
        let mut entry = KeyEntry::number(Instant::now());
        self.show(Prompt::Number(String::new()));
        loop {
            let prompt = |entry: &KeyEntry| Prompt::Number(entry.entered().to_owned());
            let Some(number) = self.entered(&mut entry, prompt).await else { return };
            match self.find(source, &number, over).await {
                Ok(Entry::In(meeting)) => return self.go_in(meeting).await,
                Ok(Entry::Ask { meeting, failed }) => {
                    return self.ask_pin(meeting, source, failed).await;
                }
                Ok(Entry::Reception) => {}
                // Whatever the reason is, the room system is told the same.
                Err(refused) => tracing::info!(reason = %refused, "no meeting for a room system"),
            }
            self.show(Prompt::Unknown);
            if !entry.wrong() {
                tracing::info!("three wrong numbers");
                self.let_read().await;
                return self.end().await;
            }
        }
    }

    /// The meeting of a number, with a seat for it.
    async fn find(
        &mut self,
        source: IpAddr,
        number: &str,
        over: Option<&Trunk>,
    ) -> Result<Entry, Refused> {
        if !self.shared.may_try_pin(source) {
            return Err(Refused::TooManyPins);
        }
        let meeting = MeetingId::parse(number).map_err(|_| Refused::NoMeetingDialled)?;
        let dialled = Dialled { meeting, pin: None };
        let found = admit(&self.shared, source, dialled).await;
        let (entry, role) = found.inspect_err(|_| self.shared.note_wrong_pin(source))?;
        if let Entry::In(meeting) | Entry::Ask { meeting, .. } = &entry {
            self.caller.comes_as(role, self.shared.layout_of(meeting));
            self.sit_at(meeting, over).await?;
        }
        Ok(entry)
    }

    /// Takes a seat at the meeting: on its shard, with its bandwidth, which the room system is told
    /// where it is another one.
    async fn sit_at(&mut self, meeting: &MeetingId, over: Option<&Trunk>) -> Result<(), Refused> {
        if self.leg.can_join(meeting) {
            return Ok(());
        }
        let mut seat = self.shared.conference.seat_leg(meeting)?;
        if self.session.shares() {
            seat.add_content();
        }
        let bandwidth = [seat.bandwidth(), over.and_then(|it| it.kbps).map(Bandwidth::kilobits)];
        self.session.sit(&mut seat, &self.shared.media.over(over), bandwidth);
        let answer = self.propose().await?;
        let agreed = self.session.complete(&answer)?.ok_or(Refused::NoAnswer)?;
        self.leg = seat.start(agreed.media, agreed.format, agreed.content)?;
        self.follow_camera().await;
        self.shown_again = Some(Instant::now() + READY);
        tracing::debug!(peer = %self.leg.peer(), "a room system sits at its meeting now");
        Ok(())
    }
}
