//! What hosts do, as stories, and who is refused it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use types::{MediaKind, MeetingId, ParticipantSid, TrackId};

use super::*;
use crate::command::{Command, Join, Permissions, PublishRequest, TrackChange};
use crate::effect::{LobbyNews, ParticipantView};
use crate::lobby::{Knock, MAX_WAITING};
use crate::member::TrackInfo;
use crate::role::ROLE_ATTRIBUTE;
use crate::room::RoomSettings;

const HOST: &str = "host";

/// A meeting with a host in it; people and their tracks are known by their names.
struct Story {
    room: Room,
    now: Instant,
    next: u64,
    /// How clients encrypt what they send: LiveKit's number, 0 not at all.
    encryption: i32,
}

impl Story {
    fn begin(live: LiveSettings) -> Self {
        let now = Instant::now();
        let settings = RoomSettings {
            id: MeetingId::parse("board").unwrap(),
            sid: "RM_1".to_owned(),
            max_participants: 300,
            e2ee: false,
            created_at_ms: 0,
            live,
        };
        let mut story = Self { room: Room::new(settings, now), now, next: 1, encryption: 0 };
        story.joins(HOST, Role::Host).unwrap();
        story
    }

    fn open() -> Self {
        Self::begin(LiveSettings::default())
    }

    fn with_lobby() -> Self {
        Self::begin(LiveSettings { lobby: true, ..LiveSettings::default() })
    }

    fn handle(&mut self, command: Command) -> Result<Vec<Effect>, Refusal> {
        self.room.handle(command, self.now)
    }

    fn act(&mut self, act: Act) -> Result<Vec<Effect>, Refusal> {
        self.act_as(HOST, act)
    }

    fn act_as(&mut self, who: &str, act: Act) -> Result<Vec<Effect>, Refusal> {
        let actor = Actor::Holder { identity: Identity::new(who), admin: false };
        self.handle(Command::Steer { actor, act })
    }

    fn live(&mut self, change: LiveChange) -> Vec<Effect> {
        self.act(Act::SetLive(change)).unwrap()
    }

    fn join(&mut self, who: &str, role: Role, kind: ParticipantKind) -> Join {
        self.next += 1;
        Join {
            peer: PeerId(self.next),
            sid: ParticipantSid::new(format!("PA_{}", self.next)),
            identity: Identity::new(who),
            name: who.to_owned(),
            kind,
            permissions: Permissions::default(),
            role,
            invited: false,
            metadata: String::new(),
            attributes: BTreeMap::new(),
            auto_subscribe: true,
            joined_at_ms: 0,
        }
    }

    fn joins(&mut self, who: &str, role: Role) -> Result<(), Refusal> {
        let join = self.join(who, role, ParticipantKind::Standard);
        self.handle(Command::Join(join)).map(|_| ())
    }

    fn calls(&mut self, who: &str) {
        let join = self.join(who, Role::default(), ParticipantKind::Sip);
        self.handle(Command::Join(join)).unwrap();
    }

    /// What becomes of who knocks, if that is known at once.
    fn knocks(&mut self, who: &str) -> Result<Option<Fate>, Refusal> {
        let identity = Identity::new(who);
        let (name, role) = (who.to_owned(), Role::default());
        let knock = Knock { identity, name, kind: ParticipantKind::Standard, role };
        let effects = self.handle(Command::Knock { knock, since_ms: 7 })?;
        Ok(fates(&effects).first().map(|it| it.1))
    }

    fn view(&self, who: &str) -> Option<ParticipantView> {
        self.room.participants().into_iter().find(|it| it.identity.as_str() == who)
    }

    fn peer(&self, who: &str) -> PeerId {
        self.view(who).unwrap().peer
    }

    fn publishes(&mut self, who: &str, source: TrackSource) -> Result<Vec<Effect>, Refusal> {
        let peer = self.peer(who);
        self.next += 1;
        let (id, sid) = (TrackId(self.next), TrackSid::new(format!("TR_{}", self.next)));
        let kind = match source {
            TrackSource::Camera | TrackSource::ScreenShare => MediaKind::Video,
            _ => MediaKind::Audio,
        };
        let info = TrackInfo {
            name: String::new(),
            source,
            mime: "audio/opus".to_owned(),
            width: 0,
            height: 0,
            layers: Vec::new(),
            stream: String::new(),
            dtx: false,
            stereo: false,
            red_disabled: true,
            encryption: self.encryption,
        };
        let request = PublishRequest { id, sid, cid: "c".to_owned(), kind, info };
        let effects = self.handle(Command::Publish { peer, request })?;
        self.handle(Command::TrackBound { track: id, mid: "0".to_owned() }).unwrap();
        Ok(effects)
    }

    fn speaks(&mut self, who: &str) -> Vec<Effect> {
        self.publishes(who, TrackSource::Microphone).unwrap()
    }

    fn microphone(&self, who: &str) -> crate::TrackView {
        let view = self.view(who).unwrap();
        let mut tracks = view.tracks.into_iter();
        tracks.find(|it| it.info.source == TrackSource::Microphone).unwrap()
    }

    /// Its client says whether its microphone is muted.
    fn client_says(&mut self, who: &str, muted: bool) -> Result<Vec<Effect>, Refusal> {
        let (peer, track) = (self.peer(who), self.microphone(who).sid);
        let change = TrackChange::Muted(muted);
        self.handle(Command::ChangeTrack { peer, track, change })
    }

    fn mutes(&mut self, who: &str, muted: bool) -> Result<Vec<Effect>, Refusal> {
        let (identity, medium) = (Identity::new(who), Medium::Microphone);
        self.act(Act::Mute { identity, medium, muted })
    }

    fn waiting(&self) -> Vec<String> {
        self.room.lobby().waiting.iter().map(|it| it.identity.to_string()).collect()
    }
}

fn fates(effects: &[Effect]) -> Vec<(String, Fate)> {
    let fate = |it: &Effect| match it {
        Effect::Fate { identity, fate } => Some((identity.to_string(), *fate)),
        _ => None,
    };
    effects.iter().filter_map(fate).collect()
}

fn gates(effects: &[Effect]) -> Vec<bool> {
    let gate = |it: &Effect| match it {
        Effect::Media(MediaEffect::SetGate { open, .. }) => Some(*open),
        _ => None,
    };
    effects.iter().filter_map(gate).collect()
}

fn told(effects: &[Effect], peer: PeerId, wanted: impl Fn(&Notice) -> bool) -> bool {
    effects
        .iter()
        .any(|it| matches!(it, Effect::Tell { to, notice } if *to == peer && wanted(notice)))
}

fn news(effects: &[Effect], peer: PeerId) -> Option<LobbyNews> {
    effects.iter().rev().find_map(|it| match it {
        Effect::Tell { to, notice: Notice::Lobby(news) } if *to == peer => Some(*news),
        _ => None,
    })
}

fn is_not_allowed(done: &Result<Vec<Effect>, Refusal>) -> bool {
    matches!(done, Err(Refusal::NotAllowed(_)))
}

#[test]
fn who_waits_comes_in_when_a_host_says_so_and_no_way_around_it() {
    let mut story = Story::with_lobby();
    assert_eq!(story.joins("anna", Role::Presenter), Err(Refusal::HasToWait));
    assert_eq!(story.knocks("anna"), Ok(None));
    assert_eq!(story.knocks("boris"), Ok(None));
    assert_eq!(story.knocks("anna"), Ok(None), "she asks once more: one place is enough");
    assert_eq!(story.waiting(), ["anna", "boris"]);
    assert_eq!(story.joins("anna", Role::Presenter), Err(Refusal::HasToWait));
    let effects = story.act(Act::Admit(Identity::new("anna"))).unwrap();
    assert_eq!(fates(&effects), [("anna".to_owned(), Fate::Admitted)]);
    assert_eq!(news(&effects, story.peer(HOST)).unwrap().waiting, 1, "hosts are told");
    story.joins("anna", Role::Presenter).unwrap();
    assert!(news(&effects, story.peer("anna")).is_none(), "and nobody else");
    let effects = story.act(Act::Refuse(Identity::new("boris"))).unwrap();
    assert_eq!(fates(&effects), [("boris".to_owned(), Fate::Refused)]);
    assert_eq!(story.knocks("boris"), Err(Refusal::Removed));
    assert_eq!(story.joins("boris", Role::Presenter), Err(Refusal::Removed));
    let nobody = Identity::new("nobody");
    let done = story.act(Act::Admit(nobody.clone())).map(|_| ());
    assert_eq!(done, Err(Refusal::NotWaiting(nobody)));
}

#[test]
fn all_who_wait_are_admitted_or_refused_at_once() {
    for (act, fate) in [(Act::AdmitAll, Fate::Admitted), (Act::RefuseAll, Fate::Refused)] {
        let mut story = Story::with_lobby();
        story.knocks("anna").unwrap();
        story.knocks("boris").unwrap();
        let effects = story.act(act).unwrap();
        let all = ["anna", "boris"].map(|it| (it.to_owned(), fate));
        assert_eq!(fates(&effects), all);
        assert!(story.waiting().is_empty());
    }
}

#[test]
fn a_host_comes_in_past_lobby_and_lock_and_whom_it_called_does_too() {
    let mut story = Story::with_lobby();
    story.live(LiveChange { locked: Some(true), ..LiveChange::default() });
    story.joins("second host", Role::Host).unwrap();
    let join = story.join("hall", Role::default(), ParticipantKind::Sip);
    story.handle(Command::Join(Join { invited: true, ..join })).unwrap();
    assert_eq!(story.joins("anna", Role::Presenter), Err(Refusal::HasToWait));
}

#[test]
fn a_locked_meeting_keeps_whom_it_has_and_has_others_wait() {
    let mut story = Story::open();
    assert_eq!(story.knocks("anna"), Ok(Some(Fate::Admitted)), "nobody waits at an open door");
    story.joins("anna", Role::Presenter).unwrap();
    let effects = story.live(LiveChange { locked: Some(true), ..LiveChange::default() });
    assert!(news(&effects, story.peer(HOST)).unwrap().live.locked);
    // Her connection was lost.
    let leave = Command::Leave { peer: story.peer("anna"), reason: LeaveReason::ConnectionLost };
    story.handle(leave).unwrap();
    assert_eq!(story.knocks("anna"), Ok(Some(Fate::Admitted)));
    story.joins("anna", Role::Presenter).unwrap();
    assert_eq!(story.joins("boris", Role::Presenter), Err(Refusal::HasToWait));
    assert_eq!(story.knocks("boris"), Ok(None));
    let effects = story.live(LiveChange { locked: Some(false), ..LiveChange::default() });
    assert_eq!(fates(&effects), [("boris".to_owned(), Fate::Admitted)], "the door is open again");
    story.joins("boris", Role::Presenter).unwrap();
}

#[test]
fn the_lobby_is_bounded_and_who_goes_gives_the_place_up() {
    let mut story = Story::with_lobby();
    for number in 0..MAX_WAITING {
        assert_eq!(story.knocks(&format!("guest {number}")), Ok(None));
    }
    assert_eq!(story.knocks("late"), Err(Refusal::LobbyFull { max: MAX_WAITING }));
    story.handle(Command::StopWaiting(Identity::new("guest 7"))).unwrap();
    assert_eq!(story.knocks("late"), Ok(None));
    let effects = story.act(Act::End).unwrap();
    assert_eq!(fates(&effects).len(), MAX_WAITING);
    assert!(fates(&effects).iter().all(|it| it.1 == Fate::Over));
    assert!(story.room.is_empty());
}

#[test]
fn nobody_but_hosts_steers() {
    let anna = || Identity::new("anna");
    let mute = Act::Mute { identity: anna(), medium: Medium::Camera, muted: true };
    let acts = [
        Act::Look,
        Act::SetLive(LiveChange::default()),
        Act::Admit(anna()),
        Act::AdmitAll,
        Act::Refuse(anna()),
        Act::RefuseAll,
        mute,
        Act::MuteAll { allow_unmute: None },
        Act::Ask { identity: anna(), what: Ask::Unmute },
        Act::Rename { identity: anna(), name: "A".to_owned() },
        Act::SetRole { identity: anna(), role: Role::Host },
        Act::Remove(anna()),
        Act::ToLobby { identity: anna(), since_ms: 0 },
        Act::End,
    ];
    for act in acts {
        for role in [Role::Presenter, Role::Attendee] {
            let mut story = Story::open();
            story.joins("anna", role).unwrap();
            assert!(is_not_allowed(&story.act_as("anna", act.clone())), "{act:?} by {role}");
            assert!(is_not_allowed(&story.act_as("stranger", act.clone())), "{act:?}");
        }
        let mut story = Story::open();
        story.joins("anna", Role::Presenter).unwrap();
        let command = Command::Steer { actor: Actor::Server, act: act.clone() };
        assert!(!is_not_allowed(&story.handle(command)), "the server: {act:?}");
        let actor = Actor::Holder { identity: Identity::new("portal"), admin: true };
        assert!(!is_not_allowed(&story.handle(Command::Steer { actor, act })), "a key");
    }
}

#[test]
fn a_meeting_is_handed_over_and_the_new_host_stays_one() {
    let mut story = Story::open();
    story.joins("anna", Role::Attendee).unwrap();
    let role =
        |story: &Story, who| story.view(who).unwrap().attributes.get(ROLE_ATTRIBUTE).cloned();
    assert_eq!(role(&story, "anna").as_deref(), Some("attendee"));
    let identity = Identity::new("anna");
    let effects = story.act(Act::SetRole { identity, role: Role::Host }).unwrap();
    assert!(news(&effects, story.peer("anna")).is_some(), "she is shown the lobby");
    let me = Act::SetRole { identity: Identity::new(HOST), role: Role::Presenter };
    story.act(me).unwrap();
    assert_eq!((role(&story, "anna").as_deref(), role(&story, HOST)), (Some("host"), None));
    assert!(is_not_allowed(&story.act(Act::End)), "it has given its rights away");
    // She connects anew with the token of an attendee; the old host's says that it is a host.
    story.joins("anna", Role::Attendee).unwrap();
    story.joins(HOST, Role::Host).unwrap();
    story.act_as("anna", Act::Look).unwrap();
    let actor = Actor::Holder { identity: Identity::new(HOST), admin: true };
    assert!(is_not_allowed(&story.handle(Command::Steer { actor, act: Act::Look })));
    // Nobody takes the role by an attribute.
    let attributes = BTreeMap::from([(ROLE_ATTRIBUTE.to_owned(), "host".to_owned())]);
    let change = MemberChange { attributes, ..MemberChange::default() };
    let command = Command::ChangeMember { peer: story.peer(HOST), change };
    assert!(is_not_allowed(&story.handle(command)));
    // Whoever repeats all its attributes changes nothing.
    let attributes = story.view("anna").unwrap().attributes;
    let change = MemberChange { attributes, ..MemberChange::default() };
    story.handle(Command::ChangeMember { peer: story.peer("anna"), change }).unwrap();
}

#[test]
fn an_attendee_shares_no_screen_and_only_listens_where_the_meeting_says_so() {
    let mut story = Story::open();
    story.joins("anna", Role::Attendee).unwrap();
    story.joins("boris", Role::Presenter).unwrap();
    story.speaks("anna");
    story.publishes("boris", TrackSource::ScreenShare).unwrap();
    for source in [TrackSource::ScreenShare, TrackSource::ScreenShareAudio, TrackSource::Unknown] {
        assert!(is_not_allowed(&story.publishes("anna", source)), "{source:?}");
    }
    let effects = story.live(LiveChange { attendees_listen: Some(true), ..LiveChange::default() });
    let anna = story.peer("anna");
    assert!(told(&effects, anna, |it| matches!(it, Notice::TrackUnpublished(_))));
    assert!(story.view("anna").unwrap().tracks.is_empty());
    assert!(!story.view("anna").unwrap().permissions.publish, "her client knows");
    assert!(is_not_allowed(&story.publishes("anna", TrackSource::Microphone)));
    let identity = Identity::new("anna");
    story.act(Act::SetRole { identity, role: Role::Presenter }).unwrap();
    story.publishes("anna", TrackSource::ScreenShare).unwrap();
    let identity = Identity::new("boris");
    let effects = story.act(Act::SetRole { identity, role: Role::Attendee }).unwrap();
    let boris = story.peer("boris");
    assert!(told(&effects, boris, |it| matches!(it, Notice::TrackUnpublished(_))), "his screen");
}

#[test]
fn a_muted_person_unmutes_itself_and_nobody_else_does() {
    let mut story = Story::open();
    story.joins("anna", Role::Presenter).unwrap();
    story.speaks("anna");
    let effects = story.mutes("anna", true).unwrap();
    let anna = story.peer("anna");
    assert_eq!(gates(&effects), [false]);
    assert!(told(&effects, anna, |it| matches!(it, Notice::TrackMuted { muted: true, .. })));
    // Her client had not heard of it: what it says is older.
    let effects = story.client_says("anna", false).unwrap();
    assert!(gates(&effects).is_empty() && story.microphone("anna").muted);
    assert!(told(&effects, anna, |it| matches!(it, Notice::TrackMuted { .. })), "once more");
    assert_eq!(story.mutes("anna", false).unwrap_err(), Refusal::AskInstead);
    story.client_says("anna", true).unwrap();
    assert_eq!(gates(&story.client_says("anna", false).unwrap()), [true]);
    assert!(!story.microphone("anna").muted);
}

#[test]
fn a_room_systems_mute_is_lifted_by_a_host_alone() {
    let mut story = Story::open();
    story.calls("hall");
    story.speaks("hall");
    assert_eq!(gates(&story.mutes("hall", true).unwrap()), [false]);
    story.client_says("hall", false).unwrap();
    assert!(story.microphone("hall").muted && story.microphone("hall").held);
    assert_eq!(gates(&story.mutes("hall", false).unwrap()), [true]);
    assert!(!story.microphone("hall").muted);
    let what = Ask::Unmute;
    let done = story.act(Act::Ask { identity: Identity::new("hall"), what });
    assert_eq!(done.unwrap_err(), Refusal::NoPerson);
}

#[test]
fn a_room_system_mutes_itself_which_nobody_else_lifts_and_lifts_a_hosts_mute_where_people_may() {
    let mut story = Story::open();
    story.calls("hall");
    story.speaks("hall");
    let hall = story.peer("hall");
    let own = |story: &mut Story, muted| story.handle(Command::MuteOwn { peer: hall, muted });
    own(&mut story, true).unwrap();
    let microphone = story.microphone("hall");
    assert!(microphone.muted && !microphone.held);
    assert_eq!(story.mutes("hall", false).unwrap_err(), Refusal::MutedItself);
    // A host's mute comes and goes; its own stays.
    story.mutes("hall", true).unwrap();
    story.mutes("hall", false).unwrap();
    assert!(story.microphone("hall").muted);
    own(&mut story, false).unwrap();
    assert!(!story.microphone("hall").muted);

    story.mutes("hall", true).unwrap();
    assert_eq!(gates(&own(&mut story, false).unwrap()), [true]);
    assert!(!story.microphone("hall").muted);
    story.act(Act::MuteAll { allow_unmute: Some(false) }).unwrap();
    assert!(is_not_allowed(&own(&mut story, false)));
    assert!(story.microphone("hall").muted);
    story.joins("anna", Role::Presenter).unwrap();
    let peer = story.peer("anna");
    assert!(is_not_allowed(&story.handle(Command::MuteOwn { peer, muted: true })));
}

#[test]
fn everybody_but_hosts_is_muted_and_stays_so_until_asked() {
    let mut story = Story::open();
    story.joins("anna", Role::Presenter).unwrap();
    story.calls("hall");
    for who in [HOST, "anna", "hall"] {
        story.speaks(who);
    }
    let effects = story.act(Act::MuteAll { allow_unmute: Some(false) }).unwrap();
    assert_eq!(gates(&effects), [false, false]);
    let muted = |story: &Story, who| story.microphone(who).muted;
    assert!(!muted(&story, HOST) && muted(&story, "anna") && muted(&story, "hall"));
    assert!(is_not_allowed(&story.client_says("anna", false)));
    // Neither a new track nor a new connection is a way out, nor does a newcomer have one.
    assert_eq!(gates(&story.speaks("anna")), [false]);
    story.joins("anna", Role::Presenter).unwrap();
    assert_eq!(gates(&story.speaks("anna")), [false]);
    story.joins("boris", Role::Presenter).unwrap();
    story.now += Duration::from_secs(60);
    assert_eq!(gates(&story.speaks("boris")), [false]);
    let (identity, what) = (Identity::new("anna"), Ask::Unmute);
    let effects = story.act(Act::Ask { identity, what }).unwrap();
    let anna = story.peer("anna");
    assert!(told(&effects, anna, |it| matches!(it, Notice::Asked(Ask::Unmute))));
    assert!(gates(&effects).is_empty(), "asking opens nothing");
    assert_eq!(gates(&story.client_says("anna", false).unwrap()), [true]);
    story.live(LiveChange { allow_unmute: Some(true), ..LiveChange::default() });
    assert_eq!(gates(&story.client_says("boris", false).unwrap()), [true]);
}

#[test]
fn who_comes_in_with_a_microphone_is_muted_on_entry_and_speaks_when_it_wants() {
    let mut story = Story::begin(LiveSettings { mute_on_entry: true, ..LiveSettings::default() });
    story.joins("anna", Role::Presenter).unwrap();
    story.joins("boris", Role::Presenter).unwrap();
    story.calls("hall");
    assert_eq!(gates(&story.speaks(HOST)), [true; 0]);
    assert_eq!(gates(&story.speaks("anna")), [false]);
    assert_eq!(gates(&story.speaks("hall")), [false]);
    story.client_says("anna", true).unwrap();
    assert_eq!(gates(&story.client_says("anna", false).unwrap()), [true]);
    // He came without: what he switches on later is meant to be heard.
    story.now += Duration::from_secs(60);
    assert_eq!(gates(&story.speaks("boris")), [true; 0]);
}

#[test]
fn a_camera_is_stopped_and_a_shared_screen_ends() {
    let mut story = Story::open();
    story.joins("anna", Role::Presenter).unwrap();
    for source in [TrackSource::Camera, TrackSource::ScreenShare, TrackSource::ScreenShareAudio] {
        story.publishes("anna", source).unwrap();
    }
    let anna = || Identity::new("anna");
    let stop = |medium| Act::Mute { identity: anna(), medium, muted: true };
    assert_eq!(gates(&story.act(stop(Medium::Camera)).unwrap()), [false]);
    story.act(stop(Medium::Screen)).unwrap();
    let sources: Vec<_> =
        story.view("anna").unwrap().tracks.iter().map(|it| it.info.source).collect();
    assert_eq!(sources, [TrackSource::Camera]);
    let effects = story.act(Act::Ask { identity: anna(), what: Ask::Camera }).unwrap();
    assert!(told(&effects, story.peer("anna"), |it| matches!(it, Notice::Asked(Ask::Camera))));
}

#[test]
fn who_is_removed_does_not_come_back_nor_steer_from_outside() {
    let mut story = Story::open();
    story.joins("second host", Role::Host).unwrap();
    let effects = story.act(Act::Remove(Identity::new("second host"))).unwrap();
    assert!(effects.iter().any(|it| matches!(it, Effect::Media(MediaEffect::ClosePeer(_)))));
    assert_eq!(story.joins("second host", Role::Host), Err(Refusal::Removed));
    assert_eq!(story.knocks("second host"), Err(Refusal::Removed));
    let actor = Actor::Holder { identity: Identity::new("second host"), admin: true };
    assert!(is_not_allowed(&story.handle(Command::Steer { actor, act: Act::End })));
    let nobody = Identity::new("nobody");
    let done = story.act(Act::Remove(nobody.clone()));
    assert_eq!(done.unwrap_err(), Refusal::NoSuchParticipant(nobody));
}

#[test]
fn whoever_is_moved_to_the_lobby_waits_even_before_an_open_door() {
    let mut story = Story::open();
    story.joins("anna", Role::Presenter).unwrap();
    let peer = story.peer("anna");
    let identity = Identity::new("anna");
    let effects = story.act(Act::ToLobby { identity: identity.clone(), since_ms: 1 }).unwrap();
    let left = |it: &Notice| matches!(it, Notice::Left(LeaveReason::MovedToLobby));
    assert!(told(&effects, peer, left));
    let moved = |it: &Effect| matches!(it, Effect::Media(MediaEffect::MoveOut(it)) if *it == peer);
    assert!(effects.iter().any(moved));
    assert!(story.view("anna").is_none());
    assert_eq!(story.waiting(), ["anna"]);
    assert_eq!(story.joins("anna", Role::Presenter), Err(Refusal::HasToWait));
    let actor = Actor::Holder { identity: identity.clone(), admin: true };
    assert!(is_not_allowed(&story.handle(Command::Steer { actor, act: Act::AdmitAll })));
    story.live(LiveChange { lobby: Some(true), ..LiveChange::default() });
    story.live(LiveChange { lobby: Some(false), ..LiveChange::default() });
    assert_eq!(story.waiting(), ["anna"], "an open door is not meant for her");
    assert_eq!(story.knocks("anna"), Ok(None), "her page asks");
    story.now += Duration::from_secs(3600);
    story.room.handle_timeout(story.now);
    assert_eq!(story.waiting(), ["anna"], "and waits");
    story.act(Act::Admit(identity)).unwrap();
    story.joins("anna", Role::Presenter).unwrap();
}

#[test]
fn whoever_was_moved_and_asks_for_nothing_is_off_the_list_and_still_outside() {
    let mut story = Story::open();
    story.joins("anna", Role::Presenter).unwrap();
    let identity = Identity::new("anna");
    story.act(Act::ToLobby { identity, since_ms: 1 }).unwrap();
    story.now += Duration::from_secs(61);
    let effects = story.room.handle_timeout(story.now);
    assert_eq!(news(&effects, story.peer(HOST)).unwrap().waiting, 0);
    assert!(story.waiting().is_empty());
    assert_eq!(story.joins("anna", Role::Presenter), Err(Refusal::HasToWait));
    assert_eq!(story.knocks("anna"), Ok(None));
}

#[test]
fn a_new_name_is_shown_and_one_that_is_too_long_is_not() {
    let mut story = Story::open();
    story.joins("anna", Role::Presenter).unwrap();
    let rename = |name: String| Act::Rename { identity: Identity::new("anna"), name };
    story.act(rename("Anna K.".to_owned())).unwrap();
    assert_eq!(story.view("anna").unwrap().name, "Anna K.");
    assert!(matches!(story.act(rename("x".repeat(600))), Err(Refusal::TooLong { .. })));
}

#[test]
fn a_flood_of_newcomers_brings_nobody_back_who_was_removed() {
    let mut story = Story::open();
    story.joins("anna", Role::Presenter).unwrap();
    story.act(Act::Remove(Identity::new("anna"))).unwrap();
    for number in 0..5000 {
        let who = format!("guest {number}");
        story.joins(&who, Role::Presenter).unwrap();
        let peer = story.peer(&who);
        story.handle(Command::Leave { peer, reason: LeaveReason::ByItself }).unwrap();
    }
    assert_eq!(story.joins("anna", Role::Presenter), Err(Refusal::Removed));
}

#[test]
fn an_encrypted_meeting_takes_encrypted_media_alone_and_no_room_system() {
    let mut story = Story::open();
    story.room.settings.e2ee = true;
    story.joins("anna", Role::Presenter).unwrap();
    let camera = TrackSource::Camera;
    assert_eq!(story.publishes("anna", camera).err(), Some(Refusal::NotEncrypted));
    assert_eq!(story.publishes(HOST, camera).err(), Some(Refusal::NotEncrypted), "hosts too");
    story.encryption = 1;
    story.publishes("anna", camera).unwrap();
    let join = story.join("hall", Role::default(), ParticipantKind::Sip);
    assert_eq!(story.handle(Command::Join(join)).err(), Some(Refusal::NotEncrypted));
}
