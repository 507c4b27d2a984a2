//! Who is asking, and the proxy's own logins.
//!
//! Pure but for [`Issuers`], which asks identity providers from a thread of its own: bytes
//! in, bytes out. Sockets, files and time-outs belong to the caller.
//!
//! Whatever the way in, the result is a [`Proven`]; [`Methods`] says which way is asked for,
//! [`Standing`] whether what was proved still holds, [`Throttle`] how long who fails must
//! wait.
//!
//! * [`ScramServer`] lets a client prove that it is one of the configured [`Users`], by
//!   SCRAM-SHA-256 as PostgreSQL speaks it (RFC 5802, RFC 7677), bound to the TLS channel
//!   where there is one.
//! * [`Issuers`] prove people, services and agents by tokens of OpenID providers: shown as a
//!   password or by OAUTHBEARER ([`BearerFirst`]), or fetched when a person confirms a login
//!   in a browser ([`DeviceLogin`], [`CodeLogin`]).
//! * [`ScramClient`] and [`md5_response`] log the proxy in at the upstream. Its passwords
//!   live in [`UpstreamKeys`]; clients never see them.
//!
//! # Attacks, and why they fail here
//!
//! | attack | answer |
//! | --- | --- |
//! | Asking which users exist | An unknown user gets a salt that is always the same for that name, and the exchange fails at its end like a wrong password |
//! | Timing the comparison | Keys are compared in constant time, for unknown users too |
//! | Removing `-PLUS` from the offer on the way | A client that says it would have bound the channel ("y") is refused when binding was on offer |
//! | Relaying the exchange over another TLS session | The bound certificate differs, so the message differs, so the proof fails |
//! | Naming another user inside the SCRAM message | That name is ignored: only the one of the startup packet counts |
//! | Replaying a recorded proof | The server's half of the nonce is new each time |
//! | Trying passwords | Failures slow down the address (an IPv6 /64 is one) and the user name, up to [`DELAY_MAX`], so that nobody is locked out by somebody else |
//! | Guessing which short-lived passwords or password-less users there are | A name that begins like theirs, or is theirs, is asked the same question whether or not it exists |
//! | Getting a short-lived password with another, without end | Only a login of another kind can issue one |
//! | A certificate with `ana\0.evil`, two common names, or a wildcard | What could be read in two ways is refused whole, before it is compared |
//! | A certificate with the names of two users | Refused: the startup user would choose between them |
//! | Spelling a distinguished name so that a comma hides another component | Names are compared in one canonical spelling, components apart |
//! | Staying after the password, group, certificate or user is gone | [`Standing::holds`] proves the login anew and compares |
//! | A token with `none`, or with a MAC made with the public key | Only asymmetric algorithms on the issuer's list are known, each fitting one sort of key |
//! | A token that brings its key, or says where it is | Refused; addresses are never followed |
//! | A claim twice, to be read in two ways | No member is read twice, at any depth, however it is spelled |
//! | A token for another service, client or use (an identity, logout or bound token) | Audience, party, type and `cnf` are checked; audiences are never empty |
//! | Somebody of one issuer named like somebody of another | Issuers with one subject prefix are refused at the start |
//! | An agent with its human's token | With `act` or `may_act` the actor is the principal, and is an agent |
//! | Making the proxy hammer an issuer with unknown keys | One question at a time, at a limited rate, that goes on when its client does not |
//! | An issuer that is down, or lies about its address | What was known is believed for a limited time; then logins fail |
//! | A user code that rewrites the terminal | Only printable ASCII is shown |
//! | An upstream asking for a billion iterations, or for one | Outside of [`ITERATIONS_ACCEPTED`] the login fails before any is done |
//! | An upstream that does not know the password | Its signature is checked before the login counts |

mod hash;
mod secret;
mod token;
mod strict_json;
mod algorithm;
mod jwks;
mod issuer_config;
mod message;
mod binding;
mod verifier;
mod distinguished;
mod certificate;
mod proven;
mod credential;
mod disabled;
mod method;
mod throttle;
mod jwt;
mod claims;
mod issuer_http;
mod discovery;
mod issuer;
mod browser_login;
mod device;
mod issuers;
mod users;
mod standing;
mod server;
mod oauthbearer;
mod upstream;
mod client;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use binding::{ChannelBinding, tls_server_end_point};
pub use browser_login::{CodeLogin, CodeRequest};
pub use certificate::{
    Certificate, CertificateError, CertificateId, CertificateName, CertificateNameError,
    Revocations,
};
pub use client::ScramClient;
pub use credential::{
    CREDENTIAL_LIFETIME_MAX, CREDENTIAL_PREFIX, CREDENTIALS_MAX, CREDENTIALS_PER_SUBJECT_MAX,
    Credential, CredentialStore, Credentials, IssueError, Issued,
};
pub use disabled::{DISABLED_MAX, Disabled, DisabledStore, DisabledSubject};
pub use issuer_config::{CLOCK_SKEW_MAX, IssuerConfig, IssuerFault, KindRule, RECHECK_MIN};
pub use issuers::{DeviceLogin, Issuers};
pub use jwks::KeyTimes;
pub use jwt::claimed_issuer;
pub use message::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS};
pub use method::{LoginRule, Method, Methods, Pattern, is_in, network};
pub use oauthbearer::{BearerFailure, BearerFirst, OAUTHBEARER};
pub use proven::{Basis, Proven};
pub use secret::Secret;
pub use server::{AuthError, ScramServer};
pub use standing::{Lapsed, Standing};
pub use throttle::{DELAY_MAX, Throttle};
pub use token::{Ended, Refusal, TokenBasis, TokenError};
pub use upstream::{ITERATIONS_ACCEPTED, LoginError, UpstreamKeys, md5_response};
pub use users::{MockSecret, User, UserConfig, UserMatched, Users};
pub use verifier::{ITERATIONS_DEFAULT, PasswordMark, Verifier, VerifierError};

#[cfg(test)]
mod tests;
