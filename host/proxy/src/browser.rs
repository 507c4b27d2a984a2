//! Logins that a person confirms in a browser, while the client waits.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_identity::Proven;
use portcullis_wire::encode;

use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::startup::{Login, Unproven};
use crate::transport::Transport;

/// A login that waits, as its page shows it.
#[derive(Clone, Debug)]
pub struct BrowserLogin {
    /// Unguessable: it is the page's address.
    pub id: String,
    /// `ip:port`.
    pub client_address: String,
    pub database: String,
    pub startup_user: String,
    /// What the person compares or types.
    pub user_code: String,
    /// The provider's own page.
    pub verification_uri: String,
    pub until: SystemTime,
}

/// All logins that wait.
#[derive(Default)]
pub struct Browsers {
    // Locked when one begins, ends or is looked at.
    waiting: Mutex<HashMap<String, BrowserLogin>>,
}

/// A waiting login's page; gone when dropped.
struct Page {
    browsers: Arc<Browsers>,
    id: String,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.browsers.locked().remove(&self.id);
    }
}

impl Browsers {
    pub fn login(&self, id: &str) -> Option<BrowserLogin> {
        self.locked().get(id).cloned()
    }

    fn is_full(&self, waiting_max: usize) -> bool {
        self.locked().len() >= waiting_max
    }

    /// `None` where as many wait as may.
    fn enter(self: &Arc<Browsers>, login: BrowserLogin, waiting_max: usize) -> Option<Page> {
        let mut waiting = self.locked();
        if waiting.len() >= waiting_max {
            return None;
        }
        let id = login.id.clone();
        waiting.insert(id.clone(), login);
        Some(Page { browsers: self.clone(), id })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, BrowserLogin>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the client where to go, and waits until somebody has confirmed who may come as the
/// startup user; the caller checks that. The client has been told that it is in before: no
/// message of the protocol asks a person to wait, but one that follows may.
///
/// Not cancel safe: the client waits for more.
pub async fn confirm(
    login: &mut Login,
    settings: &Settings,
    browsers: &Arc<Browsers>,
    issuer: &str,
) -> Result<Proven, Unproven> {
    let Some(browser) = &settings.browser else {
        return Err(Unproven::Refused(Refusal::NoMethod { user: login.user.clone() }));
    };
    // Before the issuer is asked, so that whoever is turned away costs it nothing.
    if browsers.is_full(browser.waiting_max) {
        return Err(Unproven::Refused(Refusal::TooManyWaiting));
    }
    let device = settings.directory.issuers.begin_device(issuer).await?;
    let wait = browser.wait.min(device.expires_in);
    let id = page_id()?;
    let waiting = BrowserLogin {
        id: id.clone(),
        client_address: login.address.to_string(),
        database: login.database.clone(),
        startup_user: login.user.clone(),
        user_code: device.user_code.clone(),
        verification_uri: device
            .verification_uri_complete
            .clone()
            .unwrap_or_else(|| device.verification_uri.clone()),
        until: SystemTime::now() + wait,
    };
    let page = browsers.enter(waiting, browser.waiting_max);
    let Some(_page) = page else {
        return Err(Unproven::Refused(Refusal::TooManyWaiting));
    };
    tell(login, &format!("{}{id}", browser.page), &device.user_code, wait).await?;
    let confirmed = async {
        tokio::select! {
            confirmed = device.confirmed() => confirmed.map_err(Unproven::from),
            error = gone(&mut login.transport) => Err(Unproven::Io(error)),
        }
    };
    match tokio::time::timeout(wait, confirmed).await {
        Ok(confirmed) => confirmed,
        Err(_) => Err(Unproven::Refused(Refusal::NotConfirmed)),
    }
}

async fn tell(login: &mut Login, page: &str, code: &str, wait: Duration) -> io::Result<()> {
    let report = encode::Report {
        sqlstate: "00000",
        message: format!("to log in, open {page}"),
        detail: Some(format!(
            "Confirm the code {code}. It lets {} into database {} as {}, and is good for {} seconds.",
            login.address.ip(),
            login.database,
            login.user,
            wait.as_secs()
        )),
        hint: Some("Confirm only what you have begun yourself.".to_owned()),
    };
    let mut out = std::mem::take(&mut login.owed);
    encode::notice(&mut out, &report);
    login.transport.write_all(&out).await
}

/// Completes when the client goes, or says something before it was answered.
async fn gone(transport: &mut Transport) -> io::Error {
    let mut byte = [0];
    match transport.read_exact(&mut byte).await {
        Ok(()) => io::ErrorKind::InvalidData.into(),
        Err(error) => error,
    }
}

fn page_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
