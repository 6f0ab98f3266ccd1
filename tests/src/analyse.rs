//! What is in a recording or picture.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use crate::media::{CELLS, HEIGHT, Mark, RATE, STRIP};

/// How strong a tone is in a recording at 48 kHz, in dB under full scale: see [`level_at`].
pub fn level(samples: &[i16], hertz: u32) -> f64 {
    level_at(samples, RATE as u32, hertz)
}

/// A tone that is so much louder than all around it, in dB, is there: neither noise nor speech, which
/// are at some tones louder than at others by a few dB.
pub const STANDS_OUT: f64 = 15.0;

/// How much louder a tone is than the loudest of others around it, in dB.
pub fn above_the_rest(samples: &[i16], rate: u32, hertz: u32) -> f64 {
    let others = (1..=8).flat_map(|step| [hertz - 40 * step, hertz + 40 * step]);
    let loudest = others.map(|it| level_at(samples, rate, it)).fold(f64::NEG_INFINITY, f64::max);
    level_at(samples, rate, hertz) - loudest
}

/// How strong a tone is in a recording at some rate, in dB under full scale (one bin of a windowed
/// Fourier transform over the whole of it). Marks are told apart from one second on.
pub fn level_at(samples: &[i16], rate: u32, hertz: u32) -> f64 {
    let step = std::f64::consts::TAU * f64::from(hertz) / f64::from(rate);
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

/// The shares of a recording at 48 kHz, in steps of 20 ms, in which it is loud and in which it is
/// quiet: speech has both, a tone or noise has one of them.
pub fn loud_and_quiet(samples: &[i16]) -> [f64; 2] {
    let frames: Vec<f64> = samples
        .chunks_exact(RATE / 50)
        .map(|it| it.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>() / it.len() as f64)
        .map(|power| 10.0 * (power / 32768.0f64.powi(2)).max(1e-10).log10())
        .collect();
    let share = |fits: fn(f64) -> bool| {
        frames.iter().filter(|it| fits(**it)).count() as f64 / frames.len().max(1) as f64
    };
    [share(|it| it > -35.0), share(|it| it < -45.0)]
}

/// What tesseract reads in a picture, in English.
///
/// # Panics
/// When it does not run.
pub fn text(path: &Path) -> String {
    let done = Command::new("tesseract").arg(path).args(["stdout", "--psm", "6"]).output();
    let done = done.expect("tesseract runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// What tesseract reads where subtitles stand, in English: of words on a picture that has much else in
/// it, it does not find them.
///
/// # Panics
/// When it or ffmpeg does not run.
pub fn subtitles(path: &Path) -> String {
    let part = path.with_extension("subtitles.png");
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-i"])
        .arg(path)
        .args(["-vf", "crop=iw*0.6:ih*0.24:iw*0.2:ih*0.66,scale=iw*2:-1"])
        .arg(&part)
        .output()
        .expect("ffmpeg runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    text(&part)
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

    /// Which share of the picture is brighter than half of full light, 0 to 1.
    pub fn bright(&self) -> f64 {
        let luma = |[red, green, blue]: &[u8; 3]| {
            0.299 * f64::from(*red) + 0.587 * f64::from(*green) + 0.114 * f64::from(*blue)
        };
        let bright = self.rgb.iter().filter(|it| luma(it) > 128.0).count();
        bright as f64 / self.rgb.len().max(1) as f64
    }

    /// The frame counter of a mark that fills an area, if the cells of its strip can be read.
    pub fn counter(&self, area: Area) -> Option<u32> {
        let [left, top, right, bottom] = area;
        let middle = (STRIP.start + STRIP.end) as f64 / 2.0 / HEIGHT as f64;
        let y = ((top + (bottom - top) * middle) * self.height as f64) as usize;
        let is_white = |cell: usize| {
            let share = left + (right - left) * (cell as f64 + 0.5) / CELLS as f64;
            let [red, green, blue] =
                self.rgb[y * self.width + (share * self.width as f64) as usize];
            0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue) > 128.0
        };
        let frame = [is_white(0), !is_white(1), !is_white(CELLS - 2), is_white(CELLS - 1)];
        let bits = (2..CELLS - 2).fold(0, |sum, cell| sum << 1 | u32::from(is_white(cell)));
        frame.iter().all(|it| *it).then_some(bits)
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

    /// A swelling tone after A-law at 8 kHz.
    fn telephone(hertz: u32) -> Vec<i16> {
        let turns = |hertz: u32, n: u32| std::f64::consts::TAU * f64::from(hertz * n) / 8000.0;
        let quantise = |value: f64| {
            let magnitude = value.abs() as u32;
            let segment = magnitude.max(128).ilog2() - 7;
            let step = 16 << segment.saturating_sub(1);
            f64::from(magnitude / step * step + step / 2).copysign(value) as i16
        };
        (0..8000)
            .map(|n| quantise(turns(hertz, n).sin() * (0.5 - 0.5 * turns(4, n).cos()) * 16000.0))
            .collect()
    }

    #[test]
    fn marks_are_told_apart_after_a_telephone_codec() {
        let marks = [RED, GREEN, BLUE];
        for sent in marks {
            let samples = telephone(sent.tone);
            let level = level_at(&samples, 8000, sent.tone);
            assert!(level > -15.0, "{}: {level} dB", sent.name);
            for other in marks.iter().filter(|it| it.tone != sent.tone) {
                let apart = level - level_at(&samples, 8000, other.tone);
                assert!(apart > 45.0, "{} in {}: {apart} dB apart", other.name, sent.name);
            }
        }
    }

    #[test]
    fn the_counter_of_a_tile_is_read() {
        let (width, height) = (64, 72);
        let cells = [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 1];
        let mut rgb = vec![RED.rgb; width * height];
        // The tile is the right half of the lower half.
        for (cell, white) in cells.iter().enumerate() {
            for y in 36 + 3..36 + 7 {
                rgb[y * width + 32 + cell * 2..][..2].fill([*white * 255; 3]);
            }
        }
        let picture = Picture { width, height, rgb };
        assert_eq!(picture.counter([0.5, 0.5, 1.0, 1.0]), Some(0b10_1011));
        assert_eq!(picture.counter(WHOLE), None);
    }
}
