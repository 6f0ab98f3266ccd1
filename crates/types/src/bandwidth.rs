//! How much a participant may send and be sent.

/// Bits a second of one participant, in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth(u64);

impl Bandwidth {
    /// What of it is kept for sound: a voice in good quality, or two with less.
    pub const SOUND: u64 = 64_000;
    /// Pictures of fewer bits a second are not worth to be looked at.
    pub const LEAST_PICTURE: u64 = 64_000;

    /// So many kilobits a second.
    pub const fn kilobits(kbps: u32) -> Self {
        Self(kbps as u64 * 1000)
    }

    /// All of it, in bits a second.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// What sound leaves of it, in bits a second; `None` where that is too little for a picture.
    pub fn for_pictures(self) -> Option<u64> {
        self.0.checked_sub(Self::SOUND).filter(|bits| *bits >= Self::LEAST_PICTURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_comes_before_pictures() {
        let pictures = |kbps| Bandwidth::kilobits(kbps).for_pictures();
        assert_eq!(pictures(64), None);
        assert_eq!(pictures(127), None);
        assert_eq!(pictures(128), Some(64_000));
        assert_eq!(pictures(1064), Some(1_000_000));
    }
}
