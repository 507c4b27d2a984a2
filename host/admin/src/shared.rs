//! What every request has in its hands.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use portcullis_policy::event::Notable;
use tokio::sync::Semaphore;

use crate::browsers::{Browsers, Flows};
use crate::parts::Parts;
use crate::problem::Problem;
use crate::secret::Key;
use crate::settings::{AdminSettings, PublicUrl};

pub(crate) struct Shared {
    pub settings: ArcSwap<AdminSettings>,
    /// The one that was bound.
    pub address: SocketAddr,
    pub parts: Parts,
    pub browsers: Browsers,
    pub flows: Flows,
    /// Of the marks in forms.
    pub key: Key,
    pub password_checks: Arc<Semaphore>,
    /// Held while a decision by link is taken, so that of two at once one finds it used.
    pub link_in_use: tokio::sync::Mutex<()>,
}

impl Shared {
    pub fn new(
        settings: AdminSettings,
        address: SocketAddr,
        parts: Parts,
    ) -> io::Result<Arc<Shared>> {
        let limits = settings.limits;
        let key =
            Key::generate().ok_or_else(|| io::Error::other("this system has no randomness"))?;
        Ok(Arc::new(Shared {
            settings: ArcSwap::from_pointee(settings),
            address,
            parts,
            browsers: Browsers::new(limits.browsers_max, limits.browser_login),
            flows: Flows::default(),
            key,
            password_checks: Arc::new(Semaphore::new(limits.password_checks_max)),
            link_in_use: tokio::sync::Mutex::default(),
        }))
    }

    /// The URL that browsers and links use.
    pub fn url(&self) -> PublicUrl {
        self.settings.load().url(self.address)
    }

    /// Returns when the ledger has the record. What cannot be recorded is not done.
    pub async fn record(&self, notable: Notable) -> Result<(), Problem> {
        let record = self.parts.record.clone();
        match self.blocking(move || record(notable)).await? {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "the control surface could not write the ledger");
                Err(Problem::unavailable("the ledger cannot be written, so nothing is changed"))
            }
        }
    }

    /// Off the thread that serves everybody.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            tracing::error!(%error, "a task of the control surface ended by a panic");
            Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "this is a fault of ours")
        })
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn seconds_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.as_ref().map(Duration::as_secs).unwrap_or_default()
}
