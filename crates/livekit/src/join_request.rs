//! The `join_request` parameter: base64url of a `WrappedJoinRequest`, perhaps compressed.

use std::io::Read;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use livekit_protocol::{JoinRequest, WrappedJoinRequest, wrapped_join_request::Compression};
use prost::Message;

use crate::access::AccessError;

/// An offer of a whole page's worth of sections and a few tracks; also the bound for what a
/// compressed one may grow to.
const MAX_BYTES: u64 = 1 << 20;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads the parameter.
pub fn decode(parameter: &str) -> Result<JoinRequest, AccessError> {
    let error = AccessError::Request;
    let bytes = BASE64.decode(parameter).map_err(|_| error("it is not base64url"))?;
    let wrapped = WrappedJoinRequest::decode(bytes.as_slice())
        .map_err(|_| error("it is no WrappedJoinRequest"))?;
    let plain = if wrapped.compression == Compression::Gzip as i32 {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(wrapped.join_request.as_slice())
            .take(MAX_BYTES + 1)
            .read_to_end(&mut plain)
            .map_err(|_| error("it cannot be decompressed"))?;
        plain
    } else {
        wrapped.join_request
    };
    if plain.len() as u64 > MAX_BYTES {
        return Err(error("it is larger than a megabyte"));
    }
    JoinRequest::decode(plain.as_slice()).map_err(|_| error("it is no JoinRequest"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn wrap(compression: Compression, join_request: Vec<u8>) -> String {
        let wrapped = WrappedJoinRequest { compression: compression as i32, join_request };
        BASE64.encode(wrapped.encode_to_vec())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_compressed_requests_are_read() {
        let request = JoinRequest { metadata: "m".into(), ..Default::default() }.encode_to_vec();
        let plain = decode(&wrap(Compression::None, request.clone())).unwrap();
        let compressed = decode(&wrap(Compression::Gzip, gzip(&request))).unwrap();
        assert_eq!((plain.metadata, compressed.metadata), ("m".into(), "m".into()));
    }

    #[test]
    fn a_decompression_bomb_is_refused() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(
            decode(&wrap(Compression::Gzip, bomb)),
            Err(AccessError::Request("it is larger than a megabyte"))
        ));
    }
}
