//! Bindings for C and Go, and Go's way into a component.

use std::path::Path;

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
        "go" => wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, ..Default::default() }
            .build(),
        other => bail!("no bindings for `{other}`: c or go"),
    };
    let (mut resolve, world) = load_world(wit, world)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files)?;
    for (name, contents) in files.iter() {
        write(&dir.join(name), contents)?;
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
