//! What a column's action comes to for its type: decided once per result.

use std::sync::Arc;

use portcullis_policy::mask::{Call, Partial};
use portcullis_policy::{ColumnAction, PolicyName, WireFormat};

use crate::array::Array;
use crate::codec::decode;
use crate::column::MaskColumn;
use crate::generalize::Grain;
use crate::keys::Keys;
use crate::kind::Kind;
use crate::partial::write_partial;
use crate::pseudonym::Pseudonyms;
use crate::value::{constant, neutral, write_value};

/// A fill or constant longer than this becomes NULL: it stands in every row.
const FILL_BYTES_MAX: usize = 64 * 1024;

/// One column whose cells are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Which column of the row.
    pub(crate) column: usize,
    pub(crate) kind: Kind,
    pub(crate) format: WireFormat,
    /// The cell that stands where the value is lost; `None` is NULL.
    pub(crate) lost: Option<Vec<u8>>,
    pub(crate) step: Step,
    pub(crate) labels: Vec<Arc<str>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Only shown to a plugin beside another column.
    Watch,
    /// The same cell for every value.
    Same(Option<Vec<u8>>),
    Transform(Transform),
    Calls(Vec<PlannedCall>),
}

#[derive(Clone, Debug)]
pub(crate) struct PlannedCall {
    pub(crate) policy: PolicyName,
    pub(crate) handle: u32,
    /// Positions in the list of plans; `None` when the plugin named a column that is not.
    pub(crate) also: Option<Vec<usize>>,
}

/// A transform done here, cell by cell.
#[derive(Clone, Debug)]
pub(crate) enum Transform {
    /// For arrays of text, element by element.
    Constant(String),
    Partial(Partial),
    Pseudonym(Pseudonyms),
    Generalize(Grain),
}

/// The plans of all columns that a masker acts on or wants to see.
pub(crate) fn plan(columns: Vec<MaskColumn>, keys: &Keys) -> Vec<Plan> {
    let count = columns.len();
    let mut touched: Vec<usize> = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        if column.action != ColumnAction::Pass {
            touched.push(index);
            touched.extend(also_of(&column.action).filter(|also| *also < count));
        }
    }
    touched.sort_unstable();
    touched.dedup();
    let mut plans = Vec::with_capacity(touched.len());
    for (index, column) in columns.into_iter().enumerate() {
        if touched.binary_search(&index).is_ok() {
            plans.push(Plan::new(index, column, keys, &touched));
        }
    }
    plans
}

fn also_of(action: &ColumnAction) -> impl Iterator<Item = usize> {
    let calls: &[Call] = match action {
        ColumnAction::Calls(calls) => calls,
        ColumnAction::Pass
        | ColumnAction::Nullify
        | ColumnAction::Constant(_)
        | ColumnAction::Partial(_)
        | ColumnAction::Pseudonym(_)
        | ColumnAction::Generalize(_) => &[],
    };
    calls.iter().flat_map(|call| &call.also).map(|also| *also as usize)
}

impl Plan {
    fn new(index: usize, column: MaskColumn, keys: &Keys, touched: &[usize]) -> Plan {
        let MaskColumn { type_oid, format, not_null, action, labels } = column;
        let kind = Kind::of(type_oid);
        let lost = if not_null { neutral(kind, format) } else { None };
        // Whatever cannot be done to this type is done by losing the value.
        let step = match action {
            ColumnAction::Pass => Step::Watch,
            ColumnAction::Calls(calls) => {
                Step::Calls(calls.into_iter().map(|call| planned(call, touched)).collect())
            }
            ColumnAction::Constant(text) if !kind.is_textual_array() => {
                let short = text.len() <= FILL_BYTES_MAX;
                let cell = short.then(|| constant(kind, format, &text)).flatten();
                Step::Same(cell.or_else(|| lost.clone()))
            }
            other @ (ColumnAction::Nullify
            | ColumnAction::Constant(_)
            | ColumnAction::Partial(_)
            | ColumnAction::Pseudonym(_)
            | ColumnAction::Generalize(_)) => match Transform::new(kind, other, keys) {
                Some(transform) => Step::Transform(transform),
                None => Step::Same(lost.clone()),
            },
        };
        Plan { column: index, kind, format, lost, step, labels }
    }

    /// Appends the transformed form of a cell; `None` when the value is lost.
    pub(crate) fn transform(
        &self,
        transform: &Transform,
        cell: &[u8],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let kind = self.kind;
        if kind.is_textual() {
            return transform.write_textual(kind, cell, out);
        }
        if let Kind::Array(element) = kind
            && kind.is_textual_array()
        {
            return self.transform_array(transform, element, cell, out);
        }
        scratch.after.clear();
        let text = match self.format {
            WireFormat::Text => std::str::from_utf8(cell).ok()?,
            WireFormat::Binary => {
                scratch.before.clear();
                decode(kind, cell, &mut scratch.before)?;
                &scratch.before
            }
        };
        transform.write_typed(kind, text, &mut scratch.after)?;
        write_value(kind, self.format, &scratch.after, out)
    }

    fn transform_array(
        &self,
        transform: &Transform,
        element: u32,
        cell: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let array = match self.format {
            WireFormat::Text => Array::from_text(std::str::from_utf8(cell).ok()?)?,
            WireFormat::Binary => Array::from_binary(element, cell)?,
        };
        let masked =
            array.map(|bytes, out| transform.write_textual(Kind::of(element), bytes, out))?;
        match self.format {
            WireFormat::Text => masked.write_text(out),
            WireFormat::Binary => masked.write_binary(element, out)?,
        }
        Some(())
    }
}

fn planned(call: Call, touched: &[usize]) -> PlannedCall {
    let position = |also: &u32| touched.binary_search(&(*also as usize)).ok();
    let also = call.also.iter().map(position).collect();
    PlannedCall { policy: call.policy, handle: call.handle, also }
}

/// Short enough to stand in every row, and without the byte that no text in PostgreSQL has.
fn is_fill(text: &str) -> bool {
    text.len() <= FILL_BYTES_MAX && !text.contains('\0')
}

/// Texts of one cell before and after, kept to be used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    before: String,
    after: String,
}

impl Transform {
    /// `None` when the action cannot be done to the type, or does not say anything.
    fn new(kind: Kind, action: ColumnAction, keys: &Keys) -> Option<Transform> {
        let text_like = kind.is_textual() || kind.is_textual_array();
        match action {
            ColumnAction::Constant(text) => {
                (text_like && is_fill(&text)).then_some(Transform::Constant(text))
            }
            ColumnAction::Partial(partial) => {
                (text_like && is_fill(&partial.fill)).then_some(Transform::Partial(partial))
            }
            ColumnAction::Pseudonym(pseudonym) => {
                Pseudonyms::new(&pseudonym, keys).map(Transform::Pseudonym)
            }
            ColumnAction::Generalize(step) => Grain::parse(&step).map(Transform::Generalize),
            ColumnAction::Pass | ColumnAction::Nullify | ColumnAction::Calls(_) => None,
        }
    }

    fn write_textual(&self, kind: Kind, cell: &[u8], out: &mut Vec<u8>) -> Option<()> {
        // Padding is no part of the value, and says how long the column is.
        let padding = cell.iter().rev().take_while(|byte| kind == Kind::Bpchar && **byte == b' ');
        let (value, padding) = cell.split_at_checked(cell.len() - padding.count())?;
        match self {
            Transform::Constant(constant) => {
                std::str::from_utf8(value).ok()?;
                out.extend_from_slice(constant.as_bytes());
            }
            Transform::Partial(partial) => write_partial(partial, value, out)?,
            Transform::Pseudonym(pseudonyms) => {
                pseudonyms.write_text(std::str::from_utf8(value).ok()?, out);
                out.extend_from_slice(padding);
            }
            Transform::Generalize(_) => return None,
        }
        Some(())
    }

    fn write_typed(&self, kind: Kind, text: &str, out: &mut String) -> Option<()> {
        match self {
            Transform::Constant(_) | Transform::Partial(_) => None,
            Transform::Pseudonym(pseudonyms) => pseudonyms.write_typed(kind, text, out),
            Transform::Generalize(grain) => grain.write(kind, text, out),
        }
    }
}
