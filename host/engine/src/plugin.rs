//! A plugin: a component compiled and linked, whose exports say what it is.

use std::fmt;

use sha2::Digest as _;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::bindings::{imports, kinds};
use crate::error::EngineError;
use crate::guest_state::GuestState;
use crate::inert_wasi;
use crate::sandbox::Sandbox;

/// SHA-256 of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    pub(crate) const LEN: usize = 32;

    pub(crate) fn of(bytes: &[u8]) -> Digest {
        Digest(sha2::Sha256::digest(bytes).into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a plugin can do; at least one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Kinds {
    pub guardrail: bool,
    pub masker: bool,
    pub classifier: bool,
    pub audit_sink: bool,
}

impl Kinds {
    /// The kinds' names, as the contract's interfaces are called.
    pub fn names(self) -> Vec<&'static str> {
        [
            (self.guardrail, "guardrail"),
            (self.masker, "masker"),
            (self.classifier, "classifier"),
            (self.audit_sink, "audit-sink"),
        ]
        .into_iter()
        .filter_map(|(holds, name)| holds.then_some(name))
        .collect()
    }

    fn of(component: &Component) -> Kinds {
        let exports = |interface: &str| {
            component.get_export_index(None, format!("{PACKAGE}{interface}@{VERSION}")).is_some()
        };
        Kinds {
            guardrail: exports("guardrail"),
            masker: exports("masker"),
            classifier: exports("classifier"),
            audit_sink: exports("audit-sink"),
        }
    }
}

const PACKAGE: &str = "portcullis:policy/";
const VERSION: &str = "0.1.0";

/// A component ready to be instantiated.
pub(crate) struct Plugin {
    pub(crate) digest: Digest,
    pub(crate) kinds: Kinds,
    pub(crate) imports: Vec<String>,
    /// Linked to an empty WASI.
    pub(crate) wasi_inert: bool,
    /// Texts and values of statements are handed out only to those that can read them.
    pub(crate) reads_text: bool,
    pub(crate) reads_parameters: bool,
    pub(crate) pre: InstancePre<GuestState>,
    pub(crate) indices: Indices,
}

/// Where the exports are.
pub(crate) struct Indices {
    pub(crate) plugin: kinds::plugin::GuestIndices,
    pub(crate) guardrail: Option<kinds::guardrail::GuestIndices>,
    pub(crate) masker: Option<kinds::masker::GuestIndices>,
    pub(crate) classifier: Option<kinds::classifier::GuestIndices>,
    pub(crate) audit_sink: Option<kinds::audit_sink::GuestIndices>,
}

impl Plugin {
    /// Links a component to what it may import: this contract, and an empty WASI where the
    /// policy says so.
    pub(crate) fn link(
        sandbox: &Sandbox,
        component: &Component,
        digest: Digest,
        wasi_inert: bool,
    ) -> Result<Plugin, EngineError> {
        let kinds = Kinds::of(component);
        if kinds == Kinds::default() {
            return Err(EngineError::new(nothing_exported(&sandbox.engine, component)));
        }
        let imports: Vec<String> = component
            .component_type()
            .imports(&sandbox.engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        check_imports(&imports, kinds, wasi_inert)?;
        let fail = |error: wasmtime::Error| {
            EngineError::new(format!("does not fit the contract: {error:#}"))
        };
        let pre = link(sandbox, component, kinds, wasi_inert).map_err(fail)?;
        let indices = Indices::of(&pre, kinds).map_err(fail)?;
        let reads = |what| imports.iter().any(|import| interface_of(import) == what);
        let (reads_text, reads_parameters) = (reads("statement-text"), reads("parameters"));
        Ok(Plugin {
            digest,
            kinds,
            imports,
            wasi_inert,
            reads_text,
            reads_parameters,
            pre,
            indices,
        })
    }
}

impl Indices {
    fn of(pre: &InstancePre<GuestState>, kinds: Kinds) -> wasmtime::Result<Indices> {
        let guardrail = kinds.guardrail.then(|| kinds::guardrail::GuestIndices::new(pre));
        let masker = kinds.masker.then(|| kinds::masker::GuestIndices::new(pre));
        let classifier = kinds.classifier.then(|| kinds::classifier::GuestIndices::new(pre));
        let audit_sink = kinds.audit_sink.then(|| kinds::audit_sink::GuestIndices::new(pre));
        Ok(Indices {
            plugin: kinds::plugin::GuestIndices::new(pre)?,
            guardrail: guardrail.transpose()?,
            masker: masker.transpose()?,
            classifier: classifier.transpose()?,
            audit_sink: audit_sink.transpose()?,
        })
    }
}

fn link(
    sandbox: &Sandbox,
    component: &Component,
    kinds: Kinds,
    wasi_inert: bool,
) -> wasmtime::Result<InstancePre<GuestState>> {
    let mut linker: Linker<GuestState> = Linker::new(&sandbox.engine);
    imports::host::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    imports::statement_text::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    imports::parameters::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    if kinds.audit_sink {
        imports::egress::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    }
    if wasi_inert {
        inert_wasi::link(&mut linker, &sandbox.engine, component)?;
    }
    linker.instantiate_pre(component)
}

/// Imports are served from the store's own data.
type Own = wasmtime::component::HasSelf<GuestState>;

/// The interface of an import of this contract: "host" of `portcullis:policy/host@0.1.0`.
fn interface_of(import: &str) -> &str {
    let path = import.strip_prefix(PACKAGE).unwrap_or("");
    path.split_once('@').map_or(path, |(interface, _)| interface)
}

/// An import is a permission: names the first one that nobody may have.
fn check_imports(imports: &[String], kinds: Kinds, wasi_inert: bool) -> Result<(), EngineError> {
    for import in imports {
        let reason = match interface_of(import) {
            "types" | "host" | "statement-text" | "parameters" => continue,
            "egress" if kinds.audit_sink => continue,
            "egress" => "may be imported by audit sinks only",
            _ if inert_wasi::is_wasi(import) && wasi_inert => continue,
            _ if inert_wasi::is_wasi(import) => {
                "is not granted; build for wasm32-unknown-unknown, or write wasi = \"inert\" in the policy file to link an empty WASI"
            }
            _ => "is not something the host offers",
        };
        return Err(EngineError::new(format!("the import {import} {reason}")));
    }
    Ok(())
}

fn nothing_exported(engine: &wasmtime::Engine, component: &Component) -> String {
    let exports: Vec<String> =
        component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect();
    let seen = match exports.is_empty() {
        true => "nothing".to_owned(),
        false => exports.join(", "),
    };
    format!(
        "exports {seen}, but none of {PACKAGE}guardrail, masker, classifier and audit-sink @{VERSION}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(import: &str, audit_sink: bool, wasi_inert: bool, expected: &str) {
        let kinds = Kinds { audit_sink, ..Kinds::default() };
        let answer = match check_imports(&[import.to_owned()], kinds, wasi_inert) {
            Ok(()) => "granted".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(answer.contains(expected), "{answer}");
    }

    #[test]
    fn imports_are_permissions() {
        check("portcullis:policy/host@0.1.0", false, false, "granted");
        check("portcullis:policy/types@0.1.0", false, false, "granted");
        check("portcullis:policy/egress@0.1.0", true, false, "granted");
        check("portcullis:policy/egress@0.1.0", false, false, "audit sinks only");
        check("wasi:cli/exit@0.2.3", false, true, "granted");
        check("wasi:cli/exit@0.2.3", false, false, "wasi:cli/exit@0.2.3 is not granted");
        check("evil:corp/backdoor", true, true, "evil:corp/backdoor is not something");
    }
}
