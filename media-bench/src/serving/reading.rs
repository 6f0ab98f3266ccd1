//! Whoever reads from the API: an open loop, which asks when it is due whatever has been answered.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::{history, program};
use crate::fault::{Doing, Fault, Result, missing};

/// Connections that are kept open; requests go over them in turn.
const CONNECTIONS: u32 = 16;

/// First pages of the history: of all, of a room, and of a person.
const PAGES: [&str; 4] = [
    "/api/v1/history/meetings?limit=100",
    "/api/v1/history/participants?limit=100",
    "/api/v1/history/meetings?limit=100&meeting=room-7",
    "/api/v1/history/participants?limit=100&identity=person-7",
];

/// Reads with one token.
#[derive(Clone)]
pub struct Reader {
    server: SocketAddr,
    token: String,
}

/// A reading under way, on a thread of its own.
pub struct Reading(JoinHandle<Result<Times>>);

/// How long answers took from when they were due to be asked for, sorted.
pub struct Times(Vec<Duration>);

impl Reader {
    pub fn new(server: SocketAddr, token: &str) -> Self {
        Self { server, token: token.to_owned() }
    }

    /// What an administrator's page reads: what goes on, what is booked, what was.
    fn paths() -> Vec<String> {
        let meeting = program::meeting(0);
        vec![
            "/api/v1/live/meetings".to_owned(),
            format!("/api/v1/meetings/{meeting}/participants"),
            format!("/api/v1/meetings/{meeting}/lobby"),
            "/api/v1/meetings?limit=20".to_owned(),
            "/api/v1/accounts?limit=20".to_owned(),
            "/api/v1/history/meetings?limit=20".to_owned(),
            "/api/v1/history/participants?limit=20".to_owned(),
            format!("/api/v1/history/participants/{}/quality", history::stay(777)),
        ]
    }

    /// How long the slowest page of a long list takes, one asked for after the other.
    pub fn slowest_page(&self) -> Result<Duration> {
        runtime()?.block_on(async {
            let mut connection = self.connect().await?;
            let mut slowest = Duration::ZERO;
            for first in PAGES {
                let mut path = first.to_owned();
                // The first page and the one that follows it.
                for _ in 0..2 {
                    let begun = Instant::now();
                    let page = self.get(&mut connection, &path).await?;
                    slowest = slowest.max(begun.elapsed());
                    let page: Value = serde_json::from_slice(&page)?;
                    let rows = page.get("items").and_then(Value::as_array).map_or(0, Vec::len);
                    if rows != 100 {
                        return Err(Fault::Other(format!("{path}: {rows} rows")));
                    }
                    let next = page.get("next").and_then(Value::as_str).unwrap_or_default();
                    path = format!("{first}&after={next}");
                }
            }
            Ok(slowest)
        })
    }

    /// Begins to read `rate` times a second for `time`.
    pub fn begin(&self, rate: u32, time: Duration) -> Reading {
        let this = self.clone();
        Reading(std::thread::spawn(move || runtime()?.block_on(this.read(rate, time))))
    }

    async fn read(self, rate: u32, time: Duration) -> Result<Times> {
        let begun = Instant::now();
        let step = Duration::from_secs(1) / rate;
        let mut tasks = tokio::task::JoinSet::new();
        for connection in 0..CONNECTIONS {
            let this = self.clone();
            tasks.spawn(async move { this.read_over_one(connection, begun, step, time).await });
        }
        let mut times = Vec::new();
        while let Some(task) = tasks.join_next().await {
            times.extend(task.map_err(|_| Fault::Other("a reader broke".into()))??);
        }
        times.sort_unstable();
        Ok(Times(times))
    }

    async fn read_over_one(
        &self,
        connection: u32,
        begun: Instant,
        step: Duration,
        time: Duration,
    ) -> Result<Vec<Duration>> {
        let paths = Self::paths();
        let mut sender = self.connect().await?;
        let mut times = Vec::new();
        let mut number = connection;
        loop {
            let due = begun + step * number;
            if due >= begun + time {
                return Ok(times);
            }
            tokio::time::sleep_until(due.into()).await;
            let path = paths.get(number as usize % paths.len()).ok_or_else(|| missing("a path"))?;
            self.get(&mut sender, path).await?;
            times.push(due.elapsed());
            number += CONNECTIONS;
        }
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(self.server).await.doing("connecting")?;
        stream.set_nodelay(true).doing("connecting")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn get(&self, sender: &mut SendRequest<Empty<Bytes>>, path: &str) -> Result<Bytes> {
        let request = Request::get(path)
            .header(HOST, self.server.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Empty::new())
            .map_err(|error| Fault::Other(error.to_string()))?;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(Fault::Other(format!("{path}: {status} {body}")));
        }
        Ok(body)
    }
}

impl Reading {
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    pub fn end(self) -> Result<Times> {
        self.0.join().map_err(|_| Fault::Other("the reader broke".into()))?
    }
}

impl Times {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Within which time this share of the answers was there.
    pub fn at(&self, share: f64) -> Result<Duration> {
        let place = (self.0.len() as f64 * share) as usize;
        let place = place.min(self.0.len().saturating_sub(1));
        self.0.get(place).copied().ok_or_else(|| missing("an answer"))
    }
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().doing("a runtime")
}
