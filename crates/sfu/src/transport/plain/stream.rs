//! One stream of a leg: who may send on it, and what becomes of each datagram.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtp::lane::MediaPacket;
use rtp::packet::{Packet, is_rtcp};
use rtp::rtcp;
use rtp::srtp::{Srtp, SrtpError, Suite};
use types::MediaKind;

use super::dtls::{Association, HandshakeError, Made, is_dtls};
use super::egress::Egress;
use super::ice::is_stun;
use super::ingress::{Format, Ingress, Refusal, Taken};
use super::latch::Latch;
use super::pacer::{Pace, Pacer};
use super::reports::FIRST_REPORT;
use super::{Discarded, Event, LegPort, LegStream, Shared, SrtpKeys, StreamCounters};

/// An encoder that is asked for a key frame makes it within this time, or is taken for one that
/// makes none.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Sound or picture, both directions.
#[derive(Debug)]
pub struct Stream {
    pub kind: MediaKind,
    agreed: Option<LegStream>,
    pub rtp: Latch,
    pub rtcp: Latch,
    pub ciphers: Ciphers,
    /// Who makes the ciphers' keys, where the SDP has none.
    keying: Option<Association>,
    pub ingress: Ingress,
    pub egress: Egress,
    pub next_report: Instant,
    pub reported: u32,
    /// Key frames that the peer wants of us.
    pub wanted_of_us: Pacer,
    /// Key frames that we want of the peer.
    wanted_of_peer: Pacer,
    /// When it was first asked for the key frame that has not come yet.
    unanswered: Option<Instant>,
    pub fir_seq: u8,
    /// What it says of losses, and of limits.
    pub said: [Pace; 2],
    discarded: Discarded,
}

/// The SRTP contexts of both directions; without keys all is plain.
#[derive(Debug, Default)]
pub struct Ciphers {
    local: Cipher,
    remote: Cipher,
}

#[derive(Debug, Default)]
struct Cipher {
    context: Option<(Srtp, Suite, Vec<u8>)>,
}

impl Cipher {
    /// The cipher of other keys; `None` if they are the same.
    fn changed(&self, keys: Option<(Suite, &[u8])>) -> Result<Option<Self>, SrtpError> {
        let known = self.context.as_ref().map(|(_, suite, key)| (*suite, key.as_slice()));
        if known == keys {
            return Ok(None);
        }
        let context = keys
            .map(|(suite, key)| Ok((Srtp::new(suite, key)?, suite, key.to_vec())))
            .transpose()?;
        Ok(Some(Self { context }))
    }
}

/// The directions whose keys change.
#[derive(Debug, Default)]
pub struct ChangedCiphers {
    local: Option<Cipher>,
    remote: Option<Cipher>,
}

impl Ciphers {
    /// What changes of a stream's contexts under these keys.
    pub fn changed(
        stream: &Stream,
        agreed: Option<&LegStream>,
    ) -> Result<ChangedCiphers, SrtpError> {
        match agreed {
            // Those that there are stay until the handshake gives others.
            Some(LegStream { dtls: Some(_), .. }) => Ok(ChangedCiphers::default()),
            _ => stream.ciphers.changed_to(agreed.and_then(|it| it.srtp.as_ref())),
        }
    }

    fn changed_to(&self, keys: Option<&SrtpKeys>) -> Result<ChangedCiphers, SrtpError> {
        let Self { local, remote } = self;
        Ok(ChangedCiphers {
            local: local.changed(keys.map(|it| (it.suite, it.local.as_slice())))?,
            remote: remote.changed(keys.map(|it| (it.suite, it.remote.as_slice())))?,
        })
    }

    fn change(&mut self, changed: ChangedCiphers) {
        if let Some(local) = changed.local {
            self.local = local;
        }
        if let Some(remote) = changed.remote {
            self.remote = remote;
        }
    }

    pub fn protect_rtcp(&mut self, plain: Vec<u8>) -> Result<Vec<u8>, SrtpError> {
        match &mut self.local.context {
            Some((srtp, ..)) => srtp.protect_rtcp(&plain),
            None => Ok(plain),
        }
    }

    fn protect_rtp(&mut self, plain: Vec<u8>) -> Result<Vec<u8>, SrtpError> {
        match &mut self.local.context {
            Some((srtp, ..)) => srtp.protect_rtp(&plain),
            None => Ok(plain),
        }
    }

    fn unprotect_rtp<'a>(&mut self, sealed: &'a [u8]) -> Result<Cow<'a, [u8]>, SrtpError> {
        match &mut self.remote.context {
            Some((srtp, ..)) => srtp.unprotect_rtp(sealed).map(Cow::Owned),
            None => Ok(Cow::Borrowed(sealed)),
        }
    }

    fn unprotect_rtcp<'a>(&mut self, sealed: &'a [u8]) -> Result<Cow<'a, [u8]>, SrtpError> {
        match &mut self.remote.context {
            Some((srtp, ..)) => srtp.unprotect_rtcp(sealed).map(Cow::Owned),
            None => Ok(Cow::Borrowed(sealed)),
        }
    }
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Stranger,
    Forged,
    UnknownPayloadType,
    Malformed,
    Refused(Refusal),
}

impl From<SrtpError> for Reason {
    fn from(error: SrtpError) -> Self {
        match error {
            SrtpError::Short(_) => Self::Malformed,
            _ => Self::Forged,
        }
    }
}

impl Stream {
    pub fn new(kind: MediaKind, egress: Egress, now: Instant) -> Self {
        Self {
            kind,
            agreed: None,
            rtp: Latch::default(),
            rtcp: Latch::default(),
            ciphers: Ciphers::default(),
            keying: None,
            ingress: Ingress::new(kind),
            egress,
            next_report: now + FIRST_REPORT,
            reported: 0,
            wanted_of_us: Pacer::default(),
            wanted_of_peer: Pacer::default(),
            unanswered: None,
            fir_seq: 0,
            said: Default::default(),
            discarded: Discarded::default(),
        }
    }

    pub fn update(&mut self, agreed: Option<LegStream>, ciphers: ChangedCiphers, now: Instant) {
        self.ciphers.change(ciphers);
        self.keying = agreed.as_ref().and_then(|new| {
            let dtls = new.dtls.as_ref()?;
            // Where the peer does ICE its address is nothing that was agreed on.
            let told = new.remote_rtp.filter(|_| new.ice.is_none());
            let before = self.keying.take_if(|it| it.is_still(dtls, told));
            Some(before.unwrap_or_else(|| Association::new(dtls.clone(), told, now)))
        });
        let before = self.agreed.take();
        if let Some(new) = &agreed {
            self.rtp.tell(new.remote_rtp);
            self.rtp.check_by(new.ice.as_ref());
            self.rtcp.tell(new.remote_rtcp.filter(|_| !new.rtcp_mux));
            if before.as_ref().is_none_or(|old| old.codec != new.codec) {
                self.egress.change_codec(new.codec.clock_rate());
            } else if before.as_ref().is_some_and(|old| !old.send) {
                self.egress.resume();
            }
            // What came in band since is newer than what the same SDP told before.
            if before.as_ref().is_none_or(|old| old.parameter_sets != new.parameter_sets) {
                self.ingress.pictures.learn(&new.parameter_sets);
            }
        }
        if agreed.as_ref().is_none_or(|new| !new.receive) {
            self.wanted_of_peer.settle();
            self.unanswered = None;
        }
        if agreed.as_ref().is_none_or(|new| !new.send) {
            self.wanted_of_us.settle();
        }
        self.agreed = agreed;
    }

    /// Takes a datagram that came to one of the stream's ports. Whether it was the peer's.
    pub fn receive(
        &mut self,
        port: LegPort,
        source: SocketAddr,
        contents: &[u8],
        now: Instant,
        shared: &mut Shared,
    ) -> bool {
        let Some(agreed) = &self.agreed else {
            return self.discard(Reason::Stranger);
        };
        if !port.is_rtcp() && agreed.ice.is_some() && is_stun(contents) {
            let Some(answer) = self.rtp.answer(source, contents) else {
                return self.discard(Reason::Stranger);
            };
            return shared.push(Event::Transmit(port, source, answer));
        }
        if !port.is_rtcp() && self.keying.is_some() && is_dtls(contents) {
            return self.receive_handshake(source, contents, now, shared);
        }
        if !self.is_open() {
            return self.discard(Reason::Forged);
        }
        let taken = match (port.is_rtcp(), agreed.rtcp_mux) {
            (true, true) => Err(Reason::Stranger),
            (true, false) => self.receive_rtcp(false, source, contents, now, shared),
            (false, true) if is_rtcp(contents) => {
                self.receive_rtcp(true, source, contents, now, shared)
            }
            (false, _) => self.receive_rtp(source, contents, now, shared),
        };
        match taken {
            Ok(()) => true,
            Err(reason) => self.discard(reason),
        }
    }

    /// Takes a record of the handshake. Whether it was of somebody who may be the peer.
    fn receive_handshake(
        &mut self,
        source: SocketAddr,
        record: &[u8],
        now: Instant,
        shared: &mut Shared,
    ) -> bool {
        let trusted = self.rtp.vouches_for(source);
        let admitted = self.keying.as_mut().filter(|_| self.rtp.admits(source));
        match admitted.and_then(|it| it.receive(source, trusted, record, now)) {
            Some(made) => {
                self.take_keys(made, shared);
                true
            }
            None => self.discard(Reason::Stranger),
        }
    }

    fn take_keys(&mut self, made: Made, shared: &mut Shared) {
        for (destination, record) in made.transmits {
            shared.push(Event::Transmit(LegPort::rtp(self.kind), destination, record));
        }
        if let Some(reason) = made.failed {
            shared.push(Event::Unkeyed(reason));
        }
        let Some((keys, source)) = made.keys else { return };
        match self.ciphers.changed_to(Some(&keys)) {
            Ok(changed) => self.ciphers.change(changed),
            Err(error) => {
                tracing::error!(%error, "the keys of a handshake cannot be used");
                shared.push(Event::Unkeyed(HandshakeError::Failed));
                return;
            }
        }
        self.rtp.learn(source);
        // Whatever the encoder made before went nowhere.
        if self.kind == MediaKind::Video && self.agreed.as_ref().is_some_and(|it| it.send) {
            self.wanted_of_us.ask();
        }
    }

    /// Whether anything but a handshake may pass.
    pub fn is_open(&self) -> bool {
        self.keying.as_ref().is_none_or(Association::is_keyed)
    }

    fn receive_rtp(
        &mut self,
        source: SocketAddr,
        contents: &[u8],
        now: Instant,
        shared: &mut Shared,
    ) -> Result<(), Reason> {
        if !self.rtp.admits(source) {
            return Err(Reason::Stranger);
        }
        let sealed = Packet::parse_sealed(contents).map_err(|_| Reason::Malformed)?;
        let format = self.format(sealed.header.pt).ok_or(Reason::UnknownPayloadType)?;
        let plain = self.ciphers.unprotect_rtp(contents)?;
        let packet = Packet::parse(&plain).map_err(|_| Reason::Malformed)?;
        self.rtp.learn(source);
        if !self.receives() {
            // It is the peer's all the same.
            self.discard(Reason::Refused(Refusal::Unwanted));
            return Ok(());
        }
        match self.ingress.take(&packet, format, now, shared) {
            Ok(Taken { key, replaced }) => {
                if replaced && self.kind == MediaKind::Video {
                    self.wanted_of_peer.ask();
                }
                if key {
                    self.wanted_of_peer.settle();
                }
                if key || replaced {
                    self.unanswered = None;
                }
                if replaced {
                    self.hear(false, shared);
                }
                Ok(())
            }
            Err(refusal) => {
                self.discard(Reason::Refused(refusal));
                Ok(())
            }
        }
    }

    fn receive_rtcp(
        &mut self,
        muxed: bool,
        source: SocketAddr,
        contents: &[u8],
        now: Instant,
        shared: &mut Shared,
    ) -> Result<(), Reason> {
        let latch = if muxed { &mut self.rtp } else { &mut self.rtcp };
        if !latch.admits(source) {
            return Err(Reason::Stranger);
        }
        if !is_rtcp(contents) {
            return Err(Reason::Malformed);
        }
        let plain = self.ciphers.unprotect_rtcp(contents)?;
        let packets = rtcp::read(&plain).map_err(|_| Reason::Malformed)?;
        // With RTP too where they share a port: from a peer that only watches nothing else comes.
        latch.learn(source);
        self.take_reports(packets, now, shared);
        Ok(())
    }

    fn format(&self, pt: u8) -> Option<Format> {
        let agreed = self.agreed.as_ref()?;
        let media = agreed.receives.iter().find(|(it, _)| *it == pt);
        let media = media.filter(|(_, codec)| codec.kind() == self.kind);
        let tone = agreed.telephone_event.filter(|(it, _)| *it == pt);
        let tone = tone.filter(|_| self.kind == MediaKind::Audio);
        media.map(|(_, codec)| Format::Media(*codec)).or(tone.map(|(_, clock)| Format::Tone(clock)))
    }

    pub fn send(&mut self, packet: &MediaPacket, now: Instant, shared: &mut Shared) {
        let agreed = self.agreed.as_ref().filter(|it| it.send && self.is_open());
        let agreed = agreed.filter(|it| it.codec.number() == packet.format);
        let (Some(agreed), Some(destination)) = (agreed, self.rtp.destination()) else {
            self.egress.unsent += 1;
            return;
        };
        let Some(plain) = self.egress.write(packet, agreed.payload_type, now) else { return };
        match self.ciphers.protect_rtp(plain) {
            Ok(contents) => {
                shared.push(Event::Transmit(LegPort::rtp(self.kind), destination, contents));
            }
            Err(error) => tracing::debug!(%error, "a packet cannot be sent"),
        }
    }

    pub fn restart_egress(&mut self) {
        self.egress.restart();
    }

    pub fn want_key_frame(&mut self) {
        if self.receives() {
            self.wanted_of_peer.ask();
        }
    }

    pub fn handle_timeout(&mut self, now: Instant, shared: &mut Shared) {
        if let Some(keying) = &mut self.keying {
            let made = keying.handle_timeout(self.rtp.destination(), now);
            self.take_keys(made, shared);
        }
        if self.wanted_of_us.take(now) {
            shared.push(Event::KeyFrameWanted);
        }
        if self.can_ask() && self.wanted_of_peer.take(now) {
            self.ask_for_key_frame(now, shared);
            self.unanswered.get_or_insert(now);
        }
        if self.unanswered.is_some_and(|asked| now >= asked + ANSWERS_WITHIN) {
            // Who sends nothing at all is not deaf.
            let asked = self.unanswered.take();
            if self.kind == MediaKind::Video && self.ingress.newest() > asked {
                self.hear(true, shared);
            }
        }
        self.report_if_due(now, shared);
    }

    /// When to call [`Stream::handle_timeout`] next.
    pub fn timeout(&self) -> Option<Instant> {
        let report = self.is_agreed().then_some(self.next_report);
        let asked = if self.can_ask() { self.wanted_of_peer.next() } else { None };
        let unanswered = self.unanswered.map(|asked| asked + ANSWERS_WITHIN);
        let keying = self.keying.as_ref().and_then(Association::timeout);
        [report, asked, unanswered, self.wanted_of_us.next(), keying].into_iter().flatten().min()
    }

    fn hear(&mut self, deaf: bool, shared: &mut Shared) {
        if let Some(yes) = self.ingress.pictures.set_deaf(deaf) {
            shared.push(Event::Forwardable(yes));
        }
    }

    pub fn agreed(&self) -> Option<&LegStream> {
        self.agreed.as_ref()
    }

    pub fn is_agreed(&self) -> bool {
        self.agreed.is_some()
    }

    pub fn receives(&self) -> bool {
        self.agreed.as_ref().is_some_and(|it| it.receive)
    }

    /// Whether RTCP cannot ask for key frames.
    pub fn by_signalling(&self) -> bool {
        let agreed = self.agreed.as_ref().is_some_and(|it| it.pli || it.fir);
        !agreed || self.rtcp_path().is_none()
    }

    pub fn counters(&self) -> StreamCounters {
        StreamCounters {
            received: self.ingress.received(),
            lost: self.ingress.lost(),
            received_bytes: self.ingress.received_bytes(),
            jitter: self.ingress.jitter(),
            sent: self.egress.sent,
            sent_bytes: self.egress.sent_bytes,
            unsent: self.egress.unsent,
            remote_loss: self.egress.stats.loss(),
            remote_lost: self.egress.remote_lost,
            rtt: self.egress.stats.rtt(),
            discarded: self.discarded,
        }
    }

    /// A request by RTCP names the peer's source: it waits until that is known.
    fn can_ask(&self) -> bool {
        self.receives() && self.is_open() && (self.by_signalling() || self.ingress.ssrc().is_some())
    }

    /// Counts a datagram that was dropped. Always `false`: it was not the peer's.
    fn discard(&mut self, reason: Reason) -> bool {
        let Discarded { stranger, forged, unknown_payload_type, malformed, unwanted, overflow } =
            &mut self.discarded;
        let counter = match reason {
            Reason::Stranger => stranger,
            Reason::Forged => forged,
            Reason::UnknownPayloadType => unknown_payload_type,
            Reason::Malformed => malformed,
            Reason::Refused(Refusal::Unwanted) => unwanted,
            Reason::Refused(Refusal::Overflow) => overflow,
        };
        *counter += 1;
        false
    }
}
