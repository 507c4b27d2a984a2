//! What the host keeps beside one instance: its limits, and what its imports answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use portcullis_policy::set::PolicyName;
use wasmtime::{ResourceLimiter, StoreContextMut, Trap, UpdateDeadline};

use crate::bindings::{imports, types};
use crate::config::{LOG_LINE_BYTES_MAX, LOG_LINES_PER_SECOND};
use crate::egress::{EgressError, EgressResponse, POSTS_PER_DELIVERY_MAX, Post};
use crate::population::Resident;

/// The data of a store.
pub(crate) struct GuestState {
    policy: PolicyName,
    memory: MemoryBudget,
    log: Arc<LogBudget>,
    pub(crate) deadline: Deadline,
    _resident: Resident,
    /// The text of the statement being judged.
    pub(crate) text: Option<Arc<str>>,
    /// The values bound to it.
    pub(crate) parameters: Option<Arc<[Option<String>]>>,
    /// The way out, during a delivery.
    pub(crate) egress: Option<EgressPort>,
    /// How often the clock of an empty WASI was looked at.
    moments: u64,
}

/// The way from the thread that runs a sink to the one that may post for it.
pub(crate) struct EgressPort {
    pub(crate) posts: SyncSender<Post>,
    pub(crate) responses: Receiver<Result<EgressResponse, EgressError>>,
    pub(crate) posts_made: u32,
}

impl GuestState {
    pub(crate) fn new(
        policy: PolicyName,
        memory_bytes_max: usize,
        log: Arc<LogBudget>,
        resident: Resident,
    ) -> GuestState {
        GuestState {
            policy,
            memory: MemoryBudget { bytes_max: memory_bytes_max, bytes_used: 0, denied: false },
            log,
            deadline: Deadline::default(),
            _resident: resident,
            text: None,
            parameters: None,
            egress: None,
            moments: 0,
        }
    }

    /// Counts a look at the clock.
    pub(crate) fn next_moment(&mut self) -> u64 {
        self.moments = self.moments.saturating_add(1);
        self.moments
    }

    /// True when the guest asked for more than it may have.
    pub(crate) fn memory_was_denied(&self) -> bool {
        self.memory.denied
    }

    pub(crate) fn memory_bytes_used(&self) -> usize {
        self.memory.bytes_used
    }

    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.memory
    }
}

/// All linear memories and tables of a store together.
struct MemoryBudget {
    bytes_max: usize,
    bytes_used: usize,
    denied: bool,
}

/// A table's entry is a pointer.
const TABLE_ENTRY_BYTES: usize = 8;

impl MemoryBudget {
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.bytes_used.saturating_add(desired.saturating_sub(current));
        let granted = used <= self.bytes_max;
        match granted {
            true => self.bytes_used = used,
            false => self.denied = true,
        }
        granted
    }
}

impl ResourceLimiter for MemoryBudget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |entries: usize| entries.saturating_mul(TABLE_ENTRY_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }
}

/// When a call ends, in ticks of a millisecond.
///
/// A thread that the machine does not run makes no progress, and that is not the guest's
/// fault: where the thread had less than a quarter of the processor, the call gets more time,
/// up to four times its deadline.
#[derive(Default)]
pub(crate) struct Deadline {
    half_ticks: u64,
    halves_left: u32,
    extensions_left: u32,
    cpu_at_half: Option<std::time::Duration>,
    /// Set after a post: the clock starts anew.
    pub(crate) restarted: bool,
}

const EXTENSIONS_MAX: u32 = 6;

impl Deadline {
    /// Starts the clock; the store's epoch deadline is to be set to the ticks returned.
    pub(crate) fn start(&mut self, deadline_ms: u32) -> u64 {
        *self = Deadline {
            half_ticks: u64::from(deadline_ms.div_ceil(2)).max(1),
            halves_left: 1,
            extensions_left: EXTENSIONS_MAX,
            cpu_at_half: None,
            restarted: false,
        };
        // The current tick is partly over.
        self.half_ticks + 1
    }

    /// The ticks a call gets beyond those that are over, if any.
    fn more(&mut self) -> Option<u64> {
        if self.restarted {
            self.restarted = false;
            self.halves_left = 1;
            self.cpu_at_half = None;
            return Some(self.half_ticks + 1);
        }
        let cpu = thread_cpu_time();
        let starved = self.cpu_at_half.is_some_and(|before| {
            let ran = cpu.saturating_sub(before);
            ran.as_micros() * 4 < u128::from(self.half_ticks) * 1000
        });
        self.cpu_at_half = Some(cpu);
        if self.halves_left > 0 {
            self.halves_left -= 1;
        } else if starved && self.extensions_left > 0 {
            self.extensions_left -= 1;
        } else {
            return None;
        }
        Some(self.half_ticks)
    }
}

/// Decides what becomes of a call whose ticks are over.
pub(crate) fn on_epoch(
    mut store: StoreContextMut<'_, GuestState>,
) -> wasmtime::Result<UpdateDeadline> {
    match store.data_mut().deadline.more() {
        Some(ticks) => Ok(UpdateDeadline::Continue(ticks)),
        None => Err(Trap::Interrupt.into()),
    }
}

fn thread_cpu_time() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    std::time::Duration::new(seconds, nanos)
}

/// How much a policy may log; shared by all its instances.
pub(crate) struct LogBudget {
    started: Instant,
    second: AtomicU64,
    lines: AtomicU32,
}

impl LogBudget {
    pub(crate) fn new() -> LogBudget {
        LogBudget { started: Instant::now(), second: AtomicU64::new(0), lines: AtomicU32::new(0) }
    }

    /// Counts a line; says whether it may be logged, and whether it is the last that may.
    fn spend(&self) -> (bool, bool) {
        let now = self.started.elapsed().as_secs();
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.lines.store(0, Ordering::Relaxed);
        }
        let lines = self.lines.fetch_add(1, Ordering::Relaxed);
        (lines < LOG_LINES_PER_SECOND, lines + 1 == LOG_LINES_PER_SECOND)
    }
}

impl imports::host::Host for GuestState {
    fn log(&mut self, level: imports::host::Level, message: String) {
        let (granted, last) = self.log.spend();
        if !granted {
            return;
        }
        let policy: &str = &self.policy;
        let message = printable(&message);
        match level {
            imports::host::Level::Debug => {
                tracing::debug!(target: "portcullis::plugin", policy, "{message}")
            }
            imports::host::Level::Info => {
                tracing::info!(target: "portcullis::plugin", policy, "{message}")
            }
            imports::host::Level::Warn => {
                tracing::warn!(target: "portcullis::plugin", policy, "{message}")
            }
            imports::host::Level::Error => {
                tracing::error!(target: "portcullis::plugin", policy, "{message}")
            }
        }
        if last {
            tracing::warn!(target: "portcullis::plugin", policy, "logs too much; the rest of this second is dropped");
        }
    }
}

/// Cut to length, on one line, with nothing that moves a terminal's cursor.
pub(crate) fn printable(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(LOG_LINE_BYTES_MAX));
    for character in message.chars() {
        if line.len() >= LOG_LINE_BYTES_MAX {
            line.push_str("...");
            break;
        }
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

impl imports::statement_text::Host for GuestState {
    fn get(&mut self) -> String {
        self.text.as_deref().unwrap_or_default().to_owned()
    }
}

impl imports::parameters::Host for GuestState {
    fn count(&mut self) -> u32 {
        let count = self.parameters.as_ref().map_or(0, |parameters| parameters.len());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn get(&mut self, index: u32) -> Option<String> {
        self.parameters.as_ref()?.get(index as usize)?.clone()
    }
}

impl imports::egress::Host for GuestState {
    fn post(
        &mut self,
        target: String,
        content_type: String,
        body: Vec<u8>,
    ) -> Result<imports::egress::Response, imports::egress::EgressError> {
        let Some(port) = self.egress.as_mut() else {
            return Err(imports::egress::EgressError::Denied);
        };
        if port.posts_made >= POSTS_PER_DELIVERY_MAX {
            return Err(imports::egress::EgressError::Denied);
        }
        port.posts_made += 1;
        let gone = || EgressError::Transport("the delivery has ended".to_owned());
        let answer = match port.posts.send(Post { target, content_type, body }) {
            Ok(()) => port.responses.recv().unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(gone()),
        };
        self.deadline.restarted = true;
        match answer {
            Ok(EgressResponse { status, body }) => Ok(imports::egress::Response { status, body }),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<EgressError> for imports::egress::EgressError {
    fn from(error: EgressError) -> imports::egress::EgressError {
        match error {
            EgressError::UnknownTarget => imports::egress::EgressError::UnknownTarget,
            EgressError::Denied => imports::egress::EgressError::Denied,
            EgressError::Timeout => imports::egress::EgressError::Timeout,
            EgressError::Transport(why) => imports::egress::EgressError::Transport(why),
        }
    }
}

/// The interface has records only.
impl types::Host for GuestState {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_stays_a_line() {
        assert_eq!(printable("a\nb\u{1b}[2Jc"), "a\\nb\\u{1b}[2Jc");
        let long = printable(&"x".repeat(100_000));
        assert_eq!(long.len(), LOG_LINE_BYTES_MAX + 3);
    }

    #[test]
    fn a_deadline_ends_and_starts_anew_after_a_post() {
        let mut deadline = Deadline::default();
        assert_eq!(deadline.start(10), 6);
        assert_eq!(deadline.more(), Some(5));
        deadline.restarted = true;
        assert_eq!(deadline.more(), Some(6));
        assert_eq!(deadline.more(), Some(5));
        // This thread sleeps on no lock and has no processor time to speak of between two
        // looks, so it counts as starved, but not for ever.
        let extensions = std::iter::from_fn(|| deadline.more()).take(1000).count();
        assert!(extensions <= EXTENSIONS_MAX as usize);
    }

    #[test]
    fn the_log_has_a_budget_per_second() {
        let budget = LogBudget::new();
        let granted = (0..10 * LOG_LINES_PER_SECOND).filter(|_| budget.spend().0).count();
        // A second may pass in the middle of the count.
        assert!((100..=200).contains(&granted), "{granted}");
    }
}
