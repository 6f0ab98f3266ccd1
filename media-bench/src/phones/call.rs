//! A phone's call: INVITE with sound alone, and ACK. It lasts until the server ends it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::fault::{Doing, Fault, Result, missing};
use crate::machine;

const SIP_PORT: u16 = 5_060;
/// Until it is sent again; and how often.
const PATIENCE: Duration = Duration::from_millis(500);
const TRIES: usize = 6;
/// The longest answer.
const LONGEST: usize = 4_096;

/// Who calls, one after another, from one port.
pub struct Caller {
    socket: UdpSocket,
    calls: u32,
}

impl Caller {
    pub fn new() -> Result<Self> {
        let server = SocketAddr::from((machine::ADDRESS, SIP_PORT));
        let socket = UdpSocket::bind((std::net::Ipv4Addr::from(machine::ADDRESS), 0));
        let socket = socket.doing("a socket for SIP")?;
        socket.connect(server).doing("a socket for SIP")?;
        socket.set_read_timeout(Some(PATIENCE)).doing("a socket for SIP")?;
        Ok(Self { socket, calls: 0 })
    }

    /// Calls a meeting, with the port for what is heard; the server's port for what is said.
    pub fn call(&mut self, meeting: &str, port: u16) -> Result<u16> {
        self.calls += 1;
        let [a, b, c, d] = machine::ADDRESS;
        let body = format!(
            "v=0\r\no=phone 1 1 IN IP4 {a}.{b}.{c}.{d}\r\ns=-\r\nc=IN IP4 {a}.{b}.{c}.{d}\r\n\
             t=0 0\r\nm=audio {port} RTP/AVP 0\r\na=sendrecv\r\n"
        );
        let to = format!("<sip:{meeting}@{a}.{b}.{c}.{d}>");
        let invite = format!(
            "{}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            self.head("INVITE", &to)?,
            body.len()
        );
        let answer = self.ask(&invite)?;
        let to = field(&answer, "To: ").ok_or_else(|| missing("who answered"))?;
        let ack = format!("{}Content-Length: 0\r\n\r\n", self.head("ACK", to)?);
        self.socket.send(ack.as_bytes()).doing("an ACK")?;
        let port = field(&answer, "m=audio ").and_then(|it| it.split(' ').next()?.parse().ok());
        port.filter(|it| *it != 0).ok_or_else(|| missing("a port for sound"))
    }

    fn head(&self, method: &str, to: &str) -> Result<String> {
        let (own, call) = (self.socket.local_addr().doing("a socket for SIP")?, self.calls);
        let server = SocketAddr::from((machine::ADDRESS, SIP_PORT));
        let user = to.split(['<', '@']).nth(1).unwrap_or_default();
        Ok(format!(
            "{method} {user}@{server} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {own};branch=z9hG4bK{method}{call}\r\n\
             From: \"phone {call}\" <sip:phone{call}@{own}>;tag=phone{call}\r\nTo: {to}\r\n\
             Call-ID: {call}@{own}\r\nCSeq: 1 {method}\r\nContact: <sip:phone{call}@{own}>\r\n\
             Max-Forwards: 70\r\n"
        ))
    }

    /// What is answered in the end.
    fn ask(&self, invite: &str) -> Result<String> {
        let call = format!("Call-ID: {}@", self.calls);
        let mut buffer = [0; LONGEST];
        for _ in 0..TRIES {
            self.socket.send(invite.as_bytes()).doing("an INVITE")?;
            while let Ok(length) = self.socket.recv(&mut buffer) {
                let text = buffer.get(..length).unwrap_or_default();
                let text = String::from_utf8_lossy(text);
                let status = text.strip_prefix("SIP/2.0 ").filter(|_| text.contains(&call));
                match status.and_then(|it| it.get(..1)) {
                    // It rings, or another call's answer once more.
                    None | Some("1") => {}
                    Some("2") => return Ok(text.into_owned()),
                    Some(_) => {
                        let line = text.lines().next().unwrap_or_default();
                        return Err(Fault::Other(format!("a phone is not let in: {line}")));
                    }
                }
            }
        }
        Err(missing("an answer to a phone's call"))
    }
}

fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| line.strip_prefix(name))
}
