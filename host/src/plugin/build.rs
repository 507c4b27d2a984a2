//! `portcullis plugin build`: a crate becomes a component.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use portcullis_engine::{Inspection, componentize, inspect};
use serde_json::Value;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the crate in `directory`; says where its component is and what.
pub(super) fn build(directory: &Path, output: Option<&Path>) -> Result<(PathBuf, Inspection)> {
    let manifest = directory.join("Cargo.toml");
    let manifest = manifest.canonicalize().into_diagnostic().wrap_err_with(|| {
        format!("{} is no crate: {} cannot be read", directory.display(), manifest.display())
    })?;
    let directory = manifest.parent().unwrap_or(directory);
    require_target(directory)?;
    let module = compile(&manifest, directory)?;
    let bytes = std::fs::read(&module)
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be read", module.display()))?;
    let component = componentize(&bytes, None).map_err(|error| {
        miette!(
            help = "a policy ends with `portcullis_plugin_sdk::export!(…)`, which says what it is",
            "{}: {error}",
            module.display()
        )
    })?;
    let name = module.file_name().unwrap_or(module.as_os_str());
    let output = match output {
        Some(output) if output.is_dir() => output.join(name),
        Some(output) => output.to_owned(),
        None => directory.join(name),
    };
    let inspection = write(&output, &component)?;
    Ok((output, inspection))
}

/// Cargo without the target says that `core` cannot be found, which helps nobody.
fn require_target(directory: &Path) -> Result<()> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(directory);
    let libraries = PathBuf::from(stdout(&mut rustc)?.trim());
    match libraries.is_dir() {
        true => Ok(()),
        false => Err(miette!(
            help = format!("rustup target add {TARGET}"),
            "this toolchain cannot build for {TARGET}"
        )),
    }
}

/// Has cargo build the crate, and finds the module that it made.
fn compile(manifest: &Path, directory: &Path) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    match has_profile(manifest, directory)? {
        true => cargo.args(["--profile", "plugin"]),
        false => cargo.arg("--release"),
    };
    cargo.arg("--manifest-path").arg(manifest).current_dir(directory);
    let messages = stdout(&mut cargo)?;
    module(&messages, manifest).ok_or_else(|| {
        miette!(
            help = "[lib]\ncrate-type = [\"cdylib\", \"rlib\"]",
            "{} makes no WebAssembly module: its library is no cdylib",
            manifest.display()
        )
    })
}

/// The module among cargo's messages, one JSON object a line.
fn module(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut files = messages
        .filter(|message| message.get("reason").is_some_and(|reason| reason == "compiler-artifact"))
        .filter(|message| {
            let own = message.get("manifest_path").and_then(Value::as_str);
            own.is_some_and(|own| Path::new(own) == manifest)
        })
        .flat_map(|message| {
            message.get("filenames").and_then(Value::as_array).cloned().unwrap_or_default()
        })
        .filter_map(|file| file.as_str().map(PathBuf::from));
    files.find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

/// Does the crate's workspace define the profile `plugin`?
fn has_profile(manifest: &Path, directory: &Path) -> Result<bool> {
    let mut cargo = cargo();
    cargo.args(["locate-project", "--workspace", "--message-format=plain", "--manifest-path"]);
    let root = stdout(cargo.arg(manifest).current_dir(directory))?;
    let text = std::fs::read_to_string(root.trim()).into_diagnostic()?;
    let root: toml::Table = text.parse().into_diagnostic().wrap_err(root.trim().to_owned())?;
    let profiles = root.get("profile").and_then(toml::Value::as_table);
    Ok(profiles.is_some_and(|profiles| profiles.contains_key("plugin")))
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// What a program prints; its errors go where ours go.
fn stdout(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| {
            miette!(
                help = "Rust comes with rustup: https://rustup.rs",
                "{name} cannot be run: {error}"
            )
        })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(miette!("{name} failed: what it says is above")),
    }
}

/// Puts the component in its place in one step, since a proxy may be watching, and not before
/// it has shown to be a policy.
fn write(output: &Path, component: &[u8]) -> Result<Inspection> {
    let directory = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let unwritten = || format!("{} cannot be written", output.display());
    let mut file = tempfile::Builder::new()
        // As any compiler's output: what the umask leaves.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .into_diagnostic()
        .wrap_err_with(unwritten)?;
    file.write_all(component).into_diagnostic().wrap_err_with(unwritten)?;
    let inspection = inspect(file.path()).into_diagnostic()?;
    file.persist(output).into_diagnostic().wrap_err_with(unwritten)?;
    Ok(inspection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(messages: &str, expected: Option<&str>) {
        assert_eq!(module(messages, Path::new("/w/rule/Cargo.toml")), expected.map(PathBuf::from));
    }

    #[test]
    fn the_module_is_found_among_cargo_s_messages() {
        let artefact = |manifest: &str, file: &str| {
            let object = serde_json::json!({
                "reason": "compiler-artifact",
                "manifest_path": manifest,
                "filenames": ["/t/librule.rlib", file],
            });
            format!("{object}\n")
        };
        let other = artefact("/w/other/Cargo.toml", "/t/other.wasm");
        check(
            &(other.clone() + &artefact("/w/rule/Cargo.toml", "/t/rule.wasm")),
            Some("/t/rule.wasm"),
        );
        check(&artefact("/w/rule/Cargo.toml", "/t/librule.rmeta"), None);
        check(&other, None);
        check("{\"reason\":\"build-finished\",\"success\":true}\nwarning: text", None);
    }
}
