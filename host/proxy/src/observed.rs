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
    /// One of each policy that failed.
    pub faults: Vec<(PolicyName, Fault)>,
    /// Not more can be said of the result: a policy failed, or it does not have the form of what
    /// was planned.
    pub is_over: bool,
}

/// As large a part is dropped without giving its memory back.
const DROPPED_BYTES_MAX: usize = 1 << 20;

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
    pub fn see(&mut self, mut frames: &[u8], policies: &dyn PolicySet) -> Seen {
        let mut seen = Seen::default();
        while let Ok(Some(frame)) = cut(frames, usize::MAX)
            && !seen.is_over
        {
            let taken = match &mut self.through {
                Through::Rows(masker) => {
                    match masker.mask(&[], frames, policies, &mut self.dropped) {
                        Ok(masked) => {
                            seen.add(masked.flushed);
                            masked.bytes
                        }
                        Err(_) => return Seen { is_over: true, ..seen },
                    }
                }
                Through::Copy(masker) => {
                    seen.is_over |= masker.push(frame.body).is_err();
                    if masker.is_full() {
                        seen.add(masker.flush(policies, &mut self.dropped));
                    }
                    frame.bytes.len()
                }
            };
            self.drop_it();
            frames = frames.get(taken..).unwrap_or_default();
        }
        if let Through::Copy(masker) = &mut self.through {
            seen.add(masker.flush(policies, &mut self.dropped));
            self.drop_it();
        }
        seen
    }

    fn drop_it(&mut self) {
        self.dropped.clear();
        self.dropped.shrink_to(DROPPED_BYTES_MAX);
    }
}

impl Seen {
    fn add(&mut self, flushed: Flushed) {
        self.cells += flushed.cells_masked;
        self.is_over |= !flushed.faults.is_empty();
        for (policy, fault) in flushed.faults {
            if self.faults.iter().all(|(known, _)| *known != policy) {
                self.faults.push((policy, fault));
            }
        }
    }
}
