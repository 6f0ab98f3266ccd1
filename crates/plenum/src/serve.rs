//! `plenum serve`: start and shutdown, step by step.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::{Api, Ready};
use conference::access::{Directory, KeyRights};
use conference::people::FirstPassword;
use conference::{Conference, Dialler, look_after};
use gateway::Gateway;
use gateway::sip::{SipStats, Transport};
use livekit::LiveKit;
use mcu::{Mcu, McuConfig};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sfu::ShardHandle;
use sfu::driver::{PortRange, ShardConfig, TcpAcceptor, TcpPort};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::certificate::{self, CertificateError, Certificates};
use crate::config::{Config, ConfigError, Log, LogFormat, Rtp};
use crate::http::{Servers, redirecting};
use crate::keeping::{self, KeepingError, Kept};
use crate::media_ip;
use crate::room_systems::{self, RoomSystemsError};
use crate::webhooks;

/// The key by which the page's own tokens are signed; its secret is made at start.
const PAGE_KEY: &str = "plenum-page";
/// Requests under way may take this long to end after participants were told.
const HTTP_FAREWELL: Duration = Duration::from_secs(2);
/// Webhooks of the last moments may take this long.
const WEBHOOK_FAREWELL: Duration = Duration::from_secs(3);
/// The last rows of the history may take this long.
const HISTORY_FAREWELL: Duration = Duration::from_secs(3);
/// How often the shards' counters go into the metrics.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Why the server did not start or run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Something cannot be listened on.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
    /// The system refuses something else.
    #[error("{what}: {source}")]
    System { what: &'static str, source: io::Error },
    /// The log's filter cannot be read.
    #[error("[log] filter: {0}")]
    LogFilter(tracing_subscriber::filter::ParseError),
    /// Room systems cannot be served.
    #[error(transparent)]
    RoomSystems(#[from] RoomSystemsError),
    /// What is kept cannot be opened.
    #[error(transparent)]
    Keeping(#[from] KeepingError),
    /// Keys or metrics cannot be set up.
    #[error("{0}")]
    SetUp(String),
}

/// Runs the server until it is told to end.
pub fn run(config: Config) -> Result<(), ServeError> {
    start_log(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| ServeError::System { what: "starting threads", source })?;
    runtime.block_on(serve(config))
}

async fn serve(mut config: Config) -> Result<(), ServeError> {
    let metrics = set_up(&mut config)?;
    let Kept { people, store } = keeping::open(&config).await?;
    let (shards, ice_tcp) = start_shards(&config)?;
    let directory = Directory::new(std::mem::take(&mut config.meetings), config.dev);
    let directory = Arc::new(directory.with_vault(people.vault().clone()));
    let (keeper, bookings) = keeping::bookings(&people, &directory).await?;
    let keys = Arc::new(std::mem::take(&mut config.keys));
    let keyring = keeping::keyring(&people, &keys).await?;
    let mcu = Mcu::start(McuConfig::default()).map_err(cannot_set_up)?;
    let Rtp { port_min, port_max } = config.rtp;
    let ports = PortRange::new(media_ip::of(&config)?, port_min, port_max);
    let conference = Conference::new(directory.clone(), shards, Arc::new(mcu), ports);
    let historian = keeping::write_history(&people, &conference, &config.history);
    let webhooks = webhooks::start(&config, &conference, keys.clone())?;
    let ready = Ready::default();
    let certificates = open_certificates(&config)?;
    let root = certificates.clone();
    let gateway = room_systems::start(&config, &conference, certificates.as_deref(), &keeper);
    let gateway = gateway.await?.map(Arc::new);
    let dialler = gateway.clone().map(|it| it as Arc<dyn Dialler>);
    let api = Api::new(directory, keys.clone(), PAGE_KEY.into(), ready.clone(), metrics)
        .with_conference(conference.clone())
        .with_dialler(dialler.clone())
        .with_people(people.clone(), !config.dev)
        .with_kept(keeper, bookings, keyring)
        .with_public_url(config.http.public_url())
        .with_authority(move || root.as_ref().and_then(|it| it.root()));
    let in_clear = api::router_in_clear(api.clone());
    let routes =
        livekit::router(LiveKit { conference: conference.clone(), keys }).merge(api::router(api));

    let mut servers = Servers::default();
    let https = match (config.http.tls_listen.address(), &certificates) {
        (Some(listen), Some(certificates)) => {
            Some(servers.tls(listen, certificates.https()?, routes.clone()).await?)
        }
        _ => None,
    };
    let plain = match https {
        Some(https) if !config.dev => redirecting(in_clear, https.port()),
        _ => routes,
    };
    let http = servers.plain(config.http.listen, plain).await?;
    if let Some(certificates) = certificates {
        let refused = |source| ServeError::System { what: "listening for signals", source };
        tokio::spawn(certificate::follow(certificates).map_err(refused)?);
    }
    let chores = [
        tokio::spawn(keeping::purge(people.clone())),
        tokio::spawn(count(conference.clone(), gateway.clone())),
        tokio::spawn(look_after(conference.clone(), dialler)),
    ];
    ready.set(true);
    tracing::info!(%http, https = https.map(tracing::field::display), "ready");
    greet(http, https, gateway.as_deref(), &config, keeping::first_account(&people).await?)?;

    wait_for_end().await?;

    tracing::info!("stopping: participants are told");
    ready.set(false);
    if let Some(gateway) = &gateway {
        gateway.stop().await;
    }
    conference.stop().await;
    if let Some(webhooks) = webhooks {
        webhooks.stop(WEBHOOK_FAREWELL).await;
    }
    tracing::info!("stopping: HTTP");
    servers.stop(HTTP_FAREWELL).await;
    chores.iter().for_each(tokio::task::JoinHandle::abort);
    historian.stop(HISTORY_FAREWELL).await;
    keeping::close(&people, &store).await;
    drop(ice_tcp);
    tracing::info!("stopped");
    Ok(())
}

/// Ciphers, metrics, and the key by which the page's tokens are signed.
fn set_up(config: &mut Config) -> Result<PrometheusHandle, ServeError> {
    sfu::transport::webrtc::init_crypto();
    config.keys.add_random(PAGE_KEY, KeyRights::default()).map_err(cannot_set_up)?;
    PrometheusBuilder::new().install_recorder().map_err(cannot_set_up)
}

fn cannot_set_up(error: impl std::fmt::Display) -> ServeError {
    ServeError::SetUp(error.to_string())
}

fn start_log(log: &Log) -> Result<(), ServeError> {
    let filter = EnvFilter::try_new(&log.filter.0)
        .map_err(ServeError::LogFilter)?
        .add_directive(gateway::sip::LOG_DIRECTIVE.parse().map_err(ServeError::LogFilter)?);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// One thread and UDP port for each shard, and the TCP port of all; a port that is taken stops the
/// start.
fn start_shards(config: &Config) -> Result<(Vec<ShardHandle>, Option<TcpAcceptor>), ServeError> {
    let announced = config.announced()?;
    let ip = media_ip::of(config)?;
    let failed = |what, address| move |source| ServeError::Listen { what, address, source };
    let tcp_listen = SocketAddr::new(config.http.listen.ip(), config.sfu.tcp_port);
    let tcp_failed = failed("WebRTC over TCP", tcp_listen);
    let tcp = match config.sfu.tcp_port {
        0 => None,
        _ => Some(TcpPort::bind(tcp_listen).map_err(tcp_failed)?),
    };
    let tcp_reachable = tcp.as_ref().map(|tcp| tcp.reachable(&announced)).unwrap_or_default();
    let shards: Vec<ShardHandle> = (0..config.sfu.shard_count())
        .zip(config.sfu.udp_port..)
        .map(|(index, port)| {
            let listen = SocketAddr::new(ip, port);
            let (announced, tcp) = (announced.clone(), tcp_reachable.clone());
            let shard = ShardConfig { index, listen, announced, tcp };
            sfu::driver::start(&shard).map_err(failed("WebRTC", listen))
        })
        .collect::<Result<_, _>>()?;
    let acceptor = tcp.map(|tcp| tcp.serve(shards.clone())).transpose().map_err(tcp_failed)?;
    Ok((shards, acceptor))
}

/// The certificate, if anything shows one.
fn open_certificates(config: &Config) -> Result<Option<Arc<Certificates>>, ServeError> {
    let listens = [config.http.tls_listen, config.sip.tls_listen];
    if listens.iter().all(|it| it.address().is_none()) {
        return Ok(None);
    }
    Ok(Some(Arc::new(Certificates::open(config, SystemTime::now())?)))
}

/// What whoever started it by hand wants to know.
fn greet(
    http: SocketAddr,
    https: Option<SocketAddr>,
    gateway: Option<&Gateway>,
    config: &Config,
    first: Option<(String, FirstPassword)>,
) -> Result<(), ServeError> {
    let data = &config.data.dir;
    let announced = config.announced()?;
    // A wildcard is no address for a browser.
    let reached = |bound: SocketAddr| match announced.first() {
        Some(ip) if !config.dev => SocketAddr::new(*ip, bound.port()),
        _ => bound,
    };
    println!("Plenum is running.");
    match https {
        Some(https) => println!("  Open in a browser:   https://{}/", reached(https)),
        None => println!("  Open in a browser:   http://{}/", reached(http)),
    }
    if https.is_some() && config.http.certificate.is_none() {
        println!("  Browsers trust it with the root certificate:");
        println!("                       http://{}/authority.pem", reached(http));
    }
    for (transport, bound) in gateway.into_iter().flat_map(Gateway::local_addrs) {
        let parameter = match transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        println!("  Room systems dial:   sip:MEETING@{}{parameter}", reached(*bound));
    }
    if config.dev {
        println!("  Key for tokens:      devkey, secret \"secret\" (any name is a meeting)");
    }
    if let Some((name, password)) = first {
        println!("  First administrator: {name}, password {} (shown only now)", password.0);
    }
    println!("  Data:                {}", data.display());
    Ok(())
}

async fn wait_for_end() -> Result<(), ServeError> {
    let source = |source| ServeError::System { what: "listening for signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(source)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(source)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Carries the shards' counters into the metrics.
async fn count(conference: Conference, gateway: Option<Arc<Gateway>>) {
    let mut ticks = tokio::time::interval(COUNT_INTERVAL);
    loop {
        ticks.tick().await;
        for (index, shard) in conference.shards().iter().enumerate() {
            let (counters, shard) = (shard.counters(), index.to_string());
            let count = |name: &'static str, value: u64| {
                metrics::counter!(name, "shard" => shard.clone()).absolute(value);
            };
            count("plenum_rtp_packets_in_total", counters.packets_in);
            count("plenum_rtp_packets_out_total", counters.packets_out);
            count("plenum_stray_datagrams_total", counters.strays);
            count("plenum_lane_dropped_total", counters.lanes_dropped);
            count("plenum_leg_received_total", counters.legs_received);
            count("plenum_leg_lost_total", counters.legs_lost);
            count("plenum_leg_lost_there_total", counters.legs_lost_there);
        }
        for (name, value) in conference.mcu().stats().named() {
            metrics::counter!(format!("plenum_mcu_{name}_total")).absolute(value);
        }
        let mcu = conference.mcu();
        count_rounds("plenum_mcu_sound_begun_seconds_bucket", mcu.sound_begun_within());
        count_rounds("plenum_mcu_sound_done_seconds_bucket", mcu.sound_done_within());
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        metrics::gauge!("plenum_tasks").set(tasks as f64);
        metrics::gauge!("plenum_mcu_compositions").set(conference.mcu().compositions() as f64);
        if let Some(gateway) = &gateway {
            count_calls(&gateway.stats());
        }
    }
}

/// As a histogram of Prometheus has it.
fn count_rounds(name: &'static str, rounds: Vec<(Option<Duration>, u64)>) {
    for (bound, rounds) in rounds {
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |it| it.as_secs_f64().to_string());
        metrics::counter!(name, "le" => bound).absolute(rounds);
    }
}

fn count_calls(stats: &SipStats) {
    metrics::gauge!("plenum_sip_calls").set(stats.active_calls as f64);
    metrics::gauge!("plenum_sip_streams").set(stats.open_streams as f64);
    for (name, value) in [
        ("plenum_sip_rate_limited_total", stats.rate_limited),
        ("plenum_sip_malformed_total", stats.malformed),
        ("plenum_sip_refused_requests_total", stats.refused_requests),
        ("plenum_sip_refused_calls_total", stats.refused_calls),
        ("plenum_sip_refused_streams_total", stats.refused_streams),
        ("plenum_sip_lost_events_total", stats.lost_events),
    ] {
        metrics::counter!(name).absolute(value);
    }
}
