//! The floor of a call's second picture: who of both sides shows a screen there. It follows whoever
//! asked last, in the whole meeting.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bfcp::{Client, ClientEvent, Ids, Server, ServerEvent, Transport};
use conference::Sharing;
use sdp::FloorTransport;
use sfu::driver::FloorSockets;
use sfu::transport::plain::Certificate;

use super::wait_until;
use super::wire::{Arrived, Wire};

/// A room system that asks more often than this is refused: each time is news for a whole meeting.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it may ask without a pause.
const BURST: u32 = 5;

/// What the room system does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloorEvent {
    /// It shows a screen, or asks whether it may: [`Floor::grant`] or [`Floor::deny`] answers.
    Wanted,
    /// It shows none any more.
    Released,
    /// Whether its own floor control server lets us show something.
    LetsUs(bool),
}

/// Floor control of one call.
pub(super) struct Floor {
    wire: Wire,
    port: u16,
    agreed: Option<Agreed>,
    asks: Asks,
    sharing: Sharing,
    /// What follows from our own side.
    events: VecDeque<FloorEvent>,
}

struct Agreed {
    floor: sdp::Floor,
    end: End,
    /// We may show something. Where we are the server, that is ours to say.
    lets_us: bool,
}

/// Which end we are.
enum End {
    Server(Server),
    Client(Client),
}

/// How often it may still ask.
struct Asks {
    left: u32,
    since: Instant,
}

impl Asks {
    fn take(&mut self, now: Instant) -> bool {
        let pauses = now.saturating_duration_since(self.since).as_secs() / PAUSE.as_secs();
        if pauses > 0 {
            self.since = now;
            let more = u32::try_from(pauses).unwrap_or(BURST);
            self.left = self.left.saturating_add(more).min(BURST);
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl End {
    fn new(floor: &sdp::Floor, now: Instant) -> Self {
        let sdp::Floor { conference, user, floor: id, .. } = *floor;
        let ids = Ids { conference, user, floor: id };
        let transport = match floor.transport {
            FloorTransport::Udp => Transport::Udp,
            FloorTransport::Tcp { .. } => Transport::Tcp,
        };
        match floor.server {
            true => Self::Server(Server::new(ids, transport)),
            false => Self::Client(Client::new(ids, transport, now)),
        }
    }

    fn receive(&mut self, message: &[u8], now: Instant) -> Result<bool, bfcp::ParseError> {
        match self {
            Self::Server(server) => server.receive(message, now),
            Self::Client(client) => client.receive(message, now),
        }
    }

    fn transmit(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Server(server) => server.transmit(),
            Self::Client(client) => client.transmit(),
        }
    }

    fn event(&mut self) -> Option<FloorEvent> {
        match self {
            Self::Server(server) => server.event().map(|event| match event {
                ServerEvent::Wanted => FloorEvent::Wanted,
                ServerEvent::Released | ServerEvent::Gone => FloorEvent::Released,
            }),
            Self::Client(client) => client.event().map(|event| match event {
                ClientEvent::Granted => FloorEvent::LetsUs(true),
                ClientEvent::Ended => FloorEvent::LetsUs(false),
                ClientEvent::Theirs(true) => FloorEvent::Wanted,
                ClientEvent::Theirs(false) | ClientEvent::Gone => FloorEvent::Released,
            }),
        }
    }

    fn timeout(&self) -> Option<Instant> {
        match self {
            Self::Server(server) => server.timeout(),
            Self::Client(client) => Some(client.timeout()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Server(server) => server.handle_timeout(now),
            Self::Client(client) => client.handle_timeout(now),
        }
    }
}

impl Floor {
    /// Nothing happens before it is agreed on.
    pub(super) fn new(sockets: FloorSockets) -> std::io::Result<Self> {
        let (port, asks) = (sockets.port, Asks { left: BURST, since: Instant::now() });
        let (wire, sharing) = (Wire::new(sockets)?, Sharing::default());
        Ok(Self { wire, port, agreed: None, asks, sharing, events: VecDeque::new() })
    }

    /// Where it is reached, over UDP and TCP.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// It was agreed on so, or not at all. What was agreed on before goes on. `own` is our
    /// certificate, for TLS. Whether we may show something now.
    pub(super) fn agree(&mut self, floor: Option<sdp::Floor>, own: Option<&Certificate>) -> bool {
        let floor = floor.filter(|floor| {
            let aimed = self.wire.aim(&floor.transport, floor.remote, own);
            aimed.inspect_err(|error| tracing::error!(%error, "no TLS for floor control")).is_ok()
        });
        let before = self.agreed.as_ref().map(|it| &it.floor);
        let same = |before: &sdp::Floor| {
            let goes_on =
                |now: &sdp::Floor| sdp::Floor { remote: now.remote, ..before.clone() } == *now;
            floor.as_ref().is_some_and(goes_on)
        };
        if !before.is_some_and(same) {
            self.events = before.map(|_| FloorEvent::Released).into_iter().collect();
            self.agreed = floor.map(|floor| {
                let (end, lets_us) = (End::new(&floor, Instant::now()), floor.server);
                Agreed { floor, end, lets_us }
            });
            self.follow(self.sharing);
        } else if let (Some(agreed), Some(floor)) = (&mut self.agreed, floor) {
            agreed.floor = floor;
        }
        self.agreed.as_ref().is_some_and(|it| it.lets_us)
    }

    /// What happens next; nothing where it was not agreed on. Whoever drops it loses nothing.
    pub(super) async fn next(&mut self) -> FloorEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.transmit(None);
            let Some(Agreed { end, lets_us, .. }) = &mut self.agreed else {
                return std::future::pending().await;
            };
            let event = end.event();
            if let Some(FloorEvent::LetsUs(now)) = event {
                *lets_us = now;
            }
            match event {
                Some(FloorEvent::Wanted) if !self.asks.take(Instant::now()) => self.deny(),
                Some(event) => return event,
                None => self.wait().await,
            }
        }
    }

    async fn wait(&mut self) {
        let Self { wire, agreed, .. } = self;
        let due = agreed.as_ref().and_then(|it| it.end.timeout());
        let arrived = tokio::select! {
            arrived = wire.receive() => Some(arrived),
            () = wait_until(due) => None,
        };
        let Some(Agreed { floor, end, lets_us }) = agreed else { return };
        let now = Instant::now();
        match arrived {
            None => end.handle_timeout(now),
            Some(Arrived::Message(message, source)) => self.take(&message, source, now),
            // On a connection both begin anew: what was said on the one before is lost.
            Some(Arrived::Connected | Arrived::Lost) => {
                *end = End::new(floor, now);
                *lets_us = floor.server;
                self.events = [FloorEvent::Released, FloorEvent::LetsUs(*lets_us)].into();
                self.follow(self.sharing);
            }
        }
    }

    fn take(&mut self, message: &[u8], source: SocketAddr, now: Instant) {
        let Some(Agreed { end, .. }) = &mut self.agreed else { return };
        match end.receive(message, now) {
            Ok(true) => self.wire.trust(source),
            // Whoever it is, is told why.
            Ok(false) => self.transmit(Some(source)),
            Err(error) => tracing::debug!(%error, %source, "a message of floor control"),
        }
    }

    fn transmit(&mut self, to: Option<SocketAddr>) {
        let Some(Agreed { end, .. }) = &mut self.agreed else { return };
        while let Some(message) = end.transmit() {
            self.wire.send(&message, to);
        }
    }

    /// The room system may show what it wants to.
    pub(super) fn grant(&mut self) {
        if let Some(Agreed { end: End::Server(server), .. }) = &mut self.agreed {
            server.grant(Instant::now());
        }
    }

    /// It may not. Where its own side decides, what it shows is not passed on.
    pub(super) fn deny(&mut self) {
        if let Some(Agreed { end: End::Server(server), .. }) = &mut self.agreed {
            server.deny(Instant::now());
        }
    }

    /// Who shows a screen now: whoever asked last.
    pub(super) fn follow(&mut self, sharing: Sharing) {
        let now = Instant::now();
        self.sharing = sharing;
        let Some(Agreed { end, lets_us, .. }) = &mut self.agreed else { return };
        match end {
            End::Server(server) => {
                if sharing != Sharing::Own {
                    server.revoke(now);
                }
                server.set_elsewhere(sharing == Sharing::Others, now);
            }
            End::Client(client) if sharing == Sharing::Others => client.ask(now),
            End::Client(client) => {
                client.release(now);
                if std::mem::take(lets_us) {
                    self.events.push_back(FloorEvent::LetsUs(false));
                }
            }
        }
    }
}
