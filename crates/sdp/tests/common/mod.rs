//! What the stories share.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "each test program uses its own part")]

use std::{fs, path::PathBuf};

use sdp::{
    Local, LocalAudio, LocalMedia, LocalPorts, LocalSrtp, LocalVideo, MAX_KEY, Session, SrtpPolicy,
};

/// The whole of one of the project's own messages.
pub fn vector(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    fs::read(folder.join(format!("{name}.sdp"))).unwrap()
}

/// Us, with encryption where the peer offers it and keys that may travel.
pub fn local() -> LocalMedia {
    LocalMedia {
        origin: Local::new(8_000_000),
        address: "203.0.113.1".parse().unwrap(),
        audio: Some(LocalAudio::new(
            LocalPorts { rtp: 20_000, rtcp: 20_001 },
            std::array::from_fn(|i| u8::try_from(i).unwrap()),
        )),
        video: Some(LocalVideo::new(
            LocalPorts { rtp: 20_002, rtcp: 20_003 },
            std::array::from_fn(|i| u8::try_from(100 + i).unwrap()),
        )),
        camera: None,
        sharing: None,
        srtp: LocalSrtp::new(SrtpPolicy::Optional, true),
        rtcp_mux: true,
        ice: None,
    }
}

/// Us under another rule for SRTP.
pub fn local_with(policy: SrtpPolicy, keys_allowed: bool) -> LocalMedia {
    LocalMedia { srtp: LocalSrtp::new(policy, keys_allowed), ..local() }
}

/// A session of one or two plain lines, for tests of one detail.
pub fn session(lines: &[&str]) -> Session {
    sdp::parse(text(lines).as_bytes()).unwrap()
}

/// A body with the usual beginning and these lines.
pub fn text(lines: &[&str]) -> String {
    let head = ["v=0", "o=- 1 1 IN IP4 192.0.2.9", "s=-", "c=IN IP4 192.0.2.9", "t=0 0"];
    head.iter().chain(lines).map(|line| format!("{line}\r\n")).collect()
}

/// Bytes of a key of ours.
pub const KEY_BYTES: usize = MAX_KEY;
