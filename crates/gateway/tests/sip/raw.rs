//! A scripted peer on a UDP socket: for what no well-behaved peer sends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::UdpSocket;

use crate::bridge::{PATIENCE, loopback};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A message that came.
#[derive(Debug, Clone)]
pub struct Message(pub String);

impl Message {
    pub fn first_line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// The status of a response, 0 for a request.
    pub fn status(&self) -> u16 {
        let mut words = self.first_line().split(' ');
        if words.next() == Some("SIP/2.0") { words.next().unwrap().parse().unwrap() } else { 0 }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next()?;
        head.lines().filter_map(|line| line.split_once(':')).find_map(|(found, value)| {
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// One call's worth of a peer.
pub struct Peer {
    pub socket: UdpSocket,
    pub server: SocketAddr,
    pub call_id: String,
    pub to_tag: Option<String>,
    pub user: &'static str,
    /// Header lines for the next request.
    pub extra: String,
}

impl Peer {
    pub async fn new(server: SocketAddr, user: &'static str) -> Self {
        let socket = UdpSocket::bind(loopback()).await.unwrap();
        let call_id =
            format!("raw-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { socket, server, call_id, to_tag: None, user, extra: String::new() }
    }

    pub fn request(&self, method: &str, cseq: u32, body: &str) -> String {
        let local = self.socket.local_addr().unwrap();
        let tag = self.to_tag.as_ref().map_or(String::new(), |tag| format!(";tag={tag}"));
        let cseq_method = if method == "ACK" { "ACK" } else { method };
        let kind = match body.is_empty() || self.extra.contains("Content-Type") {
            true => "",
            false => "Content-Type: application/sdp\r\n",
        };
        let branch = match method {
            // Those belong to the INVITE's transaction, or are tried as if they did.
            "CANCEL" => "INVITE",
            other => other,
        };
        format!(
            "{method} sip:{user}@{server} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK-{branch}-{cseq}-{call}\r\n\
             From: \"Raw\" <sip:raw@{local}>;tag=raw\r\nTo: <sip:{user}@{server}>{tag}\r\n\
             Call-ID: {call}\r\nCSeq: {cseq} {cseq_method}\r\nContact: <sip:raw@{local}>\r\n\
             Max-Forwards: 70\r\n{extra}{kind}Content-Length: {length}\r\n\r\n{body}",
            user = self.user,
            server = self.server,
            call = self.call_id,
            extra = self.extra,
            length = body.len(),
        )
    }

    pub async fn send(&mut self, method: &str, cseq: u32, body: &str) {
        let message = self.request(method, cseq, body);
        self.extra.clear();
        self.send_raw(message.as_bytes()).await;
    }

    pub async fn send_raw(&self, message: &[u8]) {
        self.socket.send_to(message, self.server).await.unwrap();
    }

    pub async fn receive(&self) -> Message {
        let mut buffer = vec![0; 65_536];
        let received = tokio::time::timeout(PATIENCE, self.socket.recv_from(&mut buffer));
        let (length, _) = received.await.expect("nothing came").unwrap();
        Message(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// The final response to a request, past provisional ones and other requests' answers.
    pub async fn answer(&mut self, cseq: u32, method: &str) -> Message {
        loop {
            let message = self.receive().await;
            let ours = message.header("CSeq") == Some(&format!("{cseq} {method}"));
            if ours && message.status() >= 180 {
                if message.status() < 300 && method == "INVITE" {
                    let to = message.header("To").unwrap();
                    self.to_tag = to.split_once("tag=").map(|(_, tag)| tag.to_owned());
                }
                if message.status() >= 200 {
                    return message;
                }
            }
        }
    }

    /// The next request that comes, past responses.
    pub async fn next_request(&self) -> Message {
        loop {
            let message = self.receive().await;
            if message.status() == 0 {
                return message;
            }
        }
    }

    /// Answers a request that came.
    pub async fn respond(&self, request: &Message, status: &str, body: &str) {
        self.send_raw(self.response(request, status, body).as_bytes()).await;
    }

    /// The answer to a request that came.
    pub fn response(&self, request: &Message, status: &str, body: &str) -> String {
        let local = self.socket.local_addr().unwrap();
        let copied = |name: &str| format!("{name}: {}\r\n", request.header(name).unwrap());
        let to = request.header("To").unwrap();
        let tag = if to.contains("tag=") || status.starts_with("100") { "" } else { ";tag=raw" };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "SIP/2.0 {status}\r\n{}{}To: {to}{tag}\r\n{}{}Contact: <sip:raw@{local}>\r\n{}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            copied("Via"),
            copied("From"),
            copied("Call-ID"),
            copied("CSeq"),
            self.extra,
            body.len(),
        )
    }

    /// A request inside a call that we were called in by this INVITE.
    pub fn within(
        &self,
        invite: &Message,
        method: &str,
        cseq: u32,
        extra: &str,
        body: &str,
    ) -> String {
        let local = self.socket.local_addr().unwrap();
        let [from, to, call_id, contact] =
            ["To", "From", "Call-ID", "Contact"].map(|it| invite.header(it).unwrap());
        let uri = contact.trim_start_matches('<').split('>').next().unwrap();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-{method}-{cseq}-{call_id}\r\n\
             From: {from};tag=raw\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:raw@{local}>\r\nMax-Forwards: 70\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// An established call.
    pub async fn call(&mut self, sdp: &str) -> Message {
        self.send("INVITE", 1, sdp).await;
        let answer = self.answer(1, "INVITE").await;
        assert_eq!(answer.status(), 200, "{}", answer.0);
        self.send("ACK", 1, "").await;
        answer
    }

    /// Presses keys, each told in an INFO.
    pub async fn press(&mut self, keys: &str, cseq: &mut u32) {
        for key in keys.chars() {
            *cseq += 1;
            self.extra = "Content-Type: application/dtmf-relay\r\n".into();
            self.send("INFO", *cseq, &format!("Signal={key}\r\nDuration=160\r\n")).await;
            assert_eq!(self.answer(*cseq, "INFO").await.status(), 200);
        }
    }

    pub async fn hang_up(&mut self, cseq: u32) {
        self.send("BYE", cseq, "").await;
        assert_eq!(self.answer(cseq, "BYE").await.status(), 200);
    }
}
