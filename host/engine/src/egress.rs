//! How a sink reaches the outside: through the host, by the name of a target.

/// What a target answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressResponse {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why a post did not reach its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressError {
    /// The policy has no target of that name.
    UnknownTarget,
    Denied,
    Timeout,
    Transport(String),
}

/// Posts for sinks. Address, TLS, credentials and time-outs of a policy's targets are its
/// business; it must return within the target's time-out.
pub trait Egress: Send + Sync {
    fn post(
        &self,
        policy: &str,
        target: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<EgressResponse, EgressError>;
}

/// What a guest asks to have posted.
pub(crate) struct Post {
    pub(crate) target: String,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// Each post starts the deadline's clock anew, so their number bounds a delivery's time.
pub(crate) const POSTS_PER_DELIVERY_MAX: u32 = 64;
