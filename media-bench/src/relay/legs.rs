//! Ours: two legs of a shard for each call, in a child process.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use rtp::rtcp::NtpClock;
use serde::{Deserialize, Serialize};
use sfu::driver::{PortRange, ShardConfig};
use sfu::transport::plain::{Leg, LegMedia, LegNumbers, LegStream, PictureLimits, SrtpKeys};
use sfu::{Command, PeerEvent, PeerEvents};
use types::{Codec, MediaKind, PeerId, TrackId, VideoCodec};

use super::SUITE;
use super::ends::{Ends, Relaying, Way, key_and_salt};
use crate::camera::PAYLOAD_TYPE;
use crate::child::{self, OwnServer};
use crate::fault::{Doing, Result};
use crate::machine;

/// The name of this role on the command line.
pub const ROLE: &str = "legs";

/// More than any call sends.
const LIMITS: PictureLimits =
    PictureLimits { width: 1920, height: 1080, fps: 60, bitrate: 10_000_000, single_nal: false };
const PORTS: [u16; 2] = [20_000, 29_999];

#[derive(Serialize, Deserialize)]
struct Request {
    way: Way,
    calls: Vec<[SocketAddr; 2]>,
}

/// The parent's side.
pub struct OwnLegs {
    server: OwnServer,
    ends: Ends,
}

impl OwnLegs {
    pub fn start(way: Way) -> Result<Self> {
        let mut server = OwnServer::start(ROLE)?;
        let mut ends = Ends::new()?;
        let calls = ends.addresses();
        let keys = (way == Way::Encrypts).then(|| vec![key_and_salt(); calls.len()]);
        let ports: Vec<u16> = server.ask(&Request { way, calls })?;
        ends.connect(&ports, keys.as_deref())?;
        Ok(Self { server, ends })
    }
}

impl Relaying for OwnLegs {
    fn pid(&self) -> u32 {
        self.server.pid()
    }

    fn ends(&self) -> &Ends {
        &self.ends
    }

    fn ends_mut(&mut self) -> &mut Ends {
        &mut self.ends
    }
}

/// Nobody has to hear of it: what comes out is what counts.
struct Unheard;

impl PeerEvents for Unheard {
    fn event(&mut self, _: PeerId, _: PeerEvent) {}
}

/// The child.
pub fn serve() -> Result<()> {
    let listen = SocketAddr::from((machine::ADDRESS, 0));
    let config = ShardConfig { index: 0, listen, announced: Vec::new(), tcp: Vec::new() };
    let shard = sfu::driver::start(&config).doing("starting a shard")?;
    let range = PortRange::new(listen.ip(), PORTS[0], PORTS[1]);
    child::serve(|Request { way, calls }: Request| {
        let mut ports = Vec::new();
        let mut peers = (1..).map(PeerId);
        let mut tracks = (1..).map(TrackId);
        let keys = SrtpKeys { suite: SUITE, local: key_and_salt(), remote: key_and_salt() };
        for [camera, receiver] in calls {
            let (from, to) = match way {
                Way::Encrypts => (None, Some(keys.clone())),
                Way::Decrypts => (Some(keys.clone()), None),
            };
            let from = LegStream { receive: true, ..stream(camera, from) };
            let to = LegStream { send: true, ..stream(receiver, to) };
            let mut add = |stream| {
                let sockets = range.bind_leg().map_err(std::io::Error::other);
                let sockets = sockets.doing("ports for a call")?;
                let port = sockets.video_ports().0;
                let peer = peers.next().unwrap_or(PeerId(0));
                let now = Instant::now();
                let media = LegMedia { audio: None, video: Some(stream) };
                let clock = NtpClock::new(now, SystemTime::now());
                let leg = Box::new(Leg::new(media, NUMBERS, "bench".into(), clock, now)?);
                shard.give_sockets(peer, sockets);
                shard.send(Command::AddLeg { peer, leg, events: Box::new(Unheard) });
                Ok::<_, crate::fault::Fault>((peer, port))
            };
            let (sender, port) = add(from)?;
            let (receiver, _) = add(to)?;
            ports.push(port);
            let track = tracks.next().unwrap_or(TrackId(0));
            let kind = MediaKind::Video;
            shard.send(Command::PublishLeg { peer: sender, kind, track });
            shard.send(Command::FeedLegTrack { peer: receiver, track, limits: LIMITS });
        }
        Ok(ports)
    })
}

const NUMBERS: LegNumbers = LegNumbers {
    audio_ssrc: 1,
    video_ssrc: 2,
    audio_seq: 3,
    video_seq: 4,
    audio_timestamp: 5,
    video_timestamp: 6,
};

fn stream(remote: SocketAddr, srtp: Option<SrtpKeys>) -> LegStream {
    let codec = Codec::Video(VideoCodec::Vp8);
    LegStream {
        remote_rtp: Some(remote),
        remote_rtcp: None,
        rtcp_mux: true,
        send: false,
        receive: false,
        srtp,
        dtls: None,
        ice: None,
        codec,
        payload_type: PAYLOAD_TYPE,
        receives: vec![(PAYLOAD_TYPE, codec)],
        telephone_event: None,
        pli: true,
        fir: false,
        parameter_sets: Vec::new(),
    }
}
