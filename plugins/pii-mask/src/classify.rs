//! Labels for a column, from its comment, its name and a sample of its values.

use std::borrow::Cow;

use portcullis_plugin_sdk::{Label, Sample};

use crate::detect::Place;
use crate::kind::Kind;
use crate::plan::name_kind;
use crate::scan::scan;
use crate::settings::Settings;

pub(crate) fn classify(column: &Sample, settings: &Settings) -> Vec<Label> {
    let mut labels = commented(column.comment.as_deref().unwrap_or_default());
    let mut add = |kind: Kind, confidence: f32| match labels
        .iter_mut()
        .find(|label| label.name == kind.label())
    {
        Some(label) => label.confidence = label.confidence.max(confidence),
        None => labels.push(Label::new(kind.label(), confidence)),
    };
    if let Some(kind) = name_kind(&column.column, settings)
        && holds_text_or_numbers(&column.type_name)
    {
        add(kind, 0.9);
    }
    for Share { kind, found, whole } in shares(&texts(column)) {
        if let Some(confidence) = confidence(kind, found) {
            // Only what most values are as a whole says what the column is.
            add(if whole > 0.5 { kind } else { Kind::Text }, confidence);
        }
    }
    labels
}

/// Labels that a comment names: "pii.email", "[pii:email]", "[secret]".
fn commented(comment: &str) -> Vec<Label> {
    let separates = |c: char| c.is_whitespace() || ",;()[]".contains(c);
    let mut labels: Vec<Label> = Vec::new();
    for word in comment.split(separates) {
        let word = word.trim_end_matches('.').to_lowercase().replacen("pii:", "pii.", 1);
        let is_bracketed = || comment.to_lowercase().contains("[secret]");
        let is_label = word.strip_prefix("pii.").is_some_and(|kind| !kind.is_empty())
            || (word == "secret" && is_bracketed());
        if is_label && !labels.iter().any(|label| label.name == word) {
            labels.push(Label::new(word, 1.0));
        }
    }
    labels
}

/// Whether a name alone may speak for a column of this type.
fn holds_text_or_numbers(type_name: &str) -> bool {
    let plain = [
        "boolean",
        "smallint",
        "integer",
        "real",
        "double precision",
        "date",
        "timestamp",
        "time",
        "interval",
    ];
    !plain.iter().any(|name| type_name.starts_with(name))
}

/// The values as text. Bytes are looked into where they are text.
fn texts(column: &Sample) -> Vec<Cow<'_, str>> {
    let values = column.values.iter();
    if column.type_name != "bytea" {
        return values.map(|value| Cow::Borrowed(value.as_str())).collect();
    }
    values.filter_map(|value| text_of_bytes(value)).map(Cow::Owned).collect()
}

/// The text behind "\x62696e617279", up to a character that a sample cut in two.
fn text_of_bytes(hexadecimal: &str) -> Option<String> {
    let (pairs, _) = hexadecimal.strip_prefix("\\x")?.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    let whole = match str::from_utf8(&bytes) {
        Ok(text) => text.len(),
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return None,
    };
    String::from_utf8(bytes.get(..whole)?.to_vec()).ok()
}

/// In how many of the values a kind is found, from 0 to 1.
struct Share {
    kind: Kind,
    /// Somewhere in the value.
    found: f32,
    /// As the value itself, but for blanks around it.
    whole: f32,
}

/// The shares of the kinds that are found at all. Every value is looked at once.
fn shares(values: &[Cow<'_, str>]) -> Vec<Share> {
    let mut places: Vec<Place> = Vec::new();
    let mut counts: Vec<(Kind, u32, u32)> = Kind::ALL.iter().map(|kind| (*kind, 0, 0)).collect();
    let mut filled = 0u32;
    for value in values.iter().map(|value| value.trim_ascii()).filter(|value| !value.is_empty()) {
        filled += 1;
        places.clear();
        scan(value.as_bytes(), &mut places);
        let whole = 0..value.len();
        for (kind, found, wholes) in &mut counts {
            let mut own = places.iter().filter(|place| place.kind == *kind).peekable();
            *found += u32::from(own.peek().is_some());
            *wholes += u32::from(own.any(|place| place.bytes == whole));
        }
    }
    let share = |count: u32| count as f32 / filled as f32;
    counts
        .into_iter()
        .filter(|(_, found, _)| *found > 0)
        .map(|(kind, found, whole)| Share { kind, found: share(found), whole: share(whole) })
        .collect()
}

/// How sure a share makes one. An address in a column of notes is an address; a number that
/// could be a card among many that could not is chance.
fn confidence(kind: Kind, share: f32) -> Option<f32> {
    let (is_certain, least) = match kind {
        Kind::Email | Kind::Iban | Kind::Secret => (true, 0.01),
        Kind::Phone | Kind::Card | Kind::NationalId | Kind::Ip => (false, 0.2),
        Kind::Name | Kind::Address | Kind::BirthDate | Kind::Other | Kind::Text => return None,
    };
    let certainty = if is_certain { 0.6 + share * 0.4 } else { share };
    (share >= least).then_some(certainty)
}
