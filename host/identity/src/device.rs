//! The device flow (RFC 8628): a person confirms in a browser what began in a terminal.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout_at};

use crate::browser_login::Exchanged;
use crate::issuer::Issuer;
use crate::issuer_config::may_go_to;
use crate::proven::Proven;
use crate::secret::Secret;
use crate::token::{Refusal, TokenError};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Nobody waits longer, whatever the issuer allows.
const LIFETIME_MAX: Duration = Duration::from_secs(1800);
const PAUSE_DEFAULT: Duration = Duration::from_secs(5);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Section 3.5: what "slow_down" adds.
const PAUSE_STEP: Duration = Duration::from_secs(5);
const USER_CODE_BYTES_MAX: usize = 64;
const DEVICE_CODE_BYTES_MAX: usize = 4096;
const URI_BYTES_MAX: usize = 1024;

/// What the person needs, and what we wait with.
#[derive(Debug)]
pub(crate) struct DeviceGrant {
    pub user_code: String,
    pub verification_uri: String,
    pub verification_uri_complete: Option<String>,
    pub until: Instant,
    device_code: Secret,
    pace: Pace,
}

/// How often the issuer is asked whether the person has confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub pause: Duration,
}

impl Pace {
    /// The pace an issuer asks for.
    pub(crate) fn of(asked: Option<Duration>) -> Pace {
        Pace { pause: asked.unwrap_or(PAUSE_DEFAULT).clamp(PAUSE_MIN, PAUSE_MAX) }
    }

    /// It asked us to slow down.
    pub(crate) fn slower(self) -> Pace {
        Pace { pause: self.pause.saturating_add(PAUSE_STEP).min(PAUSE_MAX) }
    }

    /// It could not be reached: exponential back-off, as section 3.5 has it.
    pub(crate) fn backed_off(self) -> Pace {
        Pace { pause: self.pause.saturating_mul(2).min(PAUSE_MAX) }
    }
}

impl Issuer {
    /// Begins a login.
    pub(crate) async fn begin_device(self: &Rc<Self>) -> Result<DeviceGrant, TokenError> {
        let metadata = self.metadata().await?;
        let endpoint = metadata.device_authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or(TokenError::NotOffered("the issuer has no device flow"))?;
        let scope = self.config.scope();
        let begun = Instant::now();
        let (status, answer) =
            self.post_as_client(&metadata, endpoint, &[("scope", &scope)]).await?;
        let grant = (status == 200).then(|| self.grant(&answer, begun)).flatten();
        grant.ok_or(TokenError::Refused(Refusal::Answer))
    }

    /// Waits until the person has confirmed, or will not any more. Dropping it gives up.
    pub(crate) async fn await_device(
        self: &Rc<Self>,
        grant: DeviceGrant,
    ) -> Result<Proven, TokenError> {
        let polled = timeout_at(grant.until, self.poll(&grant)).await;
        polled.unwrap_or(Err(TokenError::TimedOut))
    }

    async fn poll(self: &Rc<Self>, grant: &DeviceGrant) -> Result<Proven, TokenError> {
        let form = [("grant_type", GRANT), ("device_code", grant.device_code.expose())];
        let mut pace = grant.pace;
        loop {
            sleep(pace.pause).await;
            let exchanged = match self.metadata().await {
                Ok(metadata) => self.exchange(&metadata, &form).await,
                Err(error) => Err(error),
            };
            match exchanged {
                Ok(Exchanged::Tokens(tokens)) => return self.log_in(tokens, None, "device").await,
                Ok(Exchanged::Error(error)) => match error.as_str() {
                    "authorization_pending" => {}
                    "slow_down" => pace = pace.slower(),
                    "access_denied" => return Err(TokenError::Declined),
                    "expired_token" => return Err(TokenError::TimedOut),
                    _ => return Err(Refusal::Answer.into()),
                },
                Err(TokenError::Unavailable(_)) => pace = pace.backed_off(),
                Err(error) => return Err(error),
            }
        }
    }

    fn grant(&self, answer: &Map<String, Value>, begun: Instant) -> Option<DeviceGrant> {
        let uri = |name: &str| {
            let uri = shown(answer.get(name)?, URI_BYTES_MAX)?;
            may_go_to(&self.config, uri).then(|| uri.to_owned())
        };
        let seconds = |name: &str| {
            answer.get(name)?.as_f64().and_then(|n| Duration::try_from_secs_f64(n).ok())
        };
        let lifetime = seconds("expires_in")?.min(LIFETIME_MAX);
        Some(DeviceGrant {
            user_code: shown(answer.get("user_code")?, USER_CODE_BYTES_MAX)?.to_owned(),
            verification_uri: uri("verification_uri")?,
            verification_uri_complete: uri("verification_uri_complete"),
            until: begun.checked_add(lifetime)?,
            device_code: shown(answer.get("device_code")?, DEVICE_CODE_BYTES_MAX)
                .map(|code| Secret::new(code.to_owned()))?,
            pace: Pace::of(seconds("interval")),
        })
    }
}

/// A text that may be written to somebody's terminal.
fn shown(value: &Value, bytes_max: usize) -> Option<&str> {
    let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let fits = |text: &&str| !text.is_empty() && text.len() <= bytes_max;
    value.as_str().filter(fits).filter(|text| text.bytes().all(printable))
}
