//! What both ends have in common: whose messages they are, and what is sent until it is answered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::message::{Attribute, Message, ParseError, Primitive};
use crate::stream::Reassembly;

/// T1 of RFC 8855 section 8.3.1: what is not answered is sent again, each time after twice as long.
const T1: Duration = Duration::from_millis(500);
/// How often it is sent altogether.
const SENDS: u32 = 4;
/// T2: an answer is kept for so long, for a request that comes again.
const T2: Duration = Duration::from_secs(10);
/// Requests of ours that wait for their answers; more are not made.
const MAX_WAITING: usize = 8;
/// Answers that are kept.
const MAX_KEPT: usize = 8;
/// What waits to be sent or read; whoever floods us loses the rest.
const MAX_QUEUED: usize = 32;

/// Who speaks about what (RFC 8856).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The conference.
    pub conference: u32,
    /// The client.
    pub user: u16,
    /// The floor.
    pub floor: u16,
}

/// By what messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Nothing is lost, nothing is sent twice.
    Tcp,
    /// What is not answered is sent again.
    Udp,
}

#[derive(Debug)]
struct Waiting {
    transaction: u16,
    bytes: Vec<u8>,
    next: Instant,
    sends: u32,
}

#[derive(Debug)]
pub(crate) struct Exchange {
    pub ids: Ids,
    transport: Transport,
    version: u8,
    reassembly: Reassembly,
    out: VecDeque<Vec<u8>>,
    waiting: VecDeque<Waiting>,
    first: u16,
    last: u16,
    kept: VecDeque<(u16, Vec<u8>, Instant)>,
}

impl Exchange {
    /// `first`: where transactions of ours are counted from.
    pub fn new(ids: Ids, transport: Transport, first: u16) -> Self {
        Self {
            ids,
            transport,
            version: if transport == Transport::Tcp { 1 } else { 2 },
            reassembly: Reassembly::default(),
            out: VecDeque::new(),
            waiting: VecDeque::new(),
            first,
            last: first,
            kept: VecDeque::new(),
        }
    }

    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// Reads what came; `None` where nothing is to be done about it. Over UDP a request that comes
    /// again is answered as before.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<Option<Message>, ParseError> {
        let Some(message) = self.reassembly.take(bytes, now)? else { return Ok(None) };
        if self.transport == Transport::Udp {
            self.version = message.version;
        }
        self.kept.retain(|(_, _, at)| now.saturating_duration_since(*at) < T2);
        let again = self.kept.iter().find(|it| it.0 == message.transaction);
        if let Some((_, answer, _)) = again.filter(|_| !is_answer(&message)) {
            let answer = answer.clone();
            self.push(answer);
            return Ok(None);
        }
        Ok(Some(message))
    }

    /// Whether a message is of the conference and user.
    pub fn is_ours(&self, message: &Message) -> bool {
        message.conference == self.ids.conference && message.user == self.ids.user
    }

    /// Answers a request.
    pub fn answer(
        &mut self,
        transaction: u16,
        primitive: Primitive,
        attributes: Vec<Attribute>,
        now: Instant,
    ) {
        let response = self.transport == Transport::Udp && self.version >= 2;
        let bytes = self.message(response, primitive, transaction, attributes).write();
        if self.transport == Transport::Udp {
            if self.kept.len() >= MAX_KEPT {
                self.kept.pop_front();
            }
            self.kept.push_back((transaction, bytes.clone(), now));
        }
        self.push(bytes);
    }

    /// Answers a request from somebody else's conference, whose ids the answer repeats (RFC 8855
    /// section 13.8).
    pub fn refuse(&mut self, to: &Message, code: u8) {
        let response = self.transport == Transport::Udp && self.version >= 2;
        let attributes = vec![Attribute::Error(code)];
        let message = Message { response, primitive: Primitive::Error, attributes, ..to.clone() };
        self.push(message.write());
    }

    /// Sends what has to be answered. Its transaction; `None` where too much waits.
    pub fn request(
        &mut self,
        primitive: Primitive,
        attributes: Vec<Attribute>,
        now: Instant,
    ) -> Option<u16> {
        if self.waiting.len() >= MAX_WAITING {
            return None;
        }
        self.last = self.last.checked_add(1).unwrap_or(self.first);
        let transaction = self.last;
        let bytes = self.message(false, primitive, transaction, attributes).write();
        self.push(bytes.clone());
        if self.transport == Transport::Udp {
            self.waiting.push_back(Waiting { transaction, bytes, next: now + T1, sends: 1 });
        }
        Some(transaction)
    }

    /// Tells what nobody asked for: over TCP without a transaction, over UDP until it is read.
    pub fn notify(&mut self, primitive: Primitive, attributes: Vec<Attribute>, now: Instant) {
        match self.transport {
            Transport::Tcp => {
                let bytes = self.message(false, primitive, 0, attributes).write();
                self.push(bytes);
            }
            Transport::Udp => {
                self.request(primitive, attributes, now);
            }
        }
    }

    /// Takes a server's word: an answer ends its request; what was not asked for has to be acknowledged
    /// over UDP.
    pub fn acknowledge(&mut self, message: &Message, by: Primitive, now: Instant) {
        let transaction = message.transaction;
        // Version 1 does not say which messages answer.
        let waits = self.waiting.iter().any(|it| it.transaction == transaction);
        if message.response || (message.version == 1 && waits) {
            self.settle(transaction);
        } else if self.transport == Transport::Udp {
            self.answer(transaction, by, Vec::new(), now);
        }
    }

    /// A request of ours is answered.
    pub fn settle(&mut self, transaction: u16) {
        self.waiting.retain(|it| it.transaction != transaction);
    }

    /// Sends again what is due; `false`: the peer never answered something.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let mut again = Vec::new();
        let before = self.waiting.len();
        self.waiting.retain_mut(|it| {
            if it.next > now {
                return true;
            }
            if it.sends >= SENDS {
                return false;
            }
            it.next = now + T1 * 2_u32.pow(it.sends);
            it.sends += 1;
            again.push(it.bytes.clone());
            true
        });
        again.into_iter().for_each(|bytes| self.push(bytes));
        self.waiting.len() == before
    }

    pub fn timeout(&self) -> Option<Instant> {
        self.waiting.iter().map(|it| it.next).min()
    }

    fn message(
        &self,
        response: bool,
        primitive: Primitive,
        transaction: u16,
        attributes: Vec<Attribute>,
    ) -> Message {
        let Ids { conference, user, .. } = self.ids;
        let version = self.version;
        Message { version, response, primitive, conference, transaction, user, attributes }
    }

    fn push(&mut self, bytes: Vec<u8>) {
        if self.out.len() < MAX_QUEUED {
            self.out.push_back(bytes);
        }
    }
}

/// Whether it answers something; such a message has the transaction of what it answers.
pub(crate) fn is_answer(message: &Message) -> bool {
    let acknowledges = matches!(
        message.primitive,
        Primitive::FloorRequestStatusAck
            | Primitive::FloorStatusAck
            | Primitive::GoodbyeAck
            | Primitive::HelloAck
            | Primitive::Error
    );
    message.response || acknowledges
}

/// A request as others are told of it.
pub(crate) fn information(id: u16, status: crate::Status, ids: &Ids, whom: u16) -> Attribute {
    Attribute::RequestInformation(
        id,
        vec![
            Attribute::OverallRequestStatus(id, vec![Attribute::Status(status, 0)]),
            Attribute::FloorRequestStatus(ids.floor, Vec::new()),
            Attribute::BeneficiaryInformation(whom, Vec::new()),
        ],
    )
}
