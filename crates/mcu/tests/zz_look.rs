#![allow(clippy::unwrap_used)]
mod common;
use common::*;
use mcu::*;
use std::time::Duration;
use types::VideoCodec;
#[test]
fn look() {
    let mut w = World::new();
    let mut a = w.camera(1, VideoCodec::Vp8, RED);
    let mut b = w.camera_of(2, VideoCodec::Vp8, GREEN, 320, 240);
    w.bridge.add_tile(SourceId(3), "Мария Петрова — очень длинное имя участника совещания № 3");
    w.bridge.add_tile(SourceId(4), "Зал заседаний");
    for (n, l) in [("grid", Layout::Grid), ("speaker", Layout::Speaker)] {
        let (tx, rx) = w.lane();
        w.bridge.add_video_sink(
            SinkId(if n == "grid" { 1 } else { 2 }),
            VideoFormat { bitrate: 3_000_000, ..format(VideoCodec::H264, 1280, 720) },
            None,
            l,
            0,
            tx,
        );
        let mut s = Screen::new(rx, VideoCodec::H264);
        for _ in 0..40 {
            a.film(w.now);
            b.film(w.now);
            w.step(Duration::from_millis(33));
            for e in w.events.try_iter() {
                if let BridgeEvent::NeedKeyframe(i) = e {
                    if i.0 == 1 { a.want_key = true } else { b.want_key = true }
                }
            }
            s.watch();
        }
        let p = s.shown.unwrap();
        let mut out = Vec::new();
        for y in 0..720 {
            for x in 0..1280 {
                out.push(p.pixel(x, y).y)
            }
        }
        for y in (0..720).step_by(2) {
            for x in (0..1280).step_by(2) {
                out.push(p.pixel(x, y).u)
            }
        }
        for y in (0..720).step_by(2) {
            for x in (0..1280).step_by(2) {
                out.push(p.pixel(x, y).v)
            }
        }
        std::fs::write(format!("/tmp/look-{n}.yuv"), out).unwrap();
    }
}
