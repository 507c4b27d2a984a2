//! The benchmark: takes the figures that were asked for and prints the table.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::figures::{self, Figure, Take};
use crate::finding::{Finding, table};
use crate::floor::Floor;
use crate::machine;
use crate::measuring::Measuring;
use crate::options::{Programs, Words};
use crate::peers;
use crate::plot::Plot;
use crate::portcullis;
use crate::stage::Stage;
use crate::target::start_floor;

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);

pub(crate) fn run(mut words: Words) -> Result<(), Failure> {
    let programs = words.programs()?;
    let rounds = words.value("--rounds")?.unwrap_or(ROUNDS);
    let time = words.seconds("--seconds")?.unwrap_or(TIME);
    let with_peers = words.flag("--peers");
    let hold: Option<f64> = words.value("--hold")?;
    if hold.is_some_and(|times| !times.is_normal() || times < 0.0) {
        return Err(Failure::new("--hold takes a number above zero"));
    }
    let out: Option<PathBuf> = words.value("--out")?;
    let wanted = figures::named(&words.rest()?)?;
    let mut report = Report {
        head: format!(
            "{}\ncommit {}, proxy {}\n{rounds} interleaved rounds of {} s, medians",
            machine::describe(),
            machine::commit(),
            programs.portcullis.display(),
            time.as_secs_f64()
        ),
        ..Report::default()
    };
    let place = Stage::place()?;
    let stage = Stage::start(place.path())?;
    stage.fill()?;
    let measuring = set_up(stage, place.path(), programs, with_peers, (rounds, time))?;
    for figure in wanted {
        let begun = Instant::now();
        eprint!("{:<16}", figure.name);
        let failed = report.take(figure, &measuring).err();
        eprintln!("{:>5.0} s", begun.elapsed().as_secs_f64());
        if let Some(failure) = failed {
            eprintln!("  FAILED: {failure}");
            report.failed.push(format!("{} FAILED: {failure}", figure.name));
        }
    }
    drop(measuring);
    if let Some(times) = hold {
        report.hold(times);
    }
    println!("{}", report.text());
    if let Some(out) = out {
        report.write(&out)?;
    }
    match report.failed.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} figures are missing or beyond what is held"))),
    }
}

fn set_up(
    stage: Stage,
    place: &Path,
    programs: Programs,
    with_peers: bool,
    (rounds, time): (usize, Duration),
) -> Result<Measuring, Failure> {
    let login = stage.direct().login;
    let (splice_running, splice) = start_floor(Floor::Splice, stage.address(), 1, &login)?;
    let (mask_running, mask) = start_floor(Floor::Mask, stage.address(), 1, &login)?;
    let mut _running = vec![splice_running, mask_running];
    let mut peers = Vec::new();
    if with_peers {
        for (running, peer) in peers::start(place, stage.address())? {
            _running.push(running);
            peers.push(peer);
        }
    }
    Ok(Measuring { stage, programs, splice, mask, peers, rounds, time, _running })
}

/// All that was found.
#[derive(Default)]
struct Report {
    head: String,
    findings: Vec<Finding>,
    plots: Vec<(&'static str, Plot)>,
    failed: Vec<String>,
}

impl Report {
    fn take(&mut self, figure: &Figure, measuring: &Measuring) -> Result<(), Failure> {
        match figure.take {
            Take::Findings(take) => {
                let found = take(measuring)?;
                found.iter().for_each(|one| eprint!("\n  {}", one.line()));
                self.findings.extend(found);
                eprintln!();
            }
            Take::Plot(take) => self.plots.push((figure.name, take(measuring)?)),
        }
        Ok(())
    }

    /// Fails what is more than so many times what it may be at most.
    fn hold(&mut self, times: f64) {
        let beyond = self.findings.iter().filter(|finding| finding.exceeds(times));
        let said =
            beyond.map(|finding| format!("beyond {times} times its limit: {}", finding.line()));
        self.failed.extend(said);
    }

    fn text(&self) -> String {
        let plots: String = self.plots.iter().map(|(_, plot)| plot.table()).collect();
        let table = if self.findings.is_empty() { String::new() } else { table(&self.findings) };
        let (head, conditions) = (&self.head, portcullis::CONDITIONS);
        format!("\n{head}\n{conditions}\n\n{table}\n{plots}{}", self.failed.join("\n"))
    }

    fn write(&self, out: &Path) -> Result<(), Failure> {
        fs::create_dir_all(out).map_err(Failure::to("make the directory of the report"))?;
        let write = |name: String, text: String| {
            fs::write(out.join(&name), text).map_err(Failure::to(format!("write {name}")))
        };
        write("figures.md".to_owned(), self.text())?;
        let about = self.head.replace('\n', " · ");
        self.plots.iter().try_for_each(|(name, plot)| {
            let svg =
                plot.svg("Keyed SELECT by simple queries, through Portcullis and without", &about);
            write(format!("{name}.svg"), svg)
        })
    }
}
