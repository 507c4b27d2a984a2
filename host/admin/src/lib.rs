//! The control surface over a running proxy: a JSON API, pages for people, health, metrics.
//!
//! Modules are listed bottom-up. [`Admin`] is what the host composes.
//!
//! # Attacks, and why they fail here
//!
//! | attack | answer |
//! | --- | --- |
//! | Asking without a login | Only health is answered, and metrics where the listener is on a loopback address; a write is recorded as refused, and held back |
//! | Guessing passwords or tokens | Each failure is a record and holds the next answers back, together with failures at the proxy; names that nobody has cost the same computing |
//! | Another site makes a browser ask the API | The API takes no cookie and never makes a browser ask for a password; requests that browsers mark as another site's are refused |
//! | Another site makes a browser send a form | The session cookie is not sent along (SameSite=Strict), `Origin` and `Sec-Fetch-Site` must be ours, and the form carries a mark made from the cookie with a key of this process |
//! | Logging a browser in as somebody else | The login form and the way to the issuer and back are tied to a cookie of the browser that began them |
//! | A name of another site that points here | Without TLS, the Host header must be a loopback name or the public URL's |
//! | Replaying a link, a code or a state | Each is taken out when it is used; an issuer's code is spent at the issuer, too |
//! | A chat room that fetches links | Looking uses nothing up and shows nothing |
//! | Leading elsewhere after a login | Only two forms of path are gone on to |
//! | Framing, caching, referrers, scripts | Refused by headers on every answer; pages have no scripts |
//! | Slow or many connections, large heads and bodies | Each has a bound |
//! | A password that lives for ever by making new ones | One that is short-lived itself makes none |

mod role;
mod problem;
mod secret;
mod settings;
mod parts;
mod browsers;
mod operation;
mod text;
mod shared;
mod caller;
mod guard;
mod extract;
mod api;
mod metrics;
mod page;
mod router;
mod serve;
mod admin;

pub use admin::Admin;
pub use parts::{Lags, Parts, Record, Reload, SinkLag};
pub use role::{Role, Roles};
pub use settings::{AdminLimits, AdminSettings, PublicUrl};

#[cfg(test)]
mod tests;
