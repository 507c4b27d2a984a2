//! Looking without touching: what a directory would put into force, what a plugin is, and
//! making a component of a core module.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use wasmtime::component::Component;
use wit_component::ComponentEncoder;

use crate::config::EngineConfig;
use crate::error::{EngineError, Failure};
use crate::guest_state::LogBudget;
use crate::instance::{Form, Instance, Manifest};
use crate::loader::Loader;
use crate::plugin::{Digest, Kinds, Plugin};
use crate::plugin_dir;
use crate::policy::PolicySummary;
use crate::sandbox::Sandbox;

/// What would be in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    pub policies: Vec<PolicySummary>,
    pub failures: Vec<Failure>,
}

impl CheckReport {
    /// True when every file could be put into force as it says.
    pub fn is_sound(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policies.iter().try_for_each(|policy| writeln!(f, "{policy}"))?;
        self.failures.iter().try_for_each(|failure| writeln!(f, "error: {failure}"))
    }
}

/// Loads the directory as [`crate::Engine::open`] would, and publishes nothing.
pub fn check(config: &EngineConfig) -> CheckReport {
    match Loader::new(config.clone()) {
        Ok(mut loader) => {
            let loaded = loader.load(false);
            let policies = loaded.policies.iter().map(|policy| policy.summary()).collect();
            CheckReport { policies, failures: loaded.failures }
        }
        Err(error) => {
            let failure = Failure {
                policy: "*".into(),
                file: config.plugin_dir.clone(),
                line: None,
                reason: error.to_string(),
                last_good_in_force: false,
            };
            CheckReport { policies: Vec::new(), failures: vec![failure] }
        }
    }
}

/// What a plugin's file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the file.
    pub digest: Digest,
    pub size_bytes: u64,
    pub kinds: Kinds,
    /// Its permissions: what it may call.
    pub imports: Vec<String>,
    /// True when it needs `wasi = "inert"` in its policy file.
    pub needs_wasi: bool,
    pub manifest: Manifest,
}

/// Looks at one plugin, under the same limits as a policy; an empty WASI is linked if need be.
pub fn inspect(path: &Path) -> Result<Inspection, EngineError> {
    let mut config = EngineConfig::new(".");
    (config.workers, config.policies_max) = (1, 1);
    let located = |reason: String| EngineError::new(format!("{}: {reason}", path.display()));
    let bytes = plugin_dir::read(path, config.plugin_bytes_max).map_err(located)?;
    let sandbox = Sandbox::new(&config)?;
    let component = Component::from_binary(&sandbox.engine, &bytes)
        .map_err(|error| located(crate::loader::not_a_component(&bytes, &error)))?;
    let plugin = Plugin::link(&sandbox, &component, Digest::of(&bytes), true)
        .map_err(|error| located(error.to_string()))?;
    let form = Form {
        policy: path
            .file_stem()
            .map_or_else(Default::default, |stem| stem.to_string_lossy())
            .into(),
        plugin: Arc::new(plugin),
        deadline_ms: crate::config::STARTUP_MS,
        memory_bytes_max: config.memory_bytes_ceiling,
        settings: "{}".to_owned(),
        log: Arc::new(LogBudget::new()),
        ticker: Arc::clone(&sandbox.ticker),
        population: sandbox.population.clone(),
    };
    let manifest = Instance::unconfigured(&form)
        .and_then(|mut instance| instance.describe())
        .map_err(|fault| {
            located(format!(
                "does not describe itself ({}): {}",
                fault.kind.as_str(),
                fault.message
            ))
        })?;
    let plugin = &form.plugin;
    Ok(Inspection {
        digest: plugin.digest,
        size_bytes: bytes.len() as u64,
        kinds: plugin.kinds,
        imports: plugin.imports.clone(),
        needs_wasi: plugin.imports.iter().any(|import| crate::inert_wasi::is_wasi(import)),
        manifest,
    })
}

/// Makes a component of a core module that carries its WIT types, as compilers leave them.
/// `adapter` is the preview1 adapter, for modules that import `wasi_snapshot_preview1`.
pub fn componentize(core_module: &[u8], adapter: Option<&[u8]>) -> Result<Vec<u8>, EngineError> {
    let encode = || {
        let mut encoder = ComponentEncoder::default();
        encoder.validate(true).module(core_module)?;
        if let Some(adapter) = adapter {
            encoder.adapter("wasi_snapshot_preview1", adapter)?;
        }
        encoder.encode()
    };
    encode().map_err(|error| EngineError::new(format!("no component can be made: {error:#}")))
}
