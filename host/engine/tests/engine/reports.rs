//! Looking without touching, and compiled code kept.

use std::fs;
use std::os::unix::fs::DirBuilderExt;

use portcullis_engine::{Engine, check, componentize, inspect};

use crate::harness::{config, core_module, hostile, hostile_with_wasi, policy};

#[test]
fn a_check_tells_what_would_be_in_force_and_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(directory.path().join(name), text).unwrap();
    write("h.wasm", hostile());
    write("10.toml", policy("").as_bytes());
    write("20.toml", b"plugin = \"h.wasm\"\n\ndeadlin_ms = 5\n");
    write("30.toml", b"plugin = \"absent.wasm\"\n");
    let report = check(&config(directory.path()));
    assert!(!report.is_sound());
    let text = report.to_string();
    assert!(text.starts_with("10: h.wasm "), "{text}");
    assert!(text.contains("20.toml:3: policy 20: unknown field `deadlin_ms`"), "{text}");
    assert!(text.contains("did you mean `deadline_ms`?"), "{text}");
    assert!(text.contains("absent.wasm: policy 30: cannot be read"), "{text}");
}

#[test]
fn a_plugin_is_inspected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("h.wasm");
    fs::write(&path, hostile()).unwrap();
    let seen = inspect(&path).unwrap();
    assert_eq!(seen.kinds.names(), ["guardrail", "masker", "classifier", "audit-sink"]);
    assert_eq!((seen.manifest.name.as_str(), seen.needs_wasi), ("hostile", false));
    assert_eq!(seen.size_bytes, hostile().len() as u64);
    assert_eq!(seen.digest.to_string().len(), 64);
    assert!(seen.imports.contains(&"portcullis:policy/egress@0.1.0".to_owned()));
    fs::write(&path, hostile_with_wasi()).unwrap();
    assert!(inspect(&path).unwrap().needs_wasi);
    fs::write(&path, b"words").unwrap();
    assert!(inspect(&path).unwrap_err().to_string().contains("is not WebAssembly"));
}

#[test]
fn only_a_module_that_carries_its_types_becomes_a_component() {
    assert!(componentize(&core_module(), None).is_ok());
    assert!(componentize(b"\0asm\x01\0\0\0", None).is_ok_and(|bytes| !bytes.is_empty()));
    assert!(componentize(b"words", None).is_err());
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let error = Engine::open(config("/nonexistent/plugins.d".as_ref())).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/plugins.d cannot be listed"), "{error}");
}

#[test]
fn compiled_code_is_kept_and_rotten_code_is_compiled_anew() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("h.wasm"), hostile()).unwrap();
    let cache = directory.path().join("code");
    fs::DirBuilder::new().mode(0o700).create(&cache).unwrap();
    let mut config = config(directory.path());
    config.cache_dir = Some(cache.clone());
    let code =
        || -> Vec<_> { fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect() };
    assert!(check(&config).is_sound());
    let [kept] = code().try_into().unwrap();
    let whole = fs::read(&kept).unwrap();
    for rotten in
        [&b""[..], b"short", &whole[..whole.len() / 2], &[whole.as_slice(), b"!"].concat()]
    {
        fs::write(&kept, rotten).unwrap();
        assert!(check(&config).is_sound());
        assert_eq!(fs::read(&kept).unwrap().len(), whole.len(), "it is written anew");
    }
    let before = fs::metadata(&kept).unwrap().modified().unwrap();
    assert!(check(&config).is_sound());
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), before, "and then read");
}
