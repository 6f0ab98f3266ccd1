//! Far-end camera control: H.281 in H.224 over RTP (RFC 4573, H.323 annex Q).
//!
//! A payload is one frame of H.224 without HDLC's flags, stuffing and check sequence, which annex Q
//! leaves out: RTP knows where it begins and UDP whether it is whole.

use thiserror::Error;

/// The data link's address and control octets: data of low priority, and of high, as unnumbered
/// information.
const LOW: [u8; 3] = [0x00, 0x61, 0x03];
const HIGH: [u8; 3] = [0x00, 0x71, 0x03];
/// To everybody, and from whom it does not matter.
const BROADCAST: [u8; 4] = [0; 4];
/// Clients of H.224: its own management, and H.281.
const MANAGEMENT: u8 = 0x00;
const CAMERA: u8 = 0x01;
/// The first and the last segment, number 0: a message in one frame.
const WHOLE: u8 = 0xc0;
/// Management: the list of clients, as a message and as a command to send it.
const CLIENT_LIST: u8 = 0x01;
const MESSAGE: u8 = 0x00;
const COMMAND: u8 = 0xff;
/// Clients that a list is read to at most.
const MAX_CLIENTS: usize = 32;

/// Which way a camera moves along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Left, down, out.
    Minus,
    /// Right, up, in.
    Plus,
}

/// What a camera does at once; an axis without a way stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Motion {
    /// Left or right.
    pub pan: Option<Way>,
    /// Down or up.
    pub tilt: Option<Way>,
    /// Out or in.
    pub zoom: Option<Way>,
}

/// A request of H.281 (its section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Begins a motion, which ends by itself after 800 ms if it is not continued.
    Start(Motion),
    /// Lets a motion go on for as long again.
    Continue(Motion),
    /// Ends a motion.
    Stop(Motion),
    /// Keeps where the camera looks as one of 16 places.
    Store(u8),
    /// Turns the camera to one of them.
    Recall(u8),
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// For a camera.
    Camera(Request),
    /// Which clients there are on the other side; whether H.281 is one of them.
    Clients {
        /// A camera may be steered, or somebody wants to steer one.
        camera: bool,
    },
    /// The list of our clients is asked for.
    AskClients,
    /// Something else that H.224 carries.
    Other,
}

/// Why bytes are no frame of H.224.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum H224Error {
    /// It ends before its data begin.
    #[error("an H.224 frame of {0} bytes ends within its header")]
    Truncated(usize),
    /// Its first octets are not those of a frame.
    #[error("{0:02x?} begin no H.224 frame")]
    NoFrame([u8; 3]),
}

impl Frame {
    /// Reads a payload. What is damaged in a frame's data is [`Frame::Other`].
    ///
    /// # Errors
    /// It is no frame.
    pub fn parse(payload: &[u8]) -> Result<Self, H224Error> {
        let truncated = H224Error::Truncated(payload.len());
        let (link, rest) = payload.split_first_chunk::<3>().ok_or(truncated)?;
        if *link != LOW && *link != HIGH {
            return Err(H224Error::NoFrame(*link));
        }
        let (_, rest) = rest.split_first_chunk::<4>().ok_or(truncated)?;
        let ([client, segment], data) = rest.split_first_chunk::<2>().ok_or(truncated)?;
        if *segment != WHOLE {
            return Ok(Self::Other);
        }
        Ok(match (client & 0x7f, data) {
            (MANAGEMENT, [CLIENT_LIST, COMMAND, ..]) => Self::AskClients,
            (MANAGEMENT, [CLIENT_LIST, MESSAGE, count, list @ ..]) => {
                let most = usize::from(*count).min(MAX_CLIENTS);
                Self::Clients { camera: list.iter().take(most).any(|it| it & 0x7f == CAMERA) }
            }
            (CAMERA, data) => request(data).map_or(Self::Other, Self::Camera),
            _ => Self::Other,
        })
    }

    /// The payload; nothing for [`Frame::Other`].
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let (link, client, data): (_, _, &[u8]) = match self {
            Self::Camera(request) => {
                let (data, length) = request.data();
                return frame(HIGH, CAMERA, data.get(..length).unwrap_or(&data));
            }
            Self::Clients { camera: true } => {
                (HIGH, MANAGEMENT, &[CLIENT_LIST, MESSAGE, 1, CAMERA])
            }
            Self::Clients { camera: false } => (HIGH, MANAGEMENT, &[CLIENT_LIST, MESSAGE, 0]),
            Self::AskClients => (HIGH, MANAGEMENT, &[CLIENT_LIST, COMMAND]),
            Self::Other => return Vec::new(),
        };
        frame(link, client, data)
    }
}

fn frame(link: [u8; 3], client: u8, data: &[u8]) -> Vec<u8> {
    [&link[..], &BROADCAST, &[client, WHOLE], data].concat()
}

impl Request {
    /// Three octets, and how many of them count.
    fn data(self) -> ([u8; 3], usize) {
        match self {
            Self::Start(motion) => ([0x01, motion.bits(), 0], 3),
            Self::Continue(motion) => ([0x02, motion.bits(), 0], 2),
            Self::Stop(motion) => ([0x03, motion.bits(), 0], 2),
            Self::Store(place) => ([0x06, place << 4, 0], 2),
            Self::Recall(place) => ([0x07, place << 4, 0], 2),
        }
    }
}

fn request(data: &[u8]) -> Option<Request> {
    match data {
        [0x01, bits, _, ..] => Some(Request::Start(Motion::of(*bits)?)),
        [0x02, bits, ..] => Some(Request::Continue(Motion::of(*bits)?)),
        [0x03, bits, ..] => Some(Request::Stop(Motion::of(*bits)?)),
        [0x06, place, ..] => Some(Request::Store(place >> 4)),
        [0x07, place, ..] => Some(Request::Recall(place >> 4)),
        _ => None,
    }
}

impl Motion {
    /// Two bits an axis, of which the first says that it moves: pan, tilt, zoom, focus.
    fn bits(self) -> u8 {
        let axes = [self.pan, self.tilt, self.zoom, None];
        axes.into_iter().fold(0, |bits, way| {
            let axis = match way {
                None => 0b00,
                Some(Way::Minus) => 0b10,
                Some(Way::Plus) => 0b11,
            };
            bits << 2 | axis
        })
    }

    /// The focus is not read: nobody here has one.
    fn of(bits: u8) -> Option<Self> {
        let way = |shift: u8| match bits >> shift & 0b11 {
            0b00 => Some(None),
            0b10 => Some(Some(Way::Minus)),
            0b11 => Some(Some(Way::Plus)),
            _ => None,
        };
        Some(Self { pan: way(6)?, tilt: way(4)?, zoom: way(2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Motion = Motion { pan: Some(Way::Minus), tilt: None, zoom: None };
    const UP_AND_IN: Motion = Motion { pan: None, tilt: Some(Way::Plus), zoom: Some(Way::Plus) };

    #[test]
    fn frames_are_written_byte_for_byte_and_read_again() {
        for (wanted, bytes) in [
            (
                Frame::Camera(Request::Start(LEFT)),
                &[0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 1, 0x80, 0][..],
            ),
            (
                Frame::Camera(Request::Continue(UP_AND_IN)),
                &[0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 2, 0b0011_1100],
            ),
            (Frame::Camera(Request::Stop(LEFT)), &[0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 3, 0x80]),
            (Frame::Camera(Request::Store(2)), &[0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 6, 0x20]),
            (Frame::Camera(Request::Recall(15)), &[0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 7, 0xf0]),
            (Frame::Clients { camera: true }, &[0, 0x71, 3, 0, 0, 0, 0, 0, 0xc0, 1, 0, 1, 1]),
            (Frame::AskClients, &[0, 0x71, 3, 0, 0, 0, 0, 0, 0xc0, 1, 0xff]),
        ] {
            assert_eq!(wanted.payload(), bytes, "{wanted:?}");
            assert_eq!(Frame::parse(bytes), Ok(wanted));
        }
    }

    #[test]
    fn what_devices_add_is_read_past() {
        // Low priority, addresses, H.281 with capabilities of its own beside another client.
        let list = [0, 0x61, 3, 0, 1, 0, 2, 0, 0xc0, 1, 0, 2, 0x42, 0x81];
        assert_eq!(Frame::parse(&list), Ok(Frame::Clients { camera: true }));
        let none = [0, 0x61, 3, 0, 0, 0, 0, 0, 0xc0, 1, 0, 1, 0x42, 0x81];
        assert_eq!(Frame::parse(&none), Ok(Frame::Clients { camera: false }), "one, it says");
        for other in [
            // Extra capabilities, a first segment of more, a motion both ways, an empty one.
            &[0, 0x71, 3, 0, 0, 0, 0, 0, 0xc0, 2, 0, 1][..],
            &[0, 0x71, 3, 0, 0, 0, 0, 1, 0x80, 1, 0x80, 0],
            &[0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 1, 0x40, 0],
            &[0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0],
        ] {
            assert_eq!(Frame::parse(other), Ok(Frame::Other), "{other:02x?}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(Frame::parse(&[]), Err(H224Error::Truncated(0)));
        assert_eq!(Frame::parse(&[0, 0x71, 3, 0, 0, 0, 0, 1]), Err(H224Error::Truncated(8)));
        let wrong = [0x7e, 0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 1, 0x80, 0];
        assert_eq!(Frame::parse(&wrong), Err(H224Error::NoFrame([0x7e, 0, 0x71])));
    }
}
