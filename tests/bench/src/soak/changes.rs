//! Policies that change every ten seconds; now and then a file is broken for a while.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::portcullis::Portcullis;

const INTERVAL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// Says how many changes came into force.
pub(super) fn run(proxy: &Portcullis, stop: &AtomicBool) -> Result<u64, Failure> {
    let path = |name: &str| proxy.plugins().join(name);
    let read = |name: &str| fs::read_to_string(path(name)).map_err(Failure::to("read a policy"));
    let (masker, guard) = (read("50-usual.toml")?, read("10-guard.toml")?);
    let write = |name: &str, text: String| {
        let beside = path(".changed");
        let moved = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path(name)));
        moved.map_err(Failure::to("write a policy"))
    };
    let number = |name: &str| -> Result<f64, Failure> {
        Ok(Metrics::read(proxy.admin)?.number(name).unwrap_or_default())
    };
    let mut changes = 0;
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if last.elapsed() < INTERVAL {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        last = Instant::now();
        let revision = number("portcullis_policy_revision")?;
        match changes % 3 {
            0 => {
                let names = format!("names = {{ change_{changes} = \"email\" }}\n");
                write("50-usual.toml", format!("{masker}{names}"))?;
            }
            1 => {
                let limit = format!("[settings.agents]\nlimit_rows = {}\n", changes + 1);
                write("10-guard.toml", format!("{guard}{limit}"))?;
            }
            _ => {
                // Its last good form stays in force.
                write("50-usual.toml", format!("{masker}[settings"))?;
                wait(|| Ok(number("portcullis_policies_failed")? > 0.0), "a broken policy")?;
                write("50-usual.toml", masker.clone())?;
            }
        }
        wait(|| Ok(number("portcullis_policy_revision")? > revision), "a change")?;
        wait(|| Ok(number("portcullis_policies_failed")? == 0.0), "a good policy")?;
        changes += 1;
    }
    Ok(changes)
}

fn wait(is: impl Fn() -> Result<bool, Failure>, what: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    while !is()? {
        if begun.elapsed() > PATIENCE {
            return Err(Failure::new(format!("{what} was not noticed")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
