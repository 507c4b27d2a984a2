//! A batch of rows, masked and written. What rows and COPY have in common.

use std::ops::Range;

use portcullis_policy::PolicySet;

use crate::batch::{Batch, close_frame, open_frame};
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
}

impl Masker {
    pub(crate) fn new(tag: u8, form: CellForm, columns: Vec<MaskColumn>, keys: &Keys) -> Masker {
        let count = columns.len();
        let plans = plan(columns, keys);
        let touched = plans.iter().map(|plan| plan.column).collect();
        Masker { tag, form, batch: Batch::new(tag, count, touched), masks: Masks::new(plans) }
    }

    pub(crate) fn touches_rows(&self) -> bool {
        self.batch.width() > 0
    }

    /// Masks the batch, writes its frames to `out`, and is ready for the next.
    pub(crate) fn flush(&mut self, policies: &dyn PolicySet, out: &mut Vec<u8>) -> Flushed {
        let mut flushed = Flushed { rows: self.batch.rows() as u64, ..Flushed::default() };
        if self.touches_rows() {
            self.masks.run(&self.batch, policies, &mut flushed);
        }
        self.write(out);
        self.batch.clear();
        flushed
    }

    /// Rows that were not changed leave as they came, as many as possible at once.
    fn write(&self, out: &mut Vec<u8>) {
        let frames = self.batch.frames();
        let mut copied = 0;
        for row in 0..self.batch.rows() {
            let puts = self.masks.puts_of(row);
            if puts.iter().all(|put| *put == Put::Kept) {
                continue;
            }
            let span = self.batch.row(row);
            copy(frames, copied..span.start as usize, out);
            self.write_row(row, puts, out);
            copied = span.end as usize;
        }
        copy(frames, copied..frames.len(), out);
    }

    fn write_row(&self, row: usize, puts: &[Put], out: &mut Vec<u8>) {
        let frames = self.batch.frames();
        let span = self.batch.row(row);
        let start = open_frame(self.tag, out);
        let mut copied = span.start as usize + (out.len() - start);
        for (slot, put) in self.batch.slots_of(row).iter().zip(puts) {
            let value = match put {
                Put::Kept => continue,
                Put::Null => None,
                Put::Value(span) => Some(span.of(self.masks.data())),
            };
            copy(frames, copied..slot.raw.start as usize, out);
            self.form.write(value, out);
            copied = slot.raw.end as usize;
        }
        copy(frames, copied..span.end as usize, out);
        close_frame(start, out);
    }
}

fn copy(from: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
    out.extend_from_slice(from.get(range).unwrap_or_default());
}
