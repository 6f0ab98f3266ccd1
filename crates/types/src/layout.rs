//! How others are arranged in the one picture of a room system.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The arrangement of a room system's picture, by LiveKit's words for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegLayout {
    /// Everybody alike.
    #[default]
    Grid,
    /// A shared screen, or else who speaks, is large; others stand in a strip below.
    Speaker,
}

/// A text names no layout; says which there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegLayoutError;

impl fmt::Display for LegLayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("give \"grid\" or \"speaker\"")
    }
}

impl std::error::Error for LegLayoutError {}

impl LegLayout {
    /// The one that comes after it where all are gone through.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Grid => Self::Speaker,
            Self::Speaker => Self::Grid,
        }
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Speaker => "speaker",
        }
    }
}

impl fmt::Display for LegLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LegLayout {
    type Err = LegLayoutError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "grid" => Ok(Self::Grid),
            "speaker" => Ok(Self::Speaker),
            _ => Err(LegLayoutError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_is_read_as_it_is_written_and_nothing_else() {
        for layout in [LegLayout::Grid, LegLayout::Speaker] {
            assert_eq!(layout.as_str().parse(), Ok(layout));
            assert!(LegLayoutError.to_string().contains(&format!("{:?}", layout.as_str())));
        }
        for wrong in ["", "Grid", "tiles", "speaker "] {
            assert_eq!(wrong.parse::<LegLayout>(), Err(LegLayoutError), "{wrong:?}");
        }
    }
}
