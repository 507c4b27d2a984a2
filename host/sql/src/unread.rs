//! Texts that nobody can read: the little that can be said of them.

use pg_query::ParserOptions;
use portcullis_policy::lineage::Outputs;
use portcullis_policy::statement::{Action, Opaque, SessionEffect, Statement};

use crate::command::defines;
use crate::shape::{fingerprint, front};

pub(crate) fn options(standard_conforming_strings: bool) -> ParserOptions {
    if standard_conforming_strings {
        ParserOptions::DEFAULT
    } else {
        ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS
    }
}

/// Of a text that is not read no more than this is shown.
const SHAPE_TOKENS_MAX: usize = 1_000;

/// What a text is when nobody can read it. `strings`: by which setting it can at least be cut.
pub(crate) fn unread(text: &str, strings: Option<bool>, reason: Opaque) -> Statement {
    let cut = strings.and_then(|strings| front(text, strings, SHAPE_TOKENS_MAX).ok());
    let shape = cut.unwrap_or_else(|| "<unparsed>".to_owned());
    let actions = guess(&shape);
    Statement {
        text: text.trim().to_owned(),
        redefined: if defines(&actions) { vec![None] } else { Vec::new() },
        actions,
        fingerprint: fingerprint(&shape),
        shape,
        command: String::new(),
        relations: Vec::new(),
        functions: Vec::new(),
        parameters_set: vec!["?".to_owned()],
        unbounded_write: true,
        unbounded_read: true,
        opaque: vec![reason],
        outputs: Outputs::Anything,
        written: Vec::new(),
        columns: Vec::new(),
        carriers: Vec::new(),
        effect: SessionEffect::None,
        copy: None,
    }
}

/// The actions that first words promise, and `Other` for what cannot be seen. A semicolon in
/// a quoted name makes one too many.
fn guess(shape: &str) -> Vec<Action> {
    let mut actions = Vec::new();
    for part in shape.split(';') {
        actions.extend(first_word_action(part).filter(|action| !actions.contains(action)));
    }
    actions.push(Action::Other);
    actions
}

fn first_word_action(shape: &str) -> Option<Action> {
    let word = shape.trim_start_matches(|letter: char| !letter.is_ascii_alphabetic());
    let word = word.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    let action = match word.to_ascii_lowercase().as_str() {
        "select" | "table" | "values" => Action::Select,
        "insert" => Action::Insert,
        "update" => Action::Update,
        "delete" => Action::Delete,
        "merge" => Action::Merge,
        "truncate" => Action::Truncate,
        "create" => Action::Create,
        "alter" | "comment" | "security" | "refresh" | "reassign" => Action::Alter,
        "drop" => Action::Drop,
        "grant" | "revoke" => Action::Grant,
        "call" => Action::Call,
        "do" => Action::DoBlock,
        "execute" | "fetch" | "move" => Action::ExecuteDynamic,
        "set" | "reset" => Action::Set,
        "show" => Action::Show,
        "lock" => Action::Lock,
        "vacuum" | "analyze" | "cluster" | "reindex" => Action::Vacuum,
        "load" => Action::Load,
        // COPY, EXPLAIN, WITH, PREPARE: what they do is further inside.
        _ => return None,
    };
    Some(action)
}
