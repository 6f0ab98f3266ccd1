//! Far-end camera control: `m=application` with H.224 (RFC 4573). It is a line of its own, the
//! last of our offers.

use crate::{
    local::{LocalCamera, LocalMedia},
    model::{Codec, Media},
    negotiate::{self, direction, protect, transport},
    negotiated::{Rejection, Transport},
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
    let crypto = protect(peer, &local.srtp)?;
    let line = write::accepted(peer, crypto, camera.ports, camera.direction(), &camera.key, local);
    let srtp = crypto.map(|crypto| negotiate::srtp(crypto, &camera.key));
    let transport = transport(index, peer, line.direction, line.mux, srtp);
    Ok((text(&line, payload_type), CameraStream { transport, payload_type }))
}

/// What was agreed on, after its line was offered again.
pub(crate) fn complete(
    index: usize,
    peer: &Media,
    srtp: Option<crate::Srtp>,
    camera: &LocalCamera,
    local: &LocalMedia,
) -> Result<CameraStream, Rejection> {
    let payload_type = format(peer)?;
    let mux = peer.rtcp_mux && local.rtcp_mux;
    let transport = transport(index, peer, direction(peer, camera.direction()), mux, srtp);
    Ok(CameraStream { transport, payload_type })
}

pub(crate) fn text(line: &Line<'_>, payload_type: u8) -> sdp_types::Media {
    write::application(line, payload_type, "H224/4800")
}
