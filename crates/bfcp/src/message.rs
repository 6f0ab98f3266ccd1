//! Messages and their attributes (RFC 8855 section 5).

/// Bytes of a header without fragmentation.
pub(crate) const HEADER: usize = 12;
/// Bytes of a header of a fragment.
const FRAGMENT_HEADER: usize = 16;
/// Attributes of one message, those in groups included.
const MAX_ATTRIBUTES: usize = 64;
/// Groups within groups; RFC 8855 knows two levels.
const MAX_DEPTH: usize = 3;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident: $($(#[$its:meta])* $variant:ident = $number:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$its])* $variant,)*
            /// A number that is none of these.
            Other(u8),
        }

        impl $name {
            /// By its number on the wire.
            pub const fn of(number: u8) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// Its number on the wire.
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Other(other) => other,
                }
            }
        }
    };
}

codes! {
    /// What a message is (RFC 8855 section 5.1).
    Primitive:
    /// A participant asks for a floor.
    FloorRequest = 1,
    /// It gives it back, or takes its request back.
    FloorRelease = 2,
    /// It asks how its request stands.
    FloorRequestQuery = 3,
    /// How a request stands.
    FloorRequestStatus = 4,
    /// A participant asks about requests of a user.
    UserQuery = 5,
    /// The answer.
    UserStatus = 6,
    /// A participant asks about floors, and to be told of changes.
    FloorQuery = 7,
    /// Who has a floor.
    FloorStatus = 8,
    /// A chair decides.
    ChairAction = 9,
    /// The answer.
    ChairActionAck = 10,
    /// Are you there?
    Hello = 11,
    /// The answer, with what is understood.
    HelloAck = 12,
    /// A request is refused.
    Error = 13,
    /// A status of a request was read (UDP).
    FloorRequestStatusAck = 14,
    /// A status of a floor was read (UDP).
    FloorStatusAck = 15,
    /// The sender ends (UDP).
    Goodbye = 16,
    /// The answer.
    GoodbyeAck = 17,
}

codes! {
    /// How a request stands (RFC 8855 section 5.2.5).
    Status:
    /// It waits for a decision.
    Pending = 1,
    /// It waits for the floor.
    Accepted = 2,
    /// Its user has the floor.
    Granted = 3,
    /// Refused.
    Denied = 4,
    /// Taken back by its user.
    Cancelled = 5,
    /// Given back by its user.
    Released = 6,
    /// Taken away by the server.
    Revoked = 7,
}

/// One attribute (RFC 8855 section 5.2), in so far as it is ours to understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// For whom a request is.
    Beneficiary(u16),
    /// The floor.
    Floor(u16),
    /// The request.
    Request(u16),
    /// How it stands, and its place in the queue.
    Status(Status, u8),
    /// Why a request is refused (RFC 8855 section 5.2.6).
    Error(u8),
    /// What is understood: attributes.
    SupportedAttributes(Vec<u8>),
    /// What is understood: primitives.
    SupportedPrimitives(Vec<u8>),
    /// A group: whom a request is for.
    BeneficiaryInformation(u16, Vec<Attribute>),
    /// A group: a request.
    RequestInformation(u16, Vec<Attribute>),
    /// A group: the request at one floor.
    FloorRequestStatus(u16, Vec<Attribute>),
    /// A group: the request as a whole.
    OverallRequestStatus(u16, Vec<Attribute>),
    /// Another one, by its type; whether whoever does not understand it has to refuse the message.
    Other(u8, bool),
}

/// A message of the protocol, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// 1 or 2.
    pub version: u8,
    /// It answers (UDP); over TCP always `false`.
    pub response: bool,
    /// What it is.
    pub primitive: Primitive,
    /// The conference.
    pub conference: u32,
    /// The transaction; 0 in what a server sends unasked over TCP.
    pub transaction: u16,
    /// The participant.
    pub user: u16,
    /// In their order.
    pub attributes: Vec<Attribute>,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// They end too early, or go on too long.
    #[error("the length does not fit the message")]
    Length,
    /// An attribute does not fit its place.
    #[error("an attribute cannot be read")]
    Attribute,
    /// Neither version 1 nor 2.
    #[error("version {0} of the protocol is not known")]
    Version(u8),
}

/// The fields of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub version: u8,
    pub response: bool,
    pub primitive: u8,
    /// Bytes after the header, of the whole message.
    pub payload: usize,
    pub conference: u32,
    pub transaction: u16,
    pub user: u16,
    /// Where a fragment begins and how long it is, bytes.
    pub fragment: Option<(usize, usize)>,
}

impl Header {
    /// The header, and what follows it.
    pub fn split(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let short = ParseError::Length;
        let (&[first, primitive, ..], rest) = bytes.split_first_chunk::<HEADER>().ok_or(short)?;
        let at = |from: usize| bytes.get(from..from + 2).map(word).ok_or(short);
        let fragmented = first & 0x08 != 0;
        let (fragment, rest) = if fragmented {
            let rest = bytes.get(FRAGMENT_HEADER..).ok_or(short)?;
            (Some((usize::from(at(12)?) * 4, usize::from(at(14)?) * 4)), rest)
        } else {
            (None, rest)
        };
        let header = Self {
            version: first >> 5,
            response: first & 0x10 != 0,
            primitive,
            payload: usize::from(at(2)?) * 4,
            conference: u32::from(at(4)?) << 16 | u32::from(at(6)?),
            transaction: at(8)?,
            user: at(10)?,
            fragment,
        };
        Ok((header, rest))
    }

    /// The message of this header and its whole payload.
    pub fn message(&self, payload: &[u8]) -> Result<Message, ParseError> {
        if !matches!(self.version, 1 | 2) {
            return Err(ParseError::Version(self.version));
        }
        let mut left = MAX_ATTRIBUTES;
        Ok(Message {
            version: self.version,
            response: self.response,
            primitive: Primitive::of(self.primitive),
            conference: self.conference,
            transaction: self.transaction,
            user: self.user,
            attributes: read_attributes(payload, MAX_DEPTH, &mut left)?,
        })
    }
}

fn word(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |all, byte| all << 8 | u16::from(*byte))
}

fn read_attributes(
    mut bytes: &[u8],
    depth: usize,
    left: &mut usize,
) -> Result<Vec<Attribute>, ParseError> {
    let wrong = ParseError::Attribute;
    let mut attributes = Vec::new();
    while let &[head, length, ..] = bytes {
        *left = left.checked_sub(1).ok_or(wrong)?;
        let length = usize::from(length);
        let value = bytes.get(2..length).ok_or(wrong)?;
        let number = || value.get(..2).map(word).ok_or(wrong);
        let mut group = || {
            let inner = value.get(2..).ok_or(wrong)?;
            let depth = depth.checked_sub(1).ok_or(wrong)?;
            Ok((number()?, read_attributes(inner, depth, left)?))
        };
        attributes.push(match head >> 1 {
            1 => Attribute::Beneficiary(number()?),
            2 => Attribute::Floor(number()?),
            3 => Attribute::Request(number()?),
            5 => {
                let &[status, place, ..] = value else { return Err(wrong) };
                Attribute::Status(Status::of(status), place)
            }
            6 => Attribute::Error(*value.first().ok_or(wrong)?),
            10 => Attribute::SupportedAttributes(value.iter().map(|it| it >> 1).collect()),
            11 => Attribute::SupportedPrimitives(value.to_vec()),
            14 => group().map(|(id, all)| Attribute::BeneficiaryInformation(id, all))?,
            15 => group().map(|(id, all)| Attribute::RequestInformation(id, all))?,
            17 => group().map(|(id, all)| Attribute::FloorRequestStatus(id, all))?,
            18 => group().map(|(id, all)| Attribute::OverallRequestStatus(id, all))?,
            other => Attribute::Other(other, head & 1 != 0),
        });
        // The last one of a group may lack its padding.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    if bytes.is_empty() { Ok(attributes) } else { Err(wrong) }
}

impl Attribute {
    /// Types that we understand, for HelloAck.
    pub(crate) const KNOWN: [u8; 18] =
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18];

    fn write(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        let (kind, group): (u8, &[Self]) = match self {
            Self::Beneficiary(_) => (1, &[]),
            Self::Floor(_) => (2, &[]),
            Self::Request(_) => (3, &[]),
            Self::Status(..) => (5, &[]),
            Self::Error(_) => (6, &[]),
            Self::SupportedAttributes(_) => (10, &[]),
            Self::SupportedPrimitives(_) => (11, &[]),
            Self::BeneficiaryInformation(_, group) => (14, group),
            Self::RequestInformation(_, group) => (15, group),
            Self::FloorRequestStatus(_, group) => (17, group),
            Self::OverallRequestStatus(_, group) => (18, group),
            Self::Other(kind, _) => (*kind, &[]),
        };
        // All of ours can be skipped by whoever does not know them, but for what makes the message.
        out.extend([kind << 1 | 1, 0]);
        match self {
            Self::Beneficiary(id) | Self::Floor(id) | Self::Request(id) => {
                out.extend(id.to_be_bytes());
            }
            Self::BeneficiaryInformation(id, _)
            | Self::RequestInformation(id, _)
            | Self::FloorRequestStatus(id, _)
            | Self::OverallRequestStatus(id, _) => out.extend(id.to_be_bytes()),
            Self::Status(status, place) => out.extend([status.number(), *place]),
            Self::Error(code) => out.push(*code),
            Self::SupportedAttributes(all) => out.extend(all.iter().map(|it| it << 1)),
            Self::SupportedPrimitives(all) => out.extend(all),
            Self::Other(..) => {}
        }
        group.iter().for_each(|it| it.write(out));
        let length = (out.len() - begin).min(255);
        if let Some(place) = out.get_mut(begin + 1) {
            *place = length as u8;
        }
        while !(out.len() - begin).is_multiple_of(4) {
            out.push(0);
        }
    }
}

impl Message {
    /// Reads a message that is not in fragments.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let (header, payload) = Header::split(bytes)?;
        if header.fragment.is_some() || payload.len() != header.payload {
            return Err(ParseError::Length);
        }
        header.message(payload)
    }

    /// As it goes on the wire. Of ours none is so long that it would have to go in fragments.
    pub fn write(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        self.attributes.iter().for_each(|it| it.write(&mut payload));
        let mut out =
            vec![self.version << 5 | u8::from(self.response) << 4, self.primitive.number()];
        out.extend(((payload.len() / 4) as u16).to_be_bytes());
        out.extend(self.conference.to_be_bytes());
        out.extend(self.transaction.to_be_bytes());
        out.extend(self.user.to_be_bytes());
        out.extend(payload);
        out
    }

    /// The first floor that it names.
    pub fn floor(&self) -> Option<u16> {
        self.attributes.iter().find_map(|it| match it {
            Attribute::Floor(id) => Some(*id),
            _ => None,
        })
    }

    /// The request that it names.
    pub fn request(&self) -> Option<u16> {
        self.attributes.iter().find_map(|it| match it {
            Attribute::Request(id) | Attribute::RequestInformation(id, _) => Some(*id),
            _ => None,
        })
    }

    /// Its groups that tell of requests: id, how it stands, for whom.
    pub fn requests(&self) -> impl Iterator<Item = (u16, Option<Status>, Option<u16>)> {
        self.attributes.iter().filter_map(|it| {
            let Attribute::RequestInformation(id, inner) = it else { return None };
            // Some write the status for the floor alone, or without a group.
            let status = inner.iter().find_map(|it| match it {
                Attribute::OverallRequestStatus(_, all) | Attribute::FloorRequestStatus(_, all) => {
                    all.iter().find_map(Attribute::status)
                }
                it => it.status(),
            });
            let whom = inner.iter().find_map(|it| match it {
                Attribute::BeneficiaryInformation(id, _) | Attribute::Beneficiary(id) => Some(*id),
                _ => None,
            });
            Some((*id, status, whom))
        })
    }
}

impl Attribute {
    fn status(&self) -> Option<Status> {
        match self {
            Self::Status(status, _) => Some(*status),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was_written() {
        let status =
            Attribute::OverallRequestStatus(7, vec![Attribute::Status(Status::Granted, 0)]);
        let floor = Attribute::FloorRequestStatus(2, vec![]);
        let message = Message {
            version: 2,
            response: true,
            primitive: Primitive::FloorRequestStatus,
            conference: 0xdead_beef,
            transaction: 513,
            user: 318,
            attributes: vec![Attribute::RequestInformation(7, vec![status, floor])],
        };
        let bytes = message.write();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(Message::parse(&bytes).as_ref(), Ok(&message));
        assert_eq!(message.requests().collect::<Vec<_>>(), [(7, Some(Status::Granted), None)]);
    }

    /// Header and FLOOR-ID of RFC 8855 section 5, byte by byte.
    #[test]
    fn a_request_is_read_by_its_bytes() {
        let bytes = [0x40, 1, 0, 1, 0, 0, 0, 1, 0, 5, 1, 62, 0x05, 4, 0, 2];
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.version, message.primitive), (2, Primitive::FloorRequest));
        assert_eq!((message.conference, message.transaction, message.user), (1, 5, 318));
        assert_eq!((message.response, message.floor()), (false, Some(2)));
        assert_eq!(message.write(), bytes);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let good = [0x40, 1, 0, 1, 0, 0, 0, 1, 0, 5, 1, 62, 0x05, 4, 0, 2];
        for end in 0..good.len() {
            assert_eq!(Message::parse(&good[..end]), Err(ParseError::Length), "{end}");
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            Message::parse(&bytes)
        };
        assert_eq!(with(0, 0x60), Err(ParseError::Version(3)));
        assert_eq!(with(13, 1), Err(ParseError::Attribute), "shorter than its own head");
        assert_eq!(with(13, 5), Err(ParseError::Attribute), "longer than the message");
        let mut deep = vec![Attribute::Status(Status::Granted, 0)];
        for _ in 0..5 {
            deep = vec![Attribute::RequestInformation(1, deep)];
        }
        let message = Message { attributes: deep, ..Message::parse(&good).unwrap() };
        assert_eq!(Message::parse(&message.write()), Err(ParseError::Attribute));
    }
}
