//! The little of HTTP that Janus' interface and our metrics need: JSON there, JSON or text back.
//! HTTP/1.0 knows no chunks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::fault::{Doing, Fault, Result};

/// Janus answers a long poll after 30 s at the latest.
const PATIENCE: Duration = Duration::from_secs(35);

/// Posts `body`, or gets where there is none.
pub fn json(server: SocketAddr, path: &str, body: Option<&Value>) -> Result<Value> {
    Ok(serde_json::from_str(&ask(server, path, body)?)?)
}

/// Gets a text.
pub fn text(server: SocketAddr, path: &str) -> Result<String> {
    ask(server, path, None)
}

fn ask(server: SocketAddr, path: &str, body: Option<&Value>) -> Result<String> {
    let doing = || format!("HTTP {path}");
    let mut stream = TcpStream::connect(server).doing(doing())?;
    stream.set_read_timeout(Some(PATIENCE)).doing(doing())?;
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {server}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).doing(doing())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).doing(doing())?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(Fault::Other(format!("{path}: no HTTP answer")));
    };
    if head.split(' ').nth(1) != Some("200") {
        return Err(Fault::Other(format!("{path}: {}", head.lines().next().unwrap_or_default())));
    }
    Ok(body.to_owned())
}
