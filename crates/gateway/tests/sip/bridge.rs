//! An endpoint whose calls are answered by what was dialled, and which notes every event.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway::sip::{
    Call, CallEvent, Incoming, IncomingCall, SipConfig, SipEndpoint, Status, TlsConfig, Transport,
};
use tokio::sync::mpsc;

pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0\r\n";

pub const SECOND_SDP: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n\
    t=0 0\r\nm=audio 40002 RTP/AVP 8\r\n";

pub const PATIENCE: Duration = Duration::from_secs(10);

/// What happened, in words.
pub type Notes = mpsc::UnboundedReceiver<String>;

pub struct Bridge {
    pub endpoint: SipEndpoint,
    pub notes: Notes,
}

pub fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub fn config() -> SipConfig {
    let mut config =
        SipConfig { udp: vec![loopback()], tcp: vec![loopback()], ..SipConfig::default() };
    // The tests share one source address; the limit has a test of its own.
    config.limits.requests.per_second = 5000;
    config.limits.requests.burst = 5000;
    config
}

impl Bridge {
    pub async fn start(config: SipConfig) -> Self {
        let (endpoint, mut incoming) = SipEndpoint::start(config).await.unwrap();
        let (notes, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Incoming::Call(call)) = incoming.recv().await {
                tokio::spawn(attend(call, notes.clone()));
            }
        });
        Self { endpoint, notes: receiver }
    }

    pub fn address(&self, transport: Transport) -> SocketAddr {
        let found = self.endpoint.local_addrs().iter().find(|(kind, _)| *kind == transport);
        found.unwrap().1
    }

    /// Waits for a note that begins like this, past all others.
    pub async fn note(&mut self, begins: &str) -> String {
        let search = async {
            loop {
                let note = self.notes.recv().await.unwrap();
                if note.starts_with(begins) {
                    return note;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("no {begins:?}"))
    }

    /// Waits until every call is gone.
    pub async fn idle(&self) {
        let quiet = async {
            while self.endpoint.stats().active_calls > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, quiet).await.expect("calls are left over");
    }
}

fn text(sdp: &Option<Vec<u8>>) -> String {
    sdp.as_deref().map_or("none".to_owned(), |sdp| String::from_utf8_lossy(sdp).into_owned())
}

async fn attend(mut incoming: IncomingCall, notes: mpsc::UnboundedSender<String>) {
    let note = |text: String| notes.send(text).unwrap_or_default();
    let user = incoming.user.clone().unwrap_or_default();
    note(format!(
        "call {user} from {} by {} at {} offering {}",
        incoming.display_name.as_deref().unwrap_or("nobody"),
        incoming.transport,
        incoming.source,
        text(&incoming.offer)
    ));
    match user.as_str() {
        "busy" => return incoming.reject(Status::BUSY_HERE, Some("in a \"meeting\"\r\n")),
        "lost" => return drop(incoming),
        // Whoever has given up already hears nothing.
        _ => incoming.ringing().unwrap_or_default(),
    }
    if user == "ring" || user == "early" {
        // An early call is answered once its peer has asked for a picture.
        loop {
            match incoming.next().await {
                Some(CallEvent::PictureFastUpdate) => break,
                Some(other) => note(name(&other)),
                None => return,
            }
        }
    }
    let Ok(call) = incoming.accept(SDP.into()) else { return note("too late".to_owned()) };
    follow(call, &user, notes.clone()).await;
}

async fn follow(mut call: Call, user: &str, notes: mpsc::UnboundedSender<String>) {
    let handle = call.handle();
    while let Some(event) = call.next().await {
        notes.send(name(&event)).unwrap_or_default();
        match (event, user) {
            (CallEvent::ReOffer(offer), "strict") => offer.reject(Status::NOT_ACCEPTABLE_HERE),
            (CallEvent::ReOffer(offer), _) => offer.accept(SECOND_SDP.into()),
            (CallEvent::Confirmed { .. }, "hangup") => handle.bye().await.unwrap(),
            (CallEvent::Confirmed { .. }, "glare") => {
                let (handle, notes) = (handle.clone(), notes.clone());
                tokio::spawn(async move {
                    let answer = handle.re_invite(SECOND_SDP.into()).await;
                    let answer = answer.map(|sdp| String::from_utf8(sdp).unwrap());
                    notes.send(format!("re-invite {answer:?}")).unwrap_or_default();
                });
            }
            _ => {}
        }
    }
    notes.send("over".to_owned()).unwrap_or_default();
}

pub fn name(event: &CallEvent) -> String {
    match event {
        CallEvent::Confirmed { answer } => format!("confirmed {}", text(answer)),
        CallEvent::ReOffer(offer) => format!("offer {}", text(&offer.sdp)),
        CallEvent::Dtmf(tone) => format!("tone {} {}", tone.digit, tone.duration_ms),
        CallEvent::PictureFastUpdate => "picture".to_owned(),
        CallEvent::Transfer(_) => "transfer".to_owned(),
        CallEvent::Subscribed(_) => "subscribed".to_owned(),
        CallEvent::Cancelled => "cancelled".to_owned(),
        CallEvent::Bye { reason } => format!("bye {}", reason.as_deref().unwrap_or("none")),
        CallEvent::TimedOut => "timed out".to_owned(),
        CallEvent::Info { .. } => "info".to_owned(),
        CallEvent::Ringing { status, .. } => format!("ringing {status}"),
        CallEvent::Answered { sdp } => format!("answered {}", String::from_utf8_lossy(sdp)),
        CallEvent::Failed(kind) => format!("failed {kind:?}"),
    }
}

/// A certificate of its own for localhost, and who trusts it and shows it.
pub fn certificates() -> TlsConfig {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let chain = vec![made.cert.der().clone()];
    let shown = (chain.clone(), key.clone_key().into());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(shown.0, shown.1)
        .unwrap();
    let client = Some(Arc::new(client));
    TlsConfig { server: Arc::new(server), client, hosts: HashMap::new() }
}

/// What is logged while it is kept.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps what passes these directives, until what comes back is dropped.
    pub fn keep(&self, directives: &str) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(directives))
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until it is so.
    pub async fn until(&self, done: impl Fn(&str) -> bool) {
        let look = async {
            while !done(&self.text()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| panic!("never in {}", self.text()));
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
