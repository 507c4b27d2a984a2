//! Watches a process's memory while something else happens.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::rounds::median;
use crate::usage;

const INTERVAL: Duration = Duration::from_millis(200);
/// What comes before may still be growing to its size.
const WARM_UP: f64 = 1.0 / 3.0;

/// KB that each takes at most of what is made in batches of `size`, by the mean of `growing`
/// batches by which memory grew, behind a first, among `most`. Others used what was free, and so
/// may the first of them have done in part; or an allocator gave back something meanwhile.
pub(crate) fn each_kb(
    pid: u32,
    (size, growing, most): (usize, usize, usize),
    mut make: impl FnMut(usize) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let mut grown = Vec::new();
    for _ in 0..most {
        let before = usage::memory_kb(pid);
        make(size)?;
        grown.extend(usage::memory_kb(pid).checked_sub(before).filter(|grown| *grown > 0));
        if grown.len() > growing {
            let kb: u64 = grown.iter().skip(1).sum();
            return Ok(kb as f64 / (growing * size) as f64);
        }
    }
    Err(Failure::new(format!(
        "memory grew by {} of {most} batches, not by {}",
        grown.len(),
        growing + 1
    )))
}

/// How much more than before. Something was done that takes memory: where there is no more than
/// before, the measurement is none.
pub(crate) fn grown_kb(before: u64, after: u64) -> Result<f64, Failure> {
    match after.checked_sub(before) {
        Some(grown) if grown > 0 => Ok(grown as f64),
        _ => Err(Failure::new(format!("memory went from {before} KB to {after} KB"))),
    }
}

/// Memory over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Seconds since the beginning, or another measure of time, and KB.
    samples: Vec<(f64, f64)>,
}

impl Memory {
    /// Watches until `work` is done.
    pub(crate) fn during<T>(pid: u32, work: impl FnOnce() -> T) -> (T, Memory) {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let begun = Instant::now();
                let mut memory = Memory::default();
                while !done.load(Ordering::Relaxed) {
                    let kb = usage::memory_kb(pid) as f64;
                    memory.add(begun.elapsed().as_secs_f64(), kb);
                    std::thread::sleep(INTERVAL);
                }
                memory
            });
            let worked = work();
            done.store(true, Ordering::Relaxed);
            (worked, watch.join().unwrap_or_default())
        })
    }

    pub(crate) fn add(&mut self, time: f64, kb: f64) {
        self.samples.push((time, kb));
    }

    /// What is behind the warm-up.
    fn settled(&self) -> &[(f64, f64)] {
        let end = self.samples.last().map_or(0.0, |(time, _)| *time);
        let start = self.samples.partition_point(|(time, _)| *time < end * WARM_UP);
        self.samples.get(start..).unwrap_or_default()
    }

    /// By linear regression over what is behind the warm-up.
    pub(crate) fn slope_kb_per_minute(&self) -> f64 {
        60.0 * slope(self.settled())
    }

    /// What that slope comes to over the time it was taken from.
    pub(crate) fn growth_kb(&self) -> f64 {
        let settled = self.settled();
        let time = |sample: Option<&(f64, f64)>| sample.map_or(0.0, |(time, _)| *time);
        slope(settled) * (time(settled.last()) - time(settled.first()))
    }

    pub(crate) fn last_kb(&self) -> f64 {
        self.samples.last().map_or(0.0, |(_, kb)| *kb)
    }
}

/// Memory each time after the same was done, in KB.
#[derive(Debug, Default)]
pub(crate) struct Levels(Vec<u64>);

impl Levels {
    pub(crate) fn add(&mut self, kb: u64) {
        self.0.push(kb);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// By how much each of the last `count` exceeds the one before, in the median or the mean,
    /// whichever is more: neither one step of an allocator up or down nor steps that come now and
    /// then hide what each adds. None where there are not so many.
    pub(crate) fn step_kb(&self, count: usize) -> Option<f64> {
        let first = self.0.len().checked_sub(count + 1)?;
        let last = self.0.get(first..)?;
        let steps = last.iter().zip(last.iter().skip(1));
        let steps: Vec<f64> = steps.map(|(before, after)| *after as f64 - *before as f64).collect();
        let mean = steps.iter().sum::<f64>() / count as f64;
        Some(median(steps).max(mean))
    }
}

/// In MB, one by one.
impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kb in &self.0 {
            write!(f, "{:.2} ", *kb as f64 / 1024.0)?;
        }
        f.write_str("MB")
    }
}

fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let (mut over, mut under) = (0.0, 0.0);
    for (x, y) in samples {
        over += (x - mean_x) * (y - mean_y);
        under += (x - mean_x) * (x - mean_x);
    }
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_has_a_slope_and_what_only_warms_up_has_none() {
        let of = |kb: fn(f64) -> f64| Memory {
            samples: (0..600).map(|tenth| f64::from(tenth) / 10.0).map(|t| (t, kb(t))).collect(),
        };
        let leak = of(|t| 1000.0 + 10.0 * t);
        assert!((leak.slope_kb_per_minute() - 600.0).abs() < 1e-6);
        assert!((leak.growth_kb() - 400.0).abs() < 5.0);
        let warm = of(|t| if t < 15.0 { 100.0 * t } else { 1500.0 });
        assert!(warm.growth_kb().abs() < 1e-6);
    }

    #[test]
    fn what_each_leaves_shows_beside_steps_of_the_allocator() {
        let of = |leak: u64, steps: [i64; 2]| {
            let mut levels = Levels::default();
            for cycle in 0..8 {
                let moved =
                    if cycle >= 3 { steps[0] } else { 0 } + if cycle >= 5 { steps[1] } else { 0 };
                levels.add((40_000 + leak * cycle).saturating_add_signed(moved));
            }
            levels.step_kb(5)
        };
        for steps in [[2_048, -2_048], [-2_048, 90]] {
            assert_eq!(of(0, steps), Some(0.0));
            assert_eq!(of(300, steps), Some(300.0));
        }
        assert_eq!(of(0, [500, 500]), Some(200.0), "what comes now and then comes");
    }

    #[test]
    fn a_step_is_known_from_so_many_on() {
        let mut levels = Levels::default();
        for (kb, step) in [(10, None), (11, None), (14, Some(2.0)), (14, Some(1.5))] {
            levels.add(kb);
            assert_eq!(levels.step_kb(2), step);
        }
    }

    #[test]
    fn a_baseline_that_is_not_lower_measures_nothing() {
        assert!(matches!(grown_kb(10, 14), Ok(kb) if (kb - 4.0).abs() < 1e-6));
        assert!(grown_kb(10, 10).is_err());
        assert!(grown_kb(10, 9).is_err());
    }
}
