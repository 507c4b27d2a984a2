//! Changes under load: no statement is judged by none, or by a mixture.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portcullis_policy::Masked;

use crate::harness::{Bench, cells, hostile, judge, only, policy};

#[test]
fn a_statement_keeps_the_set_it_started_with() {
    let mut bench = Bench::hostile("fill = \"old\"");
    let held = bench.set();
    bench.put("10-hostile.toml", policy("fill = \"new\""));
    bench.wait("changed", |now| now.revision == 2);
    let fill =
        |set: &dyn portcullis_policy::PolicySet| only(judge(set, "s")).unwrap().tags[1].clone();
    assert_eq!((held.revision(), fill(&*held)), (1, "old".to_owned()));
    assert_eq!((bench.set().revision(), fill(&*bench.set())), (2, "new".to_owned()));
    assert_eq!(fill(&*held), "old", "and keeps it after others have moved on");
    let batch = cells(&[Some("x")]);
    let Ok(Masked::Replaced(masked)) = held.mask(&"10-hostile".into(), 1, &batch, &[]) else {
        panic!("it masks");
    };
    assert_eq!(masked.data, b"old1+0");
}

#[test]
fn an_old_set_outlives_the_removal_of_its_policies() {
    let mut bench = Bench::hostile("fill = \"old\"");
    let held = bench.set();
    bench.remove("10-hostile.toml");
    bench.remove("h.wasm");
    bench.wait("removed", |now| now.policies.is_empty());
    assert!(judge(&*bench.set(), "s").is_empty());
    assert_eq!(only(judge(&*held, "s")).unwrap().tags[1], "old");
}

#[test]
fn instances_survive_changes_of_other_policies_and_of_mode() {
    let mut bench = Bench::hostile("fill = \"x\"");
    let call = |bench: &Bench| judge(&*bench.set(), "s")[0].answer.clone().unwrap().tags[0].clone();
    assert_eq!(call(&bench), "call 1");
    bench.put("20.toml", policy("fill = \"y\""));
    bench.wait("added", |now| now.revision == 2);
    assert_eq!(call(&bench), "call 2");
    bench.put("10-hostile.toml", format!("mode = \"observe\"\n{}", policy("fill = \"x\"")));
    bench.wait("changed", |now| now.revision == 3);
    assert_eq!(call(&bench), "call 3");
    bench.put("10-hostile.toml", policy("fill = \"z\""));
    bench.wait("changed", |now| now.revision == 4);
    assert_eq!(call(&bench), "call 1");
}

#[test]
fn a_change_lifts_a_suspension() {
    let mut bench = Bench::hostile("");
    for _ in 0..6 {
        assert!(bench.judge("do:trap").is_err());
    }
    assert!(bench.judge("s").is_err());
    bench.put("10-hostile.toml", policy("fill = \"mended\""));
    bench.wait("changed", |now| now.revision == 2);
    assert!(bench.judge("s").is_ok());
}

/// Revision n has the fill n, so every answer tells which revision gave it.
#[test]
fn a_thousand_reloads_under_load_mix_nothing_up() {
    const RELOADS: u64 = 1000;
    let text = |revision: u64| policy(&format!("fill = \"{revision}\""));
    let first = text(1);
    let files: [(&str, &[u8]); 2] = [("h.wasm", hostile()), ("10.toml", first.as_bytes())];
    let mut bench = Bench::open(&files);
    let done = Arc::new(AtomicBool::new(false));
    let judged = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let hub = bench.engine.hub();
            let (done, judged) = (Arc::clone(&done), Arc::clone(&judged));
            std::thread::spawn(move || {
                let source = hub.worker();
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let set = source.current();
                    assert!(set.revision() >= last, "revisions only grow");
                    last = set.revision();
                    let verdict = only(judge(&*set, "s")).unwrap();
                    assert_eq!(verdict.tags[1], last.to_string());
                    judged.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for revision in 2..=RELOADS {
        bench.put("10.toml", text(revision));
        bench.engine.reload();
        let now = bench.wait("published", |now| now.revision >= revision);
        assert_eq!(now.revision, revision, "one revision per change");
        assert_eq!(now.failures, []);
    }
    done.store(true, Ordering::Relaxed);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert!(judged.load(Ordering::Relaxed) > RELOADS);
}

/// A swap costs the worker the exchange and the first calls, and later calls nothing.
#[test]
fn what_a_new_set_costs_is_told() {
    let mut bench = Bench::hostile("fill = \"x\"");
    let told = Rc::new(Cell::new(0));
    let count = Rc::clone(&told);
    bench.source.watch_swaps(Box::new(move |_| count.set(count.get() + 1)));
    let check = |bench: &Bench, expected: u32| {
        judge(&*bench.set(), "s");
        assert_eq!(told.replace(0), expected);
    };
    check(&bench, 1); // The first call of the first set.
    check(&bench, 0);
    bench.put("10-hostile.toml", policy("fill = \"y\""));
    bench.wait("changed", |now| now.revision == 2);
    check(&bench, 2); // The exchange, and the first call.
    check(&bench, 0);
    bench.put("10-hostile.toml", format!("mode = \"observe\"\n{}", policy("fill = \"y\"")));
    bench.wait("changed", |now| now.revision == 3);
    check(&bench, 1); // The exchange; the instance is the same.
}

#[test]
fn instances_go_with_the_last_set_that_has_them() {
    let mut bench = Bench::hostile("fill = \"x\"");
    let population = bench.engine.population();
    assert_eq!(population.count(), 0);
    let held = bench.set();
    judge(&*held, "s");
    assert_eq!(population.count(), 1);
    bench.put("10-hostile.toml", policy("fill = \"y\""));
    bench.wait("changed", |now| now.revision == 2);
    judge(&*bench.set(), "s");
    assert_eq!(population.count(), 2);
    drop(held);
    assert_eq!(population.count(), 1);
}

#[test]
fn sets_work_after_the_engine_is_gone() {
    let bench = Bench::hostile("fill = \"x\"");
    let hub = bench.engine.hub();
    drop(bench);
    let source = hub.worker();
    assert_eq!(only(judge(&*source.current(), "s")).unwrap().tags[1], "x");
    assert!(only(judge(&*source.current(), "do:spin")).is_err(), "the clock still ticks");
}
