//! The wire itself: every mode, messages sent one behind the other, and masks looked at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::counted::Counted;
use crate::clients::Clients;
use crate::failure::Failure;
use crate::target::Target;
use crate::wire::put;
use crate::workload::{Mode, Workload};

const PAUSE: Duration = Duration::from_millis(50);
const BURST: Duration = Duration::from_millis(5);
const CLIENTS: usize = 3;
const DELETE: &[u8] = b"DELETE FROM people\0";

pub(super) fn run(target: &Target, stop: &AtomicBool) -> Result<Counted, Failure> {
    let failed = Failure::to::<std::io::Error>;
    let mut counted = Counted::default();
    while !stop.load(Ordering::Relaxed) {
        for (workload, mode) in [
            (Workload::A, Mode::Simple),
            (Workload::B, Mode::Extended),
            (Workload::B, Mode::Prepared),
        ] {
            let what = (workload, mode);
            let masked = workload == Workload::B;
            let mut clients =
                Clients::connect(target, CLIENTS, what, masked).map_err(failed("connect"))?;
            for _ in 0..10 {
                clients.ask_for(BURST).map_err(failed("ask"))?;
                std::thread::sleep(PAUSE);
            }
            counted.completed += clients.answered;
            clients.close().map_err(failed("say goodbye"))?;
        }
        pipeline(target, &mut counted).map_err(failed("send a pipeline"))?;
    }
    Ok(counted)
}

/// One that is denied between two that are good: what follows it up to the Sync is skipped, as
/// after any error, and leaves no record. A simple query behind the Sync runs.
fn pipeline(target: &Target, counted: &mut Counted) -> std::io::Result<()> {
    let mut session = target.connect()?;
    let mut request = Vec::new();
    let good = [Workload::B.text().as_bytes(), b"77\0"].concat();
    for text in [&good[..], DELETE, &good[..]] {
        put(&mut request, b'P', &[b"\0", text, &[0, 0]]);
        put(&mut request, b'B', &[&[0; 8]]);
        put(&mut request, b'E', &[&[0; 5]]);
    }
    put(&mut request, b'S', &[]);
    put(&mut request, b'Q', &[&good]);
    session.send(&request)?;
    let (mut rows, mut ready) = (0, 0);
    while ready < 2 {
        let (tag, _) = session.message()?;
        rows += u64::from(tag == b'D');
        ready += u64::from(tag == b'Z');
    }
    if rows != 2 {
        return Err(std::io::Error::other(format!("{rows} rows and not 2")));
    }
    counted.completed += rows;
    counted.denied += 1;
    session.close()
}
