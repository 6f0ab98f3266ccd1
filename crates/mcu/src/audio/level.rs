//! Loudness.

/// What counts as silence: below this, in dBov, nobody hears a voice over a room's own noise.
pub(super) const SILENCE: i8 = -60;

/// The root mean square of a frame in dBov, −127..=0 (RFC 6464 section 3).
pub(super) fn dbov(frame: &[f32]) -> i8 {
    let energy: f32 = frame.iter().map(|s| s * s).sum();
    let mean = energy / frame.len().max(1) as f32;
    if mean <= 0.0 {
        return -127;
    }
    // Full scale is a square wave: 0 dBov is a mean of 1.
    (10.0 * mean.log10()).round().clamp(-127.0, 0.0) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_rfc_6464() {
        assert_eq!(dbov(&[1.0, -1.0].repeat(480)), 0);
        assert_eq!(dbov(&[0.1, -0.1].repeat(480)), -20);
        assert_eq!(dbov(&[0.0; 960]), -127);
    }
}
