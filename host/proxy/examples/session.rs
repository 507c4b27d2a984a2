//! What a session's own work on a statement costs, without sockets:
//! `cargo run --release -p portcullis-proxy --features scripted --example session [RUNS] [NAME]`
//!
//! NAME is one of `simple`, `extended`, `prepared`; without it, all three.
//! Eight sessions in turn, so that each finds caches as the others leave them.

// A program for a terminal.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use portcullis_proxy::scripted::{Frames, Given, Play, Rig, Rules};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SESSIONS: usize = 8;
const ROUNDS: usize = 5;
const TEXT: &str = "SELECT id FROM notes WHERE id = $1";
const INT4: u32 = 23;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs = std::env::args().nth(1).map_or(Ok(20_000), |runs| runs.parse())?;
    let only = std::env::args().nth(2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let directory = tempfile::tempdir()?;
    let rules = Rules::default().reading_nothing();
    let mut rig = Rig::new(directory.path(), Given { rules, ..Given::default() })?;
    let mut plays: Vec<Play> = (0..SESSIONS).map(|_| rig.play()).collect();
    for play in &mut plays {
        play.client_says(Frames::new().parse("s", TEXT).sync().bytes());
        play.server_says(Frames::new().raw(b'1', b"").ready(b'I').bytes());
        play.client.receive();
    }
    let text = |key: usize| format!("SELECT id FROM notes WHERE id = {key}");
    let execute = |frames: Frames, name: &str, key: usize| {
        let bound = frames.bind_value("", name, key.to_string().as_bytes());
        bound.describe(b'P', "").execute("", 0).sync()
    };
    let parsed = Frames::new().raw(b'1', b"");
    let bound = Frames::new().raw(b'2', b"");
    let rows = |before: &Frames| {
        let described = before.clone().columns(&[("id", (0, 0), INT4)]);
        described.row(&[Some(b"42")]).complete("SELECT 1").ready(b'I')
    };
    let simple = rows(&Frames::new());
    let extended = rows(&parsed.and(&bound));
    let prepared = rows(&bound);
    let mut measure = |name: &str, answer: &Frames, ask: &dyn Fn(usize) -> Frames| {
        if only.as_deref().is_some_and(|only| only != name) {
            return;
        }
        let asked: Vec<Frames> = (0..1024).map(|key| ask(100_000 + key * 7)).collect();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for (run, frames) in asked.iter().cycle().take(runs).enumerate() {
                let Some(play) = plays.get_mut(run % SESSIONS) else { return };
                play.client_says(frames.bytes());
                play.server_says(answer.bytes());
                play.client.receive();
                play.server.receive();
                if run % 256 == 0 {
                    rig.pass_on();
                }
            }
            let each = begun.elapsed().as_secs_f64() * 1e9 / runs as f64;
            println!("{name:<10} {each:>7.0} ns");
        }
    };
    measure("simple", &simple, &|key| Frames::new().query(&text(key)));
    measure("extended", &extended, &|key| execute(Frames::new().parse("", TEXT), "", key));
    measure("prepared", &prepared, &|key| execute(Frames::new(), "s", key));
    Ok(())
}
