//! Who speaks, and how connections do.

use std::time::{Duration, Instant};

use types::{PeerId, TrackId};

use crate::command::Refusal;
use crate::effect::{Notice, Quality, SpeakerView};
use crate::room::Room;

/// Louder than this counts as speech (LiveKit's servers use 35 as well).
const SPEECH_DBOV: f32 = -35.0;
/// Somebody who was heard goes on being the speaker through pauses of this length.
const HOLD: Duration = Duration::from_millis(1000);
/// Without any level for this long nobody speaks: the track is muted or silent with DTX.
pub const SPEAKER_SILENCE: Duration = Duration::from_millis(1500);
/// Levels are told when they changed by this much: no flicker, little traffic.
const STEP: f32 = 0.1;

impl Room {
    pub(crate) fn level(&mut self, track: TrackId, dbov: f32, now: Instant) {
        let Some((peer, _)) = self.owner_of(track) else { return };
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
