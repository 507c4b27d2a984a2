//! Throughput and CPU against the number of clients.

use crate::failure::Failure;
use crate::figures::keyed::{self, PORTCULLIS};
use crate::measuring::Measuring;
use crate::plot::{Curve, Panel, Plot};
use crate::rounds::Sample;
use crate::workload::{Mode, Workload};

const COUNTS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Workload A by simple queries, the proxy with one worker per core.
pub(crate) fn curves(measuring: &Measuring) -> Result<Plot, Failure> {
    let names = ["direct", "splice", PORTCULLIS];
    let empty = |names: &[&str]| -> Vec<Curve> {
        let curve = |name: &&str| Curve { name: (*name).to_owned(), values: Vec::new() };
        names.iter().map(curve).collect()
    };
    let mut throughput = empty(&names);
    let mut cpu = empty(&names[1..]);
    for count in COUNTS {
        let proxies = [(PORTCULLIS, measuring.portcullis(0)?)];
        let what = (Workload::A, Mode::Simple);
        let samples = keyed::run(measuring, &proxies, count, what)?;
        for curve in &mut throughput {
            curve.values.push(samples.median(&curve.name, |sample| sample.per_second));
        }
        for curve in &mut cpu {
            curve.values.push(samples.median(&curve.name, Sample::cpu_us_per_unit));
        }
    }
    let panels = vec![
        Panel { title: "queries per second", curves: throughput },
        Panel { title: "CPU of the proxy per query, µs", curves: cpu },
    ];
    Ok(Plot { places: COUNTS.to_vec(), panels })
}
