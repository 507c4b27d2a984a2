//! Egress: how audit sinks reach what the operator named as their targets.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use portcullis_engine::{Egress, EgressError, EgressResponse, Target};
use reqwest::blocking::Client;
use reqwest::redirect;

/// What of an answer a sink is shown.
const RESPONSE_BYTES_MAX: u64 = 64 * 1024;

/// Posts over HTTP, to the targets of one policy and nowhere else.
pub struct HttpEgress {
    client: Client,
    targets: BTreeMap<String, Target>,
}

impl HttpEgress {
    /// # Errors
    /// When the HTTP client cannot be made; its TLS is missing, for instance.
    pub fn new(targets: BTreeMap<String, Target>) -> reqwest::Result<HttpEgress> {
        // Following a redirect would post records to whom nobody named.
        let client = Client::builder().redirect(redirect::Policy::none()).build()?;
        Ok(HttpEgress { client, targets })
    }
}

impl Egress for HttpEgress {
    fn post(
        &self,
        _policy: &str,
        target: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<EgressResponse, EgressError> {
        let target = self.targets.get(target).ok_or(EgressError::UnknownTarget)?;
        let mut request = self
            .client
            .post(&target.url)
            .timeout(Duration::from_millis(u64::from(target.timeout_ms)))
            .header("content-type", content_type)
            .body(body.to_vec());
        for (name, value) in &target.headers {
            request = request.header(name, value);
        }
        let response = request.send().map_err(failure)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        response
            .take(RESPONSE_BYTES_MAX)
            .read_to_end(&mut body)
            .map_err(|error| EgressError::Transport(error.to_string()))?;
        Ok(EgressResponse { status, body })
    }
}

fn failure(error: reqwest::Error) -> EgressError {
    if error.is_timeout() {
        return EgressError::Timeout;
    }
    // The address may hold a secret token.
    EgressError::Transport(error.without_url().to_string())
}
