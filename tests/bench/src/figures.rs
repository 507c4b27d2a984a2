//! The figures, by name.

mod keyed;
mod bulk;
mod idle;
mod connection;
mod shape;
mod reload;
mod clients;

use crate::failure::Failure;
use crate::finding::Finding;
use crate::measuring::Measuring;
use crate::plot::Plot;
use crate::workload::{Mode, Workload};

/// A figure: its name on the command line, what it is, and how it is taken.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) take: Take,
}

/// Lines of the table, or a picture.
pub(crate) enum Take {
    Findings(fn(&Measuring) -> Result<Vec<Finding>, Failure>),
    Plot(fn(&Measuring) -> Result<Plot, Failure>),
}

pub(crate) const FIGURES: &[Figure] = &[
    Figure {
        name: "a-simple",
        about: "CPU per query, a keyed integer, by simple queries",
        take: Take::Findings(|measuring| keyed::cpu(measuring, Workload::A, Mode::Simple)),
    },
    Figure {
        name: "a-extended",
        about: "the same by Parse, Bind and Execute",
        take: Take::Findings(|measuring| keyed::cpu(measuring, Workload::A, Mode::Extended)),
    },
    Figure {
        name: "a-prepared",
        about: "the same of a prepared statement",
        take: Take::Findings(|measuring| keyed::cpu(measuring, Workload::A, Mode::Prepared)),
    },
    Figure {
        name: "b-simple",
        about: "CPU per query, three columns of text, one masked",
        take: Take::Findings(|measuring| keyed::cpu(measuring, Workload::B, Mode::Simple)),
    },
    Figure {
        name: "b-extended",
        about: "the same by Parse, Bind and Execute",
        take: Take::Findings(|measuring| keyed::cpu(measuring, Workload::B, Mode::Extended)),
    },
    Figure {
        name: "b-prepared",
        about: "the same of a prepared statement",
        take: Take::Findings(|measuring| keyed::cpu(measuring, Workload::B, Mode::Prepared)),
    },
    Figure {
        name: "latency",
        about: "what one client waits longer",
        take: Take::Findings(keyed::added_latency),
    },
    Figure {
        name: "bulk-clear",
        about: "a million rows, nothing masked",
        take: Take::Findings(bulk::clear),
    },
    Figure {
        name: "bulk-masked",
        about: "a million rows, three columns masked",
        take: Take::Findings(bulk::masked),
    },
    Figure {
        name: "bulk-inspected",
        about: "a million rows without labels, one value found",
        take: Take::Findings(bulk::inspected),
    },
    Figure {
        name: "slow-client",
        about: "memory while a million rows go to a slow client",
        take: Take::Findings(idle::slow_client),
    },
    Figure {
        name: "idle",
        about: "memory per idle session, TLS off and on",
        take: Take::Findings(idle::idle),
    },
    Figure {
        name: "connection",
        about: "CPU per new connection, SCRAM on both legs",
        take: Take::Findings(connection::cpu),
    },
    Figure {
        name: "shape",
        about: "CPU of a statement whose shape was not seen before",
        take: Take::Findings(shape::first_seen),
    },
    Figure {
        name: "reload",
        about: "the longest stall of a worker when policies change under load",
        take: Take::Findings(reload::stall),
    },
    Figure {
        name: "clients",
        about: "throughput and CPU against the number of clients, as a plot",
        take: Take::Plot(clients::curves),
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
            let known =
                FIGURES.iter().map(|figure| format!("  {:<16} {}", figure.name, figure.about));
            let known: Vec<String> = known.collect();
            return Err(Failure::new(format!(
                "no figure {name}. There are:\n{}",
                known.join("\n")
            )));
        }
    }
    let wanted = |figure: &&Figure| names.is_empty() || names.iter().any(|name| is(figure, name));
    Ok(FIGURES.iter().filter(wanted).collect())
}
