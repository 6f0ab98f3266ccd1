//! Who is to be heard and seen by room systems.

use std::collections::BTreeMap;

use mcu::{Bridge, SourceId};
use room::{ParticipantView, TrackView};
use rtp::lane::lane;
use sfu::ShardHandle;
use sfu::core::Wanted;
use types::{AudioCodec, Codec, MediaKind, PeerId, TrackId, TrackSource, VideoCodec};

use super::codec_of;
use super::leg::Leg;

/// Packets of sound in a lane: 1.2 s, more than any pause of the audio thread.
const AUDIO_LANE: usize = 64;
/// Packets of a picture in a lane: a key frame of 1080p and what comes while it is decoded.
pub(crate) const VIDEO_LANE: usize = 1024;

/// The bridge's taps of a track: there is one bridge, so one number does.
const TAP: u64 = 1;

/// Who a peer is for the bridge: the ids of peers and of tracks come from one counter.
pub(super) const fn of_peer(peer: PeerId) -> SourceId {
    SourceId(peer.0)
}

/// Who a track is for the bridge, where it is not all that a peer shows.
pub(super) const fn of_track(track: TrackId) -> SourceId {
    SourceId(track.0)
}

/// Whether it is the picture of a shared screen.
pub(super) fn is_screen(track: &TrackView) -> bool {
    track.info.source == TrackSource::ScreenShare
}

/// What a source should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    name: String,
    voice: Option<(TrackId, AudioCodec)>,
    picture: Option<(TrackId, VideoCodec)>,
    muted: bool,
    /// Shows the name where there is no picture.
    tile: bool,
    /// A shared screen's picture.
    screen: bool,
}

impl Wish {
    /// Whether it takes a tile.
    pub(super) fn is_seen(&self) -> bool {
        self.tile || self.picture.is_some()
    }

    /// Whether it is a shared screen.
    pub(super) fn is_screen(&self) -> bool {
        self.screen
    }

    /// Its picture, if there is one to see now.
    pub(super) fn shown(&self) -> Option<(TrackId, VideoCodec)> {
        self.picture.filter(|_| !self.muted)
    }
}

/// What a source is.
#[derive(Debug, Default)]
pub(super) struct Source {
    at: Wish,
    /// Pixels of its tile in the largest picture that shows it.
    tile: Option<[u32; 2]>,
}

/// What sources are wired with.
pub(super) struct Wiring<'a> {
    pub(super) bridge: &'a Bridge,
    pub(super) shard: &'a ShardHandle,
}

/// Everybody that is shown has a tile and a voice, and every shared screen has a tile of its own.
pub(super) fn wanted(
    roster: &[ParticipantView],
    legs: &BTreeMap<PeerId, Leg>,
) -> BTreeMap<SourceId, Wish> {
    let mut wanted = BTreeMap::new();
    for participant in roster {
        let name = shown_name(participant);
        let id = of_peer(participant.peer);
        if let Some(leg) = legs.get(&participant.peer) {
            let (voice, picture) = (leg.voice(), leg.picture());
            let muted = leg.is_muted(participant, MediaKind::Video);
            let room = Wish { voice, picture, muted, tile: true, ..Wish::default() };
            wanted.insert(id, Wish { name: name.clone(), ..room });
            let content = || legs.values().find(|it| it.is_content_of(participant.peer));
            if let Some(track) = participant.tracks.iter().find(|it| is_screen(it))
                && let Some(picture) = content().and_then(Leg::picture)
            {
                let (muted, picture) = (track.muted, Some(picture));
                let screen = Wish { name, picture, muted, screen: true, ..Wish::default() };
                wanted.insert(of_track(track.id), screen);
            }
            continue;
        }
        let mut person = Wish { name: name.clone(), tile: true, ..Wish::default() };
        for track in &participant.tracks {
            // What is encrypted end to end never comes here.
            let codec = codec_of(&track.info.mime).filter(|_| track.info.encryption == 0);
            match (track.info.source, codec) {
                (TrackSource::ScreenShare, Some(Codec::Video(codec))) => {
                    let (name, picture) = (name.clone(), Some((track.id, codec)));
                    let muted = track.muted;
                    let screen = Wish { name, picture, muted, screen: true, ..Wish::default() };
                    wanted.insert(of_track(track.id), screen);
                }
                (TrackSource::ScreenShareAudio, Some(Codec::Audio(codec))) => {
                    let voice = Some((track.id, codec));
                    wanted.insert(of_track(track.id), Wish { voice, ..Wish::default() });
                }
                (_, Some(Codec::Video(codec))) => {
                    person.picture = Some((track.id, codec));
                    person.muted = track.muted;
                }
                (_, Some(Codec::Audio(codec))) => person.voice = Some((track.id, codec)),
                (_, None) => {}
            }
        }
        wanted.insert(id, person);
    }
    wanted
}

/// Who has shared a screen last, of those whose screens are not muted; it may be that nothing flows
/// yet.
pub(super) fn sharer(roster: &[ParticipantView]) -> Option<PeerId> {
    let screens = roster.iter().flat_map(|participant| {
        let shown = participant.tracks.iter().filter(|it| is_screen(it) && !it.muted);
        shown.map(|track| (track.id, participant.peer))
    });
    // Ids are counted up: the largest is the newest.
    screens.max().map(|(_, peer)| peer)
}

/// All shared screens.
pub(super) fn screens(wanted: &BTreeMap<SourceId, Wish>) -> Vec<SourceId> {
    wanted.iter().filter(|(_, wish)| wish.screen).map(|(id, _)| *id).collect()
}

/// The screen that was shared last, of those that show something.
pub(super) fn screen(wanted: &BTreeMap<SourceId, Wish>) -> Option<SourceId> {
    // Ids are counted up: the largest is the newest.
    wanted.iter().rfind(|(_, wish)| wish.screen && !wish.muted).map(|(id, _)| *id)
}

fn shown_name(participant: &ParticipantView) -> String {
    let name = participant.name.trim();
    if name.is_empty() { participant.identity.to_string() } else { name.to_owned() }
}

impl Source {
    /// The tap of its picture: track and number.
    pub(super) fn picture_tap(&self) -> Option<(TrackId, u64)> {
        self.at.picture.map(|(track, _)| (track, TAP))
    }

    /// How large the `mcu` shows it.
    pub(super) fn set_tile(&mut self, size: Option<[u32; 2]>) {
        self.tile = size;
    }

    /// The track of its picture and how large the `mcu` shows it.
    pub(super) fn wanted(&self) -> Option<(TrackId, [u32; 2])> {
        Some((self.at.picture?.0, self.tile?))
    }

    pub(super) fn follow(&mut self, id: SourceId, wish: &Wish, wiring: &Wiring<'_>) {
        let Wiring { bridge, shard } = wiring;
        if self.at == *wish {
            return;
        }
        if self.at.voice != wish.voice {
            if let Some((track, _)) = self.at.voice {
                shard.send(sfu::Command::Untap { track, number: TAP });
            }
            if self.at.voice.is_some() && wish.voice.is_none() {
                bridge.remove_audio_source(id);
            }
            if let Some((track, codec)) = wish.voice {
                let (tx, rx) = lane(AUDIO_LANE, Bridge::silent_bell());
                bridge.add_audio_source(id, codec, rx);
                let wanted = Wanted::default();
                shard.send(sfu::Command::Tap { track, number: TAP, lane: tx, wanted });
            }
        }
        let is_new = !self.at.is_seen();
        if self.at.picture != wish.picture {
            self.untap_picture(shard);
            if let Some((track, codec)) = wish.picture {
                let (tx, rx) = lane(VIDEO_LANE, bridge.video_bell(id));
                // The smallest layer until it is known how large it is shown.
                let wanted = Wanted::Layer(0);
                shard.send(sfu::Command::Tap { track, number: TAP, lane: tx, wanted });
                self.at.picture = wish.picture;
                bridge.add_video_source(id, codec, &wish.name, rx);
            }
        }
        if wish.picture.is_none() && wish.tile && (is_new || self.at.picture.is_some()) {
            bridge.add_tile(id, &wish.name);
        }
        if self.at.name != wish.name {
            bridge.rename(id, &wish.name);
        }
        if wish.picture.is_some() {
            bridge.set_video_muted(id, wish.muted);
        }
        self.at = wish.clone();
    }

    pub(super) fn end(&mut self, id: SourceId, wiring: &Wiring<'_>) {
        if let Some((track, _)) = self.at.voice {
            wiring.shard.send(sfu::Command::Untap { track, number: TAP });
            wiring.bridge.remove_audio_source(id);
        }
        self.untap_picture(wiring.shard);
        wiring.bridge.remove_video_source(id);
    }

    fn untap_picture(&mut self, shard: &ShardHandle) {
        self.tile = None;
        if let Some((track, _)) = self.at.picture {
            shard.send(sfu::Command::Untap { track, number: TAP });
        }
    }
}
