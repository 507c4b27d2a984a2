//! What becomes of a token: what a session rests on that came with one, or why none did.

use std::fmt;

use crate::secret::Secret;

/// What a token's sessions rest on.
#[derive(Clone, Debug)]
pub struct TokenBasis {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// The token's own `sub`, as the issuer wrote it.
    pub token_subject: String,
    /// Kept only where the issuer is asked again during a session.
    pub access_token: Option<Secret>,
    /// SHA-256 of the token that was proof.
    pub token_digest: [u8; 32],
}

/// Why nobody was proved by a token. A client is told only [`TokenError::for_client`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The token, or what the issuer answered to a login, is not accepted.
    Refused(Refusal),
    /// No issuer of this name is configured.
    UnknownIssuer,
    /// The issuer is not set up for this way to log in.
    NotOffered(&'static str),
    /// The issuer cannot be asked, and what is known of it is too old.
    Unavailable(String),
    /// Too many logins wait for issuers.
    Busy,
    /// The person said no.
    Declined,
    /// The person did not confirm in time.
    TimedOut,
    /// Asked again, the issuer no longer stands behind the session.
    Ended(Ended),
}

/// What is wrong with a token: for the ledger and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Oversized,
    Malformed,
    DuplicateMember,
    /// Its algorithm is not on the issuer's list, or does not fit the key.
    Algorithm,
    /// It demands an extension that is not known here.
    Critical,
    /// It is a token of another sort: a logout token, an encrypted or a nested one.
    Kind,
    /// It brings its own key.
    EmbeddedKey,
    /// No key of the issuer, or more than one, is the one it names.
    UnknownKey,
    Signature,
    Issuer,
    Audience,
    AuthorizedParty,
    Expired,
    NotYetValid,
    /// It is bound to a key whose possession the client cannot prove here.
    SenderConstrained,
    /// The claim that is the subject is missing or unusable.
    Subject,
    /// The claim with startup user names is missing or unusable.
    UserName,
    /// The groups are unusable, or were left out because they are many.
    Groups,
    /// It names an actor in a way that cannot be followed.
    Delegation,
    /// It answers another login than this one.
    Nonce,
    /// The access token beside it is not the one it was issued with.
    AccessToken,
    /// The issuer refused the login, or answered with something else than tokens.
    Answer,
}

/// Why a session that rests on a token must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The issuer no longer accepts the token.
    TokenRevoked,
    GroupsChanged,
    /// The token now speaks for somebody else.
    SubjectChanged,
}

impl TokenError {
    /// All that a client may be told. It never says which part was wrong.
    pub fn for_client(&self) -> &'static str {
        match self {
            TokenError::Refused(_) | TokenError::UnknownIssuer => "authentication failed",
            TokenError::NotOffered(_) => "this way to log in is not available",
            TokenError::Unavailable(_) => "the identity provider cannot be reached",
            TokenError::Busy => "too many logins are under way",
            TokenError::Declined => "the login was declined",
            TokenError::TimedOut => "the login was not confirmed in time",
            TokenError::Ended(ended) => ended.as_str(),
        }
    }
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> TokenError {
        TokenError::Refused(refusal)
    }
}

impl Refusal {
    /// The words used in the ledger and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Oversized => "the token is too long",
            Refusal::Malformed => "the token is malformed",
            Refusal::DuplicateMember => "the token says something twice",
            Refusal::Algorithm => "the token's algorithm is not allowed for its issuer and key",
            Refusal::Critical => "the token demands an extension that is not known here",
            Refusal::Kind => "the token is of another sort",
            Refusal::EmbeddedKey => "the token brings its own key",
            Refusal::UnknownKey => "the token's key is not one of its issuer",
            Refusal::Signature => "the token's signature is wrong",
            Refusal::Issuer => "the token is from another issuer",
            Refusal::Audience => "the token is for somebody else",
            Refusal::AuthorizedParty => "the token was issued to a client that is not allowed",
            Refusal::Expired => "the token has expired",
            Refusal::NotYetValid => "the token is not valid yet",
            Refusal::SenderConstrained => "the token is bound to a key of its holder",
            Refusal::Subject => "the token has no usable subject",
            Refusal::UserName => "the token has no usable user name",
            Refusal::Groups => "the token's groups are missing or unusable",
            Refusal::Delegation => "the token's actor cannot be followed",
            Refusal::Nonce => "the token answers another login",
            Refusal::AccessToken => "the access token is not the one of the identity token",
            Refusal::Answer => "the identity provider did not answer with usable tokens",
        }
    }
}

impl Ended {
    /// The sentence that the ended session's client is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::TokenRevoked => "the identity provider no longer accepts the login",
            Ended::GroupsChanged => "the groups of the login have changed",
            Ended::SubjectChanged => "the login now belongs to somebody else",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::Refused(refusal) => f.write_str(refusal.as_str()),
            TokenError::UnknownIssuer => f.write_str("no issuer of this name is configured"),
            TokenError::NotOffered(why) => f.write_str(why),
            TokenError::Unavailable(why) => {
                write!(f, "the identity provider cannot be reached: {why}")
            }
            TokenError::Busy | TokenError::Declined | TokenError::TimedOut => {
                f.write_str(self.for_client())
            }
            TokenError::Ended(ended) => f.write_str(ended.as_str()),
        }
    }
}

impl std::error::Error for TokenError {}
