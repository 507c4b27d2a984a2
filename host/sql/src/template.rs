//! Texts that differ from an earlier one in nothing but literals that no fact depends on.
//!
//! An application sends the same few texts with other values. To see that by comparing bytes
//! costs a tenth of what cutting the text into tokens does.

use crate::lexer::{Kind, Token};

/// Further gaps count as what is written there, so that a template is little more than its text.
const GAPS_MAX: usize = 16;

/// A text, and where in it such literals stand.
pub struct Template {
    text: Box<str>,
    gaps: Box<[Gap]>,
}

/// A literal that is left out of the key, and that can be told by its bytes alone.
#[derive(Clone, Copy)]
pub(crate) struct Gap {
    start: usize,
    end: usize,
    kind: GapKind,
}

#[derive(Clone, Copy)]
enum GapKind {
    /// Nothing but digits.
    Digits,
    /// `'…'`, with no quote and no backslash within.
    Quoted,
}

impl Gap {
    /// The gap that a literal left out leaves; none for one that has more to it, which then
    /// counts as it is written.
    pub(crate) fn of(token: Token, written: &[u8]) -> Option<Gap> {
        let kind = match token.kind {
            Kind::Number => GapKind::Digits,
            Kind::Text => GapKind::Quoted,
            Kind::Word
            | Kind::QuotedName
            | Kind::SpecialText
            | Kind::SpecialNumber
            | Kind::Parameter
            | Kind::Operator
            | Kind::Symbol => return None,
        };
        let is_plain = kind.length(written) == Some(written.len());
        is_plain.then_some(Gap { start: token.start, end: token.end, kind })
    }
}

impl GapKind {
    /// How many bytes of such a literal `bytes` begins with.
    fn length(self, bytes: &[u8]) -> Option<usize> {
        match self {
            GapKind::Digits => {
                let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
                (digits > 0).then_some(digits)
            }
            GapKind::Quoted => {
                let content = bytes.strip_prefix(b"'")?;
                let end = content.iter().position(|byte| matches!(byte, b'\'' | b'\\'))?;
                (content.get(end) == Some(&b'\'')).then_some(end + 2)
            }
        }
    }
}

impl Template {
    /// `gaps` in the order of the text.
    pub(crate) fn new(text: &str, gaps: &[Gap]) -> Template {
        Template { text: text.into(), gaps: gaps.iter().take(GAPS_MAX).copied().collect() }
    }

    /// True when `text` is this one but for the values of such literals: then it has the same
    /// key. What stands around them is equal byte for byte, so it is cut into the same tokens:
    /// where a literal ends depends on itself and on the byte behind it.
    pub fn fits(&self, text: &str) -> bool {
        let own = self.text.as_bytes();
        let mut rest = text.as_bytes();
        let mut from = 0;
        for gap in &self.gaps {
            let before = own.get(from..gap.start).unwrap_or_default();
            let Some(behind) = rest.strip_prefix(before) else { return false };
            let Some(length) = gap.kind.length(behind) else { return false };
            rest = behind.get(length..).unwrap_or_default();
            from = gap.end;
        }
        own.get(from..) == Some(rest)
    }
}
