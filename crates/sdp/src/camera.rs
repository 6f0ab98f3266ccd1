//! Far-end camera control: `m=application` with H.224 (RFC 4573). It is a line of its own, the
//! last of our offers.

use crate::{
    dtls::{Dtls, DtlsFault},
    local::{LocalCamera, LocalMedia},
    model::{Codec, Media},
    negotiate::{Protection, direction, protect, transport},
    negotiated::{Rejection, Srtp, Transport},
    write::{self, Line},
};

/// Agreed camera control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraStream {
    /// Address, direction, keys.
    pub transport: Transport,
    /// Payload type of H.224, both ways.
    pub payload_type: u8,
}

/// The first format of H.224 that a line has.
pub(crate) fn format(peer: &Media) -> Result<u8, Rejection> {
    let found = peer.formats.iter().find(|format| format.codec == Codec::H224);
    found.map(|format| format.payload_type).ok_or(Rejection::NoCodec)
}

/// Our answer to an offered line.
pub(crate) fn answer(
    index: usize,
    peer: &Media,
    camera: &LocalCamera,
    local: &LocalMedia,
) -> Result<(sdp_types::Media, CameraStream), Rejection> {
    let payload_type = format(peer)?;
    let protection = protect(peer, &local.srtp)?;
    if matches!(protection, Protection::Dtls(_)) {
        // It has a port of its own, where nobody shakes hands or answers checks.
        return Err(Rejection::Dtls(DtlsFault::NotHere));
    }
    let wanted = camera.direction();
    let line = write::accepted(peer, &protection, camera.ports, wanted, &camera.key, local);
    let line = Line { ice: None, ..line };
    let keys = protection.settle(&camera.key);
    let transport = transport(index, peer, line.direction, (line.mux, None), keys);
    Ok((text(&line, payload_type), CameraStream { transport, payload_type }))
}

/// What was agreed on, after its line was offered again.
pub(crate) fn complete(
    index: usize,
    peer: &Media,
    keys: (Option<Srtp>, Option<Dtls>),
    camera: &LocalCamera,
    local: &LocalMedia,
) -> Result<CameraStream, Rejection> {
    let payload_type = format(peer)?;
    let mux = peer.rtcp_mux && local.rtcp_mux;
    let transport = transport(index, peer, direction(peer, camera.direction()), (mux, None), keys);
    Ok(CameraStream { transport, payload_type })
}

pub(crate) fn text(line: &Line<'_>, payload_type: u8) -> sdp_types::Media {
    write::application(line, payload_type, "H224/4800")
}
