//! Policies as WebAssembly components.
//!
//! The only crate that knows wasmtime. It compiles, links, pools, calls and limits the
//! components of a plugin directory, follows the directory's changes, and shows itself to
//! the proxy as a `portcullis_policy::set::PolicyHub`.

mod nearest;
mod config;
mod error;
mod matching;
mod policy_file;
mod egress;
mod bindings;
mod population;
mod sandbox;
mod guest_state;
mod inert_wasi;
mod plugin;
mod plugin_dir;
mod code_cache;
mod convert;
mod answers;
mod instance;
mod policy;
mod loader;
mod worker;
mod sink;
mod watcher;
mod engine;
mod report;

pub use config::{EngineConfig, PolicyDefaults};
pub use egress::{Egress, EgressError, EgressResponse};
pub use engine::Engine;
pub use error::{EngineError, Failure};
pub use instance::Manifest;
pub use matching::Matching;
pub use plugin::{Digest, Kinds};
pub use policy::{PolicySummary, SetSummary};
pub use policy_file::Target;
pub use population::Population;
pub use report::{CheckReport, Inspection, check, componentize, inspect};
pub use sink::SinkHandle;
