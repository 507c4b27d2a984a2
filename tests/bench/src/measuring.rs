//! What every figure needs: PostgreSQL, the floor, the proxy, and how long to measure.

use std::time::Duration;

use crate::failure::Failure;
use crate::options::Programs;
use crate::portcullis::{Pages, Portcullis};
use crate::rounds::{Sample, Samples};
use crate::stage::Stage;
use crate::target::{Running, Target};
use crate::usage::Cpu;

/// Given to each figure in turn.
pub(crate) struct Measuring {
    pub(crate) stage: Stage,
    pub(crate) programs: Programs,
    pub(crate) splice: Target,
    pub(crate) mask: Target,
    /// Other proxies, where they were asked for and are installed.
    pub(crate) peers: Vec<Target>,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    /// Ends what is in front of PostgreSQL together with this.
    pub(crate) _running: Vec<Running>,
}

impl Measuring {
    /// A proxy with a ledger of its own, for one figure.
    pub(crate) fn portcullis(&self, workers: usize) -> Result<Portcullis, Failure> {
        Portcullis::start(
            &self.stage,
            self.stage.address(),
            &self.programs,
            (workers, Pages::Usual),
        )
    }

    /// Interleaved rounds of `one` at these targets, with the CPU of each. What `one` returns
    /// is how much it did, and how fast.
    pub(crate) fn rounds(
        &self,
        targets: &[Target],
        mut one: impl FnMut(usize) -> Result<Done, Failure>,
    ) -> Result<Samples, Failure> {
        Samples::take(targets, self.rounds, |index| {
            let cpu = || targets.get(index).and_then(Target::cpu);
            let before = cpu();
            let done = one(index)?;
            let spent = cpu().zip(before).map(|(after, before): (Cpu, Cpu)| after.since(before));
            let Done { units, per_second } = done;
            Ok(Sample { cpu_ns: spent, units, per_second })
        })
    }
}

/// What was done in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) units: u64,
    pub(crate) per_second: f64,
}
