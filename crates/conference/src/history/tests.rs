//! What happens, and which rows are there then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use room::LeaveReason;
use types::{Identity, MeetingId, ParticipantKind, ParticipantSid, RecordId, Timestamp};

use super::*;
use crate::dialling::{LegId, LegState};
use crate::events::{EndCause, Event, Happening, LegTag, Shown, Who};
use crate::store::{Direction, LegCall, Run, Side, Stay};

/// A recorder, the table that its rows make, and a clock.
struct Scene {
    recorder: Recorder,
    now: i64,
    rows: BTreeMap<RecordId, HistoryRow>,
}

fn id(number: i64) -> RecordId {
    RecordId::new(format!("{number:03}"))
}

fn board() -> MeetingId {
    MeetingId::parse("board").unwrap()
}

fn who(name: &str, kind: ParticipantKind) -> Who {
    Who {
        identity: Identity::new(name),
        sid: ParticipantSid::new(format!("PA_{name}")),
        name: name.to_uppercase(),
        kind,
        hidden: name == "spy",
    }
}

fn leg() -> LegTag {
    LegTag { id: LegId("LG_1".into()), identity: Identity::new("room"), address: "sip:r@h".into() }
}

impl Scene {
    fn begin() -> Self {
        let last = Arc::new(AtomicI64::new(0));
        let recorder = Recorder::new(Sources {
            id: Box::new(move |_| id(last.fetch_add(1, Ordering::Relaxed) + 1)),
            name: Box::new(|id| format!("The {id}")),
        });
        Self { recorder, now: 0, rows: BTreeMap::new() }
    }

    /// Something happens in the run `sid`, a second after what happened before.
    fn tell(&mut self, sid: &str, what: Happening) {
        self.now += 1000;
        let event = Event {
            number: 1,
            at: Timestamp(self.now),
            meeting: board(),
            sid: Some(sid.to_owned()).filter(|it| !it.is_empty()),
            what,
            shown: Shown::default(),
        };
        let rows = self.recorder.see(&event);
        self.write(rows);
    }

    fn write(&mut self, rows: Vec<HistoryRow>) {
        for row in rows {
            if let Some(id) = key(&row) {
                self.rows.insert(id.clone(), row);
            }
        }
    }

    fn join(&mut self, name: &str) {
        let participant = who(name, ParticipantKind::Standard);
        self.tell("RM_1", Happening::ParticipantJoined { participant });
    }

    fn room_system_joins(&mut self) {
        let participant = who("room", ParticipantKind::Sip);
        self.tell("RM_1", Happening::ParticipantJoined { participant });
    }

    fn leave(&mut self, name: &str, reason: LeaveReason) {
        let participant = who(name, ParticipantKind::Standard);
        let left = Happening::ParticipantLeft { participant, reason, was_active: true };
        self.tell("RM_1", left);
    }

    fn end(&mut self) {
        let ended = Happening::MeetingEnded { cause: EndCause::Ended, most_participants: 2 };
        self.tell("RM_1", ended);
    }

    fn runs(&self) -> Vec<&Run> {
        fn run(row: &HistoryRow) -> Option<&Run> {
            if let HistoryRow::Run(run) = row { Some(run) } else { None }
        }
        self.rows.values().filter_map(run).collect()
    }

    fn stays(&self) -> Vec<&Stay> {
        fn stay(row: &HistoryRow) -> Option<&Stay> {
            if let HistoryRow::Stay(stay) = row { Some(stay) } else { None }
        }
        self.rows.values().filter_map(stay).collect()
    }

    fn leg(&self) -> &LegCall {
        fn leg(row: &HistoryRow) -> Option<&LegCall> {
            if let HistoryRow::Leg(leg) = row { Some(leg) } else { None }
        }
        let legs: Vec<_> = self.rows.values().filter_map(leg).collect();
        assert_eq!(legs.len(), 1, "{legs:?}");
        legs[0]
    }
}

#[test]
fn a_meeting_is_a_run_with_its_stays_and_each_says_why_it_ended() {
    let mut scene = Scene::begin();
    scene.tell("RM_1", Happening::MeetingBegan);
    scene.join("anna");
    scene.join("spy");
    scene.join("boris");
    let run = scene.runs()[0].clone();
    assert_eq!((run.most_participants, run.ended_at, run.name.as_str()), (2, None, "The board"));
    let renamed = Who { name: "Anna".into(), ..who("anna", ParticipantKind::Standard) };
    let changed = vec!["name"];
    scene.tell("RM_1", Happening::ParticipantChanged { participant: renamed, changed });
    scene.leave("anna", LeaveReason::Removed);
    scene.leave("boris", LeaveReason::ConnectionLost);
    // Of the spy's leaving nothing is heard.
    scene.end();
    let run = scene.runs()[0];
    assert_eq!((run.started_at, run.ended_at), (Timestamp(1000), Some(Timestamp(8000))));
    assert_eq!((run.cause.as_str(), run.most_participants), ("ended", 2));
    let stays: Vec<_> = scene
        .stays()
        .iter()
        .map(|it| (it.name.as_str(), it.joined_at.0, it.left_at.map(|it| it.0), it.cause.as_str()))
        .collect();
    assert_eq!(
        stays,
        [
            ("Anna", 2000, Some(6000), "removed"),
            ("SPY", 3000, Some(8000), "meeting_ended"),
            ("BORIS", 4000, Some(7000), "connection_lost"),
        ]
    );
    assert!(scene.stays().iter().all(|it| it.run == id(1)));
    assert!(scene.recorder.is_idle());
}

#[test]
fn a_call_of_ours_knows_its_stay_and_who_hung_up_whichever_end_is_told_first() {
    for left_first in [true, false] {
        for (reason, side) in
            [(LeaveReason::ByItself, Side::Theirs), (LeaveReason::Removed, Side::Ours)]
        {
            let mut scene = Scene::begin();
            scene.tell("", Happening::LegDialling { leg: leg() });
            scene.tell("RM_1", Happening::MeetingBegan);
            scene.room_system_joins();
            scene.tell("RM_1", Happening::LegAnswered { leg: leg() });
            let over = Happening::LegEnded { leg: leg(), cause: LegState::Ended };
            if left_first {
                scene.leave("room", reason);
                scene.tell("RM_1", over);
            } else {
                scene.tell("RM_1", over);
                scene.leave("room", reason);
            }
            let call = scene.leg();
            assert_eq!((call.direction, call.address.as_str()), (Direction::Outgoing, "sip:r@h"));
            assert_eq!((call.run.as_ref(), call.stay.as_ref()), (Some(&id(2)), Some(&id(3))));
            assert_eq!((call.started_at.0, call.answered_at), (1000, Some(Timestamp(4000))));
            assert_eq!((call.cause.as_str(), call.ended_by), ("ended", Some(side)));
            assert!(call.ended_at.is_some());
            scene.end();
            assert!(scene.recorder.is_idle());
        }
    }
}

#[test]
fn a_call_that_nobody_takes_comes_to_no_run() {
    let mut scene = Scene::begin();
    scene.tell("", Happening::LegDialling { leg: leg() });
    scene.tell("", Happening::LegRinging { leg: leg() });
    scene.tell("", Happening::LegEnded { leg: leg(), cause: LegState::Busy });
    let call = scene.leg();
    assert_eq!((call.run.as_ref(), call.answered_at), (None, None));
    assert_eq!((call.cause.as_str(), call.ended_by), ("busy", Some(Side::Theirs)));
    assert!(scene.recorder.is_idle());
}

#[test]
fn a_room_system_that_dials_in_is_a_call_for_as_long_as_it_stays() {
    let mut scene = Scene::begin();
    scene.room_system_joins();
    assert_eq!(scene.runs().len(), 1, "a run of whose beginning nothing was heard");
    scene.leave("room", LeaveReason::ByItself);
    let call = scene.leg();
    assert_eq!((call.direction, call.address.as_str()), (Direction::Incoming, "room"));
    assert_eq!((call.started_at.0, call.ended_at), (1000, Some(Timestamp(2000))));
    assert_eq!((call.cause.as_str(), call.ended_by), ("by_itself", Some(Side::Theirs)));
}

#[test]
fn what_was_missed_is_ended_as_unknown() {
    let mut scene = Scene::begin();
    scene.tell("RM_1", Happening::MeetingBegan);
    scene.join("anna");
    // The run's end and the next one's beginning: only the latter is heard of.
    scene.tell("RM_2", Happening::MeetingBegan);
    let causes = [&scene.runs()[0].cause, &scene.stays()[0].cause];
    assert_eq!(causes, ["unknown"; 2]);
    assert_eq!(scene.runs()[1].ended_at, None);
    // Nothing runs any more, as is seen after events were lost.
    let rows = scene.recorder.catch_up(&[], Timestamp(9000));
    scene.write(rows);
    let run = scene.runs()[1];
    assert_eq!((run.cause.as_str(), run.ended_at), ("unknown", Some(Timestamp(9000))));
    assert!(scene.recorder.is_idle());
    // Its end comes late, and changes nothing.
    scene.tell("RM_2", Happening::MeetingEnded { cause: EndCause::Empty, most_participants: 9 });
    assert_eq!(scene.runs()[1].cause, "unknown");
}

#[test]
fn the_server_s_end_is_everything_s_end() {
    let mut scene = Scene::begin();
    scene.tell("RM_1", Happening::MeetingBegan);
    scene.join("anna");
    scene.tell("", Happening::LegDialling { leg: leg() });
    let rows = scene.recorder.end_all(Timestamp(7000));
    scene.write(rows);
    let causes = [&scene.runs()[0].cause, &scene.stays()[0].cause, &scene.leg().cause];
    assert_eq!(causes, ["server_stops"; 3]);
    assert!(scene.recorder.is_idle());
}

#[test]
fn a_batch_has_each_row_once_and_a_run_before_its_stays() {
    let mut scene = Scene::begin();
    let mut rows = Vec::new();
    for what in [
        Happening::MeetingBegan,
        Happening::ParticipantJoined { participant: who("anna", ParticipantKind::Standard) },
        Happening::MeetingEnded { cause: EndCause::Empty, most_participants: 1 },
    ] {
        let event = Event {
            number: 1,
            at: Timestamp(5),
            meeting: board(),
            sid: Some("RM_1".into()),
            what,
            shown: Shown::default(),
        };
        rows.extend(scene.recorder.see(&event));
    }
    assert_eq!(rows.len(), 5);
    let rows = latest(rows);
    let [HistoryRow::Run(run), HistoryRow::Stay(stay)] = rows.as_slice() else {
        panic!("{rows:?}");
    };
    assert_eq!((run.cause.as_str(), stay.cause.as_str()), ("empty", "meeting_ended"));
}

#[tokio::test]
async fn a_batch_is_full_at_its_bound_and_the_last_one_does_not_wait() {
    let (queue, mut rows) = mpsc::channel(QUEUE);
    let figures = |at| HistoryRow::Figures {
        stay: id(1),
        figures: crate::store::Figures { at: Timestamp(at), ..Default::default() },
    };
    for at in 0..150 {
        queue.try_send(figures(at)).unwrap();
    }
    drop(queue);
    let (batch, more) = gather(&mut rows).await;
    assert_eq!((batch.len(), more), (BATCH, true));
    let (batch, more) = gather(&mut rows).await;
    assert_eq!((batch.len(), batch.first(), more), (50, Some(&figures(100)), false));
}
