//! Ours: a shard with plain legs and the `mcu`, put together as a meeting of phones does it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use mcu::{AudioSinkOptions, Bridge, BridgeEvent, Mcu, McuConfig, SinkId, SourceId};
use rtp::lane::lane;
use rtp::rtcp::NtpClock;
use serde::{Deserialize, Serialize};
use sfu::core::Wanted;
use sfu::driver::{PortRange, ShardConfig};
use sfu::transport::plain::{Leg, LegMedia, LegNumbers, LegStream};
use sfu::{Command, PeerEvent, PeerEvents, ShardHandle};
use types::{AudioCodec, Codec, MediaKind, PeerId, TrackId};

use super::Mixer;
use super::load::payload_type;
use crate::child::{self, OwnServer};
use crate::fault::{Doing, Fault, Result, missing};
use crate::machine;
use crate::sound::OPUS_BITRATE;

/// The name of this role on the command line.
pub const ROLE: &str = "bridge";

/// As much as a meeting gives a lane of sound.
const LANE: usize = 64;

#[derive(Serialize, Deserialize)]
enum Request {
    Open,
    Join { opus: bool, port: u16 },
    Close,
}

/// The port of who has just joined; 0 for all else.
#[derive(Serialize, Deserialize)]
struct Answer(u16);

/// The parent's side.
pub struct OwnBridge(OwnServer);

impl OwnBridge {
    pub fn start() -> Result<Self> {
        Ok(Self(OwnServer::start(ROLE)?))
    }

    fn ask(&mut self, request: &Request) -> Result<u16> {
        let Answer(port) = self.0.ask(request)?;
        Ok(port)
    }
}

impl Mixer for OwnBridge {
    fn pid(&self) -> u32 {
        self.0.pid()
    }

    fn open(&mut self) -> Result<()> {
        self.ask(&Request::Open).map(drop)
    }

    fn join(&mut self, codec: AudioCodec, port: u16) -> Result<u16> {
        self.ask(&Request::Join { opus: codec == AudioCodec::Opus, port })
    }

    fn close(&mut self) -> Result<()> {
        self.ask(&Request::Close).map(drop)
    }
}

/// The child: one bridge at a time on a shard of its own.
pub fn serve() -> Result<()> {
    let listen = SocketAddr::from((machine::ADDRESS, 0));
    let config = ShardConfig { index: 0, listen, announced: Vec::new(), tcp: Vec::new() };
    let shard = sfu::driver::start(&config).doing("starting a shard")?;
    let mcu = Mcu::start(McuConfig { video_workers: Some(1) })?;
    let mut meeting = Meeting {
        shard,
        ports: PortRange::new(IpAddr::from(machine::ADDRESS), 20_000, 29_999),
        bridge: None,
        legs: Vec::new(),
        last: 0,
    };
    child::serve(|request| match request {
        Request::Open => {
            let deaf = |_: BridgeEvent| {};
            meeting.bridge = Some(mcu.bridge("bench", Arc::new(deaf)));
            Ok(Answer(0))
        }
        Request::Join { opus, port } => {
            let codec = if opus { AudioCodec::Opus } else { AudioCodec::Pcmu };
            meeting.join(codec, port).map(Answer)
        }
        Request::Close => {
            meeting.close();
            Ok(Answer(0))
        }
    })
}

struct Meeting {
    shard: ShardHandle,
    ports: PortRange,
    bridge: Option<Bridge>,
    legs: Vec<PeerId>,
    last: u64,
}

/// Nobody asks what becomes of a leg.
struct Deaf;

impl PeerEvents for Deaf {
    fn event(&mut self, _: PeerId, _: PeerEvent) {}
}

impl Meeting {
    fn join(&mut self, codec: AudioCodec, port: u16) -> Result<u16> {
        let bridge = self.bridge.as_ref().ok_or_else(|| missing("an open room"))?;
        self.last += 1;
        let (peer, track) = (PeerId(self.last), TrackId(self.last));
        let (source, sink) = (SourceId(self.last), SinkId(self.last));
        let sockets = self.ports.bind_leg().map_err(|error| Fault::Other(error.to_string()))?;
        let no_sound = || Fault::Other("a leg without ports for sound".to_owned());
        let (own_port, _) = sockets.audio_ports().ok_or_else(no_sound)?;
        let leg = leg(codec, port, peer)?;
        self.shard.give_sockets(peer, sockets);
        self.shard.send(Command::AddLeg { peer, leg: Box::new(leg), events: Box::new(Deaf) });
        self.shard.send(Command::PublishLeg { peer, kind: MediaKind::Audio, track });
        let (tx, rx) = lane(LANE, Bridge::silent_bell());
        self.shard.send(Command::Tap { track, number: 0, lane: tx, wanted: Wanted::default() });
        bridge.add_audio_source(source, codec, rx);
        let (tx, rx) = lane(LANE, self.shard.bell());
        let options = AudioSinkOptions {
            opus_bitrate: OPUS_BITRATE,
            format: Codec::Audio(codec).number(),
            ..AudioSinkOptions::default()
        };
        bridge.add_audio_sink(sink, codec, Some(source), options, tx);
        self.shard.send(Command::FeedLeg { peer, kind: MediaKind::Audio, lane: rx });
        self.legs.push(peer);
        Ok(own_port)
    }

    fn close(&mut self) {
        self.bridge = None;
        for peer in self.legs.drain(..) {
            self.shard.send(Command::RemovePeer(peer));
        }
    }
}

fn leg(codec: AudioCodec, port: u16, peer: PeerId) -> Result<Leg> {
    let codec_of = Codec::Audio(codec);
    let stream = LegStream {
        remote_rtp: Some(SocketAddr::from((machine::ADDRESS, port))),
        remote_rtcp: None,
        rtcp_mux: false,
        send: true,
        receive: true,
        srtp: None,
        dtls: None,
        ice: None,
        codec: codec_of,
        payload_type: payload_type(codec),
        receives: vec![(payload_type(codec), codec_of)],
        telephone_event: None,
        pli: false,
        fir: false,
        parameter_sets: Vec::new(),
    };
    let number = peer.0 as u32;
    let numbers = LegNumbers {
        audio_ssrc: number << 1,
        video_ssrc: (number << 1) + 1,
        audio_seq: 0,
        video_seq: 0,
        audio_timestamp: 0,
        video_timestamp: 0,
    };
    let now = Instant::now();
    let clock = NtpClock::new(now, SystemTime::now());
    let media = LegMedia { audio: Some(stream), video: None };
    Leg::new(media, numbers, "bench".into(), clock, now)
        .map_err(|error| Fault::Other(format!("a leg: {error}")))
}
