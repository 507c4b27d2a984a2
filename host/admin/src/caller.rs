//! Who asks: a login with every request, checked the way the proxy checks its own.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_identity::{Proven, Refusal, TokenError, claimed_issuer};
use portcullis_policy::Principal;
use portcullis_policy::event::{Actor, Notable};

use crate::problem::Problem;
use crate::role::{Held, Need};
use crate::settings::AdminSettings;
use crate::shared::Shared;

/// Names and passwords longer than this are nobody's.
const NAME_BYTES_MAX: usize = 256;
const PASSWORD_BYTES_MAX: usize = 1_024;
/// What the ledger calls who is named only by a token, and failed to be.
const TOKEN: &str = "(token)";

/// Somebody who logged in, with the roles that the settings in force give.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub proven: Proven,
    pub roles: Held,
    pub address: SocketAddr,
}

impl Caller {
    pub fn actor(&self) -> Actor {
        Actor {
            subject: self.proven.subject.clone(),
            proof: self.proven.proof.to_owned(),
            address: self.address.to_string(),
        }
    }

    pub fn principal(&self) -> Principal {
        self.proven.principal(&self.address.to_string(), "portcullis-admin", "")
    }

    pub fn meets(&self, need: Need) -> Result<(), Problem> {
        if need.is_met_by(&self.roles) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("this needs {need}, and none of your groups has it")))
    }
}

/// Nobody in particular, as the ledger names them.
pub(crate) fn anonymous(address: SocketAddr) -> Actor {
    Actor { subject: String::new(), proof: "none".to_owned(), address: address.to_string() }
}

/// What a request shows for a login.
pub(crate) enum Given<'h> {
    Token(&'h str),
    Password { name: String, password: String },
}

/// What these headers show, if it could be somebody's. A cookie is no login here: the API
/// has none, so that no other site can make a browser use it.
pub(crate) fn given(headers: &HeaderMap) -> Option<Given<'_>> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(one), None) = (lines.next(), lines.next()) else { return None };
    let (scheme, rest) = one.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Given::Token(rest.trim()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim()).ok()?;
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Given::Password { name: name.to_owned(), password: password.to_owned() })
}

/// Why a login does not come about.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// What was shown is not enough: it counts, and is recorded.
    Failed(String),
    /// Nobody could judge it, which is not the fault of who came.
    NotJudged(&'static str),
}

impl From<TokenError> for Unproven {
    fn from(error: TokenError) -> Unproven {
        match error {
            TokenError::Unavailable(_) | TokenError::Busy | TokenError::TimedOut => {
                tracing::warn!(%error, "a login to the control surface cannot be judged");
                Unproven::NotJudged(error.for_client())
            }
            TokenError::Refused(_)
            | TokenError::UnknownIssuer
            | TokenError::NotOffered(_)
            | TokenError::Declined
            | TokenError::Ended(_) => Unproven::Failed(error.to_string()),
        }
    }
}

/// Who shows this.
pub(crate) async fn by(
    shared: &Arc<Shared>,
    given: Given<'_>,
    address: SocketAddr,
) -> Result<Caller, Problem> {
    match given {
        Given::Token(token) => by_token(shared, token, address).await,
        Given::Password { name, password } => by_password(shared, &name, &password, address).await,
    }
}

/// A user of the configuration, or the holder of a short-lived password.
pub(crate) async fn by_password(
    shared: &Arc<Shared>,
    name: &str,
    password: &str,
    address: SocketAddr,
) -> Result<Caller, Problem> {
    if name.len() > NAME_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
        let too_long = Err(Unproven::Failed("the name or password is too long".to_owned()));
        return settle(shared, too_long, "(too long)", address).await;
    }
    let Ok(turn) = Arc::clone(&shared.password_checks).acquire_owned().await else {
        return Err(shutting_down());
    };
    let users = shared.settings.load().directory.users.clone();
    let (user, password) = (name.to_owned(), password.to_owned());
    let check = move || {
        // Its turn lasts as long as it does, also when nobody waits for it any more.
        let _turn = turn;
        users.by_password(&user, &password, SystemTime::now())
    };
    let (shared_there, name_there) = (Arc::clone(shared), name.to_owned());
    // A task of its own: who hangs up meanwhile is counted and recorded all the same.
    let judging = tokio::spawn(async move {
        let found = shared_there.blocking(check).await?;
        let wrong = || Unproven::Failed("wrong name or password".to_owned());
        judge(&shared_there, found.ok_or_else(wrong), &name_there, address).await
    });
    let judged = judging.await.unwrap_or_else(|_| Err(shutting_down()));
    slow_down(shared, name, address).await;
    judged
}

fn shutting_down() -> Problem {
    Problem::unavailable("shutting down")
}

async fn by_token(
    shared: &Arc<Shared>,
    token: &str,
    address: SocketAddr,
) -> Result<Caller, Problem> {
    let settings = shared.settings.load_full();
    let proven = proven_by_token(&settings, token).await.map_err(Unproven::from);
    settle(shared, proven, TOKEN, address).await
}

/// Asks only the issuer that the token says it is from, so that its word is the answer, and
/// no other that is down or does not know the key.
async fn proven_by_token(settings: &AdminSettings, token: &str) -> Result<Proven, TokenError> {
    let issuers = &settings.directory.issuers;
    let claimed = claimed_issuer(token)?;
    let mut why = None;
    // Several may share one URL, each with an audience of its own.
    for name in &settings.token_issuers {
        if issuers.config(name).is_none_or(|config| config.url != claimed) {
            continue;
        }
        match issuers.verify(name, token.to_owned()).await {
            Ok(proven) => return Ok(proven),
            Err(error) => why = why.or(Some(error)),
        }
    }
    Err(why.unwrap_or(TokenError::Refused(Refusal::Issuer)))
}

/// Ends a login: lets in who is proved, unless that does not hold any more, and records who
/// is not. Either answer is held back as long as failures so far ask for.
pub(crate) async fn settle(
    shared: &Shared,
    proven: Result<Proven, Unproven>,
    name: &str,
    address: SocketAddr,
) -> Result<Caller, Problem> {
    let judged = judge(shared, proven, name, address).await;
    slow_down(shared, name, address).await;
    judged
}

/// The part of it that leaves traces. It begins to write them before it waits for anything.
async fn judge(
    shared: &Shared,
    proven: Result<Proven, Unproven>,
    name: &str,
    address: SocketAddr,
) -> Result<Caller, Problem> {
    let held = |proven| caller(shared, proven, address).map_err(Unproven::Failed);
    match proven.and_then(held) {
        Ok(caller) => Ok(caller),
        Err(Unproven::Failed(reason)) => Err(failed(shared, name, address, &reason).await),
        Err(Unproven::NotJudged(why)) => Err(Problem::unavailable(why)),
    }
}

/// The caller that a proof makes now. The error is for the ledger, not for the caller.
pub(crate) fn caller(
    shared: &Shared,
    proven: Proven,
    address: SocketAddr,
) -> Result<Caller, String> {
    let settings = shared.settings.load();
    settings.directory.upholds(&proven, SystemTime::now())?;
    let roles = settings.roles.of(&proven.groups);
    Ok(Caller { proven, roles, address })
}

/// Counts a failed login, and records it: before it is held back, which who hangs up does not
/// wait for.
async fn failed(shared: &Shared, name: &str, address: SocketAddr, reason: &str) -> Problem {
    count_failed(shared, name, address);
    let refused = Notable::LoginRefused {
        role: name.to_owned(),
        client_address: address.to_string(),
        reason: format!("admin API: {reason}"),
    };
    match shared.record(refused).await {
        Ok(()) => Problem::new(StatusCode::UNAUTHORIZED, "the login failed"),
        Err(problem) => problem,
    }
}

/// Counts a failure, and waits as long as it costs.
pub(crate) async fn hold_back_failed(shared: &Shared, name: &str, address: SocketAddr) {
    count_failed(shared, name, address);
    slow_down(shared, name, address).await;
}

fn count_failed(shared: &Shared, name: &str, address: SocketAddr) {
    let throttle = shared.settings.load().directory.throttle.clone();
    throttle.failed(address.ip(), &counted(name, address), Instant::now());
}

async fn slow_down(shared: &Shared, name: &str, address: SocketAddr) {
    let throttle = shared.settings.load().directory.throttle.clone();
    let delay = throttle.delay(address.ip(), &counted(name, address), Instant::now());
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// For whom a failure counts beside the address. Who names nobody counts for the address
/// alone: else everybody would wait for what one did.
fn counted(name: &str, address: SocketAddr) -> Cow<'_, str> {
    if name.is_empty() || name.starts_with('(') {
        Cow::Owned(address.ip().to_string())
    } else {
        Cow::Borrowed(name)
    }
}
