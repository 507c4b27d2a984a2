//! Arbitrary bytes for all that reads bytes of somebody else.
//!
//! One program for all targets, so that it links once; `FUZZ_TARGET` names the one to run.
//! `cargo xtask fuzz` builds it with what guides the fuzzer, and runs it.
#![no_main]

mod identity;
mod ledger;
mod masking;
mod session;
mod sql;
mod wire;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// What is done with an input; it panics where something does not hold.
type Target = fn(&[u8]);

/// Every target. `cargo xtask fuzz` reads the names from here.
const TARGETS: [(&str, Target); 19] = [
    ("frontend", wire::frontend),
    ("backend", wire::backend),
    ("startup", wire::startup),
    ("upstream-login", session::upstream_login),
    ("pipeline", wire::pipeline),
    ("proxy-header", wire::proxy_header),
    ("rows", masking::rows),
    ("codecs", masking::codecs),
    ("copy", masking::copy),
    ("scram-server", identity::scram_server),
    ("scram-client", identity::scram_client),
    ("token", identity::token),
    ("certificate", identity::certificate),
    ("ledger", ledger::lines),
    ("staging", ledger::staging),
    ("analyze", sql::analyze),
    ("shape", sql::shape),
    ("session", session::session),
    ("conversation", session::conversation),
];

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => *target,
        None => panic!("FUZZ_TARGET names no target: {name:?}"),
    }
}

fuzz_target!(|data: &[u8]| TARGET.get_or_init(chosen)(data));
