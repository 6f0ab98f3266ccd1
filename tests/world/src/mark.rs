//! By what participants are told apart.

use codec::Yuv;

/// A colour and a note. Notes are whole multiples of 50 Hz that do not stand in each other's
/// harmonics; colours lie far apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// For messages.
    pub name: &'static str,
    /// What the camera shows.
    pub colour: Yuv,
    /// What the voice hums, Hz.
    pub pitch: f32,
}

/// Red, 650 Hz.
pub const RED: Mark = Mark { name: "red", colour: Yuv { y: 81, u: 90, v: 240 }, pitch: 650.0 };
/// Green, 950 Hz.
pub const GREEN: Mark = Mark { name: "green", colour: Yuv { y: 145, u: 54, v: 34 }, pitch: 950.0 };
/// Blue, 1450 Hz.
pub const BLUE: Mark = Mark { name: "blue", colour: Yuv { y: 41, u: 240, v: 110 }, pitch: 1450.0 };
/// Yellow, 2150 Hz.
pub const YELLOW: Mark =
    Mark { name: "yellow", colour: Yuv { y: 180, u: 16, v: 146 }, pitch: 2150.0 };

/// What the camera shows for a moment at the beginning of each second, of who claps.
pub const FLASH: Yuv = Yuv { y: 235, u: 128, v: 128 };
/// What is heard with it, Hz.
pub const CLAP: f32 = 3_000.0;
