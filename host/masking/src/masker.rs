//! A batch of COPY data, masked and written.

use std::ops::Range;

use portcullis_policy::PolicySet;

use crate::batch::{Batch, HEADER_BYTES, close_frame, open_frame};
use crate::cell::CellForm;
use crate::column::MaskColumn;
use crate::keys::Keys;
use crate::masks::{Masks, Put};
use crate::outcome::Flushed;
use crate::plan::plan;

#[derive(Debug)]
pub(crate) struct Masker {
    tag: u8,
    form: CellForm,
    pub(crate) batch: Batch,
    masks: Masks,
    /// Positions of the columns that plugins see.
    shown: Vec<usize>,
    /// The new value of a cell, before it is quoted or escaped.
    value: Vec<u8>,
}

impl Masker {
    pub(crate) fn new(tag: u8, form: CellForm, columns: Vec<MaskColumn>, keys: &Keys) -> Masker {
        let count = columns.len();
        let masks = Masks::new(plan(columns, keys));
        let batch = Batch::new(tag, count, masks.touched());
        Masker {
            tag,
            form,
            batch,
            shown: masks.shown().map(|(position, _)| position).collect(),
            masks,
            value: Vec::new(),
        }
    }

    pub(crate) fn touches_rows(&self) -> bool {
        self.masks.touch_anything()
    }

    /// Masks the batch, writes its frames to `out`, and is ready for the next.
    pub(crate) fn flush(&mut self, policies: &dyn PolicySet, out: &mut Vec<u8>) -> Flushed {
        let mut flushed = Flushed { rows: self.batch.rows() as u64, ..Flushed::default() };
        for row in 0..self.batch.rows() {
            let slots = self.batch.slots_of(row);
            for position in &self.shown {
                let cell = slots.get(*position).and_then(|slot| self.batch.value(slot));
                self.masks.show(*position, cell);
            }
        }
        self.masks.ask(policies, &mut flushed);
        self.write(out);
        self.masks.finish(&mut flushed);
        self.batch.clear();
        flushed
    }

    /// Rows that were not changed leave as they came, as many as possible at once.
    fn write(&mut self, out: &mut Vec<u8>) {
        let Masker { tag, form, batch, masks, value, .. } = self;
        let frames = batch.frames();
        let mut copied = 0;
        for row in 0..batch.rows() {
            let span = batch.row(row);
            let mut begun = None;
            for (position, slot) in batch.slots_of(row).iter().enumerate() {
                value.clear();
                let new = match masks.put(position, row, batch.value(slot), value) {
                    Put::Kept => continue,
                    Put::Null => None,
                    Put::Value => Some(value.as_slice()),
                };
                if begun.is_none() {
                    copy(frames, copied..span.start as usize, out);
                    copied = span.start as usize + HEADER_BYTES;
                    begun = Some(open_frame(*tag, out));
                }
                copy(frames, copied..slot.raw.start as usize, out);
                form.write(new, out);
                copied = slot.raw.end as usize;
            }
            if let Some(start) = begun {
                copy(frames, copied..span.end as usize, out);
                copied = span.end as usize;
                close_frame(start, out);
            }
        }
        copy(frames, copied..frames.len(), out);
        value.shrink_to(VALUE_BYTES_KEPT_MAX);
    }
}

/// What the buffer of one value keeps allocated from batch to batch.
const VALUE_BYTES_KEPT_MAX: usize = 64 << 10;

fn copy(from: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
    out.extend_from_slice(from.get(range).unwrap_or_default());
}
