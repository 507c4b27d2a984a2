//! Answers are checked before anybody acts on them: a plugin may lie.

use portcullis_policy::{Cells, Decision, Edits, Label, MaskAction, Masked, Verdict};

use crate::config::{VERDICT_LIST_MAX, VERDICT_TEXT_BYTES_MAX};

/// A verdict's texts go to clients and into the ledger, so they are bounded.
pub(crate) fn check_verdict(verdict: &Verdict) -> Result<(), String> {
    let mut texts: Vec<&str> = verdict.notice.as_deref().into_iter().collect();
    let mut lists = vec![&verdict.tags];
    match &verdict.decision {
        Decision::Allow => {}
        Decision::Deny(denial) => {
            texts.push(&denial.reason);
            texts.extend(denial.hint.as_deref());
        }
        Decision::RequireApproval(approval) => {
            texts.push(&approval.reason);
            lists.push(&approval.approvers);
        }
    }
    if let Some(list) = lists.iter().find(|list| list.len() > VERDICT_LIST_MAX) {
        return Err(format!("a list of {} texts; {VERDICT_LIST_MAX} are allowed", list.len()));
    }
    texts.extend(lists.into_iter().flatten().map(String::as_str));
    match texts.iter().find(|text| text.len() > VERDICT_TEXT_BYTES_MAX) {
        Some(text) => Err(format!("a text of {} bytes in a verdict", text.len())),
        None => Ok(()),
    }
}

/// One action per column, and companions that exist.
pub(crate) fn check_plan(actions: &[MaskAction], columns: usize) -> Result<(), String> {
    if actions.len() != columns {
        return Err(format!("{} actions for {columns} columns", actions.len()));
    }
    let mut texts: Vec<&str> = Vec::new();
    for action in actions {
        match action {
            MaskAction::Pass | MaskAction::Nullify => {}
            MaskAction::Constant(text) | MaskAction::Generalize(text) => texts.push(text),
            MaskAction::Partial(partial) => texts.extend([&*partial.fill, &*partial.keep_from]),
            MaskAction::Pseudonym(pseudonym) => {
                texts.extend([&*pseudonym.key_name, &*pseudonym.domain]);
            }
            MaskAction::Call { handle: _, also } => {
                if let Some(wrong) = also.iter().find(|index| **index as usize >= columns) {
                    return Err(format!("column {wrong} of {columns} is asked for"));
                }
                if also.len() > columns {
                    return Err(format!("{} companions of {columns} columns", also.len()));
                }
            }
        }
    }
    match texts.iter().find(|text| text.len() > VERDICT_TEXT_BYTES_MAX) {
        Some(text) => Err(format!("a text of {} bytes in a plan", text.len())),
        None => Ok(()),
    }
}

/// One list of labels per sample, of bounded names.
pub(crate) fn check_labels(labels: &[Vec<Label>], samples: usize) -> Result<(), String> {
    if labels.len() != samples {
        return Err(format!("{} answers for {samples} columns", labels.len()));
    }
    for label in labels.iter().flatten() {
        if label.name.len() > VERDICT_TEXT_BYTES_MAX || !(0.0..=1.0).contains(&label.confidence) {
            return Err("a label with a long name or a confidence outside 0 to 1".to_owned());
        }
    }
    match labels.iter().find(|labels| labels.len() > VERDICT_LIST_MAX) {
        Some(labels) => Err(format!("{} labels for one column", labels.len())),
        None => Ok(()),
    }
}

/// What a masker made of a batch fits the batch.
pub(crate) fn check_masked(masked: &Masked, batch: &Cells, bytes_max: usize) -> Result<(), String> {
    match masked {
        Masked::Unchanged => Ok(()),
        Masked::Edits(edits) => check_edits(edits, batch, bytes_max),
        Masked::Replaced(cells) => check_cells(cells, batch.len(), bytes_max),
    }
}

fn check_edits(edits: &Edits, batch: &Cells, bytes_max: usize) -> Result<(), String> {
    let fill = std::str::from_utf8(&edits.fill).map_err(|_| "the fill is not UTF-8".to_owned())?;
    let (spans, rest) = edits.spans.as_chunks::<3>();
    if !rest.is_empty() {
        return Err(format!("{} words are not edits of three", edits.spans.len()));
    }
    if fill.len().saturating_mul(spans.len()) > bytes_max {
        return Err(format!("{} edits of {} bytes", spans.len(), fill.len()));
    }
    let mut before = (0, 0);
    for [row, start, end] in spans.iter().copied() {
        let Some(Some(cell)) = batch.cell(row as usize) else {
            return Err(format!("row {row} has no value"));
        };
        if (row, start) < before || start > end {
            return Err(format!("row {row}: edits overlap or are out of order"));
        }
        for at in [start, end] {
            if !is_boundary(cell, at as usize) {
                return Err(format!("row {row}: byte {at} is outside or inside a character"));
            }
        }
        before = (row, end);
    }
    Ok(())
}

/// May a UTF-8 text be cut here?
fn is_boundary(text: &[u8], at: usize) -> bool {
    match text.get(at) {
        // A byte that continues a character is 10xxxxxx.
        Some(byte) => byte & 0b1100_0000 != 0b1000_0000,
        None => at == text.len(),
    }
}

fn check_cells(cells: &Cells, count: usize, bytes_max: usize) -> Result<(), String> {
    if cells.len() != count {
        return Err(format!("{} cells for {count}", cells.len()));
    }
    if cells.data.len() > bytes_max {
        return Err(format!("{} bytes of cells", cells.data.len()));
    }
    // Fewer bytes are in order: what has no bit is not NULL.
    if cells.nulls.len() > count.div_ceil(8) {
        return Err(format!("{} bytes of NULL bits for {count} cells", cells.nulls.len()));
    }
    let text =
        std::str::from_utf8(&cells.data).map_err(|_| "the cells are not UTF-8".to_owned())?;
    let mut before = 0;
    for end in cells.ends.iter().map(|end| *end as usize) {
        if end < before || !text.is_char_boundary(end) {
            return Err(format!("a cell ends at {end} after {before} of {}", text.len()));
        }
        before = end;
    }
    match before == text.len() {
        true => Ok(()),
        false => Err(format!("{} bytes belong to no cell", text.len() - before)),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_policy::{Denial, Label};

    use super::*;

    fn batch() -> Cells {
        let mut cells = Cells::default();
        for value in [Some("aé€"), None, Some("xyz")] {
            cells.push(value.map(str::as_bytes));
        }
        cells
    }

    #[track_caller]
    fn check(answer: Result<(), String>, expected: &str) {
        match answer {
            Ok(()) => assert_eq!(expected, "fits"),
            Err(why) => assert!(!expected.is_empty() && why.contains(expected), "{why}"),
        }
    }

    fn edits(spans: &[u32], fill: &[u8]) -> Result<(), String> {
        let edits = Edits { spans: spans.to_vec(), fill: fill.to_vec() };
        check_masked(&Masked::Edits(edits), &batch(), 1000)
    }

    #[test]
    fn edits_fit_the_batch_or_are_refused() {
        check(edits(&[], b"*"), "fits");
        check(edits(&[0, 0, 1, 0, 1, 3, 2, 0, 3], b"*"), "fits");
        check(edits(&[0, 3, 6], "…".as_bytes()), "fits");
        check(edits(&[2, 3, 3], b"*"), "fits");
        check(edits(&[0, 0], b"*"), "not edits of three");
        check(edits(&[0, 0, 2], b"*"), "inside a character");
        check(edits(&[0, 4, 6], b"*"), "inside a character");
        check(edits(&[0, 0, 7], b"*"), "outside");
        check(edits(&[1, 0, 0], b"*"), "row 1 has no value");
        check(edits(&[3, 0, 0], b"*"), "row 3 has no value");
        check(edits(&[2, 2, 1], b"*"), "out of order");
        check(edits(&[2, 0, 2, 2, 1, 3], b"*"), "overlap");
        check(edits(&[2, 0, 1, 0, 0, 1], b"*"), "out of order");
        check(edits(&[0, 0, 1], b"\xff"), "not UTF-8");
        check(edits(&[0, 0, 1, 0, 1, 3], &[b'x'; 600]), "2 edits of 600 bytes");
        check(edits(&[u32::MAX, u32::MAX, u32::MAX], b"*"), "has no value");
    }

    fn cells(data: &str, ends: &[u32], nulls: &[u8]) -> Result<(), String> {
        let cells = Cells { data: data.into(), ends: ends.to_vec(), nulls: nulls.to_vec() };
        check_masked(&Masked::Replaced(cells), &batch(), 10)
    }

    #[test]
    fn replaced_cells_fit_the_batch_or_are_refused() {
        check(cells("abc", &[1, 2, 3], &[]), "fits");
        check(cells("aé", &[1, 1, 3], &[0b010]), "fits");
        check(cells("ab", &[1, 2], &[]), "2 cells for 3");
        check(cells("abcd", &[1, 2, 3], &[]), "1 bytes belong to no cell");
        check(cells("abc", &[1, 2, 4], &[]), "ends at 4");
        check(cells("abc", &[2, 1, 3], &[]), "ends at 1 after 2");
        check(cells("é", &[1, 2, 2], &[]), "ends at 1");
        check(cells("abc", &[1, 2, 3], &[0, 0]), "NULL bits");
        check(cells("abcdefghijk", &[1, 2, 11], &[]), "11 bytes of cells");
        let data = vec![0xff];
        let broken = Cells { data, ends: vec![1, 1, 1], nulls: Vec::new() };
        check(check_masked(&Masked::Replaced(broken), &batch(), 10), "not UTF-8");
        check(check_masked(&Masked::Unchanged, &batch(), 10), "fits");
    }

    #[test]
    fn plans_have_one_action_per_column_and_existing_companions() {
        let call = |also: &[u32]| MaskAction::Call { handle: 1, also: also.to_vec() };
        check(check_plan(&[MaskAction::Pass, call(&[0])], 2), "fits");
        check(check_plan(&[MaskAction::Pass], 2), "1 actions for 2");
        check(check_plan(&[MaskAction::Pass, MaskAction::Nullify], 1), "2 actions for 1");
        check(check_plan(&[call(&[1])], 1), "column 1 of 1");
        check(check_plan(&[call(&[0, 0])], 1), "2 companions");
        check(check_plan(&[MaskAction::Constant("x".repeat(9000))], 1), "9000 bytes");
    }

    #[test]
    fn verdicts_and_labels_are_bounded() {
        let deny = |reason: String| Verdict {
            decision: Decision::Deny(Denial { reason, hint: None }),
            ..Verdict::allow()
        };
        check(check_verdict(&deny("no".into())), "fits");
        check(check_verdict(&deny("x".repeat(9000))), "9000 bytes");
        let tags = vec!["t".to_owned(); 65];
        check(check_verdict(&Verdict { tags, ..Verdict::allow() }), "65 texts");
        let label = |confidence| vec![Label { name: "pii.email".into(), confidence }];
        check(check_labels(&[label(0.5)], 1), "fits");
        check(check_labels(&[label(0.5)], 2), "1 answers for 2");
        check(check_labels(&[label(f32::NAN)], 1), "confidence");
        check(check_labels(&[label(1.5)], 1), "confidence");
    }
}
