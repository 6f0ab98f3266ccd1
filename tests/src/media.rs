//! Clips by which senders are told apart: a colour and a tone each, with a frame counter.

use std::ffi::OsString;
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
    /// Its brightness is noise: encoders spend every bit on it that they may.
    pub busy: bool,
}

impl Mark {
    /// The same with a picture that takes every bit.
    pub const fn busy(self, name: &'static str) -> Self {
        Self { name, busy: true, ..self }
    }
}

/// Red, 650 Hz.
pub const RED: Mark =
    Mark { name: "red", yuv: [82, 90, 240], rgb: [255, 0, 0], tone: 650, busy: false };
/// Green, 950 Hz.
pub const GREEN: Mark =
    Mark { name: "green", yuv: [145, 54, 34], rgb: [0, 255, 0], tone: 950, busy: false };
/// Blue, 1450 Hz.
pub const BLUE: Mark =
    Mark { name: "blue", yuv: [41, 240, 110], rgb: [0, 0, 255], tone: 1450, busy: false };

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

/// A clip in H.264, made by x264, to be sent frame by frame.
#[derive(Clone, Debug)]
pub struct H264Clip {
    /// Frames a second.
    pub fps: u32,
    /// In the order of decoding: the access unit (Annex B), and how many frames' time later than it
    /// is sent it was captured. With B-frames some were captured earlier.
    pub frames: Vec<(Vec<u8>, i64)>,
    /// `profile-level-id`.
    pub profile: &'static str,
    /// Without, only its first frame is one.
    pub has_many_key_frames: bool,
}

/// B-frames between two others, where a clip has any.
const B_FRAMES: usize = 2;
/// Seconds of a clip in H.264: longer than any call that its first key frame has to last for.
const H264_SECONDS: usize = 60;
/// Frames a second of [`flashes`].
pub const FLASH_FPS: u32 = 30;
/// Frames of a flash.
pub const FLASH_FRAMES: u32 = 4;

/// The pictures of [`clip`] in H.264 with one key frame. `profile`: `baseline`, which x264 makes so
/// constrained that every browser decodes it, or `high`, with B-frames.
pub fn h264_clip(mark: Mark, profile: &'static str) -> H264Clip {
    let y4m = clip(mark).y4m;
    let file = folder().join(format!("{}-{profile}.h264", mark.name));
    let frames = H264_SECONDS * FPS / (B_FRAMES + 1) * (B_FRAMES + 1) + 1;
    let input = ["-stream_loop".into(), "-1".into(), "-i".into(), y4m.into_os_string()];
    make_h264(&file, &input, frames, profile, frames);
    read_h264(&file, FPS as u32, profile, false)
}

/// A black picture that is white at the beginning of every second, with two key frames a second.
/// `profile`: `baseline` or `main`, neither with B-frames.
pub fn flashes(profile: &'static str) -> H264Clip {
    let file = folder().join(format!("flashes-{profile}.h264"));
    let pictures = format!(
        "color=black:s={WIDTH}x{HEIGHT}:r={FLASH_FPS},\
         drawbox=color=white:t=fill:enable='lt(mod(n,{FLASH_FPS}),{FLASH_FRAMES})'"
    );
    let input = ["-f", "lavfi", "-i", &pictures].map(OsString::from);
    make_h264(&file, &input, 10 * FLASH_FPS as usize, profile, FLASH_FPS as usize / 2);
    read_h264(&file, FLASH_FPS, profile, true)
}

fn make_h264(file: &Path, input: &[OsString], frames: usize, profile: &str, key_every: usize) {
    // The first frames in the order of decoding are then known to be I P B B P B B …
    let b_frames = if profile == "high" { B_FRAMES } else { 0 };
    let options = format!(
        "keyint={key_every}:min-keyint={key_every}:scenecut=0:bframes={b_frames}:b-adapt=0:\
         b-pyramid=none:sliced-threads=0:aud=1:repeat-headers=1"
    );
    make_once(file, |part| {
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(input)
            .args(["-frames:v", &frames.to_string(), "-pix_fmt", "yuv420p", "-c:v", "libx264"])
            .args(["-preset", "veryfast", "-b:v", "600k", "-profile:v", profile])
            .args(["-x264-params", &options, "-f", "h264"])
            .arg(part)
            .status()
            .expect("ffmpeg starts");
        assert!(status.success(), "ffmpeg: {status}");
    });
}

fn read_h264(file: &Path, fps: u32, profile: &str, has_many_key_frames: bool) -> H264Clip {
    const DELIMITER: u8 = 9;
    let bytes = fs::read(file).expect("a clip");
    let mut units: Vec<Vec<u8>> = Vec::new();
    for nal in rtp::payload::h264::nal_units(&bytes) {
        if nal[0] & 0x1f == DELIMITER {
            units.push(Vec::new());
            continue;
        }
        let unit = units.last_mut().expect("a delimiter first");
        unit.extend([0, 0, 0, 1]);
        unit.extend(nal);
    }
    let b_frames = if profile == "high" { B_FRAMES as i64 } else { 0 };
    let later = |place: usize| match (place, place as i64) {
        _ if b_frames == 0 => 0,
        (0, _) => -b_frames,
        // A P-frame is sent as soon as it is captured, and its B-frames after it.
        (_, place) if (place - 1) % (b_frames + 1) == 0 => 0,
        _ => -b_frames - 1,
    };
    let profile = match profile {
        "baseline" => "42e01f",
        "main" => "4d001f",
        "high" => "64001f",
        other => panic!("no clip of profile {other}"),
    };
    let frames = units.into_iter().enumerate().map(|(place, unit)| (unit, later(place))).collect();
    H264Clip { fps, frames, profile, has_many_key_frames }
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
    let mut noise: u32 = 2_463_534_242;
    for frame in 0..FRAMES {
        out.extend(b"FRAME\n");
        let start = out.len();
        out.resize(start + WIDTH * HEIGHT, y);
        if mark.busy {
            for pixel in &mut out[start..] {
                // Marsaglia's xorshift: cheap, and the same each time.
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                *pixel = y.saturating_add_signed((noise % 80) as i8 - 40);
            }
        }
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
