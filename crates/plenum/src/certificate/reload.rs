//! Reading the certificate anew while the server runs.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval_at};

use super::{CertificateError, Certificates};

/// How often the local authority's certificate is looked at: it is issued anew in good time.
const LOOK_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Reads the certificate anew at each SIGHUP, and issues it anew before it ends if it is the local
/// authority's. To be spawned.
///
/// # Errors
/// The system's, where it gives no signals: told at once, before anything is spawned.
pub fn follow(
    certificates: Arc<Certificates>,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut looks = interval_at(Instant::now() + LOOK_INTERVAL, LOOK_INTERVAL);
    Ok(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                _ = looks.tick(), if certificates.is_local() => {}
            }
            let certificates = certificates.clone();
            let reload = move || certificates.reload(SystemTime::now());
            match tokio::task::spawn_blocking(reload).await {
                Ok(Ok(())) => tracing::info!("the certificate was read anew"),
                Ok(Err(error)) => log_failure(&error),
                Err(error) => tracing::error!(%error, "reading the certificate anew"),
            }
        }
    })
}

fn log_failure(error: &CertificateError) {
    tracing::error!(%error, "the certificate cannot be read anew: the old one stays");
}
