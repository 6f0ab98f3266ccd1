//! A client's requests, put to the meeting.

#![allow(
    deprecated,
    reason = "clients of older protocol versions read and write these fields alone"
)]

use std::collections::BTreeMap;

use conference::ExecuteError;
use livekit_protocol as lk;
use lk::request_response::{Reason, Request as Echo};
use lk::signal_request::Message as Request;
use lk::signal_response::Message as Response;
use room::{
    Command, LayerInfo, MemberChange, PublishRequest, Refusal, TrackChange, TrackInfo, VideoWanted,
};
use types::{MediaKind, TrackSid, TrackSource};

use super::{Gone, Session};

/// Track sids that one request may name.
const MAX_SIDS: usize = 2000;

impl Session {
    pub(super) async fn handle(&mut self, request: Request) -> Result<(), Gone> {
        let peer = self.member.peer();
        match request {
            Request::Offer(offer) => {
                if let Err(error) = self.member.offer(offer.id, &offer.sdp) {
                    tracing::warn!(%error, "an offer is refused");
                    return Err(Gone::Misbehaved);
                }
            }
            Request::Answer(answer) => {
                self.missed.unanswered = None;
                if let Err(error) = self.member.answer(&answer.sdp) {
                    tracing::warn!(%error, "an answer is refused");
                    return Err(Gone::Misbehaved);
                }
            }
            Request::AddTrack(request) => self.add_track(request).await?,
            Request::Mute(mute) => self.mute(mute).await?,
            Request::UpdateVideoTrack(update) => {
                let change = TrackChange::Size { width: update.width, height: update.height };
                let track = TrackSid::new(update.track_sid);
                self.ask(Command::ChangeTrack { peer, track, change }).await;
            }
            Request::Subscription(update) => {
                let listed = update.participant_tracks.into_iter().flat_map(|it| it.track_sids);
                let tracks = sids(update.track_sids.into_iter().chain(listed));
                self.ask(Command::Subscribe { peer, tracks, subscribe: update.subscribe }).await;
            }
            Request::TrackSetting(settings) => {
                let (enabled, wanted) = (!settings.disabled, wanted(&settings));
                let tracks = sids(settings.track_sids);
                self.ask(Command::SetWanted { peer, tracks, enabled, wanted }).await;
            }
            Request::UpdateMetadata(update) => self.update_metadata(update).await?,
            Request::Ping(timestamp) => self.writer.send(Response::Pong(timestamp)).await?,
            Request::PingReq(ping) => {
                let pong =
                    lk::Pong { last_ping_timestamp: ping.timestamp, timestamp: ping.timestamp };
                self.writer.send(Response::PongResp(pong)).await?;
            }
            // An ICE-lite server learns the client's addresses from its checks.
            Request::Trickle(_) => {}
            // All that it tells was kept.
            Request::SyncState(_) => {}
            other => {
                let name = format!("{other:?}");
                let name = name.split('(').next().unwrap_or_default().to_owned();
                tracing::debug!(request = name, "a request that this server does not know");
            }
        }
        Ok(())
    }

    /// A client that may not unmute is told that it is muted still: else its person would believe to
    /// be heard.
    async fn mute(&mut self, mute: lk::MuteTrackRequest) -> Result<(), Gone> {
        let change = TrackChange::Muted(mute.muted);
        let (peer, track) = (self.member.peer(), TrackSid::new(mute.sid.clone()));
        let done = self.member.execute(Command::ChangeTrack { peer, track, change }).await;
        if !matches!(done, Err(ExecuteError::Refused(Refusal::NotAllowed(_)))) {
            return Ok(());
        }
        self.writer.send(Response::Mute(lk::MuteTrackRequest { sid: mute.sid, muted: true })).await
    }

    async fn add_track(&mut self, request: lk::AddTrackRequest) -> Result<(), Gone> {
        if !request.sid.is_empty() {
            // A backup codec of a track that already flows: its subscribers all take the first.
            return Ok(());
        }
        let (id, sid) = self.state.conference.new_track_ids();
        let kind = match request.r#type {
            it if it == lk::TrackType::Audio as i32 => MediaKind::Audio,
            it if it == lk::TrackType::Video as i32 => MediaKind::Video,
            _ => {
                let echo = Echo::AddTrack(request);
                return self.respond(0, Reason::UnsupportedType, "no such track type", echo).await;
            }
        };
        let publish = PublishRequest {
            id,
            sid,
            cid: request.cid.clone(),
            kind,
            info: track_info(kind, &request),
        };
        let command = Command::Publish { peer: self.member.peer(), request: publish };
        match self.member.execute(command).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let message = error.to_string();
                self.respond(0, reason(&error), &message, Echo::AddTrack(request)).await
            }
        }
    }

    async fn update_metadata(&mut self, update: lk::UpdateParticipantMetadata) -> Result<(), Gone> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let attributes: BTreeMap<_, _> = update.attributes.clone().into_iter().collect();
        let change =
            MemberChange { name: text(&update.name), metadata: text(&update.metadata), attributes };
        let command = Command::ChangeMember { peer: self.member.peer(), change };
        let (reason, message) = match self.member.execute(command).await {
            Ok(()) => (Reason::Ok, String::new()),
            Err(error) => (reason(&error), error.to_string()),
        };
        let id = update.request_id;
        self.respond(id, reason, &message, Echo::UpdateMetadata(update)).await
    }

    async fn respond(
        &mut self,
        request_id: u32,
        reason: Reason,
        message: &str,
        request: Echo,
    ) -> Result<(), Gone> {
        let response = lk::RequestResponse {
            request_id,
            reason: reason as i32,
            message: message.into(),
            request: Some(request),
        };
        self.writer.send(Response::RequestResponse(response)).await
    }
}

fn reason(error: &ExecuteError) -> Reason {
    match error {
        ExecuteError::Refused(Refusal::NotAllowed(_)) => Reason::NotAllowed,
        ExecuteError::Refused(
            Refusal::TooLong { .. } | Refusal::TooManyTracks { .. } | Refusal::MeetingFull { .. },
        ) => Reason::LimitExceeded,
        ExecuteError::Refused(_) | ExecuteError::Over => Reason::NotFound,
    }
}

fn sids(sids: impl IntoIterator<Item = String>) -> Vec<TrackSid> {
    sids.into_iter().take(MAX_SIDS).map(TrackSid::new).collect()
}

fn wanted(settings: &lk::UpdateTrackSettings) -> VideoWanted {
    if settings.width > 0 && settings.height > 0 {
        return VideoWanted::Size { width: settings.width, height: settings.height };
    }
    VideoWanted::Layer(u8::try_from(settings.quality).unwrap_or(2).min(2))
}

fn track_info(kind: MediaKind, request: &lk::AddTrackRequest) -> TrackInfo {
    let codec = request.simulcast_codecs.first();
    let mime = match (kind, codec.map(|it| it.codec.as_str()).filter(|it| !it.is_empty())) {
        (MediaKind::Audio, None) => "audio/opus".to_owned(),
        (MediaKind::Video, None) => "video/VP8".to_owned(),
        (_, Some(mime)) if mime.contains('/') => mime.to_owned(),
        (MediaKind::Audio, Some(codec)) => format!("audio/{codec}"),
        (MediaKind::Video, Some(codec)) => format!("video/{}", codec.to_uppercase()),
    };
    let of_codec = codec.map(|it| &it.layers).filter(|it| !it.is_empty());
    let layers = of_codec
        .unwrap_or(&request.layers)
        .iter()
        .filter_map(|it| {
            let index = u8::try_from(it.quality).ok().filter(|it| *it <= 2)?;
            Some(LayerInfo { index, width: it.width, height: it.height, bitrate: it.bitrate })
        })
        .take(3)
        .collect();
    TrackInfo {
        name: request.name.clone(),
        source: source(request.source),
        mime,
        width: request.width,
        height: request.height,
        layers: single_or_simulcast(layers),
        stream: request.stream.clone(),
        dtx: !request.disable_dtx,
        stereo: request.stereo,
        red_disabled: request.disable_red,
        encryption: request.encryption,
    }
}

/// A track of one layer is announced as the highest quality, yet its packets name no layer and so
/// count as the lowest.
fn single_or_simulcast(mut layers: Vec<LayerInfo>) -> Vec<LayerInfo> {
    if let [only] = layers.as_mut_slice() {
        only.index = 0;
    }
    layers.sort_by_key(|it| it.index);
    layers
}

fn source(number: i32) -> TrackSource {
    match lk::TrackSource::try_from(number) {
        Ok(lk::TrackSource::Camera) => TrackSource::Camera,
        Ok(lk::TrackSource::Microphone) => TrackSource::Microphone,
        Ok(lk::TrackSource::ScreenShare) => TrackSource::ScreenShare,
        Ok(lk::TrackSource::ScreenShareAudio) => TrackSource::ScreenShareAudio,
        Ok(lk::TrackSource::Unknown) | Err(_) => TrackSource::Unknown,
    }
}
