//! Build steps of guests that no other tool on the machine does: bindings for C and Go, and
//! the step from a core module to a component.
//!
//! It is a package of its own so that the commands in `xtask` start at once: what it needs
//! to compile is only compiled when a guest is built.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::{Resolve, WorldId, WorldItem, WorldKey};

const USAGE: &str = "usage:
  guest-tools component CORE OUT              a module that carries its own world
  guest-tools go-component CORE WIT WORLD OUT a module of Go's, with its WASI adapted
  guest-tools bindings c|go WIT WORLD DIR     source files that speak the world
  guest-tools inspect COMPONENT               what it imports and exports, a line each";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest-tools: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    match args {
        ["component", core, out] => component(Path::new(core), Path::new(out)),
        ["inspect", component] => inspect(Path::new(component)),
        #[cfg(feature = "bindings")]
        ["go-component", core, wit, world, out] => {
            bindings::go_component(Path::new(core), Path::new(wit), world, Path::new(out))
        }
        #[cfg(feature = "bindings")]
        ["bindings", language, wit, world, dir] => {
            bindings::generate(language, Path::new(wit), world, Path::new(dir))
        }
        #[cfg(not(feature = "bindings"))]
        ["go-component" | "bindings", ..] => bail!("built without the feature `bindings`"),
        _ => bail!("{USAGE}"),
    }
}

/// The module says in a custom section which world it was written against.
fn component(core: &Path, out: &Path) -> Result<()> {
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&read(core)?)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("{} does not become a component", core.display()))?;
    write(out, &component)
}

fn inspect(path: &Path) -> Result<()> {
    let decoded = wit_component::decode(&read(path)?)
        .with_context(|| format!("{} is not a component", path.display()))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        bail!("{} is a WIT package, not a component", path.display());
    };
    let world = resolve.worlds.get(world).context("the component has no world")?;
    for (key, item) in &world.imports {
        println!("import {}", item_name(&resolve, key, item));
    }
    for (key, item) in &world.exports {
        println!("export {}", item_name(&resolve, key, item));
    }
    Ok(())
}

/// An interface that only names types asks for nothing, and is marked as such.
fn item_name(resolve: &Resolve, key: &WorldKey, item: &WorldItem) -> String {
    let name = resolve.name_world_key(key);
    let only_types = match item {
        WorldItem::Interface { id, .. } => {
            resolve.interfaces.get(*id).is_some_and(|interface| interface.functions.is_empty())
        }
        WorldItem::Function(_) => false,
        WorldItem::Type { .. } => true,
    };
    if only_types { format!("{name} (types)") } else { name }
}

#[cfg_attr(not(feature = "bindings"), allow(dead_code))]
fn load_world(wit: &Path, world: &str) -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).with_context(|| format!("{}", wit.display()))?;
    let world = resolve.select_world(&[package], Some(world))?;
    Ok((resolve, world))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(feature = "bindings")]
mod bindings;

#[cfg_attr(not(feature = "bindings"), allow(dead_code))]
const ENCODING: StringEncoding = StringEncoding::UTF8;
