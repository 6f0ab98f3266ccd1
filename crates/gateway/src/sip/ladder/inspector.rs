//! Where messages pass: the SIP library shows each that comes, and each that it sends for the first
//! time.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rsipstack::sip::SipMessage;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::transaction::endpoint::MessageInspector;
use rsipstack::transport::{SipAddr, SipConnection};

use super::{Ladders, Passing};
use crate::sip::Transport;

/// Shows the messages of calls to [`Ladders`].
#[derive(Clone)]
pub(in crate::sip) struct Inspector {
    ladders: Arc<Mutex<Ladders>>,
    /// What others know us by.
    announced: IpAddr,
    local: Vec<(Transport, SocketAddr)>,
}

impl Inspector {
    pub(in crate::sip) fn new(announced: IpAddr, local: Vec<(Transport, SocketAddr)>) -> Self {
        let ladders = Arc::new(Mutex::new(Ladders::new(Instant::now())));
        Self { ladders, announced, local }
    }

    pub(in crate::sip) fn ladders(&self) -> MutexGuard<'_, Ladders> {
        self.ladders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, message: &SipMessage, sent: bool, address: Option<&SipAddr>) -> Option<()> {
        let call = message.call_id_header().ok()?.value().to_owned();
        let (method, status) = match message {
            SipMessage::Request(request) => (request.method, None),
            SipMessage::Response(response) => {
                let method = response.cseq_header().ok()?.method().ok()?;
                (method, Some(response.status_code.code()))
            }
        };
        let method = method.to_string();
        if !self.ladders().wants(&call, &method) {
            return None;
        }
        let known = address
            .and_then(|it| Some((it.r#type.and_then(Transport::of), it.get_socketaddr().ok()?)));
        let (transport, peer) = known.or_else(|| came_from(message))?;
        let transport = transport.unwrap_or(Transport::Udp);
        let port = self.local.iter().find(|it| it.0 == transport).map_or(0, |it| it.1.port());
        let text = String::from_utf8_lossy(&message.to_bytes()).into_owned();
        let passing = Passing {
            call: &call,
            method: &method,
            status,
            sent,
            peer,
            local: SocketAddr::new(self.announced, port),
            transport: &transport.to_string().to_ascii_lowercase(),
            text: &text,
        };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_us = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
        self.ladders().note(&passing, at_us, Instant::now());
        Some(())
    }
}

/// How the request of an answer of ours came, and from where, as its Via has it.
fn came_from(message: &SipMessage) -> Option<(Option<Transport>, SocketAddr)> {
    let via = message.via_header().ok()?;
    let (transport, peer) = SipConnection::parse_target_from_via(via).ok()?;
    Some((Transport::of(transport), peer.try_into().ok()?))
}

impl MessageInspector for Inspector {
    fn before_send(&self, message: SipMessage, to: Option<&SipAddr>) -> SipMessage {
        self.see(&message, true, to);
        message
    }

    fn after_received(&self, message: SipMessage, from: Option<&SipAddr>) -> SipMessage {
        // Without an address it is shown a second time.
        if from.is_some() {
            self.see(&message, false, from);
        }
        message
    }
}
