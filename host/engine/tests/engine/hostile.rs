//! Badly behaved guests, and what becomes of each call. The process stays up.

use std::time::{Duration, Instant};

use portcullis_policy::{FaultKind, Masked};

use crate::harness::{Bench, cells, hostile, hostile_with_wasi, judge, only, plan, policy, sample};

/// Much more than any deadline of these tests, much less than for ever.
const BOUND: Duration = Duration::from_secs(20);

/// One bad statement, then a good one on the same worker.
#[track_caller]
fn check(behaviour: &str, expected: FaultKind, message: &str) {
    let bench = Bench::hostile("");
    let worker = bench.engine.hub().worker();
    let set = worker.current();
    let started = Instant::now();
    let fault = only(judge(&*set, &format!("do:{behaviour}"))).unwrap_err();
    assert!(started.elapsed() < BOUND, "{behaviour} took {:?}", started.elapsed());
    assert_eq!(fault.kind, expected, "{behaviour}: {fault:?}");
    assert!(fault.message.contains(message), "{behaviour}: {fault:?}");
    let after = only(judge(&*set, "select 1")).unwrap();
    let call = if expected == FaultKind::Refused { "call 2" } else { "call 1" };
    assert_eq!(after.tags[0], call, "a faulty instance is thrown away, and only such");
}

#[test]
fn a_guest_that_loops_meets_its_deadline() {
    check("spin", FaultKind::Deadline, "interrupt");
}

#[test]
fn a_guest_that_loops_meets_its_deadline_when_nobody_was_called_for_long() {
    let bench = Bench::hostile("");
    let set = bench.set();
    for pause in [Duration::ZERO, Duration::from_millis(300)] {
        // The clock of calls rests when there has been none for a tenth of a second.
        std::thread::sleep(pause);
        let started = Instant::now();
        let fault = only(judge(&*set, "do:spin")).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Deadline, "{fault:?}");
        assert!(started.elapsed() < BOUND, "after {pause:?} it took {:?}", started.elapsed());
    }
}

#[test]
fn a_guest_that_allocates_without_end_meets_its_memory_limit() {
    check("hog", FaultKind::Memory, "unreachable");
}

#[test]
fn a_guest_that_recurses_meets_the_stack_limit() {
    check("recurse-plainly", FaultKind::Trap, "call stack exhausted");
    check("recurse", FaultKind::Trap, "out of bounds memory access");
}

#[test]
fn a_guest_that_traps_is_replaced() {
    check("trap", FaultKind::Trap, "unreachable");
    check("panic", FaultKind::Trap, "unreachable");
}

#[test]
fn a_guest_that_logs_without_end_meets_its_deadline() {
    check("flood", FaultKind::Deadline, "interrupt");
    check("flood-long", FaultKind::Deadline, "interrupt");
}

#[test]
fn a_verdict_that_breaks_the_contract_is_malformed() {
    check("many-tags", FaultKind::Malformed, "10000 texts");
    check("long-notice", FaultKind::Malformed, "1048576 bytes");
    check("not-utf8", FaultKind::Malformed, "utf-8");
}

#[test]
fn a_verdict_that_names_the_same_bytes_without_end_is_not_copied() {
    check("amplify", FaultKind::Malformed, "");
}

#[test]
fn a_guest_that_says_no_keeps_its_instance() {
    check("error", FaultKind::Refused, "internal: out of sorts");
}

#[test]
fn five_faults_suspend_a_policy_on_that_worker_only() {
    let bench = Bench::hostile("");
    let set = bench.set();
    for _ in 0..5 {
        assert_eq!(only(judge(&*set, "do:trap")).unwrap_err().kind, FaultKind::Trap);
    }
    assert_eq!(only(judge(&*set, "select 1")).unwrap_err().kind, FaultKind::Suspended);
    let other = bench.engine.hub().worker();
    assert!(only(judge(&*other.current(), "select 1")).is_ok());
}

#[test]
fn a_plan_that_does_not_fit_its_columns_is_malformed() {
    for (lie, message) in [
        ("few", "1 actions for 2"),
        ("many", "3 actions for 2"),
        ("also-out-of-range", "column 2 of 2"),
        ("also-without-end", "100000 companions"),
    ] {
        let bench = Bench::hostile(&format!("plan = \"{lie}\""));
        let fault = plan(&*bench.set(), 2).remove(0).answer.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Malformed, "{lie}: {fault:?}");
        assert!(fault.message.contains(message), "{lie}: {fault:?}");
    }
}

#[test]
fn a_masked_batch_that_does_not_fit_is_malformed() {
    let batch = cells(&[Some("é€"), Some("xyz")]);
    for (lie, expected) in [
        ("unchanged", None),
        ("edits-out-of-range", Some("outside")),
        ("edits-of-no-row", Some("row 2 has no value")),
        ("edits-out-of-order", Some("out of order")),
        ("edits-overlapping", Some("overlap")),
        ("edits-of-two-words", Some("not edits of three")),
        ("edits-splitting-a-character", Some("inside a character")),
        ("edits-not-utf8", Some("not UTF-8")),
        ("edits-without-end", Some("100000 edits")),
        ("cells-few", Some("1 cells for 2")),
        ("cells-many", Some("10 cells for 2")),
        ("cells-out-of-range", Some("ends at 99")),
        ("cells-out-of-order", Some("ends at 1 after 2")),
        ("cells-not-utf8", Some("not UTF-8")),
        ("cells-split", Some("ends at 1")),
    ] {
        let bench = Bench::hostile(&format!("mask = \"{lie}\""));
        let batch = match lie {
            // The characters of the first row are two and three bytes long.
            "edits-out-of-order" | "edits-overlapping" => cells(&[Some("abc"), Some("xyz")]),
            _ => batch.clone(),
        };
        let answer = bench.set().mask(&"10-hostile".into(), 7, &batch, &[]);
        match (answer, expected) {
            (Ok(masked), None) => assert_eq!(masked, Masked::Unchanged),
            (Err(fault), Some(message)) => {
                assert_eq!(fault.kind, FaultKind::Malformed, "{lie}: {fault:?}");
                assert!(fault.message.contains(message), "{lie}: {fault:?}");
            }
            (answer, expected) => panic!("{lie}: {answer:?} for {expected:?}"),
        }
    }
}

#[test]
fn honest_edits_pass() {
    let bench = Bench::hostile("mask = \"edits-honest\"");
    let batch = cells(&[Some("abc")]);
    let masked = bench.set().mask(&"10-hostile".into(), 7, &batch, &[]).unwrap();
    let Masked::Edits(edits) = masked else { panic!("{masked:?}") };
    assert_eq!((edits.spans.as_slice(), edits.fill.as_slice()), (&[0, 0, 1][..], &b"*"[..]));
}

#[test]
fn a_classifier_that_lies_or_loops_is_a_fault_and_no_label() {
    for behaviour in ["few", "unsure", "trap", "spin"] {
        let bench = Bench::hostile(&format!("classify = \"{behaviour}\""));
        assert!(bench.set().classify(&[sample("x")]).is_err(), "{behaviour}");
    }
}

#[test]
fn masking_that_traps_or_loops_is_a_fault_and_no_value() {
    for (behaviour, expected) in [
        ("trap", FaultKind::Trap),
        ("spin", FaultKind::Deadline),
        ("hog", FaultKind::Memory),
        ("flood", FaultKind::Deadline),
    ] {
        let bench = Bench::hostile(&format!("mask = \"{behaviour}\"\nplan = \"{behaviour}\""));
        let set = bench.set();
        let fault = plan(&*set, 1).remove(0).answer.unwrap_err();
        assert_eq!(fault.kind, expected, "{behaviour}: {fault:?}");
        let fault = set.mask(&"10-hostile".into(), 7, &cells(&[Some("x")]), &[]).unwrap_err();
        assert_eq!(fault.kind, expected, "{behaviour}: {fault:?}");
    }
}

/// What comes in a result is somebody's choice, and must not decide what is known of a table.
#[test]
fn masking_that_fails_too_often_leaves_the_classifier_in_force() {
    let bench = Bench::hostile("mask = \"trap\"");
    let set = bench.set();
    let mask = || set.mask(&"10-hostile".into(), 7, &cells(&[Some("x")]), &[]).unwrap_err().kind;
    for _ in 0..5 {
        assert_eq!(mask(), FaultKind::Trap);
    }
    assert_eq!(mask(), FaultKind::Suspended);
    assert_eq!(set.classify(&[sample("x")]).expect("it answers").len(), 1);
}

/// A policy that never comes into force, and why; another beside it is not disturbed.
#[track_caller]
fn check_refused(plugin: &[u8], policy_file: &str, expected: &str) {
    let good = policy("fill = \"good\"").replace("h.wasm", "good.wasm");
    let bench = Bench::open(&[
        ("good.wasm", hostile()),
        ("20-good.toml", good.as_bytes()),
        ("h.wasm", plugin),
        ("10-bad.toml", policy_file.as_bytes()),
    ]);
    let now = bench.now();
    let names: Vec<&str> = now.policies.iter().map(|policy| &*policy.name).collect();
    assert_eq!(names, ["20-good"], "{now:#?}");
    assert_eq!(now.failures.len(), 1, "{now:#?}");
    let reason = &now.failures[0].reason;
    assert!(reason.contains(expected), "{reason}");
    assert!(!now.failures[0].last_good_in_force);
    assert_eq!(bench.judge("select 1").unwrap().tags[1], "good");
}

#[test]
fn a_guest_that_misbehaves_while_it_starts_is_never_in_force() {
    for (behaviour, expected) in [
        ("refuse", "does not accept its settings: invalid settings: not these"),
        ("trap", "does not start (trap)"),
        ("spin", "does not start in time"),
        ("hog", "memory_bytes_max"),
        ("recurse-plainly", "does not start (trap)"),
        ("flood", "does not start in time"),
    ] {
        check_refused(hostile(), &policy(&format!("configure = \"{behaviour}\"")), expected);
    }
}

#[test]
fn a_guest_that_needs_more_memory_than_it_may_have_is_never_in_force() {
    let file = "plugin = \"h.wasm\"\nmemory_bytes_max = 131072\n";
    check_refused(hostile(), file, "memory_bytes_max");
}

#[test]
fn what_is_not_a_policy_component_is_never_in_force() {
    let file = policy("");
    let core = crate::harness::core_module();
    let other = |old: &str, new: &str| crate::harness::replaced(hostile(), old, new);
    check_refused(b"", &file, "is not WebAssembly");
    check_refused(b"#!/bin/sh\nrm -rf /\n", &file, "is not WebAssembly");
    check_refused(&core, &file, "is a core module, not a component");
    check_refused(b"\0asm\x0d\0\x01\0", &file, "exports nothing, but none of");
    check_refused(&other("@0.1.0", "@0.2.0"), &file, "none of portcullis:policy/guardrail");
    let backdoor = other("portcullis:policy/host@", "portcullis:policy/root@");
    check_refused(&backdoor, &file, "portcullis:policy/root@0.1.0 is not something the host");
    check_refused(&hostile()[..hostile().len() / 2], &file, "is not a component");
}

#[test]
fn a_component_cut_anywhere_is_never_in_force() {
    let bytes = hostile();
    for part in 1..12 {
        let cut = &bytes[..bytes.len() * part / 12];
        check_refused(cut, &policy(""), "");
    }
}

#[test]
fn a_guest_that_imports_wasi_is_refused_by_name() {
    check_refused(hostile_with_wasi(), &policy(""), "the import wasi:");
}

#[test]
fn an_inert_wasi_holds_nothing() {
    let file = "plugin = \"w.wasm\"\nwasi = \"inert\"\n[settings]\nbehaviour = \"wasi\"\n";
    let bench = Bench::open(&[("w.wasm", hostile_with_wasi()), ("10.toml", file.as_bytes())]);
    let verdict = bench.judge("select 1").unwrap();
    assert_eq!(
        verdict.tags,
        [
            "environment 0",
            "arguments 0",
            "directory None",
            "clock 0.0",
            "random [0, 0, 0, 0]",
            "output true true",
        ]
    );
    let fault = bench.judge("do:exit").unwrap_err();
    assert_ne!(fault.kind, FaultKind::Refused, "{fault:?}");
    assert!(bench.judge("select 1").is_ok());
}

#[test]
fn a_line_of_the_log_is_no_fault() {
    let bench = Bench::hostile("behaviour = \"log-line\"");
    assert!(bench.judge("select 1").is_ok());
}
