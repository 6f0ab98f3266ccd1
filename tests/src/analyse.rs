//! What is in a recording or picture.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::media::{Mark, RATE};

/// How strong a tone is in a recording at 48 kHz, in dB under full scale (Goertzel's algorithm over
/// the whole of it).
pub fn level(samples: &[i16], hertz: u32) -> f64 {
    let step = std::f64::consts::TAU * f64::from(hertz) / RATE as f64;
    let (mut re, mut im, mut weight) = (0.0, 0.0, 0.0);
    let count = samples.len().max(1) as f64;
    for (n, sample) in samples.iter().enumerate() {
        // A window keeps the tones from leaking into each other.
        let window = 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / count).cos();
        let value = f64::from(*sample) / 32768.0 * window;
        re += value * (n as f64 * step).cos();
        im += value * (n as f64 * step).sin();
        weight += window;
    }
    let amplitude = 2.0 * re.hypot(im) / f64::max(weight, 1.0);
    20.0 * amplitude.max(1e-7).log10()
}

/// A picture, eight bits a channel.
pub struct Picture {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    rgb: Vec<[u8; 3]>,
}

/// Part of a picture, in shares of its width and height from 0 to 1: left, top, right, bottom.
pub type Area = [f64; 4];

/// The whole picture.
pub const WHOLE: Area = [0.0, 0.0, 1.0, 1.0];

impl Picture {
    /// Reads a PNG.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut decoder = png::Decoder::new(BufReader::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a PNG of sane size")];
        let frame = reader.next_frame(&mut bytes).expect("a whole PNG");
        let channels = frame.color_type.samples();
        let pixel = |it: &[u8]| if it.len() < 3 { [it[0]; 3] } else { [it[0], it[1], it[2]] };
        let size = frame.buffer_size();
        let rgb = bytes[..size].chunks_exact(channels).map(pixel).collect();
        Self { width: frame.width as usize, height: frame.height as usize, rgb }
    }

    /// Which share of an area has the mark's colour, 0 to 1.
    pub fn share(&self, mark: Mark, area: Area) -> f64 {
        let [left, top, right, bottom] = area;
        let columns = (left * self.width as f64) as usize..(right * self.width as f64) as usize;
        let rows = (top * self.height as f64) as usize..(bottom * self.height as f64) as usize;
        let all = columns.len() * rows.len();
        let same = rows
            .flat_map(|y| columns.clone().map(move |x| (x, y)))
            .filter(|(x, y)| is_near(self.rgb[y * self.width + x], mark.rgb))
            .count();
        same as f64 / all.max(1) as f64
    }
}

/// Compression, limited range and a page's gradients shift a flat colour by less than this.
fn is_near(seen: [u8; 3], wanted: [u8; 3]) -> bool {
    seen.iter().zip(wanted).all(|(seen, wanted)| seen.abs_diff(wanted) < 70)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{BLUE, GREEN, RED};

    #[test]
    fn a_tone_is_found_and_its_neighbours_are_not() {
        let step = std::f64::consts::TAU * f64::from(RED.tone) / RATE as f64;
        let samples: Vec<i16> =
            (0..RATE).map(|n| ((n as f64 * step).sin() * 16384.0) as i16).collect();
        assert!((level(&samples, RED.tone) + 6.0).abs() < 0.1);
        for other in [GREEN, BLUE] {
            assert!(level(&samples, other.tone) < -80.0);
        }
    }
}
