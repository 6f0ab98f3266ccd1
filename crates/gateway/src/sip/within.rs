//! Requests of ours inside a call: its changes and refreshes, INFO, NOTIFY, BYE.
//!
//! The library's own would take a peer that asks who we are (401, 407) for the end of the call.

use rsipstack::sip::prelude::ToTypedHeader;
use rsipstack::sip::typed::{From, To};
use rsipstack::sip::{Header, Method, Request, Response, Uri};
use rsipstack::transaction::key::TransactionRole;

use super::core::CallCore;
use super::dial::transport_of;
use super::error::CallErrorKind;
use super::locate::Located;
use super::proof::{Challenge, Proof};
use super::request::{Head, exchange, request};
use super::stream;

/// Times that a request is made again with who we are: once, and once more for a nonce too old.
const PROOFS: usize = 2;

impl CallCore {
    /// Makes a request of the peer, and again with who we are where that is asked and known.
    ///
    /// # Errors
    /// [`CallErrorKind::TimedOut`]: there is no answer, or nobody to ask.
    pub(super) async fn ask(
        &self,
        method: Method,
        headers: Vec<Header>,
        body: Vec<u8>,
    ) -> Result<Response, CallErrorKind> {
        let server = self.next_hop().await.ok_or(CallErrorKind::TimedOut)?;
        let mut proof: Option<Proof> = None;
        for _ in 0..=PROOFS {
            let request = self.request(&server, method, &headers, &body, proof.as_ref());
            let answer = exchange(&self.shared, &server, request).await;
            let response = answer.ok_or(CallErrorKind::TimedOut)?;
            if !Challenge::asks(&response) {
                return Ok(response);
            }
            let challenge = Challenge::of(&response);
            let may = proof.is_none() || challenge.is_stale();
            let credentials = self.credentials.clone().filter(|_| may);
            let new = credentials.and_then(|it| Proof::new(challenge, it));
            let Some(new) = new else { return Ok(response) };
            proof = Some(new);
        }
        Err(CallErrorKind::TimedOut)
    }

    /// Who is sent the next request: the other end of the call's stream while it is open, else the
    /// first proxy on the way, or the peer (RFC 3261 section 12.2.1.1).
    async fn next_hop(&self) -> Option<Located> {
        let shared = &self.shared;
        if let Some(flow) = self.flow.filter(|it| shared.is_open(it)) {
            let name = shared.open().get(&flow).cloned().flatten();
            let host = name.unwrap_or_else(|| flow.peer.ip().to_string());
            return Some(Located { transport: flow.transport, address: flow.peer, host });
        }
        let snapshot = self.dialog.snapshot();
        let route = snapshot.route_set.first().and_then(|it| it.typed().ok());
        let uri = route.map_or(snapshot.remote_uri, |it| it.uri);
        let transport = transport_of(&uri);
        let port = uri.host_with_port.port.as_ref().map(|port| port.value());
        let host = uri.host().to_string();
        let can = |it| shared.can_dial(it);
        let found = shared.locator.locate(&host, port, Some(transport), can).await;
        let found = found.inspect_err(|error| tracing::info!(%error, "nobody to ask"));
        let server = found.ok()?.into_iter().next()?;
        let opened = stream::connected(shared, server.transport, server.address, &server.host);
        let opened = opened.await;
        opened.inspect_err(|error| tracing::info!(%error, "no stream to the peer")).ok()?;
        Some(server)
    }

    fn request(
        &self,
        server: &Located,
        method: Method,
        headers: &[Header],
        body: &[u8],
        proof: Option<&Proof>,
    ) -> Request {
        let snapshot = self.dialog.snapshot();
        let (from, to) = match snapshot.role {
            TransactionRole::Client => (snapshot.from, snapshot.to),
            TransactionRole::Server => (
                From {
                    display_name: snapshot.to.display_name,
                    uri: snapshot.to.uri,
                    params: snapshot.to.params,
                },
                To {
                    display_name: snapshot.from.display_name,
                    uri: snapshot.from.uri,
                    params: snapshot.from.params,
                },
            ),
        };
        let uri: Uri = snapshot.remote_uri;
        let mut more: Vec<Header> = snapshot
            .local_contact
            .map(|it| Header::Contact(format!("<{it}>").into()))
            .into_iter()
            .collect();
        more.extend(snapshot.route_set.into_iter().map(Header::Route));
        more.extend(proof.map(|it| it.header(&method.to_string(), &uri.to_string())));
        more.extend(headers.iter().cloned());
        let seq = self.next_cseq(snapshot.local_cseq);
        let head = Head { method, uri, from, to };
        let mut request = request(&self.shared, server, head, (&self.id, seq), more);
        request.body = body.to_vec();
        request
    }

    /// Ends an established call towards the peer, for the reason that the header has (RFC 3326).
    pub(super) async fn say_bye(&self, reason: Option<String>) {
        let headers = reason.map(|it| Header::Reason(it.into())).into_iter().collect();
        match self.ask(Method::Bye, headers, Vec::new()).await {
            Ok(response) if response.status_code.code() < 300 => {}
            Ok(response) => {
                let status = response.status_code.code();
                tracing::debug!(status, "BYE was refused; the call is over all the same");
            }
            Err(error) => tracing::debug!(%error, "BYE failed; the call is over all the same"),
        }
    }
}
