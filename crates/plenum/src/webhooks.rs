//! LiveKit's webhooks, as the configuration wants them.

use std::sync::Arc;

use conference::Conference;
use conference::access::Keys;
use fetch::Client;
use livekit::webhook::{WebhookConfig, Webhooks};

use crate::certificate::{self, CertificateError};
use crate::config::Config;

/// Begins to tell what happens; `None` where nobody is to be told. Meetings that begin before this
/// are not told of.
pub fn start(
    config: &Config,
    conference: &Conference,
    keys: Arc<Keys>,
) -> Result<Option<Webhooks>, CertificateError> {
    let urls = config.webhook.urls.clone();
    let Some(key) = config.webhook.key.clone().filter(|_| !urls.is_empty()) else {
        return Ok(None);
    };
    let secure = urls.iter().any(|it| it.server.secure);
    let tls = secure.then(|| certificate::https_client(config.webhook.ca_file.as_deref()));
    let client = Client {
        tls: tls.transpose()?,
        within: WebhookConfig::WITHIN,
        max_answer: WebhookConfig::MAX_ANSWER,
    };
    let webhooks = WebhookConfig { urls, key, client };
    Ok(Some(Webhooks::start(webhooks, keys, conference.events())))
}
