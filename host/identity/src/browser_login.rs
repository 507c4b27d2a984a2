//! Logins that a person confirms in a browser: what the token endpoint answers, and whom that
//! proves.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use url::Url;

use crate::algorithm::Algorithm;
use crate::claims::{self, Claims, Party};
use crate::discovery::Metadata;
use crate::issuer::Issuer;
use crate::proven::Proven;
use crate::secret::Secret;
use crate::strict_json;
use crate::token::{Refusal, TokenError};

const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// What a code was exchanged for.
pub(crate) struct Tokens {
    access_token: Secret,
    id_token: Option<Secret>,
    expires_in: Option<Duration>,
}

/// The token endpoint's answer.
pub(crate) enum Exchanged {
    Tokens(Tokens),
    /// An error code of RFC 6749 or RFC 8628.
    Error(String),
}

/// A login of the authorization code flow, as the browser brings it back.
#[derive(Debug)]
pub struct CodeLogin {
    pub code: Secret,
    pub redirect_uri: String,
    pub pkce_verifier: Secret,
    pub nonce: String,
}

/// What a browser is sent to the issuer with.
#[derive(Clone, Debug)]
pub struct CodeRequest {
    pub redirect_uri: String,
    pub state: String,
    pub nonce: String,
    /// The base64url SHA-256 of the verifier (RFC 7636).
    pub pkce_challenge: String,
}

impl Issuer {
    /// Where to send a browser.
    pub(crate) async fn authorization_url(
        self: &Rc<Self>,
        request: &CodeRequest,
    ) -> Result<String, TokenError> {
        let metadata = self.metadata().await?;
        if !metadata.understands_pkce {
            return Err(TokenError::NotOffered("the issuer does not understand PKCE with S256"));
        }
        let endpoint = metadata.authorization_endpoint.as_deref();
        let endpoint = endpoint.and_then(|url| Url::parse(url).ok());
        let mut url =
            endpoint.ok_or(TokenError::NotOffered("the issuer has no authorization endpoint"))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id()?)
            .append_pair("redirect_uri", &request.redirect_uri)
            .append_pair("scope", &self.config.scope())
            .append_pair("state", &request.state)
            .append_pair("nonce", &request.nonce)
            .append_pair("code_challenge", &request.pkce_challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Whom the code proves that a browser brought back.
    pub(crate) async fn exchange_code(
        self: &Rc<Self>,
        login: &CodeLogin,
    ) -> Result<Proven, TokenError> {
        let metadata = self.metadata().await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", login.code.expose()),
            ("redirect_uri", &login.redirect_uri),
            ("code_verifier", login.pkce_verifier.expose()),
        ];
        match self.exchange(&metadata, &form).await? {
            Exchanged::Tokens(tokens) => self.log_in(tokens, Some(&login.nonce), "oidc").await,
            Exchanged::Error(_) => Err(Refusal::Answer.into()),
        }
    }

    /// Our id at the issuer.
    pub(crate) fn client_id(&self) -> Result<&str, TokenError> {
        let id = self.config.client_id.as_deref();
        id.ok_or(TokenError::NotOffered("the issuer is configured without a client id"))
    }

    /// Asks the token endpoint.
    pub(crate) async fn exchange(
        &self,
        metadata: &Metadata,
        form: &[(&str, &str)],
    ) -> Result<Exchanged, TokenError> {
        let endpoint = metadata.token_endpoint.as_deref();
        let endpoint =
            endpoint.ok_or(TokenError::NotOffered("the issuer has no token endpoint"))?;
        let (status, answer) = self.post_as_client(metadata, endpoint, form).await?;
        if status == 200 {
            return Ok(Exchanged::Tokens(tokens(&answer).ok_or(Refusal::Answer)?));
        }
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Ok(Exchanged::Error(error.to_owned())),
            None => Err(Refusal::Answer.into()),
        }
    }

    /// Posts a form as ourselves. Answers of the issuer's own trouble are not answers.
    pub(crate) async fn post_as_client(
        &self,
        metadata: &Metadata,
        url: &str,
        form: &[(&str, &str)],
    ) -> Result<(u16, Map<String, Value>), TokenError> {
        let id = self.client_id()?;
        let mut form = form.to_vec();
        let basic = match &self.config.client_secret {
            Some(secret) if !metadata.secret_in_form => Some((id, secret)),
            Some(secret) => {
                form.extend([("client_id", id), ("client_secret", secret.expose())]);
                None
            }
            None => {
                form.push(("client_id", id));
                None
            }
        };
        let answer = self.http.post(url, &form, basic).await.map_err(TokenError::Unavailable)?;
        if answer.status >= 500 || answer.status == 429 {
            let text = format!("it answered with status {}", answer.status);
            return Err(TokenError::Unavailable(text));
        }
        let body = strict_json::object(&answer.body).map_err(|_| Refusal::Answer)?;
        Ok((answer.status, body))
    }

    /// Whom tokens prove that the issuer itself handed us.
    pub(crate) async fn log_in(
        self: &Rc<Self>,
        tokens: Tokens,
        nonce: Option<&str>,
        proof: &'static str,
    ) -> Result<Proven, TokenError> {
        let proven = match (&tokens.id_token, nonce) {
            (Some(id_token), _) => self.identified(&tokens, id_token, nonce, proof).await?,
            // Without OpenID Connect the access token must say who it is, as one that a
            // client shows.
            (None, None) => self.verify(&tokens.access_token, proof).await?,
            (None, Some(_)) => return Err(Refusal::Answer.into()),
        };
        let latest = SystemTime::now().checked_add(self.config.login_lifetime_max);
        let until = proven.expires_at.into_iter().chain(latest).min();
        Ok(Proven { expires_at: until, ..proven })
    }

    async fn identified(
        self: &Rc<Self>,
        tokens: &Tokens,
        id_token: &Secret,
        nonce: Option<&str>,
        proof: &'static str,
    ) -> Result<Proven, TokenError> {
        let ourselves = self.client_id()?.to_owned();
        let party = Party::Ourselves(&ourselves);
        let audience = [ourselves.clone()];
        let (verified, lifetime) = self.check(id_token, &audience, &party).await?;
        let mut claims = verified.claims;
        if nonce.is_some() && claims.get("nonce").and_then(Value::as_str) != nonce {
            return Err(Refusal::Nonce.into());
        }
        check_access_token(&claims, verified.algorithm, &tokens.access_token)?;
        let basis = self.basis(&claims, id_token, Some(&tokens.access_token))?;
        self.complete(&mut claims, tokens, &basis.token_subject).await?;
        // The identity token says who it was at the login; how long that is good for, the
        // access token says.
        let until = tokens.expires_in.and_then(|good| SystemTime::now().checked_add(good));
        let until = until.unwrap_or(lifetime.until);
        Ok(claims::prove(&self.config, &claims, proof, basis, until)?)
    }

    async fn complete(
        self: &Rc<Self>,
        claims: &mut Claims,
        tokens: &Tokens,
        subject: &str,
    ) -> Result<(), TokenError> {
        if !self.config.userinfo || self.metadata().await?.userinfo_endpoint.is_none() {
            return Ok(());
        }
        match self.userinfo(&tokens.access_token, subject).await {
            Ok(more) => claims::complete(&self.config, claims, more),
            Err(TokenError::Ended(_)) => return Err(Refusal::Answer.into()),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn tokens(answer: &Map<String, Value>) -> Option<Tokens> {
    let token = |name: &str| match answer.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(token)) if !token.is_empty() && token.len() <= TOKEN_BYTES_MAX => {
            Some(Some(Secret::new(token.clone())))
        }
        Some(_) => None,
    };
    let bearer = answer.get("token_type")?.as_str()?.eq_ignore_ascii_case("bearer");
    let expires_in = match answer.get("expires_in") {
        None | Some(Value::Null) => None,
        Some(seconds) => Some(Duration::try_from_secs_f64(seconds.as_f64()?).ok()?),
    };
    let tokens =
        Tokens { access_token: token("access_token")??, id_token: token("id_token")?, expires_in };
    // Others need proofs that are not made here.
    bearer.then_some(tokens)
}

/// OpenID Connect Core, section 3.1.3.8: the access token was not exchanged for another.
fn check_access_token(
    claims: &Claims,
    algorithm: Algorithm,
    access_token: &Secret,
) -> Result<(), Refusal> {
    let Some(expected) = claims.get("at_hash") else {
        return Ok(());
    };
    let token = access_token.expose();
    let hash = match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => Sha256::digest(token).to_vec(),
        Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => Sha384::digest(token).to_vec(),
        // Ed25519 hashes with SHA-512.
        Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::EdDsa => Sha512::digest(token).to_vec(),
    };
    let half = hash.get(..hash.len() / 2).unwrap_or_default();
    let found = URL_SAFE_NO_PAD.encode(half);
    let expected = expected.as_str().unwrap_or_default();
    let same = expected.as_bytes().ct_eq(found.as_bytes());
    if bool::from(same) { Ok(()) } else { Err(Refusal::AccessToken) }
}
