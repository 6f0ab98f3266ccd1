//! Peers behind a NAT (RFC 3581, RFC 6314): over UDP they name a contact in their own network, which
//! nobody outside reaches. It is replaced by where their message came from, so that whatever the call
//! sends next, the ACK included, goes there. Streams need none of this: a call keeps to its stream.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use rsipstack::sip::prelude::{HeadersExt, ToTypedHeader};
use rsipstack::sip::{HasHeaders, Header, Host, Method, SipMessage, Uri};

use super::Transport;

/// Calls of ours over UDP that went the way that a device had registered, by their `Call-ID`: where to.
pub(super) type ByFlow = HashMap<String, SocketAddr>;

/// Puts where a message came from in place of a contact that cannot be reached.
pub(super) fn mend(
    mut message: SipMessage,
    source: SocketAddr,
    transport: Transport,
    by_flow: &ByFlow,
) -> SipMessage {
    if transport != Transport::Udp || message.record_route_header().is_some() {
        // A proxy on the way knows how to reach its own.
        return message;
    }
    let Some(contact) = contact(&message) else { return message };
    let Some(claimed) = ip(contact.host()).filter(|it| *it != source.ip()) else {
        return message;
    };
    let hidden = match &message {
        // A REGISTER has its way noted apart, and its contact is told back to it.
        SipMessage::Request(request) => {
            request.method != Method::Register && claims_to_be_at(&message, claimed)
        }
        SipMessage::Response(response) => {
            let status = response.status_code.code();
            let call = message.call_id_header().ok().map(|it| it.value());
            let went = call.and_then(|it| by_flow.get(it));
            let far = is_internal(claimed) && !is_internal(source.ip());
            (101..300).contains(&status) && (far || went == Some(&source))
        }
    };
    if hidden {
        let mut uri = contact;
        uri.host_with_port = source.into();
        message.headers_mut().unique_push(Header::Contact(format!("<{uri}>").into()));
    }
    message
}

/// The one contact of a message.
fn contact(message: &SipMessage) -> Option<Uri> {
    match message.typed_contact_headers().ok()?.as_slice() {
        [contact] => Some(contact.uri.clone()),
        _ => None,
    }
}

/// Whether a request came without a proxy from somebody who says that it is at this address.
fn claims_to_be_at(message: &SipMessage, address: IpAddr) -> bool {
    let via = message.via_header().and_then(|it| it.first_value()).and_then(|it| it.typed());
    !message.has_multiple_vias()
        && via.is_ok_and(|it| ip(&it.uri.host_with_port.host) == Some(address))
}

fn ip(host: &Host) -> Option<IpAddr> {
    match host {
        Host::IpAddr(ip) => Some(*ip),
        Host::Domain(_) => None,
    }
}

/// Whether an address means something in its own network alone.
fn is_internal(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            // RFC 6598's are those behind a provider's NAT.
            let shared = first == 100 && (64..128).contains(&second);
            ip.is_private() || ip.is_link_local() || ip.is_loopback() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(raw: &str, source: &str, flow: Option<&str>) -> String {
        let raw = raw.replace('\n', "\r\n") + "\r\n\r\n";
        let message = SipMessage::try_from(raw.as_bytes()).unwrap();
        let by_flow = flow.map(|it| ("c1".to_owned(), it.parse().unwrap())).into_iter().collect();
        let message = mend(message, source.parse().unwrap(), Transport::Udp, &by_flow);
        contact(&message).map_or_else(String::new, |it| it.to_string())
    }

    fn request(method: &str, via: &str, contact: &str, more: &str) -> String {
        format!(
            "{method} sip:board@203.0.113.5 SIP/2.0\nVia: SIP/2.0/UDP {via};branch=z9hG4bK1\n\
             From: <sip:a@x>;tag=1\nTo: <sip:b@x>\nCall-ID: c1\nCSeq: 1 {method}\n{more}\
             Contact: <{contact}>"
        )
    }

    fn response(contact: &str, more: &str) -> String {
        format!(
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK1\nFrom: <sip:b@x>;tag=2\n\
             To: <sip:a@x>;tag=1\nCall-ID: c1\nCSeq: 1 INVITE\n{more}Contact: <{contact}>"
        )
    }

    #[test]
    fn who_calls_from_behind_a_nat_is_reached_where_it_came_from() {
        let outside = "198.51.100.7:33412";
        let inside = request("INVITE", "192.168.7.7:5060", "sip:room@192.168.7.7:5060;ob", "");
        assert_eq!(mended(&inside, outside, None), "sip:room@198.51.100.7:33412;ob");
        // Within one house there are NATs too.
        assert_eq!(mended(&inside, "10.1.1.1:9", None), "sip:room@10.1.1.1:9;ob");
        assert_eq!(mended(&inside, "192.168.7.7:9", None), "sip:room@192.168.7.7:5060;ob");
        for (why, kept) in [
            (
                "another port may be meant",
                request("INVITE", "198.51.100.7", "sip:a@198.51.100.7:5080", ""),
            ),
            (
                "a proxy stays",
                request(
                    "INVITE",
                    "10.0.0.1",
                    "sip:a@10.0.0.9",
                    "Record-Route: <sip:10.0.0.1;lr>\n",
                ),
            ),
            ("a proxy went", request("INVITE", "10.0.0.1", "sip:a@10.0.0.9", "")),
            ("names are looked up", request("INVITE", "10.0.0.9", "sip:a@hall.example.org", "")),
            ("registrations", request("REGISTER", "10.0.0.9", "sip:a@10.0.0.9", "")),
        ] {
            let before = kept.rsplit(['<', '>']).nth(1).unwrap();
            assert_eq!(mended(&kept, outside, None), before, "{why}");
        }
    }

    #[test]
    fn who_answers_from_behind_a_nat_is_reached_there_as_well() {
        let inside = response("sip:hall@10.0.0.9:5060", "");
        let outside = "198.51.100.7:33412";
        assert_eq!(mended(&inside, outside, None), "sip:hall@198.51.100.7:33412");
        // A proxy in the house that does not stay in the way, and a device that registered so.
        assert_eq!(mended(&inside, "10.0.0.1:5060", None), "sip:hall@10.0.0.9:5060");
        assert_eq!(
            mended(&inside, "10.0.0.1:5060", Some("10.0.0.1:5060")),
            "sip:hall@10.0.0.1:5060"
        );
        let proxied = response("sip:hall@10.0.0.9", "Record-Route: <sip:198.51.100.7;lr>\n");
        assert_eq!(mended(&proxied, outside, None), "sip:hall@10.0.0.9");
    }
}
