//! Ours: a shard as a child process, spoken to through the crate's own commands.

use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sfu::core::LayerSpec;
use sfu::driver::ShardConfig;
use sfu::transport::webrtc::{Connections, Offer, Session, init_crypto};
use sfu::{AudioHints, Command, PeerEvent, PeerEvents, Publication, TrackLabel};
use str0m::media::Direction;
use types::{MediaKind, PeerId, TrackId};
use udp::Purpose;

use super::SUBSCRIBERS;
use super::client::{Client, connect};
use crate::child::{self, OwnServer};
use crate::fault::{Doing, Fault, Result};
use crate::load::Contender;
use crate::machine;

/// The name of this role on the command line.
pub const ROLE: &str = "shard";

const TRACK: TrackId = TrackId(1);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
struct Request {
    publishes: bool,
    offer: String,
}

/// The parent's side: the server with one publisher and its receivers.
pub struct OwnShard {
    server: OwnServer,
    publisher: Vec<Client>,
    subscribers: Vec<Client>,
}

impl OwnShard {
    pub fn start(receivers: Purpose) -> Result<Self> {
        let mut server = OwnServer::start(ROLE)?;
        let mut publisher = vec![Client::new(Purpose::One)?];
        let mut subscribers = Vec::new();
        for client in &mut publisher {
            join(&mut server, client, true)?;
        }
        for _ in 0..SUBSCRIBERS {
            let mut client = Client::new(receivers)?;
            join(&mut server, &mut client, false)?;
            subscribers.push(client);
        }
        connect(&mut publisher)?;
        connect(&mut subscribers)?;
        Ok(Self { server, publisher, subscribers })
    }
}

fn join(server: &mut OwnServer, client: &mut Client, publishes: bool) -> Result<()> {
    let direction = if publishes { Direction::SendOnly } else { Direction::RecvOnly };
    let offer = client.offer(direction)?;
    let answer: String = server.ask(&Request { publishes, offer })?;
    client.accept_answer(&answer)
}

impl Contender for OwnShard {
    fn pid(&self) -> u32 {
        self.server.pid()
    }

    fn send(&mut self, count: u32, now: Instant) -> Result<()> {
        self.publisher.iter_mut().try_for_each(|client| client.send(count, now))
    }

    fn drive(&mut self, now: Instant) -> Result<()> {
        self.publisher.iter_mut().chain(&mut self.subscribers).try_for_each(|it| it.drive(now))
    }

    fn received(&self) -> u64 {
        self.subscribers.iter().map(Client::received).sum()
    }

    fn longest(&self) -> usize {
        self.subscribers.iter().map(Client::longest).max().unwrap_or_default()
    }
}

/// Hands a peer's answer to whoever waits for it.
struct Answers(Sender<Result<String>>);

impl PeerEvents for Answers {
    fn event(&mut self, _: PeerId, event: PeerEvent) {
        let answer = match event {
            PeerEvent::Answer { sdp, .. } => Ok(sdp),
            PeerEvent::NegotiationFailed(error) => Err(Fault::Other(error.to_string())),
            _ => return,
        };
        // Nobody waits any more once the first answer has come.
        let _ = self.0.send(answer);
    }
}

/// The child.
pub fn serve() -> Result<()> {
    init_crypto();
    let listen = SocketAddr::from((machine::ADDRESS, 0));
    let config = ShardConfig { index: 0, listen, announced: Vec::new(), tcp: Vec::new() };
    let shard = sfu::driver::start(&config).doing("starting a shard")?;
    let mut last = 0;
    child::serve(|Request { publishes, offer }| {
        last += 1;
        let peer = PeerId(last);
        let session = Session::new(Connections::Single, shard.reachable(), Instant::now());
        let (answers, answer) = channel();
        let events = Box::new(Answers(answers));
        shard.send(Command::AddPeer { peer, session: Box::new(session), events });
        if publishes {
            let publication = Publication {
                track: TRACK,
                kind: MediaKind::Video,
                cids: Vec::new(),
                layers: vec![LayerSpec { index: 0, width: 1280, height: 720 }],
                audio: AudioHints::default(),
                codec: None,
            };
            shard.send(Command::Publish { peer, publication });
        } else {
            let label = TrackLabel { publisher: "PA_1".into(), track: "TR_1".into(), group: None };
            shard.send(Command::Subscribe { peer, track: TRACK, kind: MediaKind::Video, label });
        }
        let offer = Offer::parse(&offer).map_err(|error| Fault::Other(error.to_string()))?;
        shard.send(Command::Offer { peer, id: 1, offer });
        let waited = answer.recv_timeout(PATIENCE);
        waited.map_err(|_| Fault::Other("the shard does not answer".into()))?
    })
}
