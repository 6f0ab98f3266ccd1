//! The words between a shard and the rest of the program.
//!
//! Delivery contract: commands and events are reliable and in order. Media never travels in them:
//! packets go through lanes, which may drop.

use std::sync::Arc;

use types::{Codec, MediaKind, PeerId, TrackId, VideoCodec};

use rtp::lane::{LaneRx, LaneTx};

use crate::core::{LayerSpec, Wanted};
use crate::transport::plain::HandshakeError;
use crate::transport::{plain, webrtc};

/// What a shard is told to do.
pub enum Command {
    /// A browser or app joins this shard. `events` hears what becomes of it.
    AddPeer {
        /// Its id from now on.
        peer: PeerId,
        /// Made off the shard by [`webrtc::Session::new`], since making certificates takes time.
        session: Box<webrtc::Session>,
        /// Where its events go.
        events: Box<dyn PeerEvents>,
    },
    /// Ends a peer, its tracks and its subscriptions.
    RemovePeer(PeerId),
    /// The client's offer: on its only peer connection, or on the one it publishes on.
    Offer {
        /// Whose.
        peer: PeerId,
        /// The client's number of the negotiation, echoed in the answer.
        id: u32,
        /// Parsed off the shard.
        offer: webrtc::Offer,
    },
    /// The client's answer to an offer of ours.
    Answer {
        /// Whose.
        peer: PeerId,
        /// Parsed off the shard.
        answer: webrtc::Answer,
    },
    /// The client's network may be another one: the connection that we offer on restarts ICE. The
    /// client restarts the one that it offers on itself.
    RestartIce(PeerId),
    /// A peer will send this track.
    Publish {
        /// Who.
        peer: PeerId,
        /// What.
        publication: Publication,
    },
    /// A track ends.
    Unpublish(TrackId),
    /// A peer gets a track.
    Subscribe {
        /// Who.
        peer: PeerId,
        /// What.
        track: TrackId,
        /// Sound or picture.
        kind: MediaKind,
        /// How the client finds the track again: the two parts of its `a=msid` line.
        label: TrackLabel,
    },
    /// A peer no longer gets a track.
    Unsubscribe {
        /// Who.
        peer: PeerId,
        /// What.
        track: TrackId,
    },
    /// What a peer wants of a track that it gets.
    SetWanted {
        /// Who.
        peer: PeerId,
        /// Of what.
        track: TrackId,
        /// Whether it wants packets at all now.
        enabled: bool,
        /// Which layer.
        wanted: Wanted,
    },
    /// Opens or closes a track's gate for everybody, whatever its publisher sends.
    SetGate {
        /// The track.
        track: TrackId,
        /// Whether packets pass.
        open: bool,
    },
    /// Sends a message on a data channel of a peer.
    SendData {
        /// To whom.
        peer: PeerId,
        /// On which channel.
        channel: DataChannel,
        /// The whole message.
        message: Arc<[u8]>,
    },
    /// A room system's leg joins this shard.
    AddLeg {
        /// Its id from now on.
        peer: PeerId,
        /// Its transport.
        leg: Box<plain::Leg>,
        /// Where its events go.
        events: Box<dyn PeerEvents>,
    },
    /// A leg's media were negotiated anew.
    UpdateLeg {
        /// Whose.
        peer: PeerId,
        /// What was agreed.
        media: Box<plain::LegMedia>,
    },
    /// What comes from a leg becomes this track, as it comes: for taps, and for
    /// [`Command::SetOrigin`]. Before, it goes nowhere. How it can be forwarded is told anew.
    PublishLeg {
        /// Whose.
        peer: PeerId,
        /// Sound or picture.
        kind: MediaKind,
        /// The raw track.
        track: TrackId,
    },
    /// A leg sends what comes out of a lane, from the next packet on.
    FeedLeg {
        /// Which.
        peer: PeerId,
        /// Sound or picture.
        kind: MediaKind,
        /// What the `mcu` makes for it.
        lane: LaneRx,
    },
    /// A leg's picture is a track of somebody else's, untouched, from its next key frame on and as
    /// long as it fits; until then the leg gets what it got.
    FeedLegTrack {
        /// Which leg.
        peer: PeerId,
        /// What it gets.
        track: TrackId,
        /// What it takes.
        limits: plain::PictureLimits,
    },
    /// A leg gets no track of somebody else's any more; so does [`Command::FeedLeg`].
    EndLegTrack(PeerId),
    /// Where the packets of a leg's public track come from, from the next key frame on.
    SetOrigin {
        /// The public track, published before.
        track: TrackId,
        /// From where.
        origin: Origin,
    },
    /// A leg lost the picture that it gets untouched, as its signalling says.
    LegLostTrack(PeerId),
    /// A leg is asked for a key frame of what it sends.
    AskLegForKeyFrame(PeerId),
    /// Sends a track into a lane as well.
    Tap {
        /// Which track.
        track: TrackId,
        /// The lane's number among the track's taps; an earlier one of it is replaced.
        number: u64,
        /// The lane.
        lane: LaneTx,
        /// Which layer of a picture.
        wanted: Wanted,
    },
    /// Ends a tap.
    Untap {
        /// Of which track.
        track: TrackId,
        /// The lane's number.
        number: u64,
    },
    /// What the reader of a tap wants of it.
    SetTapWanted {
        /// Of which track.
        track: TrackId,
        /// The lane's number.
        number: u64,
        /// Whether it wants packets at all now.
        enabled: bool,
        /// Which layer.
        wanted: Wanted,
    },
    /// The reader of a tap needs a key frame.
    AskTapForKeyFrame {
        /// Of which track.
        track: TrackId,
        /// The lane's number.
        number: u64,
    },
    /// Ends the shard.
    Stop,
}

/// Where a leg's public track comes from.
#[derive(Debug)]
pub enum Origin {
    /// The leg's raw track, untouched.
    Track(TrackId),
    /// What the `mcu` made of it.
    Lane(LaneRx),
}

/// A track that is about to be sent.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Its id.
    pub track: TrackId,
    /// Sound or picture.
    pub kind: MediaKind,
    /// The client's own ids of it: its `MediaStreamTrack`, as the second part of `a=msid`.
    pub cids: Vec<String>,
    /// Its simulcast layers.
    pub layers: Vec<LayerSpec>,
    /// Opus parameters for the publisher's encoder.
    pub audio: AudioHints,
    /// The codec of a picture, where the client said which it wants to send: the answer puts it
    /// first.
    pub codec: Option<VideoCodec>,
}

/// What the answer asks of an Opus encoder (RFC 7587 section 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioHints {
    /// Send next to nothing while there is silence.
    pub dtx: bool,
    /// Two channels.
    pub stereo: bool,
    /// Repeat each frame in the next packet (RFC 2198), if the client can.
    pub redundancy: bool,
}

/// What the two parts of an `a=msid` line are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackLabel {
    /// `PA_…`.
    pub publisher: String,
    /// `TR_…`.
    pub track: String,
    /// The publisher's tracks of one group are played in step, sound with picture.
    pub group: Option<&'static str>,
}

impl TrackLabel {
    /// The stream: `PA_…|group`, or `PA_…|TR_…` for a track by itself, as LiveKit's clients expect
    /// it. Browsers keep in step what is of one stream.
    pub fn stream(&self) -> String {
        format!("{}|{}", self.publisher, self.group.unwrap_or(&self.track))
    }
}

/// The data channels of LiveKit's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataChannel {
    /// Ordered, retransmitted.
    Reliable,
    /// May lose messages.
    Lossy,
    /// Frames of data tracks; may lose messages.
    Track,
}

impl DataChannel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reliable, Self::Lossy, Self::Track];

    /// The channel's label on the wire.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reliable => "_reliable",
            Self::Lossy => "_lossy",
            Self::Track => "_data_track",
        }
    }

    /// The channel of a label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.label() == label)
    }
}

/// What became of a peer.
#[derive(Debug)]
pub enum PeerEvent {
    /// Media can flow.
    Connected,
    /// The peer is gone from the shard.
    Closed(CloseReason),
    /// The answer to the client's offer.
    Answer {
        /// The offer's number.
        id: u32,
        /// The text.
        sdp: String,
        /// Which media section carries which subscribed track, by the track's label.
        mids: Vec<(String, String)>,
    },
    /// An offer of ours, on the connection that the client only receives on.
    Offer {
        /// Our number of it.
        id: u32,
        /// The text.
        sdp: String,
        /// Which media section carries which subscribed track, by the track's label.
        mids: Vec<(String, String)>,
    },
    /// The peer's bandwidth leaves nothing for a picture any more, or something again.
    PictureHeld {
        /// The track, as the peer knows it.
        label: TrackLabel,
        /// Whether it is held back.
        held: bool,
    },
    /// The client's offer or answer could not be used.
    NegotiationFailed(webrtc::NegotiationError),
    /// The client is to offer again, with at least this many more sections to receive on.
    SectionsNeeded {
        /// For sound.
        audio: u32,
        /// For pictures.
        video: u32,
    },
    /// A track was found in the client's offer and can be subscribed to.
    TrackBound {
        /// The track.
        track: TrackId,
        /// Its media section.
        mid: String,
    },
    /// The client no longer sends a track: its section in the newest offer sends nothing.
    TrackEnded {
        /// The track.
        track: TrackId,
    },
    /// The first packet of a track came: its codec is known.
    TrackFlows {
        /// The track.
        track: TrackId,
        /// What its packets carry.
        codec: Codec,
    },
    /// A message on a data channel.
    Data {
        /// The channel.
        channel: DataChannel,
        /// The whole message.
        message: Vec<u8>,
    },
    /// How loud the peer's track was over the last 300 ms.
    Level {
        /// The track.
        track: TrackId,
        /// dBov.
        dbov: f32,
    },
    /// The network's figures over the last seconds.
    Network(NetworkFigures),
    /// Somebody who gets a public track of this leg needs a key frame, and the `mcu` makes it.
    TrackNeedsKeyFrame(TrackId),
    /// The leg lost the picture that it gets, and the `mcu` makes that.
    LegNeedsKeyFrame,
    /// The leg gets this track untouched from now on, and its lane no more.
    TrackForwarded(TrackId),
    /// The leg cannot take this track as it is, and gets no more of it.
    TrackUnfit(TrackId),
    /// What the leg says of the way to it.
    LegPath(LegPath),
    /// The leg understands requests for key frames in signalling alone, and one is needed.
    KeyFrameBySignalling,
    /// Whether the leg's picture can go to browsers as it is.
    Forwardable(bool),
    /// A key was pressed on the leg's remote or phone.
    Tone(rtp::payload::audio::Tone),
}

/// What a room system says of the way to it, by which the rate of its picture follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LegPath {
    /// Share of our packets that it lost since its last report, 0 to 1.
    Loss(f32),
    /// Bits a second of a picture that it takes at most, without headers (TMMBR of RFC 5104, REMB).
    AtMost(u64),
}

/// Why a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It was removed by command.
    Removed,
    /// Its network went silent.
    Lost,
    /// It closed the connection.
    ByPeer,
    /// A room system's media have no keys.
    Unkeyed(HandshakeError),
    /// It read its reliable data channel too slowly for the bounded queue.
    TooSlow,
}

/// How a peer's network does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NetworkFigures {
    /// Share of packets lost on the way to the peer, 0 to 1.
    pub egress_loss: f32,
    /// Share of packets lost on the way from the peer, 0 to 1.
    pub ingress_loss: f32,
    /// Round-trip time in milliseconds, where known.
    pub rtt_ms: Option<u32>,
    /// Interarrival jitter of the peer's sound in milliseconds, where known.
    pub jitter_ms: Option<u32>,
    /// Bits a second of RTP that came from the peer, where known.
    pub bit_rate_in: Option<u64>,
    /// Bits a second of RTP that went to the peer, where known.
    pub bit_rate_out: Option<u64>,
}

/// Hears a peer's events, on the shard's thread: must not block.
pub trait PeerEvents: Send {
    /// Takes one event.
    fn event(&mut self, peer: PeerId, event: PeerEvent);
}
