//! A policy set that answers masks from a closure, for the tests of edits. Real components
//! are tested end to end.

use portcullis_policy::{
    Cells, ColumnSample, Coverage, Database, Fault, Label, Masked, Parameters, PlanAnswer,
    PolicyName, PolicySet, Principal, Reads, Request, ResultShape, Terms, VerdictAnswer,
};

/// `mask` is given handle, batch, and the cells beside it.
pub(crate) struct Double<F> {
    pub(crate) mask: F,
}

impl<F> PolicySet for Double<F>
where
    F: Fn(u32, &Cells, &[Cells]) -> Result<Masked, Fault>,
{
    fn revision(&self) -> u64 {
        1
    }

    fn coverage(&self, _principal: &Principal, _database: &Database) -> Coverage {
        Coverage { guardrail: true, masker: true }
    }

    fn reads(&self) -> Reads {
        Reads::default()
    }

    fn terms(&self, _policy: &PolicyName) -> Terms {
        Terms::default()
    }

    fn judge(&self, _: &Request<'_>, _: &dyn Parameters) -> Vec<VerdictAnswer> {
        Vec::new()
    }

    fn plan(&self, _shape: &ResultShape<'_>) -> Vec<PlanAnswer> {
        Vec::new()
    }

    fn mask(
        &self,
        _policy: &PolicyName,
        handle: u32,
        batch: &Cells,
        also: &[Cells],
    ) -> Result<Masked, Fault> {
        (self.mask)(handle, batch, also)
    }

    fn classifiers(&self) -> u64 {
        0
    }

    fn classify(&self, _samples: &[ColumnSample]) -> Result<Vec<Vec<Label>>, Fault> {
        Ok(Vec::new())
    }
}

/// A set whose plugins find nothing.
pub(crate) fn unchanged() -> impl PolicySet {
    Double { mask: |_: u32, _: &Cells, _: &[Cells]| Ok(Masked::Unchanged) }
}
