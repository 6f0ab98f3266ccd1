//! Events in LiveKit's words.

use std::collections::HashMap;

use conference::events::EndCause;
use conference::{Event, Happening};
use livekit_protocol as lk;
use room::Presence;
use types::{ParticipantSid, TrackSid};

use crate::outward;

/// What webhooks say. LiveKit tells of a participant once its media flow, and of tracks after that:
/// those that come earlier wait here.
#[derive(Default)]
pub struct Translator {
    waiting: HashMap<ParticipantSid, Vec<(TrackSid, lk::WebhookEvent)>>,
}

impl Translator {
    /// What is to be told of an event, in this order.
    pub fn translate(&mut self, event: &Event) -> Vec<lk::WebhookEvent> {
        match &event.what {
            Happening::MeetingBegan => vec![webhook("room_started", event)],
            Happening::MeetingEnded { cause, .. } => {
                let reason = match cause {
                    EndCause::Empty => lk::RoomEndReason::RoomEndIdleTimeout,
                    EndCause::Ended => lk::RoomEndReason::RoomEndApiDelete,
                    EndCause::ServerStops => lk::RoomEndReason::RoomEndServerShutdown,
                };
                let ended = webhook("room_finished", event);
                vec![lk::WebhookEvent { room_end_reason: reason as i32, ..ended }]
            }
            Happening::ParticipantActive { participant } if !participant.hidden => {
                let tracks = self.waiting.remove(&participant.sid).unwrap_or_default();
                let tracks = tracks.into_iter().map(|it| it.1);
                std::iter::once(webhook("participant_joined", event)).chain(tracks).collect()
            }
            Happening::ParticipantLeft { participant, was_active, .. } if !participant.hidden => {
                self.waiting.remove(&participant.sid);
                let word = match was_active {
                    true => "participant_left",
                    false => "participant_connection_aborted",
                };
                vec![webhook(word, event)]
            }
            Happening::TrackPublished { participant, track } if !participant.hidden => {
                let published = webhook("track_published", event);
                if is_active(event) {
                    return vec![published];
                }
                let waiting = self.waiting.entry(participant.sid.clone()).or_default();
                waiting.push((track.sid.clone(), published));
                Vec::new()
            }
            Happening::TrackUnpublished { participant, track } if !participant.hidden => {
                if is_active(event) {
                    return vec![webhook("track_unpublished", event)];
                }
                if let Some(waiting) = self.waiting.get_mut(&participant.sid) {
                    waiting.retain(|it| it.0 != track.sid);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}

fn is_active(event: &Event) -> bool {
    event.shown.participant.as_ref().is_some_and(|it| it.presence == Presence::Active)
}

fn webhook(word: &str, event: &Event) -> lk::WebhookEvent {
    let shown = &event.shown;
    lk::WebhookEvent {
        event: word.to_owned(),
        room: shown.meeting.as_ref().map(outward::room),
        participant: shown.participant.as_ref().map(outward::participant),
        track: shown.track.as_ref().map(outward::track_info),
        id: conference::random_id("EV_"),
        created_at: event.at.0 / 1000,
        ..Default::default()
    }
}
