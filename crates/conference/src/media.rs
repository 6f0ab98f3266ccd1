//! The rules' effects, put into the media planes' commands.

use room::{MediaEffect, VideoWanted};
use sfu::core::{LayerSpec, Wanted};
use sfu::{AudioHints, Command, Publication, TrackLabel};
use types::{Codec, TrackSource};

/// The shard's command for an effect.
pub fn command(effect: MediaEffect) -> Command {
    match effect {
        MediaEffect::Publish { peer, track, cids, kind, info } => {
            let layers = info
                .layers
                .iter()
                .map(|it| LayerSpec { index: it.index, width: it.width, height: it.height })
                .collect();
            let audio =
                AudioHints { dtx: info.dtx, stereo: info.stereo, redundancy: !info.red_disabled };
            let codec = match Codec::from_mime(&info.mime) {
                Some(Codec::Video(codec)) => Some(codec),
                _ => None,
            };
            let publication = Publication { track, kind, cids, layers, audio, codec };
            Command::Publish { peer, publication }
        }
        MediaEffect::Unpublish(track) => Command::Unpublish(track),
        MediaEffect::Subscribe { peer, track, kind, source, publisher, sid } => {
            let group = match source {
                TrackSource::Camera | TrackSource::Microphone => Some("camera"),
                TrackSource::ScreenShare | TrackSource::ScreenShareAudio => Some("screen"),
                TrackSource::Unknown => None,
            };
            let (publisher, name) = (publisher.to_string(), sid.to_string());
            let label = TrackLabel { publisher, track: name, group };
            Command::Subscribe { peer, track, kind, label }
        }
        MediaEffect::Unsubscribe { peer, track } => Command::Unsubscribe { peer, track },
        MediaEffect::SetWanted { peer, track, enabled, wanted } => {
            let wanted = match wanted {
                VideoWanted::Size { width, height } => Wanted::Size { width, height },
                VideoWanted::Layer(layer) => Wanted::Layer(layer),
            };
            Command::SetWanted { peer, track, enabled, wanted }
        }
        MediaEffect::SetGate { track, open } => Command::SetGate { track, open },
        MediaEffect::ClosePeer(peer) | MediaEffect::MoveOut(peer) => Command::RemovePeer(peer),
    }
}
