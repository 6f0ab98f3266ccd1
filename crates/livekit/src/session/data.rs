//! Data messages on their way through.

use std::sync::Arc;

use conference::Member;
use livekit_protocol as lk;
use lk::data_packet::Value;
use prost::Message as _;
use room::{Command, DataKind};
use types::Identity;

/// At most so many receivers may be named; more is a message to all.
const MAX_DESTINATIONS: usize = 1000;

/// Stamps a client's message with who sent it and finds who is to get it.
///
/// The bytes are passed on unread: prost drops fields that it does not know, and newer clients have
/// such. Sender and sid are appended; of a scalar field that comes twice the last counts.
pub fn stamp(member: &Member, kind: DataKind, message: Vec<u8>) -> Command {
    let peer = member.peer();
    if kind == DataKind::Track {
        // A data track's frame has a format of its own.
        return Command::SendData { peer, kind, destinations: Vec::new(), message: message.into() };
    }
    let destinations = destinations(&message);
    let stamp = lk::DataPacket {
        participant_identity: member.identity().to_string(),
        participant_sid: member.sid().to_string(),
        ..Default::default()
    };
    let mut message = message;
    message.extend(stamp.encode_to_vec());
    Command::SendData { peer, kind, destinations, message: Arc::from(message) }
}

fn destinations(message: &[u8]) -> Vec<Identity> {
    let Ok(packet) = lk::DataPacket::decode(message) else { return Vec::new() };
    let mut names = packet.destination_identities;
    if let Some(Value::User(user)) = packet.value {
        #[allow(deprecated, reason = "older clients name the receivers here")]
        names.extend(user.destination_identities);
    }
    names.into_iter().take(MAX_DESTINATIONS).map(Identity::new).collect()
}
