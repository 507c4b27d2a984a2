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
mod sandbox;
mod guest_state;
mod inert_wasi;
mod plugin;

pub use config::{EngineConfig, PolicyDefaults};
pub use egress::{Egress, EgressError, EgressResponse};
pub use error::{EngineError, Failure};
pub use matching::Matching;
pub use plugin::{Digest, Kinds};
pub use policy_file::Target;
