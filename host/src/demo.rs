//! `portcullis demo`: a database with made-up customers, the proxy in front of it, and a tour.

// The tests use it too, and more of it.
#[allow(dead_code)]
mod postgres;
mod people;
mod place;
mod receiver;
mod stage;
mod introduction;
mod answer;
mod records;
mod release;
mod tour;

use std::io::Write;
use std::process::ExitCode;

use miette::{IntoDiagnostic, Result, miette};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Demo, DemoPolicies};
use stage::Stage;

pub fn run(arguments: &Demo) -> Result<ExitCode> {
    if arguments.script && arguments.policies == DemoPolicies::Observe {
        return Err(miette!(
            help = "leave out --policies observe",
            "the tour shows policies at work, and none is when all only observe"
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.into_diagnostic()?;
    let _context = runtime.enter();
    // Listened for before anything runs, so that no signal leaves a directory behind.
    let mut end = End::listen()?;
    let stage = runtime.block_on(Stage::set(arguments))?;
    let done = runtime.block_on(async {
        if arguments.script {
            tokio::select! {
                done = tour::run(&stage) => done,
                () = end.comes() => Err(miette!("interrupted")),
            }
        } else {
            present(&stage, arguments)?;
            end.comes().await;
            Ok(())
        }
    });
    if done.is_err() {
        // The directory may go in a moment, and the log with it.
        eprintln!("the end of the proxy's log:\n{}", stage.place.log_tail());
    }
    stage.clear();
    done.map(|()| ExitCode::SUCCESS)
}

fn present(stage: &Stage, arguments: &Demo) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", introduction::json(stage)).into_diagnostic()?;
    } else {
        write!(out, "{}", introduction::text(stage)).into_diagnostic()?;
    }
    out.flush().into_diagnostic()
}

/// Whatever asks a program to end.
struct End {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl End {
    fn listen() -> Result<End> {
        Ok(End {
            terminate: signal(SignalKind::terminate()).into_diagnostic()?,
            interrupt: signal(SignalKind::interrupt()).into_diagnostic()?,
            hang_up: signal(SignalKind::hangup()).into_diagnostic()?,
        })
    }

    async fn comes(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
