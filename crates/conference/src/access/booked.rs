//! Meetings that were booked, as whoever comes in needs them: by alias and by number, in memory, so
//! that finding one is quick and waits for nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use types::{Bandwidth, MeetingId, RecordId, Timestamp};

use super::directory::{KeptPin, MeetingSettings};
use crate::booking::{Called, Joining, Meeting, MeetingNumber, Presenters, Settings, Timetable};
use crate::problem::Problems;
use crate::store::Found;

/// How long before an occurrence joining opens.
const EARLY: Duration = Duration::from_secs(15 * 60);

/// A meeting that was booked.
#[derive(Clone, Debug)]
pub struct Booked {
    /// Its record.
    pub id: RecordId,
    /// As it was booked.
    pub meeting: Meeting,
    /// What follows from that for whoever is in it.
    pub settings: MeetingSettings,
    /// When it takes place; `None`: always.
    timetable: Option<Timetable>,
}

impl Booked {
    /// What was read from the store.
    ///
    /// # Errors
    /// What is wrong with its schedule.
    pub fn of(found: Found<Meeting>) -> Result<Self, Problems> {
        let Found { id, entity: meeting, .. } = found;
        let timetable = meeting.schedule.as_ref().map(|it| it.timetable()).transpose()?;
        let settings = settings(&meeting);
        Ok(Self { id, meeting, settings, timetable })
    }

    /// Whether joining is open; `None`: it always is.
    pub(super) fn joining(&self, now: Timestamp) -> Option<Joining> {
        self.timetable.as_ref().map(|it| it.joining(now, EARLY, Duration::ZERO))
    }

    /// Whether joining is open.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.joining(now).is_none_or(|it| matches!(it, Joining::Open(_)))
    }

    /// The end of its last occurrence that has begun.
    pub(super) fn ended_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.timetable.as_ref()?.last(now).map(|it| it.end)
    }

    /// The end of the occurrence to which people come at `now`; `None`: there is none.
    pub fn ends_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self.joining(now) {
            Some(Joining::Open(occurrence)) => Some(occurrence.end),
            _ => None,
        }
    }
}

fn settings(meeting: &Meeting) -> MeetingSettings {
    let Settings { lobby, mute_on_entry, room_systems, layout, limits, e2ee, presenters, .. } =
        &meeting.settings;
    let hashed = |pin: &Option<_>| pin.clone().map(KeptPin::Hash);
    MeetingSettings {
        id: meeting.alias.clone(),
        name: meeting.name.clone(),
        guest_pin: hashed(&meeting.guest_pin),
        host_pin: hashed(&meeting.host_pin),
        room_systems: *room_systems,
        layout: *layout,
        max_participants: limits.participants,
        bandwidth: limits.kbps.map(Bandwidth::kilobits),
        e2ee: *e2ee,
        lobby: *lobby,
        mute_on_entry: *mute_on_entry,
        guests: match presenters {
            Presenters::Everybody => room::Role::Presenter,
            Presenters::Hosts => room::Role::Attendee,
        },
        attendees_listen: false,
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Bookings {
    by_alias: HashMap<MeetingId, Arc<Booked>>,
    by_number: HashMap<MeetingNumber, MeetingId>,
    by_record: HashMap<RecordId, MeetingId>,
}

impl Bookings {
    pub(super) fn find(&self, id: &MeetingId) -> Option<&Arc<Booked>> {
        match Called::read(id.as_str())? {
            Called::Alias(alias) => self.by_alias.get(&alias),
            Called::Number(number) => self.by_alias.get(self.by_number.get(&number)?),
        }
    }

    pub(super) fn put(&mut self, booked: Booked) {
        self.take(&booked.id);
        let alias = booked.meeting.alias.clone();
        self.by_number.insert(booked.meeting.number.clone(), alias.clone());
        self.by_record.insert(booked.id.clone(), alias.clone());
        self.by_alias.insert(alias, Arc::new(booked));
    }

    pub(super) fn take(&mut self, record: &RecordId) {
        let Some(alias) = self.by_record.remove(record) else { return };
        if let Some(gone) = self.by_alias.remove(&alias) {
            self.by_number.remove(&gone.meeting.number);
        }
    }
}
