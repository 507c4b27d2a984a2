//! Text to statements.

use portcullis_policy::statement::{Action, Opaque, SessionEffect, Statement};
use portcullis_policy::Outputs;

use crate::catalog::Scope;
use crate::limits::Limits;
use crate::shape::shape;

/// One entry per statement of the text, in order; empty for an empty text.
pub fn analyze(text: &str, scope: &Scope<'_>, limits: &Limits) -> Vec<Statement> {
    let _ = (scope, limits);
    let Ok(cut) = shape(text, true) else { return Vec::new() };
    vec![Statement {
        text: text.to_owned(),
        fingerprint: cut.fingerprint(),
        shape: cut.text,
        actions: vec![Action::Other],
        command: String::new(),
        relations: Vec::new(),
        functions: Vec::new(),
        parameters_set: Vec::new(),
        unbounded_write: false,
        unbounded_read: false,
        opaque: vec![Opaque::Unparsed("not read".to_owned())],
        outputs: Outputs::Anything,
        written: Vec::new(),
        effect: SessionEffect::None,
    }]
}
