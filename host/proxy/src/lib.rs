//! The proxy: it listens, proves who asks, and stands between a client and its database.
//!
//! Modules are listed bottom-up. [`Proxy`] at the end is what the host composes.

pub mod settings;
mod buffers;
mod transport;
mod refusal;
mod upstream;
mod asking;
mod snapshot;
mod labels;
mod database;
mod cancel;
mod facts;
mod names;
mod run;
mod masks;
mod gate;
mod startup;
mod shared;
mod session;
mod worker;
mod proxy;

pub use proxy::{Proxy, ProxyError};
pub use settings::{
    Audit, DatabaseSettings, Limits, ListenSettings, Settings, SslMode, UpstreamSettings,
};
