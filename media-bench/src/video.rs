//! Metric 11: what composing costs beside the codec calls that it cannot do without.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use codec::{Decoder, Encoder, EncoderSettings, Picture, PicturePool, Rect, Yuv};
use mcu::{Bridge, BridgeEvent, Layout, Mcu, SinkId, SourceId, VideoFormat};
use rtp::lane::{LaneRx, LaneTx, MediaPacket, lane};
use rtp::payload::h264::{Mode, Packetizer};
use types::VideoCodec;

use crate::Plan;
use crate::fault::{Result, missing};
use crate::machine::cpu_of_thread;
use crate::report::{Against, Aim, Figure};

const FPS: u32 = 30;
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / FPS as u64);
const SOURCE: (u32, u32) = (640, 360);
const LEG: VideoFormat = VideoFormat {
    codec: VideoCodec::H264,
    width: 1280,
    height: 720,
    fps: FPS,
    bitrate: 1_500_000,
    single_nal: false,
};
/// Viewers of the same layout: so many that one's share stands out of the noise.
const VIEWERS: u64 = 101;
const SOURCES: u64 = 2;
/// Frames before the measured ones, until every tile shows a picture.
const WARM_UP: usize = 15;

/// A camera's encoded frames, whole and as packets.
struct Clip {
    frames: Vec<Vec<u8>>,
    packets: Vec<Vec<Arc<[u8]>>>,
}

pub fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let frames = plan.video_frames + WARM_UP;
    let clips = [Clip::film(1, frames)?, Clip::film(2, frames)?];
    let mut composed = Figure::new(
        "11 composed 720p30 leg of two 360p ÷ codec calls (ms a second)",
        Against::Floor,
        Some((Aim::AtMost, 1.35)),
    );
    let mut viewer = Figure::new(
        "11 one more viewer of a layout ÷ an encode (ms a second)",
        Against::Floor,
        Some((Aim::AtMost, 0.03)),
    );
    let mut encodes = Figure::new(
        "11 encodes for two rooms of a layout ÷ for one (a second)",
        Against::Floor,
        Some((Aim::AtMost, 1.0)),
    );
    let second = |spent: Duration| spent.as_secs_f64() * 1e3 / plan.video_frames as f64 * 30.0;
    let rate = |count: u64| count as f64 / plan.video_frames as f64 * f64::from(FPS);
    for round in 0..plan.rounds {
        let one = compose(&clips, 1)?;
        let bare = bare_calls(&clips)?;
        let many = compose(&clips, VIEWERS)?;
        let two = compose(&clips, 2)?;
        if round == 0 {
            continue;
        }
        composed.ours.push(second(one.cpu));
        composed.floor.push(second(bare.all));
        viewer.ours.push((second(many.cpu) - second(one.cpu)) / (VIEWERS - 1) as f64);
        viewer.floor.push(second(bare.encode));
        encodes.ours.push(rate(two.encoded));
        encodes.floor.push(rate(one.encoded));
    }
    let mut share = Figure::new(
        "11 share of a core of a composed 720p30 leg of two 360p",
        Against::Target,
        Some((Aim::AtMost, 0.35)),
    );
    share.ours = composed.ours.map(|ms| ms / 1e3);
    Ok(vec![composed, viewer, share, encodes])
}

impl Clip {
    /// Something that moves and has texture: a soft background that drifts, and sharp blocks that
    /// wander over it.
    fn film(seed: u32, frames: usize) -> Result<Self> {
        let (width, height) = SOURCE;
        let pool = PicturePool::new(4);
        let mut random = Random(seed);
        let mut texture = pool.picture(80, 46)?;
        for y in 0..23 {
            for x in 0..40 {
                texture.fill(Rect::new(2 * x, 2 * y, 2, 2), random.colour());
            }
        }
        let blocks: Vec<(u32, u32, Yuv)> =
            (0..24).map(|_| (random.next(), random.next(), random.colour())).collect();
        let mut encoder = encoder(width, height, 600_000)?;
        let mut clip = Self { frames: Vec::new(), packets: Vec::new() };
        let mut picture = pool.picture(width, height)?;
        for at in 0..frames as u32 {
            // Larger than the picture by what it drifts; what stands over is clipped.
            let mut part = pool.picture(width + 64, height + 64)?;
            part.draw(&texture, part.bounds());
            let drift = at % 64;
            copy_window(&part, &mut picture, drift & !1, (drift / 2) & !1)?;
            for (x, y, colour) in &blocks {
                let (x, y) = ((x % width + at * 6) % width, (y % height + at * 2) % height);
                picture.fill(Rect::new(x, y, 24, 24), *colour);
            }
            let mut data = Vec::new();
            encoder.encode(&picture, false, &mut data)?;
            let packets = Packetizer::new(Mode::NonInterleaved).packetize(&data)?;
            clip.packets.push(packets.into_iter().map(Into::into).collect());
            clip.frames.push(data);
        }
        Ok(clip)
    }
}

/// Scrolling without a view into a picture: drawn as blocks of the window's own pixels.
fn copy_window(from: &Picture, to: &mut Picture, left: u32, top: u32) -> Result<()> {
    const STEP: u32 = 4;
    for y in (0..to.height()).step_by(STEP as usize) {
        for x in (0..to.width()).step_by(STEP as usize) {
            to.fill(Rect::new(x, y, STEP, STEP), from.pixel(x + left, y + top));
        }
    }
    Ok(())
}

fn encoder(width: u32, height: u32, bitrate: u32) -> Result<Encoder> {
    let settings = EncoderSettings {
        codec: VideoCodec::H264,
        width,
        height,
        fps: FPS,
        bitrate,
        max_slice: None,
    };
    Ok(Encoder::new(settings)?)
}

struct Composed {
    cpu: Duration,
    encoded: u64,
}

/// A bridge with two cameras and so many viewers, in virtual time on this thread.
fn compose(clips: &[Clip], viewers: u64) -> Result<Composed> {
    let start = Instant::now();
    let mcu = Mcu::inline(start);
    let (events_in, events) = sync_channel(1_000);
    let bridge = mcu.bridge("bench", Arc::new(events_in));
    let mut cameras = Vec::new();
    for id in 0..SOURCES {
        let source = SourceId(id);
        let (tx, rx) = lane(2_048, bridge.video_bell(source));
        bridge.add_video_source(source, VideoCodec::H264, &format!("Camera {id}"), rx);
        cameras.push(Camera { lane: tx, seq: 0 });
    }
    let mut screens = Vec::new();
    for id in 0..viewers {
        let (tx, rx) = lane(2_048, Bridge::silent_bell());
        bridge.add_video_sink(SinkId(id), LEG, None, Layout::Grid, 0, tx);
        screens.push(rx);
    }
    let mut now = start;
    let mut cpu = Duration::ZERO;
    let mut encoded = 0;
    for at in 0..clips.iter().map(|clip| clip.packets.len()).min().unwrap_or_default() {
        for (camera, clip) in cameras.iter_mut().zip(clips) {
            camera.send(clip, at, now);
        }
        now += FRAME;
        if at == WARM_UP {
            encoded = bridge.stats().video_encoded;
        }
        let before = cpu_of_thread()?;
        mcu.advance(now);
        if at >= WARM_UP {
            cpu += cpu_of_thread()?.saturating_sub(before);
        }
        drain(&mut screens, &events);
    }
    let stats = bridge.stats();
    if stats.video_damaged + stats.lane_dropped > 0 {
        return Err(missing("an undamaged picture"));
    }
    Ok(Composed { cpu, encoded: stats.video_encoded - encoded })
}

struct Camera {
    lane: LaneTx,
    seq: u64,
}

impl Camera {
    fn send(&mut self, clip: &Clip, frame: usize, now: Instant) {
        let packets = clip.packets.get(frame).map(Vec::as_slice).unwrap_or_default();
        for (index, payload) in packets.iter().enumerate() {
            self.seq += 1;
            self.lane.push(MediaPacket {
                payload: payload.clone(),
                seq: self.seq,
                timestamp: frame as u32 * (VideoCodec::CLOCK_RATE / FPS),
                marker: index + 1 == packets.len(),
                arrival: now,
                format: 0,
                audio_level: None,
                capture: None,
            });
        }
        self.lane.flush();
    }
}

fn drain(screens: &mut [LaneRx], events: &Receiver<BridgeEvent>) {
    for screen in screens {
        while screen.pop().is_some() {}
    }
    while events.try_recv().is_ok() {}
}

struct Bare {
    all: Duration,
    encode: Duration,
}

/// The same frames decoded, drawn at the same places, encoded with the same settings.
fn bare_calls(clips: &[Clip]) -> Result<Bare> {
    let pool = PicturePool::new(4);
    let mut canvas = pool.picture(LEG.width, LEG.height)?;
    canvas.fill(canvas.bounds(), codec::BLACK);
    let mut encoder = encoder(LEG.width, LEG.height, LEG.bitrate)?;
    let mut decoders = Vec::new();
    for _ in clips {
        decoders.push(Decoder::new(VideoCodec::H264, pool.clone())?);
    }
    let tiles = [(0, 180), (640, 180)].map(|(x, y)| Rect::new(x, y, SOURCE.0, SOURCE.1));
    let mut bare = Bare { all: Duration::ZERO, encode: Duration::ZERO };
    let mut data = Vec::new();
    for at in 0..clips.iter().map(|clip| clip.frames.len()).min().unwrap_or_default() {
        let begun = cpu_of_thread()?;
        for ((clip, decoder), tile) in clips.iter().zip(&mut decoders).zip(tiles) {
            let frame = clip.frames.get(at).map(Vec::as_slice).unwrap_or_default();
            let picture = decoder.decode(frame)?.ok_or_else(|| missing("a decoded picture"))?;
            canvas.draw(&picture, tile);
        }
        let drawn = cpu_of_thread()?;
        data.clear();
        encoder.encode(&canvas, false, &mut data)?;
        if at >= WARM_UP {
            let done = cpu_of_thread()?;
            bare.all += done.saturating_sub(begun);
            bare.encode += done.saturating_sub(drawn);
        }
    }
    Ok(bare)
}

/// A linear congruential generator: every run films the same.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    fn colour(&mut self) -> Yuv {
        let mut part = |range: u32| (self.next() % range) as u8;
        Yuv { y: 30 + part(180), u: 90 + part(76), v: 90 + part(76) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_moves_and_every_viewer_shares_one_encode() {
        let clips = [Clip::film(1, 20).unwrap(), Clip::film(2, 20).unwrap()];
        let bytes: usize = clips[0].frames.iter().skip(1).map(Vec::len).sum();
        assert!(bytes > 19 * 500, "{bytes} bytes: nothing moves");
        let one = compose(&clips, 1).unwrap();
        let many = compose(&clips, 3).unwrap();
        assert_eq!(one.encoded, many.encoded);
        assert!(one.encoded >= 4, "{}", one.encoded);
    }
}
