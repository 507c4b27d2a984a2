//! All issuers, and the thread that talks to them.
//!
//! Sessions run on other runtimes: they send what is to be done and wait for the answer.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::browser_login::{CodeLogin, CodeRequest};
use crate::device::DeviceGrant;
use crate::issuer::Issuer;
use crate::issuer_config::IssuerConfig;
use crate::issuer_http::Http;
use crate::proven::Proven;
use crate::secret::Secret;
use crate::token::{TokenBasis, TokenError};

/// So many logins and checks may be under way; the next one is turned away.
const UNDER_WAY_MAX: usize = 1024;

/// A handle to all issuers. Their thread ends with the last handle.
#[derive(Clone)]
pub struct Issuers {
    configs: Arc<HashMap<String, Arc<IssuerConfig>>>,
    work: mpsc::UnboundedSender<(String, Work)>,
    /// Bounds what is in the channel and behind it.
    under_way: Arc<Semaphore>,
}

/// A login that waits for a person. Dropping it gives the login up.
#[derive(Debug)]
pub struct DeviceLogin {
    /// What the person is asked for, or should find on the page.
    pub user_code: String,
    /// The issuer's page.
    pub verification_uri: String,
    /// The same, with the code in it.
    pub verification_uri_complete: Option<String>,
    /// How long the person has.
    pub expires_in: Duration,
    issuers: Issuers,
    issuer: String,
    grant: DeviceGrant,
}

type Work = Box<dyn FnOnce(Rc<Issuer>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

impl Issuers {
    /// Starts the thread. No issuer is asked before a login needs it.
    ///
    /// # Errors
    /// A configuration that [`IssuerConfig::check`] refuses, two issuers whose subjects could
    /// be mistaken for one another, certificates that cannot be read, or no thread.
    ///
    /// # Panics
    /// When the process has installed no provider of TLS cryptography.
    pub fn start(configs: Vec<IssuerConfig>) -> io::Result<Issuers> {
        check_together(&configs)?;
        let configs: Vec<Arc<IssuerConfig>> = configs.into_iter().map(Arc::new).collect();
        let mut clients = Vec::with_capacity(configs.len());
        for config in &configs {
            clients.push((Arc::clone(config), Http::new(config)?));
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (work, orders) = mpsc::unbounded_channel();
        thread::Builder::new()
            .name("issuers".to_owned())
            .spawn(move || LocalSet::new().block_on(&runtime, serve(clients, orders)))?;
        let named = configs.into_iter().map(|config| (config.name.clone(), config));
        Ok(Issuers {
            configs: Arc::new(named.collect()),
            work,
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        })
    }

    /// The issuer's settings.
    pub fn config(&self, issuer: &str) -> Option<&IssuerConfig> {
        self.configs.get(issuer).map(Arc::as_ref)
    }

    /// Whom a token proves that a client showed as its password or by OAUTHBEARER.
    ///
    /// Cancel safe, as all that follow: what is dropped is given up.
    pub async fn verify(&self, issuer: &str, token: String) -> Result<Proven, TokenError> {
        let token = Secret::new(token);
        self.ask(issuer, async move |issuer| issuer.verify(&token, "oidc").await).await
    }

    /// Begins a login that a person confirms in a browser.
    pub async fn begin_device(&self, issuer: &str) -> Result<DeviceLogin, TokenError> {
        let grant = self.ask(issuer, async |issuer| issuer.begin_device().await).await?;
        Ok(DeviceLogin {
            user_code: grant.user_code.clone(),
            verification_uri: grant.verification_uri.clone(),
            verification_uri_complete: grant.verification_uri_complete.clone(),
            expires_in: grant.until.saturating_duration_since(Instant::now()),
            issuers: self.clone(),
            issuer: issuer.to_owned(),
            grant,
        })
    }

    /// Does the issuer still stand behind a session that rests on `basis`, with `groups`?
    ///
    /// `Ended` says that it does not; `Unavailable`, that it could not be asked, which is the
    /// caller's to judge: the session's expiry stands in any case. To be called every
    /// [`IssuerConfig::recheck`].
    pub async fn recheck(&self, basis: &TokenBasis, groups: &[String]) -> Result<(), TokenError> {
        let (basis, groups) = (basis.clone(), groups.to_vec());
        let name = basis.issuer.clone();
        self.ask(&name, async move |issuer| issuer.recheck(&basis, &groups).await).await
    }

    /// Where to send a browser that is to come back with a code.
    pub async fn authorization_url(
        &self,
        issuer: &str,
        request: CodeRequest,
    ) -> Result<String, TokenError> {
        self.ask(issuer, async move |issuer| issuer.authorization_url(&request).await).await
    }

    /// Whom the code proves that a browser brought back.
    pub async fn exchange_code(
        &self,
        issuer: &str,
        login: CodeLogin,
    ) -> Result<Proven, TokenError> {
        self.ask(issuer, async move |issuer| issuer.exchange_code(&login).await).await
    }

    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        UNDER_WAY_MAX.saturating_sub(self.under_way.available_permits())
    }

    async fn ask<T: Send + 'static>(
        &self,
        issuer: &str,
        work: impl AsyncFnOnce(Rc<Issuer>) -> Result<T, TokenError> + Send + 'static,
    ) -> Result<T, TokenError> {
        if !self.configs.contains_key(issuer) {
            return Err(TokenError::UnknownIssuer);
        }
        let slot = Arc::clone(&self.under_way).try_acquire_owned().map_err(|_| TokenError::Busy)?;
        let (mut reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |issuer| {
            Box::pin(async move {
                let done = tokio::select! {
                    // Nobody waits any more.
                    () = reply.closed() => None,
                    done = work(issuer) => Some(done),
                };
                // Free before the answer is seen, so that one who waits for it may come again.
                drop(slot);
                if let Some(done) = done {
                    let _ = reply.send(done);
                }
            })
        });
        let stopped = || TokenError::Unavailable("the issuers' thread has ended".to_owned());
        self.work.send((issuer.to_owned(), work)).map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers").field("names", &self.configs.keys()).finish_non_exhaustive()
    }
}

impl DeviceLogin {
    /// Waits until the person has confirmed; asks the issuer at the pace that it set.
    pub async fn confirmed(self) -> Result<Proven, TokenError> {
        let grant = self.grant;
        let wait = async move |issuer: Rc<Issuer>| issuer.await_device(grant).await;
        self.issuers.ask(&self.issuer, wait).await
    }
}

async fn serve(
    clients: Vec<(Arc<IssuerConfig>, Http)>,
    mut orders: mpsc::UnboundedReceiver<(String, Work)>,
) {
    let issuer = |(config, http): (Arc<IssuerConfig>, Http)| {
        (config.name.clone(), Issuer::new(config, http))
    };
    let issuers: HashMap<String, Rc<Issuer>> = clients.into_iter().map(issuer).collect();
    while let Some((name, work)) = orders.recv().await {
        if let Some(issuer) = issuers.get(&name) {
            tokio::task::spawn_local(work(Rc::clone(issuer)));
        }
    }
}

fn check_together(configs: &[IssuerConfig]) -> io::Result<()> {
    let refused = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    for (index, config) in configs.iter().enumerate() {
        if let Err(fault) = config.check() {
            return refused(format!("issuer {}: {fault}", config.name));
        }
        for other in configs.iter().take(index) {
            if other.name == config.name {
                return refused(format!("two issuers are called {}", config.name));
            }
            // A subject is unique within one issuer only.
            if other.url != config.url && other.subject_prefix == config.subject_prefix {
                return refused(format!(
                    "issuers {} and {} need different subject prefixes, or one could name the other's people",
                    other.name, config.name
                ));
            }
        }
    }
    Ok(())
}
