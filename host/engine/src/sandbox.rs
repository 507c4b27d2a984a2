//! The one wasmtime engine, its ticking clock, and how much address space it takes.
//!
//! There is a single engine for the whole life of the process, so that code compiled for one
//! revision can never meet types of another.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::config::{EngineConfig, STACK_BYTES_MAX};
use crate::error::EngineError;
use crate::population::Population;

/// One tick of the clock that ends calls.
const TICK: Duration = Duration::from_millis(1);

/// How often it is looked whether a call is under way.
const LOOK: Duration = Duration::from_millis(10);

/// Without a call for so long the clock rests. To wake it costs a few looks.
const REST_AFTER: Duration = Duration::from_millis(100);

/// Compiles and runs components.
#[derive(Clone)]
pub(crate) struct Sandbox {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) population: Population,
}

impl Sandbox {
    /// A sandbox sized for the configuration, with its ticker thread running.
    pub(crate) fn new(config: &EngineConfig) -> Result<Sandbox, EngineError> {
        let fail = |error: wasmtime::Error| {
            EngineError::new(format!("the WebAssembly engine does not start: {error:#}"))
        };
        let engine = match address_space_is_limited() {
            true => wasmtime::Engine::new(&frugal()).map_err(fail)?,
            // A kernel may refuse the large reservation without a limit that we can read.
            false => wasmtime::Engine::new(&pooled(config))
                .or_else(|_| wasmtime::Engine::new(&frugal()))
                .map_err(fail)?,
        };
        let ticker = Ticker::start(&engine)?;
        Ok(Sandbox { engine, ticker, population: Population::default() })
    }

    /// Names everything that compiled code depends on: wasmtime, its settings, the processor.
    pub(crate) fn compatibility(&self) -> u64 {
        // Its keys are fixed, so that names are equal from one start to the next.
        let mut hasher = std::hash::DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}

/// What holds however memory is laid out.
fn base() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(true)
        .concurrency_support(false)
        .wasm_backtrace_max_frames(None);
    config
}

/// Slots reserved once; instantiation takes microseconds and no code checks bounds.
///
/// Every memory reserves 4 GiB of address space (not of memory), so that accesses need no
/// bounds check: some terabytes altogether.
fn pooled(config: &EngineConfig) -> Config {
    // Each worker, the sink thread and the one that loads hold at most one instance of a
    // policy at a time, and during a change of the old form and of the new.
    let instances = (config.workers.saturating_add(2))
        .saturating_mul(config.policies_max)
        .saturating_mul(2)
        .clamp(64, 4096);
    let instances = u32::try_from(instances).unwrap_or(4096);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(16))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .max_memories_per_component(4)
        .max_memory_size(config.memory_bytes_ceiling)
        .table_elements(100_000);
    let mut base = base();
    base.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    base
}

/// Address space is taken as it is used, for machines where `ulimit -v` limits it. Code checks
/// its bounds and instantiation takes some system calls.
fn frugal() -> Config {
    let mut base = base();
    base.allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(0)
        .memory_reservation_for_growth(4 << 20)
        .memory_guard_size(1 << 16)
        .memory_may_move(true);
    base
}

fn address_space_is_limited() -> bool {
    getrlimit(Resource::As).current.is_some()
}

/// Advances the engine's epoch while calls are under way.
///
/// Nearly all calls take microseconds, and a look at them costs as much as one. So it looks
/// rarely, until it meets a call: from then on every tick is of [`TICK`], until no call is met.
/// For a call the tick under way when it begins counts for nothing; it takes up to [`LOOK`], and so
/// much later than at its deadline a call may end.
pub(crate) struct Ticker {
    /// Calls under way, and above [`BEGUN`] those ever begun.
    calls: AtomicU64,
    /// It rests, and the next call is to wake it.
    rests: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

/// A call begun, in the count of calls; below it is room for those under way.
const BEGUN: u64 = 1 << 32;

impl Ticker {
    fn start(engine: &wasmtime::Engine) -> Result<Arc<Ticker>, EngineError> {
        let ticker = Arc::new(Ticker {
            calls: AtomicU64::new(0),
            rests: AtomicBool::new(false),
            thread: std::sync::OnceLock::new(),
        });
        let weak = engine.weak();
        let shared = Arc::clone(&ticker);
        let handle = std::thread::Builder::new()
            .name("policy-ticker".to_owned())
            .spawn(move || shared.run(&weak))
            .map_err(|error| EngineError::new(format!("no thread for the ticker: {error}")))?;
        let _ = ticker.thread.set(handle.thread().clone());
        Ok(ticker)
    }

    /// For one call of a guest: the clock ticks until what is returned is dropped.
    pub(crate) fn tick(&self) -> Ticking<'_> {
        self.calls.fetch_add(BEGUN + 1, Ordering::SeqCst);
        if self.rests.load(Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
        Ticking { ticker: self }
    }

    fn run(&self, engine: &wasmtime::EngineWeak) {
        let (mut quiet, mut seen, mut next) = (Duration::ZERO, 0, LOOK);
        loop {
            std::thread::park_timeout(next);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            drop(engine);
            let calls = self.calls.load(Ordering::Relaxed);
            let lasts = is_under_way(calls);
            quiet = if lasts || calls != seen { Duration::ZERO } else { quiet + next };
            (seen, next) = (calls, if lasts { TICK } else { LOOK });
            if quiet >= REST_AFTER {
                quiet = Duration::ZERO;
                self.rest();
            }
        }
    }

    /// Waits until a call is made; looks up now and then, in case the engine is gone.
    fn rest(&self) {
        self.rests.store(true, Ordering::SeqCst);
        // A call that did not see that it rests has been counted before.
        if !is_under_way(self.calls.load(Ordering::SeqCst)) {
            std::thread::park_timeout(Duration::from_secs(60));
        }
        self.rests.store(false, Ordering::SeqCst);
    }
}

fn is_under_way(calls: u64) -> bool {
    !calls.is_multiple_of(BEGUN)
}

/// A call under way.
pub(crate) struct Ticking<'a> {
    ticker: &'a Ticker,
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.ticker.calls.fetch_sub(1, Ordering::SeqCst);
    }
}
