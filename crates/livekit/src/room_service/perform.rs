//! `PerformRpc`: a participant is asked something, and its answer is the call's.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use conference::{Event, Happening, News as Told, Subscription};
use livekit_protocol as lk;
use prost::Message;
use room::{Command, DataKind};
use tokio::time::{Instant, sleep_until};
use types::{Identity, ParticipantKind, ParticipantSid};

use super::error::TwirpError;
use super::{Call, find};
use crate::rpc::{Call as Rpc, News};

/// The largest payload, either way, in bytes.
const MAX_PAYLOAD: usize = 15_360;
/// How long a client may take to say that it has the request, as clients themselves wait.
const ACK_WITHIN: Duration = Duration::from_secs(7);
/// How long an answer may take where the request does not say.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take at most: the door ends every request soon after.
const MOST: Duration = Duration::from_secs(13);
/// The first version, which every client speaks.
const VERSION: u32 = 1;

/// LiveKit's own errors of a call, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    ConnectionTimeout = 1501,
    ResponseTimeout = 1502,
    RecipientDisconnected = 1503,
    RequestPayloadTooLarge = 1402,
}

impl Failure {
    fn error(self) -> lk::RpcError {
        let message = match self {
            Self::ConnectionTimeout => "Connection timeout",
            Self::ResponseTimeout => "Response timeout",
            Self::RecipientDisconnected => "Recipient disconnected",
            Self::RequestPayloadTooLarge => "Request payload too large",
        };
        lk::RpcError { code: self as u32, message: message.to_owned(), data: String::new() }
    }
}

impl Call {
    pub(super) async fn perform_rpc(&self) -> Result<Response, TwirpError> {
        let request: lk::PerformRpcRequest = self.request()?;
        let meeting = self.administered(&request.room).await?;
        if request.destination_identity.is_empty() {
            return Err(TwirpError::invalid("destination identity is required"));
        }
        if request.payload.len() > MAX_PAYLOAD {
            return Err(failed(&Failure::RequestPayloadTooLarge.error()));
        }
        // Whoever leaves from here on is noticed.
        let events = self.state.conference.events();
        let callee = find(&meeting, &request.destination_identity).await?;
        if callee.kind == ParticipantKind::Sip {
            let message = "a room system answers no RPC: it has no data channel";
            return Err(TwirpError::new(
                StatusCode::PRECONDITION_FAILED,
                "failed_precondition",
                message,
            ));
        }
        let calls = &self.state.calls;
        let rpc = calls
            .begin(meeting.id().clone(), callee.identity.clone())
            .ok_or_else(|| TwirpError::exhausted("too many calls are under way"))?;
        let within = match request.response_timeout_ms {
            0 => ANSWER_WITHIN,
            millis => Duration::from_millis(millis.into()).min(MOST),
        };
        let destinations = vec![Identity::new(request.destination_identity.clone())];
        let message = packet(&rpc.id, request, within).encode_to_vec().into();
        let kind = DataKind::Reliable;
        meeting.execute(Command::ServerData { kind, destinations, message }).await?;
        match answer(rpc, events, &callee.sid, within).await {
            Ok(payload) => self.respond(&lk::PerformRpcResponse { payload }),
            Err(error) => Err(failed(&error)),
        }
    }
}

fn packet(id: &str, request: lk::PerformRpcRequest, within: Duration) -> lk::DataPacket {
    let asked = lk::RpcRequest {
        id: id.to_owned(),
        method: request.method,
        payload: request.payload,
        response_timeout_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
        version: VERSION,
        ..Default::default()
    };
    lk::DataPacket {
        // The callee answers to this identity, which nobody else has.
        participant_identity: id.to_owned(),
        destination_identities: vec![request.destination_identity],
        value: Some(lk::data_packet::Value::RpcRequest(asked)),
        ..Default::default()
    }
}

async fn answer(
    mut rpc: Rpc,
    mut events: Subscription,
    callee: &ParticipantSid,
    within: Duration,
) -> Result<String, lk::RpcError> {
    let begun = Instant::now();
    let mut acknowledged = false;
    loop {
        let (deadline, late) = match acknowledged {
            true => (begun + within, Failure::ResponseTimeout),
            false if within < ACK_WITHIN => (begun + within, Failure::ResponseTimeout),
            false => (begun + ACK_WITHIN, Failure::ConnectionTimeout),
        };
        tokio::select! {
            news = rpc.next() => match news {
                Some(News::Ack) => acknowledged = true,
                Some(News::Answer(answer)) => return answer,
                None => return Err(Failure::RecipientDisconnected.error()),
            },
            told = events.next() => match told {
                Some(Told::Event(event)) if !has_left(&event, callee) => {}
                // Of many events at once some are lost: then time tells.
                Some(Told::Missed(_)) => {}
                Some(Told::Event(_)) | None => return Err(Failure::RecipientDisconnected.error()),
            },
            () = sleep_until(deadline) => return Err(late.error()),
        }
    }
}

fn has_left(event: &Event, callee: &ParticipantSid) -> bool {
    matches!(
        &event.what,
        Happening::ParticipantLeft { participant, .. } if participant.sid == *callee
    )
}

/// An error of a call in Twirp's words, by the codes that LiveKit's server gives.
fn failed(error: &lk::RpcError) -> TwirpError {
    let lk::RpcError { code, message, data } = error;
    let text = match data.is_empty() {
        true => format!("RpcError {code}: {message}"),
        false => format!("RpcError {code}: {message}: {data}"),
    };
    match code {
        1400 => TwirpError::invalid(text),
        1401 => TwirpError::not_found(text),
        1402 => TwirpError::malformed(text),
        1403 | 1404 => TwirpError::unimplemented(text),
        1501 | 1502 => TwirpError::new(StatusCode::REQUEST_TIMEOUT, "canceled", text),
        1503 => TwirpError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text),
        _ => TwirpError::internal(text),
    }
}
