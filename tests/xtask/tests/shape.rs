//! The repository checks its own shape: which crate may use which, which module may use
//! which, how long a file is, what it is called, and that documents name what exists.
#![allow(clippy::unwrap_used)] // What cannot be read cannot be checked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 600;
const NAMES_THAT_SAY_NOTHING: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "misc", "types", "ext", "mod"];
/// Written apart, or this file would find itself.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!"),
    concat!("db", "g!"),
    concat!("unimple", "mented!"),
];

/// A crate's folder, and the crates of ours it may use.
const LAYERS: [(&str, &[&str]); 17] = [
    ("host/policy", &[]),
    ("host/wire", &[]),
    ("host/sql", &["policy"]),
    ("host/masking", &["policy", "wire"]),
    ("host/ledger", &["policy"]),
    ("host/identity", &["policy"]),
    ("host/approvals", &["policy"]),
    ("host/store", &["policy", "approvals", "identity"]),
    ("host/engine", &["policy"]),
    ("host/proxy", &["policy", "wire", "sql", "masking", "ledger", "identity", "approvals"]),
    ("host/admin", &["policy", "ledger", "identity", "approvals", "engine", "proxy"]),
    ("plugin-sdk", &[]),
    ("plugins/sql-guard", &["plugin-sdk"]),
    ("plugins/pii-mask", &["plugin-sdk"]),
    ("plugins/webhook-sink", &["plugin-sdk"]),
    ("examples/rust-guardrail", &["plugin-sdk"]),
    // Sees of the proxy what clients see.
    ("tests/conformance", &[]),
];
/// These read no clock and know no runtime.
const WITHOUT_RUNTIME: [&str; 4] = ["host/policy", "host/sql", "host/wire", "host/masking"];

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "plugin-sdk/GUIDE.md",
];
/// What looks like a path and is somebody else's: an operator's files, what commands make,
/// media types.
const ELSEWHERE: [&str; 4] = ["plugins.d/", "target/", "application/", "text/"];
const MACHINE_PATHS: [&str; 4] = ["/work/", "/root/", "/home/", "/Users/"];

#[test]
fn crates_use_only_those_below_them() {
    let mut faults = Vec::new();
    for manifest in files("Cargo.toml") {
        let folder = manifest.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned();
        let text = read(&manifest);
        let used = dependencies(&text);
        faults.extend(dependency_faults(&folder, &used));
    }
    assert_none(faults);
}

#[test]
fn every_layer_is_a_crate() {
    let missing =
        LAYERS.iter().filter(|(folder, _)| !root().join(folder).join("Cargo.toml").exists());
    assert_none(missing.map(|(folder, _)| format!("no crate in {folder}")).collect());
}

#[test]
fn modules_use_only_those_listed_above_them() {
    let sources = files(".rs");
    let mut faults = Vec::new();
    for lib in sources.iter().filter(|path| is_crate_root(path)) {
        let folder = lib.trim_end_matches("lib.rs").trim_end_matches("main.rs");
        let order = Order::of(&read(lib));
        for path in sources.iter().filter(|path| path.starts_with(folder) && *path != lib) {
            let inside = path.trim_start_matches(folder);
            faults.extend(
                order.faults(inside, &read(path)).iter().map(|fault| format!("{path}: {fault}")),
            );
        }
    }
    assert_none(faults);
}

fn is_crate_root(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")
}

#[test]
fn files_are_short_and_named_for_what_they_hold() {
    let check = |path: &String| file_faults(path, &read(path));
    assert_none(files(".rs").iter().flat_map(check).collect());
}

#[test]
fn documents_name_what_exists() {
    let known = files("");
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        match fs::read_to_string(root().join(document)) {
            Ok(text) => faults.extend(document_faults(document, &text, &known)),
            Err(error) => faults.push(format!("{document}: {error}")),
        }
    }
    assert_none(faults);
}

fn dependency_faults(folder: &str, used: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |name: &str, why: &str| faults.push(format!("{folder} uses {name}: {why}"));
    let allowed = LAYERS.iter().find(|(layer, _)| *layer == folder).map(|(_, allowed)| allowed);
    for name in used {
        if let (Some(allowed), Some(ours)) = (allowed, name.strip_prefix("portcullis-"))
            && !allowed.contains(&ours)
        {
            fault(name, "it is not below it");
        }
        if folder == "host/policy" && !name.starts_with("portcullis-") {
            fault(name, "the vocabulary is made of the standard library");
        }
        if name.starts_with("wasmtime") && folder != "host/engine" {
            fault(name, "only the engine knows it");
        }
        if name.starts_with("tokio") && WITHOUT_RUNTIME.contains(&folder) {
            fault(name, "this layer knows no runtime");
        }
    }
    faults
}

/// What a crate needs to be built; what its tests need is their matter.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            let (parent, name) = section.rsplit_once('.').unwrap_or(("", section));
            inside = name == "dependencies" && parent != "workspace";
            if parent.ends_with("dependencies") && !parent.contains("dev-") {
                names.extend((!section.starts_with("workspace")).then(|| name.to_owned()));
            }
        } else if inside && let Some((name, _)) = line.split_once('=') {
            let name = name.trim();
            let name = name.split_once('.').map_or(name, |(name, _)| name);
            names.extend((!name.starts_with('#')).then(|| name.to_owned()));
        }
    }
    names
}

/// The modules of a crate in their order, and what the crate's root takes out of each.
struct Order {
    modules: Vec<String>,
    exported: BTreeMap<String, String>,
}

impl Order {
    fn of(lib: &str) -> Order {
        let lib = without_comments(lib);
        let mut modules = Vec::new();
        for line in lib.lines().map(str::trim) {
            let declared = match line.strip_prefix("pub") {
                Some(rest) => rest.trim_start_matches("(crate)").trim(),
                None => line,
            };
            if let Some(rest) = declared.strip_prefix("mod ") {
                modules.push(rest.trim_end_matches(['{', ';', ' ']).to_owned());
            }
        }
        let mut exported = BTreeMap::new();
        for path in use_paths(&lib) {
            let parts: Vec<&str> = path.iter().map(String::as_str).collect();
            let parts = parts.strip_prefix(&["crate"]).unwrap_or(&parts);
            if let [module, .., name] = parts
                && modules.iter().any(|known| known == module)
            {
                exported.insert((*name).to_owned(), (*module).to_owned());
            }
        }
        Order { modules, exported }
    }

    fn faults(&self, file: &str, text: &str) -> Vec<String> {
        let (own, nested) = match file.split_once('/') {
            Some((folder, _)) => (folder, true),
            None => (file.trim_end_matches(".rs"), false),
        };
        let Some(own_place) = self.place(own) else { return Vec::new() };
        let mut text = without_tests(&without_comments(text)).to_owned();
        if !nested {
            text = text.replace("super::", "crate::");
        }
        let mut faults: Vec<String> = self
            .used(&text)
            .into_iter()
            .filter(|used| self.place(used).is_some_and(|place| place > own_place))
            .map(|used| format!("`{own}` uses `{used}`, which is listed below it"))
            .collect();
        faults.dedup();
        faults
    }

    fn place(&self, module: &str) -> Option<usize> {
        self.modules.iter().position(|known| known == module)
    }

    /// The modules that a text names through `crate::`, by their own name or by that of
    /// something the root exports.
    fn used(&self, text: &str) -> Vec<String> {
        let mut names: Vec<String> = use_paths(text)
            .into_iter()
            .filter(|path| path.first().is_some_and(|first| first == "crate"))
            .filter_map(|path| path.get(1).cloned())
            .collect();
        names.extend(text.split("crate::").skip(1).map(|rest| identifier(rest).to_owned()));
        names.sort();
        let module = |name: &String| self.exported.get(name).unwrap_or(name).clone();
        names.iter().map(module).collect()
    }
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

/// Every path of every `use`, groups taken apart.
fn use_paths(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for start in text.split("use ").skip(1) {
        let tree = start.split(';').next().unwrap_or(start);
        expand(&[], tree, &mut paths);
    }
    paths
}

fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let (before, group) = match tree.split_once('{') {
        Some((before, rest)) => (before, rest.strip_suffix('}')),
        None => (tree, None),
    };
    let mut path = prefix.to_vec();
    let parts = before.split("::").map(str::trim).filter(|part| !part.is_empty());
    path.extend(parts.map(|part| part.rsplit(' ').next().unwrap_or(part).to_owned()));
    match group {
        Some(group) => top_level(group).iter().for_each(|part| expand(&path, part, paths)),
        None if tree.is_empty() => {}
        None => paths.push(path),
    }
}

/// Splits at the commas that are in no inner group.
fn top_level(group: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    group
        .split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        })
        .collect()
}

fn without_comments(text: &str) -> String {
    let kept: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    kept.join("\n")
}

/// Tests are last in a file, and may use what they like.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn file_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{path} has {lines} lines, at most {LINES_MAX} are allowed"));
    }
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    if NAMES_THAT_SAY_NOTHING.contains(&name) {
        faults.push(format!("{path}: `{name}` does not say what is in it"));
    }
    for (number, line) in text.lines().enumerate() {
        let found = UNFINISHED.iter().filter(|mark| line.contains(*mark));
        faults.extend(found.map(|mark| format!("{path}:{}: {mark}", number + 1)));
    }
    faults
}

fn document_faults(document: &str, text: &str, known: &[String]) -> Vec<String> {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut faults = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let found = MACHINE_PATHS.iter().filter(|path| line.contains(*path));
        faults.extend(found.map(|path| format!("{document}:{number}: a machine's path, {path}")));
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let spans = line.split('`').skip(1).step_by(2);
            let missing = spans.filter(|span| is_path(span) && !exists(span, folder, known));
            faults.extend(missing.map(|span| format!("{document}:{number}: no `{span}` here")));
        }
    }
    faults
}

fn is_path(span: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let named = [".rs", ".toml", ".wit"].iter().any(|end| span.ends_with(end));
    let operators = ELSEWHERE.iter().any(|start| span.starts_with(start))
        || (named && span.starts_with(|c: char| c.is_ascii_digit()));
    // What begins with a slash is on the reader's machine, or a path of a URL.
    let relative = !span.starts_with('/');
    relative && span.chars().all(plain) && (named || span.contains('/')) && !operators
}

/// From the top, from the document's folder, or as the end of a longer path.
fn exists(span: &str, folder: &str, known: &[String]) -> bool {
    let span = span.trim_start_matches("./").trim_end_matches('/');
    let from_folder = format!("{folder}/{span}");
    known.iter().any(|path| {
        let is = |wanted: &str| {
            path == wanted || path.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
        };
        is(span) || is(&from_folder) || path.ends_with(&format!("/{span}"))
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The repository's files with this ending, from its top, generated ones left out.
fn files(ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let generated = ["target", ".git", ".portcullis", "node_modules", "__pycache__"];
            if generated.contains(&name.as_str()) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Each check can fail.
mod checks {
    use super::*;

    fn check(faults: Vec<String>, expected: &[&str]) {
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_dependency_that_points_up_is_found() {
        let faults = |folder, manifest: &str| dependency_faults(folder, &dependencies(manifest));
        let on = |name: &str| format!("[dependencies]\n{name}.workspace = true\n");
        check(faults("host/proxy", &on("portcullis-wire")), &[]);
        check(
            faults("host/proxy", &on("portcullis-engine")),
            &["host/proxy uses portcullis-engine: it is not below it"],
        );
        check(
            faults("host/engine", "[dependencies.portcullis-proxy]\npath = \"../proxy\""),
            &["host/engine uses portcullis-proxy: it is not below it"],
        );
        check(
            faults("host/policy", "[dependencies]\nserde = \"1\""),
            &["host/policy uses serde: the vocabulary is made of the standard library"],
        );
        check(
            faults("host", "[target.'cfg(unix)'.dependencies]\nwasmtime = { version = \"48\" }"),
            &["host uses wasmtime: only the engine knows it"],
        );
        check(
            faults("host/sql", &on("tokio")),
            &["host/sql uses tokio: this layer knows no runtime"],
        );
        check(faults("host/sql", "[dev-dependencies]\ntokio.workspace = true"), &[]);
        check(faults("", "[workspace.dependencies]\nwasmtime = \"48\""), &[]);
    }

    #[test]
    fn a_module_that_uses_one_below_it_is_found() {
        let order = Order::of("mod low;\npub mod high;\npub use high::{Tower, deep::Well as Pit};");
        let below = ["`low` uses `high`, which is listed below it"];
        check(order.faults("high.rs", "use crate::low::Stone;"), &[]);
        check(order.faults("low.rs", "use crate::low::Stone;\nuse std::fmt;"), &[]);
        check(order.faults("low.rs", "use crate::high::Tower;"), &below);
        check(order.faults("low/part.rs", "fn f() -> crate::high::Tower {}"), &below);
        check(order.faults("low.rs", "use super::high;"), &below);
        check(
            order.faults("low.rs", "use crate::{\n    low::Stone,\n    high::{Tower},\n};"),
            &below,
        );
        check(order.faults("low.rs", "use crate::Tower;"), &below);
        check(order.faults("low.rs", "use crate::{Pit};"), &below);
        check(order.faults("low.rs", "// See crate::high."), &[]);
        check(order.faults("low.rs", "#[cfg(test)]\nmod tests { use crate::high; }"), &[]);
    }

    #[test]
    fn long_unfinished_and_nameless_files_are_found() {
        check(file_faults("a/session.rs", "fn f() {}"), &[]);
        check(
            file_faults("a/long.rs", &"\n".repeat(601)),
            &["a/long.rs has 601 lines, at most 600 are allowed"],
        );
        for name in NAMES_THAT_SAY_NOTHING {
            assert_eq!(file_faults(&format!("a/{name}.rs"), "").len(), 1, "{name}");
        }
        for mark in UNFINISHED {
            check(file_faults("a/b.rs", &format!("\n{mark}")), &[&format!("a/b.rs:2: {mark}")]);
        }
    }

    #[test]
    fn documents_that_name_what_is_not_there_are_found() {
        let known = ["host/src/main.rs", "plugin-sdk/GUIDE.md", "plugin-sdk/src/lib.rs"];
        let known = known.map(str::to_owned);
        let faults = |text| document_faults("plugin-sdk/GUIDE.md", text, &known);
        check(faults("`host/src/main.rs`, `src/lib.rs`, `main.rs`, `host/src/`"), &[]);
        check(faults("`SELECT 1/2`, `plugins.d/50-pii.toml`, `50-pii.toml`, `/metrics`"), &[]);
        check(faults("```\n`gone.rs`\n```"), &[]);
        check(faults("\n`gone.rs`"), &["plugin-sdk/GUIDE.md:2: no `gone.rs` here"]);
        check(faults("`host/gone`"), &["plugin-sdk/GUIDE.md:1: no `host/gone` here"]);
        check(faults("clone to /home/ana"), &["plugin-sdk/GUIDE.md:1: a machine's path, /home/"]);
    }
}
