//! Looking after logins: one that takes too long is given up, and a session ends soon after what its
//! login rests on has.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant, SystemTime};

use portcullis_identity::{Basis, TokenBasis, TokenError};
use tokio::runtime::Runtime;

use crate::shared::Phase;
use crate::worker::Common;

/// How often every session's login is held against what is known.
const INTERVAL: Duration = Duration::from_secs(1);

/// What looks after the logins of all sessions.
///
/// # Errors
/// When the system has no more files.
pub fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Runs until the proxy has stopped. However it ends, nobody stays whom nobody looks after.
pub fn run(runtime: &Runtime, common: &Common) {
    let _end = End(common);
    let mut phases = common.phases.clone();
    runtime.block_on(async {
        tokio::select! {
            () = look_after(common) => {}
            _ = phases.wait_for(|phase| *phase == Phase::Stopped) => {}
        }
    });
}

struct End<'a>(&'a Common);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let End(common) = self;
        common.patience.end();
        if *common.phases.borrow() != Phase::Stopped {
            tracing::error!("nobody looks after logins any more, so nobody is let in");
            common.registry.end_where("the proxy looks after logins no longer", &|_| true);
        }
    }
}

/// Issuers are asked beside, so that a slow one delays nobody else's end.
async fn look_after(common: &Common) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut asked = HashMap::new();
    loop {
        ticks.tick().await;
        common.patience.look(Instant::now());
        end_lapsed(common);
        ask_issuers(common, &mut asked);
    }
}

fn end_lapsed(common: &Common) {
    let settings = common.settings.load();
    let now = SystemTime::now();
    for line in common.registry.lines() {
        if let Err(reason) = settings.directory.upholds(&line.proven, now)
            && line.end(&reason)
        {
            tracing::info!(session = line.id, reason, "login lapsed");
        }
    }
}

/// Asks each issuer that wants to be asked again about the tokens in use, one question per
/// token and not more often than it says.
fn ask_issuers(common: &Common, asked: &mut HashMap<[u8; 32], Instant>) {
    let settings = common.settings.load();
    let mut in_use = HashSet::new();
    for line in common.registry.lines() {
        let Basis::Token(basis) = &line.proven.basis else { continue };
        let issuers = &settings.directory.issuers;
        let every = issuers.config(&basis.issuer).and_then(|config| config.recheck);
        let Some(every) = every else { continue };
        let is_new = in_use.insert(basis.token_digest);
        let last = *asked.entry(basis.token_digest).or_insert_with(Instant::now);
        if is_new && last.elapsed() >= every {
            asked.insert(basis.token_digest, Instant::now());
            let (common, issuers) = (common.clone(), issuers.clone());
            let (basis, groups) = (basis.clone(), line.proven.groups.clone());
            tokio::spawn(async move {
                let answer = issuers.recheck(&basis, &groups).await;
                end_by_issuer(&common, &basis, answer);
            });
        }
    }
    asked.retain(|token, _| in_use.contains(token));
}

fn end_by_issuer(common: &Common, basis: &TokenBasis, answer: Result<(), TokenError>) {
    let reason = match answer {
        Ok(()) => return,
        Err(TokenError::Ended(ended)) => ended.as_str(),
        Err(error) => {
            // Out of reach, or not understood: the token is good until it expires.
            tracing::warn!(issuer = basis.issuer, %error, "a token could not be looked at again");
            return;
        }
    };
    for line in common.registry.lines() {
        if matches!(&line.proven.basis, Basis::Token(of) if of.token_digest == basis.token_digest)
            && line.end(reason)
        {
            tracing::info!(session = line.id, reason, "login ended by its issuer");
        }
    }
}
