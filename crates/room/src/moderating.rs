//! What a host or the server does to others.

use types::{Identity, TrackSid};

use crate::command::{MemberChange, Permissions, Refusal};
use crate::effect::{Effect, LeaveReason, MediaEffect, Notice};
use crate::room::Room;

impl Room {
    /// A muted track's gate is closed whatever the client does. Unmuting opens the gate again; a
    /// person's own mute stays, since nobody is unmuted by others.
    pub(crate) fn mute_track(
        &mut self,
        identity: &Identity,
        sid: &TrackSid,
        muted: bool,
    ) -> Result<(), Refusal> {
        let member = self.by_identity(identity)?;
        let peer = member.peer;
        let track = member.track(sid)?;
        if track.held == muted {
            return Ok(());
        }
        track.held = muted;
        if muted {
            track.muted = true;
        }
        let id = track.id;
        let effect = MediaEffect::SetGate { track: id, open: !muted };
        self.effects.push(Effect::Media(effect));
        if muted {
            self.tell(peer, Notice::TrackMuted { track: sid.clone(), muted });
        }
        self.announce(peer);
        Ok(())
    }

    pub(crate) fn remove(
        &mut self,
        identity: &Identity,
        reason: LeaveReason,
    ) -> Result<(), Refusal> {
        let peer = self.by_identity(identity)?.peer;
        self.put_out(peer, reason);
        Ok(())
    }

    pub(crate) fn update_member(
        &mut self,
        identity: &Identity,
        change: MemberChange,
        permissions: Option<Permissions>,
    ) -> Result<(), Refusal> {
        let member = self.by_identity(identity)?;
        member.change(change)?;
        let peer = member.peer;
        let Some(permissions) = permissions else {
            self.announce(peer);
            return Ok(());
        };
        member.permissions = permissions;
        let may = member.permissions.clone();
        let forbidden: Vec<TrackSid> = member
            .tracks
            .iter()
            .filter(|it| {
                !may.publish || (!may.sources.is_empty() && !may.sources.contains(&it.info.source))
            })
            .map(|it| it.sid.clone())
            .collect();
        for sid in forbidden {
            self.unpublish(peer, &sid)?;
            self.tell(peer, Notice::TrackUnpublished(sid));
        }
        if may.subscribe {
            self.subscribe_to_all(peer);
        } else {
            let dropped: Vec<_> = self.member(peer)?.subscriptions.drain().map(|it| it.0).collect();
            self.effects.extend(
                dropped
                    .into_iter()
                    .map(|track| Effect::Media(MediaEffect::Unsubscribe { peer, track })),
            );
        }
        self.announce(peer);
        Ok(())
    }
}
