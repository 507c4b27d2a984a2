//! Statements by key: CPU per query with eight clients, and what one client waits longer.

use std::time::{Duration, Instant};

use crate::accounts;
use crate::clients::Clients;
use crate::failure::Failure;
use crate::finding::{Finding, Unit};
use crate::measuring::{Done, Measuring};
use crate::portcullis::{Portcullis, Who};
use crate::rounds::{Sample, Samples, median};
use crate::target::Target;
use crate::workload::{Mode, Workload};

const CLIENTS: usize = 8;
/// So that caches are as warm as they get, and relations known.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long one client asks one target before it turns to the next.
const TURN: Duration = Duration::from_millis(50);

pub(crate) const PORTCULLIS: &str = "portcullis";
const ALL_CORES: &str = "portcullis, all cores";

/// CPU per query, beside the splice's.
pub(crate) fn cpu(
    measuring: &Measuring,
    workload: Workload,
    mode: Mode,
) -> Result<Vec<Finding>, Failure> {
    let mut proxies = vec![(PORTCULLIS, measuring.portcullis(1)?)];
    if workload == Workload::A {
        proxies.push((ALL_CORES, measuring.portcullis(0)?));
    }
    let samples = run(measuring, &proxies, CLIENTS, (workload, mode))?;
    let (at_most, reach) = match workload {
        Workload::A => (1.25, 1.10),
        Workload::B => (1.35, 1.15),
    };
    let title = format!("CPU per query, {} {}", workload.name(), mode.name());
    let mut findings =
        vec![against_splice(&title, &samples, PORTCULLIS).limits(at_most, Some(reach))];
    let judged = ["direct", "splice", PORTCULLIS];
    let others = samples.targets().iter().filter(|name| !judged.contains(&name.as_str()));
    findings.extend(others.map(|name| against_splice(&format!("{title}: {name}"), &samples, name)));
    Ok(findings)
}

/// What the proxy adds to one client's median latency, beside what the splice adds.
pub(crate) fn added_latency(measuring: &Measuring) -> Result<Vec<Finding>, Failure> {
    Mode::ALL.iter().map(|mode| added_latency_of(measuring, *mode)).collect()
}

fn added_latency_of(measuring: &Measuring, mode: Mode) -> Result<Finding, Failure> {
    let proxies = [(PORTCULLIS, measuring.portcullis(1)?)];
    let mut asking = Asking::open(measuring, &proxies, 1, (Workload::A, mode))?;
    let mut added = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..measuring.rounds {
        // Turns are short, so that all three meet the same machine.
        let mut medians = vec![Vec::new(); asking.targets.len()];
        let begun = Instant::now();
        while begun.elapsed() < measuring.time * 3 {
            for (clients, medians) in asking.clients.iter_mut().zip(&mut medians) {
                let asked = clients.ask_for(TURN).map_err(Failure::to("ask"))?;
                medians.push(asked.quantile_us(0.5));
            }
        }
        let medians: Vec<f64> = medians.into_iter().map(median).collect();
        if let [direct, splice, portcullis, ..] = medians.as_slice() {
            added.0.push(splice - direct);
            added.1.push(portcullis - direct);
            added.2.push((portcullis - direct) / (splice - direct));
        }
    }
    asking.check(&proxies)?;
    let (splice, portcullis, ratio) = (median(added.0), median(added.1), median(added.2));
    let finding =
        Finding::reported(format!("added p50, 1 client, A {}", mode.name()), ratio, Unit::Times)
            .measured(format!("{portcullis:.1} µs"))
            .beside(format!("splice {splice:.1} µs"))
            .limits(1.4, Some(1.15));
    Ok(finding)
}

/// Rounds at PostgreSQL itself, the splice, these proxies and the peers. The proxies' ledgers
/// are held against what was asked.
pub(crate) fn run(
    measuring: &Measuring,
    proxies: &[(&str, Portcullis)],
    count: usize,
    what: (Workload, Mode),
) -> Result<Samples, Failure> {
    let mut asking = Asking::open(measuring, proxies, count, what)?;
    let targets = asking.targets.clone();
    let samples = measuring.rounds(&targets, |index| {
        let Some(clients) = asking.clients.get_mut(index) else {
            return Err(Failure::new("nobody asks there"));
        };
        let asked = clients.ask_for(measuring.time).map_err(Failure::to("ask"))?;
        Ok(Done { units: asked.statements, per_second: asked.per_second() })
    })?;
    asking.check(proxies)?;
    Ok(samples)
}

/// Clients at every target.
struct Asking {
    targets: Vec<Target>,
    clients: Vec<Clients>,
    workload: Workload,
}

impl Asking {
    fn open(
        measuring: &Measuring,
        proxies: &[(&str, Portcullis)],
        count: usize,
        what: (Workload, Mode),
    ) -> Result<Asking, Failure> {
        let mut targets = vec![measuring.stage.direct(), measuring.splice.clone()];
        targets.extend(proxies.iter().map(|(name, proxy)| proxy.target(name, Who::Usual)));
        targets.extend(measuring.peers.iter().cloned());
        let mut clients = Vec::new();
        for target in &targets {
            let name = &target.name;
            let masked = proxies.iter().any(|(proxy, _)| proxy == name);
            let mut opened = Clients::connect(target, count, what, masked)
                .map_err(Failure::to(format!("connect to {name}")))?;
            opened.ask_for(WARM_UP).map_err(Failure::to(format!("ask {name}")))?;
            clients.push(opened);
        }
        Ok(Asking { targets, clients, workload: what.0 })
    }

    /// The proxies' ledgers hold every statement, and all that had to be masked was.
    fn check(&self, proxies: &[(&str, Portcullis)]) -> Result<(), Failure> {
        for (name, proxy) in proxies {
            let asked = self.targets.iter().zip(&self.clients).find(|(one, _)| one.name == *name);
            let asked = asked.map_or(0, |(_, clients)| clients.answered);
            let account = accounts::check(proxy, self.workload.text(), asked, asked)?;
            let masked = if self.workload == Workload::B { asked } else { 0 };
            if account.cells_masked != masked {
                return Err(Failure::new(format!(
                    "{masked} cells should have been masked, the ledger says {account:?}"
                )));
            }
        }
        Ok(())
    }
}

fn against_splice(title: &str, samples: &Samples, target: &str) -> Finding {
    let cpu = Sample::cpu_us_per_unit;
    let show = |name: &str| format!("{:.1} µs", samples.median(name, cpu));
    let direct = samples.ratio(target, "direct", |sample| sample.per_second);
    Finding::reported(title, samples.ratio(target, "splice", cpu), Unit::Times)
        .measured(show(target))
        .beside(format!("splice {}; {direct:.2} × direct's rate", show("splice")))
}
