//! The gateway to room systems, as the configuration wants it.

use conference::Conference;
use conference::kept::Keeper;
use gateway::sip::{SipConfig, StartError, TlsConfig};
use gateway::{CodesError, Gateway, GatewayConfig, MediaRules};
use sdp::{SrtpPolicy, VideoCap};

use crate::certificate::{CertificateError, Certificates};
use crate::config::{Config, ConfigError, Listen, PictureSize, SipTls, Srtp};

/// Why room systems cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RoomSystemsError {
    /// No address is known.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No certificate for SIP over TLS.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Codes that cannot be told apart.
    #[error(transparent)]
    Codes(#[from] CodesError),
    /// Signalling does not start.
    #[error("{error}{}", cause(.error))]
    Start {
        /// Why.
        error: StartError,
    },
}

fn tls(certificates: &Certificates, config: &Config) -> Result<TlsConfig, CertificateError> {
    let more = config.sip.ca_file.as_deref();
    let client = certificates.sip_client(more)?;
    let peer = |(index, it): (usize, &SipTls)| {
        let peer = certificates.sip_peer(it, &SipTls::section(index), more)?;
        Ok((it.host.to_ascii_lowercase(), peer))
    };
    let hosts = config.sip_tls.iter().enumerate().map(peer);
    let hosts = hosts.collect::<Result<_, CertificateError>>()?;
    Ok(TlsConfig { server: certificates.sip()?, client: Some(client), hosts })
}

fn cause(error: &StartError) -> String {
    std::error::Error::source(error).map(|it| format!(": {it}")).unwrap_or_default()
}

/// Listens for calls, and acts on the devices, trunks and dial rules that are kept; `None` where every
/// listener is off.
pub async fn start(
    config: &Config,
    conference: &Conference,
    certificates: Option<&Certificates>,
    keeper: &Keeper,
) -> Result<Option<Gateway>, RoomSystemsError> {
    let addresses = |listen: Listen| listen.address().into_iter().collect::<Vec<_>>();
    let announced = config.announced()?;
    let sip = SipConfig {
        udp: addresses(config.sip.udp_listen),
        tcp: addresses(config.sip.tcp_listen),
        tls: addresses(config.sip.tls_listen),
        certificates: certificates.map(|it| tls(it, config)).transpose()?,
        announced: announced.first().copied(),
        name_servers: config.sip.name_servers.clone(),
        transfers: config.sip.transfers,
        ..SipConfig::default()
    };
    if [&sip.udp, &sip.tcp, &sip.tls].iter().all(|it| it.is_empty()) {
        return Ok(None);
    }
    let PictureSize { width, height } = config.sip.picture_size;
    let media = MediaRules {
        srtp: match config.sip.srtp {
            Srtp::Allowed => SrtpPolicy::Optional,
            Srtp::Required => SrtpPolicy::Required,
        },
        keys_over_cleartext: config.sip.keys_over_cleartext,
        picture: VideoCap { width, height, fps: config.sip.picture_fps },
        video_bitrate: config.sip.picture_bitrate.into(),
        cameras: config.sip.cameras,
        layout: config.sip.layout,
        codecs: Vec::new(),
    };
    let gateway = GatewayConfig {
        sip,
        announced,
        media,
        allow_dial: config.sip.allow_dial.clone(),
        outbound_proxy: config.sip.outbound_proxy.as_ref().map(|it| it.hop.clone()),
        reception: config.sip.reception,
        codes: config.remote_control.codes()?,
    };
    match Gateway::start(gateway, conference.clone(), Some(keeper.clone())).await {
        Ok(gateway) => Ok(Some(gateway)),
        Err(error) => Err(RoomSystemsError::Start { error }),
    }
}
