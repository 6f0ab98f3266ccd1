//! A gateway with a conference behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use conference::access::{Directory, MeetingSettings};
use conference::kept::Keeper;
use conference::store::Kind;
use conference::{CameraOrder, CameraRefusal, Conference, Dialler, MeetingSnapshot};
use gateway::sip::{TlsConfig, Transport};
use gateway::{Codes, Control, Gateway, GatewayConfig, MediaRules};
use mcu::{Mcu, McuConfig};
use room::{Act, Actor, Command};
use sdp::{SrtpPolicy, VideoCap};
use sfu::driver::{PortRange, ShardConfig};
use types::{Identity, LegLayout, MeetingId, TrackSource};

use crate::bridge::{PATIENCE, SDP, config, loopback};
use crate::kept::keeper;
use crate::raw::Peer;

/// What is dialled on remote controls.
fn codes() -> Codes {
    let codes = [
        (Control::Mute, "*6"),
        (Control::MuteGuests, "*5"),
        (Control::Hand, "*3"),
        (Control::Lock, "*7"),
        (Control::Layout, "*8"),
        (Control::Content, "*4"),
        (Control::End, "##"),
    ];
    Codes::new(codes.map(|(control, keys)| (control, keys.parse().unwrap()))).unwrap()
}

/// Where its media are, whatever it announces: nobody else's are there.
pub const MEDIA: Ipv4Addr = Ipv4Addr::new(127, 45, 0, 1);

/// A gateway with one meeting, `board`.
pub struct House {
    pub gateway: Gateway,
    conference: Conference,
    meeting: MeetingId,
}

impl House {
    /// With the meeting as it is changed here.
    pub async fn with(change: impl FnOnce(&mut MeetingSettings)) -> Self {
        Self::start(change, None, |_| {}).await
    }

    /// With these trunks and dial rules, each with its id and its body.
    pub async fn keeping(records: &[(Kind, &str, String)]) -> Self {
        Self::asking(records, Vec::new()).await
    }

    /// The same, where calls may be handed on, and made to this machine.
    pub async fn handing_on() -> Self {
        Self::configured(|config| {
            config.sip.transfers = true;
            config.allow_dial = vec!["127.0.0.1".parse().unwrap()];
        })
        .await
    }

    /// With these trunks, to whose registrars something is sent all the time.
    pub async fn keeping_open(records: &[(Kind, &str, String)]) -> Self {
        let often = |config: &mut GatewayConfig| {
            config.sip.limits.keep_alive = Duration::from_millis(50);
        };
        Self::start(|_| {}, Some(keeper(records)), often).await
    }

    /// With these records, over TLS as well, where these certificates are trusted.
    pub async fn trusting(records: &[(Kind, &str, String)], certificates: TlsConfig) -> Self {
        let over_tls = |config: &mut GatewayConfig| {
            config.sip.certificates = Some(certificates);
            config.sip.tls = vec![loopback()];
        };
        Self::start(|_| {}, Some(keeper(records)), over_tls).await
    }

    /// With these trunks and dial rules, and so many calls at once.
    pub async fn holding(records: &[(Kind, &str, String)], calls: usize) -> Self {
        Self::start(|_| {}, Some(keeper(records)), |config| config.sip.limits.calls = calls).await
    }

    /// With this configuration.
    pub async fn configured(configure: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::start(|_| {}, Some(keeper(&[])), configure).await
    }

    /// The same, and these name servers.
    pub async fn asking(records: &[(Kind, &str, String)], name_servers: Vec<SocketAddr>) -> Self {
        let ask = |config: &mut GatewayConfig| config.sip.name_servers = name_servers;
        Self::start(|_| {}, Some(keeper(records)), ask).await
    }

    async fn start(
        change: impl FnOnce(&mut MeetingSettings),
        keeper: Option<Keeper>,
        configure: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        sfu::transport::webrtc::init_crypto();
        let shard = sfu::driver::start(&ShardConfig {
            index: 0,
            listen: loopback(),
            announced: Vec::new(),
            tcp: Vec::new(),
        });
        let mcu = Mcu::start(McuConfig { video_workers: Some(1) }).unwrap();
        let meeting = MeetingId::parse("board").unwrap();
        let mut settings = MeetingSettings::open(meeting.clone());
        change(&mut settings);
        let meeting = settings.id.clone();
        let directory = Arc::new(Directory::new([settings], false));
        let ports = PortRange::new(MEDIA.into(), 29_000, 29_900);
        let conference = Conference::new(directory, vec![shard.unwrap()], Arc::new(mcu), ports);
        let mut gateway = GatewayConfig {
            sip: config(),
            announced: vec![Ipv4Addr::LOCALHOST.into()],
            media: MediaRules {
                srtp: SrtpPolicy::Optional,
                keys_over_cleartext: false,
                picture: VideoCap { width: 1280, height: 720, fps: 30 },
                video_bitrate: 1_000_000,
                cameras: true,
                layout: LegLayout::Grid,
                codecs: Vec::new(),
            },
            allow_dial: Vec::new(),
            outbound_proxy: None,
            reception: true,
            codes: codes(),
        };
        configure(&mut gateway);
        let gateway = Gateway::start(gateway, conference.clone(), keeper).await.unwrap();
        Self { gateway, conference, meeting }
    }

    /// A room system that calls the meeting.
    pub async fn caller(&self) -> Peer {
        self.calls("board").await
    }

    /// One that calls this user.
    pub async fn calls(&self, user: &'static str) -> Peer {
        Peer::new(self.address(), user).await
    }

    /// Where it is called over UDP.
    pub fn address(&self) -> SocketAddr {
        let addresses = self.gateway.local_addrs();
        addresses.iter().find(|it| it.0 == Transport::Udp).unwrap().1
    }

    /// A room system whose call was answered.
    pub async fn called(&self) -> Peer {
        let mut peer = self.caller().await;
        peer.call(SDP).await;
        peer
    }

    /// Waits until so many are in the meeting and so many before it: the identities of all.
    pub async fn stand(&self, inside: usize, before: usize) -> Vec<Identity> {
        self.until(&format!("{inside} inside and {before} before"), |snapshot| {
            let roster = snapshot.participants.iter().map(|it| it.identity.clone());
            let waiting = snapshot.lobby.waiting.iter().map(|it| it.identity.clone());
            let stand = (roster.len(), waiting.len()) == (inside, before);
            stand.then(|| roster.chain(waiting).collect())
        })
        .await
    }

    /// Waits until the meeting stands so that there is something to be told.
    pub async fn until<T>(&self, what: &str, tell: impl Fn(&MeetingSnapshot) -> Option<T>) -> T {
        let look = async {
            loop {
                if let Some(meeting) = self.conference.find(&self.meeting)
                    && let Some(snapshot) = meeting.snapshot().await
                    && let Some(told) = tell(&snapshot)
                {
                    return told;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| panic!("never: {what}"))
    }

    /// Waits until so many screens are shared: by whom.
    pub async fn screens(&self, count: usize) -> Vec<Identity> {
        self.until(&format!("{count} screens"), |meeting| {
            let shares = meeting.participants.iter().filter(|it| {
                let mut tracks = it.tracks.iter();
                tracks.any(|it| it.info.source == TrackSource::ScreenShare)
            });
            let shares: Vec<Identity> = shares.map(|it| it.identity.clone()).collect();
            (shares.len() == count).then_some(shares)
        })
        .await
    }

    pub fn steer_camera(&self, who: &Identity, order: CameraOrder) -> Result<(), CameraRefusal> {
        self.gateway.steer_camera(&self.meeting, who, order)
    }

    pub async fn act(&self, act: Act) {
        let meeting = self.conference.find(&self.meeting).unwrap();
        meeting.execute(Command::Steer { actor: Actor::Server, act }).await.unwrap();
    }
}
