//! What is done to the cells of a column, and how several maskers combine.

use crate::name::PolicyName;

/// What one masker wants done with one column. All counts are in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaskAction {
    Pass,
    Nullify,
    Constant(String),
    Partial(Partial),
    Pseudonym(Pseudonym),
    /// Numbers and dates, down to this step: "10", "1000", "month", "year".
    Generalize(String),
    /// The plugin sees the cells, in batches.
    Call {
        handle: u32,
        /// Further columns of the row whose cells the plugin wants beside this one.
        also: Vec<u32>,
    },
}

/// Keeps the ends of a value and fills between. When what is kept is the whole value, all
/// of it is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    pub keep_first: u32,
    pub keep_last: u32,
    pub fill: String,
    /// Where this first occurs, it and all behind it are kept ("@" keeps a mail domain).
    /// Empty: nowhere.
    pub keep_from: String,
    /// Of a value that is not this nothing is kept.
    pub only: ValueForm,
}

/// What a value is as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueForm {
    #[default]
    Any,
    /// A mail address, perhaps with blanks around it. They are left out of what shows; where the
    /// mailbox is too short to keep a part of, what is kept from a mark on shows all the same.
    Email,
}

/// Keyed, deterministic replacement: equal values stay equal within `domain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pseudonym {
    /// Names an entry of the proxy's `[keys]`; the key never enters the sandbox.
    pub key_name: String,
    pub domain: String,
}

/// One plugin call that a column needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub policy: PolicyName,
    pub handle: u32,
    pub also: Vec<u32>,
}

/// What is done with one column after all maskers were heard.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ColumnAction {
    #[default]
    Pass,
    Nullify,
    Constant(String),
    Partial(Partial),
    Pseudonym(Pseudonym),
    Generalize(String),
    /// One after another, each on what the one before it left.
    Calls(Vec<Call>),
}

impl ColumnAction {
    pub fn as_str(&self) -> &'static str {
        match self {
            ColumnAction::Pass => "pass",
            ColumnAction::Nullify => "nullify",
            ColumnAction::Constant(_) => "constant",
            ColumnAction::Partial(_) => "partial",
            ColumnAction::Pseudonym(_) => "pseudonym",
            ColumnAction::Generalize(_) => "generalize",
            ColumnAction::Calls(_) => "call",
        }
    }

    /// True when the column's values are certainly changed, not only looked at.
    pub fn is_mask(&self) -> bool {
        match self {
            ColumnAction::Pass | ColumnAction::Calls(_) => false,
            ColumnAction::Nullify
            | ColumnAction::Constant(_)
            | ColumnAction::Partial(_)
            | ColumnAction::Pseudonym(_)
            | ColumnAction::Generalize(_) => true,
        }
    }

    /// The stricter of what stands and what one more masker wants: NULL over constant over
    /// generalise, partial and pseudonym over calls over pass. Calls add up. Two different
    /// transforms of one rank have no stricter one, so they become a constant; so does a partial
    /// that keeps all from a mark on beside a call, which might have hidden some of that.
    #[must_use]
    pub fn and(self, policy: &PolicyName, action: MaskAction) -> ColumnAction {
        let other = match action {
            MaskAction::Pass => ColumnAction::Pass,
            MaskAction::Nullify => ColumnAction::Nullify,
            MaskAction::Constant(text) => ColumnAction::Constant(text),
            MaskAction::Partial(partial) => ColumnAction::Partial(partial),
            MaskAction::Pseudonym(pseudonym) => ColumnAction::Pseudonym(pseudonym),
            MaskAction::Generalize(step) => ColumnAction::Generalize(step),
            MaskAction::Call { handle, also } => {
                ColumnAction::Calls(vec![Call { policy: policy.clone(), handle, also }])
            }
        };
        match (self, other) {
            (ColumnAction::Calls(mut first), ColumnAction::Calls(second)) => {
                first.extend(second);
                ColumnAction::Calls(first)
            }
            (first, second) if first == second => first,
            (ColumnAction::Partial(partial), ColumnAction::Calls(_))
            | (ColumnAction::Calls(_), ColumnAction::Partial(partial))
                if !partial.keep_from.is_empty() =>
            {
                ColumnAction::Constant(FILL.to_owned())
            }
            (first, second) if first.rank() > second.rank() => first,
            (first, second) if first.rank() < second.rank() => second,
            (ColumnAction::Constant(text), _) => ColumnAction::Constant(text),
            _ => ColumnAction::Constant(FILL.to_owned()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            ColumnAction::Pass => 0,
            ColumnAction::Calls(_) => 1,
            ColumnAction::Generalize(_) | ColumnAction::Partial(_) | ColumnAction::Pseudonym(_) => {
                2
            }
            ColumnAction::Constant(_) => 3,
            ColumnAction::Nullify => 4,
        }
    }
}

/// What stands where a value was, when nobody said otherwise.
pub const FILL: &str = "***";

/// One column over a batch of rows, flat: value i is `data[ends[i-1]..ends[i]]`, with
/// `ends[-1] = 0`. Text form of the type, UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cells {
    pub data: Vec<u8>,
    pub ends: Vec<u32>,
    /// Bit i (least significant first) set: SQL NULL. Empty: no NULL among them.
    pub nulls: Vec<u8>,
}

impl Cells {
    /// The number of cells.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
        self.nulls.clear();
    }

    /// Adds one cell. The caller keeps `data` below 4 GiB by flushing batches.
    pub fn push(&mut self, value: Option<&[u8]>) {
        let index = self.ends.len();
        match value {
            Some(value) => self.data.extend_from_slice(value),
            None => {
                if self.nulls.len() <= index / 8 {
                    self.nulls.resize(index / 8 + 1, 0);
                }
                if let Some(byte) = self.nulls.get_mut(index / 8) {
                    *byte |= 1 << (index % 8);
                }
            }
        }
        self.ends.push(u32::try_from(self.data.len()).unwrap_or(u32::MAX));
    }

    /// Forgets the cells from this one on.
    pub fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.data.truncate(self.ends.last().map_or(0, |end| *end as usize));
        self.nulls.truncate(count.div_ceil(8));
        if let Some(byte) = self.nulls.get_mut(count / 8) {
            *byte &= (1 << (count % 8)) - 1;
        }
    }

    /// The cell at `index`: `None` where out of range or malformed, `Some(None)` for NULL.
    pub fn cell(&self, index: usize) -> Option<Option<&[u8]>> {
        let end = *self.ends.get(index)? as usize;
        if self.is_null(index) {
            return Some(None);
        }
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.data.get(start..end).map(Some)
    }

    pub fn is_null(&self, index: usize) -> bool {
        self.nulls.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }
}

/// Three words per edit: row, start byte, end byte; ascending and disjoint.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Edits {
    pub spans: Vec<u32>,
    pub fill: Vec<u8>,
}

/// What a plugin answers about a batch. Nothing in it has been checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Masked {
    Unchanged,
    Edits(Edits),
    Replaced(Cells),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(actions: &[MaskAction]) -> ColumnAction {
        let policy = PolicyName::from("50-test");
        actions
            .iter()
            .fold(ColumnAction::Pass, |standing, action| standing.and(&policy, action.clone()))
    }

    fn call(handle: u32) -> MaskAction {
        MaskAction::Call { handle, also: Vec::new() }
    }

    #[test]
    fn the_strictest_action_wins_in_either_order() {
        let order = [
            MaskAction::Pass,
            call(1),
            MaskAction::Generalize("10".into()),
            MaskAction::Constant("x".into()),
            MaskAction::Nullify,
        ];
        for (rank, weak) in order.iter().enumerate() {
            for strong in &order[rank..] {
                let expected = combined(std::slice::from_ref(strong)).as_str();
                if weak != strong {
                    assert_eq!(combined(&[weak.clone(), strong.clone()]).as_str(), expected);
                    assert_eq!(combined(&[strong.clone(), weak.clone()]).as_str(), expected);
                }
            }
        }
    }

    #[test]
    fn calls_add_up_and_a_pass_shields_nothing() {
        let ColumnAction::Calls(calls) = combined(&[call(1), MaskAction::Pass, call(2)]) else {
            panic!("two calls combine to calls");
        };
        assert_eq!(calls.iter().map(|call| call.handle).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn different_transforms_of_one_rank_become_a_constant() {
        let month = MaskAction::Generalize("month".into());
        let year = MaskAction::Generalize("year".into());
        assert_eq!(combined(&[month.clone(), month.clone()]).as_str(), "generalize");
        assert_eq!(combined(&[month, year]), ColumnAction::Constant(FILL.into()));
    }

    #[test]
    fn what_a_call_might_hide_is_not_kept_by_a_partial() {
        let partial = |keep_from: &str| {
            MaskAction::Partial(Partial {
                keep_first: 1,
                keep_last: 0,
                fill: "*".into(),
                keep_from: keep_from.into(),
                only: ValueForm::Email,
            })
        };
        for (keep_from, expected) in [("", "partial"), ("@", "constant")] {
            let partial = partial(keep_from);
            assert_eq!(combined(&[partial.clone(), call(1)]).as_str(), expected);
            assert_eq!(combined(&[call(1), MaskAction::Pass, partial.clone()]).as_str(), expected);
            assert_eq!(combined(&[partial.clone(), partial, call(1)]).as_str(), expected);
        }
    }

    #[test]
    fn cells_keep_values_and_nulls() {
        let mut cells = Cells::default();
        for value in [Some(&b"ab"[..]), None, Some(b""), Some(b"c")] {
            cells.push(value);
        }
        assert_eq!(cells.cell(0), Some(Some(&b"ab"[..])));
        assert_eq!(cells.cell(1), Some(None));
        assert_eq!(cells.cell(2), Some(Some(&b""[..])));
        assert_eq!(cells.cell(3), Some(Some(&b"c"[..])));
        assert_eq!(cells.cell(4), None);
        cells.truncate(2);
        cells.push(Some(b"d"));
        assert_eq!((cells.cell(1), cells.cell(2)), (Some(None), Some(Some(&b"d"[..]))));
        cells.truncate(1);
        cells.push(Some(b"e"));
        assert_eq!((cells.len(), cells.cell(1)), (2, Some(Some(&b"e"[..]))));
    }
}
