//! Asking an issuer over HTTP: bounded in time and size, following nothing.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::redirect;
use reqwest::{Certificate, Client, RequestBuilder};
use url::form_urlencoded;

use crate::issuer_config::IssuerConfig;
use crate::secret::Secret;

/// Metadata and key sets of large providers are below 32 KiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(3);
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next request. Servers close idle ones after two or five
/// seconds by default, and a request that is sent at that moment fails: a login refused for nothing.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// A client for one issuer.
pub(crate) struct Http {
    client: Client,
}

/// What came back, whatever its status.
pub(crate) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why nothing came back.
pub(crate) type Unreachable = String;

impl Http {
    pub(crate) fn new(config: &IssuerConfig) -> io::Result<Http> {
        let mut client = Client::builder()
            .user_agent("portcullis")
            .connect_timeout(CONNECT_MAX)
            .timeout(REQUEST_MAX)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(IDLE_MAX)
            .referer(false)
            // Wherever an issuer moves to, its configuration must say so.
            .redirect(redirect::Policy::none());
        if config.is_plain_loopback() {
            client = client.no_proxy();
        } else {
            client = client.https_only(true);
        }
        if let Some(pem) = &config.root_ca_pem {
            let roots = Certificate::from_pem_bundle(pem).map_err(io::Error::other)?;
            if roots.is_empty() {
                let text = format!("issuer {}: no certificate in its root CA file", config.name);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            client = client.tls_certs_only(roots);
        }
        Ok(Http { client: client.build().map_err(io::Error::other)? })
    }

    pub(crate) async fn get(
        &self,
        url: &str,
        bearer: Option<&Secret>,
    ) -> Result<Answer, Unreachable> {
        let mut request = self.client.get(url);
        if let Some(token) = bearer {
            request = request.bearer_auth(token.expose());
        }
        send(request).await
    }

    /// Posts a form, as the client `basic` if there is one.
    pub(crate) async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
        basic: Option<(&str, &Secret)>,
    ) -> Result<Answer, Unreachable> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some((id, secret)) = basic {
            request = request.basic_auth(encoded(id), Some(encoded(secret.expose())));
        }
        send(request).await
    }
}

/// RFC 6749, section 2.3.1: id and secret are form-encoded before they become a password.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn send(request: RequestBuilder) -> Result<Answer, Unreachable> {
    let request = request.header("accept", "application/json");
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err("its answer is too long".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

/// The cause in full; without the address, in which there may be a code.
fn unreachable(error: reqwest::Error) -> Unreachable {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
