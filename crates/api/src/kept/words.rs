//! Schemas of words that have a list of their own.

use serde_json::Value;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

fn one_of(words: &[&str], or_null: bool) -> Object {
    let null = or_null.then_some(Value::Null);
    let kind = match or_null {
        true => SchemaType::from_iter([Type::String, Type::Null]),
        false => SchemaType::Type(Type::String),
    };
    let words = words.iter().map(|it| Value::from(*it)).chain(null);
    ObjectBuilder::new().schema_type(kind).enum_values(Some(words)).build()
}

const TRANSPORTS: [&str; 3] = ["udp", "tcp", "tls"];

/// What carries the signalling.
pub fn transport() -> Object {
    one_of(&TRANSPORTS, false)
}

/// The same, or null.
pub fn any_transport() -> Object {
    one_of(&TRANSPORTS, true)
}

/// Which way a call goes.
pub fn direction() -> Object {
    one_of(&["in", "out"], false)
}

/// How a trunk's two ends know each other.
pub fn trunk_kind() -> Object {
    one_of(&["registered", "by_address", "none", "true_conf"], false)
}

/// When we register at a trunk.
pub fn register() -> Object {
    one_of(&["auto", "always", "before_call"], false)
}

/// Whether media are encrypted.
pub fn srtp() -> Object {
    one_of(&["never", "optional", "required"], false)
}

/// How a room system's picture is arranged, or null.
pub fn layout() -> Object {
    one_of(&["grid", "speaker"], true)
}

/// Why a call is refused.
pub fn cause() -> Object {
    one_of(&["not_found", "forbidden", "unavailable", "busy", "declined"], false)
}

/// Who may join.
pub fn who_may_join() -> Object {
    one_of(&["everybody_with_link", "users", "invited"], false)
}

/// Who may share a screen.
pub fn presenters() -> Object {
    one_of(&["everybody", "hosts"], false)
}

/// What somebody is in a meeting.
pub fn meeting_role() -> Object {
    one_of(&["attendee", "presenter", "host"], false)
}

/// When a meeting is there.
pub fn meeting_kind() -> Object {
    one_of(&["permanent", "scheduled", "personal"], false)
}

/// What became of a rule.
pub fn verdict() -> Object {
    one_of(
        &[
            "matched",
            "disabled",
            "direction",
            "trunk",
            "transport",
            "registration",
            "calling",
            "called",
            "unreadable",
            "target",
            "not_tried",
        ],
        false,
    )
}

#[cfg(test)]
mod tests {
    use conference::booking::{MeetingRole, Presenters, WhoMayJoin};
    use conference::telephony::{Cause, Direction, SrtpPolicy, Transport, TrunkKind};
    use serde::de::DeserializeOwned;
    use types::LegLayout;

    use super::*;

    fn reads<T: DeserializeOwned>(schema: Object) {
        for word in schema.enum_values.unwrap() {
            let read = serde_json::from_value::<Option<T>>(word.clone());
            assert!(read.is_ok(), "{word} is no {}", std::any::type_name::<T>());
        }
    }

    #[test]
    fn every_word_is_one_that_is_read() {
        reads::<Transport>(any_transport());
        reads::<Transport>(transport());
        reads::<Direction>(direction());
        reads::<TrunkKind>(trunk_kind());
        reads::<SrtpPolicy>(srtp());
        reads::<LegLayout>(layout());
        reads::<Cause>(cause());
        reads::<WhoMayJoin>(who_may_join());
        reads::<Presenters>(presenters());
        reads::<MeetingRole>(meeting_role());
    }
}
