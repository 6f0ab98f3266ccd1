//! Our answer to a peer's offer (RFC 3264 section 6).

use crate::{
    camera,
    local::{LocalAudio, LocalMedia, LocalVideo},
    model::{Codec, Content, Format, Kind, Media, Params, Session},
    negotiate::{self, audio_stream, pick_audio, pick_video, protect, transport, video_stream},
    negotiated::{AudioStream, Negotiated, NegotiationError, Rejection, Shape, VideoStream},
    sharing::{self, Sharing},
    write::{self, VideoFormat},
};

/// An answer and what it means.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The body, with CRLF line ends.
    pub text: String,
    /// What was agreed.
    pub negotiated: Negotiated,
}

/// Answers an offer: the first audio line and the first line of main video that we can do, each
/// with one codec so that the peer cannot change it unannounced; all other lines rejected in place.
///
/// A re-offer is answered the same way, with `local.origin` advanced: hold, resume, another codec,
/// m-lines more or less need nothing that the offer does not say.
///
/// # Errors
/// [`NegotiationError`] where neither sound nor picture can be agreed on: a 488.
pub fn answer(offer: &Session, local: &LocalMedia) -> Result<Answer, NegotiationError> {
    let mut negotiated = Negotiated {
        audio: None,
        video: None,
        camera: None,
        sharing: None,
        floor: None,
        rejected: Vec::new(),
        shape: Vec::new(),
    };
    let shared = sharing::find(offer, local);
    let (mut floor, mut slides) = (None, None);
    let mut medias = Vec::with_capacity(offer.media.len());
    for (index, peer) in offer.media.iter().enumerate() {
        let mut shape = shape_of(peer);
        let (has_audio, has_video) = (negotiated.audio.is_some(), negotiated.video.is_some());
        let outcome = match (peer.kind, &local.audio, &local.video) {
            _ if peer.port == 0 => Err(Rejection::ByPeer),
            (Kind::Audio, Some(audio), _) if !has_audio => answer_audio(index, peer, audio, local)
                .map(|(text, stream)| {
                    negotiated.audio = Some(stream);
                    text
                }),
            (Kind::Video(Content::Main), _, Some(video)) if !has_video => {
                answer_video(index, offer, peer, video, local).map(|(text, stream)| {
                    negotiated.video = Some(stream);
                    text
                })
            }
            (Kind::Fecc, ..) => match &local.camera {
                Some(ours) if negotiated.camera.is_none() => {
                    camera::answer(index, peer, ours, local).map(|(text, stream)| {
                        negotiated.camera = Some(stream);
                        text
                    })
                }
                _ => Err(Rejection::NotOurs),
            },
            _ => match (shared, &local.sharing) {
                (Some((line, _)), Some(ours)) if line == index => {
                    sharing::agree(index, peer, &ours.floor).map(|agreed| {
                        let existing = peer.bfcp.as_ref().is_some_and(|it| it.existing);
                        let text = sharing::line(&shape, Some(&agreed), existing, &ours.floor);
                        floor = Some(agreed);
                        text
                    })
                }
                (Some((_, Some(line))), Some(ours)) if line == index => {
                    answer_video(index, offer, peer, &ours.video, local).map(|(text, stream)| {
                        slides = Some(stream);
                        text
                    })
                }
                (None, Some(ours)) if peer.kind == Kind::Bfcp => {
                    let fault = sharing::agree(index, peer, &ours.floor).err();
                    Err(fault.unwrap_or(Rejection::NotOurs))
                }
                _ => Err(Rejection::NotOurs),
            },
        };
        medias.push(match outcome {
            Ok(text) => {
                shape.proto.clone_from(&text.proto);
                text
            }
            Err(reason) => {
                negotiated.rejected.push((index, reason));
                write::rejected(&shape)
            }
        });
        negotiated.shape.push(shape);
    }
    let slides_follow = matches!(shared, Some((_, None))) && negotiated.video.is_some();
    negotiated.floor = floor.clone().filter(|_| slides_follow);
    negotiated.sharing = Sharing::of(slides, floor);
    let negotiated = negotiated.or_reason()?;
    Ok(Answer { text: write::session(local, medias), negotiated })
}

pub(crate) fn shape_of(peer: &Media) -> Shape {
    Shape {
        name: peer.name.clone(),
        proto: peer.proto_text.clone(),
        format: peer.first_format.clone(),
        main: matches!(peer.kind, Kind::Audio | Kind::Video(Content::Main)),
    }
}

fn answer_audio(
    index: usize,
    peer: &Media,
    audio: &LocalAudio,
    local: &LocalMedia,
) -> Result<(sdp_types::Media, AudioStream), Rejection> {
    let format = pick_audio(&peer.formats, &audio.codecs).ok_or(Rejection::NoCodec)?;
    let Codec::Audio(codec) = format.codec else { return Err(Rejection::NoCodec) };
    let protection = protect(peer, &local.srtp)?;
    let line = write::accepted(peer, &protection, audio.ports, audio.direction, &audio.key, local);
    let keys = protection.settle(&audio.key);
    let way = (line.mux, negotiate::ice(peer, line.mux, local.ice.as_ref()));
    let transport = transport(index, peer, line.direction, way, keys);
    let stream = audio_stream(transport, peer, format.payload_type, codec, &format.params);
    let codecs = [(format.payload_type, codec)];
    let text = write::audio(&line, &codecs, stream.telephone_event.as_slice(), stream.ptime);
    Ok((text, stream))
}

fn answer_video(
    index: usize,
    offer: &Session,
    peer: &Media,
    video: &LocalVideo,
    local: &LocalMedia,
) -> Result<(sdp_types::Media, VideoStream), Rejection> {
    let format = pick_video(&peer.formats, &video.codecs).ok_or(Rejection::NoCodec)?;
    let protection = protect(peer, &local.srtp)?;
    let line = write::accepted(peer, &protection, video.ports, video.direction, &video.key, local);
    let keys = protection.settle(&video.key);
    let way = (line.mux, negotiate::ice(peer, line.mux, local.ice.as_ref()));
    let transport = transport(index, peer, line.direction, way, keys);
    let stream = video_stream(transport, offer, peer, format, video);
    let content =
        if peer.kind == Kind::Video(Content::Slides) { Content::Slides } else { Content::Main };
    let formats = [mirrored(format, &stream, video)];
    let text = write::video(&line, &formats, video, stream.feedback, content);
    Ok((text, stream))
}

/// The peer's own format with our level. The profile and the mode are part of the format's identity
/// and must be repeated (RFC 6184 section 8.2.2); the level is not to exceed the peer's unless it
/// allows asymmetry, and our `max-fs` and `max-mbps` say what we really take.
fn mirrored(format: &Format, stream: &VideoStream, video: &LocalVideo) -> VideoFormat {
    let (mode, asymmetry) = match &format.params {
        Params::H264(h264) => (h264.packetization_mode, h264.level_asymmetry),
        _ => (None, false),
    };
    let ours = write::our_level(video);
    VideoFormat {
        payload_type: format.payload_type,
        codec: stream.codec,
        profile: stream.profile.map(|peers| {
            let lower = !asymmetry && peers.level() <= ours;
            if lower { peers } else { peers.at(ours) }
        }),
        mode,
        asymmetry,
    }
}
