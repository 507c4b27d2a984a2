//! Batches of cells: finds what should not be seen and fills it.

use std::ops::Range;

use portcullis_plugin_sdk::{Cells, Masked, Spans};

use crate::detect::Place;
use crate::handle::Handle;
use crate::kind::Kind;
use crate::prefilter::for_each_mark;
use crate::scan::scan;
use crate::settings::{Keep, Settings, Word};

pub(crate) fn mask(handle: u32, batch: &Cells, settings: &Settings) -> Masked {
    match Handle::of_number(handle) {
        Some(Handle::Text) => mask_found(false, batch, settings),
        Some(Handle::Json) => mask_found(true, batch, settings),
        Some(Handle::Single(kind)) => mask_singles(Some(kind), batch, settings),
        None => mask_singles(None, batch, settings),
    }
}

/// Keeps of each value the parts that may be seen of a single value of the kind. Any other
/// value is hidden whole: what is said to be an address and is not may be anything.
fn mask_singles(kind: Option<Kind>, batch: &Cells, settings: &Settings) -> Masked {
    let keep = kind.and_then(|kind| settings.keep(kind));
    let mut places: Vec<Place> = Vec::new();
    let mut masked = Cells::new();
    let mut shown = String::new();
    for cell in batch.iter() {
        let Some(cell) = cell else {
            masked.push(None);
            continue;
        };
        // Blanks around a value are left out: padding would tell how long it is.
        let value = cell.trim_ascii();
        places.clear();
        scan(value.as_bytes(), &mut places);
        let is_single = kind.is_some_and(|kind| is_single(kind, value, &places));
        let part = keep.as_ref().filter(|_| is_single).and_then(|keep| hidden_part(value, keep));
        let hidden = part.unwrap_or(0..value.len());
        shown.clear();
        shown.push_str(value.get(..hidden.start).unwrap_or_default());
        shown.push_str(&settings.fill);
        shown.push_str(value.get(hidden.end..).unwrap_or_default());
        masked.push(Some(&shown));
    }
    Masked::Replaced(masked)
}

/// Whether the value as a whole is of the kind it is said to be.
fn is_single(kind: Kind, value: &str, places: &[Place]) -> bool {
    match places {
        [place] => *place == Place { kind, bytes: 0..value.len() },
        // No finder knows some kinds: all there is to say is that nothing else is in there.
        [] => !kind.is_found(),
        [_, _, ..] => false,
    }
}

/// Hides what is found.
fn mask_found(is_json: bool, batch: &Cells, settings: &Settings) -> Masked {
    let mut spans = Spans::new();
    let mut numbers: Vec<(usize, Range<usize>)> = Vec::new();
    let mut places: Vec<Place> = Vec::new();
    for_each_candidate(batch, |row, cell| {
        places.clear();
        scan(cell, &mut places);
        for place in &places {
            if is_json && !is_in_string(cell, place.bytes.start) {
                if settings.word(place.kind) != Word::Pass {
                    numbers.push((row, place.bytes.clone()));
                }
            } else {
                mark(&mut spans, row, cell, place, settings);
            }
        }
    });
    if numbers.is_empty() {
        return spans.fill(&settings.fill);
    }
    numbers.sort_by_key(|(row, bytes)| (*row, bytes.start));
    replaced(batch, spans.fill(&settings.fill), &numbers)
}

/// Calls `visit` with each cell that holds a byte which some finder needs.
fn for_each_candidate(batch: &Cells, mut visit: impl FnMut(usize, &[u8])) {
    let mut row = 0;
    let end_of = |row: usize| batch.ends.get(row).map_or(batch.data.len(), |end| *end as usize);
    for_each_mark(&batch.data, |place| {
        while end_of(row) <= place {
            row += 1;
        }
        let start = row.checked_sub(1).map_or(0, end_of);
        let end = end_of(row);
        if !batch.is_null(row) {
            visit(row, batch.data.get(start..end).unwrap_or_default());
        }
        end
    });
}

/// Marks the part of a place that its kind's treatment hides.
fn mark(spans: &mut Spans, row: usize, cell: &[u8], place: &Place, settings: &Settings) {
    if settings.word(place.kind) == Word::Pass {
        return;
    }
    let Range { start, end } = place.bytes.clone();
    let hidden = settings.keep(place.kind).and_then(|keep| {
        let text = str::from_utf8(cell.get(start..end)?).ok()?;
        hidden_part(text, &keep)
    });
    let hidden = hidden.map_or(start..end, |part| start + part.start..start + part.end);
    spans.mark(row, hidden);
}

/// The part of `text` between what is kept; `None` where nothing is left between.
fn hidden_part(text: &str, keep: &Keep) -> Option<Range<usize>> {
    let from = if keep.keep_from.is_empty() { None } else { text.find(&keep.keep_from) };
    let body = text.split_at_checked(from.unwrap_or(text.len()))?.0;
    let place = |count: u32| body.char_indices().nth(count as usize).map(|(place, _)| place);
    let start = place(keep.keep_first).unwrap_or(body.len());
    let mut tail = body.char_indices().rev();
    let end = match keep.keep_last.checked_sub(1) {
        None => body.len(),
        Some(before) => tail.nth(before as usize).map_or(0, |(place, _)| place),
    };
    match (start < end, from) {
        (true, _) => Some(start..end),
        // A mailbox too short to keep a part of is hidden, its domain is not.
        (false, Some(from)) if from > 0 => Some(0..from),
        (false, Some(_) | None) => None,
    }
}

/// Whether the byte at `index` of a JSON text stands inside a string.
fn is_in_string(json: &[u8], index: usize) -> bool {
    let mut inside = false;
    let mut escaped = false;
    for byte in json.iter().take(index) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = inside,
            b'"' => inside = !inside,
            _ => {}
        }
    }
    inside
}

/// The batch with `edits` made and JSON numbers replaced by `null`, which one fill cannot say.
fn replaced(batch: &Cells, edits: Masked, numbers: &[(usize, Range<usize>)]) -> Masked {
    let (words, fill) = match edits {
        Masked::Edits(edits) => (edits.spans, edits.fill),
        Masked::Unchanged | Masked::Replaced(_) => (Vec::new(), Vec::new()),
    };
    let word = |number: u32| number as usize;
    let (triples, _) = words.as_chunks::<3>();
    let filled = triples
        .iter()
        .map(|[row, start, end]| (word(*row), word(*start)..word(*end), fill.as_slice()));
    let nulled = numbers.iter().map(|(row, bytes)| (*row, bytes.clone(), &b"null"[..]));
    let mut changes: Vec<_> = filled.chain(nulled).collect();
    changes.sort_by_key(|(row, bytes, _)| (*row, bytes.start));
    let mut changes = changes.into_iter().peekable();
    let mut cells = Cells { data: Vec::new(), ends: Vec::new(), nulls: batch.nulls.clone() };
    for (row, cell) in batch.bytes().enumerate() {
        let cell = cell.unwrap_or_default();
        let mut copied = 0;
        while let Some((_, bytes, fill)) = changes.next_if(|(changed, ..)| *changed == row) {
            cells.data.extend_from_slice(cell.get(copied..bytes.start).unwrap_or_default());
            cells.data.extend_from_slice(fill);
            copied = bytes.end;
        }
        cells.data.extend_from_slice(cell.get(copied..).unwrap_or_default());
        cells.ends.push(u32::try_from(cells.data.len()).expect("a batch is below 4 GiB"));
    }
    Masked::Replaced(cells)
}
