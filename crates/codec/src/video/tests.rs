use super::h264::nal_units;
use super::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Instant;
use types::VideoCodec;

const RED: Yuv = Yuv { y: 81, u: 90, v: 240 };
const BLUE: Yuv = Yuv { y: 41, u: 240, v: 110 };

fn settings(codec: VideoCodec, width: u32, height: u32) -> EncoderSettings {
    EncoderSettings { codec, width, height, fps: 30, bitrate: 1_000_000, max_slice: None }
}

/// A scene that moves: a blue square wanders over red with noise.
fn scene(pool: &PicturePool, width: u32, height: u32, frame: u32) -> Picture {
    let mut picture = pool.picture(width, height).unwrap();
    let all = picture.bounds();
    picture.fill(all, RED);
    let mut rng = StdRng::seed_from_u64(u64::from(frame));
    for _ in 0..40 {
        let (x, y) = (rng.random_range(0..width), rng.random_range(0..height));
        let colour = Yuv { y: rng.random_range(16..235), u: 128, v: rng.random_range(60..200) };
        picture.fill(Rect::new(x, y, 16, 16), colour);
    }
    let side = height / 3;
    picture.fill(Rect::new(frame * 4 % (width - side), side, side, side), BLUE);
    picture
}

fn near(a: Yuv, b: Yuv) -> bool {
    a.y.abs_diff(b.y) < 12 && a.u.abs_diff(b.u) < 14 && a.v.abs_diff(b.v) < 14
}

#[test]
fn what_is_encoded_is_seen_again() {
    let pool = PicturePool::new(8);
    for codec in [VideoCodec::H264, VideoCodec::Vp8] {
        let mut encoder = Encoder::new(settings(codec, 640, 360)).unwrap();
        let mut decoder = Decoder::new(codec, pool.clone()).unwrap();
        let mut bytes = 0;
        for frame in 0..60 {
            let mut out = Vec::new();
            let picture = scene(&pool, 640, 360, frame);
            let encoded = encoder.encode(&picture, frame == 30, &mut out).unwrap();
            assert_eq!(encoded.key, frame == 0 || frame == 30, "{codec:?} frame {frame}");
            bytes += out.len();
            let seen = decoder.decode(&out).unwrap().expect("no picture may be held back");
            assert_eq!((seen.width(), seen.height()), (640, 360));
            let blue = seen.pixel(frame * 4 % 520 + 60, 180);
            assert!(near(blue, BLUE), "{codec:?} frame {frame}: {blue:?}");
        }
        let rate = bytes * 8 / 2;
        assert!((300_000..1_800_000).contains(&rate), "{codec:?}: {rate} bit/s for 1,000,000");
    }
}

#[test]
fn h264_is_constrained_baseline_of_a_level_that_fits() {
    let pool = PicturePool::new(2);
    for (width, height, level) in [(640, 360, 30), (1280, 720, 31), (1920, 1080, 40)] {
        let mut encoder = Encoder::new(settings(VideoCodec::H264, width, height)).unwrap();
        let mut out = Vec::new();
        encoder.encode(&scene(&pool, width, height, 0), false, &mut out).unwrap();
        let kinds: Vec<u8> = nal_units(&out).map(|nal| nal[0] & 0x1f).collect();
        assert_eq!(kinds, [7, 8, 5], "parameter sets stand before the IDR");
        let sps = SequenceParameters::parse(nal_units(&out).next().unwrap()).unwrap();
        assert_eq!(sps.profile, 66);
        assert_eq!(sps.constraints & 0x40, 0x40, "constraint_set1: constrained baseline");
        assert!(sps.level <= level, "{width}x{height}: level {}", sps.level);
        assert_eq!(sps.width, width);
    }
}

#[test]
fn slices_stay_below_the_limit_of_single_nal_unit_mode() {
    let pool = PicturePool::new(2);
    let mut encoder = Encoder::new(EncoderSettings {
        bitrate: 2_000_000,
        max_slice: Some(1_200),
        ..settings(VideoCodec::H264, 1280, 720)
    })
    .unwrap();
    let mut decoder = Decoder::new(VideoCodec::H264, pool.clone()).unwrap();
    for frame in 0..30 {
        let mut out = Vec::new();
        encoder.encode(&scene(&pool, 1280, 720, frame), frame == 15, &mut out).unwrap();
        let longest = nal_units(&out).map(<[u8]>::len).max().unwrap();
        assert!(longest <= 1_200, "frame {frame}: {longest} bytes");
        if frame == 15 {
            assert!(nal_units(&out).count() > 4);
        }
        assert!(decoder.decode(&out).unwrap().is_some());
    }
}

#[test]
fn the_rate_follows_a_change_without_a_key_frame() {
    let pool = PicturePool::new(2);
    for codec in [VideoCodec::H264, VideoCodec::Vp8] {
        let mut encoder =
            Encoder::new(EncoderSettings { bitrate: 2_000_000, ..settings(codec, 640, 360) })
                .unwrap();
        let mut rates = [0usize; 2];
        for frame in 0..180u32 {
            if frame == 60 {
                encoder.set_bitrate(300_000).unwrap();
            }
            let mut out = Vec::new();
            let encoded = encoder.encode(&scene(&pool, 640, 360, frame), false, &mut out).unwrap();
            assert_eq!(encoded.key, frame == 0);
            match frame {
                20..60 => rates[0] += out.len() * 8 * 30 / 40,
                120..180 => rates[1] += out.len() * 8 / 2,
                _ => {}
            }
        }
        assert!(rates[1] * 2 < rates[0], "{codec:?}: {rates:?}");
    }
}

#[test]
fn a_foreign_high_profile_stream_with_b_frames_is_shown_in_order() {
    let stream = include_bytes!("testdata/high_bframes.h264");
    let sps = nal_units(stream).find(|nal| nal[0] & 0x1f == 7).unwrap();
    assert_eq!(SequenceParameters::parse(sps).unwrap().profile, 100);
    let mut decoder = Decoder::new(VideoCodec::H264, PicturePool::new(4)).unwrap();
    let mut brightness = Vec::new();
    for unit in access_units(stream) {
        if let Some(picture) = decoder.decode(&unit).unwrap() {
            brightness.push(picture.pixel(88, 72).y);
        }
    }
    assert!(brightness.len() >= 26, "{} of 30 pictures", brightness.len());
    assert!(brightness.windows(2).all(|w| w[0] < w[1]), "out of order: {brightness:?}");
}

/// Cuts an Annex-B stream of one slice a picture.
fn access_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut units, mut unit) = (Vec::new(), Vec::new());
    for nal in nal_units(stream) {
        unit.extend_from_slice(&[0, 0, 0, 1]);
        unit.extend_from_slice(nal);
        if matches!(nal[0] & 0x1f, 1 | 5) {
            units.push(std::mem::take(&mut unit));
        }
    }
    units
}

#[test]
fn a_frame_without_its_key_frame_is_refused_and_the_next_key_frame_heals() {
    let pool = PicturePool::new(4);
    for codec in [VideoCodec::H264, VideoCodec::Vp8] {
        let mut encoder = Encoder::new(settings(codec, 320, 180)).unwrap();
        let mut decoder = Decoder::new(codec, pool.clone()).unwrap();
        for frame in 0..6 {
            let mut out = Vec::new();
            encoder.encode(&scene(&pool, 320, 180, frame), frame == 4, &mut out).unwrap();
            if frame > 0 {
                let shown = decoder.decode(&out).ok().flatten().is_some();
                assert_eq!(shown, frame >= 4, "{codec:?} frame {frame}");
            }
        }
    }
}

#[test]
fn sizes_beyond_the_bound_are_refused_before_anything_is_allocated() {
    let pool = PicturePool::new(1);
    assert_eq!(pool.picture(4096, 16).unwrap_err(), CodecError::Size { width: 4096, height: 16 });
    let mut vp8 = vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f];
    vp8.extend([0; 40]);
    let mut decoder = Decoder::new(VideoCodec::Vp8, pool.clone()).unwrap();
    assert_eq!(decoder.decode(&vp8).unwrap_err(), CodecError::Size { width: 16383, height: 16383 });
    // A VP9 key frame header of 65536 × 65536.
    let vp9 = [0x82, 0x49, 0x83, 0x42, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xf0, 0, 0];
    let mut decoder = Decoder::new(VideoCodec::Vp9, pool.clone()).unwrap();
    assert!(matches!(decoder.decode(&vp9), Err(CodecError::Size { .. })));
    // Baseline, level 5.2, 256 × 256 macroblocks.
    let sps = [0, 0, 0, 1, 0x67, 66, 0, 52, 0xf8, 0x04, 0x00, 0x80, 0x20];
    let mut decoder = Decoder::new(VideoCodec::H264, pool).unwrap();
    assert!(decoder.decode(&sps).is_err());
}

#[test]
fn vp9_of_another_encoder_is_decoded() {
    let stream = include_bytes!("testdata/vp9.ivf");
    let mut decoder = Decoder::new(VideoCodec::Vp9, PicturePool::new(4)).unwrap();
    let pictures = ivf_frames(stream)
        .filter_map(|frame| decoder.decode(frame).unwrap())
        .filter(|picture| (picture.width(), picture.height()) == (176, 144))
        .count();
    assert_eq!(pictures, 10);
}

fn ivf_frames(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = &stream[32..];
    std::iter::from_fn(move || {
        let length = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let frame = rest.get(12..12 + length)?;
        rest = &rest[12 + length..];
        Some(frame)
    })
}

/// Each decoder gets good frames with flipped bits, cut tails and exchanged bytes.
#[test]
fn mutated_frames_never_panic_or_grow() {
    let pool = PicturePool::new(4);
    for codec in [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9] {
        let frames: Vec<Vec<u8>> = if codec == VideoCodec::Vp9 {
            ivf_frames(include_bytes!("testdata/vp9.ivf")).map(<[u8]>::to_vec).collect()
        } else {
            let mut encoder = Encoder::new(settings(codec, 176, 144)).unwrap();
            (0..10)
                .map(|frame| {
                    let mut out = Vec::new();
                    encoder.encode(&scene(&pool, 176, 144, frame), false, &mut out).unwrap();
                    out
                })
                .collect()
        };
        for seed in 0..150 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut decoder = Decoder::new(codec, pool.clone()).unwrap();
            for frame in &frames {
                let mut frame = frame.clone();
                for _ in 0..rng.random_range(0..4) {
                    let at = rng.random_range(0..frame.len());
                    match rng.random_range(0..4) {
                        0 => frame[at] ^= 1 << rng.random_range(0..8),
                        1 => frame[at] = rng.random(),
                        2 => frame.insert(at, rng.random()),
                        _ => frame.truncate(at.max(1)),
                    }
                }
                if let Ok(Some(picture)) = decoder.decode(&frame) {
                    assert!(picture.width() * picture.height() <= MAX_PIXELS);
                }
            }
        }
    }
}

#[test]
fn pictures_scale_and_letterbox_into_their_part_only() {
    let pool = PicturePool::new(4);
    let mut tile = pool.picture(320, 180).unwrap();
    let all = tile.bounds();
    tile.fill(all, BLACK);
    let mut tall = pool.picture(90, 160).unwrap();
    let whole = tall.bounds();
    tall.fill(whole, RED);
    let part = letterbox(90, 160, Rect::new(160, 0, 160, 180));
    assert_eq!(part, Rect::new(190, 0, 100, 180));
    tile.draw(&tall, part);
    assert!(near(tile.pixel(240, 90), RED));
    assert!(near(tile.pixel(188, 90), BLACK) && near(tile.pixel(291, 90), BLACK));
    // What reaches over the border is cut, what is outside does nothing.
    tile.draw(&tall, Rect::new(300, 170, 400, 400));
    tile.fill(Rect::new(320, 0, 10, 10), RED);
    tile.fill(Rect::new(9_999, 9_999, 10, 10), RED);
    assert!(near(tile.pixel(319, 179), RED));
}

#[test]
fn a_cyrillic_name_is_drawn_and_a_long_one_is_cut() {
    let name = render_text("Зал заседаний №1", 24, 400);
    let inked = |image: &TextImage| {
        (0..image.height() as usize)
            .flat_map(|y| (0..image.width() as usize).map(move |x| (x, y)))
            .filter(|(x, y)| image.coverage(*x, *y) > 128)
            .count()
    };
    assert!(inked(&name) > 300, "{} pixels of ink", inked(&name));
    assert_ne!(
        render_text("Ж", 24, 100),
        render_text("Щ", 24, 100),
        "the font has no Cyrillic: both are the box for a missing letter"
    );
    let long = render_text(&"Ж".repeat(500), 24, 200);
    assert!(long.width() <= 200 && long.width() > 150);
    assert_eq!(render_text("\u{0}\n", 24, 100).width(), 0);

    let mut picture = PicturePool::new(1).picture(320, 180).unwrap();
    let all = picture.bounds();
    picture.fill(all, BLACK);
    picture.draw_text(&name, 10, 100, Yuv { y: 235, u: 128, v: 128 });
    let bright = (0..180)
        .flat_map(|y| (0..320).map(move |x| (x, y)))
        .filter(|(x, y)| picture.pixel(*x, *y).y > 150)
        .count();
    assert!(bright > 300);
    assert_eq!(picture.pixel(10, 60), BLACK);
}

#[test]
fn a_pool_reuses_what_was_dropped() {
    let pool = PicturePool::new(2);
    let first = pool.picture(640, 360).unwrap();
    let buffer = first.planes().y.as_ptr();
    drop(first);
    assert_eq!(pool.picture(640, 360).unwrap().planes().y.as_ptr(), buffer);
}

#[test]
fn costs_are_printed() {
    let pool = PicturePool::new(4);
    let pictures: Vec<Picture> = (0..30).map(|i| scene(&pool, 1280, 720, i)).collect();
    for codec in [VideoCodec::H264, VideoCodec::Vp8] {
        let mut encoder = Encoder::new(settings(codec, 1280, 720)).unwrap();
        let start = Instant::now();
        let mut frames = Vec::new();
        for picture in &pictures {
            let mut out = Vec::new();
            encoder.encode(picture, false, &mut out).unwrap();
            frames.push(out);
        }
        let encode = start.elapsed() / 30;
        let mut decoder = Decoder::new(codec, pool.clone()).unwrap();
        let start = Instant::now();
        assert!(frames.iter().all(|f| decoder.decode(f).unwrap().is_some()));
        println!("{codec:?} 720p: encode {encode:?}, decode {:?}", start.elapsed() / 30);
    }
}
