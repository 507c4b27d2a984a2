//! The contract as Rust, generated from `wit/`: the only place that knows the generated names.
//!
//! A component may export any subset of the kinds, so the world below names all of them and
//! each exported interface is looked up by itself.

#![allow(unreachable_pub)]

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package portcullis:engine;

        world every-kind {
            import portcullis:policy/host@0.1.0;
            import portcullis:policy/statement-text@0.1.0;
            import portcullis:policy/parameters@0.1.0;
            import portcullis:policy/egress@0.1.0;
            export portcullis:policy/plugin@0.1.0;
            export portcullis:policy/guardrail@0.1.0;
            export portcullis:policy/masker@0.1.0;
            export portcullis:policy/classifier@0.1.0;
            export portcullis:policy/audit-sink@0.1.0;
        }
    ",
    world: "portcullis:engine/every-kind",
    ownership: Borrowing { duplicate_if_necessary: true },
});

/// What plugins import.
pub(crate) mod imports {
    pub(crate) use super::portcullis::policy::{egress, host, parameters, statement_text};
}

/// What plugins export.
pub(crate) mod kinds {
    pub(crate) use super::exports::portcullis::policy::{
        audit_sink, classifier, guardrail, masker, plugin,
    };
}

/// Records that several interfaces share.
pub(crate) use portcullis::policy::types;
