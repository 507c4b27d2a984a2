//! `portcullis plugin`: look at components, and make them.

mod build;

use std::path::Path;
use std::process::ExitCode;

use miette::{IntoDiagnostic, Result};
use portcullis_engine::{Inspection, inspect};
use serde_json::{Value, json};

use crate::check::kinds;
use crate::cli::Plugin;
use crate::terminal::{line, print, section};

pub fn run(command: &Plugin) -> Result<ExitCode> {
    match command {
        Plugin::Inspect { file, json } => {
            let inspection = inspect(file).into_diagnostic()?;
            print(&if *json { as_json(file, &inspection) } else { as_text(file, &inspection) })?;
        }
        Plugin::Build { directory, output } => {
            let (file, inspection) = build::build(directory, output.as_deref())?;
            print(&as_text(&file, &inspection))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(file: &Path, inspection: &Inspection) -> String {
    let manifest = &inspection.manifest;
    let imports: Vec<Vec<String>> =
        inspection.imports.iter().map(|import| vec![import.clone()]).collect();
    let mut text = [
        format!("{}\n", file.display()),
        line("name", format!("{} {}", manifest.name, manifest.version)),
        line("about", &manifest.description),
        line("kinds", kinds(inspection.kinds)),
        match imports.is_empty() {
            true => line("imports", "nothing"),
            false => section("imports", &imports),
        },
        line("size", format!("{} bytes", inspection.size_bytes)),
        line("digest", inspection.digest.to_string()),
    ]
    .concat();
    if inspection.needs_wasi {
        text.push_str(&line("needs", "wasi = \"inert\" in its policy file"));
    }
    text.push_str(&section("settings", &settings(inspection)));
    text
}

/// What the policy file may set, by the schema's own words.
fn settings(inspection: &Inspection) -> Vec<Vec<String>> {
    let schema = inspection.manifest.settings_schema.as_deref();
    let schema: Option<Value> = schema.and_then(|schema| serde_json::from_str(schema).ok());
    let properties = schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
    let row = |(name, property): (&String, &Value)| {
        let description = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let default = property.get("default").map(Value::to_string).unwrap_or_default();
        vec![name.clone(), default, description.to_owned()]
    };
    properties.into_iter().flatten().map(row).collect()
}

fn as_json(file: &Path, inspection: &Inspection) -> String {
    let manifest = &inspection.manifest;
    // A schema that is not JSON is shown as the text it is.
    let schema = manifest.settings_schema.as_ref().map(|schema| {
        serde_json::from_str(schema).unwrap_or_else(|_| Value::from(schema.as_str()))
    });
    let object = json!({
        "file": file.display().to_string(),
        "digest": inspection.digest.to_string(),
        "size_bytes": inspection.size_bytes,
        "kinds": inspection.kinds.names(),
        "imports": inspection.imports,
        "needs_wasi": inspection.needs_wasi,
        "manifest": {
            "name": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
            "settings_schema": schema,
        },
    });
    format!("{object}\n")
}
