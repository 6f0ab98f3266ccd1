//! A meeting's bridge to its room systems: keeps the `mcu` and the shard's lanes in line with who
//! is in the meeting. Nothing of it is at work while no room system is.
//!
//! After every change the meeting gives the whole roster to [`MeetingBridge::follow`], which makes
//! whatever is wired differ no more from what should be: there is no way to forget a case.

mod leg;
mod rate;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use mcu::{Bridge, BridgeEvent, Events, Mcu, SourceId};
use room::{Command, ParticipantView, VideoWanted};
use sfu::core::Wanted;
use sfu::{PeerEvent, ShardHandle};
use types::{Codec, LegLayout, MediaKind, PeerId, TrackId};

use crate::conference::ContentJoin;
use crate::leg::Keys;
use leg::{Leg, SinkIds};
use source::{Source, Wiring, Wish};

pub use leg::{LegAudio, LegFormat, Sharing};
pub(crate) use source::VIDEO_LANE;

/// The tile that a room system sees while it is alone.
const WAITING: SourceId = SourceId(0);

/// The bridge of one meeting.
pub(crate) struct MeetingBridge {
    mcu: Arc<Mcu>,
    shard: ShardHandle,
    meeting: String,
    events: Arc<dyn Events>,
    at_work: Option<AtWork>,
}

/// What there is only while a room system is in the meeting.
struct AtWork {
    bridge: Bridge,
    sources: BTreeMap<SourceId, Source>,
    legs: BTreeMap<PeerId, Leg>,
    sinks: SinkIds,
    waiting: bool,
    /// How large each track's picture is wanted, as the rules were told.
    told: BTreeMap<TrackId, [u32; 2]>,
}

impl AtWork {
    /// Tells the rules what has changed in which pictures are wanted, and how large: for tiles, and
    /// by room systems that get them untouched.
    fn tell_wanted(&mut self, commands: &mut Vec<Command>) {
        let tiles = self.sources.values().filter_map(Source::wanted);
        let untouched = self.legs.values().filter_map(Leg::untouched);
        let mut wanted: BTreeMap<TrackId, [u32; 2]> = BTreeMap::new();
        for (track, size) in tiles.chain(untouched) {
            let largest = wanted.entry(track).or_default();
            *largest = (*largest).max(size);
        }
        for (track, size) in &wanted {
            if self.told.get(track) != Some(size) {
                let [width, height] = *size;
                let wanted = Some(VideoWanted::Size { width, height });
                commands.push(Command::SetBridgeWanted { track: *track, wanted });
            }
        }
        for track in self.told.keys().filter(|it| !wanted.contains_key(it)) {
            commands.push(Command::SetBridgeWanted { track: *track, wanted: None });
        }
        self.told = wanted;
    }
}

impl MeetingBridge {
    /// A bridge that rests. `meeting` names it in pictures; `events` hears the `mcu`, on its
    /// threads.
    pub(crate) fn new(
        mcu: Arc<Mcu>,
        shard: ShardHandle,
        meeting: String,
        events: Arc<dyn Events>,
    ) -> Self {
        Self { mcu, shard, meeting, events, at_work: None }
    }

    /// A room system comes in.
    pub(crate) fn add_leg(
        &mut self,
        peer: PeerId,
        tracks: [TrackId; 2],
        format: LegFormat,
        layout: LegLayout,
        keys: Keys,
    ) {
        let at_work = self.at_work.get_or_insert_with(|| AtWork {
            bridge: self.mcu.bridge(&self.meeting, self.events.clone()),
            sources: BTreeMap::new(),
            legs: BTreeMap::new(),
            sinks: SinkIds::default(),
            waiting: false,
            told: BTreeMap::new(),
        });
        let AtWork { bridge, legs, sinks, .. } = at_work;
        for (kind, track) in [MediaKind::Audio, MediaKind::Video].into_iter().zip(tracks) {
            self.shard.send(sfu::Command::PublishLeg { peer, kind, track });
        }
        let mut leg = Leg::new(peer, tracks, sinks);
        leg.tell_keys(keys);
        leg.set_layout(layout, bridge);
        leg.set_format(format, bridge, &self.shard);
        legs.insert(peer, leg);
    }

    /// A room system that came in has a second picture.
    pub(crate) fn add_content(&mut self, of: PeerId, content: ContentJoin) {
        let Some(AtWork { bridge, legs, sinks, .. }) = &mut self.at_work else { return };
        let ContentJoin { peer, raw, format, sharing } = content;
        let [_, track] = raw;
        self.shard.send(sfu::Command::PublishLeg { peer, kind: MediaKind::Video, track });
        let mut leg = Leg::content(peer, raw, sinks, of, sharing);
        leg.set_format(format, bridge, &self.shard);
        legs.insert(peer, leg);
    }

    /// A room system negotiated anew.
    pub(crate) fn change_leg(&mut self, peer: PeerId, format: LegFormat) {
        if let Some(AtWork { bridge, legs, .. }) = &mut self.at_work
            && let Some(leg) = legs.get_mut(&peer)
        {
            leg.set_format(format, bridge, &self.shard);
        }
    }

    /// A room system waits outside from now on: nothing flows to it or from it. `false`: it is none.
    /// The rest follows with the roster, in which it is no more.
    pub(crate) fn move_out(&mut self, peer: PeerId) -> bool {
        let Some(AtWork { bridge, legs, .. }) = &mut self.at_work else { return false };
        let mut gone = legs.extract_if(.., |_, leg| leg.owner() == peer).peekable();
        let is_room = gone.peek().is_some();
        gone.for_each(|(_, mut leg)| leg.move_out(bridge, &self.shard));
        is_room
    }

    /// Whether a room system is in the meeting.
    pub(crate) fn is_at_work(&self) -> bool {
        self.at_work.is_some()
    }

    /// Brings everything in line with who is there, in the order of their peers. `browsers`: somebody
    /// is there, shown or hidden, who takes tracks and not what is composed and mixed. What the rules
    /// have to hear comes back.
    pub(crate) fn follow(&mut self, roster: &[ParticipantView], browsers: bool) -> Vec<Command> {
        let Some(at_work) = &mut self.at_work else { return Vec::new() };
        let AtWork { bridge, sources, legs, .. } = at_work;
        let wiring = Wiring { bridge, shard: &self.shard };
        legs.retain(|_, leg| {
            let stays = of(roster, leg.owner()).is_some();
            if !stays {
                leg.end(bridge);
            }
            stays
        });
        let mut commands = Vec::new();
        let wanted = source::wanted(roster, legs);
        sources.retain(|id, source| {
            let stays = wanted.contains_key(id);
            if !stays {
                source.end(*id, &wiring);
            }
            stays
        });
        for (id, wish) in &wanted {
            sources.entry(*id).or_default().follow(*id, wish, &wiring);
        }
        for leg in legs.values_mut() {
            let owner = leg.owner();
            if let Some(me) = of(roster, owner) {
                leg.follow(me, browsers, &wiring, &mut commands);
            }
        }
        let screen = source::screen(&wanted);
        bridge.set_screens(source::screens(&wanted), screen);
        follow_views(legs, roster, &wanted, &wiring);
        let waiting = wanted.values().filter(|it| it.is_seen() && !it.is_screen()).count() < 2;
        if std::mem::replace(&mut at_work.waiting, waiting) != waiting {
            if waiting {
                at_work.bridge.add_tile(WAITING, &self.meeting);
            } else {
                at_work.bridge.remove_video_source(WAITING);
            }
        }
        at_work.tell_wanted(&mut commands);
        if at_work.legs.is_empty() {
            // The last room system left: browsers alone need no bridge.
            for (id, source) in std::mem::take(&mut at_work.sources) {
                let wiring = Wiring { bridge: &at_work.bridge, shard: &self.shard };
                let mut source = source;
                source.end(id, &wiring);
            }
            at_work.tell_wanted(&mut commands);
            self.at_work = None;
        }
        commands
    }

    /// Writes over a room system's picture, or no more. The roster has to be followed anew.
    pub(crate) fn set_message(&mut self, peer: PeerId, message: Option<String>) {
        if let Some(AtWork { bridge, legs, .. }) = &mut self.at_work
            && let Some(leg) = legs.get_mut(&peer)
        {
            leg.set_message(message, bridge);
        }
    }

    /// Who speaks now.
    pub(crate) fn set_speaker(&self, speaker: PeerId) {
        if let Some(at_work) = &self.at_work {
            at_work.bridge.set_speaker(Some(source::of_peer(speaker)));
        }
    }

    /// News from the `mcu`. What the rules have to hear comes back.
    pub(crate) fn handle(&mut self, event: BridgeEvent) -> Vec<Command> {
        let mut commands = Vec::new();
        let Some(at_work) = &mut self.at_work else { return commands };
        match event {
            BridgeEvent::NeedKeyframe(source) => {
                if let Some((track, number)) =
                    at_work.sources.get(&source).and_then(Source::picture_tap)
                {
                    self.shard.send(sfu::Command::AskTapForKeyFrame { track, number });
                }
            }
            BridgeEvent::TileSize { source, width, height } => {
                let Some(source) = at_work.sources.get_mut(&source) else { return commands };
                let Some((track, number)) = source.picture_tap() else { return commands };
                let enabled = width > 0 && height > 0;
                let wanted = Wanted::Size { width, height };
                self.shard.send(sfu::Command::SetTapWanted { track, number, enabled, wanted });
                source.set_tile(enabled.then_some([width, height]));
                at_work.tell_wanted(&mut commands);
            }
            BridgeEvent::Tone { source, key } => {
                let of_source = |peer: &PeerId| source::of_peer(*peer) == source;
                let leg = at_work.legs.iter().find(|(peer, _)| of_source(peer));
                leg.into_iter().for_each(|(_, leg)| leg.hears_key(key));
            }
            BridgeEvent::SinkFailed(sink) => {
                tracing::error!(%sink, "a picture for a room system cannot be encoded");
            }
        }
        commands
    }

    /// News of a leg's media. `true`: the roster has to be followed anew.
    pub(crate) fn handle_leg(&mut self, peer: PeerId, event: &PeerEvent) -> bool {
        let Some(AtWork { bridge, legs, .. }) = &mut self.at_work else { return false };
        let Some(leg) = legs.get_mut(&peer) else { return false };
        match event {
            PeerEvent::TrackFlows { track, codec } => leg.flows(*track, *codec),
            PeerEvent::Forwardable(yes) => leg.set_forwardable(*yes),
            PeerEvent::TrackNeedsKeyFrame(track) => {
                legs.values().for_each(|leg| leg.public_needs_key_frame(*track, bridge));
                false
            }
            PeerEvent::TrackForwarded(track) => {
                leg.is_forwarded(*track, bridge, &self.shard);
                false
            }
            PeerEvent::TrackUnfit(track) => {
                leg.is_unfit(*track, bridge, &self.shard);
                true
            }
            PeerEvent::LegPath(news) => leg.hears_of_path(*news, bridge, &self.shard),
            PeerEvent::LegNeedsKeyFrame => {
                leg.needs_key_frame(bridge, &self.shard);
                false
            }
            _ => false,
        }
    }
}

/// One of a roster, which is in the order of peers.
fn of(roster: &[ParticipantView], peer: PeerId) -> Option<&ParticipantView> {
    let place = roster.binary_search_by_key(&peer, |it| it.peer).ok()?;
    roster.get(place)
}

/// Gives every room system what it is to see.
fn follow_views(
    legs: &mut BTreeMap<PeerId, Leg>,
    roster: &[ParticipantView],
    wanted: &BTreeMap<SourceId, Wish>,
    Wiring { bridge, shard }: &Wiring<'_>,
) {
    let (sharer, newest) = (source::sharer(roster), source::screen(wanted));
    let with_content: Vec<PeerId> = legs.values().filter_map(Leg::gets_screens).collect();
    for (peer, leg) in legs.iter_mut() {
        let owner = leg.owner();
        let alone = if owner == *peer {
            let me = of(roster, *peer);
            let wants_none = me.is_some_and(|it| !it.shows_content());
            let no_screens = wants_none || with_content.contains(peer);
            leg.hide_screens(no_screens, bridge);
            let own = source::of_peer(*peer);
            let is_shown = |id: SourceId, it: &Wish| {
                it.is_seen() && id != own && !(no_screens && it.is_screen())
            };
            let mut others = wanted.iter().filter(|(id, it)| is_shown(**id, it));
            match (others.next(), others.next()) {
                (Some((_, only)), None) => only.shown(),
                _ => None,
            }
        } else {
            let me = of(roster, owner);
            let own = |screen: &SourceId| {
                me.is_some_and(|it| it.tracks.iter().any(|it| source::of_track(it.id) == *screen))
            };
            leg.follow_screen(sharer, newest.filter(|it| !own(it)), bridge, shard);
            leg.screen().and_then(|it| wanted.get(&it)).and_then(Wish::shown)
        };
        leg.follow_view(alone, bridge, shard);
    }
}

/// The codec of a track that browsers send, where it is known.
fn codec_of(mime: &str) -> Option<Codec> {
    Codec::from_mime(mime)
}
