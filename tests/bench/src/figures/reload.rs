//! Policies that change under load: how long a worker is kept from its sessions.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::accounts;
use crate::clients::Clients;
use crate::failure::Failure;
use crate::finding::{Finding, Unit};
use crate::measuring::Measuring;
use crate::metrics::Metrics;
use crate::portcullis::Who;
use crate::workload::{Mode, Workload};

const CLIENTS: usize = 8;
const SWAPS_MIN: u64 = 20;
const HISTOGRAM: &str = "portcullis_policy_swap_seconds";
const REVISION: &str = "portcullis_policy_revision";
const PATIENCE: Duration = Duration::from_secs(10);
const LOAD: Duration = Duration::from_millis(100);

/// The longest stall of a worker, from the histogram that the process keeps.
pub(crate) fn stall(measuring: &Measuring) -> Result<Vec<Finding>, Failure> {
    let proxy = measuring.portcullis(1)?;
    let target = proxy.target("portcullis", Who::Usual);
    let what = (Workload::B, Mode::Simple);
    let mut clients =
        Clients::connect(&target, CLIENTS, what, true).map_err(Failure::to("connect"))?;
    clients.ask_for(LOAD).map_err(Failure::to("ask"))?;
    let before = Metrics::read(proxy.admin)?;
    let done = AtomicBool::new(false);
    let swaps = std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            let changed = change(&proxy.plugins(), proxy.admin, measuring);
            done.store(true, Ordering::Relaxed);
            changed
        });
        while !done.load(Ordering::Relaxed) {
            clients.ask_for(LOAD).map_err(Failure::to("ask"))?;
        }
        changes.join().map_err(|_| Failure::new("changing the policies failed"))?
    })?;
    clients.ask_for(LOAD).map_err(Failure::to("ask"))?;
    let after = Metrics::read(proxy.admin)?;
    let stalls = after.buckets(HISTOGRAM).since(&before.buckets(HISTOGRAM));
    if stalls.count() < swaps {
        return Err(Failure::new(format!("{swaps} swaps, but {} stalls", stalls.count())));
    }
    let answered = clients.answered;
    let account = accounts::check(&proxy, Workload::B.text(), answered, answered)?;
    if account.cells_masked != answered {
        return Err(Failure::new(format!("one cell should be masked in each of {account:?}")));
    }
    let median_us = stalls.quantile(0.5) * 1e6;
    Ok(vec![
        Finding::reported(
            "longest stall of a worker at a swap",
            stalls.longest() * 1e3,
            Unit::Milliseconds,
        )
        .measured(format!("≤ {}", Unit::Milliseconds.show(stalls.longest() * 1e3)))
        .beside(format!("{swaps} swaps, {} stalls, median ≤ {median_us:.0} µs", stalls.count()))
        .limits(1.0, Some(0.1)),
    ])
}

/// Changes the masker's settings, and then the guard's, over and over; each change is a new
/// set. Says how many there were.
fn change(
    plugins: &Path,
    admin: std::net::SocketAddr,
    measuring: &Measuring,
) -> Result<u64, Failure> {
    let read = |name: &str| {
        fs::read_to_string(plugins.join(name)).map_err(Failure::to(format!("read {name}")))
    };
    let (masker, guard) = (read("50-usual.toml")?, read("10-guard.toml")?);
    let begun = Instant::now();
    let mut swaps = 0;
    let time = measuring.time * u32::try_from(measuring.rounds).unwrap_or(1);
    while begun.elapsed() < time || swaps < SWAPS_MIN {
        let (name, text) = match swaps % 2 {
            // What is hidden stays hidden: only what nobody asks for changes.
            0 => ("50-usual.toml", format!("{masker}names = {{ swap_{swaps} = \"email\" }}\n")),
            _ => {
                ("10-guard.toml", format!("{guard}[settings.agents]\nlimit_rows = {}\n", swaps + 1))
            }
        };
        let revision = || Ok(Metrics::read(admin)?.number(REVISION).unwrap_or_default());
        let before: f64 = revision()?;
        // As an editor does it: the whole file at once.
        let beside = plugins.join(".changed");
        fs::write(&beside, text).map_err(Failure::to("write a policy"))?;
        fs::rename(&beside, plugins.join(name)).map_err(Failure::to("write a policy"))?;
        let asked = Instant::now();
        while revision()? <= before {
            if asked.elapsed() > PATIENCE {
                return Err(Failure::new("a changed policy was not put in force"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        swaps += 1;
    }
    Ok(swaps)
}
