//! LiveKit's webhooks: what happens in meetings, told to URLs of the configuration.
//!
//! Each URL has a bounded queue of its own. What is told of one room comes in order; rooms do not
//! wait for each other. A delivery that fails is tried again with growing, random pauses for a
//! bounded time, then it is dropped, and that shows.

mod delivery;
mod queue;
mod translate;

use std::sync::Arc;
use std::time::Duration;

use conference::access::Keys;
use conference::{News, Subscription};
use fetch::{Address, Client};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use types::Timestamp;

use delivery::{Patience, Target};
use queue::Queue;
use translate::Translator;

/// Where webhooks go.
pub struct WebhookConfig {
    /// To each of these.
    pub urls: Vec<Address>,
    /// The id of the key that signs them.
    pub key: String,
    /// How they are sent.
    pub client: Client,
}

impl WebhookConfig {
    /// How long a receiver may take to answer.
    pub const WITHIN: Duration = Duration::from_secs(10);
    /// An answer is its status: of its body nothing is needed.
    pub const MAX_ANSWER: usize = 1024;
}

/// How the webhooks of one URL do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WebhookStatus {
    /// The URL without its query.
    pub url: String,
    /// Events that wait or are being sent.
    pub queued: usize,
    /// Events that its server took.
    pub delivered: u64,
    /// Events that were given up: refused for good, tried in vain, or more than the queue holds.
    pub dropped: u64,
    /// What went wrong last, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<WebhookFailure>,
}

/// A delivery that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WebhookFailure {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub error: String,
}

/// Tells how webhooks do, wherever they are owned. Clones tell the same.
#[derive(Clone, Default)]
pub struct WebhookFigures(Vec<Arc<Target>>);

impl WebhookFigures {
    /// How each URL does.
    pub fn status(&self) -> Vec<WebhookStatus> {
        self.0.iter().map(|it| it.status()).collect()
    }
}

/// Webhooks at work; they end with their owner.
pub struct Webhooks {
    figures: WebhookFigures,
    queues: Vec<JoinHandle<()>>,
    reader: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Webhooks {
    /// Begins to tell the URLs what `events` says, signed with a key of `keys`.
    pub fn start(config: WebhookConfig, keys: Arc<Keys>, events: Subscription) -> Self {
        Self::start_with(config, keys, events, Patience::default())
    }

    fn start_with(
        config: WebhookConfig,
        keys: Arc<Keys>,
        events: Subscription,
        patience: Patience,
    ) -> Self {
        let WebhookConfig { urls, key, client } = config;
        let target =
            |url| Arc::new(Target::new(url, key.clone(), keys.clone(), client.clone(), patience));
        let targets: Vec<Arc<Target>> = urls.into_iter().map(target).collect();
        let (inboxes, queues) = targets.iter().cloned().map(Queue::start).unzip();
        let (stop, stopped) = oneshot::channel();
        let reader = tokio::spawn(read(events, inboxes, stopped));
        Self { figures: WebhookFigures(targets), queues, reader, stop: Some(stop) }
    }

    /// Tells how each URL does, for as long as anybody asks.
    pub fn figures(&self) -> WebhookFigures {
        self.figures.clone()
    }

    /// Tells what has happened until now, for as long as that may take, and ends.
    pub async fn stop(mut self, within: Duration) {
        drop(self.stop.take());
        let deadline = tokio::time::Instant::now() + within;
        let done = async {
            let _ = (&mut self.reader).await;
            for queue in &mut self.queues {
                let _ = queue.await;
            }
        };
        if tokio::time::timeout_at(deadline, done).await.is_err() {
            let left: usize = self.figures.status().iter().map(|it| it.queued).sum();
            tracing::warn!(left, "some webhooks are not delivered: the server stops");
        }
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.reader.abort();
        self.queues.iter().for_each(JoinHandle::abort);
    }
}

/// Puts events into LiveKit's words, once for all URLs, until it is told to stop: then what has
/// happened by then is still told.
async fn read(
    mut events: Subscription,
    inboxes: Vec<queue::Inbox>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut translator = Translator::default();
    loop {
        let news = tokio::select! {
            // Its sender is dropped, whichever way that ends.
            _ = &mut stopped => break,
            news = events.next() => news,
        };
        let Some(news) = news else { return };
        tell(news, &mut translator, &inboxes);
    }
    while let Some(news) = events.waiting() {
        tell(news, &mut translator, &inboxes);
    }
}

fn tell(news: News, translator: &mut Translator, inboxes: &[queue::Inbox]) {
    match news {
        News::Event(event) => {
            for webhook in translator.translate(&event) {
                let Some(message) = delivery::Message::new(&event.meeting, &webhook) else {
                    continue;
                };
                let message = Arc::new(message);
                inboxes.iter().for_each(|it| it.put(message.clone()));
            }
        }
        News::Missed(count) => {
            tracing::warn!(count, "events came faster than webhooks could take them");
            metrics::counter!("plenum_webhook_missed_total").increment(count);
        }
    }
}

#[cfg(test)]
mod tests;
