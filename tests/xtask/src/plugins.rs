//! The policies that come with Portcullis, and the example in Rust, as components.

use std::path::{Path, PathBuf};

use crate::component::GuestTools;
use crate::failure::Failure;
use crate::setup::Ready;
use crate::{program, repository};

const SHIPPED: [&str; 3] = ["sql-guard", "pii-mask", "webhook-sink"];
const EXAMPLE: &str = "rust-guardrail";

pub(crate) fn build(ready: &Ready, tools: &GuestTools) -> Result<(), Failure> {
    let mut packages = SHIPPED.to_vec();
    packages.push(EXAMPLE);
    build_packages(ready, tools, &packages)
}

pub(crate) fn build_example(ready: &Ready, tools: &GuestTools) -> Result<(), Failure> {
    build_packages(ready, tools, &[EXAMPLE])
}

fn build_packages(ready: &Ready, tools: &GuestTools, packages: &[&str]) -> Result<(), Failure> {
    build_modules(ready, packages)?;
    for package in packages {
        let directory =
            if *package == EXAMPLE { repository::examples() } else { repository::plugins() };
        make_component(tools, package, &directory)?;
    }
    Ok(())
}

fn build_modules(ready: &Ready, packages: &[&str]) -> Result<(), Failure> {
    let mut cargo = ready.cargo();
    cargo.args(["build", "--target", "wasm32-unknown-unknown", "--profile", "plugin"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    program::run(&mut cargo)
}

/// Not made again when nothing changed: a running proxy watches these files.
fn make_component(tools: &GuestTools, package: &str, directory: &Path) -> Result<(), Failure> {
    let file = file_name(package);
    let module = repository::cargo_target().join("wasm32-unknown-unknown/plugin").join(&file);
    let out = directory.join(&file);
    let stamp = directory.join(".done").join(&file);
    let key = repository::digest(std::slice::from_ref(&module))?;
    repository::once_made(&out, &stamp, &key, || tools.component(&module, &out))?;
    println!("{}", shown(&out));
    Ok(())
}

/// As cargo calls it.
pub(crate) fn file_name(package: &str) -> PathBuf {
    PathBuf::from(format!("{}.wasm", package.replace('-', "_")))
}

pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(repository::root()).unwrap_or(path).display().to_string()
}
