//! The figures, by name.

mod keyed;
mod bulk;

use crate::failure::Failure;
use crate::finding::Finding;
use crate::measuring::Measuring;
use crate::workload::{Mode, Workload};

/// A figure: its name on the command line, what it is, and how it is taken.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) take: fn(&Measuring) -> Result<Vec<Finding>, Failure>,
}

pub(crate) const FIGURES: &[Figure] = &[
    Figure {
        name: "a-simple",
        about: "CPU per query, a keyed integer, by simple queries",
        take: |measuring| keyed::cpu(measuring, Workload::A, Mode::Simple),
    },
    Figure {
        name: "a-extended",
        about: "the same by Parse, Bind and Execute",
        take: |measuring| keyed::cpu(measuring, Workload::A, Mode::Extended),
    },
    Figure {
        name: "a-prepared",
        about: "the same of a prepared statement",
        take: |measuring| keyed::cpu(measuring, Workload::A, Mode::Prepared),
    },
    Figure {
        name: "b-simple",
        about: "CPU per query, three columns of text, one masked",
        take: |measuring| keyed::cpu(measuring, Workload::B, Mode::Simple),
    },
    Figure {
        name: "b-extended",
        about: "the same by Parse, Bind and Execute",
        take: |measuring| keyed::cpu(measuring, Workload::B, Mode::Extended),
    },
    Figure {
        name: "b-prepared",
        about: "the same of a prepared statement",
        take: |measuring| keyed::cpu(measuring, Workload::B, Mode::Prepared),
    },
    Figure {
        name: "latency",
        about: "what one client waits longer",
        take: keyed::added_latency,
    },
    Figure {
        name: "bulk-clear",
        about: "a million rows, nothing masked",
        take: bulk::clear,
    },
    Figure {
        name: "bulk-masked",
        about: "a million rows, three columns masked",
        take: bulk::masked,
    },
    Figure {
        name: "bulk-inspected",
        about: "a million rows without labels, one value found",
        take: bulk::inspected,
    },
];

/// Those that were named, or whose name begins so (`a` is all of workload A); all without a
/// name.
pub(crate) fn named(names: &[String]) -> Result<Vec<&'static Figure>, Failure> {
    let is = |figure: &&Figure, name: &String| {
        let rest = figure.name.strip_prefix(name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    for name in names {
        if !FIGURES.iter().any(|figure| is(&figure, name)) {
            let known = FIGURES.iter().map(|figure| format!("  {:<16} {}", figure.name, figure.about));
            let known: Vec<String> = known.collect();
            return Err(Failure::new(format!("no figure {name}. There are:\n{}", known.join("\n"))));
        }
    }
    let wanted = |figure: &&Figure| names.is_empty() || names.iter().any(|name| is(figure, name));
    Ok(FIGURES.iter().filter(wanted).collect())
}
