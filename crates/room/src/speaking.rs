//! Who speaks, and how connections do.

use std::time::{Duration, Instant};

use types::{PeerId, TrackId};

use crate::command::Refusal;
use crate::effect::{Effect, Notice, Quality, SpeakerView};
use crate::member::Hold;
use crate::room::Room;

/// Louder than this counts as speech (LiveKit's servers use 35 as well).
const SPEECH_DBOV: f32 = -35.0;
/// Somebody who was heard goes on being the speaker through pauses of this length.
const HOLD: Duration = Duration::from_millis(1000);
/// Without any level for this long nobody speaks: the track is muted or silent with DTX.
pub const SPEAKER_SILENCE: Duration = Duration::from_millis(1500);
/// Levels are told when they changed by this much: no flicker, little traffic.
const STEP: f32 = 0.1;
/// Whoever is large stays so for this long while they speak: a picture that jumps with every word is
/// none to look at.
const STAY: Duration = Duration::from_secs(2);
/// Then another who speaks at the same time is large if they are this much louder: 6 dB.
const LOUDER: f32 = 2.0;

/// And if they were heard within this time: levels come every 300 ms, and of silence perhaps none.
const JUST_NOW: Duration = Duration::from_millis(500);

/// Who is to be seen large where one is.
#[derive(Clone, Copy, Debug)]
pub struct Foremost {
    pub peer: PeerId,
    pub since: Instant,
}

impl Room {
    pub(crate) fn level(&mut self, track: TrackId, dbov: f32, now: Instant) {
        let Some((peer, owned)) = self.owner_of(track) else { return };
        if owned.hold != Hold::No {
            // Nobody hears it, whatever its client sends.
            return;
        }
        let Some(member) = self.members.get_mut(&peer) else { return };
        let loudness = &mut member.loudness;
        let speaks = dbov > SPEECH_DBOV;
        let level = if speaks { 10f32.powf(dbov.min(0.0) / 20.0).clamp(0.0, 1.0) } else { 0.0 };
        loudness.level = (loudness.level + level) / 2.0;
        if speaks {
            loudness.heard_at = Some(now);
        }
        self.quiet_speakers(now, HOLD);
    }

    /// Tells everybody what changed about who speaks.
    pub(crate) fn quiet_speakers(&mut self, now: Instant, hold: Duration) {
        let mut changes = Vec::new();
        for member in self.members.values_mut() {
            let loudness = &mut member.loudness;
            let active =
                loudness.heard_at.is_some_and(|at| now.saturating_duration_since(at) < hold);
            let level = if active { loudness.level.max(0.01) } else { 0.0 };
            if active != loudness.active || (level - loudness.told).abs() >= STEP {
                loudness.active = active;
                loudness.told = level;
                changes.push(SpeakerView { sid: member.sid.clone(), level, active });
            }
        }
        if !changes.is_empty() {
            self.tell_all(&Notice::Speakers(changes));
        }
        self.choose_speaker(now);
    }

    /// Whoever spoke last stays large while nobody else speaks.
    fn choose_speaker(&mut self, now: Instant) {
        let loudest = self
            .members
            .values()
            .filter(|it| it.loudness.active && !it.permissions.hidden)
            .max_by(|a, b| a.loudness.level.total_cmp(&b.loudness.level));
        let Some(loudest) = loudest else { return };
        if let Some(Foremost { peer, since }) = self.speaker
            && let Some(current) = self.members.get(&peer).filter(|it| it.loudness.active)
        {
            let passed = |since: Instant| now.saturating_duration_since(since);
            let takes_over = passed(since) >= STAY
                && loudest.loudness.heard_at.is_some_and(|at| passed(at) < JUST_NOW)
                && loudest.loudness.level >= current.loudness.level * LOUDER;
            if !takes_over || current.peer == loudest.peer {
                return;
            }
        }
        let peer = loudest.peer;
        if self.speaker.replace(Foremost { peer, since: now }).map(|it| it.peer) != Some(peer) {
            self.effects.push(Effect::Speaker(peer));
        }
    }

    pub(crate) fn network(&mut self, peer: PeerId, loss: f32) -> Result<(), Refusal> {
        let member = self.member(peer)?;
        let quality = match loss {
            ..0.02 => Quality::Excellent,
            ..0.10 => Quality::Good,
            _ => Quality::Poor,
        };
        let sid = member.sid.clone();
        if member.quality.replace(quality) == Some(quality) {
            // Its own client takes silence for a lost connection: tell it every time.
            self.tell(peer, Notice::Qualities(vec![(sid, quality)]));
        } else {
            self.tell_all(&Notice::Qualities(vec![(sid, quality)]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use types::{
        Identity, MediaKind, MeetingId, ParticipantKind, ParticipantSid, TrackSid, TrackSource,
    };

    use super::*;
    use crate::command::{Command, Join, Permissions, PublishRequest};
    use crate::effect::LeaveReason;
    use crate::member::TrackInfo;
    use crate::role::Role;
    use crate::room::RoomSettings;
    use crate::steering::LiveSettings;

    /// A meeting of people with a microphone each; people and their tracks have the same numbers.
    struct Talk {
        room: Room,
        now: Instant,
    }

    impl Talk {
        fn of(people: u64) -> Self {
            let now = Instant::now();
            let settings = RoomSettings {
                id: MeetingId::parse("board").unwrap(),
                sid: "RM_1".to_owned(),
                max_participants: 10,
                e2ee: false,
                created_at_ms: 0,
                live: LiveSettings::default(),
            };
            let mut talk = Self { room: Room::new(settings, now), now };
            for number in 1..=people {
                let join = Join {
                    peer: PeerId(number),
                    sid: ParticipantSid::new(format!("PA_{number}")),
                    identity: Identity::new(format!("person {number}")),
                    name: String::new(),
                    kind: ParticipantKind::Standard,
                    permissions: Permissions::default(),
                    role: Role::default(),
                    invited: false,
                    metadata: String::new(),
                    attributes: BTreeMap::new(),
                    auto_subscribe: true,
                    joined_at_ms: 0,
                };
                let info = TrackInfo {
                    name: "microphone".to_owned(),
                    source: TrackSource::Microphone,
                    mime: "audio/opus".to_owned(),
                    width: 0,
                    height: 0,
                    layers: Vec::new(),
                    stream: String::new(),
                    dtx: false,
                    stereo: false,
                    red_disabled: true,
                    encryption: 0,
                };
                let request = PublishRequest {
                    id: TrackId(number),
                    sid: TrackSid::new(format!("TR_{number}")),
                    cid: "microphone".to_owned(),
                    kind: MediaKind::Audio,
                    info,
                };
                let peer = PeerId(number);
                for command in [Command::Join(join), Command::Publish { peer, request }] {
                    talk.room.handle(command, now).unwrap();
                }
            }
            talk
        }

        /// All these speak at their levels for some time; who became large meanwhile.
        fn speak(&mut self, levels: &[(u64, f32)], milliseconds: u64) -> Vec<u64> {
            let mut large = Vec::new();
            let end = self.now + Duration::from_millis(milliseconds);
            while self.now < end {
                self.now += Duration::from_millis(300);
                let mut effects = Vec::new();
                for (number, dbov) in levels {
                    let level = Command::Level { track: TrackId(*number), dbov: *dbov };
                    effects.extend(self.room.handle(level, self.now).unwrap());
                }
                effects.extend(self.room.handle_timeout(self.now));
                large.extend(effects.into_iter().filter_map(|it| match it {
                    Effect::Speaker(peer) => Some(peer.0),
                    _ => None,
                }));
            }
            large
        }
    }

    #[test]
    fn who_speaks_is_large_until_another_speaks() {
        let mut talk = Talk::of(3);
        assert_eq!(talk.speak(&[(1, -90.0)], 3000), [0; 0], "silence is no speech");
        assert_eq!(talk.speak(&[(2, -20.0)], 3000), [2]);
        assert_eq!(talk.speak(&[], 5000), [0; 0], "nobody takes the place by silence");
        assert_eq!(talk.speak(&[(3, -20.0), (2, -80.0)], 3000), [3]);
        assert_eq!(talk.room.speaker(), Some(PeerId(3)));
    }

    #[test]
    fn a_word_between_does_not_change_the_picture_and_a_louder_speaker_does() {
        let mut talk = Talk::of(2);
        assert_eq!(talk.speak(&[(1, -20.0)], 900), [1]);
        assert_eq!(talk.speak(&[(1, -20.0), (2, -10.0)], 600), [0; 0], "a cough");
        assert_eq!(talk.speak(&[(1, -20.0)], 3000), [0; 0]);
        assert_eq!(talk.speak(&[(1, -20.0), (2, -17.0)], 6000), [0; 0], "hardly louder");
        assert_eq!(talk.speak(&[(1, -30.0), (2, -10.0)], 3000), [2], "a fan may not hold it");
    }

    #[test]
    fn whoever_leaves_gives_the_place_up_at_once() {
        let mut talk = Talk::of(2);
        talk.speak(&[(1, -20.0)], 900);
        let leave = Command::Leave { peer: PeerId(1), reason: LeaveReason::ByItself };
        talk.room.handle(leave, talk.now).unwrap();
        assert_eq!(talk.room.speaker(), None);
        assert_eq!(talk.speak(&[(2, -20.0)], 600), [2], "at once");
    }
}
