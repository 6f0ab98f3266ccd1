//! TLS under HTTP: accepts connections and shakes hands beside each other, so that a client that
//! says nothing holds up nobody.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A handshake takes two round trips; whoever needs longer says nothing or plays for time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Handshakes at a time, some 30 kB of memory each; further connections wait in the system's queue.
const HANDSHAKES: usize = 512;
/// Handshakes at a time of one source, so that one alone cannot take all. An office behind one
/// address gets a hundred people in within a second all the same: each takes some 50 ms.
const HANDSHAKES_PER_SOURCE: usize = 64;
/// Connections that are ready and wait to be served.
const READY: usize = 64;
/// After an accept failed, as when descriptors are used up: trying at once would spin.
const PAUSE: Duration = Duration::from_millis(200);

type Connection = (TlsStream<TcpStream>, SocketAddr);

/// Gives connections whose handshake is done.
pub struct TlsListener {
    local: SocketAddr,
    ready: mpsc::Receiver<Connection>,
}

impl TlsListener {
    /// Shakes hands with whoever connects to `listener`, until this is dropped.
    ///
    /// # Errors
    /// The system's, where the socket has no address.
    pub fn new(listener: TcpListener, config: Arc<ServerConfig>) -> io::Result<Self> {
        Self::patient(listener, config, HANDSHAKE_WITHIN)
    }

    fn patient(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        patience: Duration,
    ) -> io::Result<Self> {
        let local = listener.local_addr()?;
        let (done, ready) = mpsc::channel(READY);
        let acceptor = Acceptor {
            tls: TlsAcceptor::from(config),
            places: Arc::new(Semaphore::new(HANDSHAKES)),
            sources: Arc::default(),
            patience,
            done,
        };
        tokio::spawn(acceptor.run(listener));
        Ok(Self { local, ready })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Connection {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The acceptor ends after this listener alone; axum has no word for the end.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

struct Acceptor {
    tls: TlsAcceptor,
    places: Arc<Semaphore>,
    sources: Arc<Mutex<Sources>>,
    patience: Duration,
    done: mpsc::Sender<Connection>,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                () = self.done.closed() => return,
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "accepting HTTPS");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<()> {
        // Never closed.
        let Ok(place) = self.places.clone().acquire_owned().await else { return Ok(()) };
        let (stream, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            // The client's own affair.
            Err(error) if is_of_client(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(turn) = Turn::take(&self.sources, source.ip()) else {
            tracing::debug!(%source, "too many TLS handshakes at a time");
            return Ok(());
        };
        // Only a matter of latency.
        let _ = stream.set_nodelay(true);
        let (tls, done, patience) = (self.tls.clone(), self.done.clone(), self.patience);
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(patience, tls.accept(stream)).await;
            drop((place, turn));
            match shaken {
                // An error: the server stops.
                Ok(Ok(stream)) => drop(done.send((stream, source)).await),
                Ok(Err(error)) => tracing::debug!(%source, %error, "TLS handshake"),
                Err(_) => tracing::debug!(%source, "TLS handshake took too long"),
            }
        });
        Ok(())
    }
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Handshakes under way by source: never more entries than handshakes.
type Sources = HashMap<IpAddr, usize>;

/// One handshake of a source.
struct Turn {
    sources: Arc<Mutex<Sources>>,
    source: IpAddr,
}

impl Turn {
    fn take(sources: &Arc<Mutex<Sources>>, source: IpAddr) -> Option<Self> {
        let source = types::client_network(source);
        let mut locked = lock(sources);
        let count = locked.entry(source).or_default();
        if *count >= HANDSHAKES_PER_SOURCE {
            return None;
        }
        *count += 1;
        drop(locked);
        Some(Self { sources: sources.clone(), source })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut locked = lock(&self.sources);
        if let Some(count) = locked.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                locked.remove(&self.source);
            }
        }
    }
}

fn lock(sources: &Mutex<Sources>) -> MutexGuard<'_, Sources> {
    sources.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
