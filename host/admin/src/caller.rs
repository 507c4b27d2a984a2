//! Who asks: a login with every request, checked the way the proxy checks its own.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_identity::Proven;
use portcullis_policy::Principal;
use portcullis_policy::event::{Actor, Notable};

use crate::problem::Problem;
use crate::role::{Held, Need};
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
        let too_long = Err("the name or password is too long".to_owned());
        return settle(shared, too_long, "(too long)", address).await;
    }
    let found = {
        let Ok(_turn) = shared.password_checks.acquire().await else {
            return Err(Problem::unavailable("shutting down"));
        };
        let users = shared.settings.load().directory.users.clone();
        let (user, password) = (name.to_owned(), password.to_owned());
        let check = move || users.by_password(&user, &password, SystemTime::now());
        shared.blocking(check).await?
    };
    let proven = found.ok_or_else(|| "wrong name or password".to_owned());
    settle(shared, proven, name, address).await
}

async fn by_token(
    shared: &Arc<Shared>,
    token: &str,
    address: SocketAddr,
) -> Result<Caller, Problem> {
    let settings = shared.settings.load_full();
    let issuers = &settings.directory.issuers;
    let mut proven = Err("no issuer's tokens are taken here".to_owned());
    // Each compares the token's issuer with its own before anything else.
    for issuer in &settings.token_issuers {
        proven = issuers.verify(issuer, token.to_owned()).await.map_err(|error| error.to_string());
        if proven.is_ok() {
            break;
        }
    }
    settle(shared, proven, TOKEN, address).await
}

/// Ends a login: lets in who is proved, unless that does not hold any more, and records who
/// is not. Either answer is held back as long as failures so far ask for.
pub(crate) async fn settle(
    shared: &Shared,
    proven: Result<Proven, String>,
    name: &str,
    address: SocketAddr,
) -> Result<Caller, Problem> {
    match proven.and_then(|proven| caller(shared, proven, address)) {
        Ok(caller) => {
            slow_down(shared, name, address).await;
            Ok(caller)
        }
        Err(reason) => Err(failed(shared, name, address, &reason).await),
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

/// Counts a failed login, and records it.
async fn failed(shared: &Shared, name: &str, address: SocketAddr, reason: &str) -> Problem {
    hold_back_failed(shared, name, address).await;
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
    let throttle = shared.settings.load().directory.throttle.clone();
    throttle.failed(address.ip(), &counted(name, address), Instant::now());
    slow_down(shared, name, address).await;
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
