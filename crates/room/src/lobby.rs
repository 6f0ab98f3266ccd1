//! Before the meeting: who waits, who may come in past the lobby, and who may not come back.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use types::{Identity, ParticipantKind};

use crate::command::Refusal;
use crate::effect::{Effect, Fate, Lobby, LobbyNews, Notice, WaitingView};
use crate::role::Role;
use crate::room::Room;

/// Those who may wait at a time: nobody reads a longer list.
pub(crate) const MAX_WAITING: usize = 200;
/// Identities that are remembered. Beyond it the oldest that came in freely is forgotten first: it
/// has to be let in again, while who was removed stays outside.
const MAX_REMEMBERED: usize = 4096;
/// Whoever was moved to the lobby has this long to ask to come back; then it is off the list.
const MOVED_STAYS: Duration = Duration::from_secs(60);

/// Somebody asks to come in.
#[derive(Clone, Debug)]
pub struct Knock {
    /// Who.
    pub identity: Identity,
    /// How it is shown.
    pub name: String,
    /// What.
    pub kind: ParticipantKind,
    /// As what it would come in.
    pub role: Role,
}

/// Somebody in the lobby.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) view: WaitingView,
    /// When it is off the list, unless it asks before.
    until: Option<Instant>,
}

/// How somebody stands to the lobby, as long as the meeting runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was let in: it may come back.
    Admitted,
    /// It was moved to the lobby: it has to be let in, open as the meeting may be.
    Moved,
    /// It was removed or refused.
    Removed,
}

/// What is remembered of identities.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    entries: HashMap<Identity, Remembered>,
    /// The oldest first.
    order: VecDeque<Identity>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Remembered {
    standing: Option<Standing>,
    role: Option<Role>,
}

impl Memory {
    pub(crate) fn standing(&self, identity: &Identity) -> Option<Standing> {
        self.entries.get(identity)?.standing
    }

    /// The role that a host gave it.
    pub(crate) fn role(&self, identity: &Identity) -> Option<Role> {
        self.entries.get(identity)?.role
    }

    pub(crate) fn set_standing(&mut self, identity: &Identity, standing: Standing) {
        self.entry(identity).standing = Some(standing);
    }

    pub(crate) fn set_role(&mut self, identity: &Identity, role: Role) {
        self.entry(identity).role = Some(role);
    }

    fn entry(&mut self, identity: &Identity) -> &mut Remembered {
        if !self.entries.contains_key(identity) {
            if self.order.len() >= MAX_REMEMBERED {
                self.forget_one();
            }
            self.order.push_back(identity.clone());
        }
        self.entries.entry(identity.clone()).or_default()
    }

    fn forget_one(&mut self) {
        let free = |it: &Identity| self.standing(it).is_none_or(|it| it == Standing::Admitted);
        let index = self.order.iter().position(free).unwrap_or(0);
        if let Some(forgotten) = self.order.remove(index) {
            self.entries.remove(&forgotten);
        }
    }
}

impl Room {
    /// Who would have to wait, were it to come now.
    pub(crate) fn has_to_wait(&self, identity: &Identity, role: Role) -> bool {
        match self.memory.standing(identity) {
            Some(Standing::Admitted) => false,
            Some(Standing::Moved | Standing::Removed) => true,
            None => role != Role::Host && (self.live.lobby || self.live.locked),
        }
    }

    /// Nobody whom a host removed comes back.
    pub(crate) fn check_removed(&self, identity: &Identity) -> Result<(), Refusal> {
        match self.memory.standing(identity) {
            Some(Standing::Removed) => Err(Refusal::Removed),
            _ => Ok(()),
        }
    }

    /// Whoever need not wait hears at once that it is admitted.
    pub(crate) fn knock(&mut self, knock: Knock, since_ms: i64) -> Result<(), Refusal> {
        let Knock { identity, name, kind, role } = knock;
        self.check_removed(&identity)?;
        let role = self.memory.role(&identity).unwrap_or(role);
        let is_in = self.members.values().any(|it| it.identity == identity);
        if is_in || !self.has_to_wait(&identity, role) {
            self.effects.push(Effect::Fate { identity, fate: Fate::Admitted });
            return Ok(());
        }
        if let Some(waiting) = self.waiting.iter_mut().find(|it| it.view.identity == identity) {
            waiting.until = None;
            return Ok(());
        }
        let view = WaitingView { identity, name, kind, since_ms };
        self.wait(view, None)
    }

    fn wait(&mut self, view: WaitingView, until: Option<Instant>) -> Result<(), Refusal> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(Refusal::LobbyFull { max: MAX_WAITING });
        }
        self.waiting.push(Waiting { view, until });
        self.tell_lobby();
        Ok(())
    }

    /// It waits no more: it hung up, or closed the page.
    pub(crate) fn stop_waiting(&mut self, identity: &Identity) {
        if self.take_waiting(identity).is_some() {
            self.tell_lobby();
        }
    }

    fn take_waiting(&mut self, identity: &Identity) -> Option<Waiting> {
        let index = self.waiting.iter().position(|it| it.view.identity == *identity)?;
        Some(self.waiting.remove(index))
    }

    /// Ends the waiting of one, in one way or the other.
    pub(crate) fn settle(&mut self, identity: &Identity, fate: Fate) -> Result<(), Refusal> {
        if self.take_waiting(identity).is_none() {
            return Err(Refusal::NotWaiting(identity.clone()));
        }
        self.seal(identity.clone(), fate);
        self.tell_lobby();
        Ok(())
    }

    /// Ends the waiting of all for whom `is_meant` says so.
    pub(crate) fn settle_all(&mut self, fate: Fate, is_meant: impl Fn(Option<Standing>) -> bool) {
        let all = std::mem::take(&mut self.waiting);
        let (meant, stay): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|it| is_meant(self.memory.standing(&it.view.identity)));
        self.waiting = stay;
        if meant.is_empty() {
            return;
        }
        for waiting in meant {
            self.seal(waiting.view.identity, fate);
        }
        self.tell_lobby();
    }

    fn seal(&mut self, identity: Identity, fate: Fate) {
        match fate {
            Fate::Admitted => self.memory.set_standing(&identity, Standing::Admitted),
            Fate::Refused => self.memory.set_standing(&identity, Standing::Removed),
            Fate::Over => {}
        }
        self.effects.push(Effect::Fate { identity, fate });
    }

    /// Out of the meeting and into the lobby, until a host decides anew.
    pub(crate) fn move_to_lobby(
        &mut self,
        identity: &Identity,
        now: Instant,
        since_ms: i64,
    ) -> Result<(), Refusal> {
        let member = self.by_identity(identity)?;
        let (peer, name, kind) = (member.peer, member.name.clone(), member.kind);
        let view = WaitingView { identity: identity.clone(), name, kind, since_ms };
        self.wait(view, Some(now + MOVED_STAYS))?;
        self.memory.set_standing(identity, Standing::Moved);
        self.move_out(peer);
        Ok(())
    }

    /// Takes off the list whoever was moved to the lobby and asked for nothing.
    pub(crate) fn review_lobby(&mut self, now: Instant) {
        let before = self.waiting.len();
        self.waiting.retain(|it| it.until.is_none_or(|until| now < until));
        if self.waiting.len() != before {
            self.tell_lobby();
        }
    }

    /// The lobby as hosts see it.
    pub fn lobby(&self) -> Lobby {
        let waiting = self.waiting.iter().map(|it| it.view.clone()).collect();
        Lobby { live: self.live, waiting }
    }

    /// Tells the hosts how many wait, and how the door stands.
    pub(crate) fn tell_lobby(&mut self) {
        let news = LobbyNews { live: self.live, waiting: self.waiting.len() };
        let hosts: Vec<_> =
            self.members.values().filter(|it| it.role == Role::Host).map(|it| it.peer).collect();
        for host in hosts {
            self.tell(host, Notice::Lobby(news));
        }
    }
}
