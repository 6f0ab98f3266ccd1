//! A room system in its meeting: what its people do by the codes of their remote control, and what it
//! reads on its screen of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use conference::store::{self, ActorKind, Batch, Outcome};
use conference::{ExecuteError, MeetingHandle};
use room::{
    Act, Actor, CONTENT_ATTRIBUTE, Command, HAND_ATTRIBUTE, LAYOUT_ATTRIBUTE, LiveChange,
    MemberChange, ParticipantView, Role,
};
use types::{LegLayout, Timestamp, TrackSource};

use super::codes::{Control, Heard, KeyReader};
use super::line::{Done, Line, Next};

/// How long a message stands on the screen.
const SHOWN: Duration = Duration::from_secs(3);
/// So long its people read that the meeting ends, before it does.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a room system reads after a code.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    /// Whether its microphone is muted now.
    Muted(bool),
    GuestsMuted,
    /// Whether its hand is up now.
    Hand(bool),
    /// Whether the meeting is locked now.
    Locked(bool),
    Layout(LegLayout),
    /// Whether it sees shared screens now.
    Content(bool),
    Ends,
    HostsOnly,
    MutedByHost,
    /// These keys are no code.
    Unknown(String),
}

impl Message {
    /// A line for each language.
    fn text(&self) -> String {
        let lines = match self {
            Self::Muted(true) => ["Микрофон выключен", "Microphone off"],
            Self::Muted(false) => ["Микрофон включён", "Microphone on"],
            Self::GuestsMuted => ["Микрофоны гостей выключены", "Guests are muted"],
            Self::Hand(true) => ["Рука поднята", "Hand raised"],
            Self::Hand(false) => ["Рука опущена", "Hand lowered"],
            Self::Locked(true) => ["Встреча закрыта для новых", "Meeting locked"],
            Self::Locked(false) => ["Встреча открыта", "Meeting unlocked"],
            Self::Layout(LegLayout::Grid) => ["Все одинаково", "Everybody alike"],
            Self::Layout(LegLayout::Speaker) => ["Говорящий крупно", "Speaker large"],
            Self::Content(true) => ["Демонстрация экрана видна", "Shared screen shown"],
            Self::Content(false) => ["Демонстрация экрана скрыта", "Shared screen hidden"],
            Self::Ends => ["Встреча завершается", "The meeting ends"],
            Self::HostsOnly => ["Только для организатора", "For hosts only"],
            Self::MutedByHost => ["Микрофон выключил организатор", "The host has muted you"],
            Self::Unknown(keys) => return format!("Нет такого кода: {keys}\nUnknown code: {keys}"),
        };
        lines.join("\n")
    }
}

/// A remote control at work.
struct Remote {
    keys: KeyReader,
    /// Until when a message stands on the screen.
    shown_until: Option<Instant>,
    /// When the meeting ends, as was dialled.
    ends_at: Option<Instant>,
}

impl Remote {
    fn deadline(&self) -> Option<Instant> {
        self.shown_until.into_iter().chain(self.ends_at).min()
    }
}

// What waits takes `&mut self`: a line cannot be shared between threads, only handed over.
impl Line {
    /// Until the room system is not in its meeting any more.
    pub(super) async fn until_out(&mut self) -> Done {
        let mut remote = Remote { keys: KeyReader::new(), shown_until: None, ends_at: None };
        loop {
            match self.next(remote.deadline(), None).await {
                Some(Next::Key(key)) => self.press(&mut remote, key).await,
                Some(Next::Settled(_)) => {}
                None => self.do_what_is_due(&mut remote).await,
                Some(Next::ToLobby) => return Done::ToDoor,
                Some(Next::Goodbye) => return Done::Goodbye,
                Some(Next::Over) => return Done::Over,
            }
        }
    }

    /// Tells the meeting, and lets hosts steer, whether it has a camera for that.
    pub(super) async fn show_camera(&mut self) {
        let was_steered = self.steered.take().is_some();
        let meeting = self.leg.meeting().map(|it| it.id().clone());
        if let (Some(_), Some(meeting)) = (&self.camera, meeting) {
            let identity = self.caller.identity().clone();
            self.steered = Some(self.shared.cameras.add(meeting, identity, &self.orders));
        }
        let is_steered = self.steered.is_some();
        if was_steered || is_steered {
            self.leg.set_camera(is_steered).await;
        }
    }

    async fn press(&mut self, remote: &mut Remote, key: char) {
        let message = match remote.keys.key(key, &self.shared.codes, Instant::now()) {
            Heard::Nothing => None,
            Heard::Unknown(keys) => Some(Message::Unknown(keys)),
            Heard::Control(control) => self.obey(control).await,
        };
        let Some(message) = message else { return };
        tracing::info!(?message, "a code was dialled on a remote control");
        let now = Instant::now();
        if message == Message::Ends {
            remote.ends_at.get_or_insert(now + FAREWELL);
        }
        remote.shown_until = Some(now + SHOWN);
        self.leg.write_over(Some(message.text()));
    }

    async fn do_what_is_due(&mut self, remote: &mut Remote) {
        let now = Instant::now();
        if remote.shown_until.take_if(|at| *at <= now).is_some() {
            self.leg.write_over(None);
        }
        if remote.ends_at.take_if(|at| *at <= now).is_some()
            && let Some(meeting) = self.leg.meeting().cloned()
            && let Err(error) = self.steer(&meeting, Act::End).await
        {
            tracing::info!(%error, "the meeting goes on");
        }
    }

    /// Does what was dialled; `None` where the meeting is over.
    async fn obey(&mut self, control: Control) -> Option<Message> {
        let meeting = self.leg.meeting()?.clone();
        let snapshot = meeting.snapshot().await?;
        let me = snapshot.participants.iter().find(|it| it.peer == self.leg.peer())?;
        let (done, message) = match control {
            Control::Mute => return mute_itself(&meeting, me).await,
            Control::MuteGuests => {
                let act = Act::MuteAll { allow_unmute: None };
                (self.steer(&meeting, act).await, Message::GuestsMuted)
            }
            Control::Lock => {
                let locked = !snapshot.lobby.live.locked;
                let change = LiveChange { locked: Some(locked), ..LiveChange::default() };
                (self.steer(&meeting, Act::SetLive(change)).await, Message::Locked(locked))
            }
            // It is read before it is done.
            Control::End if me.role == Role::Host => (Ok(()), Message::Ends),
            Control::End => (self.steer(&meeting, Act::End).await, Message::Ends),
            Control::Hand => {
                let up = !me.attributes.contains_key(HAND_ATTRIBUTE);
                let value = if up { "true" } else { "" };
                (self.mark(&meeting, HAND_ATTRIBUTE, value).await, Message::Hand(up))
            }
            Control::Layout => {
                let layout = me.layout().unwrap_or_default().next();
                let done = self.mark(&meeting, LAYOUT_ATTRIBUTE, layout.as_str()).await;
                if done.is_ok() {
                    self.shared.dialled.note_layout(self.caller.identity(), layout);
                }
                (done, Message::Layout(layout))
            }
            Control::Content => {
                let shown = !me.shows_content();
                let value = if shown { "" } else { "false" };
                (self.mark(&meeting, CONTENT_ATTRIBUTE, value).await, Message::Content(shown))
            }
        };
        match done {
            Ok(()) => Some(message),
            Err(ExecuteError::Refused(_)) => Some(Message::HostsOnly),
            Err(ExecuteError::Over) => None,
        }
    }

    /// Shows everybody how it stands; an empty value takes the attribute away.
    async fn mark(
        &mut self,
        meeting: &MeetingHandle,
        attribute: &str,
        value: &str,
    ) -> Result<(), ExecuteError> {
        let attributes = BTreeMap::from([(attribute.to_owned(), value.to_owned())]);
        let change = MemberChange { attributes, ..MemberChange::default() };
        let identity = self.caller.identity().clone();
        meeting.execute(Command::UpdateMember { identity, change, permissions: None }).await
    }

    /// Steers the meeting as the page of a host does: by the same rules, and into the same log.
    async fn steer(&mut self, meeting: &MeetingHandle, act: Act) -> Result<(), ExecuteError> {
        let identity = self.caller.identity().clone();
        let now = Timestamp::of(SystemTime::now());
        let name = store::Actor {
            kind: ActorKind::Participant,
            id: identity.to_string(),
            name: self.caller.name().to_owned(),
        };
        let mut note = store::Act::live(now, name, &act, meeting.id(), self.caller.from());
        let actor = Actor::Holder { identity, admin: false };
        let done = meeting.execute(Command::Steer { actor, act }).await;
        if done.is_err() {
            note.outcome = Outcome::Refused;
        }
        if let Some(records) = &self.shared.records
            && let Err(error) = records.write(Batch::new(note), now).await
        {
            tracing::warn!(%error, "what was done by a remote control is not in the audit log");
        }
        done
    }
}

/// Mutes the room system, or lifts that; `None` where the meeting is over.
async fn mute_itself(meeting: &MeetingHandle, me: &ParticipantView) -> Option<Message> {
    let mut tracks = me.tracks.iter();
    let muted = !tracks.any(|it| it.info.source == TrackSource::Microphone && it.muted);
    match meeting.execute(Command::MuteOwn { peer: me.peer, muted }).await {
        Ok(()) => Some(Message::Muted(muted)),
        Err(ExecuteError::Refused(_)) => Some(Message::MutedByHost),
        Err(ExecuteError::Over) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_a_line_in_each_language() {
        let layouts = [LegLayout::Grid, LegLayout::Speaker].map(Message::Layout);
        let states = [true, false].map(|it| {
            [Message::Muted(it), Message::Hand(it), Message::Locked(it), Message::Content(it)]
        });
        let others = [
            Message::GuestsMuted,
            Message::Ends,
            Message::HostsOnly,
            Message::MutedByHost,
            Message::Unknown("*9".into()),
        ];
        let all: Vec<Message> =
            layouts.into_iter().chain(states.into_iter().flatten()).chain(others).collect();
        let texts: Vec<String> = all.iter().map(Message::text).collect();
        for (index, text) in texts.iter().enumerate() {
            let [russian, english] = text.lines().collect::<Vec<_>>().try_into().unwrap();
            let is_russian = |it: char| ('а'..='я').contains(&it);
            assert!(russian.contains(is_russian) && !english.contains(is_russian), "{text}");
            assert!(!texts[..index].contains(text), "{text:?} means two things");
        }
    }
}
