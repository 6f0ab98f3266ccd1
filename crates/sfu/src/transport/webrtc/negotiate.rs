//! Offers and answers.
//!
//! With one connection the client always offers; sections that it receives on are filled from the
//! subscriptions, and it is asked for more when they run out. With two, we offer on the one that it
//! receives on, one offer at a time.

use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::{ChannelConfig, Reliability};
use str0m::media::{Direction, MediaKind as WireKind, Mid};
use types::{MediaKind, TrackId};

use super::Session;
use super::media::Carried;
use super::sdp_text::{Rewriting, Section, SectionRole, split};
use crate::command::{AudioHints, DataChannel, PeerEvent, TrackLabel};

/// The largest body that is read. A client in a meeting of some hundred sends about 300 kB.
const MAX_SDP: usize = 1 << 20;

/// Why an offer or answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NegotiationError {
    /// More than a megabyte, or thousands of sections.
    #[error("the session description is too large")]
    TooLarge,
    /// It is no SDP that WebRTC knows.
    #[error("the session description cannot be read: {0}")]
    Malformed(String),
    /// It contradicts what was agreed before.
    #[error("the session description does not fit the session: {0}")]
    Refused(String),
    /// An answer came though nothing was offered.
    #[error("there was no offer to answer")]
    Unasked,
}

/// A client's offer, parsed.
pub struct Offer {
    offer: SdpOffer,
    roles: Vec<SectionRole>,
}

/// A client's answer, parsed.
pub struct Answer(SdpAnswer);

impl Offer {
    /// Reads an offer. Costs time in proportion to the body, so not on a shard.
    pub fn parse(sdp: &str) -> Result<Self, NegotiationError> {
        if sdp.len() > MAX_SDP {
            return Err(NegotiationError::TooLarge);
        }
        let sections = split(sdp).ok_or(NegotiationError::TooLarge)?;
        let roles = sections.iter().filter_map(Section::role).collect();
        let offer = SdpOffer::from_sdp_string(sdp)
            .map_err(|error| NegotiationError::Malformed(error.to_string()))?;
        Ok(Self { offer, roles })
    }
}

impl Answer {
    /// Reads an answer. Not on a shard.
    pub fn parse(sdp: &str) -> Result<Self, NegotiationError> {
        if sdp.len() > MAX_SDP {
            return Err(NegotiationError::TooLarge);
        }
        SdpAnswer::from_sdp_string(sdp)
            .map(Self)
            .map_err(|error| NegotiationError::Malformed(error.to_string()))
    }
}

impl Session {
    /// Takes the client's offer; the answer comes out as an event.
    pub fn handle_offer(&mut self, id: u32, offer: Offer) {
        let Offer { offer, roles } = offer;
        let answer = match self.publisher.sdp_api().accept_offer(offer) {
            Ok(answer) => answer.to_sdp_string(),
            Err(error) => {
                let error = NegotiationError::Refused(error.to_string());
                return self.events.push(PeerEvent::NegotiationFailed(error));
            }
        };
        self.negotiation.offered = true;
        self.negotiation.asked = false;
        self.end_published(&roles);
        self.bind_published(&roles);
        let single = self.subscriber.is_none();
        if single {
            self.assign_sections(&roles);
        }
        let sdp = self.rewrite_answer(&answer, &roles);
        let mids = if single { self.mids() } else { Vec::new() };
        self.events.push(PeerEvent::Answer { id, sdp, mids });
        if single {
            self.ask_for_sections();
        }
    }

    /// Takes the client's answer to our offer.
    pub fn handle_answer(&mut self, answer: Answer) {
        let (Some(pending), Some(rtc)) =
            (self.negotiation.pending.take(), self.subscriber.as_mut())
        else {
            return self.events.push(PeerEvent::NegotiationFailed(NegotiationError::Unasked));
        };
        if let Err(error) = rtc.sdp_api().accept_answer(pending, answer.0) {
            let error = NegotiationError::Refused(error.to_string());
            self.events.push(PeerEvent::NegotiationFailed(error));
        }
    }

    /// Our next offer restarts ICE. With one connection the client's does, by itself.
    pub fn restart_ice(&mut self) {
        self.negotiation.restart = self.subscriber.is_some();
        self.negotiation.dirty |= self.negotiation.restart;
    }

    /// The client gets this track from the next negotiation on.
    pub fn carry(&mut self, track: TrackId, kind: MediaKind, mut label: TrackLabel) {
        self.some_unready = true;
        if let Some(known) = self.carried.iter_mut().find(|it| it.track == track) {
            // Who asks anew is told anew.
            known.ready = false;
            return;
        }
        if self.subscriber.is_some() {
            // Firefox does not take a track's name from its section, and clients of two connections
            // do not look it up by the section: there the stream alone tells which track it is.
            label.group = None;
        }
        self.carried.push(Carried::new(track, kind, label));
        self.negotiation.dirty = true;
        if self.subscriber.is_none() && self.negotiation.offered && !self.negotiation.asked {
            self.negotiation.asked = true;
            self.events.push(PeerEvent::SectionsNeeded { audio: 0, video: 0 });
        }
    }

    /// The client no longer gets this track.
    pub fn drop_carried(&mut self, track: TrackId) {
        let Some(index) = self.carried.iter().position(|it| it.track == track) else { return };
        let Carried { mid, .. } = self.carried.swap_remove(index);
        let Some(mid) = mid else { return };
        if self.subscriber.is_some() {
            self.negotiation.stopped.push(mid);
            self.negotiation.dirty = true;
        } else {
            self.renew_stream(mid);
            self.negotiation.resting.push(mid);
            if !std::mem::replace(&mut self.negotiation.asked, true) {
                self.events.push(PeerEvent::SectionsNeeded { audio: 0, video: 0 });
            }
        }
    }

    /// Offers on the receiving connection if subscriptions changed and no offer is under way.
    pub(super) fn offer_if_due(&mut self) {
        if !self.negotiation.dirty || self.negotiation.pending.is_some() {
            return;
        }
        let Some(rtc) = &mut self.subscriber else { return };
        self.negotiation.dirty = false;
        let mut api = rtc.sdp_api();
        if self.negotiation.next_offer == 0 {
            for channel in DataChannel::ALL {
                api.add_channel_with_config(channel_config(channel));
            }
        }
        if std::mem::take(&mut self.negotiation.restart) {
            api.ice_restart(true);
        }
        for mid in self.negotiation.stopped.drain(..) {
            api.stop_media(mid);
        }
        for carried in self.carried.iter_mut().filter(|it| it.mid.is_none()) {
            let kind = match carried.kind {
                MediaKind::Audio => WireKind::Audio,
                MediaKind::Video => WireKind::Video,
            };
            let (stream, track) = (carried.label.stream(), carried.label.track.clone());
            let mid = api.add_media(kind, Direction::SendOnly, Some(stream), Some(track), None);
            carried.mid = Some(mid);
        }
        let Some((offer, pending)) = api.apply() else { return };
        self.negotiation.next_offer += 1;
        self.negotiation.pending = Some(pending);
        let (id, sdp, mids) = (self.negotiation.next_offer, offer.to_sdp_string(), self.mids());
        self.events.push(PeerEvent::Offer { id, sdp, mids });
    }

    /// Clients end a track by taking it out of its section: there is no message for it.
    fn end_published(&mut self, roles: &[SectionRole]) {
        let silent =
            |mid: Mid| roles.iter().any(|it| !it.sends && Mid::from(it.mid.as_str()) == mid);
        let ended: Vec<TrackId> = self
            .published
            .iter()
            .filter(|it| it.mid.is_some_and(silent))
            .map(|it| it.track)
            .collect();
        for track in ended {
            self.unpublish(track);
            self.events.push(PeerEvent::TrackEnded { track });
        }
    }

    /// Finds the announced tracks in the offer's sections.
    fn bind_published(&mut self, roles: &[SectionRole]) {
        for role in roles.iter().filter(|role| role.sends) {
            let mid = Mid::from(role.mid.as_str());
            if self.published.iter().any(|it| it.mid == Some(mid)) {
                continue;
            }
            let by_cid = self.published.iter().position(|it| {
                it.mid.is_none() && role.cid.as_ref().is_some_and(|cid| it.cids.contains(cid))
            });
            // Some browsers write another id into the SDP than the one that they give to scripts.
            let by_kind =
                || self.published.iter().position(|it| it.mid.is_none() && it.kind == role.kind);
            let Some(index) = by_cid.or_else(by_kind) else { continue };
            if let Some(published) = self.published.get_mut(index) {
                published.mid = Some(mid);
                let track = published.track;
                self.ingress.retain(|_, it| it.mid() != mid);
                self.events.push(PeerEvent::TrackBound { track, mid: role.mid.clone() });
            }
        }
    }

    /// Gives free receiving sections to tracks that have none. A section whose track ended rests
    /// for one negotiation as inactive, so that the client sees the old track end.
    fn assign_sections(&mut self, roles: &[SectionRole]) {
        let resting = std::mem::take(&mut self.negotiation.resting);
        let rested_waits = !resting.is_empty();
        for role in roles.iter().filter(|role| role.receives && !role.sends) {
            let mid = Mid::from(role.mid.as_str());
            if resting.contains(&mid) || self.carried.iter().any(|it| it.mid == Some(mid)) {
                continue;
            }
            let waiting =
                self.carried.iter_mut().find(|it| it.mid.is_none() && it.kind == role.kind);
            if let Some(carried) = waiting {
                carried.mid = Some(mid);
            }
        }
        self.negotiation.rested = rested_waits;
    }

    /// Asks for as many sections as are lacking; for none more, if sections that now rest will do.
    fn ask_for_sections(&mut self) {
        let lacking = |kind| {
            self.carried.iter().filter(|it| it.mid.is_none() && it.kind == kind).count() as u32
        };
        let (audio, video) = (lacking(MediaKind::Audio), lacking(MediaKind::Video));
        if audio + video > 0 {
            self.negotiation.asked = true;
            let rested = self.negotiation.rested;
            let (audio, video) = if rested { (0, 0) } else { (audio, video) };
            self.events.push(PeerEvent::SectionsNeeded { audio, video });
        }
    }

    fn rewrite_answer(&self, answer: &str, roles: &[SectionRole]) -> String {
        let mut out = String::with_capacity(answer.len() + 256);
        for section in split(answer).unwrap_or_default() {
            match section.mid().and_then(|mid| self.rewriting(mid, roles)) {
                Some(rewriting) => section.write(&rewriting, &mut out),
                None => section.write_plain(&mut out),
            }
        }
        out
    }

    fn rewriting(&self, mid: &str, roles: &[SectionRole]) -> Option<Rewriting> {
        let role = roles.iter().find(|role| role.mid == mid)?;
        let wire = Mid::from(mid);
        if role.sends {
            let published = self.published.iter().find(|it| it.mid == Some(wire));
            let audio = published.map_or(AudioHints::default(), |it| it.audio);
            let codec = published.and_then(|it| it.codec);
            return Some(Rewriting::Publishes { audio, codec });
        }
        let carried = self.carried.iter().find(|it| it.mid == Some(wire));
        Some(carried.map_or(Rewriting::Spare, |it| Rewriting::Carries(it.label.clone())))
    }

    fn mids(&self) -> Vec<(String, String)> {
        self.carried
            .iter()
            .filter_map(|it| Some((it.mid?.to_string(), it.label.track.clone())))
            .collect()
    }

    /// A section that will carry another track does so from a new SSRC: numbers start anew. It is a
    /// new stream too: of one that was only given another SSRC (`reset_stream_tx`), str0m goes on
    /// looking for the old one in RTCP, and hears neither of lost packets nor of lost pictures.
    fn renew_stream(&mut self, mid: Mid) {
        let mut api = self.publisher.direct_api();
        let before = api.stream_tx_by_mid(mid, None).map(|it| (it.ssrc(), it.rtx().is_some()));
        let Some((old, has_rtx)) = before else { return };
        let (ssrc, rtx) = (api.new_ssrc(), api.new_ssrc());
        api.remove_stream_tx(old);
        api.declare_stream_tx(ssrc, has_rtx.then_some(rtx), mid, None);
    }
}

fn channel_config(channel: DataChannel) -> ChannelConfig {
    let (ordered, reliability) = match channel {
        DataChannel::Reliable => (true, Reliability::Reliable),
        DataChannel::Lossy | DataChannel::Track => {
            (false, Reliability::MaxRetransmits { retransmits: 0 })
        }
    };
    ChannelConfig { label: channel.label().into(), ordered, reliability, ..Default::default() }
}
