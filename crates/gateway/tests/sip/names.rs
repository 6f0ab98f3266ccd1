//! Where the servers of a name are: against a name server of our own (RFC 3263).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use conference::LegState;
use gateway::sip::{LocateError, SipConfig, Target, Transport};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::bridge::{Bridge, SDP, config, loopback};
use crate::house::House;
use crate::trunks::{becomes, dial, exchange, hang_up, next_invite, rule, trunk_of};

/// A name and one of its records.
type Entry = (&'static str, RData);

fn naptr(order: u16, service: &str, to: &str) -> RData {
    let to = Name::from_ascii(to).unwrap();
    RData::NAPTR(NAPTR::new(
        order,
        1,
        b"s".as_slice().into(),
        service.as_bytes().into(),
        Box::default(),
        to,
    ))
}

fn srv(priority: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, 1, port, Name::from_ascii(target).unwrap()))
}

fn a(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(127, 0, 0, last)))
}

/// A name server of these records.
async fn name_server(records: Vec<Entry>) -> SocketAddr {
    let socket = UdpSocket::bind(loopback()).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let mut message = Message::from_vec(&buffer[..length]).unwrap().into_response();
            let query = message.queries[0].clone();
            let name = query.name().to_ascii();
            let known = records.iter().filter(|(known, _)| name.eq_ignore_ascii_case(known));
            let mut exists = false;
            for (_, data) in known {
                exists = true;
                if data.record_type() == query.query_type() {
                    message.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
                }
            }
            let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
            message.metadata.response_code = code;
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

async fn located(bridge: &Bridge, address: &str) -> Result<Vec<(Transport, String)>, LocateError> {
    let found = bridge.endpoint.locate(&Target::read(address).unwrap()).await?;
    let server = |it: &Target| it.server().map(|(transport, at)| (transport, at.to_string()));
    Ok(found.iter().map(|it| server(it).unwrap()).collect())
}

#[tokio::test]
async fn the_servers_of_a_name_are_found_in_their_order() {
    let server = name_server(vec![
        ("a.test.", naptr(20, "SIP+D2U", "_sip._udp.a.test.")),
        ("a.test.", naptr(10, "SIP+D2T", "_sip._tcp.a.test.")),
        ("_sip._tcp.a.test.", srv(20, 5082, "two.a.test.")),
        ("_sip._tcp.a.test.", srv(10, 5081, "one.a.test.")),
        ("_sip._udp.a.test.", srv(10, 5083, "one.a.test.")),
        ("one.a.test.", a(11)),
        ("two.a.test.", a(12)),
        ("_sip._udp.b.test.", srv(10, 5084, "one.a.test.")),
        ("c.test.", a(13)),
        ("_sip._udp.d.test.", srv(10, 5085, ".")),
        ("_sip._tcp.d.test.", srv(10, 5086, "one.a.test.")),
        ("e.test.", naptr(10, "SIPS+D2T", "_sips._tcp.e.test.")),
    ])
    .await;
    let bridge = Bridge::start(SipConfig { name_servers: vec![server], ..config() }).await;
    let (udp, tcp) = (Transport::Udp, Transport::Tcp);
    for (address, servers) in [
        // NAPTR prefers TCP, and leaves UDP as the second choice.
        ("sip:x@a.test", vec![(tcp, "11:5081"), (tcp, "12:5082"), (udp, "11:5083")]),
        // Whoever names a transport gets it.
        ("sip:x@A.test.;transport=udp", vec![(udp, "11:5083")]),
        // Without NAPTR all transports are asked for, without SRV there is the address.
        ("x@b.test", vec![(udp, "11:5084")]),
        ("x@c.test", vec![(udp, "13:5060")]),
        ("x@c.test:5099", vec![(udp, "13:5099")]),
        ("sip:x@d.test", vec![(tcp, "11:5086")]),
        ("x@127.0.0.9", vec![(udp, "9:5060")]),
    ] {
        let servers: Vec<_> =
            servers.iter().map(|(it, at)| (*it, format!("127.0.0.{at}"))).collect();
        assert_eq!(located(&bridge, address).await.unwrap(), servers, "{address}");
    }
    for (address, error) in [
        ("x@nowhere.test", LocateError::NoSuchName("nowhere.test".into())),
        // This endpoint has no TLS.
        ("x@e.test", LocateError::NoTransport("e.test".into())),
        ("sips:x@a.test", LocateError::NoTransport("a.test".into())),
    ] {
        assert_eq!(located(&bridge, address).await, Err(error), "{address}");
    }
}

#[tokio::test]
async fn a_name_server_that_is_silent_is_told_in_time() {
    let silent = UdpSocket::bind(loopback()).await.unwrap();
    let name_servers = vec![silent.local_addr().unwrap()];
    let bridge = Bridge::start(SipConfig { name_servers, ..config() }).await;
    let began = Instant::now();
    let error = located(&bridge, "x@a.test").await.unwrap_err();
    assert_eq!(error, LocateError::NoResolver("a.test".into()));
    assert!(error.to_string().contains("name_servers"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_trunk_that_dns_knows_has_its_second_server_called_where_the_first_cannot() {
    let (mut first, first_at) = exchange().await;
    let (mut second, second_at) = exchange().await;
    let server = name_server(vec![
        ("_sip._udp.pbx.test.", srv(10, first_at.port(), "one.pbx.test.")),
        ("_sip._udp.pbx.test.", srv(20, second_at.port(), "one.pbx.test.")),
        ("one.pbx.test.", a(1)),
    ])
    .await;
    let action = r#""to":"trunk","trunk":"pbx","called":"$1""#;
    let records = [
        trunk_of("by_address", "pbx.test", r#","networks":["127.0.0.1"]"#),
        rule(1, "out", "out", r#""called":"9(\\d+)""#, action),
    ];
    let house = House::asking(&records, vec![server]).await;
    let us = house.calls("board").await.server;
    (first.server, second.server) = (us, us);
    let leg = dial(&house, "9123").await.unwrap();
    let invite = next_invite(&first).await;
    assert_eq!(invite.first_line(), "INVITE sip:123@pbx.test SIP/2.0");
    first.respond(&invite, "503 Service Unavailable", "").await;
    let invite = next_invite(&second).await;
    assert_eq!(invite.first_line(), "INVITE sip:123@pbx.test SIP/2.0");
    second.respond(&invite, "200 OK", SDP).await;
    becomes(&house, &leg, LegState::Active).await;
    hang_up(&house, &second, &leg).await;
    // It is known now, and passed over.
    let leg = dial(&house, "9124").await.unwrap();
    let invite = next_invite(&second).await;
    assert!(invite.first_line().starts_with("INVITE sip:124@"), "{}", invite.0);
    // What one of them does not know the other is not asked.
    second.respond(&invite, "404 Not Found", "").await;
    becomes(&house, &leg, LegState::NotFound).await;
    house.gateway.stop().await;
}
