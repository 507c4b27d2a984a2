//! One issuer: what it published, the tokens it signed, the sessions it stands behind.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use jsonwebtoken::DecodingKey;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::claims::{self, Claims, Lifetime, Party};
use crate::discovery::Metadata;
use crate::issuer_config::IssuerConfig;
use crate::issuer_http::Http;
use crate::jwks::{KeySet, Published, Step};
use crate::jwt::{Expected, Unverified, Verified};
use crate::proven::Proven;
use crate::secret::Secret;
use crate::strict_json;
use crate::token::{Ended, Refusal, TokenBasis, TokenError};

/// Lives on the issuers' thread.
pub(crate) struct Issuer {
    pub(crate) config: Arc<IssuerConfig>,
    pub(crate) http: Http,
    published: RefCell<Published<Snapshot>>,
    /// Held while the issuer is asked what it publishes.
    asking: Mutex<()>,
    /// How often it was.
    attempts: Cell<u64>,
    /// Why the last attempt failed.
    failure: RefCell<String>,
}

/// What an issuer published at one moment.
pub(crate) struct Snapshot {
    metadata: Rc<Metadata>,
    keys: KeySet,
}

impl Issuer {
    pub(crate) fn new(config: Arc<IssuerConfig>, http: Http) -> Rc<Issuer> {
        Rc::new(Issuer {
            published: RefCell::new(Published::new(config.key_times)),
            config,
            http,
            asking: Mutex::new(()),
            attempts: Cell::new(0),
            failure: RefCell::new(String::new()),
        })
    }

    /// Whom a token proves that a client showed.
    pub(crate) async fn verify(
        self: &Rc<Self>,
        token: &Secret,
        proof: &'static str,
    ) -> Result<Proven, TokenError> {
        let party = Party::Configured(&self.config);
        let (verified, lifetime) = self.check(token, &self.config.audiences, &party).await?;
        let basis = self.basis(&verified.claims, token, Some(token))?;
        Ok(claims::prove(&self.config, &verified.claims, proof, basis, lifetime.until)?)
    }

    /// Checks a token for one of `audiences`.
    pub(crate) async fn check(
        self: &Rc<Self>,
        token: &Secret,
        audiences: &[String],
        party: &Party<'_>,
    ) -> Result<(Verified, Lifetime), TokenError> {
        let token = Unverified::read(token.expose(), &self.config.algorithms)?;
        let key = self.key(token.key_id(), &token).await?;
        let expected = Expected {
            issuer: &self.config.url,
            audiences,
            clock_skew_seconds: self.config.clock_skew.as_secs(),
        };
        let verified = token.verify(&key, &expected)?;
        let lifetime = claims::check(&verified, &expected, party, SystemTime::now())?;
        Ok((verified, lifetime))
    }

    /// What a session rests on that `shown` opened.
    pub(crate) fn basis(
        &self,
        claims: &Claims,
        shown: &Secret,
        access_token: Option<&Secret>,
    ) -> Result<TokenBasis, Refusal> {
        let subject = claims.get("sub").and_then(Value::as_str).ok_or(Refusal::Subject)?;
        Ok(TokenBasis {
            issuer: self.config.name.clone(),
            token_subject: subject.to_owned(),
            // What nobody will use is not kept.
            access_token: access_token.filter(|_| self.config.recheck.is_some()).cloned(),
            token_digest: Sha256::digest(shown.expose()).into(),
        })
    }

    /// Does the issuer still stand behind a session that rests on `basis`, with `groups`?
    ///
    /// A session without an access token rests on its expiry alone.
    pub(crate) async fn recheck(
        self: &Rc<Self>,
        basis: &TokenBasis,
        groups: &[String],
    ) -> Result<(), TokenError> {
        let Some(access_token) = &basis.access_token else {
            return Ok(());
        };
        let claims = self.userinfo(access_token, &basis.token_subject).await?;
        let found = claims::groups(&self.config, &claims)
            .map_err(|_| TokenError::Ended(Ended::GroupsChanged))?;
        let found: HashSet<&str> = found.iter().map(String::as_str).collect();
        let had: HashSet<&str> = groups.iter().map(String::as_str).collect();
        if found == had { Ok(()) } else { Err(TokenError::Ended(Ended::GroupsChanged)) }
    }

    /// What the issuer knows of the subject that `access_token` was issued for.
    pub(crate) async fn userinfo(
        self: &Rc<Self>,
        access_token: &Secret,
        subject: &str,
    ) -> Result<Claims, TokenError> {
        let metadata = self.metadata().await?;
        let url = metadata.userinfo_endpoint.as_ref();
        let url = url.ok_or(TokenError::NotOffered("the issuer has no userinfo endpoint"))?;
        let answer = self.http.get(url, Some(access_token)).await;
        let answer = answer.map_err(TokenError::Unavailable)?;
        match answer.status {
            200 => {}
            401 | 403 => return Err(TokenError::Ended(Ended::TokenRevoked)),
            status => {
                return Err(TokenError::Unavailable(format!("it answered with status {status}")));
            }
        }
        let claims = strict_json::object(&answer.body)
            .map_err(|_| TokenError::Unavailable("its answer is not a JSON object".to_owned()))?;
        // OpenID Connect Core, section 5.3.2: whoever it is about must be the token's subject.
        if claims.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err(TokenError::Ended(Ended::SubjectChanged));
        }
        Ok(claims)
    }

    /// Where the issuer is asked what.
    pub(crate) async fn metadata(self: &Rc<Self>) -> Result<Rc<Metadata>, TokenError> {
        self.published(|snapshot| Ok(Rc::clone(&snapshot.metadata))).await
    }

    async fn key(
        self: &Rc<Self>,
        id: Option<&str>,
        token: &Unverified<'_>,
    ) -> Result<DecodingKey, TokenError> {
        self.published(|snapshot| snapshot.keys.find(id, token.algorithm()).cloned()).await
    }

    /// Looks something up in what the issuer published; asks it where that is due.
    async fn published<R>(
        self: &Rc<Self>,
        look_up: impl Fn(&Rc<Snapshot>) -> Result<R, Refusal>,
    ) -> Result<R, TokenError> {
        // The answer is a value of its own: while it is acted on, nothing stays borrowed.
        let step = self.published.borrow().consult(Instant::now(), &look_up);
        match step {
            Step::Use(found) => return Ok(found),
            Step::Refuse(refusal) => return Err(refusal.into()),
            Step::Unavailable => return Err(self.unavailable()),
            // One login asks; the others need not wait for it.
            Step::Refresh(found) if self.asking.try_lock().is_err() => return Ok(found),
            Step::Refresh(_) | Step::Fetch => self.ask().await,
        }
        match self.published.borrow().after_asking(Instant::now(), &look_up) {
            Some(found) => Ok(found?),
            None => Err(self.unavailable()),
        }
    }

    fn unavailable(&self) -> TokenError {
        TokenError::Unavailable(self.failure.borrow().clone())
    }

    /// Asks the issuer what it publishes, or waits for the one who is asking already.
    ///
    /// The asking goes on when the login that began it does not: clients that come and go
    /// cannot make it begin anew each time.
    async fn ask(self: &Rc<Self>) {
        let before = self.attempts.get();
        let issuer = Rc::clone(self);
        let asking = tokio::task::spawn_local(async move {
            let _alone = issuer.asking.lock().await;
            if issuer.attempts.get() == before {
                issuer.attempt().await;
            }
        });
        // It fails only when the thread is about to end, and the attempt with it.
        let _ = asking.await;
    }

    async fn attempt(&self) {
        self.published.borrow_mut().asking(Instant::now());
        let outcome = self.fetch().await;
        let snapshot = match outcome {
            Ok(snapshot) => Some(Rc::new(snapshot)),
            Err(failure) => {
                *self.failure.borrow_mut() = failure;
                None
            }
        };
        self.attempts.set(self.attempts.get().wrapping_add(1));
        self.published.borrow_mut().asked(snapshot, Instant::now());
    }

    async fn fetch(&self) -> Result<Snapshot, String> {
        let document = self.document(&self.config.discovery_url()).await?;
        let metadata = Metadata::parse(&self.config, &document)?;
        let document = self.document(&metadata.jwks_uri).await?;
        let keys = KeySet::parse(&document).map_err(|_| "its key set is malformed".to_owned())?;
        Ok(Snapshot { metadata: Rc::new(metadata), keys })
    }

    async fn document(&self, url: &str) -> Result<Vec<u8>, String> {
        let answer = self.http.get(url, None).await?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(format!("it answered with status {status}")),
        }
    }
}
