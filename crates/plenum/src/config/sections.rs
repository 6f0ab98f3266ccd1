//! The sections of `plenum.toml`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use conference::access::{DialPattern, MeetingSettings, Pin};
use fetch::Address;
use gateway::{Code, Codes, CodesError, Control};
use types::LegLayout;

use super::section::section;
use super::setting::{
    GuestRole, Listen, LogFilter, LogFormat, OutboundProxy, PictureSize, Right, Secret, Srtp,
};

const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn dial_loopback() -> Vec<DialPattern> {
    ["127.0.0.0/8", "::1", "localhost"].iter().filter_map(|text| text.parse().ok()).collect()
}

fn keys(code: &str) -> Code {
    Code::Keys(code.to_owned())
}

section! {
    /// Everything that Plenum writes down.
    ["data"] pub struct Data {
        /// The folder of all data: the database, the server's own key in `secret.key` (keep a copy
        /// beside your backups: without it nobody can sign in), the local authority's certificates
        /// in `authority/`.
        dir: PathBuf = PathBuf::from("/var/lib/plenum"), dev PathBuf::from("data");
        /// The database: SQLite in the data folder if left out, another file of SQLite, or
        /// PostgreSQL.
        database: Option<Secret> = None, example "postgres://plenum:password@127.0.0.1/plenum";
        /// A file that holds the database's address, since that has a password in it.
        database_file: Option<PathBuf> = None, example "/run/secrets/plenum-database";
    }
}

section! {
    /// The page, the API and the browsers' signalling.
    ["http"] pub struct Http {
        /// Where HTTP listens. Where HTTPS does, HTTP only points there, but for health, metrics
        /// and the local authority's root certificate.
        listen: SocketAddr = everywhere(7880), dev loopback(7880);
        /// Where HTTPS listens, or "off", as behind a proxy that does TLS. Browsers give a camera
        /// to pages over HTTPS (or on localhost) only.
        tls_listen: Listen = Listen::At(everywhere(7443)), dev Listen::Off;
        /// How people reach this server: what invitations name. Left out, it is what whoever asks for
        /// an invitation has in the address bar.
        public_url: Option<Address> = None, example "https://meet.example.org";
        /// The certificate for HTTPS and SIP over TLS, PEM, with its chain. It is read anew on
        /// SIGHUP. Left out, a local authority issues one: browsers then need its root certificate,
        /// from /authority.pem or as `plenum authority` prints it.
        certificate: Option<PathBuf> = None, example "/etc/plenum/certificate.pem";
        /// The certificate's private key, PEM.
        private_key: Option<PathBuf> = None, example "/etc/plenum/private-key.pem";
    }
}

section! {
    /// Forwarding of media.
    ["sfu"] pub struct Sfu {
        /// The first UDP port for WebRTC; each shard takes one, counting up.
        udp_port: u16 [1..=65535] = 7882;
        /// Threads that forward, each with a port of its own; 0: one for each core.
        shards: u16 [0..=64] = 0;
        /// The TCP port for WebRTC where UDP does not pass; 0: none.
        tcp_port: u16 [0..=65535] = 7881;
        /// The addresses under which browsers and room systems reach this server. May be left out
        /// where a listener above or below has an address of its own instead of a wildcard. The only
        /// one, if this machine has it, is also where UDP ports for media are.
        announced_addresses: Vec<IpAddr> = Vec::new(),
            dev vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], example "[\"203.0.113.10\"]";
    }
}

impl Sfu {
    /// How many threads forward on this machine.
    pub fn shard_count(&self) -> usize {
        match self.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => usize::from(count),
        }
    }
}

section! {
    /// Room systems and phones over SIP.
    ["sip"] pub struct Sip {
        /// Where SIP over UDP listens, or "off".
        udp_listen: Listen = Listen::At(everywhere(5060)), dev Listen::At(loopback(5060));
        /// Where SIP over TCP listens, or "off".
        tcp_listen: Listen = Listen::At(everywhere(5060)), dev Listen::At(loopback(5060));
        /// Where SIP over TLS listens, or "off".
        tls_listen: Listen = Listen::At(everywhere(5061)), dev Listen::At(loopback(5061));
        /// Certificates to trust in calls over TLS, PEM, beside the system's and the local
        /// authority.
        ca_file: Option<PathBuf> = None, example "/etc/plenum/room-systems.pem";
        /// Which name servers are asked where a server of a name is (NAPTR, SRV, addresses), each with
        /// its port; the system's while this is empty.
        name_servers: Vec<SocketAddr> = Vec::new(), example "[\"10.0.0.53:53\"]";
        /// Which addresses may be dialled: a host or `user@host`. The host is a name, "*.name" for
        /// what is below it, an IP address, a network or "*"; the user may begin or end with "*".
        /// While this is empty only registered room systems are called, and what dial rules let be.
        allow_dial: Vec<DialPattern> = Vec::new(), dev dial_loopback(),
            example "[\"10.20.0.0/16\", \"*.rooms.example.org\", \"8*@pbx.example.org\"]";
        /// The proxy over which `allow_dial`'s addresses are called: a host, "host:port", or
        /// "sip:host;transport=tcp" ("tls").
        outbound_proxy: Option<OutboundProxy> = None, example "sip:proxy.example.org;transport=tcp";
        /// Whether room systems and trunks may hand calls on: have somebody else called into their
        /// meeting (REFER), take another call's place (Replaces), and name whom to call instead (3xx).
        /// Only who may be called by `allow_dial` and the dial rules is.
        transfers: bool = false;
        /// Whether a room system that dials the server's address alone is asked for a meeting's number.
        reception: bool = true;
        /// Whether hosts steer the cameras of room systems that offer it (H.224, H.281).
        cameras: bool = true;
        /// "allowed": media is encrypted where the room system can; "required": calls without
        /// encryption are refused. Its keys are in the SDP or made by DTLS, as the room system offers.
        srtp: Srtp = Srtp::Allowed;
        /// Whether media keys in the SDP may be offered and taken over UDP and TCP, where anybody on
        /// the way can read them. Keys by DTLS are taken over these as well.
        keys_over_cleartext: bool = false, dev true;
        /// How others are arranged in the picture of a room system where its meeting does not say:
        /// "grid", all alike, or "speaker", a shared screen or whoever speaks large above a strip.
        layout: LegLayout = LegLayout::Grid;
        /// The largest picture that room systems are sent, and asked to send. One core composes and
        /// encodes the default with ease; 1920x1080 costs twice as much.
        picture_size: PictureSize = PictureSize { width: 1280, height: 720 };
        /// Pictures a second at most.
        picture_fps: u16 [5..=60] = 30;
        /// Bits a second of a picture at most, each way.
        picture_bitrate: u32 [64_000..=20_000_000] = 2_000_000;
    }
}

section! {
    /// Codes that are dialled on the remote control of a room system in a meeting, each confirmed on its
    /// screen: 2 to 6 keys that begin with * or #, none of them the beginning of another; or "off".
    ["remote_control"] pub struct RemoteControl {
        /// Mutes the room system's own microphone, or lifts that.
        mute: Code = keys("*6");
        /// Mutes everybody but hosts. For room systems that came in by the host's PIN, as `lock` and
        /// `end`.
        mute_guests: Code = keys("*5");
        /// Raises or lowers a hand.
        hand: Code = keys("*3");
        /// Locks the meeting, or opens it.
        lock: Code = keys("*7");
        /// Arranges others in this room system's picture in the next way.
        layout: Code = keys("*8");
        /// Shows shared screens in this room system's picture, or does no more.
        content: Code = keys("*4");
        /// Ends the meeting for all.
        end: Code = keys("##");
    }
}

impl RemoteControl {
    /// All codes.
    pub fn codes(&self) -> Result<Codes, CodesError> {
        let Self { mute, mute_guests, hand, lock, layout, content, end } = self.clone();
        Codes::new([
            (Control::Mute, mute),
            (Control::MuteGuests, mute_guests),
            (Control::Hand, hand),
            (Control::Lock, lock),
            (Control::Layout, layout),
            (Control::Content, content),
            (Control::End, end),
        ])
    }
}

section! {
    /// Ports for the media of room systems.
    ["rtp"] pub struct Rtp {
        /// The first UDP port.
        port_min: u16 [1024..=65535] = 20000;
        /// The last UDP port. A call takes four, and four more with content of a second picture.
        port_max: u16 [1024..=65535] = 29999;
    }
}

section! {
    /// LiveKit's webhooks: what happens in meetings, told to other programs.
    ["webhook"] pub struct Webhook {
        /// Where they are sent, over HTTP or HTTPS. Redirects are not followed. What is not taken is
        /// sent again for a minute.
        urls: Vec<Address> = Vec::new(), example "[\"https://portal.example.org/hooks/plenum\"]";
        /// The id of the [[key]] that signs them; receivers check it with the same secret.
        key: Option<String> = None, dev Some("devkey".to_owned()), example "conference-portal";
        /// Certificates to trust beside the system's, PEM.
        ca_file: Option<PathBuf> = None, example "/etc/plenum/portal.pem";
    }
}

section! {
    /// What is kept of past meetings.
    ["history"] pub struct History {
        /// Days for which meetings, participants and calls are kept after their end.
        days: u16 [1..=36_500] = 365;
        /// Days for which the figures of participants' networks are kept, one row for each
        /// participant every ten seconds.
        figures_days: u16 [1..=36_500] = 30;
        /// Days for which the SIP messages of calls are kept after their end, without passwords,
        /// media keys and PINs.
        ladder_days: u16 [1..=36_500] = 14;
    }
}

section! {
    /// The log, on standard error.
    ["log"] pub struct Log {
        /// A level (error, warn, info, debug, trace), or levels for single parts between commas.
        filter: LogFilter = LogFilter("info".to_owned()), example "\"info,gateway=debug\"";
        /// "text" for people, "json" for machines.
        format: LogFormat = LogFormat::Text;
    }
}

section! {
    /// A key of an application: whoever knows its secret can make tokens for any meeting and use
    /// LiveKit's server API. Repeat the section for each.
    ["key"] pub struct KeyEntry {
        /// The id, which stands in every token.
        id: String = String::new(), example "conference-portal";
        /// The secret, at least 32 characters; better kept in a file.
        secret: Option<Secret> = None, example "generate-32-or-more-random-characters";
        /// A file that holds the secret.
        secret_file: Option<PathBuf> = None, example "/run/secrets/plenum-key";
        /// What its tokens may grant beyond rights over a meeting that exists: "create_rooms",
        /// "sip_call".
        rights: Vec<Right> = Vec::new(), example "[\"create_rooms\", \"sip_call\"]";
    }
}

section! {
    /// TLS towards one host that calls of ours go to, a trunk's above all, instead of what [sip] says.
    /// Repeat the section for each. Its files are read at the start.
    ["sip_tls"] pub struct SipTls {
        /// The host as the trunk names it: its certificate has to be for this name.
        host: String = String::new(), example "pbx.example.org";
        /// Certificates to trust there, PEM, and no others; as in [sip] if left out.
        ca_file: Option<PathBuf> = None, example "/etc/plenum/pbx-ca.pem";
        /// The certificate that it is shown where it asks for one, PEM; the server's own if left out.
        certificate: Option<PathBuf> = None, example "/etc/plenum/for-pbx.pem";
        /// Its private key, PEM.
        private_key: Option<PathBuf> = None, example "/etc/plenum/for-pbx.key";
    }
}

section! {
    /// A meeting. Repeat the section for each.
    ["meeting"] pub struct MeetingEntry {
        /// What people type and room systems dial: letters, digits, '-', '_' and '.'.
        id: String = String::new(), example "board";
        /// What people read; the id if left out.
        name: Option<String> = None, example "Board meeting";
        /// 4 to 10 digits that guests are asked for; left out, everybody may come in.
        guest_pin: Option<Pin> = None, example "1234";
        /// 4 to 10 digits that make a host; left out, nobody becomes one by PIN.
        host_pin: Option<Pin> = None, example "987654";
        /// Whether room systems may dial in.
        room_systems: bool = true;
        /// How others are arranged in room systems' pictures: "grid" or "speaker"; as [sip] says if
        /// left out.
        layout: Option<LegLayout> = None, example "speaker";
        /// Participants at a time, of every kind.
        max_participants: u32 [1..=10_000] = MeetingSettings::DEFAULT_MAX_PARTICIPANTS;
        /// Kilobits a second that each participant may send, and is sent, of which 64 are kept for
        /// sound; 0: as everywhere else.
        kbps: u32 [0..=100_000] = 0;
        /// Whether media are encrypted between the participants, with a key that the server never
        /// sees; `room_systems` must be false then.
        e2ee: bool = false;
        /// Whether people and room systems wait until a host lets them in; hosts come in at once.
        lobby: bool = false;
        /// Whether the microphones of those who come in are muted.
        mute_on_entry: bool = false;
        /// What guests are: "presenter", who may share a screen, or "attendee", who may not.
        guests: GuestRole = GuestRole::Presenter;
        /// Whether attendees only listen: no camera, no microphone.
        attendees_listen: bool = false;
    }
}
