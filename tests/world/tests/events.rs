//! What operators, the audit and webhooks are told of a meeting.

use conference::events::EndCause;
use conference::{Event, Happening};
use room::{Command, LeaveReason};
use types::{Identity, ParticipantKind, TrackSource};
use world::{GREEN, RED, World, seconds};

/// An event in short: its word, whom it is about, and what matters of it.
fn short(event: &Event) -> String {
    match &event.what {
        Happening::MeetingBegan => "began".to_owned(),
        Happening::MeetingEnded { cause, most_participants } => {
            format!("ended {cause:?} {most_participants}")
        }
        Happening::ParticipantJoined { participant } => format!("joined {}", participant.identity),
        Happening::ParticipantActive { participant } => format!("active {}", participant.identity),
        Happening::ParticipantLeft { participant, reason, .. } => {
            format!("left {} {reason:?}", participant.identity)
        }
        Happening::TrackPublished { participant, track } => {
            format!("published {} {:?}", participant.identity, track.source)
        }
        Happening::TrackUnpublished { participant, track } => {
            format!("unpublished {} {:?}", participant.identity, track.source)
        }
        Happening::TrackMuted { participant, track } => {
            format!("muted {} {:?} {}", participant.identity, track.source, track.muted)
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn a_meeting_of_two_browsers_and_a_room_is_told_from_its_beginning_to_its_end() {
    let mut world = World::new(31);
    let anna = world.browser("anna").shows(RED);
    let boris = world.browser("boris");
    let hall = world.room("hall").shows(GREEN).in_opus();
    anna.joins(&mut world);
    world.pass(seconds(1));
    boris.joins(&mut world);
    world.pass(seconds(1));
    hall.calls(&mut world);
    world.until(seconds(5), || hall.sees(RED) && boris.sees(RED) && boris.sees(GREEN));
    let events = world.events();
    let told: Vec<String> = events.iter().map(|it| short(it)).collect();
    // Anna's tracks are there for others as soon as her offer has been read.
    let expected = [
        "began",
        "joined anna",
        "published anna Microphone",
        "published anna Camera",
        "active anna",
        "joined boris",
        "active boris",
        "joined hall",
        "active hall",
        "published hall Microphone",
        "published hall Camera",
    ];
    assert_eq!(told, expected);
    let numbers: Vec<u64> = events.iter().map(|it| it.number).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>(), "without gaps");
    assert!(events.windows(2).all(|it| it[0].at <= it[1].at && it[0].sid == it[1].sid));
    assert!(events[0].sid.as_ref().is_some_and(|it| it.starts_with("RM_")));

    let microphone = events.iter().find_map(|it| match &it.what {
        Happening::TrackPublished { participant, track }
            if participant.identity.as_str() == "anna"
                && track.source == TrackSource::Microphone =>
        {
            Some(track.sid.clone())
        }
        _ => None,
    });
    let hall_is = events.iter().find_map(|it| match &it.what {
        Happening::ParticipantActive { participant } if participant.identity.as_str() == "hall" => {
            Some(participant.kind)
        }
        _ => None,
    });
    assert_eq!(hall_is, Some(ParticipantKind::Sip));
    let track = microphone.expect("anna's microphone");
    world.does(Command::MuteTrack { identity: Identity::new("anna"), track, muted: true });
    boris.leaves();
    world.pass(seconds(1));
    world.does(Command::Remove { identity: Identity::new("anna"), reason: LeaveReason::Removed });
    world.does(Command::End(LeaveReason::MeetingEnded));
    let told: Vec<String> = world.events().iter().map(|it| short(it)).collect();
    let expected = [
        "muted anna Microphone true",
        "left boris ByItself",
        "unpublished anna Microphone",
        "unpublished anna Camera",
        "left anna Removed",
        "unpublished hall Microphone",
        "unpublished hall Camera",
        "left hall MeetingEnded",
        "ended Ended 3",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_meeting_that_everybody_left_ends_after_a_while_and_the_next_is_another() {
    let mut world = World::new(32);
    let anna = world.browser("anna");
    anna.joins(&mut world);
    world.pass(seconds(2));
    anna.leaves();
    world.pass(seconds(18));
    let first = world.events();
    assert_eq!(first.last().map(|it| short(it)), Some("left anna ByItself".to_owned()));
    world.pass(seconds(4));
    let last = world.events();
    let is_end = |it: &Event| {
        it.what == Happening::MeetingEnded { cause: EndCause::Empty, most_participants: 1 }
    };
    assert!(last.len() == 1 && is_end(&last[0]), "{last:?}");
    let boris = world.browser("boris");
    boris.joins(&mut world);
    world.pass(seconds(2));
    let next = world.events();
    assert_eq!(short(&next[0]), "began");
    assert_ne!(next[0].sid, first[0].sid);
}
