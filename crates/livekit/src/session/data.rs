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

/// What a message says, where it is of a kind that can be read.
pub fn read(kind: DataKind, message: &[u8]) -> Option<lk::DataPacket> {
    // A data track's frame has a format of its own.
    if kind == DataKind::Track {
        return None;
    }
    lk::DataPacket::decode(message).ok()
}

/// Stamps a client's message with who sent it and finds who is to get it.
///
/// The bytes are passed on unread: prost drops fields that it does not know, and newer clients have
/// such. Sender and sid are appended; of a scalar field that comes twice the last counts.
pub fn stamp(
    member: &Member,
    kind: DataKind,
    packet: Option<lk::DataPacket>,
    message: Vec<u8>,
) -> Command {
    let peer = member.peer();
    if kind == DataKind::Track {
        return Command::SendData { peer, kind, destinations: Vec::new(), message: message.into() };
    }
    let destinations = packet.map(destinations).unwrap_or_default();
    let stamp = lk::DataPacket {
        participant_identity: member.identity().to_string(),
        participant_sid: member.sid().to_string(),
        ..Default::default()
    };
    let mut message = message;
    message.extend(stamp.encode_to_vec());
    Command::SendData { peer, kind, destinations, message: Arc::from(message) }
}

fn destinations(packet: lk::DataPacket) -> Vec<Identity> {
    let mut names = packet.destination_identities;
    if let Some(Value::User(user)) = packet.value {
        #[allow(deprecated, reason = "older clients name the receivers here")]
        names.extend(user.destination_identities);
    }
    names.into_iter().take(MAX_DESTINATIONS).map(Identity::new).collect()
}
