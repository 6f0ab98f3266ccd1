//! From bytes to [`Session`].
//!
//! Two steps: [`clean`] drops or mends every line that `sdp-types` would refuse the whole body for,
//! then its result is turned into our model.

use std::net::{IpAddr, SocketAddr};

use sdp_types::Attribute;
use types::{AudioCodec, IceCredentials, VideoCodec};

use crate::{
    crypto::Crypto,
    dtls::{Fingerprint, Setup},
    fmtp::{H264, Opus, Vp8},
    model::{
        Bandwidth, Codec, Content, Direction, Feedback, Format, Kind, Media, Params, Proto, Session,
    },
    sharing,
};

/// Bytes of a body at most; the largest seen of a real device is about 6,000.
pub const MAX_BODY: usize = 16 * 1024;
/// m-lines at most; the most seen is seven.
pub const MAX_MEDIA: usize = 32;
/// Payload types that are read of one m-line; those after them are passed over.
pub const MAX_FORMATS: usize = 64;
/// Crypto lines that are read of one m-line; the most seen is four.
const MAX_CRYPTO: usize = 16;
/// A longer attribute is no parameter of ours, and would be copied around.
const MAX_WORD: usize = 64;

/// Why a body is no session description that could be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// More than [`MAX_BODY`] bytes.
    #[error("session description of {0} bytes is too long")]
    TooLong(usize),
    /// It does not begin with `v=0`.
    #[error("session description does not begin with v=0")]
    NoVersion,
    /// More than [`MAX_MEDIA`] m-lines: an answer must repeat them all.
    #[error("session description has too many m-lines")]
    TooManyMedia,
    /// An m-line is unreadable; it cannot be skipped, as an answer must have as many.
    #[error("m-line in line {0} is unreadable")]
    BadMediaLine(usize),
    /// The cleaned text is still refused, at this of its lines.
    #[error("session description is malformed")]
    Malformed,
}

/// Reads a session description.
///
/// # Errors
/// [`ParseError`] where no meaning can be given to the whole. Damage within single lines other than
/// m-lines is read past.
pub fn parse(body: &[u8]) -> Result<Session, ParseError> {
    if body.len() > MAX_BODY {
        return Err(ParseError::TooLong(body.len()));
    }
    let clean = clean(body)?;
    let wire = sdp_types::Session::parse(&clean).map_err(|_| ParseError::Malformed)?;
    let connection = wire.connection.as_ref().and_then(unicast);
    let defaults = Defaults {
        connection,
        direction: direction(&wire.attributes).unwrap_or_default(),
        fingerprints: Fingerprint::all(&wire.attributes),
        setup: Setup::read(&wire.attributes),
        ice: has_ice(&wire.attributes),
        lite: has(&wire.attributes, "ice-lite"),
        ufrag: values(&wire.attributes, "ice-ufrag").next().map(str::to_owned),
        password: values(&wire.attributes, "ice-pwd").next().map(str::to_owned),
    };
    Ok(Session {
        id: wire.origin.sess_id.clone(),
        version: wire.origin.sess_version,
        connection,
        bandwidth: bandwidth(&wire.bandwidths),
        media: wire.medias.iter().map(|media| read_media(media, &defaults)).collect(),
    })
}

/// What the lines above the first m-line say for all.
struct Defaults {
    connection: Option<IpAddr>,
    direction: Direction,
    fingerprints: Vec<Fingerprint>,
    setup: Option<Setup>,
    ice: bool,
    lite: bool,
    ufrag: Option<String>,
    password: Option<String>,
}

/// Keeps the lines that matter (`v o c b m a`), each in a form that `sdp-types` takes. Its parser
/// gives up the whole body for one bad line; a call must not be lost to that.
fn clean(body: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut lines = body
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .enumerate()
        .filter(|(_, line)| !line.is_empty());
    if lines.next().is_none_or(|(_, line)| line.trim_ascii_end() != b"v=0") {
        return Err(ParseError::NoVersion);
    }
    let mut out = Vec::with_capacity(body.len() + 64);
    out.extend_from_slice(b"v=0\r\n");
    let (mut media, mut origin, mut connection) = (0_usize, false, false);
    for (index, line) in lines {
        let Some((&[key, b'='], value)) = line.split_first_chunk::<2>() else { continue };
        let value = std::str::from_utf8(value)
            .ok()
            .filter(|value| !value.contains(['\0', '\r']))
            .map(str::trim_end);
        let kept = match (key, value) {
            (b'm', value) => {
                media += 1;
                if media > MAX_MEDIA {
                    return Err(ParseError::TooManyMedia);
                }
                connection = false;
                Some(value.and_then(clean_media).ok_or(ParseError::BadMediaLine(index + 1))?)
            }
            (_, None) => None,
            (b'o', Some(value)) if media == 0 && !origin => {
                let kept = clean_origin(value);
                origin = kept.is_some();
                kept
            }
            (b'c', Some(value)) if !connection => {
                let kept = clean_connection(value);
                connection = kept.is_some();
                kept
            }
            (b'b', Some(value)) => clean_bandwidth(value),
            (b'a', Some(value)) if !value.is_empty() => Some(value.to_owned()),
            _ => None,
        };
        if let Some(kept) = kept {
            out.extend_from_slice(&[key, b'=']);
            out.extend_from_slice(kept.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    Ok(out)
}

/// A rejected line may lack its format; nothing else may be missing.
fn clean_media(value: &str) -> Option<String> {
    let mut words = value.split_ascii_whitespace();
    let (name, port, proto) = (words.next()?, words.next()?, words.next()?);
    if [name, port, proto].iter().any(|word| word.len() > MAX_WORD) {
        return None;
    }
    // The number of ports belongs to layered multicast.
    let port: u16 = port.split('/').next()?.parse().ok()?;
    let mut formats = words.collect::<Vec<_>>().join(" ");
    if formats.is_empty() {
        if port != 0 {
            return None;
        }
        formats.push('0');
    }
    Some(format!("{name} {port} {proto} {formats}"))
}

/// Nothing hangs on a peer's `o=` but its change, so that a version over 64 bits is clamped.
fn clean_origin(value: &str) -> Option<String> {
    let mut words = value.split_ascii_whitespace();
    let (user, id, version) = (words.next()?, words.next()?, words.next()?);
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let version: u64 = version.parse().unwrap_or(u64::MAX);
    Some(format!("{user} {id} {version} IN IP4 0.0.0.0"))
}

fn clean_connection(value: &str) -> Option<String> {
    let mut words = value.split_ascii_whitespace();
    let (net, kind, address) = (words.next()?, words.next()?, words.next()?);
    let known = net.eq_ignore_ascii_case("IN")
        && (kind.eq_ignore_ascii_case("IP4") || kind.eq_ignore_ascii_case("IP6"));
    known.then(|| format!("IN {} {address}", kind.to_ascii_uppercase()))
}

fn clean_bandwidth(value: &str) -> Option<String> {
    let (kind, limit) = value.split_once(':')?;
    let limit: u64 = limit.trim().parse().ok()?;
    Some(format!("{}:{limit}", kind.trim()))
}

/// Names are not resolved here, and a group, a broadcast or a link-local address would send media
/// where no peer is: without an address the media plane waits for the peer's first packet.
fn unicast(connection: &sdp_types::Connection) -> Option<IpAddr> {
    let text = connection.connection_address.split('/').next()?;
    reachable(text.parse().ok()?)
}

fn reachable(address: IpAddr) -> Option<IpAddr> {
    let stray = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (!stray && !address.is_multicast()).then_some(address)
}

pub(crate) fn values<'a>(
    attributes: &'a [Attribute],
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    attributes
        .iter()
        .filter(move |attribute| attribute.attribute.eq_ignore_ascii_case(name))
        .map(|attribute| attribute.value.as_deref().unwrap_or_default().trim())
}

pub(crate) fn has(attributes: &[Attribute], name: &str) -> bool {
    values(attributes, name).next().is_some()
}

fn has_ice(attributes: &[Attribute]) -> bool {
    ["ice-ufrag", "ice-pwd", "candidate"].into_iter().any(|name| has(attributes, name))
}

/// The line's credentials, or the session's for it (RFC 8839 section 5.4).
fn checks(attributes: &[Attribute], defaults: &Defaults) -> Option<IceCredentials> {
    let own = |name| values(attributes, name).next();
    let ufrag = own("ice-ufrag").or(defaults.ufrag.as_deref())?;
    let password = own("ice-pwd").or(defaults.password.as_deref())?;
    IceCredentials::read(ufrag, password).filter(|_| !defaults.lite)
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| Direction::read(&attribute.attribute))
}

fn bandwidth(lines: &[sdp_types::Bandwidth]) -> Bandwidth {
    let find = |kind: &str| {
        lines
            .iter()
            .find(|line| line.bwtype.eq_ignore_ascii_case(kind) && line.bandwidth != 0)
            .map(|line| line.bandwidth)
    };
    Bandwidth { tias: find("TIAS"), application: find("AS"), conference: find("CT") }
}

fn read_media(wire: &sdp_types::Media, defaults: &Defaults) -> Media {
    let attributes = wire.attributes.as_slice();
    let proto = Proto::read(&wire.proto);
    let formats = if proto == Proto::Other { Vec::new() } else { formats(wire) };
    let address = match wire.connections.first() {
        Some(own) => unicast(own),
        None => defaults.connection,
    };
    let rtcp_mux = has(attributes, "rtcp-mux");
    let number = |name| values(attributes, name).next().and_then(|value| value.parse().ok());
    let kind = kind(wire, &formats);
    Media {
        kind,
        bfcp: (kind == Kind::Bfcp).then(|| sharing::read(wire)),
        name: wire.media.clone(),
        port: wire.port,
        address,
        rtcp: rtcp(attributes, address, wire.port, rtcp_mux),
        rtcp_mux,
        proto,
        proto_text: wire.proto.clone(),
        first_format: wire.fmt.split(' ').next().unwrap_or("0").to_owned(),
        direction: direction(attributes).unwrap_or(defaults.direction),
        formats,
        bandwidth: bandwidth(&wire.bandwidths),
        crypto: values(attributes, "crypto").filter_map(Crypto::read).take(MAX_CRYPTO).collect(),
        encryption_optional: values(attributes, "encryption").any(|value| value == "optional"),
        label: values(attributes, "label")
            .next()
            .filter(|label| !label.is_empty() && label.len() <= MAX_WORD)
            .map(str::to_owned),
        ptime: number("ptime"),
        max_ptime: number("maxptime"),
        fingerprints: Some(Fingerprint::all(attributes))
            .filter(|own| !own.is_empty())
            .unwrap_or_else(|| defaults.fingerprints.clone()),
        setup: Setup::read(attributes).or(defaults.setup),
        ice: defaults.ice || has_ice(attributes),
        checks: checks(attributes, defaults),
    }
}

fn kind(wire: &sdp_types::Media, formats: &[Format]) -> Kind {
    let is = |name: &str| wire.media.eq_ignore_ascii_case(name);
    if is("audio") {
        Kind::Audio
    } else if is("video") {
        let slides = values(&wire.attributes, "content")
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case("slides"));
        Kind::Video(if slides { Content::Slides } else { Content::Main })
    } else if is("application") && wire.proto.to_ascii_uppercase().ends_with("/BFCP") {
        Kind::Bfcp
    } else if is("application") && formats.iter().any(|format| format.codec == Codec::H224) {
        Kind::Fecc
    } else {
        Kind::Other
    }
}

/// RFC 3605: a port, and perhaps an address of its own.
fn rtcp(
    attributes: &[Attribute],
    address: Option<IpAddr>,
    port: u16,
    mux: bool,
) -> Option<SocketAddr> {
    if port == 0 {
        return None;
    }
    let stated = values(attributes, "rtcp").next().filter(|_| !mux).and_then(|value| {
        let mut words = value.split_ascii_whitespace();
        let port = words.next()?.parse::<u16>().ok().filter(|&port| port != 0)?;
        let own = words.nth(2).and_then(|word| word.parse().ok());
        Some((own.or(address).and_then(reachable)?, port))
    });
    let (address, port) = match stated {
        Some(stated) => stated,
        None if mux => (address?, port),
        None => (address?, port.checked_add(1)?),
    };
    (!address.is_unspecified()).then(|| SocketAddr::new(address, port))
}

/// A format while its lines are gathered.
struct Draft {
    format: Format,
    mapped: bool,
    explained: bool,
}

/// The m-line's payload types, with what rtpmap, fmtp and rtcp-fb lines say of them in whatever
/// order they come. Where one payload type is mapped twice the first mapping wins, for fmtp as well.
fn formats(wire: &sdp_types::Media) -> Vec<Format> {
    let mut drafts: Vec<Draft> = Vec::new();
    let types = wire.fmt.split(' ').filter_map(|word| word.parse::<u8>().ok());
    for payload_type in types.filter(|&payload_type| payload_type < 128) {
        if drafts.len() < MAX_FORMATS && find(&mut drafts, payload_type).is_none() {
            let format = unmapped(payload_type);
            drafts.push(Draft { format, mapped: false, explained: false });
        }
    }
    for (payload_type, value) in addressed(&wire.attributes, "rtpmap") {
        if let Some(draft) = find(&mut drafts, payload_type).filter(|draft| !draft.mapped) {
            draft.mapped = map(&mut draft.format, value).is_some();
        }
    }
    for (payload_type, value) in addressed(&wire.attributes, "fmtp") {
        if let Some(draft) = find(&mut drafts, payload_type).filter(|draft| !draft.explained) {
            draft.explained = !value.is_empty();
            explain(&mut draft.format, value);
        }
    }
    let mut formats: Vec<Format> = drafts.into_iter().map(|draft| draft.format).collect();
    read_feedback(&mut formats, &wire.attributes);
    formats
}

fn find(drafts: &mut [Draft], payload_type: u8) -> Option<&mut Draft> {
    drafts.iter_mut().find(|draft| draft.format.payload_type == payload_type)
}

/// Values that begin with a payload type, and what follows it without leading spaces.
fn addressed<'a>(
    attributes: &'a [Attribute],
    name: &'a str,
) -> impl Iterator<Item = (u8, &'a str)> {
    values(attributes, name).filter_map(|value| {
        let (payload_type, rest) = value.split_once(' ').unwrap_or((value, ""));
        Some((payload_type.parse().ok()?, rest.trim()))
    })
}

/// The static types of RFC 3551 that we can do or must tell apart; others have no name.
fn unmapped(payload_type: u8) -> Format {
    let (name, clock) = match payload_type {
        0 => ("PCMU", 8_000),
        3 => ("GSM", 8_000),
        4 => ("G723", 8_000),
        8 => ("PCMA", 8_000),
        9 => ("G722", 8_000),
        13 => ("CN", 8_000),
        15 => ("G728", 8_000),
        18 => ("G729", 8_000),
        31 => ("H261", 90_000),
        34 => ("H263", 90_000),
        _ => ("", 0),
    };
    let mut format = Format {
        payload_type,
        name: name.to_owned(),
        clock,
        channels: 1,
        codec: Codec::Other,
        params: Params::None,
        feedback: Feedback::default(),
    };
    settle_codec(&mut format);
    format
}

/// Applies `name/clock[/channels]`.
fn map(format: &mut Format, value: &str) -> Option<()> {
    let mut parts = value.split('/');
    let name = parts.next().map(str::trim).filter(|name| !name.is_empty())?;
    if name.len() > MAX_WORD {
        return None;
    }
    let clock = parts.next()?.trim().parse().ok()?;
    let channels = parts.next().and_then(|text| text.trim().parse().ok()).unwrap_or(1);
    format.name = name.to_owned();
    format.clock = clock;
    format.channels = channels;
    settle_codec(format);
    Some(())
}

/// Finds the codec by name and clock, and gives it the parameters that an absent fmtp means.
fn settle_codec(format: &mut Format) {
    let name = format.name.to_ascii_lowercase();
    (format.codec, format.params) = match (name.as_str(), format.clock) {
        ("opus", 48_000) => (Codec::Audio(AudioCodec::Opus), Params::Opus(Opus::default())),
        // Some write the true sample rate, against RFC 3551.
        ("g722", 8_000 | 16_000) => (Codec::Audio(AudioCodec::G722), Params::None),
        ("pcma", 8_000) => (Codec::Audio(AudioCodec::Pcma), Params::None),
        ("pcmu", 8_000) => (Codec::Audio(AudioCodec::Pcmu), Params::None),
        ("telephone-event", 1..) => (Codec::TelephoneEvent, Params::None),
        ("h264", 90_000) => (Codec::Video(VideoCodec::H264), Params::H264(H264::default())),
        ("vp8", 90_000) => (Codec::Video(VideoCodec::Vp8), Params::Vp8(Vp8::default())),
        ("h224", _) => (Codec::H224, Params::None),
        _ => (Codec::Other, Params::None),
    };
}

impl Format {
    /// Gives a format without a name the codec that its payload type was offered for.
    pub(crate) fn name_as(&mut self, codec: Codec) {
        (self.name, self.clock) = match codec {
            Codec::Audio(AudioCodec::Opus) => ("opus".to_owned(), 48_000),
            Codec::Video(VideoCodec::H264) => ("H264".to_owned(), 90_000),
            Codec::Video(VideoCodec::Vp8) => ("VP8".to_owned(), 90_000),
            _ => return,
        };
        settle_codec(self);
    }
}

fn explain(format: &mut Format, value: &str) {
    match &mut format.params {
        Params::H264(params) => *params = H264::read(value),
        Params::Opus(params) => *params = Opus::read(value),
        Params::Vp8(params) => *params = Vp8::read(value),
        Params::None => {}
    }
}

/// `rtcp-fb:<type or *> <nack|ccm> <token>…`: several tokens in one line are each their own.
fn read_feedback(formats: &mut [Format], attributes: &[Attribute]) {
    for value in values(attributes, "rtcp-fb") {
        let mut words = value.split_ascii_whitespace();
        let (Some(target), Some(kind)) = (words.next(), words.next()) else { continue };
        let mut said = Feedback::default();
        let bare = words.clone().next().is_none();
        match kind {
            "nack" if bare => said.nack = true,
            "nack" => said.pli = words.any(|word| word == "pli"),
            "ccm" => words.for_each(|word| {
                said.fir |= word == "fir";
                said.tmmbr |= word == "tmmbr";
            }),
            _ => {}
        }
        let target = target.parse::<u8>().ok().or((target == "*").then_some(u8::MAX));
        for format in formats.iter_mut() {
            if target.is_some_and(|target| target == u8::MAX || target == format.payload_type) {
                format.feedback = format.feedback.or(said);
            }
        }
    }
}
