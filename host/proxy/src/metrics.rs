//! What is counted. Each worker writes counters of its own, so that nothing on the path of a
//! statement is shared; who asks adds them up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_masking::LabelCounts;

/// Upper bounds of the duration buckets, in microseconds; one more takes the rest.
pub const DURATION_BOUNDS_US: [u64; 14] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 1_000_000,
    10_000_000, 60_000_000,
];

/// The same for what a new policy set costs a worker.
pub const SWAP_BOUNDS_US: [u64; 13] =
    [5, 10, 25, 50, 100, 250, 500, 750, 1_000, 1_500, 2_500, 5_000, 100_000];

/// How often something of one kind happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Logins,
    LoginsRefused,
    Permitted,
    Denied,
    Held,
    Faults,
    Rows,
    BytesOut,
    CellsMasked,
    CellsObserved,
}

const COUNTS: usize = Count::CellsObserved as usize + 1;

/// One worker's counters. Only that worker writes.
pub struct WorkerMetrics {
    counts: [AtomicU64; COUNTS],
    durations: Durations,
    swaps: Durations,
    /// Locked once per result in which something was masked.
    labels: Mutex<BTreeMap<String, u64>>,
}

/// One worker's part of a histogram.
struct Durations {
    bounds_us: &'static [u64],
    /// One more than there are bounds.
    counts: Vec<AtomicU64>,
    sum_us: AtomicU64,
}

impl Durations {
    fn new(bounds_us: &'static [u64]) -> Durations {
        let counts = (0..=bounds_us.len()).map(|_| AtomicU64::default()).collect();
        Durations { bounds_us, counts, sum_us: AtomicU64::default() }
    }

    fn add(&self, microseconds: u64) {
        let bucket = self.bounds_us.partition_point(|bound| *bound < microseconds);
        if let Some(counter) = self.counts.get(bucket) {
            counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        let sum = self.sum_us.load(Ordering::Relaxed).saturating_add(microseconds);
        self.sum_us.store(sum, Ordering::Relaxed);
    }
}

impl Default for WorkerMetrics {
    fn default() -> WorkerMetrics {
        WorkerMetrics {
            counts: Default::default(),
            durations: Durations::new(&DURATION_BOUNDS_US),
            swaps: Durations::new(&SWAP_BOUNDS_US),
            labels: Mutex::default(),
        }
    }
}

impl WorkerMetrics {
    pub fn add(&self, count: Count, number: u64) {
        // One writer: a load and a store do, without the price of a shared increment.
        if let Some(counter) = self.counts.get(count as usize) {
            counter.store(counter.load(Ordering::Relaxed) + number, Ordering::Relaxed);
        }
    }

    /// A statement took so long, from leaving to ending.
    pub fn took(&self, microseconds: u64) {
        self.durations.add(microseconds);
    }

    /// A new policy set kept the worker from its sessions for so long.
    pub fn swapped(&self, microseconds: u64) {
        self.swaps.add(microseconds);
    }

    pub fn masked(&self, labels: &LabelCounts) {
        let mut known = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        for (label, cells) in labels.iter() {
            match known.get_mut(&**label) {
                Some(count) => *count += cells,
                None => {
                    known.insert(label.to_string(), cells);
                }
            }
        }
    }
}

/// All workers' counters.
#[derive(Clone)]
pub struct Metrics {
    workers: Arc<Vec<Arc<WorkerMetrics>>>,
}

/// The sums, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsView {
    pub sessions: u64,
    pub logins: u64,
    pub logins_refused: u64,
    pub permitted: u64,
    pub denied: u64,
    pub held: u64,
    pub faults: u64,
    pub rows: u64,
    pub bytes_out: u64,
    pub cells_masked: u64,
    /// By label; a cell of a column with two labels counts under both.
    pub cells_masked_by_label: Vec<(String, u64)>,
    /// What maskers in observe mode would have masked.
    pub cells_observed: u64,
    pub statement_duration_us: Histogram,
    pub policy_swap_us: Histogram,
}

/// How many were at most so much; the last count is of those above every bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub bounds: Vec<u64>,
    pub counts: Vec<u64>,
    pub sum: u64,
}

impl Histogram {
    fn over<'a>(bounds: &[u64], parts: impl Iterator<Item = &'a Durations>) -> Histogram {
        let mut whole =
            Histogram { bounds: bounds.to_vec(), counts: vec![0; bounds.len() + 1], sum: 0 };
        for part in parts {
            for (total, counter) in whole.counts.iter_mut().zip(&part.counts) {
                *total += counter.load(Ordering::Relaxed);
            }
            whole.sum = whole.sum.saturating_add(part.sum_us.load(Ordering::Relaxed));
        }
        whole
    }
}

impl Metrics {
    pub fn new(workers: usize) -> Metrics {
        let workers = (0..workers).map(|_| Arc::default()).collect();
        Metrics { workers: Arc::new(workers) }
    }

    pub fn worker(&self, index: usize) -> Arc<WorkerMetrics> {
        self.workers.get(index).cloned().unwrap_or_default()
    }

    /// Adds up, beside `sessions` that are open.
    pub fn view(&self, sessions: u64) -> MetricsView {
        let sum = |count: Count| -> u64 {
            let counters =
                self.workers.iter().filter_map(|worker| worker.counts.get(count as usize));
            counters.map(|counter| counter.load(Ordering::Relaxed)).sum()
        };
        let mut labels: BTreeMap<String, u64> = BTreeMap::new();
        for worker in self.workers.iter() {
            let known = worker.labels.lock().unwrap_or_else(PoisonError::into_inner);
            for (label, cells) in known.iter() {
                *labels.entry(label.clone()).or_default() += cells;
            }
        }
        let durations = |of: fn(&WorkerMetrics) -> &Durations, bounds: &[u64]| {
            Histogram::over(bounds, self.workers.iter().map(|worker| of(worker)))
        };
        MetricsView {
            sessions,
            logins: sum(Count::Logins),
            logins_refused: sum(Count::LoginsRefused),
            permitted: sum(Count::Permitted),
            denied: sum(Count::Denied),
            held: sum(Count::Held),
            faults: sum(Count::Faults),
            rows: sum(Count::Rows),
            bytes_out: sum(Count::BytesOut),
            cells_masked: sum(Count::CellsMasked),
            cells_masked_by_label: labels.into_iter().collect(),
            cells_observed: sum(Count::CellsObserved),
            statement_duration_us: durations(|worker| &worker.durations, &DURATION_BOUNDS_US),
            policy_swap_us: durations(|worker| &worker.swaps, &SWAP_BOUNDS_US),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added_up() {
        let metrics = Metrics::new(2);
        metrics.worker(0).add(Count::Permitted, 2);
        metrics.worker(1).add(Count::Permitted, 3);
        metrics.worker(1).add(Count::CellsMasked, 7);
        metrics.worker(0).took(50);
        metrics.worker(1).took(51);
        metrics.worker(1).took(u64::MAX);
        let mut labels = LabelCounts::default();
        labels.add(&"pii.email".into(), 4);
        metrics.worker(0).masked(&labels);
        metrics.worker(1).masked(&labels);
        let view = metrics.view(9);
        assert_eq!((view.sessions, view.permitted, view.cells_masked), (9, 5, 7));
        assert_eq!(view.cells_masked_by_label, [("pii.email".to_owned(), 8)]);
        let durations = view.statement_duration_us;
        assert_eq!(durations.counts.iter().sum::<u64>(), 3);
        assert_eq!((durations.counts[0], durations.counts[1], durations.counts[14]), (1, 1, 1));
        assert_eq!(durations.sum, u64::MAX);
    }
}
