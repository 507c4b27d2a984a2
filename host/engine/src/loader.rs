//! From files to policies: what the directory asks for, against what is in force.
//!
//! A policy that cannot be put into force as its file says holds back itself alone: its last
//! good form stays, and everything else changes as asked.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use portcullis_policy::{Fault, FaultKind};

use crate::code_cache::CodeCache;
use crate::config::{EngineConfig, POLICY_FILE_BYTES_MAX};
use crate::error::{EngineError, Failure};
use crate::guest_state::LogBudget;
use crate::instance::{Form, Instance};
use crate::plugin::{Digest, Plugin};
use crate::plugin_dir::{self, Reader};
use crate::policy::Policy;
use crate::policy_file::PolicyFile;
use crate::population::Population;
use crate::sandbox::Sandbox;

/// Reads the directory and makes policies of it.
pub(crate) struct Loader {
    config: EngineConfig,
    sandbox: Sandbox,
    cache: CodeCache,
    reader: Reader,
    /// By policy name: what was last asked for, and what came of it.
    known: BTreeMap<String, Known>,
    /// Plugins in use, shared by policies of the same component.
    plugins: HashMap<(Digest, bool), Weak<Plugin>>,
}

/// What the directory makes of itself.
pub(crate) struct Loaded {
    /// In the order of names.
    pub(crate) policies: Vec<Arc<Policy>>,
    pub(crate) failures: Vec<Failure>,
}

struct Known {
    /// What was asked for when it was last tried.
    asked: Asked,
    in_force: Option<Arc<Policy>>,
    failure: Option<Broken>,
}

/// Everything that decides what a policy is.
#[derive(Clone, PartialEq)]
struct Asked {
    file: PathBuf,
    /// The policy file's text; `None` for a lone plugin.
    text: Option<Result<String, String>>,
    plugin: Option<(PathBuf, Result<Digest, String>)>,
}

/// Why a policy is not in force as its file says.
#[derive(Clone)]
struct Broken {
    file: PathBuf,
    line: Option<u32>,
    reason: String,
    /// The cause may pass without any file changing.
    passing: bool,
}

impl Loader {
    pub(crate) fn new(config: EngineConfig) -> Result<Loader, EngineError> {
        Ok(Loader {
            sandbox: Sandbox::new(&config)?,
            cache: CodeCache::open(config.cache_dir.as_deref())?,
            config,
            reader: Reader::default(),
            known: BTreeMap::new(),
            plugins: HashMap::new(),
        })
    }

    /// Counts the instances of what it loads.
    pub(crate) fn population(&self) -> Population {
        self.sandbox.population.clone()
    }

    /// Looks at the directory. What did not change is not touched; what failed is tried again
    /// when its files changed or `retry` says so.
    pub(crate) fn load(&mut self, retry: bool) -> Loaded {
        let listing = match plugin_dir::list(&self.config.plugin_dir) {
            Ok(listing) => listing,
            Err(reason) => return self.directory_lost(reason),
        };
        let mut clashes = Vec::new();
        let before = std::mem::take(&mut self.known);
        let mut policy_files = Vec::new();
        for path in &listing.policy_files {
            let (asked, file) = self.ask_file(path);
            policy_files.push((stem(path), asked, file));
        }
        let mut before = before;
        for (name, asked, file) in &policy_files {
            let known = before.remove(name);
            let known = self.settle(name, asked.clone(), file.clone(), known, retry);
            self.known.insert(name.clone(), known);
        }
        for path in &listing.plugins {
            let name = stem(path);
            match self.claim(path, &name, &policy_files) {
                Claim::Nobody => {
                    let file = PolicyFile::lone(file_name(path), &self.config);
                    let asked = Asked { file: path.clone(), text: None, plugin: self.plugin(path) };
                    let known = before.remove(&name);
                    let known = self.settle(&name, asked, Ok(file), known, retry);
                    self.known.insert(name, known);
                }
                // The file that names it is not good yet, so it stays what it was.
                Claim::Broken => {
                    if let Some(known) = before.remove(&name) {
                        self.known.insert(name, known);
                    }
                }
                Claim::InForce => {}
                Claim::NameTaken => clashes.push(clash(path, name)),
            }
        }
        self.plugins.retain(|_, plugin| plugin.strong_count() > 0);
        self.reader.retain(|path| path.exists());
        let mut loaded = self.loaded();
        loaded.failures.extend(clashes);
        loaded
    }

    /// The directory itself cannot be read: nothing that is in force goes.
    fn directory_lost(&self, reason: String) -> Loaded {
        let mut loaded = self.loaded();
        loaded.failures.push(Failure {
            policy: "*".into(),
            file: self.config.plugin_dir.clone(),
            line: None,
            reason: format!("the plugin directory {reason}"),
            last_good_in_force: !loaded.policies.is_empty(),
        });
        loaded
    }

    fn loaded(&self) -> Loaded {
        let failures = self.known.iter().filter_map(|(name, known)| {
            known.failure.as_ref().map(|broken| Failure {
                policy: name.as_str().into(),
                file: broken.file.clone(),
                line: broken.line,
                reason: broken.reason.clone(),
                last_good_in_force: known.in_force.is_some(),
            })
        });
        Loaded {
            failures: failures.collect(),
            policies: self.known.values().filter_map(|known| known.in_force.clone()).collect(),
        }
    }

    /// Reads a policy file, and the digest of the plugin it names.
    fn ask_file(&mut self, path: &Path) -> (Asked, Result<PolicyFile, Broken>) {
        let text = plugin_dir::read(path, POLICY_FILE_BYTES_MAX)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned()));
        let broken = |line, reason| Broken { file: path.to_owned(), line, reason, passing: false };
        let file = match &text {
            Ok(text) => PolicyFile::parse(text, &self.config)
                .map_err(|error| broken(error.line, error.reason)),
            Err(reason) => Err(broken(None, reason.clone())),
        };
        let plugin = match &file {
            Ok(file) => self.plugin(&self.config.plugin_dir.join(&file.plugin)),
            Err(_) => None,
        };
        (Asked { file: path.to_owned(), text: Some(text), plugin }, file)
    }

    fn plugin(&mut self, path: &Path) -> Option<(PathBuf, Result<Digest, String>)> {
        Some((path.to_owned(), self.reader.digest(path, self.config.plugin_bytes_max)))
    }

    /// What a policy is from now on.
    fn settle(
        &mut self,
        name: &str,
        asked: Asked,
        file: Result<PolicyFile, Broken>,
        known: Option<Known>,
        retry: bool,
    ) -> Known {
        let (in_force, before) = match known {
            Some(known) => {
                let again = retry || known.failure.as_ref().is_some_and(|broken| broken.passing);
                if known.asked == asked && (known.failure.is_none() || !again) {
                    return known;
                }
                (known.in_force.clone(), known.in_force)
            }
            None => (None, None),
        };
        match file.and_then(|file| self.build(name, &asked, &file, before.as_deref())) {
            Ok(policy) => {
                // A policy that did not change in anything that counts is not published again.
                let same = in_force.filter(|standing| policy.is_like(standing));
                let in_force = Some(same.unwrap_or_else(|| Arc::new(policy)));
                Known { asked, in_force, failure: None }
            }
            Err(broken) => Known { asked, in_force, failure: Some(broken) },
        }
    }

    fn build(
        &mut self,
        name: &str,
        asked: &Asked,
        file: &PolicyFile,
        before: Option<&Policy>,
    ) -> Result<Policy, Broken> {
        let in_file = |reason: String| Broken {
            file: asked.file.clone(),
            line: None,
            reason,
            passing: false,
        };
        let Some((path, digest)) = &asked.plugin else {
            return Err(in_file("names no plugin".to_owned()));
        };
        let in_plugin = |reason: String| Broken { file: path.clone(), ..in_file(reason) };
        let in_force = self.known.values().filter(|known| known.in_force.is_some()).count();
        if before.is_none() && in_force >= self.config.policies_max {
            let reason = format!("{} policies are in force already", self.config.policies_max);
            return Err(in_file(reason));
        }
        let digest = digest.clone().map_err(in_plugin)?;
        let plugin = self
            .linked(path, digest, file.wasi_inert)
            .map_err(|error| in_plugin(error.to_string()))?;
        let unchanged = before.filter(|before| {
            Arc::ptr_eq(&before.form.plugin, &plugin)
                && before.form.settings == file.settings
                && before.form.deadline_ms == file.deadline_ms
                && before.form.memory_bytes_max == file.memory_bytes_max
        });
        let (form, manifest) = match unchanged {
            Some(before) => (Arc::clone(&before.form), before.manifest.clone()),
            None => {
                let form = self.form(name, plugin, file);
                // This is the check of the settings, and it warms the code.
                let manifest =
                    Instance::start(&form).and_then(|mut instance| instance.describe()).map_err(
                        |fault| Broken { passing: passes(&fault), ..in_file(explain(&fault)) },
                    )?;
                (Arc::new(form), manifest)
            }
        };
        Ok(Policy {
            name: name.into(),
            plugin_file: file.plugin.clone(),
            mode: file.mode,
            matching: file.matching.clone(),
            targets: file.targets.clone(),
            terms: file.terms,
            manifest,
            form,
        })
    }

    fn form(&self, name: &str, plugin: Arc<Plugin>, file: &PolicyFile) -> Form {
        Form {
            policy: name.into(),
            plugin,
            deadline_ms: file.deadline_ms,
            memory_bytes_max: file.memory_bytes_max,
            settings: file.settings.clone(),
            log: Arc::new(LogBudget::new()),
            ticker: Arc::clone(&self.sandbox.ticker),
            population: self.sandbox.population.clone(),
        }
    }

    /// The plugin of a digest, from those in use or compiled and linked.
    fn linked(
        &mut self,
        path: &Path,
        digest: Digest,
        wasi_inert: bool,
    ) -> Result<Arc<Plugin>, EngineError> {
        if let Some(plugin) = self.plugins.get(&(digest, wasi_inert)).and_then(Weak::upgrade) {
            return Ok(plugin);
        }
        let bytes =
            plugin_dir::read(path, self.config.plugin_bytes_max).map_err(EngineError::new)?;
        // Should the file have changed meanwhile, the next look tells.
        let digest = Digest::of(&bytes);
        let component = self
            .cache
            .component(&self.sandbox, digest, &bytes)
            .map_err(|error| EngineError::new(not_a_component(&bytes, &error)))?;
        let plugin = Arc::new(Plugin::link(&self.sandbox, &component, digest, wasi_inert)?);
        self.plugins.insert((digest, wasi_inert), Arc::downgrade(&plugin));
        Ok(plugin)
    }

    /// Who names this plugin?
    fn claim(
        &self,
        plugin: &Path,
        name: &str,
        policy_files: &[(String, Asked, Result<PolicyFile, Broken>)],
    ) -> Claim {
        let file_name = file_name(plugin);
        let mut claim = Claim::Nobody;
        for (policy, asked, file) in policy_files {
            let in_force = self.known.get(policy).and_then(|known| known.in_force.as_ref());
            // A policy whose file is wrong stands in its last good form, and that form's
            // plugin is no lone one, whatever the file says now.
            let stands_on_it = in_force
                .is_some_and(|policy| self.config.plugin_dir.join(&policy.plugin_file) == plugin);
            let names_it = match file {
                Ok(file) => self.config.plugin_dir.join(&file.plugin) == plugin,
                // A file that cannot be understood may mean what its text mentions.
                Err(_) => matches!(&asked.text, Some(Ok(text)) if text.contains(&file_name)),
            };
            let names_it = names_it || stands_on_it;
            if names_it {
                match in_force {
                    Some(_) => return Claim::InForce,
                    None => claim = Claim::Broken,
                }
            }
        }
        match claim {
            Claim::Nobody if self.known.contains_key(name) => Claim::NameTaken,
            Claim::Nobody | Claim::Broken | Claim::InForce | Claim::NameTaken => claim,
        }
    }
}

/// Whether a plugin's file is a policy by itself.
enum Claim {
    /// No policy file names it: it is a policy with defaults.
    Nobody,
    /// A policy file in force names it.
    InForce,
    /// Only policy files that never were in force name it.
    Broken,
    /// No policy file names it, but one has its name.
    NameTaken,
}

fn clash(path: &Path, name: String) -> Failure {
    Failure {
        policy: name.as_str().into(),
        file: path.to_owned(),
        line: None,
        reason: format!("{name}.toml has this name and names another plugin; rename one of them"),
        last_good_in_force: false,
    }
}

/// Starting failed for a reason that may pass by itself: a busy machine, a full pool.
fn passes(fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::Deadline | FaultKind::Unavailable => true,
        FaultKind::Trap
        | FaultKind::Memory
        | FaultKind::Malformed
        | FaultKind::Refused
        | FaultKind::Suspended => false,
    }
}

fn explain(fault: &Fault) -> String {
    match fault.kind {
        FaultKind::Refused => format!("does not accept its settings: {}", fault.message),
        FaultKind::Memory => {
            format!("does not start within memory_bytes_max: {}", fault.message)
        }
        FaultKind::Deadline => format!("does not start in time: {}", fault.message),
        FaultKind::Trap | FaultKind::Malformed | FaultKind::Suspended | FaultKind::Unavailable => {
            format!("does not start ({}): {}", fault.kind.as_str(), fault.message)
        }
    }
}

pub(crate) fn not_a_component(bytes: &[u8], error: &wasmtime::Error) -> String {
    // The eight bytes every file starts with: magic, then version and layer.
    match bytes {
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            "is a core module, not a component; `portcullis plugin build` makes one of it"
                .to_owned()
        }
        [b'\0', b'a', b's', b'm', ..] => {
            format!("is not a component that can be compiled: {error:#}")
        }
        _ => "is not WebAssembly".to_owned(),
    }
}

/// "50-pii" of `plugins.d/50-pii.toml`.
fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
