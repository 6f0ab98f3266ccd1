//! The client of a peer that insists on being the floor control server (RFC 8855 sections 9 to 12).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::exchange::{Exchange, Ids, Transport};
use crate::message::{Attribute, Message, ParseError, Primitive, Status};

/// How often we ask whether the server is there, which also keeps a NAT's way open.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// We have the floor.
    Granted,
    /// Our request is refused, or the floor is taken away.
    Ended,
    /// Whether somebody on the server's side has it.
    Theirs(bool),
    /// It never answered, or said goodbye.
    Gone,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    exchange: Exchange,
    next_hello: Instant,
    /// Our request: its transaction until it has an id.
    asked: Option<u16>,
    request: Option<u16>,
    granted: bool,
    theirs: bool,
    events: VecDeque<ClientEvent>,
}

impl Client {
    /// Greets the server, and asks who has the floor.
    pub fn new(ids: Ids, transport: Transport, now: Instant) -> Self {
        let mut client = Self {
            exchange: Exchange::new(ids, transport, 1),
            next_hello: now + KEEP_ALIVE,
            asked: None,
            request: None,
            granted: false,
            theirs: false,
            events: VecDeque::new(),
        };
        client.exchange.request(Primitive::Hello, Vec::new(), now);
        let floor = vec![Attribute::Floor(ids.floor)];
        client.exchange.request(Primitive::FloorQuery, floor, now);
        client
    }

    /// Asks for the floor, unless that was done.
    pub fn ask(&mut self, now: Instant) {
        if self.asked.is_none() && self.request.is_none() {
            let floor = vec![Attribute::Floor(self.exchange.ids.floor)];
            self.asked = self.exchange.request(Primitive::FloorRequest, floor, now);
        }
    }

    /// Gives it back, or the request for it.
    pub fn release(&mut self, now: Instant) {
        self.asked = None;
        self.granted = false;
        if let Some(id) = self.request.take() {
            let request = vec![Attribute::Request(id)];
            self.exchange.request(Primitive::FloorRelease, request, now);
        }
    }

    /// Takes a message, or over UDP a fragment of one. Whether it is of our server.
    ///
    /// # Errors
    /// [`ParseError`]: what came is dropped.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<bool, ParseError> {
        let Some(message) = self.exchange.receive(bytes, now)? else { return Ok(false) };
        if !self.exchange.is_ours(&message) {
            return Ok(false);
        }
        self.handle(&message, now);
        Ok(true)
    }

    fn handle(&mut self, message: &Message, now: Instant) {
        let transaction = message.transaction;
        match message.primitive {
            Primitive::FloorRequestStatus => {
                // Over UDP a server counts its own words too; those answer nothing.
                let counts = message.version == 1 || message.response;
                let is_mine = counts && self.asked == Some(transaction);
                self.exchange.acknowledge(message, Primitive::FloorRequestStatusAck, now);
                let Some((id, Some(status), _)) = message.requests().next() else { return };
                if is_mine {
                    self.asked = None;
                    self.request = Some(id);
                }
                if self.request == Some(id) {
                    self.stands(status);
                }
            }
            Primitive::FloorStatus => {
                self.exchange.acknowledge(message, Primitive::FloorStatusAck, now);
                let ours = self.exchange.ids.user;
                let theirs = message.requests().any(|(_, status, whom)| {
                    status == Some(Status::Granted) && whom.is_some_and(|it| it != ours)
                });
                if std::mem::replace(&mut self.theirs, theirs) != theirs {
                    self.events.push_back(ClientEvent::Theirs(theirs));
                }
            }
            Primitive::Error if self.asked == Some(transaction) => {
                self.exchange.settle(transaction);
                self.asked = None;
                self.events.push_back(ClientEvent::Ended);
            }
            Primitive::Hello => {
                let told = vec![Attribute::SupportedPrimitives((1..=17).collect())];
                self.exchange.answer(transaction, Primitive::HelloAck, told, now);
            }
            Primitive::Goodbye => {
                self.exchange.answer(transaction, Primitive::GoodbyeAck, Vec::new(), now);
                self.gone();
            }
            _ => self.exchange.settle(transaction),
        }
    }

    fn stands(&mut self, status: Status) {
        match status {
            Status::Granted => {
                if !std::mem::replace(&mut self.granted, true) {
                    self.events.push_back(ClientEvent::Granted);
                }
            }
            Status::Pending | Status::Accepted | Status::Other(_) => {}
            Status::Denied | Status::Cancelled | Status::Released | Status::Revoked => {
                self.request = None;
                self.granted = false;
                self.events.push_back(ClientEvent::Ended);
            }
        }
    }

    fn gone(&mut self) {
        (self.asked, self.request, self.granted) = (None, None, false);
        self.events.push_back(ClientEvent::Gone);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.exchange.handle_timeout(now) {
            self.gone();
        }
        if now >= self.next_hello {
            self.next_hello = now + KEEP_ALIVE;
            self.exchange.request(Primitive::Hello, Vec::new(), now);
        }
    }

    /// When to call [`Client::handle_timeout`] next.
    pub fn timeout(&self) -> Instant {
        self.exchange.timeout().map_or(self.next_hello, |at| at.min(self.next_hello))
    }

    /// What is to be sent: one message.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.exchange.transmit()
    }

    /// What happened.
    pub fn event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Server, ServerEvent};

    const IDS: Ids = Ids { conference: 9, user: 3, floor: 1 };

    /// Lets both talk until nothing more is said.
    fn talk(client: &mut Client, server: &mut Server, now: Instant) {
        loop {
            let there = client.transmit();
            if let Some(bytes) = &there {
                server.receive(bytes, now).unwrap();
            }
            let back = server.transmit();
            if let Some(bytes) = &back {
                client.receive(bytes, now).unwrap();
            }
            if there.is_none() && back.is_none() {
                return;
            }
        }
    }

    #[test]
    fn both_ends_understand_each_other() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let now = Instant::now();
            let mut client = Client::new(IDS, transport, now);
            let mut server = Server::new(IDS, transport);
            talk(&mut client, &mut server, now);
            server.set_elsewhere(true, now);
            talk(&mut client, &mut server, now);
            assert_eq!(client.event(), Some(ClientEvent::Theirs(true)));
            client.ask(now);
            talk(&mut client, &mut server, now);
            assert_eq!(server.event(), Some(ServerEvent::Wanted));
            server.grant(now);
            talk(&mut client, &mut server, now);
            assert_eq!(client.event(), Some(ClientEvent::Granted));
            assert_eq!(client.event(), Some(ClientEvent::Theirs(false)));
            server.revoke(now);
            talk(&mut client, &mut server, now);
            assert_eq!(client.event(), Some(ClientEvent::Ended));
            client.ask(now);
            talk(&mut client, &mut server, now);
            server.grant(now);
            talk(&mut client, &mut server, now);
            client.release(now);
            talk(&mut client, &mut server, now);
            let told: Vec<_> = std::iter::from_fn(|| server.event()).collect();
            assert_eq!(told, [ServerEvent::Wanted, ServerEvent::Released]);
            assert!(server.timeout().is_none(), "all of the server's words were read");
            assert_eq!(client.timeout(), now + KEEP_ALIVE, "and all of the client's answered");
        }
    }

    #[test]
    fn a_server_that_never_answers_is_given_up() {
        let mut now = Instant::now();
        let mut client = Client::new(IDS, Transport::Udp, now);
        let mut sent = 0;
        let end = now + Duration::from_secs(20);
        while client.timeout() <= end {
            sent += std::iter::from_fn(|| client.transmit()).count();
            now = client.timeout();
            client.handle_timeout(now);
        }
        assert_eq!(sent, 8, "a greeting and a question, four times each");
        assert_eq!(client.event(), Some(ClientEvent::Gone));
    }
}
