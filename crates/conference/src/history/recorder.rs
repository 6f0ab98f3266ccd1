//! What the history says of what happens: events in, rows out. Nothing here reads a clock or waits.

use std::collections::{HashMap, HashSet};

use room::{LeaveReason, ParticipantView};
use sfu::NetworkFigures;
use types::{Identity, MeetingId, ParticipantKind, ParticipantSid, RecordId, Timestamp};

use super::quality::Quality;
use crate::dialling::{
    CALL_ID_ATTRIBUTE, CALL_STATUS_ATTRIBUTE, CODECS_ATTRIBUTE, LegId, LegState, RULE_ATTRIBUTE,
};
use crate::events::{EndCause, Event, Happening, LegTag, Who};
use crate::meeting::MeetingSnapshot;
use crate::store::{CallMedia, Direction, Figures, HistoryRow, LegCall, Run, Side, Stay};

/// The cause of what ended while nobody looked.
const UNKNOWN: &str = "unknown";
/// Who a room system's participant is, as the gateway sets it.
const PHONE_NUMBER: &str = "sip.phoneNumber";

/// What a recorder asks of others.
pub struct Sources {
    /// The id of a new row: sorts after those made before.
    pub id: Box<dyn FnMut(Timestamp) -> RecordId + Send>,
    /// The name of a meeting.
    pub name: Box<dyn Fn(&MeetingId) -> String + Send>,
}

/// Turns events into rows: whole ones, and the same again whenever they change.
pub struct Recorder {
    sources: Sources,
    /// By the `RM_…` of the meeting.
    runs: HashMap<String, OpenRun>,
    legs: Vec<OpenLeg>,
}

struct OpenRun {
    run: Run,
    stays: HashMap<ParticipantSid, OpenStay>,
}

struct OpenStay {
    stay: Stay,
    hidden: bool,
    quality: Quality,
}

struct OpenLeg {
    /// Of a call of ours.
    id: Option<LegId>,
    identity: Identity,
    call: LegCall,
    /// Its participant was in the meeting, and is no more.
    left: bool,
}

impl Recorder {
    /// A recorder that has seen nothing.
    pub fn new(sources: Sources) -> Self {
        Self { sources, runs: HashMap::new(), legs: Vec::new() }
    }

    /// Whether nothing goes on.
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.legs.is_empty()
    }

    /// Takes an event; the rows to write for it.
    pub fn see(&mut self, event: &Event) -> Vec<HistoryRow> {
        let (mut rows, at) = (Vec::new(), event.at);
        let sid = event.sid.as_deref().unwrap_or_default();
        match &event.what {
            Happening::MeetingBegan => {
                self.begin(sid, &event.meeting, at, &mut rows);
            }
            Happening::MeetingEnded { cause, most_participants } => {
                self.end(sid, Some(*cause), *most_participants, at, &mut rows);
            }
            Happening::ParticipantJoined { participant } => {
                self.join(sid, &event.meeting, participant, at, &mut rows);
                if participant.kind == ParticipantKind::Sip {
                    let shown = event.shown.participant.as_ref();
                    self.connect(sid, participant, shown, at, &mut rows);
                }
            }
            Happening::ParticipantChanged { participant, .. } => {
                self.rename(sid, participant, &mut rows);
            }
            Happening::ParticipantLeft { participant, reason, .. } => {
                if let Some(shown) = &event.shown.participant {
                    self.learn(sid, &participant.sid, shown);
                }
                self.leave(sid, &participant.sid, Some(*reason), at, &mut rows);
            }
            Happening::LegDialling { leg } => {
                let run = self.runs.get(sid).map(|it| it.run.id.clone());
                self.dial(leg, &event.meeting, run, at, &mut rows);
            }
            Happening::LegAnswered { leg } => self.answered(&leg.id, at, &mut rows),
            Happening::LegEnded { leg, cause } => self.hung_up(&leg.id, *cause, at, &mut rows),
            Happening::ParticipantActive { .. }
            | Happening::TrackPublished { .. }
            | Happening::TrackUnpublished { .. }
            | Happening::TrackMuted { .. }
            | Happening::LegRinging { .. } => {}
        }
        rows
    }

    /// Events were lost: what does not go on any more is ended, who came meanwhile is noted.
    pub fn catch_up(&mut self, running: &[MeetingSnapshot], at: Timestamp) -> Vec<HistoryRow> {
        let mut rows = Vec::new();
        let gone = |it: &&String| !running.iter().any(|is| is.meeting.sid == **it);
        let gone: Vec<String> = self.runs.keys().filter(gone).cloned().collect();
        for sid in gone {
            self.end(&sid, None, 0, at, &mut rows);
        }
        for snapshot in running {
            let Ok(meeting) = MeetingId::parse(&snapshot.meeting.id) else { continue };
            let sid = &snapshot.meeting.sid;
            let there: HashSet<&ParticipantSid> =
                snapshot.participants.iter().map(|it| &it.sid).collect();
            let left: Vec<ParticipantSid> = self.runs.get(sid).map_or_else(Vec::new, |run| {
                // Who is hidden is in no snapshot.
                let left = run.stays.iter().filter(|it| !it.1.hidden && !there.contains(it.0));
                left.map(|it| it.0.clone()).collect()
            });
            for stay in left {
                self.leave(sid, &stay, None, at, &mut rows);
            }
            for view in &snapshot.participants {
                let known = self.runs.get(sid).is_some_and(|it| it.stays.contains_key(&view.sid));
                if !known {
                    let joined_at = Timestamp(view.joined_at_ms);
                    self.join(sid, &meeting, &Who::of(view), joined_at, &mut rows);
                }
            }
        }
        // One that was not answered may ring on.
        for leg in self.legs.extract_if(.., |it| it.left) {
            rows.push(HistoryRow::Leg(ended(leg.call, UNKNOWN, None, at)));
        }
        rows
    }

    /// How participants' media go now.
    pub fn measure(&mut self, running: &[MeetingSnapshot], at: Timestamp) -> Vec<HistoryRow> {
        let mut rows = Vec::new();
        for snapshot in running {
            let Some(run) = self.runs.get_mut(&snapshot.meeting.sid) else { continue };
            for view in &snapshot.participants {
                let figures = snapshot.networks.get(&view.peer);
                if let Some((open, figures)) = run.stays.get_mut(&view.sid).zip(figures) {
                    open.quality.add(figures);
                    let stay = open.stay.id.clone();
                    rows.push(HistoryRow::Figures { stay, figures: figures_of(figures, at) });
                }
            }
        }
        rows
    }

    /// The server stops: everything that goes on ends.
    pub fn end_all(&mut self, at: Timestamp) -> Vec<HistoryRow> {
        let mut rows = Vec::new();
        let sids: Vec<String> = self.runs.keys().cloned().collect();
        for sid in sids {
            self.end(&sid, Some(EndCause::ServerStops), 0, at, &mut rows);
        }
        let legs = self.legs.drain(..).filter(|it| it.call.ended_at.is_none());
        let cause = word(EndCause::ServerStops);
        rows.extend(legs.map(|it| HistoryRow::Leg(ended(it.call, cause, Some(Side::Ours), at))));
        rows
    }

    fn begin(&mut self, sid: &str, meeting: &MeetingId, at: Timestamp, rows: &mut Vec<HistoryRow>) {
        // A meeting runs once at a time: of the earlier run's end nothing was heard.
        let earlier = self.runs.iter().find(|it| it.1.run.meeting == *meeting);
        if let Some(earlier) = earlier.map(|it| it.0.clone()) {
            self.end(&earlier, None, 0, at, rows);
        }
        let run = Run {
            id: (self.sources.id)(at),
            meeting: meeting.clone(),
            name: (self.sources.name)(meeting),
            started_at: at,
            ended_at: None,
            cause: String::new(),
            most_participants: 0,
        };
        rows.push(HistoryRow::Run(run.clone()));
        self.runs.insert(sid.to_owned(), OpenRun { run, stays: HashMap::new() });
    }

    fn end(
        &mut self,
        sid: &str,
        cause: Option<EndCause>,
        most: u32,
        at: Timestamp,
        rows: &mut Vec<HistoryRow>,
    ) {
        let reason = cause.map(|it| match it {
            EndCause::ServerStops => LeaveReason::ServerStops,
            EndCause::Empty | EndCause::Ended => LeaveReason::MeetingEnded,
        });
        let stays = self.runs.get(sid).map(|it| it.stays.keys().cloned().collect());
        let stays: Vec<ParticipantSid> = stays.unwrap_or_default();
        for stay in stays {
            self.leave(sid, &stay, reason, at, rows);
        }
        let Some(OpenRun { mut run, .. }) = self.runs.remove(sid) else { return };
        run.ended_at = Some(at);
        run.cause = cause.map_or(UNKNOWN, word).to_owned();
        run.most_participants = most.max(run.most_participants);
        rows.push(HistoryRow::Run(run));
    }

    fn join(
        &mut self,
        sid: &str,
        meeting: &MeetingId,
        who: &Who,
        at: Timestamp,
        rows: &mut Vec<HistoryRow>,
    ) {
        if !self.runs.contains_key(sid) {
            self.begin(sid, meeting, at, rows);
        }
        let id = (self.sources.id)(at);
        let Some(open) = self.runs.get_mut(sid) else { return };
        let stay = Stay {
            id,
            run: open.run.id.clone(),
            meeting: meeting.clone(),
            identity: who.identity.clone(),
            name: who.name.clone(),
            kind: who.kind,
            // Who signed in is known to the API alone, not to the meeting.
            account: None,
            joined_at: at,
            left_at: None,
            cause: String::new(),
        };
        rows.push(HistoryRow::Stay(stay.clone()));
        open.stays.insert(
            who.sid.clone(),
            OpenStay { stay, hidden: who.hidden, quality: Quality::default() },
        );
        let shown = open.stays.values().filter(|it| !it.hidden).count();
        let shown = u32::try_from(shown).unwrap_or(u32::MAX);
        if shown > open.run.most_participants {
            open.run.most_participants = shown;
            rows.push(HistoryRow::Run(open.run.clone()));
        }
    }

    fn rename(&mut self, sid: &str, who: &Who, rows: &mut Vec<HistoryRow>) {
        let open = self.runs.get_mut(sid).and_then(|it| it.stays.get_mut(&who.sid));
        let Some(OpenStay { stay, hidden, .. }) = open else { return };
        *hidden = who.hidden;
        if stay.name != who.name {
            stay.name.clone_from(&who.name);
            rows.push(HistoryRow::Stay(stay.clone()));
        }
    }

    fn leave(
        &mut self,
        sid: &str,
        who: &ParticipantSid,
        reason: Option<LeaveReason>,
        at: Timestamp,
        rows: &mut Vec<HistoryRow>,
    ) {
        let open = self.runs.get_mut(sid).and_then(|it| it.stays.remove(who));
        let Some(OpenStay { mut stay, quality, .. }) = open else { return };
        stay.left_at = Some(at);
        stay.cause = reason.map_or(UNKNOWN, reason_word).to_owned();
        let side = reason.and_then(side_of);
        let is_its = |it: &OpenLeg| it.call.stay.as_ref() == Some(&stay.id);
        if let Some(index) = self.legs.iter().position(is_its) {
            let mut leg = self.legs.swap_remove(index);
            leg.call.ended_by = leg.call.ended_by.or(side);
            leg.call.media = quality.media();
            // Of a call of ours the gateway tells the end, before this or after.
            match (&leg.id, leg.call.ended_at) {
                (Some(_), None) => {
                    leg.left = true;
                    self.legs.push(leg);
                }
                (Some(_), Some(_)) => rows.push(HistoryRow::Leg(leg.call)),
                (None, _) => rows.push(HistoryRow::Leg(ended(leg.call, &stay.cause, side, at))),
            }
        }
        rows.push(HistoryRow::Stay(stay));
    }

    /// What is shown of a room system as it leaves tells of its call.
    fn learn(&mut self, sid: &str, who: &ParticipantSid, shown: &ParticipantView) {
        let Some(open) = self.runs.get(sid).and_then(|it| it.stays.get(who)) else { return };
        let is_its = |it: &&mut OpenLeg| it.call.stay.as_ref() == Some(&open.stay.id);
        let Some(leg) = self.legs.iter_mut().find(is_its) else { return };
        for (key, field) in [
            (CALL_ID_ATTRIBUTE, &mut leg.call.call),
            (RULE_ATTRIBUTE, &mut leg.call.rule),
            (CODECS_ATTRIBUTE, &mut leg.call.codecs),
        ] {
            if let Some(value) = shown.attributes.get(key) {
                field.clone_from(value);
            }
        }
    }

    /// A room system is in: by a call of ours, or by one of its own.
    fn connect(
        &mut self,
        sid: &str,
        who: &Who,
        shown: Option<&ParticipantView>,
        at: Timestamp,
        rows: &mut Vec<HistoryRow>,
    ) {
        let Some(run) = self.runs.get(sid) else { return };
        let Some(open) = run.stays.get(&who.sid) else { return };
        let (run, stay) = (run.run.id.clone(), open.stay.clone());
        let ours = |it: &&mut OpenLeg| {
            it.id.is_some()
                && it.call.stay.is_none()
                && it.call.ended_at.is_none()
                && it.identity == stay.identity
                && it.call.meeting.as_ref() == Some(&stay.meeting)
        };
        if let Some(leg) = self.legs.iter_mut().find(ours) {
            (leg.call.run, leg.call.stay) = (Some(run), Some(stay.id));
            rows.push(HistoryRow::Leg(leg.call.clone()));
            return;
        }
        let attribute =
            |key| shown.and_then(|it| it.attributes.get(key)).map(String::as_str).unwrap_or("");
        // A call of ours of whose beginning nothing was heard.
        if attribute(CALL_STATUS_ATTRIBUTE) == "dialing" {
            return;
        }
        let number = attribute(PHONE_NUMBER);
        let address = if number.is_empty() { stay.identity.as_str() } else { number };
        let call = LegCall {
            id: (self.sources.id)(at),
            run: Some(run),
            stay: Some(stay.id),
            meeting: Some(stay.meeting),
            direction: Direction::Incoming,
            address: address.to_owned(),
            codecs: String::new(),
            started_at: at,
            answered_at: Some(at),
            ended_at: None,
            cause: String::new(),
            ended_by: None,
            call: String::new(),
            rule: String::new(),
            media: CallMedia::default(),
        };
        rows.push(HistoryRow::Leg(call.clone()));
        self.legs.push(OpenLeg { id: None, identity: stay.identity, call, left: false });
    }

    fn dial(
        &mut self,
        leg: &LegTag,
        meeting: &MeetingId,
        run: Option<RecordId>,
        at: Timestamp,
        rows: &mut Vec<HistoryRow>,
    ) {
        let call = LegCall {
            id: (self.sources.id)(at),
            run,
            stay: None,
            meeting: Some(meeting.clone()),
            direction: Direction::Outgoing,
            address: leg.address.clone(),
            codecs: String::new(),
            started_at: at,
            answered_at: None,
            ended_at: None,
            cause: String::new(),
            ended_by: None,
            call: String::new(),
            rule: String::new(),
            media: CallMedia::default(),
        };
        rows.push(HistoryRow::Leg(call.clone()));
        let identity = leg.identity.clone();
        self.legs.push(OpenLeg { id: Some(leg.id.clone()), identity, call, left: false });
    }

    fn answered(&mut self, id: &LegId, at: Timestamp, rows: &mut Vec<HistoryRow>) {
        let Some(leg) = self.legs.iter_mut().find(|it| it.id.as_ref() == Some(id)) else { return };
        leg.call.answered_at = Some(at);
        rows.push(HistoryRow::Leg(leg.call.clone()));
    }

    fn hung_up(&mut self, id: &LegId, state: LegState, at: Timestamp, rows: &mut Vec<HistoryRow>) {
        let Some(index) = self.legs.iter().position(|it| it.id.as_ref() == Some(id)) else {
            return;
        };
        let leg = self.legs.swap_remove(index);
        let (cause, side) = ending(state);
        let side = leg.call.ended_by.or(side);
        let call = ended(leg.call.clone(), cause, side, at);
        rows.push(HistoryRow::Leg(call.clone()));
        // Why its participant leaves tells who hung up.
        let stays =
            |it: &OpenRun| it.stays.values().any(|it| Some(&it.stay.id) == call.stay.as_ref());
        if side.is_none() && self.runs.values().any(stays) {
            self.legs.push(OpenLeg { call, ..leg });
        }
    }
}

fn ended(call: LegCall, cause: &str, by: Option<Side>, at: Timestamp) -> LegCall {
    LegCall { ended_at: Some(at), cause: cause.to_owned(), ended_by: call.ended_by.or(by), ..call }
}

/// As events have it in JSON.
fn word(cause: EndCause) -> &'static str {
    match cause {
        EndCause::Empty => "empty",
        EndCause::Ended => "ended",
        EndCause::ServerStops => "server_stops",
    }
}

fn reason_word(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::ByItself => "by_itself",
        LeaveReason::Replaced => "replaced",
        LeaveReason::Removed => "removed",
        LeaveReason::MovedToLobby => "moved_to_lobby",
        LeaveReason::MeetingEnded => "meeting_ended",
        LeaveReason::ServerStops => "server_stops",
        LeaveReason::ConnectionLost => "connection_lost",
        LeaveReason::Misbehaved => "misbehaved",
    }
}

/// Which side ended a call whose participant left so.
fn side_of(reason: LeaveReason) -> Option<Side> {
    match reason {
        LeaveReason::ByItself => Some(Side::Theirs),
        LeaveReason::ConnectionLost => None,
        LeaveReason::Replaced
        | LeaveReason::Removed
        | LeaveReason::MovedToLobby
        | LeaveReason::MeetingEnded
        | LeaveReason::ServerStops
        | LeaveReason::Misbehaved => Some(Side::Ours),
    }
}

/// A call's last state: its word, and who ended it where the state tells.
fn ending(state: LegState) -> (&'static str, Option<Side>) {
    match state {
        LegState::Busy => ("busy", Some(Side::Theirs)),
        LegState::Declined => ("declined", Some(Side::Theirs)),
        LegState::TimedOut => ("timed_out", Some(Side::Ours)),
        LegState::Unreachable => ("unreachable", None),
        LegState::NotFound => ("not_found", Some(Side::Theirs)),
        LegState::Incompatible => ("incompatible", None),
        LegState::Refused => ("refused", Some(Side::Theirs)),
        LegState::Cancelled => ("cancelled", Some(Side::Ours)),
        LegState::NotAdmitted => ("not_admitted", Some(Side::Ours)),
        LegState::Ended | LegState::Dialling | LegState::Ringing | LegState::Active => {
            ("ended", None)
        }
    }
}

fn figures_of(network: &NetworkFigures, at: Timestamp) -> Figures {
    // A share from 0 to 1; what is no number becomes 0.
    let per_mille = |share: f32| Some((share.clamp(0.0, 1.0) * 1000.0).round() as u32);
    Figures {
        at,
        loss_in: per_mille(network.ingress_loss),
        loss_out: per_mille(network.egress_loss),
        round_trip_ms: network.rtt_ms,
        bit_rate_in: network.bit_rate_in,
        bit_rate_out: network.bit_rate_out,
    }
}
