//! Calls of the server API to participants (`PerformRpc`): the request goes out as a data message of
//! the server's, and what the participant answers comes in among its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use conference::Member;
use livekit_protocol as lk;
use lk::data_packet::Value;
use lk::rpc_response::Value as Response;
use tokio::sync::mpsc;
use types::{Identity, MeetingId};

/// Calls under way at a time; more are refused.
const MAX_CALLS: usize = 10_000;

/// The calls under way, by their ids. Clones are the same.
#[derive(Clone, Default)]
pub struct Calls {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

struct Entry {
    meeting: MeetingId,
    callee: Identity,
    news: mpsc::Sender<News>,
}

/// What is heard of the callee.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// It has the request.
    Ack,
    /// It answered.
    Answer(Result<String, lk::RpcError>),
}

/// A call under way; it ends with its owner.
pub struct Call {
    calls: Calls,
    /// Its id, which the callee also takes for its caller's identity.
    pub id: String,
    news: mpsc::Receiver<News>,
}

impl Calls {
    /// Begins a call; `None` if there are too many.
    pub fn begin(&self, meeting: MeetingId, callee: Identity) -> Option<Call> {
        let id = conference::random_id("RPC_");
        let (sender, news) = mpsc::channel(2);
        let mut entries = self.lock();
        if entries.len() >= MAX_CALLS {
            return None;
        }
        entries.insert(id.clone(), Entry { meeting, callee, news: sender });
        Some(Call { calls: self.clone(), id, news })
    }

    /// Looks at a participant's message; whether it was an answer to one of these calls, and so is
    /// for nobody else.
    pub fn hear(&self, from: &Member, packet: &lk::DataPacket) -> bool {
        self.take(from.meeting().id(), from.identity(), packet)
    }

    fn take(&self, meeting: &MeetingId, from: &Identity, packet: &lk::DataPacket) -> bool {
        let (id, news) = match &packet.value {
            Some(Value::RpcAck(ack)) => (&ack.request_id, News::Ack),
            Some(Value::RpcResponse(response)) => {
                let answer = match response.value.clone() {
                    Some(Response::Payload(payload)) => Ok(payload),
                    Some(Response::Error(error)) => Err(error),
                    // The request was of the version without compression.
                    Some(Response::CompressedPayload(_)) | None => Err(lk::RpcError {
                        code: 1404,
                        message: "Unsupported RPC version".to_owned(),
                        data: String::new(),
                    }),
                };
                (&response.request_id, News::Answer(answer))
            }
            _ => return false,
        };
        let entries = self.lock();
        let Some(entry) = entries.get(id) else { return false };
        if entry.callee == *from && entry.meeting == *meeting {
            // A callee that acknowledges again and again is not heard.
            let _ = entry.news.try_send(news);
        }
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    /// What is heard next.
    pub async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(id: &str, payload: &str) -> lk::DataPacket {
        let value = Some(Response::Payload(payload.to_owned()));
        let response = lk::RpcResponse { request_id: id.to_owned(), value };
        lk::DataPacket { value: Some(Value::RpcResponse(response)), ..Default::default() }
    }

    #[tokio::test]
    async fn the_callee_alone_answers_and_nobody_after_the_end() {
        let calls = Calls::default();
        let meeting = MeetingId::parse("board").unwrap();
        let (anna, boris) = (Identity::new("anna"), Identity::new("boris"));
        let mut call = calls.begin(meeting.clone(), anna.clone()).unwrap();
        let forged = response(&call.id, "forged");
        assert!(calls.take(&meeting, &boris, &forged), "it is passed on to nobody");
        let elsewhere = MeetingId::parse("other").unwrap();
        assert!(calls.take(&elsewhere, &anna, &forged));
        let ack = lk::RpcAck { request_id: call.id.clone() };
        let ack = lk::DataPacket { value: Some(Value::RpcAck(ack)), ..Default::default() };
        assert!(calls.take(&meeting, &anna, &ack));
        assert!(calls.take(&meeting, &anna, &response(&call.id, "yes")));
        assert_eq!(call.next().await, Some(News::Ack));
        assert_eq!(call.next().await, Some(News::Answer(Ok("yes".to_owned()))));
        let late = response(&call.id, "late");
        drop(call);
        assert!(!calls.take(&meeting, &anna, &late));
        assert!(!calls.take(&meeting, &anna, &response("of another participant", "yes")));
    }
}
