//! Who gets which track, and which layers are wanted at all.

use std::time::{Duration, Instant};

use types::{MediaKind, PeerId, TrackId, TrackSid};

use crate::command::Refusal;
use crate::effect::{Effect, MediaEffect, Notice};
use crate::member::{Subscription, VideoWanted};
use crate::room::Room;

/// A layer that nobody wants goes on for this long: whoever changes tiles or scrolls would
/// otherwise wait for an encoder to start again.
const LAYER_LINGER: Duration = Duration::from_secs(5);

impl Room {
    pub(crate) fn subscribe(
        &mut self,
        peer: PeerId,
        sids: &[TrackSid],
        subscribe: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        if subscribe && !self.member(peer)?.permissions.subscribe {
            return Err(Refusal::NotAllowed("subscribe"));
        }
        for sid in sids {
            let Some((owner, track)) = self.find_track(sid) else { continue };
            let (own, track, bound) = (owner.peer == peer, track.id, track.mid.is_some());
            if own || !bound {
                continue;
            }
            if subscribe {
                self.start_subscription(peer, track);
            } else if self.member(peer)?.subscriptions.remove(&track).is_some() {
                self.effects.push(Effect::Media(MediaEffect::Unsubscribe { peer, track }));
            }
        }
        self.review_layers(now);
        Ok(())
    }

    pub(crate) fn set_wanted(
        &mut self,
        peer: PeerId,
        sids: &[TrackSid],
        enabled: bool,
        wanted: VideoWanted,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.member(peer)?;
        for sid in sids {
            let Some(track) = self.find_track(sid).map(|it| it.1.id) else { continue };
            let Some(subscription) = self.member(peer)?.subscriptions.get_mut(&track) else {
                continue;
            };
            *subscription = Subscription { enabled, wanted };
            let effect = MediaEffect::SetWanted { peer, track, enabled, wanted };
            self.effects.push(Effect::Media(effect));
        }
        self.review_layers(now);
        Ok(())
    }

    pub(crate) fn subscribe_to_all(&mut self, peer: PeerId) {
        if !self.members.get(&peer).is_some_and(|it| it.auto_subscribe) {
            return;
        }
        let tracks: Vec<TrackId> = self
            .members
            .values()
            .filter(|it| it.peer != peer)
            .flat_map(|it| it.tracks.iter().filter(|it| it.mid.is_some()).map(|it| it.id))
            .collect();
        for track in tracks {
            self.start_subscription(peer, track);
        }
    }

    pub(crate) fn start_subscription(&mut self, peer: PeerId, track: TrackId) {
        let found = self.members.values().find_map(|owner| {
            let found = owner.tracks.iter().find(|it| it.id == track)?;
            Some((owner.peer, owner.sid.clone(), found.sid.clone(), found.kind, found.info.source))
        });
        let (Some((owner, publisher, sid, kind, source)), Some(member)) =
            (found, self.members.get_mut(&peer))
        else {
            return;
        };
        if !member.permissions.subscribe || member.subscriptions.contains_key(&track) {
            return;
        }
        let all = Subscription { enabled: true, wanted: VideoWanted::Layer(2) };
        member.subscriptions.insert(track, all);
        let told = sid.clone();
        self.effects.push(Effect::Media(MediaEffect::Subscribe {
            peer,
            track,
            kind,
            source,
            publisher,
            sid,
        }));
        self.tell(owner, Notice::Subscribed(told));
    }

    /// Tells publishers which layers somebody wants: more at once, less after a while.
    pub(crate) fn review_layers(&mut self, now: Instant) {
        let mut notices = Vec::new();
        let tracks: Vec<TrackId> = self
            .members
            .values()
            .flat_map(|it| &it.tracks)
            .filter(|it| it.kind == MediaKind::Video && it.mid.is_some())
            .map(|it| it.id)
            .collect();
        for id in tracks {
            let wishes: Vec<VideoWanted> = self
                .members
                .values()
                .filter_map(|it| it.subscriptions.get(&id))
                .filter(|it| it.enabled)
                .map(|it| it.wanted)
                .collect();
            let Some((publisher, track)) = self.owner_of(id) else { continue };
            let highest = wishes
                .iter()
                .chain(&track.bridge_wanted)
                .map(|wish| track.info.layer_for(*wish))
                .max();
            let wanted = [0, 1, 2].map(|layer| highest.is_some_and(|highest| layer <= highest));
            if wanted == track.layers_wanted {
                track.quiet_since = None;
                continue;
            }
            let more = wanted.iter().zip(&track.layers_wanted).any(|(new, old)| *new && !*old);
            let since = *track.quiet_since.get_or_insert(now);
            if more || now.saturating_duration_since(since) >= LAYER_LINGER {
                track.layers_wanted = wanted;
                track.quiet_since = None;
                let (sid, mime) = (track.sid.clone(), track.info.mime.clone());
                notices
                    .push((publisher, Notice::LayersWanted { track: sid, mime, layers: wanted }));
            }
        }
        for (publisher, notice) in notices {
            self.tell(publisher, notice);
        }
    }
}
