//! Proof of identity: one exchange per connection, of the method that was chosen before
//! anything was proved.

use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use portcullis_identity::{
    AuthError, BearerFailure, BearerFirst, Certificate, ChannelBinding, Method, OAUTHBEARER,
    Proven, ScramServer,
};
use portcullis_wire::{encode, frontend};

use crate::browser::{self, Browsers};
use crate::refusal::Refusal;
use crate::settings::{ServerTls, Settings};
use crate::startup::{Login, Unproven};
use crate::transport::invalid;

/// A password message; tokens are the longest.
const PASSWORD_BYTES_MAX: usize = 64 * 1024;

/// Runs the exchange. Failures are slowed by whoever has failed before; the caller sets the
/// deadline.
pub async fn prove(
    login: &mut Login,
    settings: &Settings,
    browsers: &Arc<Browsers>,
) -> Result<Proven, Unproven> {
    let directory = &settings.directory;
    let (address, user) = (login.address.ip(), login.user.clone());
    let delay = directory.throttle.delay(address, &user, Instant::now());
    // A timer would take its time for no delay as well.
    if !delay.is_zero() {
        // However short the deadline, whoever others have failed for must still get in.
        tokio::time::sleep(delay.min(settings.limits.startup / 2)).await;
    }
    let proved = exchange(login, settings, browsers).await.and_then(|proven| {
        if !proven.answers_to(&user) {
            let why = format!("{} may not come as {user}", proven.subject);
            return Err(Unproven::Failed { why });
        }
        match directory.upholds(&proven, SystemTime::now()) {
            Ok(()) => Ok(proven),
            Err(why) => Err(Unproven::Failed { why }),
        }
    });
    match &proved {
        Ok(_) | Err(Unproven::Io(_) | Unproven::Refused(_) | Unproven::Asked) => {}
        Err(Unproven::Failed { .. }) => {
            directory.throttle.failed(address, &user, Instant::now());
        }
    }
    proved
}

async fn exchange(
    login: &mut Login,
    settings: &Settings,
    browsers: &Arc<Browsers>,
) -> Result<Proven, Unproven> {
    match login.method.clone() {
        Method::Scram => scram(login, settings).await,
        Method::Token { issuer } => token(login, settings, &issuer).await,
        Method::OauthBearer { issuer } => oauth_bearer(login, settings, &issuer).await,
        Method::Certificate => certificate(login, settings),
        Method::Browser { issuer } => browser::confirm(login, settings, browsers, &issuer).await,
        Method::Refuse => Err(Unproven::Refused(Refusal::NoMethod { user: login.user.clone() })),
    }
}

async fn scram(login: &mut Login, settings: &Settings) -> Result<Proven, Unproven> {
    let binding = match (login.transport.is_tls(), &login.tls) {
        (true, Some(ServerTls { certificate, .. })) => ChannelBinding::to_certificate(certificate),
        _ => ChannelBinding::Unavailable,
    };
    let failed = |error: AuthError| Unproven::Failed { why: error.to_string() };
    let mut exchange = ScramServer::begin(&settings.directory.users, &login.user, binding);
    let mut out = Vec::new();
    encode::authentication_sasl(&mut out, exchange.mechanisms());
    login.transport.write_all(&out).await?;

    let body = password_message(login).await?;
    let (mechanism, first) = frontend::sasl_initial(&body).map_err(invalid)?;
    let mechanism = String::from_utf8_lossy(mechanism);
    let server_first = exchange.first(&mechanism, first.unwrap_or_default()).map_err(failed)?;
    out.clear();
    encode::authentication_sasl_continue(&mut out, &server_first);
    login.transport.write_all(&out).await?;

    let body = password_message(login).await?;
    let (server_final, user) = exchange.finish(&body).map_err(failed)?;
    out.clear();
    encode::authentication_sasl_final(&mut out, &server_final);
    login.owed.splice(..0, out);
    Ok(user.into_proven())
}

/// A token as the password: asked for over TLS only, since it is sent as it is.
async fn token(login: &mut Login, settings: &Settings, issuer: &str) -> Result<Proven, Unproven> {
    over_tls(login)?;
    let mut out = Vec::new();
    encode::authentication_cleartext(&mut out);
    login.transport.write_all(&out).await?;
    let body = password_message(login).await?;
    let token = body.strip_suffix(&[0]).unwrap_or_default();
    let token = std::str::from_utf8(token)
        .map_err(|_| Unproven::Failed { why: "the token is not text".to_owned() })?;
    verify(settings, issuer, token).await
}

/// SASL OAUTHBEARER (RFC 7628), as libpq speaks it from version 18 on.
async fn oauth_bearer(
    login: &mut Login,
    settings: &Settings,
    issuer: &str,
) -> Result<Proven, Unproven> {
    over_tls(login)?;
    let Some(config) = settings.directory.issuers.config(issuer) else {
        return Err(Unproven::Refused(Refusal::NoMethod { user: login.user.clone() }));
    };
    let failed = |error: AuthError| Unproven::Failed { why: error.to_string() };
    let mut out = Vec::new();
    encode::authentication_sasl(&mut out, &[OAUTHBEARER]);
    login.transport.write_all(&out).await?;
    let body = password_message(login).await?;
    let (mechanism, first) = frontend::sasl_initial(&body).map_err(invalid)?;
    if mechanism != OAUTHBEARER.as_bytes() {
        return Err(failed(AuthError::Malformed));
    }
    let refusal = match BearerFirst::parse(first.unwrap_or_default()).map_err(failed)? {
        BearerFirst::Token(token) => match verify(settings, issuer, token.expose()).await {
            Ok(proven) => return Ok(proven),
            Err(Unproven::Failed { why }) => Unproven::Failed { why },
            Err(other) => return Err(other),
        },
        BearerFirst::Discovery => Unproven::Asked,
    };
    let failure = BearerFailure::of(config);
    out.clear();
    encode::authentication_sasl_continue(&mut out, failure.challenge());
    login.transport.write_all(&out).await?;
    let body = password_message(login).await?;
    match failure.finish(&body) {
        AuthError::Malformed => Err(failed(AuthError::Malformed)),
        AuthError::Refused | AuthError::Unavailable => Err(refusal),
    }
}

/// Tokens are sent as they are.
fn over_tls(login: &Login) -> Result<(), Unproven> {
    if login.transport.is_tls() {
        return Ok(());
    }
    Err(Unproven::Refused(Refusal::NotPermitted(
        "a token is accepted over TLS only: use sslmode=verify-full".into(),
    )))
}

async fn verify(settings: &Settings, issuer: &str, token: &str) -> Result<Proven, Unproven> {
    let verified = settings.directory.issuers.verify(issuer, token.to_owned()).await;
    verified.map_err(Unproven::from)
}

/// The certificate was verified in the TLS handshake; here it is read and mapped.
fn certificate(login: &Login, settings: &Settings) -> Result<Proven, Unproven> {
    let failed = |why: String| Unproven::Failed { why };
    let der = login.transport.client_certificate();
    let der = der.ok_or_else(|| failed("no client certificate".to_owned()))?;
    let certificate = Certificate::read(der).map_err(|error| failed(error.to_string()))?;
    let users = &settings.directory.users;
    users
        .by_certificate(&Arc::new(certificate), &login.user, SystemTime::now())
        .map_err(|error| failed(error.to_string()))
}

async fn password_message(login: &mut Login) -> io::Result<Vec<u8>> {
    let Login { transport, frames, .. } = login;
    match frames.next(transport, PASSWORD_BYTES_MAX).await? {
        (b'p', body) => Ok(body.to_vec()),
        (tag, _) => {
            Err(invalid(portcullis_wire::Malformed::Unexpected { tag, state: "during login" }))
        }
    }
}
