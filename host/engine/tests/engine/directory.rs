//! What may stand in a plugin directory, and what becomes of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use portcullis_engine::SetSummary;
use portcullis_policy::Mode;

use crate::harness::{Bench, hostile, policy, variant};

fn names(summary: &SetSummary) -> Vec<String> {
    summary.policies.iter().map(|policy| policy.name.to_string()).collect()
}

#[test]
fn a_lone_plugin_is_a_policy_with_defaults() {
    let bench = Bench::open(&[("guard.wasm", hostile())]);
    let now = bench.now();
    assert_eq!((now.revision, names(&now)), (1, vec!["guard".to_owned()]));
    let policy = &now.policies[0];
    assert_eq!(policy.mode, Mode::Enforce);
    assert_eq!(policy.matching, "everyone, everywhere");
    assert_eq!(policy.kinds.names(), ["guardrail", "masker", "classifier", "audit-sink"]);
    assert_eq!(policy.manifest.description, "hostile-marker-0000");
    assert!(bench.judge("select 1").is_ok());
}

#[test]
fn what_is_hidden_or_left_behind_is_not_a_policy() {
    let bench = Bench::open(&[
        (".hidden.wasm", hostile()),
        ("a.wasm~", hostile()),
        ("b.wasm.tmp", hostile()),
        (".hidden.toml", policy("").as_bytes()),
        ("README.md", b"words"),
    ]);
    assert_eq!(bench.now().policies, []);
    assert_eq!(bench.now().failures, []);
}

#[test]
fn a_policy_is_added_changed_and_removed() {
    let mut bench = Bench::open(&[("h.wasm", hostile()), ("10.toml", policy("").as_bytes())]);
    bench.put("20.toml", policy("fill = \"b\""));
    let added = bench.wait("added", |now| now.revision == 2);
    assert_eq!(names(&added), ["10", "20"]);
    assert!(added.changes[0].starts_with("added 20: h.wasm "), "{:?}", added.changes);
    bench.put("20.toml", format!("mode = \"observe\"\n{}", policy("fill = \"c\"")));
    let changed = bench.wait("changed", |now| now.revision == 3);
    assert_eq!(changed.changes, ["changed 20: mode enforce -> observe, settings"]);
    bench.remove("20.toml");
    let removed = bench.wait("removed", |now| now.revision == 4);
    assert_eq!(removed.changes, ["removed 20"]);
    assert_eq!(names(&removed), ["10"]);
}

#[test]
fn another_plugin_under_the_same_name_is_a_change() {
    let mut bench = Bench::open(&[("h.wasm", hostile()), ("10.toml", policy("").as_bytes())]);
    bench.put("h.wasm", variant(7));
    let changed = bench.wait("renamed over", |now| now.revision == 2);
    assert!(changed.changes[0].starts_with("changed 10: plugin "), "{:?}", changed.changes);
    assert_eq!(changed.policies[0].manifest.description, "hostile-marker-0007");
    assert!(bench.judge("select 1").is_ok());
}

#[test]
fn what_says_the_same_is_not_published_again() {
    let mut bench = Bench::open(&[("h.wasm", hostile()), ("10.toml", policy("").as_bytes())]);
    bench.put("10.toml", format!("# a comment\n{}", policy("")));
    bench.put("h.wasm", hostile());
    bench.put("20.toml", policy(""));
    let now = bench.wait("the other change", |now| now.policies.len() == 2);
    assert_eq!(now.revision, 2);
    assert_eq!(now.changes.len(), 1, "{:?}", now.changes);
}

/// What a change of one policy's files does: its last good form stays, the reason is told,
/// and another change beside it happens.
#[track_caller]
fn check_held_back(spoil: impl FnOnce(&Bench), expected: &str) {
    let mut bench = Bench::open(&[
        ("h.wasm", hostile()),
        ("10.toml", policy("fill = \"good\"").as_bytes()),
        ("o.wasm", &variant(1)),
        ("20.toml", policy("").replace("h.wasm", "o.wasm").as_bytes()),
    ]);
    spoil(&bench);
    bench.remove("20.toml");
    bench.remove("o.wasm");
    let now = bench.wait("held back", |now| {
        names(now) == ["10"] && now.failures.iter().any(|failure| &*failure.policy == "10")
    });
    let failure = now.failures.iter().find(|failure| &*failure.policy == "10").unwrap();
    assert!(failure.reason.contains(expected), "{failure}");
    assert!(failure.last_good_in_force);
    assert_eq!(bench.judge("select 1").unwrap().tags[1], "good");
    bench.remove_if_there("h.wasm");
    bench.put("h.wasm", hostile());
    bench.remove_if_there("10.toml");
    bench.put("10.toml", policy("fill = \"better\""));
    bench.wait("mended", |now| {
        let changed = now.changes.iter().any(|change| change.starts_with("changed 10"));
        changed && now.failures.is_empty()
    });
    assert_eq!(bench.judge("select 1").unwrap().tags[1], "better");
}

impl Bench {
    fn remove_if_there(&self, name: &str) {
        let path = self.path(name);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir(&path).unwrap();
        } else if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_half_written_plugin_holds_back_itself() {
    check_held_back(|bench| bench.write("h.wasm", &hostile()[..40_000]), "is not a component");
}

#[test]
fn an_emptied_plugin_holds_back_itself() {
    check_held_back(|bench| bench.write("h.wasm", b""), "is not WebAssembly");
}

#[test]
fn a_half_written_policy_file_holds_back_itself() {
    check_held_back(|bench| bench.write("10.toml", "plugin = \"h.wa"), "");
}

#[test]
fn a_policy_file_with_an_unknown_key_holds_back_itself() {
    let text = "plugin = \"h.wasm\"\nmdoe = \"enforce\"\n";
    check_held_back(|bench| bench.write("10.toml", text), "did you mean `mode`?");
}

#[test]
fn settings_the_plugin_refuses_hold_back_the_policy() {
    let text = policy("configure = \"refuse\"");
    check_held_back(|bench| bench.put("10.toml", &text), "not these");
}

#[test]
fn a_plugin_deleted_in_use_stays_in_force() {
    check_held_back(|bench| bench.remove("h.wasm"), "cannot be read");
}

#[test]
fn a_plugin_that_becomes_a_loop_of_links_holds_back_itself() {
    check_held_back(
        |bench| {
            bench.remove("h.wasm");
            symlink(bench.path("h.wasm"), bench.path("h.wasm")).unwrap();
        },
        "cannot be read",
    );
}

#[test]
fn a_plugin_that_becomes_a_directory_or_a_pipe_holds_back_itself() {
    let directory = |bench: &Bench| {
        bench.remove("h.wasm");
        fs::create_dir(bench.path("h.wasm")).unwrap();
    };
    check_held_back(directory, "is not a regular file");
    let pipe = |bench: &Bench| {
        bench.remove("h.wasm");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, bench.path("h.wasm"), mode).unwrap();
    };
    check_held_back(pipe, "is not a regular file");
}

#[test]
fn a_plugin_of_100_mb_is_not_read() {
    let grow = |bench: &Bench| {
        let file = fs::OpenOptions::new().write(true).open(bench.path("h.wasm")).unwrap();
        file.set_len(100 << 20).unwrap();
    };
    check_held_back(grow, "is larger than");
}

#[test]
fn files_that_may_not_be_read_hold_back_their_policy() {
    // Permissions do not bind root, so there a file that nobody can read stands in.
    if rustix::process::geteuid().is_root() {
        let unreadable = |bench: &Bench| {
            bench.remove("h.wasm");
            symlink("/proc/self/mem", bench.path("h.wasm")).unwrap();
        };
        check_held_back(unreadable, "");
    } else {
        let unreadable = |bench: &Bench| {
            let none = fs::Permissions::from_mode(0o000);
            fs::set_permissions(bench.path("h.wasm"), none).unwrap();
        };
        check_held_back(unreadable, "cannot be read");
    }
}

#[test]
fn a_loop_of_links_from_the_start_disturbs_nobody() {
    let mut bench = Bench::open(&[("h.wasm", hostile())]);
    symlink(bench.path("loop.wasm"), bench.path("loop.wasm")).unwrap();
    symlink(bench.path("loop.toml"), bench.path("loop.toml")).unwrap();
    symlink(bench.path("nowhere"), bench.path("dangling.wasm")).unwrap();
    let now = bench.wait("failures", |now| now.failures.len() >= 2);
    assert_eq!(names(&now), ["h"]);
    assert_eq!(now.revision, 1);
    assert!(bench.judge("select 1").is_ok());
}

#[test]
fn a_plugin_named_by_a_broken_file_does_not_come_into_force_by_itself() {
    let bench = Bench::open(&[("h.wasm", hostile()), ("10.toml", b"plugin = \"h.wasm\"\nmod")]);
    assert_eq!(bench.now().policies, []);
    assert_eq!(bench.now().failures.len(), 1);
}

#[test]
fn a_lone_plugin_stays_while_the_file_that_names_it_is_broken() {
    let mut bench = Bench::open(&[("h.wasm", hostile())]);
    bench.put("10.toml", "plugin = \"h.wasm\"\nmod");
    let now = bench.wait("the failure", |now| !now.failures.is_empty());
    assert_eq!(names(&now), ["h"]);
    bench.put("10.toml", policy(""));
    let now = bench.wait("the file counts", |now| now.revision == 2);
    assert_eq!(names(&now), ["10"]);
    assert_eq!(now.changes.len(), 2, "{:?}", now.changes);
}

#[test]
fn two_policies_cannot_share_a_name() {
    let bench = Bench::open(&[
        ("h.wasm", hostile()),
        ("x.wasm", &variant(2)),
        ("x.toml", policy("").as_bytes()),
    ]);
    assert_eq!(names(&bench.now()), ["x"]);
    assert!(bench.now().failures[0].reason.contains("rename one"), "{:?}", bench.now().failures);
}

#[test]
fn more_policies_than_allowed_are_held_back() {
    let files: Vec<String> = (0..3).map(|number| format!("{number}.toml")).collect();
    let text = policy("");
    let mut all: Vec<(&str, &[u8])> = vec![("h.wasm", hostile())];
    all.extend(files.iter().map(|name| (name.as_str(), text.as_bytes())));
    let bench = Bench::open_with(&all, |config| config.policies_max = 2);
    assert_eq!(names(&bench.now()), ["0", "1"]);
    assert!(bench.now().failures[0].reason.contains("2 policies are in force already"));
}

/// As Kubernetes mounts ConfigMaps: `..data` links to a version's directory and is swapped
/// by rename; the visible files are links through it.
#[test]
fn a_config_map_is_swapped_in_one_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let version = |name: &str, fill: &str| {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("10.toml"), policy(&format!("fill = \"{fill}\""))).unwrap();
        fs::write(path(name).join("h.wasm"), hostile()).unwrap();
    };
    version("..2026_1", "one");
    symlink("..2026_1", path("..data")).unwrap();
    symlink("..data/10.toml", path("10.toml")).unwrap();
    symlink("..data/h.wasm", path("h.wasm")).unwrap();
    let engine = portcullis_engine::Engine::open(crate::harness::config(directory.path())).unwrap();
    let (summary, source) = (engine.subscribe(), engine.hub().worker());
    let mut bench = Bench { directory, engine, summary, source };
    assert_eq!(bench.judge("select 1").unwrap().tags[1], "one");

    let path = |name: &str| bench.path(name);
    fs::create_dir(path("..2026_2")).unwrap();
    fs::write(path("..2026_2/10.toml"), policy("fill = \"two\"")).unwrap();
    fs::write(path("..2026_2/h.wasm"), hostile()).unwrap();
    symlink("..2026_2", path("..data_tmp")).unwrap();
    fs::rename(path("..data_tmp"), path("..data")).unwrap();
    fs::remove_dir_all(path("..2026_1")).unwrap();
    bench.wait("swapped", |now| now.revision == 2);
    assert_eq!(bench.judge("select 1").unwrap().tags[1], "two");
}

#[test]
fn a_directory_behind_a_link_may_be_swapped_or_lost() {
    let root = tempfile::tempdir().unwrap();
    for (name, fill) in [("a", "one"), ("b", "two")] {
        fs::create_dir(root.path().join(name)).unwrap();
        let text = policy(&format!("fill = \"{fill}\""));
        fs::write(root.path().join(name).join("10.toml"), text).unwrap();
        fs::write(root.path().join(name).join("h.wasm"), hostile()).unwrap();
    }
    let link = root.path().join("plugins.d");
    symlink("a", &link).unwrap();
    let engine = portcullis_engine::Engine::open(crate::harness::config(&link)).unwrap();
    let (summary, source) = (engine.subscribe(), engine.hub().worker());
    let mut bench = Bench { directory: root, engine, summary, source };
    fs::remove_file(&link).unwrap();
    let now = bench.wait("lost", |now| !now.failures.is_empty());
    assert_eq!(names(&now), ["10"], "nothing that is in force goes with the directory");
    symlink("b", &link).unwrap();
    bench.wait("swapped", |now| now.failures.is_empty() && now.revision == 2);
    assert_eq!(bench.judge("select 1").unwrap().tags[1], "two");
}
