//! The proxy: it listens, proves who asks, and stands between a client and its database.
//!
//! Modules are listed bottom-up. [`Proxy`] at the end is what the host composes.

pub mod settings;
mod alarm;
mod buffers;
mod metrics;
#[cfg(any(test, feature = "scripted"))]
mod memory;
mod transport;
mod frames;
mod refusal;
mod upstream;
mod asking;
mod snapshot;
mod labels;
mod database;
mod registry;
mod cancel;
mod effects;
mod moves;
mod parameters;
mod reading;
mod recent;
mod facts;
mod release;
mod names;
mod known;
mod observed;
mod run;
mod masks;
mod gate;
mod gathering;
mod balancer;
mod startup;
mod browser;
mod proving;
mod shared;
mod patience;
mod session;
#[cfg(any(test, feature = "scripted"))]
pub mod scripted;
mod reception;
mod worker;
mod upkeep;
mod proxy;

pub use browser::BrowserLogin;
pub use metrics::{Histogram, MetricsView};
pub use proxy::{Control, Proxy, ProxyError};
pub use registry::{SessionState, SessionView};
pub use settings::{
    Audit, BrowserSettings, DatabaseSettings, Directory, Limits, ListenSettings, RoleMapping,
    Settings, SslMode, UpstreamSettings,
};

#[cfg(test)]
mod tests;
