//! What a process has used so far, read from `/proc`.

use std::fs;

/// What the kernel rounds the whole process's times to.
const TICK_NS: u64 = 10_000_000;

/// CPU that a process has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    /// Of the threads that are there, to the nanosecond.
    threads_ns: u64,
    /// Of all threads that ever were, in ticks.
    process_ns: u64,
}

impl Cpu {
    /// Nothing where there is no such process.
    pub(crate) fn of(pid: u32) -> Cpu {
        Cpu { threads_ns: threads_ns(pid), process_ns: process_ns(pid) }
    }

    /// What was used since. Threads that ended in between took their nanoseconds with them, so
    /// the coarse figure counts where it is larger by more than its own rounding.
    pub(crate) fn since(self, before: Cpu) -> u64 {
        let precise = self.threads_ns.saturating_sub(before.threads_ns);
        let coarse = self.process_ns.saturating_sub(before.process_ns);
        precise.max(coarse.saturating_sub(2 * TICK_NS))
    }
}

fn threads_ns(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let spent = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    spent.sum()
}

fn process_ns(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces; user and system time are fields 14 and 15.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * TICK_NS
}

/// Memory that a process has allocated and that is resident, in KB. Its files' pages are not
/// among it: the system reads and drops those of a program as it likes.
pub(crate) fn memory_kb(pid: u32) -> u64 {
    status(pid, "RssAnon:")
}

/// How many files and sockets are open.
pub(crate) fn descriptors(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// All that is resident, files' pages too, in KB: what its peak is to be held against.
pub(crate) fn resident_kb(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// The most that has been resident, in KB.
pub(crate) fn resident_peak_kb(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

/// A number of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
