//! Maskers in observe mode: a result goes through what they would do to it, beside what becomes of
//! it, and what comes of that is counted and dropped.

use std::sync::Arc;

use portcullis_masking::{CopyFormat, CopyMasker, Flushed, Keys, MaskColumn, RowMasker};
use portcullis_policy::{Fault, PolicyName, PolicySet};
use portcullis_wire::frame::cut;

/// What would be done to one result.
pub struct Observed {
    through: Through,
    /// What would have been sent, for as long as it takes to drop it.
    dropped: Vec<u8>,
}

enum Through {
    Rows(RowMasker),
    Copy(Box<CopyMasker>),
}

/// What they would have done to a part of it.
#[derive(Default)]
pub struct Seen {
    pub cells: u64,
    pub faults: Vec<(PolicyName, Fault)>,
}

/// It does not have the form of what was planned.
pub struct Unreadable;

impl Observed {
    pub fn rows(columns: Vec<MaskColumn>, keys: Arc<Keys>) -> Box<Observed> {
        Observed::of(Through::Rows(RowMasker::new(columns, keys)))
    }

    pub fn copy(format: CopyFormat, columns: Vec<MaskColumn>, keys: Arc<Keys>) -> Box<Observed> {
        Observed::of(Through::Copy(Box::new(CopyMasker::new(format, columns, keys))))
    }

    fn of(through: Through) -> Box<Observed> {
        Box::new(Observed { through, dropped: Vec::new() })
    }

    /// Whole DataRow or CopyData messages of it.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn see(&mut self, mut frames: &[u8], policies: &dyn PolicySet) -> Result<Seen, Unreadable> {
        let mut seen = Seen::default();
        while let Ok(Some(frame)) = cut(frames, usize::MAX) {
            let taken = match &mut self.through {
                Through::Rows(masker) => {
                    let masked = masker.mask(&[], frames, policies, &mut self.dropped);
                    let masked = masked.map_err(|_| Unreadable)?;
                    seen.add(masked.flushed);
                    masked.bytes
                }
                Through::Copy(masker) => {
                    masker.push(frame.body).map_err(|_| Unreadable)?;
                    if masker.is_full() {
                        seen.add(masker.flush(policies, &mut self.dropped));
                    }
                    frame.bytes.len()
                }
            };
            self.dropped.clear();
            frames = frames.get(taken..).unwrap_or_default();
        }
        Ok(seen)
    }

    /// The COPY is over.
    ///
    /// # Errors
    /// When it ends within a row.
    pub fn end(&mut self, policies: &dyn PolicySet) -> Result<Seen, Unreadable> {
        let mut seen = Seen::default();
        if let Through::Copy(masker) = &mut self.through {
            masker.finish().map_err(|_| Unreadable)?;
            seen.add(masker.flush(policies, &mut self.dropped));
            self.dropped.clear();
        }
        Ok(seen)
    }
}

impl Seen {
    fn add(&mut self, flushed: Flushed) {
        self.cells += flushed.cells_masked;
        self.faults.extend(flushed.faults);
    }
}
