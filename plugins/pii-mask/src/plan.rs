//! What is done with a column, by where its values come from.

use portcullis_plugin_sdk::{Derivation, MaskAction, OutputColumn, SourceColumn};

use crate::column_names::kind_of_name;
use crate::column_types::Shape;
use crate::handle::Handle;
use crate::kind::Kind;
use crate::settings::{Settings, Word};
use crate::system_columns::{is_sensitive, is_system};

pub(crate) fn plan(column: &OutputColumn, settings: &Settings) -> MaskAction {
    let shape = Shape::of(column);
    let inspected = || {
        let looked_at = if settings.inspect { inspection(shape) } else { None };
        looked_at.unwrap_or(MaskAction::Pass)
    };
    let sources = &column.sources;
    let sensitive = sources.iter().any(|source| is_guarded(source, settings));
    let only_system = !sources.is_empty() && sources.iter().all(is_system);
    match column.derivation {
        Derivation::Count => MaskAction::Pass,
        // A setting or a comment can hold what somebody put there, so text is looked at.
        Derivation::None => inspected(),
        Derivation::Direct => match direct_kind(sources, shape, settings) {
            Some(kind) if shows_other(kind, sources, shape, settings) => erased(shape, settings),
            Some(kind) => direct(kind, shape, settings),
            None if only_system => MaskAction::Pass,
            None => inspected(),
        },
        Derivation::Derived | Derivation::Unknown if !sensitive => {
            if only_system {
                MaskAction::Pass
            } else {
                inspected()
            }
        }
        Derivation::Derived => erased(shape, settings),
        Derivation::Unknown => MaskAction::Nullify,
    }
}

/// Has `mask` look for what is in the values, where they are text of some sort.
fn inspection(shape: Shape) -> Option<MaskAction> {
    let handle = match shape {
        Shape::Text | Shape::OtherText | Shape::TextArray => Handle::Text,
        Shape::Json | Shape::JsonArray => Handle::Json,
        Shape::Integer | Shape::Plain | Shape::Date | Shape::Other => return None,
    };
    Some(MaskAction::call(handle.number()))
}

/// Whether a source holds something that what is computed from it must not show.
fn is_guarded(source: &SourceColumn, settings: &Settings) -> bool {
    is_sensitive(source) || kinds(source, settings).any(|kind| settings.word(kind) != Word::Pass)
}

/// What a source holds, by its labels and its name. Names of the catalogs' columns say nothing.
fn kinds<'a>(source: &'a SourceColumn, settings: &'a Settings) -> impl Iterator<Item = Kind> + 'a {
    let labelled = source.labels.iter().map(|label| settings.kind_of_label(label));
    let named = if is_system(source) { None } else { named_kind(source, settings) };
    labelled.chain(named)
}

pub(crate) fn name_kind(column: &str, settings: &Settings) -> Option<Kind> {
    settings.names.get(&column.to_lowercase()).copied().or_else(|| kind_of_name(column))
}

fn named_kind(source: &SourceColumn, settings: &Settings) -> Option<Kind> {
    // A label is the better word: a name counts only where nobody said more.
    if source.labels.is_empty() { name_kind(&source.column, settings) } else { None }
}

/// The kind of a direct column: of several, the one treated most strictly.
fn direct_kind(sources: &[SourceColumn], shape: Shape, settings: &Settings) -> Option<Kind> {
    if sources.iter().any(is_sensitive) {
        return Some(Kind::Secret);
    }
    let kinds = sources.iter().filter_map(|source| source_kind(source, shape, settings));
    kinds.max_by_key(|kind| strictness(*kind, settings))
}

fn source_kind(source: &SourceColumn, shape: Shape, settings: &Settings) -> Option<Kind> {
    if source.labels.is_empty() && !name_fits(shape) {
        return None;
    }
    kinds(source, settings).max_by_key(|kind| strictness(*kind, settings))
}

/// Of a text only parts are hidden, so any other kind is the stricter word.
fn strictness(kind: Kind, settings: &Settings) -> (Word, bool) {
    (settings.word(kind), kind != Kind::Text)
}

/// Whether what shows parts of one kind would be applied to another, as where a set operation
/// brings columns together: it shows other parts of those than they are to show.
fn shows_other(kind: Kind, sources: &[SourceColumn], shape: Shape, settings: &Settings) -> bool {
    let mut kinds = sources.iter().filter_map(|source| source_kind(source, shape, settings));
    matches!(settings.word(kind), Word::Partial | Word::Generalize)
        && kinds.any(|other| other != kind && settings.word(other) != Word::Pass)
}

/// Whether a name alone may speak for a column of this type: a truth value called `mobile`,
/// a date called `token` or a count called `mail` holds what its type says.
fn name_fits(shape: Shape) -> bool {
    match shape {
        Shape::Plain | Shape::Date => false,
        Shape::Text
        | Shape::OtherText
        | Shape::Json
        | Shape::TextArray
        | Shape::JsonArray
        | Shape::Integer
        | Shape::Other => true,
    }
}

fn direct(kind: Kind, shape: Shape, settings: &Settings) -> MaskAction {
    let word = settings.word(kind);
    match (shape, word) {
        (_, Word::Pass) => MaskAction::Pass,
        // What holds something and cannot be looked into is not shown.
        _ if kind == Kind::Text => inspection(shape).unwrap_or(MaskAction::Nullify),
        (Shape::Text | Shape::OtherText, _) => settings.text_action(kind, shape),
        (Shape::Date, Word::Generalize) => MaskAction::generalize("year"),
        (Shape::Integer, Word::Generalize) => MaskAction::generalize("1000"),
        (Shape::Integer, Word::Pseudonym) => settings.pseudonym(kind),
        (
            Shape::Json
            | Shape::TextArray
            | Shape::JsonArray
            | Shape::Integer
            | Shape::Plain
            | Shape::Date
            | Shape::Other,
            Word::Partial | Word::Pseudonym | Word::Generalize | Word::Constant | Word::Null,
        ) => MaskAction::Nullify,
    }
}

/// What stands for a value computed from something sensitive.
fn erased(shape: Shape, settings: &Settings) -> MaskAction {
    match shape {
        Shape::Text | Shape::OtherText => MaskAction::constant(settings.fill.clone()),
        // No text stands for a structure without breaking it.
        Shape::Json
        | Shape::TextArray
        | Shape::JsonArray
        | Shape::Integer
        | Shape::Plain
        | Shape::Date
        | Shape::Other => MaskAction::Nullify,
    }
}
