//! One function for each parser of what a peer sends that is our own, for fuzzers. None may panic.

use types::VideoCodec;

use crate::command::{AudioHints, TrackLabel};
use crate::transport::webrtc::sdp_text::{self, Rewriting};

/// What a shard reads of a STUN request.
pub fn stun(data: &[u8]) {
    let _ = crate::stun::request_ufrag(data);
}

/// The sections of a browser's SDP, read, and written again in every way.
pub fn webrtc_sdp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(sections) = sdp_text::split(&text) else { return };
    let label = TrackLabel { publisher: "P".into(), track: "T".into(), group: None };
    let ways = [
        Rewriting::Publishes {
            audio: AudioHints { dtx: true, stereo: true, redundancy: true },
            codec: Some(VideoCodec::H264),
        },
        Rewriting::Carries(label),
        Rewriting::Spare,
    ];
    let mut out = String::new();
    for section in &sections {
        let _ = section.role();
        for way in &ways {
            out.clear();
            section.write(way, &mut out);
            // What was one section stays one: a line never makes two.
            let again = sdp_text::split(&out).map_or(0, |sections| sections.len());
            assert!(again <= 2, "{out}");
        }
    }
}
