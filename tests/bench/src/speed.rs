//! The benchmark: takes the figures that were asked for and prints the table.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::figures;
use crate::finding::table;
use crate::floor::Floor;
use crate::machine;
use crate::measuring::Measuring;
use crate::options::Words;
use crate::stage::Stage;
use crate::target::start_floor;

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);

pub(crate) fn run(mut words: Words) -> Result<(), Failure> {
    let programs = words.programs()?;
    let rounds = words.value("--rounds")?.unwrap_or(ROUNDS);
    let time = words.seconds("--seconds")?.unwrap_or(TIME);
    let out: Option<PathBuf> = words.value("--out")?;
    let wanted = figures::named(&words.rest()?)?;

    let head = format!(
        "{}\ncommit {}, {}\n{rounds} interleaved rounds of {} s, medians",
        machine::describe(),
        machine::commit(),
        programs.portcullis.display(),
        time.as_secs_f64()
    );
    println!("{head}\n");
    let place = tempfile::Builder::new().prefix("portcullis-bench-postgres-").tempdir();
    let place = place.map_err(Failure::to("make a directory"))?;
    open_to_all(place.path())?;
    let stage = Stage::start(place.path())?;
    stage.fill()?;
    let direct = stage.direct();
    let (splice_running, splice) = start_floor(Floor::Splice, stage.address(), 1, &direct.login)?;
    let (mask_running, mask) = start_floor(Floor::Mask, stage.address(), 1, &direct.login)?;
    let _running = vec![splice_running, mask_running];
    let measuring =
        Measuring { stage, programs, splice, mask, peers: Vec::new(), rounds, time, _running };
    let mut findings = Vec::new();
    let mut failed = Vec::new();
    for figure in wanted {
        let begun = Instant::now();
        eprint!("{:<16}", figure.name);
        match (figure.take)(&measuring) {
            Ok(found) => {
                eprintln!("{:>5.0} s", begun.elapsed().as_secs_f64());
                findings.extend(found);
            }
            Err(failure) => {
                eprintln!("FAILED: {failure}");
                failed.push(format!("{}: {failure}", figure.name));
            }
        }
    }
    let report = [head, table(&findings), failed.join("\n")].join("\n\n");
    println!("{}\n{}", table(&findings), failed.join("\n"));
    if let Some(out) = out {
        fs::create_dir_all(&out).map_err(Failure::to("make the directory of the report"))?;
        fs::write(out.join("figures.md"), report).map_err(Failure::to("write the report"))?;
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} figures could not be taken"))),
    }
}

/// PostgreSQL runs as somebody else when we are root.
fn open_to_all(place: &std::path::Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place, open).map_err(Failure::to("open the directory"))
}
