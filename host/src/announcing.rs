//! Tells people that a statement waits for them: posts each approval, and its end, to the
//! webhooks of the configuration.
//!
//! A webhook has a thread and a bounded queue of its own. What one cannot take is tried some
//! times, then dropped and counted; approvals wait for nobody here.

mod message;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_approvals::{Announcer, Links, View, signature};
use portcullis_policy::approval::Standing;
use reqwest::blocking::Client;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, Url, redirect};

use crate::config::{WebhookConfig, WebhookFormat};

/// Messages that wait for one webhook.
const QUEUE_MAX: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS_MAX: u32 = 5;
/// Doubled after each attempt.
const BACKOFF: Duration = Duration::from_millis(500);
/// A webhook may ask for a longer pause, but not for longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What is still to be told at the end may take so long.
const GRACE: Duration = Duration::from_secs(3);
/// What of a refusal's text goes into the log.
const ANSWER_BYTES_MAX: u64 = 200;
/// One link for each approver that is needed, but no more than fit a message.
const LINKS_MAX: u32 = 5;

/// The queues of all webhooks.
pub struct Announcing {
    queues: Vec<Queue>,
    /// Hears the end of each thread.
    ended: Receiver<()>,
    grace: Duration,
}

struct Queue {
    origin: String,
    messages: Option<SyncSender<Arc<View>>>,
    dropped: AtomicU64,
}

impl Announcing {
    /// Starts a thread for every webhook. Without a `public_url` of the control surface
    /// messages have no links.
    ///
    /// # Errors
    /// When the HTTP client cannot be made, or a thread not started.
    pub fn start(
        webhooks: &[WebhookConfig],
        public_url: Option<String>,
        links: Links,
    ) -> std::io::Result<Announcing> {
        let public_url: Option<Arc<str>> = public_url.map(|url| url.trim_end_matches('/').into());
        let (ends, ended) = mpsc::channel();
        let mut queues = Vec::new();
        for webhook in webhooks {
            // Following a redirect would tell whom nobody named.
            let client = Client::builder().redirect(redirect::Policy::none()).timeout(TIMEOUT);
            let client = client.build().map_err(std::io::Error::other)?;
            let secret = webhook.secret.as_ref().map(|secret| secret.reveal().to_vec());
            let hook = Hook {
                url: webhook.url.clone(),
                format: webhook.format,
                secret,
                public_url: public_url.clone(),
                links: links.clone(),
                client,
                backoff: BACKOFF,
            };
            let (messages, received) = mpsc::sync_channel(QUEUE_MAX);
            let ends = ends.clone();
            std::thread::Builder::new().name("webhook".into()).spawn(move || {
                hook.run(&received);
                // Whoever waited for the end may be gone.
                let _ = ends.send(());
            })?;
            let origin = webhook.origin();
            queues.push(Queue { origin, messages: Some(messages), dropped: AtomicU64::new(0) });
        }
        Ok(Announcing { queues, ended, grace: GRACE })
    }
}

impl Announcer for Announcing {
    fn announce(&self, view: &View) {
        if self.queues.is_empty() {
            return;
        }
        let view = Arc::new(view.clone());
        for queue in &self.queues {
            let sent = queue.messages.as_ref().map(|messages| messages.try_send(view.clone()));
            if let Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) = sent {
                let dropped = queue.dropped.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::error!(
                    webhook = queue.origin,
                    approval = view.id,
                    dropped,
                    "a webhook is too slow, so this is not announced there"
                );
            }
        }
    }
}

impl Drop for Announcing {
    /// The last messages, about what the end of the proxy ends, get a moment to go out.
    fn drop(&mut self) {
        for queue in &mut self.queues {
            queue.messages = None;
        }
        let until = Instant::now() + self.grace;
        for _ in &self.queues {
            let left = until.saturating_duration_since(Instant::now());
            if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(left) {
                tracing::warn!("a webhook is too slow to hear of all that ended");
                return;
            }
        }
    }
}

/// One webhook, on its thread.
struct Hook {
    /// With chat systems, whoever knows it may write there.
    url: Url,
    format: WebhookFormat,
    secret: Option<Vec<u8>>,
    public_url: Option<Arc<str>>,
    links: Links,
    client: Client,
    backoff: Duration,
}

/// Why a message was not taken.
enum Failure {
    /// Later it may be.
    Passing {
        reason: String,
        pause: Option<Duration>,
    },
    Lasting {
        reason: String,
    },
}

impl Hook {
    fn run(self, received: &Receiver<Arc<View>>) {
        let mut failures = 0_u64;
        while let Ok(view) = received.recv() {
            // What a webhook that was down for long has missed needs no decision any more.
            if view.standing == Standing::Pending && view.expires_at <= seconds_now() {
                continue;
            }
            if let Err(reason) = self.deliver(&view) {
                failures += 1;
                tracing::error!(
                    webhook = self.url.origin().ascii_serialization(),
                    approval = view.id,
                    failures,
                    reason,
                    "an approval could not be announced"
                );
            }
        }
    }

    fn deliver(&self, view: &View) -> Result<(), String> {
        let body = message::body(self.format, view, &self.links(view)?);
        let mut backoff = self.backoff;
        for attempt in 1.. {
            let (reason, pause) = match self.post(&body) {
                Ok(()) => return Ok(()),
                Err(Failure::Lasting { reason }) => return Err(reason),
                Err(Failure::Passing { reason, pause }) => (reason, pause),
            };
            if attempt >= ATTEMPTS_MAX {
                return Err(format!("{reason}, {attempt} times"));
            }
            std::thread::sleep(pause.unwrap_or(backoff).min(PAUSE_MAX));
            backoff = backoff.saturating_mul(2);
        }
        Ok(())
    }

    /// One for each approver that is needed, since each is good once.
    fn links(&self, view: &View) -> Result<Vec<String>, String> {
        let Some(public_url) = &self.public_url else { return Ok(Vec::new()) };
        if view.standing != Standing::Pending {
            return Ok(Vec::new());
        }
        let link = |_| match self.links.issue(&view.id, view.expires_at) {
            Ok(token) => Ok(format!("{public_url}/approve/{token}")),
            Err(error) => Err(error.to_string()),
        };
        (0..view.approvals_needed().min(LINKS_MAX)).map(link).collect()
    }

    fn post(&self, body: &str) -> Result<(), Failure> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        if let Some(secret) = &self.secret {
            // Anew for each attempt, because receivers refuse what was signed long ago.
            let signed = signature::sign(secret, seconds_now(), body.as_bytes());
            request = request.header(signature::HEADER, signed);
        }
        let response = request.send().map_err(|error| Failure::Passing {
            // The address may be a secret.
            reason: error.without_url().to_string(),
            pause: None,
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let pause = pause.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let mut answer = Vec::new();
        // The status says enough where the text cannot be read.
        let _ = response.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
        let reason = format!("{status}: {:?}", String::from_utf8_lossy(&answer));
        let passing = status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
        Err(if passing { Failure::Passing { reason, pause } } else { Failure::Lasting { reason } })
    }
}

/// Seconds since the Unix epoch.
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
