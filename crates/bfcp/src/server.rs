//! The floor control server of one call (RFC 8855 section 13): one client, one floor.

use std::collections::VecDeque;
use std::time::Instant;

use crate::exchange::{Exchange, Ids, Transport, information};
use crate::message::{Attribute, Message, ParseError, Primitive, Status};

/// Error codes of RFC 8855 section 5.2.6.
mod error {
    pub const NO_CONFERENCE: u8 = 1;
    pub const NO_USER: u8 = 2;
    pub const UNKNOWN_PRIMITIVE: u8 = 3;
    pub const NOT_AUTHORISED: u8 = 5;
    pub const NO_FLOOR: u8 = 6;
    pub const NO_REQUEST: u8 = 7;
}

/// Clients count their transactions from below. Some (libre 1.1) take any message of a number that they
/// wait for as the answer, although version 2 says which messages answer: ours have other numbers.
const FIRST_NOTICE: u16 = 0x8000;

/// What the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// It asks for the floor: [`Server::grant`] or [`Server::deny`] answers.
    Wanted,
    /// It gives the floor back, or its request for it.
    Released,
    /// It says goodbye, or never answered something: it has the floor no more.
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    id: u16,
    /// The transaction that waits for our decision.
    asked: Option<u16>,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    exchange: Exchange,
    request: Option<Request>,
    last: u16,
    /// It wants to be told who has the floor.
    follows: bool,
    /// Somebody else in the meeting has it.
    elsewhere: bool,
    events: VecDeque<ServerEvent>,
}

impl Server {
    /// A server whose client is yet to be heard.
    pub fn new(ids: Ids, transport: Transport) -> Self {
        Self {
            exchange: Exchange::new(ids, transport, FIRST_NOTICE),
            request: None,
            last: 0,
            follows: false,
            elsewhere: false,
            events: VecDeque::new(),
        }
    }

    /// Whether the client has the floor.
    pub fn is_granted(&self) -> bool {
        self.request.is_some_and(|it| it.asked.is_none())
    }

    /// Takes a message, or over UDP a fragment of one. Whether it is of our client.
    ///
    /// # Errors
    /// [`ParseError`]: what came is dropped.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<bool, ParseError> {
        let Some(message) = self.exchange.receive(bytes, now)? else { return Ok(false) };
        if !self.exchange.is_ours(&message) {
            let conference = message.conference == self.exchange.ids.conference;
            let code = if conference { error::NO_USER } else { error::NO_CONFERENCE };
            if !crate::exchange::is_answer(&message) {
                self.exchange.refuse(&message, code);
            }
            return Ok(false);
        }
        self.handle(&message, now);
        Ok(true)
    }

    fn handle(&mut self, message: &Message, now: Instant) {
        match message.primitive {
            Primitive::FloorRequest => self.asked(message, now),
            Primitive::FloorRelease => self.released(message, now),
            Primitive::FloorRequestQuery => match self.known(message) {
                Some(request) => {
                    let status = request.status();
                    self.answer_status(message.transaction, request.id, status, now);
                }
                None => self.error(message, error::NO_REQUEST, now),
            },
            Primitive::UserQuery => {
                let mine = self.request.map(|it| (it.id, it.status()));
                let ids = self.exchange.ids;
                let told = mine.map(|(id, status)| information(id, status, &ids, ids.user));
                let told = told.into_iter().collect();
                self.exchange.answer(message.transaction, Primitive::UserStatus, told, now);
            }
            Primitive::FloorQuery => {
                self.follows = message.floor() == Some(self.exchange.ids.floor);
                let told = self.floor();
                self.exchange.answer(message.transaction, Primitive::FloorStatus, told, now);
            }
            Primitive::Hello => {
                let primitives = (1..=17).collect();
                let told = vec![
                    Attribute::SupportedPrimitives(primitives),
                    Attribute::SupportedAttributes(Attribute::KNOWN.to_vec()),
                ];
                self.exchange.answer(message.transaction, Primitive::HelloAck, told, now);
            }
            Primitive::Goodbye => {
                self.exchange.answer(message.transaction, Primitive::GoodbyeAck, Vec::new(), now);
                self.gone();
            }
            Primitive::FloorRequestStatusAck
            | Primitive::FloorStatusAck
            | Primitive::GoodbyeAck
            | Primitive::Error => self.exchange.settle(message.transaction),
            Primitive::ChairAction => self.error(message, error::NOT_AUTHORISED, now),
            Primitive::Other(_) => self.error(message, error::UNKNOWN_PRIMITIVE, now),
            // A server's own words.
            Primitive::FloorRequestStatus
            | Primitive::UserStatus
            | Primitive::FloorStatus
            | Primitive::ChairActionAck
            | Primitive::HelloAck => {}
        }
    }

    fn asked(&mut self, message: &Message, now: Instant) {
        if message.floor() != Some(self.exchange.ids.floor) {
            return self.error(message, error::NO_FLOOR, now);
        }
        match &mut self.request {
            // It is decided already.
            Some(Request { id, asked: None }) => {
                let id = *id;
                self.answer_status(message.transaction, id, Status::Granted, now);
            }
            // It comes again before we have decided.
            Some(request) => request.asked = Some(message.transaction),
            None => {
                self.last = self.last.checked_add(1).unwrap_or(1);
                self.request = Some(Request { id: self.last, asked: Some(message.transaction) });
                self.events.push_back(ServerEvent::Wanted);
            }
        }
    }

    fn released(&mut self, message: &Message, now: Instant) {
        let Some(request) = self.known(message) else {
            return self.error(message, error::NO_REQUEST, now);
        };
        self.request = None;
        let status = if request.asked.is_some() { Status::Cancelled } else { Status::Released };
        self.answer_status(message.transaction, request.id, status, now);
        self.events.push_back(ServerEvent::Released);
        self.tell_floor(now);
    }

    fn known(&self, message: &Message) -> Option<Request> {
        self.request.filter(|it| Some(it.id) == message.request())
    }

    /// Gives the floor to the client, which has asked for it.
    pub fn grant(&mut self, now: Instant) {
        let Some(Request { id, asked: Some(transaction) }) = self.request else { return };
        self.request = Some(Request { id, asked: None });
        self.elsewhere = false;
        self.answer_status(transaction, id, Status::Granted, now);
        self.tell_floor(now);
    }

    /// Refuses it the floor, which it has asked for.
    pub fn deny(&mut self, now: Instant) {
        let Some(Request { id, asked: Some(transaction) }) = self.request else { return };
        self.request = None;
        self.answer_status(transaction, id, Status::Denied, now);
    }

    /// Takes the floor away from it.
    pub fn revoke(&mut self, now: Instant) {
        let Some(Request { id, asked: None }) = self.request else { return };
        self.request = None;
        let ids = self.exchange.ids;
        let told = vec![information(id, Status::Revoked, &ids, ids.user)];
        self.exchange.notify(Primitive::FloorRequestStatus, told, now);
        self.tell_floor(now);
    }

    /// Whether somebody else in the meeting has the floor.
    pub fn set_elsewhere(&mut self, elsewhere: bool, now: Instant) {
        if std::mem::replace(&mut self.elsewhere, elsewhere) != elsewhere {
            self.tell_floor(now);
        }
    }

    /// Says goodbye, over UDP.
    pub fn close(&mut self, now: Instant) {
        self.exchange.notify(Primitive::Goodbye, Vec::new(), now);
    }

    fn tell_floor(&mut self, now: Instant) {
        if self.follows {
            let told = self.floor();
            self.exchange.notify(Primitive::FloorStatus, told, now);
        }
    }

    fn floor(&self) -> Vec<Attribute> {
        let ids = self.exchange.ids;
        let mut told = vec![Attribute::Floor(ids.floor)];
        if let Some(Request { id, asked: None }) = self.request {
            told.push(information(id, Status::Granted, &ids, ids.user));
        } else if self.elsewhere {
            // Requests of others have numbers that the client's own never reach, so users.
            told.push(information(u16::MAX, Status::Granted, &ids, !ids.user));
        }
        told
    }

    fn answer_status(&mut self, transaction: u16, id: u16, status: Status, now: Instant) {
        let ids = self.exchange.ids;
        let told = vec![information(id, status, &ids, ids.user)];
        self.exchange.answer(transaction, Primitive::FloorRequestStatus, told, now);
    }

    fn error(&mut self, message: &Message, code: u8, now: Instant) {
        let told = vec![Attribute::Error(code)];
        self.exchange.answer(message.transaction, Primitive::Error, told, now);
    }

    fn gone(&mut self) {
        self.request = None;
        self.follows = false;
        self.events.push_back(ServerEvent::Gone);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.exchange.handle_timeout(now) {
            self.gone();
        }
    }

    /// When to call [`Server::handle_timeout`] next.
    pub fn timeout(&self) -> Option<Instant> {
        self.exchange.timeout()
    }

    /// What is to be sent: one message.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.exchange.transmit()
    }

    /// What happened.
    pub fn event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }
}

impl Request {
    fn status(&self) -> Status {
        if self.asked.is_some() { Status::Pending } else { Status::Granted }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const IDS: Ids = Ids { conference: 77, user: 318, floor: 2 };

    struct World {
        server: Server,
        now: Instant,
        transaction: u16,
        version: u8,
    }

    impl World {
        fn over(transport: Transport) -> Self {
            let server = Server::new(IDS, transport);
            let version = if transport == Transport::Tcp { 1 } else { 2 };
            Self { server, now: Instant::now(), transaction: 0, version }
        }

        fn message(&mut self, primitive: Primitive, attributes: Vec<Attribute>) -> Message {
            self.transaction += 1;
            let Ids { conference, user, .. } = IDS;
            let (version, transaction) = (self.version, self.transaction);
            let response = false;
            Message { version, response, primitive, conference, transaction, user, attributes }
        }

        fn says(&mut self, message: &Message) -> Vec<Message> {
            self.server.receive(&message.write(), self.now).unwrap();
            self.sent()
        }

        fn sent(&mut self) -> Vec<Message> {
            std::iter::from_fn(|| self.server.transmit())
                .map(|bytes| Message::parse(&bytes).unwrap())
                .collect()
        }

        fn asks(&mut self, primitive: Primitive, attributes: Vec<Attribute>) -> Vec<Message> {
            let message = self.message(primitive, attributes);
            let sent = self.says(&message);
            assert!(sent.iter().all(|it| it.version == self.version), "{sent:?}");
            sent
        }

        fn acknowledges(&mut self, notice: &Message) {
            let primitive = match notice.primitive {
                Primitive::FloorStatus => Primitive::FloorStatusAck,
                _ => Primitive::FloorRequestStatusAck,
            };
            let ack = Message { primitive, response: true, attributes: vec![], ..notice.clone() };
            assert!(self.says(&ack).is_empty());
        }

        fn passes(&mut self, seconds: u64) -> Vec<Message> {
            let end = self.now + Duration::from_secs(seconds);
            let mut sent = Vec::new();
            while let Some(at) = self.server.timeout().filter(|at| *at <= end) {
                self.now = at;
                self.server.handle_timeout(at);
                sent.extend(self.sent());
            }
            self.now = end;
            sent
        }
    }

    fn status(message: &Message) -> Option<Status> {
        message.requests().next().and_then(|it| it.1)
    }

    fn error_of(sent: &[Message]) -> Option<u8> {
        let [Message { primitive: Primitive::Error, attributes, .. }] = sent else { return None };
        match attributes.as_slice() {
            [Attribute::Error(code)] => Some(*code),
            _ => None,
        }
    }

    #[test]
    fn a_client_gets_the_floor_and_gives_it_back() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut world = World::over(transport);
            let hello = world.asks(Primitive::Hello, vec![]);
            assert_eq!(hello[0].primitive, Primitive::HelloAck);
            assert_eq!(hello[0].response, transport == Transport::Udp);
            let floor = world.asks(Primitive::FloorQuery, vec![Attribute::Floor(2)]);
            assert_eq!(floor[0].requests().count(), 0, "nobody has it");
            assert!(world.asks(Primitive::FloorRequest, vec![Attribute::Floor(2)]).is_empty());
            assert_eq!(world.server.event(), Some(ServerEvent::Wanted));
            world.server.grant(world.now);
            let sent = world.sent();
            assert_eq!(sent[0].transaction, 3, "it answers the request");
            assert_eq!(status(&sent[0]), Some(Status::Granted));
            assert_eq!(sent[1].primitive, Primitive::FloorStatus);
            assert_eq!(sent[1].transaction == 0, transport == Transport::Tcp);
            world.acknowledges(&sent[1]);
            let id = sent[0].request().unwrap();
            let sent = world.asks(Primitive::FloorRelease, vec![Attribute::Request(id)]);
            assert_eq!(status(&sent[0]), Some(Status::Released));
            assert_eq!(world.server.event(), Some(ServerEvent::Released));
            assert!(!world.server.is_granted());
        }
    }

    #[test]
    fn the_floor_is_taken_away_for_another_and_that_is_told() {
        let mut world = World::over(Transport::Udp);
        world.asks(Primitive::FloorQuery, vec![Attribute::Floor(2)]);
        world.asks(Primitive::FloorRequest, vec![Attribute::Floor(2)]);
        world.server.grant(world.now);
        let granted = world.sent();
        world.acknowledges(&granted[1]);
        world.server.revoke(world.now);
        let sent = world.sent();
        assert_eq!(status(&sent[0]), Some(Status::Revoked));
        assert!(sent.iter().all(|it| !it.response && it.transaction != 0));
        sent.iter().for_each(|it| world.acknowledges(it));
        world.server.set_elsewhere(true, world.now);
        let sent = world.sent();
        let (_, status, whom) = sent[0].requests().next().unwrap();
        assert_eq!(status, Some(Status::Granted));
        assert_ne!(whom, Some(IDS.user));
        world.acknowledges(&sent[0]);
        assert!(world.passes(60).is_empty(), "all was read");
    }

    #[test]
    fn a_client_that_never_answers_is_told_four_times_and_given_up() {
        let mut world = World::over(Transport::Udp);
        world.asks(Primitive::FloorQuery, vec![Attribute::Floor(2)]);
        world.server.set_elsewhere(true, world.now);
        assert_eq!(world.sent().len(), 1);
        assert_eq!(world.passes(60).len(), 3);
        assert_eq!(world.server.event(), Some(ServerEvent::Gone));
        for round in 0..1000 {
            world.server.set_elsewhere(round % 2 == 0, world.now);
        }
        assert!(world.sent().is_empty(), "it is told no more until it asks");
    }

    #[test]
    fn a_request_that_comes_again_is_answered_as_before() {
        let mut world = World::over(Transport::Udp);
        let request = world.message(Primitive::FloorRequest, vec![Attribute::Floor(2)]);
        assert!(world.says(&request).is_empty());
        assert!(world.says(&request).is_empty(), "still undecided");
        world.server.grant(world.now);
        let answer = world.sent();
        assert_eq!(world.says(&request), answer);
        assert_eq!(world.server.event(), Some(ServerEvent::Wanted));
        assert_eq!(world.server.event(), None, "it asked once");
    }

    #[test]
    fn what_is_not_for_this_floor_is_refused_by_its_reason() {
        let mut world = World::over(Transport::Udp);
        assert_eq!(error_of(&world.asks(Primitive::FloorRequest, vec![])), Some(6));
        let release = vec![Attribute::Request(9)];
        assert_eq!(error_of(&world.asks(Primitive::FloorRelease, release)), Some(7));
        assert_eq!(error_of(&world.asks(Primitive::ChairAction, vec![])), Some(5));
        assert_eq!(error_of(&world.asks(Primitive::Other(99), vec![])), Some(3));
        let stranger = Message { user: 1, ..world.message(Primitive::Hello, vec![]) };
        assert_eq!(error_of(&world.says(&stranger)), Some(2));
        let stranger = Message { conference: 1, ..world.message(Primitive::Hello, vec![]) };
        assert_eq!(error_of(&world.says(&stranger)), Some(1));
    }
}
