//! Just enough of STUN (RFC 8489) to find the session that a binding request is for.

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const USERNAME: u16 = 0x0006;

/// The receiver's ICE user fragment in a binding request's USERNAME, `ours:theirs`
/// (RFC 8445 section 7.2.2). `None` for anything else; nothing is verified here.
pub fn request_ufrag(datagram: &[u8]) -> Option<&str> {
    let (header, mut attributes) = datagram.split_at_checked(20)?;
    if !header.starts_with(&BINDING_REQUEST) || header.get(4..8)? != MAGIC_COOKIE {
        return None;
    }
    loop {
        let (head, rest) = attributes.split_first_chunk::<4>()?;
        let (kind, length) = (
            u16::from_be_bytes([head[0], head[1]]),
            usize::from(u16::from_be_bytes([head[2], head[3]])),
        );
        let value = rest.get(..length)?;
        if kind == USERNAME {
            return std::str::from_utf8(value).ok()?.split(':').next();
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0, 1, 0, attributes.len() as u8];
        datagram.extend(MAGIC_COOKIE);
        datagram.extend([7; 12]);
        datagram.extend(attributes);
        datagram
    }

    #[test]
    fn the_receivers_fragment_is_found_behind_other_attributes() {
        let datagram = request(b"\x80\x22\x00\x03abc\x00\x00\x06\x00\x09ours:them\x00\x00\x00");
        assert_eq!(request_ufrag(&datagram), Some("ours"));
    }

    #[test]
    fn cut_or_foreign_datagrams_name_nobody() {
        let datagram = request(b"\x00\x06\x00\x09ours:them");
        for end in 0..datagram.len() {
            assert_eq!(request_ufrag(&datagram[..end]), None);
        }
        assert_eq!(request_ufrag(&[0x80; 64]), None);
    }
}
