//! Bindings for C and Go, and Go's way into a component.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, embed_component_metadata};

use crate::{ENCODING, load_world, read, write};

pub(crate) fn generate(language: &str, wit: &Path, world: &str, dir: &Path) -> Result<()> {
    let mut generator: Box<dyn WorldGenerator> = match language {
        "c" => wit_bindgen_c::Opts::default().build(),
        // The compiler's package brings no `gofmt`, and nobody reads these files.
        "go" => {
            wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, ..Default::default() }
                .build()
        }
        other => bail!("no bindings for `{other}`: c or go"),
    };
    let (mut resolve, world) = load_world(wit, world)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files)?;
    for (name, contents) in files.iter() {
        write(&dir.join(name), contents)?;
    }
    if language == "go" {
        let support = go_support()?;
        write(&dir.join("bindings-support/go.mod"), &read(&support.join("go.mod"))?)?;
        copy_tree(&support.join("wit"), &dir.join("bindings-support/wit"))?;
    }
    Ok(())
}

/// The Go module that the bindings stand on comes inside the generator's own package: Go
/// itself would fetch it, and there may be nowhere to fetch it from.
fn go_support() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--all-features"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot run cargo metadata")?;
    let metadata = String::from_utf8(output.stdout)?;
    let manifest = metadata
        .split('"')
        .find(|text| text.contains("/wit-bindgen-go-") && text.ends_with("/Cargo.toml"))
        .context("cargo does not say where the package wit-bindgen-go is")?;
    Ok(Path::new(manifest).with_file_name("src").join("pkg"))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let entries = std::fs::read_dir(from).with_context(|| format!("{}", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_tree(&path, &to.join(name))?;
        } else {
            write(&to.join(name), &read(&path)?)?;
        }
    }
    Ok(())
}

/// Go's linker keeps no custom section of ours, so the world is put in beside the adapter
/// that turns preview 1 into the WASI interfaces a component can import.
pub(crate) fn go_component(core: &Path, wit: &Path, world: &str, out: &Path) -> Result<()> {
    let mut module = read(core)?;
    let (resolve, world) = load_world(wit, world)?;
    embed_component_metadata(&mut module, &resolve, world, ENCODING, false)?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("{} does not become a component", core.display()))?;
    write(out, &component)
}
