//! One function for each parser of what a peer sends that is our own, for fuzzers. None may panic.

/// The `join_request` of a client.
pub fn join_request(data: &[u8]) {
    let _ = crate::join_request::decode(&String::from_utf8_lossy(data));
}
