//! What the server does to booked meetings by itself while they run: it calls their room systems when
//! they begin, lets changes of the booking take effect, and ends them when their time is up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use room::{Act, Actor, Command, LeaveReason, LiveChange, Role};
use types::{MeetingId, Timestamp};

use crate::access::{Booked, MeetingSettings};
use crate::booking::Ending;
use crate::conference::{Conference, now_ms};
use crate::dialling::Dialler;
use crate::meeting::MeetingHandle;

/// How often it looks: nobody minds a second.
const TICK: Duration = Duration::from_secs(1);

/// A booked meeting that runs.
struct Known {
    ending: Ending,
    /// As it was booked when it was looked at last.
    settings: MeetingSettings,
}

/// Looks after the booked meetings for as long as the program runs. Without a dialler nobody is
/// called.
pub async fn look_after(conference: Conference, dialler: Option<Arc<dyn Dialler>>) {
    let mut known: HashMap<String, Known> = HashMap::new();
    loop {
        let running = conference.running();
        known.retain(|sid, _| running.iter().any(|it| it.sid() == sid));
        for meeting in running {
            let Some(booked) = conference.directory().booked(meeting.id()) else { continue };
            let now = Timestamp(now_ms());
            let begins = !known.contains_key(meeting.sid());
            let known = known.entry(meeting.sid().to_owned()).or_insert_with(|| Known {
                ending: Ending::new(now),
                settings: meeting.begun_with().clone(),
            });
            if let Some(dialler) = dialler.as_deref().filter(|_| begins) {
                call(dialler, meeting.id(), &booked).await;
            }
            if known.settings != booked.settings {
                let before = std::mem::replace(&mut known.settings, booked.settings.clone());
                apply(&meeting, &before, &booked.settings);
            }
            let ending = &mut known.ending;
            let settings = &booked.meeting.settings;
            let hosts = match settings.automatic_end.without_host {
                true => meeting.snapshot().await.map_or(0, |it| {
                    it.participants.iter().filter(|it| it.role == Role::Host).count()
                }),
                false => 0,
            };
            let scheduled = booked.ends_at(ending.began());
            if ending.is_due(settings, scheduled, hosts, now) {
                tracing::info!(meeting = %meeting.id(), "the meeting's time is up");
                // It may have ended by itself meanwhile.
                let _ = meeting.execute(Command::End(LeaveReason::MeetingEnded)).await;
            }
        }
        let clock = conference.clock();
        clock.sleep_until(clock.now() + TICK).await;
    }
}

/// Lets a change of the booking take effect, and that alone: what hosts changed since it began stays as
/// they left it. End-to-end encryption begins and ends with the next time the meeting does.
fn apply(meeting: &MeetingHandle, before: &MeetingSettings, after: &MeetingSettings) {
    tracing::info!(meeting = %meeting.id(), "the booking was changed while the meeting runs");
    let changed = |of: fn(&MeetingSettings) -> bool| (of(before) != of(after)).then(|| of(after));
    let live = LiveChange {
        lobby: changed(|it| it.lobby),
        mute_on_entry: changed(|it| it.mute_on_entry),
        attendees_listen: changed(|it| it.attendees_listen),
        ..LiveChange::default()
    };
    if live != LiveChange::default() {
        meeting.tell(Command::Steer { actor: Actor::Server, act: Act::SetLive(live) });
    }
    if before.max_participants != after.max_participants {
        meeting.tell(Command::SetMaxParticipants(after.max_participants));
    }
}

async fn call(dialler: &dyn Dialler, meeting: &MeetingId, booked: &Booked) {
    for out in &booked.meeting.settings.dial_out {
        if let Err(refusal) = dialler.dial(meeting, out.address.as_str(), None).await {
            tracing::warn!(%meeting, %refusal, "a room system of the meeting is not called");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Mutex;

    use jiff::tz::TimeZone;
    use mcu::{Mcu, McuConfig};
    use sfu::driver::{PortRange, ShardConfig};
    use types::{Identity, LegLayout, RecordId};

    use super::*;
    use crate::JoinError;
    use crate::access::Directory;
    use crate::booking::{DialOut, Identification, Meeting, MeetingKind, MeetingNumber, Schedule};
    use crate::dialling::{CameraOrder, CameraRefusal, DialRefusal, DialledLeg, LegId};
    use crate::events::{EndCause, Happening, News};
    use crate::store::Found;
    use crate::telephony::{Present, TrunkState};

    /// Notes what is dialled, and dials nothing.
    #[derive(Default)]
    struct Notebook(Mutex<Vec<String>>);

    #[async_trait::async_trait]
    impl Dialler for Notebook {
        async fn dial(
            &self,
            meeting: &MeetingId,
            address: &str,
            _: Option<LegLayout>,
        ) -> Result<DialledLeg, DialRefusal> {
            self.0.lock().unwrap().push(format!("{meeting}: {address}"));
            Err(DialRefusal::Forbidden)
        }

        fn present(&self) -> Vec<Present> {
            Vec::new()
        }

        fn trunks(&self) -> Vec<TrunkState> {
            Vec::new()
        }

        fn leg(&self, _: &MeetingId, _: &LegId) -> Option<DialledLeg> {
            None
        }

        fn set_layout(&self, _: &MeetingId, _: &LegId, _: LegLayout) -> Option<DialledLeg> {
            None
        }

        fn steer_camera(
            &self,
            _: &MeetingId,
            _: &Identity,
            _: CameraOrder,
        ) -> Result<(), CameraRefusal> {
            Err(CameraRefusal::NoCamera)
        }

        fn hang_up(&self, _: &MeetingId, _: &LegId) -> Option<DialledLeg> {
            None
        }
    }

    /// A meeting that takes place for three seconds more, and calls the hall.
    fn meeting() -> Found<Meeting> {
        let mut meeting = Meeting::new(Identification {
            alias: MeetingId::parse("weekly").unwrap(),
            number: MeetingNumber::parse("482913775").unwrap(),
            name: "Weekly".into(),
            owner: RecordId::new("anna"),
        });
        let now = Timestamp(now_ms());
        let start = jiff::Timestamp::from_millisecond(now.0 - 57_000).unwrap();
        let start = TimeZone::UTC.to_datetime(start).strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let (rrule, exdates) = (None, Vec::new());
        let time_zone = "UTC".into();
        meeting.schedule = Some(Schedule { start, minutes: 1, time_zone, rrule, exdates });
        meeting.kind = MeetingKind::Scheduled;
        meeting.settings.automatic_end.at_schedule_end = true;
        let address = "sip:hall@pbx".parse().unwrap();
        meeting.settings.dial_out = vec![DialOut { address, name: String::new() }];
        let id = RecordId::new("m");
        Found { id, version: 1, created_at: now, changed_at: now, entity: meeting }
    }

    /// A conference that is looked after, with this meeting booked.
    fn conference(booked: Found<Meeting>) -> Conference {
        sfu::transport::webrtc::init_crypto();
        let loopback = Ipv4Addr::LOCALHOST.into();
        let shard = sfu::driver::start(&ShardConfig {
            index: 0,
            listen: SocketAddr::new(loopback, 0),
            announced: Vec::new(),
            tcp: Vec::new(),
        });
        let mcu = Mcu::start(McuConfig { video_workers: Some(1) }).unwrap();
        let directory = Arc::new(Directory::new([], false));
        directory.book(booked);
        let (shards, ports) = (vec![shard.unwrap()], PortRange::new(loopback, 0, 0));
        Conference::new(directory, shards, Arc::new(mcu), ports)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_meeting_calls_its_rooms_and_ends_with_its_schedule_by_whatever_name_it_began() {
        let conference = conference(meeting());
        let (mut events, notebook) = (conference.events(), Arc::new(Notebook::default()));
        let upkeep = tokio::spawn(look_after(conference.clone(), Some(notebook.clone())));

        let [by_number, by_alias] = ["482-913-775", "Weekly"]
            .map(|it| conference.open(&MeetingId::parse(it).unwrap()).unwrap());
        assert_eq!(by_number.sid(), by_alias.sid());
        let ended = async {
            loop {
                match events.next().await {
                    Some(News::Event(event)) => {
                        if let Happening::MeetingEnded { cause, .. } = event.what {
                            return cause;
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        // Far less than it would go on without anybody.
        let cause = tokio::time::timeout(Duration::from_secs(15), ended).await.unwrap();
        assert_eq!(cause, EndCause::Ended);
        assert_eq!(*notebook.0.lock().unwrap(), ["weekly: sip:hall@pbx"]);
        // Nor does it begin anew for whoever has a token from that time.
        let weekly = MeetingId::parse("weekly").unwrap();
        let refused = async {
            loop {
                match conference.open(&weekly) {
                    Err(error) => return error,
                    // That it ended is told a moment before it is gone.
                    Ok(_) => tokio::task::yield_now().await,
                }
            }
        };
        let refused = tokio::time::timeout(Duration::from_secs(5), refused).await;
        assert_eq!(refused.ok(), Some(JoinError::NotNow));
        upkeep.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn changes_of_the_booking_reach_a_meeting_that_runs_and_leave_alone_what_hosts_did() {
        let mut booked = meeting();
        booked.entity.schedule = None;
        booked.entity.settings.dial_out.clear();
        let conference = conference(booked.clone());
        let upkeep = tokio::spawn(look_after(conference.clone(), None));
        let running = conference.open(&MeetingId::parse("weekly").unwrap()).unwrap();
        let act = Act::SetLive(LiveChange { mute_on_entry: Some(true), ..LiveChange::default() });
        running.execute(Command::Steer { actor: Actor::Server, act }).await.unwrap();
        booked.entity.settings.lobby = true;
        booked.entity.settings.limits.participants = 3;
        conference.directory().book(booked);
        let clock = conference.clock();
        let changed = async {
            loop {
                let look = running.snapshot().await.unwrap();
                let live = look.lobby.live;
                if live.lobby && look.meeting.max_participants == 3 {
                    return live;
                }
                clock.sleep_until(clock.now() + TICK / 10).await;
            }
        };
        let live = tokio::time::timeout(Duration::from_secs(15), changed).await.unwrap();
        assert!(live.mute_on_entry, "that was a host's doing");
        upkeep.abort();
    }
}
