//! Places within a value, and what may stand around them.

use std::ops::Range;

use crate::kind::Kind;

/// A part of a value, in bytes, that is of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) bytes: Range<usize>,
}

/// Adds a place unless something was found there before.
pub(crate) fn add(places: &mut Vec<Place>, kind: Kind, bytes: Range<usize>) {
    let overlaps = |place: &Place| place.bytes.start < bytes.end && bytes.start < place.bytes.end;
    if !places.iter().any(overlaps) {
        places.push(Place { kind, bytes });
    }
}

/// The byte at `index`, or 0, which no text holds.
pub(crate) fn at(text: &[u8], index: usize) -> u8 {
    text.get(index).copied().unwrap_or(0)
}

/// The byte before `index`, or 0.
pub(crate) fn before(text: &[u8], index: usize) -> u8 {
    index.checked_sub(1).map_or(0, |index| at(text, index))
}

/// Whether the byte belongs to a word. Bytes beyond ASCII are letters of some script.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Whether an identifier can begin at `index`: not in the middle of a word, a number, an
/// order number ("ORD-1234"), a path or a decimal.
pub(crate) fn starts_clean(text: &[u8], index: usize) -> bool {
    let last = before(text, index);
    let last_but_one = before(text, index.saturating_sub(1));
    match last {
        b'#' | b'%' | b'$' | b'+' => false,
        // JSON and arrays write `\n` before what stands on a new line.
        b'n' | b't' | b'r' if last_but_one == b'\\' => true,
        b':' | b'=' => !last_but_one.is_ascii_digit(),
        b'-' | b'.' | b'/' | b'@' => !is_word(last_but_one) && last_but_one != last,
        last => !is_word(last),
    }
}

/// Whether an identifier can end before `index`.
pub(crate) fn ends_clean(text: &[u8], index: usize) -> bool {
    let next = at(text, index);
    match next {
        b'%' | b'$' | b'@' => false,
        b'-' | b'.' | b'/' | b':' | b'+' => !is_word(at(text, index.saturating_add(1))),
        next => !is_word(next),
    }
}

/// Whether one of `words` (in lower case) stands shortly before `index`.
pub(crate) fn follows_word(text: &[u8], index: usize, words: &[&str]) -> bool {
    let start = index.saturating_sub(24);
    let lead = text.get(start..index).unwrap_or_default();
    lead.split(|byte| !byte.is_ascii_alphabetic())
        .any(|lead_word| words.iter().any(|word| lead_word.eq_ignore_ascii_case(word.as_bytes())))
}
