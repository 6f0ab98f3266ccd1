//! Content sharing: floor control (RFC 8856) and the second picture (RFC 4796) of a call.
//!
//! Both lines are agreed on together or not at all: without the floor nobody knows when the second
//! picture is for what, without the picture the floor is for nothing. But some devices (Polycom's)
//! offer the floor alone, and take the second picture when it is offered to them afterwards.

use std::net::SocketAddr;

use sdp_types::Attribute;
use types::Fingerprints;

use crate::{
    dtls,
    local::{LocalFloor, LocalMedia},
    model::{Content, Kind, Media, Session},
    negotiate::pick_video,
    negotiated::{Rejection, Shape, VideoStream},
    parse::{has, values},
    write,
};

/// Label of our second picture, as the Cisco and TANDBERG devices have it.
pub(crate) const LABEL: &str = "12";

/// By what floor control travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FloorTransport {
    /// Datagrams.
    Udp,
    /// A connection, which we open or wait for (RFC 4145).
    Tcp {
        /// We open it, and begin the handshake.
        active: bool,
        /// Over TLS, in which both show a certificate, and the peer one that is known by these.
        tls: Option<Fingerprints>,
    },
}

/// By what an m-line for BFCP has it travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BfcpProto {
    /// `UDP/BFCP`.
    Udp,
    /// `TCP/BFCP`.
    Tcp,
    /// `TCP/TLS/BFCP`.
    Tls,
    /// DTLS, which we do not do, and whatever else.
    Other,
}

/// Who may be the floor control server, as an m-line's writer says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloorRoles {
    /// `c-only` or `c-s`.
    pub client: bool,
    /// `s-only` or `c-s`.
    pub server: bool,
}

/// What an m-line for BFCP says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bfcp {
    /// By what it travels.
    pub proto: BfcpProto,
    /// `a=floorctrl`.
    pub roles: FloorRoles,
    /// `a=confid`.
    pub conference: Option<u32>,
    /// `a=userid`.
    pub user: Option<u16>,
    /// The first `a=floorid`.
    pub floor: Option<u16>,
    /// `a=setup` (RFC 4145): the writer opens the connection, waits for it.
    pub setup: (bool, bool),
    /// `a=connection:existing`.
    pub existing: bool,
}

/// Agreed content sharing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// The second picture.
    pub video: VideoStream,
    /// Floor control.
    pub floor: Floor,
}

/// Agreed floor control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Index of the m-line.
    pub line: usize,
    /// By what it travels.
    pub transport: FloorTransport,
    /// The peer's address; `None` where it gave none that can be sent to.
    pub remote: Option<SocketAddr>,
    /// We are the floor control server; otherwise the peer is.
    pub server: bool,
    /// The conference.
    pub conference: u32,
    /// The client's user.
    pub user: u16,
    /// The floor.
    pub floor: u16,
}

impl Sharing {
    /// Both, or nothing.
    pub(crate) fn of(video: Option<VideoStream>, floor: Option<Floor>) -> Option<Self> {
        Some(Self { video: video?, floor: floor? })
    }
}

/// The floor that we offer and give out: a call has one.
const OUR_FLOOR: u16 = 1;

/// Reads the attributes of an m-line for BFCP.
pub(crate) fn read(wire: &sdp_types::Media) -> Bfcp {
    let attributes = wire.attributes.as_slice();
    let first = |name| values(attributes, name).next();
    let proto = match wire.proto.to_ascii_uppercase().as_str() {
        "UDP/BFCP" => BfcpProto::Udp,
        "TCP/BFCP" => BfcpProto::Tcp,
        "TCP/TLS/BFCP" => BfcpProto::Tls,
        _ => BfcpProto::Other,
    };
    // Several roles may stand in one line; none at all is a client's offer.
    let roles = first("floorctrl").unwrap_or("c-only");
    let is = |word: &str| roles.split_ascii_whitespace().any(|it| it.eq_ignore_ascii_case(word));
    let both = is("c-s");
    let setup = match first("setup").unwrap_or_default() {
        "active" => (true, false),
        "passive" => (false, true),
        "holdconn" => (false, false),
        // Who says nothing over TCP leaves it to us.
        _ => (true, true),
    };
    Bfcp {
        proto,
        roles: FloorRoles { client: both || is("c-only"), server: both || is("s-only") },
        conference: first("confid").and_then(|it| it.parse().ok()),
        user: first("userid").and_then(|it| it.parse().ok()),
        // `1 mstrm:3`, `1 m-stream:3`, or the number alone.
        floor: first("floorid").and_then(|it| it.split_ascii_whitespace().next()?.parse().ok()),
        setup,
        existing: has(attributes, "connection") && first("connection") == Some("existing"),
    }
}

/// The lines of an offer that carry floor control and slides, where both can be had; or the floor
/// alone, where the offer has nothing that may be meant for slides.
pub(crate) fn find(offer: &Session, local: &LocalMedia) -> Option<(usize, Option<usize>)> {
    let sharing = local.sharing.as_ref()?;
    let open = |kind: Kind| {
        let lines = offer.media.iter().enumerate();
        lines.filter(move |(_, it)| it.kind == kind && it.port != 0)
    };
    let (floor, _) =
        open(Kind::Bfcp).find(|(index, line)| agree(*index, line, &sharing.floor).is_ok())?;
    let slides = open(Kind::Video(Content::Slides)).find(|(_, line)| {
        pick_video(&line.formats, &sharing.video.codecs).is_some()
            && crate::negotiate::protect(line, &local.srtp).is_ok()
    });
    if let Some((slides, _)) = slides {
        return Some((floor, Some(slides)));
    }
    let may_mean = |it: &Media| matches!(it.kind, Kind::Video(Content::Slides) | Kind::Other);
    let people = open(Kind::Video(Content::Main)).next().is_some() && local.video.is_some();
    (people && !offer.media.iter().any(may_mean)).then_some((floor, None))
}

/// What the answer to our line comes to: what was agreed on before stays.
pub(crate) fn complete(
    line: usize,
    peer: &Media,
    before: Option<Floor>,
    ours: &LocalFloor,
) -> Result<Floor, Rejection> {
    let now = agree(line, peer, ours)?;
    let Some(before) = before else {
        // We offered datagrams.
        return Some(now)
            .filter(|it| it.transport == FloorTransport::Udp)
            .ok_or(Rejection::NotOurs);
    };
    let transport = match (before.transport, now.transport) {
        // Who began goes on so; its certificate may be another one.
        (FloorTransport::Tcp { active, tls: before }, FloorTransport::Tcp { tls: now, .. })
            if before.is_some() == now.is_some() =>
        {
            FloorTransport::Tcp { active, tls: now }
        }
        (FloorTransport::Udp, FloorTransport::Udp) => FloorTransport::Udp,
        _ => return Err(Rejection::NotOurs),
    };
    Ok(Floor { transport, remote: now.remote, ..before })
}

/// What a peer's line comes to.
pub(crate) fn agree(line: usize, peer: &Media, ours: &LocalFloor) -> Result<Floor, Rejection> {
    let said = peer.bfcp.as_ref().ok_or(Rejection::NotOurs)?;
    let tls = match said.proto {
        BfcpProto::Tls if ours.fingerprint.is_none() => return Err(Rejection::NotOurs),
        BfcpProto::Tls => Some(dtls::strongest(peer).ok_or(Rejection::NoFingerprint)?),
        _ => None,
    };
    let transport = match (said.proto, said.setup) {
        (BfcpProto::Udp, _) => FloorTransport::Udp,
        (BfcpProto::Other, _) | (_, (false, false)) => return Err(Rejection::NotOurs),
        // Whoever is called is found: we wait wherever the peer may open the connection.
        (_, (theirs, _)) => FloorTransport::Tcp { active: !theirs, tls },
    };
    let server = said.roles.client;
    let (conference, user, floor) = if server {
        (ours.conference, ours.user, OUR_FLOOR)
    } else if said.roles.server {
        let missing = Rejection::NotOurs;
        let conference = said.conference.ok_or(missing)?;
        (conference, said.user.ok_or(missing)?, said.floor.ok_or(missing)?)
    } else {
        return Err(Rejection::NotOurs);
    };
    let address = peer.address.filter(|it| !it.is_unspecified());
    let remote = address.map(|it| SocketAddr::new(it, peer.port));
    Ok(Floor { line, transport, remote, server, conference, user, floor })
}

/// Our line. `agreed`: what it answers, or repeats; `None` offers both roles over UDP.
pub(crate) fn line(
    shape: &Shape,
    agreed: Option<&Floor>,
    existing: bool,
    ours: &LocalFloor,
) -> sdp_types::Media {
    let transport = agreed.map_or(&FloorTransport::Udp, |it| &it.transport);
    // Nobody connects to who opens the connection itself: the discard port (RFC 4145 section 4).
    let port = match transport {
        FloorTransport::Udp => ours.udp,
        FloorTransport::Tcp { active: false, .. } => ours.tcp,
        FloorTransport::Tcp { active: true, .. } => 9,
    };
    let mut media = write::bare(&shape.name, port, &shape.proto, shape.format.clone());
    let mut put = |name: &str, value: &str| {
        media.attributes.push(Attribute::with_value(name, value));
    };
    put(
        "floorctrl",
        match agreed {
            None => "c-s",
            Some(Floor { server: true, .. }) => "s-only",
            Some(_) => "c-only",
        },
    );
    if agreed.is_none_or(|it| it.server) {
        put("confid", &ours.conference.to_string());
        put("userid", &ours.user.to_string());
        put("floorid", &format!("{OUR_FLOOR} mstrm:{LABEL}"));
    }
    if let FloorTransport::Tcp { active, tls } = transport {
        put("setup", if *active { "active" } else { "passive" });
        put("connection", if existing && !ours.fresh { "existing" } else { "new" });
        if let (Some(_), Some(own)) = (tls, &ours.fingerprint) {
            put("fingerprint", own);
        }
    }
    media
}

/// The outside of the line that we offer.
pub(crate) fn shape() -> Shape {
    Shape {
        name: "application".to_owned(),
        proto: "UDP/BFCP".to_owned(),
        format: "*".to_owned(),
        main: false,
    }
}
