//! Who is asking, and the proxy's own logins.
//!
//! Pure: bytes in, bytes out. Sockets, files and time-outs belong to the caller.
//!
//! * [`ScramServer`] lets a client prove that it is one of the configured [`Users`], by
//!   SCRAM-SHA-256 as PostgreSQL speaks it (RFC 5802, RFC 7677), bound to the TLS channel
//!   where there is one.
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
//! | An upstream asking for a billion iterations, or for one | Outside of [`ITERATIONS_ACCEPTED`] the login fails before any is done |
//! | An upstream that does not know the password | Its signature is checked before the login counts |

mod hash;
mod message;
mod binding;
mod verifier;
mod certificate;
mod token;
mod proven;
mod users;
mod server;
mod upstream;
mod client;

pub use binding::{ChannelBinding, tls_server_end_point};
pub use certificate::CertificateId;
pub use client::ScramClient;
pub use message::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS};
pub use proven::{Basis, Proven};
pub use server::{AuthError, ScramServer};
pub use token::TokenBasis;
pub use upstream::{ITERATIONS_ACCEPTED, LoginError, UpstreamKeys, md5_response};
pub use users::{MockSecret, User, UserConfig, UserMatched, Users};
pub use verifier::{ITERATIONS_DEFAULT, Verifier, VerifierError};

#[cfg(test)]
mod tests;
