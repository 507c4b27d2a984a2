//! Interleaved rounds: whatever else the machine does meanwhile hits every target alike.

use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::target::Target;

/// What one round measured at one target.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Of the program in front of PostgreSQL.
    pub(crate) cpu_ns: Option<u64>,
    /// Statements, rows or connections.
    pub(crate) units: u64,
    pub(crate) per_second: f64,
}

impl Sample {
    pub(crate) fn cpu_us_per_unit(&self) -> f64 {
        self.cpu_ns.map_or(f64::NAN, |ns| ns as f64 / 1000.0 / self.units.max(1) as f64)
    }
}

/// The samples of every target, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    by_target: BTreeMap<String, Vec<Sample>>,
    order: Vec<String>,
}

impl Samples {
    /// Runs `one` at every target once a round, each round beginning with another.
    pub(crate) fn take(
        targets: &[Target],
        rounds: usize,
        mut one: impl FnMut(usize) -> Result<Sample, Failure>,
    ) -> Result<Samples, Failure> {
        let order = targets.iter().map(|target| target.name.clone()).collect();
        let mut samples = Samples { by_target: BTreeMap::new(), order };
        for round in 0..rounds {
            for step in 0..targets.len() {
                let index = (round + step) % targets.len();
                let Some(target) = targets.get(index) else { continue };
                let name = &target.name;
                let sample = one(index).map_err(Failure::to(format!("measure {name}")))?;
                samples.by_target.entry(name.clone()).or_default().push(sample);
            }
        }
        Ok(samples)
    }

    pub(crate) fn targets(&self) -> &[String] {
        &self.order
    }

    pub(crate) fn of(&self, target: &str) -> &[Sample] {
        self.by_target.get(target).map_or(&[], Vec::as_slice)
    }

    /// The median over the rounds.
    pub(crate) fn median(&self, target: &str, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.of(target).iter().map(value).collect())
    }

    /// The median of what each round says of both, in the same minute.
    pub(crate) fn ratio(&self, target: &str, base: &str, value: impl Fn(&Sample) -> f64) -> f64 {
        let pairs = self.of(target).iter().zip(self.of(base));
        median(pairs.map(|(one, other)| value(one) / value(other)).collect())
    }
}

/// The middle value; of an even number the mean of the middle two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    match values.len() % 2 {
        0 => f64::midpoint(at(middle.wrapping_sub(1)), at(middle)),
        _ => at(middle),
    }
}
