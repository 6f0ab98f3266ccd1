//! The HTTP servers: HTTPS, and plain HTTP that serves the same or points there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{DoorLimits, Doors};
use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::https::TlsListener;
use crate::serve::ServeError;

/// The port that `https://` means where none is written.
const HTTPS_PORT: u16 = 443;

/// Servers that run until [`Servers::stop`].
#[derive(Default)]
pub struct Servers {
    stop: CancellationToken,
    running: JoinSet<io::Result<()>>,
}

impl Servers {
    /// Serves `routes` over plain HTTP; the address that it is at.
    pub async fn plain(
        &mut self,
        listen: SocketAddr,
        routes: Router,
    ) -> Result<SocketAddr, ServeError> {
        let (listener, address) = bind("HTTP", listen).await?;
        // What is tapped has the client's address as connection information, whatever listens.
        let listener = Doors::new(listener, DoorLimits::default()).tap_io(|_| {});
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        let server = axum::serve(listener, service)
            .with_graceful_shutdown(self.stop.clone().cancelled_owned());
        self.running.spawn(server.into_future());
        Ok(address)
    }

    /// Serves `routes` over HTTPS; the address that it is at.
    pub async fn tls(
        &mut self,
        listen: SocketAddr,
        config: Arc<ServerConfig>,
        routes: Router,
    ) -> Result<SocketAddr, ServeError> {
        let failed = |source| ServeError::Listen { what: "HTTPS", address: listen, source };
        let (listener, address) = bind("HTTPS", listen).await?;
        let listener = TlsListener::new(listener, config).map_err(failed)?;
        let listener = Doors::new(listener, DoorLimits::default()).tap_io(|_| {});
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        let server = axum::serve(listener, service)
            .with_graceful_shutdown(self.stop.clone().cancelled_owned());
        self.running.spawn(server.into_future());
        Ok(address)
    }

    /// Takes no more connections; requests under way have some time to end.
    pub async fn stop(mut self, within: Duration) {
        self.stop.cancel();
        let ended = async {
            while let Some(ended) = self.running.join_next().await {
                if let Ok(Err(error)) = ended {
                    tracing::warn!(%error, "HTTP ended with an error");
                }
            }
        };
        if tokio::time::timeout(within, ended).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
    }
}

async fn bind(
    what: &'static str,
    listen: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { what, address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// `routes`, and everything else is found at the same host over HTTPS on `port`.
pub fn redirecting(routes: Router, port: u16) -> Router {
    routes.fallback(move |request: Request| async move { redirect(&request, port) })
}

fn redirect(request: &Request, port: u16) -> Response {
    let Some(location) = location(request, port) else {
        return (StatusCode::BAD_REQUEST, "the request names no host\n").into_response();
    };
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response()
}

/// The same over HTTPS. 308 keeps method and body: an application's calls arrive as well.
fn location(request: &Request, port: u16) -> Option<HeaderValue> {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority: Authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => named?.parse().ok()?,
    };
    let (host, path) = (authority.host(), request.uri().path_and_query());
    if host.is_empty() {
        return None;
    }
    let path = path.map_or("/", |path| path.as_str());
    let location = match port {
        HTTPS_PORT => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    };
    location.try_into().ok()
}

#[cfg(test)]
mod tests;
