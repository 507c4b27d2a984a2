//! Digits in groups, as people write telephone and card numbers.

use std::ops::Range;

use smallvec::SmallVec;

use super::place::{at, before, ends_clean, starts_clean};

/// No finder takes fewer digits for anything.
pub(crate) const DIGITS_MIN: u32 = 7;

/// Nor a shorter run.
pub(crate) const RUN_BYTES_MIN: usize = DIGITS_MIN as usize;

/// No longer separator stands between two groups of digits.
pub(crate) const GAP_BYTES_MAX: usize = 2;

/// How many digits each group has.
pub(crate) type Lengths = SmallVec<[usize; 8]>;

/// Groups of digits with separators between them, standing alone.
#[derive(Debug)]
pub(crate) struct NumberRun<'a> {
    text: &'a [u8],
    /// From the plus or parenthesis before the first digit to behind the last one.
    pub(crate) bytes: Range<usize>,
    pub(crate) has_plus: bool,
    /// Where digits stand.
    pub(crate) groups: SmallVec<[Range<usize>; 8]>,
}

impl<'a> NumberRun<'a> {
    /// The next run at or behind `from`, and where to look further.
    pub(crate) fn next(text: &'a [u8], from: usize) -> Option<(Option<NumberRun<'a>>, usize)> {
        let first = text.get(from..)?.iter().position(u8::is_ascii_digit)?.checked_add(from)?;
        let (start, has_plus) = lead(text, first.max(from));
        let mut index = first;
        if !starts_clean(text, start) {
            // What is part of a word or number is passed over as a whole, without a list of
            // groups: most digits in ordinary values are.
            while at(text, index).is_ascii_digit() {
                index += 1;
            }
            return Some((None, index));
        }
        let mut groups = SmallVec::<[Range<usize>; 8]>::new();
        while at(text, index).is_ascii_digit() {
            let group = index;
            while at(text, index).is_ascii_digit() {
                index += 1;
            }
            groups.push(group..index);
            index += separator(text, index);
        }
        let end = groups.last().map_or(first, |group| group.end);
        let alone = ends_clean(text, end);
        let run = NumberRun { text, bytes: start..end, has_plus, groups };
        Some((alone.then_some(run), end))
    }

    /// The run that begins with the digit at `first`, if a finder could take it for anything.
    pub(crate) fn at(text: &'a [u8], first: usize) -> Option<NumberRun<'a>> {
        let (start, _) = lead(text, first);
        let (mut index, mut end) = (first, first);
        while at(text, index).is_ascii_digit() {
            index += 1;
            if !at(text, index).is_ascii_digit() {
                end = index;
                index += separator(text, index);
            }
        }
        // Most are too short, and need no list of groups.
        if end - start < RUN_BYTES_MIN {
            return None;
        }
        NumberRun::next(text, first)?.0
    }

    /// The digits of these groups.
    pub(crate) fn digits(&self, groups: &[Range<usize>]) -> SmallVec<[u8; 24]> {
        groups
            .iter()
            .flat_map(|group| self.text.get(group.clone()).unwrap_or_default())
            .copied()
            .collect()
    }

    pub(crate) fn lengths(&self) -> Lengths {
        self.groups.iter().map(|group| group.end - group.start).collect()
    }

    /// What stands between group `index` and the next one.
    pub(crate) fn separator(&self, index: usize) -> &'a [u8] {
        match (self.groups.get(index), self.groups.get(index + 1)) {
            (Some(one), Some(other)) => self.text.get(one.end..other.start).unwrap_or_default(),
            (_, _) => &[],
        }
    }

    /// Whether the first group stands in parentheses.
    pub(crate) fn has_parenthesis(&self) -> bool {
        at(self.text, self.bytes.start) == b'(' && self.separator(0).first() == Some(&b')')
    }
}

/// Where the run of the first digit begins, with the plus and parenthesis before it.
fn lead(text: &[u8], first: usize) -> (usize, bool) {
    let mut start = first;
    if before(text, start) == b'(' {
        start -= 1;
    }
    let has_plus = before(text, start) == b'+';
    (if has_plus { start - 1 } else { start }, has_plus)
}

/// The length of a separator with a digit behind it: " ", "-", ".", "/", " (", ") ", ")", "-(".
fn separator(text: &[u8], index: usize) -> usize {
    let is_single = |byte: u8| matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')');
    let (one, two) = (at(text, index), at(text, index + 1));
    if is_single(one) && one != b'(' && two.is_ascii_digit() {
        return 1;
    }
    let is_pair = matches!((one, two), (b' ', b'(') | (b')', b' ' | b'-' | b'/'));
    let is_pair = is_pair && at(text, index + GAP_BYTES_MAX).is_ascii_digit();
    if is_pair { GAP_BYTES_MAX } else { 0 }
}
