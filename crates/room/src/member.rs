//! A participant's state.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use types::{
    Identity, LegLayout, MediaKind, ParticipantKind, ParticipantSid, PeerId, TrackId, TrackSid,
    TrackSource,
};

use crate::command::{Join, MemberChange, Permissions, PublishRequest, Refusal};
use crate::effect::{ParticipantView, Presence, Quality, TrackView};
use crate::role::{ROLE_ATTRIBUTE, Role};

/// A microphone that is published within this time was on when its person came in.
const ENTRY: Duration = Duration::from_secs(10);
/// The longest shown name, in bytes.
const MAX_NAME: usize = 512;
/// Metadata, and all attributes together, in bytes (LiveKit's limits).
const MAX_TEXT: usize = 64 << 10;

/// The attribute that tells how others are arranged in a room system's picture, by the words of
/// [`types::LegLayout`].
pub const LAYOUT_ATTRIBUTE: &str = "sip.layout";

/// The attribute of who has raised a hand, with the value `true`. It is our own: LiveKit has no word
/// for it.
pub const HAND_ATTRIBUTE: &str = "plenum.hand";

/// The attribute of a room system whose picture shows no shared screens, with the value `false`. It is
/// our own: LiveKit has no word for it.
pub const CONTENT_ATTRIBUTE: &str = "plenum.content";

/// What is known of a track beside its ids.
#[derive(Clone, Debug)]
pub struct TrackInfo {
    /// The publisher's name for it.
    pub name: String,
    /// Camera, microphone, screen.
    pub source: TrackSource,
    /// Media type, such as `video/VP8`; what the publisher intends until packets flow.
    pub mime: String,
    /// Pixels; 0 for sound.
    pub width: u32,
    /// Pixels; 0 for sound.
    pub height: u32,
    /// Simulcast layers, the smallest first.
    pub layers: Vec<LayerInfo>,
    /// The media stream that it belongs to, for lip-sync among tracks.
    pub stream: String,
    /// Whether silence may be left out.
    pub dtx: bool,
    /// Two channels.
    pub stereo: bool,
    /// The publisher sends no redundant audio.
    pub red_disabled: bool,
    /// End-to-end encrypted: LiveKit's number of the scheme, 0 for none.
    pub encryption: i32,
}

impl TrackInfo {
    /// The layer that this wish means, 0 the smallest.
    pub fn layer_for(&self, wanted: VideoWanted) -> u8 {
        match wanted {
            VideoWanted::Layer(layer) => layer,
            VideoWanted::Size { width, height } => self
                .layers
                .iter()
                .find(|it| {
                    it.width.max(it.height) * 11 / 10 >= width.max(height)
                        && it.width.min(it.height) * 11 / 10 >= width.min(height)
                })
                .map_or(2, |it| it.index),
        }
    }
}

/// A simulcast layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// 0 the smallest, 2 at most.
    pub index: u8,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bits a second.
    pub bitrate: u32,
}

/// Which layer of a picture somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoWanted {
    /// The smallest that covers this size.
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The layer of this index.
    Layer(u8),
}

/// A subscriber's relation to a track.
#[derive(Clone, Copy, Debug)]
pub struct Subscription {
    pub enabled: bool,
    pub wanted: VideoWanted,
}

/// How a host's mute of a track stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nobody holds it: packets pass.
    No,
    /// Its client is to mute it and has not said yet that it did. What it says of the track
    /// meanwhile is older than the mute.
    Told,
    /// Its client has muted it; the gate opens when its person unmutes it.
    Muted,
    /// Until a host lifts it.
    Firm,
}

#[derive(Debug)]
pub struct Track {
    pub id: TrackId,
    pub sid: TrackSid,
    pub cid: String,
    pub kind: MediaKind,
    pub info: TrackInfo,
    /// Muted by the publisher.
    pub muted: bool,
    /// Muted by a host or the server: the gate is closed.
    pub hold: Hold,
    pub mid: Option<String>,
    pub layers_wanted: [bool; 3],
    pub quiet_since: Option<std::time::Instant>,
    /// What the bridge to room systems wants of the picture; `None` for nothing.
    pub bridge_wanted: Option<VideoWanted>,
}

impl Track {
    pub fn new(request: PublishRequest, muted: bool) -> Self {
        let PublishRequest { id, sid, cid, kind, info } = request;
        Self {
            id,
            sid,
            cid,
            kind,
            info,
            muted,
            hold: Hold::No,
            mid: None,
            layers_wanted: [true; 3],
            quiet_since: None,
            bridge_wanted: None,
        }
    }

    pub fn view(&self) -> TrackView {
        TrackView {
            id: self.id,
            sid: self.sid.clone(),
            cid: self.cid.clone(),
            kind: self.kind,
            info: self.info.clone(),
            muted: self.muted || self.hold != Hold::No,
            held: self.hold == Hold::Firm,
            mid: self.mid.clone().unwrap_or_default(),
        }
    }
}

#[derive(Debug)]
pub struct Member {
    pub peer: PeerId,
    pub sid: ParticipantSid,
    pub identity: Identity,
    pub name: String,
    pub kind: ParticipantKind,
    pub presence: Presence,
    /// What it may do, by its token and its role.
    pub permissions: Permissions,
    /// What its token, or the server, lets it do.
    pub granted: Permissions,
    pub role: Role,
    pub entered: Instant,
    /// Sources that a host has muted, published or not.
    pub held: Vec<TrackSource>,
    /// A host asked it to unmute.
    pub may_unmute: bool,
    /// A room system has muted its microphone by its remote control.
    pub muted_itself: bool,
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
    pub auto_subscribe: bool,
    pub joined_at_ms: i64,
    pub version: u32,
    pub tracks: Vec<Track>,
    pub subscriptions: HashMap<TrackId, Subscription>,
    pub quality: Option<Quality>,
    pub loudness: Loudness,
}

/// How loud a participant is, smoothed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loudness {
    /// 0 to 1.
    pub level: f32,
    pub active: bool,
    /// The level as others were told it last.
    pub told: f32,
    pub heard_at: Option<std::time::Instant>,
}

impl Member {
    /// `listen`: attendees but listen.
    pub fn new(join: Join, role: Role, listen: bool, now: Instant) -> Result<Self, Refusal> {
        let mut member = Self {
            peer: join.peer,
            sid: join.sid,
            identity: join.identity,
            name: String::new(),
            kind: join.kind,
            presence: Presence::Joined,
            permissions: role.limit(&join.permissions, listen),
            granted: join.permissions,
            role: Role::default(),
            entered: now,
            held: Vec::new(),
            may_unmute: false,
            muted_itself: false,
            metadata: String::new(),
            attributes: BTreeMap::new(),
            auto_subscribe: join.auto_subscribe,
            joined_at_ms: join.joined_at_ms,
            version: 0,
            tracks: Vec::new(),
            subscriptions: HashMap::new(),
            quality: None,
            loudness: Loudness::default(),
        };
        member.change(MemberChange {
            name: Some(join.name),
            metadata: Some(join.metadata),
            attributes: join.attributes,
        })?;
        member.set_role(role);
        Ok(member)
    }

    /// Everybody sees the role, and nobody else's word for it counts.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
        self.attributes.remove(ROLE_ATTRIBUTE);
        if role != Role::default() {
            self.attributes.insert(ROLE_ATTRIBUTE.to_owned(), role.to_string());
        }
    }

    /// Whether a host has muted one of these sources, for a host alone to lift it, published or not.
    pub fn is_held(&self, sources: &[TrackSource]) -> bool {
        let is_held = |it: &Track| it.hold == Hold::Firm && sources.contains(&it.info.source);
        self.held.iter().any(|it| sources.contains(it)) || self.tracks.iter().any(is_held)
    }

    /// Whether it came in just now.
    pub fn is_entering(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.entered) < ENTRY
    }

    /// Changes how the participant is shown; all or nothing.
    pub fn change(&mut self, change: MemberChange) -> Result<(), Refusal> {
        let too_long = |what, max| Err(Refusal::TooLong { what, max });
        if change.name.as_ref().is_some_and(|it| it.len() > MAX_NAME) {
            return too_long("the name", MAX_NAME);
        }
        if change.metadata.as_ref().is_some_and(|it| it.len() > MAX_TEXT) {
            return too_long("the metadata", MAX_TEXT);
        }
        if self.kind == ParticipantKind::Sip
            && let Some(layout) = change.attributes.get(LAYOUT_ATTRIBUTE)
        {
            layout.parse::<LegLayout>().map_err(Refusal::NoLayout)?;
        }
        let mut attributes = self.attributes.clone();
        for (key, value) in change.attributes {
            if value.is_empty() {
                attributes.remove(&key);
            } else {
                attributes.insert(key, value);
            }
        }
        if attributes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_TEXT {
            return too_long("all attributes together", MAX_TEXT);
        }
        self.attributes = attributes;
        self.name = change.name.unwrap_or(std::mem::take(&mut self.name));
        self.metadata = change.metadata.unwrap_or(std::mem::take(&mut self.metadata));
        Ok(())
    }

    pub fn view(&self) -> ParticipantView {
        ParticipantView {
            peer: self.peer,
            sid: self.sid.clone(),
            identity: self.identity.clone(),
            name: self.name.clone(),
            kind: self.kind,
            presence: self.presence,
            metadata: self.metadata.clone(),
            attributes: self.attributes.clone(),
            permissions: self.permissions.clone(),
            role: self.role,
            tracks: self
                .tracks
                .iter()
                .filter(|it| it.mid.is_some())
                .map(|it| self.seen(it))
                .collect(),
            joined_at_ms: self.joined_at_ms,
            version: self.version,
        }
    }

    fn seen(&self, track: &Track) -> TrackView {
        let mut view = track.view();
        view.muted |= self.muted_itself && track.info.source == TrackSource::Microphone;
        view
    }

    pub fn track(&mut self, sid: &TrackSid) -> Result<&mut Track, Refusal> {
        self.tracks
            .iter_mut()
            .find(|it| it.sid == *sid)
            .ok_or_else(|| Refusal::NoSuchTrack(sid.clone()))
    }
}
