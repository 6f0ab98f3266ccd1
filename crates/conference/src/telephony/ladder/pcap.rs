//! A ladder as a capture file (the classic format of libpcap, microseconds, raw IP). Every message is
//! a datagram there, whatever it travelled in: what was encrypted is legible, and nothing is in pieces.

use std::net::{IpAddr, SocketAddr};

use super::{Ladder, LadderMessage};

const MAGIC: u32 = 0xa1b2_c3d4;
/// `LINKTYPE_RAW`: a packet begins with its IP header.
const LINK: u32 = 101;
const SNAP_LENGTH: u32 = 65_535;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
/// What a packet's headers leave of its 65,535 bytes.
const MAX_TEXT: usize = 65_535 - 40 - UDP_HEADER;
const HOPS: u8 = 64;

impl Ladder {
    /// The whole file.
    pub fn pcap(&self) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(MAGIC.to_be_bytes());
        // Version 2.4.
        file.extend([0, 2, 0, 4]);
        file.extend([0; 8]);
        file.extend(SNAP_LENGTH.to_be_bytes());
        file.extend(LINK.to_be_bytes());
        for message in &self.messages {
            let packet = packet(message);
            let at = u64::try_from(message.at_us).unwrap_or_default();
            let length = packet.len() as u32;
            // The format ends in 2106.
            for field in [(at / 1_000_000) as u32, (at % 1_000_000) as u32, length, length] {
                file.extend(field.to_be_bytes());
            }
            file.extend(packet);
        }
        file
    }
}

fn packet(message: &LadderMessage) -> Vec<u8> {
    let (from, to) =
        if message.sent { (message.local, message.peer) } else { (message.peer, message.local) };
    let text = message.text.as_bytes();
    let text = text.get(..MAX_TEXT).unwrap_or(text);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let addresses = [source.octets(), target.octets()].concat();
            let datagram = datagram(from, to, text, &addresses);
            let length = (IPV4_HEADER + datagram.len()) as u16;
            let mut header = vec![0x45, 0];
            header.extend(length.to_be_bytes());
            header.extend([0, 0, 0, 0, HOPS, UDP, 0, 0]);
            header.extend(addresses);
            let [high, low] = checksum(&header).to_be_bytes();
            for (byte, value) in header.iter_mut().skip(10).zip([high, low]) {
                *byte = value;
            }
            [header, datagram].concat()
        }
        (source, target) => {
            let octets = |it: IpAddr| match it {
                IpAddr::V4(it) => it.to_ipv6_mapped().octets(),
                IpAddr::V6(it) => it.octets(),
            };
            let addresses = [octets(source), octets(target)].concat();
            let datagram = datagram(from, to, text, &addresses);
            let mut header = vec![0x60, 0, 0, 0];
            header.extend((datagram.len() as u16).to_be_bytes());
            header.extend([UDP, HOPS]);
            header.extend(addresses);
            [header, datagram].concat()
        }
    }
}

/// UDP (RFC 768), with its checksum over the addresses too (RFC 8200 section 8.1).
fn datagram(from: SocketAddr, to: SocketAddr, text: &[u8], addresses: &[u8]) -> Vec<u8> {
    let length = (UDP_HEADER + text.len()) as u16;
    let head = [from.port().to_be_bytes(), to.port().to_be_bytes(), length.to_be_bytes()].concat();
    let summed = [addresses, &[0, UDP], &length.to_be_bytes(), &head, &[0, 0], text].concat();
    // Zero says that there is none.
    let sum = Some(checksum(&summed)).filter(|it| *it != 0).unwrap_or(0xffff);
    [&*head, &sum.to_be_bytes(), text].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|it| {
        let [high, low] = [it.first(), it.get(1)].map(|it| it.copied().unwrap_or_default());
        u32::from(u16::from_be_bytes([high, low]))
    });
    let sum = words.fold(0_u32, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    });
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telephony::ladder::tests::short_call;

    #[test]
    fn both_families_are_packed_with_right_lengths_and_sums() {
        for (peer, header) in [("10.0.0.5:5060", 20), ("[2001:db8::5]:5060", 40)] {
            let call = short_call(peer);
            let file = call.pcap();
            assert_eq!(&file[..8], &[0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4]);
            let mut rest = &file[24..];
            for message in &call.messages {
                let length = u32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize;
                let (packet, others) = rest[16..].split_at(length);
                assert_eq!(length, header + 8 + message.text.len());
                assert_eq!(&packet[header + 8..], message.text.as_bytes());
                // A sum over everything with its own checksum in it is zero.
                if header == 20 {
                    assert_eq!(checksum(&packet[..20]), 0);
                }
                let addresses = if header == 20 { &packet[12..20] } else { &packet[8..40] };
                let datagram = &packet[header..];
                let pseudo = [addresses, &[0, UDP], &datagram[4..6], datagram].concat();
                assert_eq!(checksum(&pseudo), 0);
                rest = others;
            }
            assert!(rest.is_empty());
        }
    }
}
