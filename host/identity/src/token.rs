//! What a session rests on that came with a token.

/// What a token's sessions rest on.
#[derive(Clone, Debug)]
pub struct TokenBasis {
    /// The issuer's name in the configuration.
    pub issuer: String,
}
