//! Clips by which senders are told apart: a colour and a tone each, with a frame counter.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pixels.
pub const WIDTH: usize = 640;
/// Pixels.
pub const HEIGHT: usize = 360;
/// Frames a second.
pub const FPS: usize = 15;
/// Frames of a clip; browsers play it in a loop.
const FRAMES: usize = 8 * FPS;
/// Samples a second.
pub const RATE: usize = 48_000;

/// The counter's strip: sixteen cells side by side. White, black, twelve bits (the highest first),
/// black, white.
pub const CELLS: usize = 16;
/// Rows of the strip, in a picture of [`HEIGHT`].
pub const STRIP: std::ops::Range<usize> = 30..70;

/// Who sends what. Tones are whole multiples of 50 Hz that do not stand in each other's harmonics;
/// colours lie far apart in every channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// For file names and messages.
    pub name: &'static str,
    /// The colour as Y, U, V.
    pub yuv: [u8; 3],
    /// The colour as R, G, B.
    pub rgb: [u8; 3],
    /// The tone in Hz.
    pub tone: u32,
}

/// Red, 650 Hz.
pub const RED: Mark = Mark { name: "red", yuv: [82, 90, 240], rgb: [255, 0, 0], tone: 650 };
/// Green, 950 Hz.
pub const GREEN: Mark = Mark { name: "green", yuv: [145, 54, 34], rgb: [0, 255, 0], tone: 950 };
/// Blue, 1450 Hz.
pub const BLUE: Mark = Mark { name: "blue", yuv: [41, 240, 110], rgb: [0, 0, 255], tone: 1450 };

/// Where the clips of a mark are.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Uncompressed pictures.
    pub y4m: PathBuf,
    /// The tone, 48 kHz mono.
    pub wav: PathBuf,
}

/// The clips of a mark for a room system.
#[derive(Clone, Debug)]
pub struct RoomClip {
    /// The pictures of [`Clip::y4m`] as Motion JPEG, again and again: baresip reads no y4m.
    pub avi: PathBuf,
    /// The tone, 48 kHz mono.
    pub wav: PathBuf,
}

/// How long a call of a room system may last where nothing else is said: baresip's sound ends with
/// its file, and its picture stands still once it has begun its file again.
pub const ROOM_SECONDS: usize = 180;

/// The clips of a mark for a room system, made once for each length in seconds.
///
/// # Panics
/// When ffmpeg cannot make them.
pub fn room_clip(mark: Mark, seconds: usize) -> RoomClip {
    let y4m = clip(mark).y4m;
    let clip = RoomClip {
        avi: folder().join(format!("{}-{seconds}.avi", mark.name)),
        wav: folder().join(format!("{}-{seconds}.wav", mark.name)),
    };
    make_once(&clip.avi, |part| {
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i"])
            .arg(&y4m)
            .args(["-t", &seconds.to_string(), "-c:v", "mjpeg", "-q:v", "3", "-f", "avi"])
            .arg(part)
            .status()
            .expect("ffmpeg starts");
        assert!(status.success(), "ffmpeg: {status}");
    });
    write_once(&clip.wav, |out| out.extend(wav(&tone(mark.tone, seconds * RATE))));
    clip
}

fn folder() -> PathBuf {
    let folder = crate::story::target().join("test-media");
    fs::create_dir_all(&folder).expect("the folder of clips");
    folder
}

/// The clips of a mark, made once.
pub fn clip(mark: Mark) -> Clip {
    let folder = folder();
    let clip = Clip {
        y4m: folder.join(format!("{}.y4m", mark.name)),
        wav: folder.join(format!("{}-swelling.wav", mark.name)),
    };
    write_once(&clip.y4m, |out| write_pictures(mark, out));
    write_once(&clip.wav, |out| out.extend(wav(&tone(mark.tone, 10 * RATE))));
    clip
}

fn write_once(path: &Path, fill: impl FnOnce(&mut Vec<u8>)) {
    make_once(path, |part| {
        let mut contents = Vec::new();
        fill(&mut contents);
        fs::write(part, contents).expect("a clip is written");
    });
}

/// Another test may make the same file at the same time: only whole files get their name.
fn make_once(path: &Path, make: impl FnOnce(&Path)) {
    if path.exists() {
        return;
    }
    let part = path.with_extension(format!("part-{}", std::process::id()));
    make(&part);
    fs::rename(&part, path).expect("a clip gets its name");
}

fn write_pictures(mark: Mark, out: &mut Vec<u8>) {
    let [y, u, v] = mark.yuv;
    writeln!(out, "YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg").expect("memory");
    let plane = WIDTH / 2 * HEIGHT / 2;
    for frame in 0..FRAMES {
        out.extend(b"FRAME\n");
        let start = out.len();
        out.resize(start + WIDTH * HEIGHT, y);
        for row in STRIP {
            let line = &mut out[start + row * WIDTH..][..WIDTH];
            for (cell, pixels) in line.chunks_mut(WIDTH / CELLS).enumerate() {
                pixels.fill(if is_white(cell, frame) { 235 } else { 16 });
            }
        }
        // Grey under the strip, so that chroma does not bleed into the cells.
        for value in [u, v] {
            let start = out.len();
            out.resize(start + plane, value);
            for row in STRIP.start / 2 - 1..STRIP.end / 2 + 1 {
                out[start + row * WIDTH / 2..][..WIDTH / 2].fill(128);
            }
        }
    }
}

fn is_white(cell: usize, frame: usize) -> bool {
    match cell {
        0 | 15 => true,
        1 | 14 => false,
        bit => frame >> (13 - bit) & 1 == 1,
    }
}

/// Swells four times a second: a browser's noise suppression takes a steady tone for noise.
pub fn tone(hertz: u32, samples: usize) -> Vec<i16> {
    let angle = |hertz: f64, n: usize| std::f64::consts::TAU * hertz / RATE as f64 * n as f64;
    let swell = |n| 0.5 - 0.5 * angle(4.0, n).cos();
    (0..samples).map(|n| (angle(f64::from(hertz), n).sin() * swell(n) * 16000.0) as i16).collect()
}

/// A WAV file of mono 16-bit samples at [`RATE`].
pub fn wav(samples: &[i16]) -> Vec<u8> {
    let bytes = samples.len() as u32 * 2;
    let mut out = Vec::with_capacity(44 + samples.len() * 2);
    out.extend(b"RIFF");
    out.extend((36 + bytes).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    out.extend([1, 0, 1, 0]);
    out.extend((RATE as u32).to_le_bytes());
    out.extend((RATE as u32 * 2).to_le_bytes());
    out.extend([2, 0, 16, 0]);
    out.extend(b"data");
    out.extend(bytes.to_le_bytes());
    out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    out
}
