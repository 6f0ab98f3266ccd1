//! The way of a hostile body through the whole crate, for fuzzing and mutation tests.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    Local, LocalAudio, LocalCamera, LocalFloor, LocalMedia, LocalPorts, LocalSharing, LocalSrtp,
    LocalVideo, MAX_KEY, SrtpPolicy, answer, complete, offer, parse, reoffer,
};

/// Reads `data` as an offer and as an answer under every policy; what comes out must be readable
/// by ourselves and have the m-lines of what went in.
pub fn fuzz_parse_answer(data: &[u8]) {
    let Ok(session) = parse(data) else { return };
    for policy in [SrtpPolicy::Never, SrtpPolicy::Optional, SrtpPolicy::Required] {
        let local = local(policy);
        if let Ok(answer) = answer(&session, &local) {
            let Ok(ours) = parse(answer.text.as_bytes()) else {
                unreachable!("our own answer is unreadable: {}", answer.text)
            };
            assert_eq!(ours.media.len(), session.media.len());
            let again = reoffer(&local, &answer.negotiated);
            let count = parse(again.text.as_bytes()).map(|session| session.media.len());
            assert!(count.is_ok_and(|count| count >= ours.media.len()));
        }
        let _ = complete(&offer(&local).pending, &session);
    }
}

fn local(policy: SrtpPolicy) -> LocalMedia {
    LocalMedia {
        origin: Local::new(2),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        audio: Some(LocalAudio::new(LocalPorts { rtp: 20_000, rtcp: 20_001 }, [1; MAX_KEY])),
        video: Some(LocalVideo::new(LocalPorts { rtp: 20_002, rtcp: 20_003 }, [2; MAX_KEY])),
        camera: Some(LocalCamera {
            ports: LocalPorts { rtp: 20_008, rtcp: 20_009 },
            key: [4; MAX_KEY],
        }),
        sharing: Some(LocalSharing {
            video: LocalVideo::new(LocalPorts { rtp: 20_004, rtcp: 20_005 }, [3; MAX_KEY]),
            floor: LocalFloor {
                udp: 20_006,
                tcp: 20_007,
                conference: 7,
                user: 8,
                fingerprint: Some("sha-256 AB:CD".to_owned()),
                fresh: true,
            },
        }),
        srtp: LocalSrtp::new(policy, true),
        rtcp_mux: true,
        ice: None,
    }
}
