//! Memory: of sessions that wait, and of sessions whose clients are slow.

use std::fs;
use std::time::Duration;

use crate::accounts;
use crate::failure::Failure;
use crate::finding::{Finding, Unit};
use crate::floor::Floor;
use crate::machine;
use crate::measuring::Measuring;
use crate::portcullis::{Pages, Portcullis, Who};
use crate::scripted::Scripted;
use crate::target::{Target, start_floor};
use crate::usage;
use crate::watch::{each_kb, grown_kb};
use crate::wire::Connection;
use crate::workload::{Keys, ROWS, Workload};

/// Sessions are opened so many at a time.
const BATCH: usize = 100;
/// By so many batches behind a first memory must have grown, among so many at most; PostgreSQL
/// itself has no room for more.
const GROWING: usize = 10;
const BATCHES_MAX: usize = 13;
const BATCHES_SCRIPTED_MAX: usize = 50;
const SLOW: usize = 16;
/// A slow client reads at most one buffer of 64 KiB in so long.
const PAUSE: Duration = Duration::from_millis(4);
/// And somewhere in the middle it reads nothing for so long.
const STALL: Duration = Duration::from_secs(2);

/// Resident memory per session that has run one statement and waits.
pub(crate) fn idle(measuring: &Measuring) -> Result<Vec<Finding>, Failure> {
    // PostgreSQL would not bear the sessions that may be needed until memory has grown by enough.
    machine::allow_files(3 * (BATCHES_SCRIPTED_MAX * BATCH) as u64)?;
    let scripted = Scripted::start(&measuring.stage)?;
    let of_portcullis = |tls: bool| -> Result<f64, Failure> {
        let with = (1, Pages::Small);
        let proxy =
            Portcullis::start(&measuring.stage, scripted.address, &measuring.programs, with)?;
        let target = match tls {
            true => proxy.target_with_tls("portcullis", Who::Usual)?,
            false => proxy.target("portcullis", Who::Usual),
        };
        let idle = idle_kb(&target, BATCHES_SCRIPTED_MAX)?;
        accounts::check(&proxy, Workload::A.text(), idle.asked, idle.asked)?;
        Ok(idle.kb)
    };
    let (plain_kb, tls_kb) = (of_portcullis(false)?, of_portcullis(true)?);
    let login = &measuring.splice.login;
    let (_running, splice) = start_floor(Floor::Splice, scripted.address, 1, login)?;
    let beside = format!("splice {:.1} KB", idle_kb(&splice, BATCHES_SCRIPTED_MAX)?.kb);
    let mut findings = vec![
        Finding::reported("memory per idle session", plain_kb, Unit::Kilobytes)
            .beside(beside)
            .limits(20.0, Some(8.0)),
        Finding::reported("memory per idle session, TLS on", tls_kb, Unit::Kilobytes)
            .limits(20.0, None),
    ];
    for peer in &measuring.peers {
        let title = format!("memory per idle session: {}", peer.name);
        findings.push(Finding::reported(title, idle_kb(peer, BATCHES_MAX)?.kb, Unit::Kilobytes));
    }
    Ok(findings)
}

/// What was measured, and how many statements that took.
struct Idle {
    kb: f64,
    asked: u64,
}

fn idle_kb(target: &Target, batches_max: usize) -> Result<Idle, Failure> {
    let pid = target.pid.ok_or_else(|| Failure::new("PostgreSQL is no proxy"))?;
    let mut keys = Keys::new(0);
    let mut sessions: Vec<Connection> = Vec::new();
    let open = |count: usize| -> Result<(), Failure> {
        for _ in 0..count {
            let text = format!("{}{}", Workload::A.text(), keys.next().unwrap_or(1));
            let opened = target.connect_idle(&text);
            sessions.push(opened.map_err(Failure::to(format!("open one at {}", target.name)))?);
        }
        Ok(())
    };
    let kb = each_kb(pid, (BATCH, GROWING, batches_max), open)?;
    Ok(Idle { kb, asked: sessions.len() as u64 })
}

/// How much the memory grows, at its highest, while a million rows go to clients that read
/// slowly and then stall.
pub(crate) fn slow_client(measuring: &Measuring) -> Result<Vec<Finding>, Failure> {
    [Who::Clear, Who::Usual].into_iter().map(|who| slow_client_of(measuring, who)).collect()
}

fn slow_client_of(measuring: &Measuring, who: Who) -> Result<Finding, Failure> {
    let text = "SELECT * FROM people";
    let proxy = measuring.portcullis(1)?;
    let target = proxy.target("portcullis", who);
    let mut sessions = Vec::new();
    for _ in 0..SLOW {
        let mut session = target.connect().map_err(Failure::to("connect"))?;
        session.query(&format!("{text} LIMIT 2000"), |_| {}).map_err(Failure::to("warm up"))?;
        sessions.push(session);
    }
    // The highest so far is forgotten; what follows is the stream's alone.
    fs::write(format!("/proc/{}/clear_refs", proxy.pid()), "5")
        .map_err(Failure::to("reset the peak of memory"))?;
    let before = usage::resident_kb(proxy.pid());
    let rows = read_slowly(&mut sessions, text).map_err(Failure::to("read slowly"))?;
    let peak = usage::resident_peak_kb(proxy.pid());
    let (statements, expected) = (SLOW as u64, SLOW as u64 * u64::from(ROWS));
    if rows != expected {
        return Err(Failure::new(format!("{rows} rows came, not {expected}")));
    }
    let warming = (SLOW * 2000) as u64;
    let account = accounts::check(&proxy, text, 2 * statements, expected + warming)?;
    let masked = if who == Who::Clear { 0 } else { 3 * (expected + warming) };
    if account.cells_masked != masked {
        return Err(Failure::new(format!("{masked} cells should be masked in {account:?}")));
    }
    let grown_mb = grown_kb(before, peak)? / 1024.0 / SLOW as f64;
    let what = if who == Who::Clear { "nothing masked" } else { "masked and inspected" };
    Ok(Finding::reported(format!("memory for a slow client, {what}"), grown_mb, Unit::Megabytes)
        .beside(format!("{SLOW} at once, each 1M rows"))
        .limits(2.0, None))
}

/// Reads all answers in turns; says how many rows there were.
fn read_slowly(sessions: &mut [Connection], text: &str) -> std::io::Result<u64> {
    let mut rows = 0;
    let mut stalled = false;
    let mut waiting: Vec<&mut Connection> = Vec::new();
    for session in sessions {
        session.ask(text)?;
        waiting.push(session);
    }
    while !waiting.is_empty() {
        let mut still = Vec::new();
        for session in waiting {
            if session.receive(|_| rows += 1)? == 0 {
                still.push(session);
            }
        }
        waiting = still;
        let middle = rows > u64::from(ROWS) * SLOW as u64 / 2;
        let pause = if middle && !stalled { STALL } else { PAUSE };
        stalled |= middle;
        std::thread::sleep(pause);
    }
    Ok(rows)
}
