//! What the engine is told, and the limits nobody is asked about.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_policy::Mode;

/// What every plugin directory needs to be in force.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where the policies are: `*.toml` and `*.wasm`.
    pub plugin_dir: PathBuf,
    /// Where compiled code is kept, private to the process's user; `None` keeps nothing.
    pub cache_dir: Option<PathBuf>,
    /// Threads that call policies; sizes the instance pool.
    pub workers: usize,
    /// How often the directory is looked at where nothing notifies of changes.
    pub poll_interval: Duration,
    /// What a policy file leaves out.
    pub defaults: PolicyDefaults,
    /// Puts every policy into this mode, whatever its file says.
    pub mode_override: Option<Mode>,
    /// The most `memory_bytes_max` a policy may ask for.
    pub memory_bytes_ceiling: usize,
    /// The largest plugin file that is read.
    pub plugin_bytes_max: u64,
    /// How many policies may be in force at once; sizes the instance pool.
    pub policies_max: usize,
}

impl EngineConfig {
    /// The defaults for a directory.
    pub fn new(plugin_dir: impl Into<PathBuf>) -> EngineConfig {
        EngineConfig {
            plugin_dir: plugin_dir.into(),
            cache_dir: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            poll_interval: Duration::from_secs(2),
            defaults: PolicyDefaults::default(),
            mode_override: None,
            memory_bytes_ceiling: 64 << 20,
            plugin_bytes_max: 48 << 20,
            policies_max: 64,
        }
    }
}

/// Limits of a policy whose file does not name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyDefaults {
    pub deadline_ms: u32,
    pub memory_bytes_max: usize,
}

impl Default for PolicyDefaults {
    fn default() -> PolicyDefaults {
        PolicyDefaults { deadline_ms: 10, memory_bytes_max: 16 << 20 }
    }
}

/// The longest deadline a policy file may ask for.
pub(crate) const DEADLINE_MS_MAX: u32 = 30_000;

/// Instantiation and `configure` are bounded by this, or by the policy's deadline where that
/// is longer.
pub(crate) const STARTUP_MS: u32 = 500;

/// The stack of a guest. A worker's own stack must be larger than this.
pub(crate) const STACK_BYTES_MAX: usize = 512 << 10;

/// The largest TOML file that is read as a policy.
pub(crate) const POLICY_FILE_BYTES_MAX: u64 = 1 << 20;

/// Lines a policy may log per second, over all workers.
pub(crate) const LOG_LINES_PER_SECOND: u32 = 100;

/// The rest of a longer line is cut.
pub(crate) const LOG_LINE_BYTES_MAX: usize = 2048;

/// This many faults within [`FAULT_WINDOW`] and a policy is not called for [`SUSPENSION`].
pub(crate) const FAULTS_MAX: usize = 5;
pub(crate) const FAULT_WINDOW: Duration = Duration::from_secs(10);
pub(crate) const SUSPENSION: Duration = Duration::from_secs(5);

/// Text of samples handed to a classifier in one call, so that one call's deadline holds.
pub(crate) const SAMPLE_BYTES_PER_CALL: usize = 32 << 10;

/// Looking at samples happens once per relation and not per statement, so it may take longer.
pub(crate) const CLASSIFY_DEADLINE_FACTOR: u32 = 10;

/// The largest text a verdict may carry in one field, and how many tags.
pub(crate) const VERDICT_TEXT_BYTES_MAX: usize = 8 << 10;
pub(crate) const VERDICT_LIST_MAX: usize = 64;

/// How long the directory must be still before it is read, and the longest wait for that.
pub(crate) const DEBOUNCE: Duration = Duration::from_millis(50);
pub(crate) const DEBOUNCE_MAX: Duration = Duration::from_secs(2);
