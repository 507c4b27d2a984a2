//! Batches of cells: finds what should not be seen and fills it.

use std::ops::Range;

use portcullis_plugin_sdk::{Cells, Edits, Masked, Spans};

use crate::candidates::for_each_candidate;
use crate::classes::{Blocks, Classes};
use crate::detect::{Place, email, phone};
use crate::handle::Handle;
use crate::kind::Kind;
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
    let mut values = Values::of(kind, batch);
    let mut spans: Vec<u32> = Vec::with_capacity(3 * batch.len());
    let mut has_blanks = false;
    let mut cell_start = 0;
    for (row, cell) in batch.bytes().enumerate() {
        let own_start = cell_start;
        cell_start = batch.ends.get(row).map_or(own_start, |end| *end as usize);
        let Some(cell) = cell else { continue };
        // Blanks around a value are left out: padding would tell how long it is.
        let value = cell.trim_ascii();
        has_blanks |= value.len() != cell.len();
        let part = keep
            .as_ref()
            .filter(|_| values.is_single(own_start, cell, value))
            .and_then(|keep| hidden_part(value, keep));
        let Range { start, end } = part.unwrap_or(0..value.len());
        spans.extend([row, start, end].map(word));
    }
    let edits = Edits { spans, fill: settings.fill.as_bytes().to_vec() };
    if has_blanks { without_blanks(batch, &edits) } else { Masked::Edits(edits) }
}

fn word(number: usize) -> u32 {
    u32::try_from(number).expect("a batch is below 4 GiB")
}

/// The batch with one edit made in each value, and what is blank around it left out.
fn without_blanks(batch: &Cells, edits: &Edits) -> Masked {
    let mut cells = Cells { nulls: batch.nulls.clone(), ..Cells::new() };
    let (mut spans, _) = edits.spans.as_chunks::<3>();
    for (row, cell) in batch.bytes().enumerate() {
        let value = cell.unwrap_or_default().trim_ascii();
        if let Some(([own, start, end], behind)) = spans.split_first()
            && *own as usize == row
        {
            cells.data.extend_from_slice(value.get(..*start as usize).unwrap_or_default());
            cells.data.extend_from_slice(&edits.fill);
            cells.data.extend_from_slice(value.get(*end as usize..).unwrap_or_default());
            spans = behind;
        }
        cells.ends.push(word(cells.data.len()));
    }
    Masked::Replaced(cells)
}

/// Values that are said to be of a kind.
struct Values {
    kind: Option<Kind>,
    /// Of the batch's bytes, where they can say enough.
    classes: Vec<Classes>,
    places: Vec<Place>,
}

impl Values {
    fn of(kind: Option<Kind>, batch: &Cells) -> Values {
        let classes = match kind {
            Some(Kind::Email) => Blocks::of(&batch.data).iter().map(Classes::of).collect(),
            Some(_) | None => Vec::new(),
        };
        Values { kind, classes, places: Vec::new() }
    }

    /// Whether the value as a whole is of the kind it is said to be. It is `cell`, which begins
    /// at `start` of the batch, without the blanks around it.
    fn is_single(&mut self, start: usize, cell: &[u8], value: &[u8]) -> bool {
        let Some(kind) = self.kind else { return false };
        // Most values are written as most are, and need no finder.
        if kind == Kind::Email
            && let Some(classes) = Classes::window(&self.classes, start, cell.len())
            && email::is_plainly_one(cell, classes)
        {
            return true;
        }
        if kind == Kind::Phone && phone::is_plainly_one(value) {
            return true;
        }
        self.places.clear();
        scan(value, &mut self.places);
        match self.places.as_slice() {
            [place] => *place == Place { kind, bytes: 0..value.len() },
            // No finder knows some kinds: all there is to say is that nothing else is in there.
            [] => !kind.is_found(),
            [_, _, ..] => false,
        }
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

/// Marks the part of a place that its kind's treatment hides.
fn mark(spans: &mut Spans, row: usize, cell: &[u8], place: &Place, settings: &Settings) {
    if settings.word(place.kind) == Word::Pass {
        return;
    }
    let Range { start, end } = place.bytes.clone();
    let text = cell.get(start..end).unwrap_or_default();
    let hidden = settings.keep(place.kind).and_then(|keep| hidden_part(text, &keep));
    let hidden = hidden.map_or(start..end, |part| start + part.start..start + part.end);
    spans.mark(row, hidden);
}

/// The part of `text` between what is kept; `None` where nothing is left between.
fn hidden_part(text: &[u8], keep: &Keep) -> Option<Range<usize>> {
    let from = find(text, keep.keep_from.as_bytes());
    let body = text.get(..from.unwrap_or(text.len()))?;
    let (start, end) = ends(body, keep)?;
    match (start < end, from) {
        (true, _) => Some(start..end),
        // A mailbox too short to keep a part of is hidden, its domain is not.
        (false, Some(from)) if from > 0 => Some(0..from),
        (false, Some(_) | None) => None,
    }
}

/// A mark is one byte nearly always, and a search for that needs no preparation.
fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    match mark {
        [] => None,
        [byte] => memchr::memchr(*byte, text),
        _ => text.windows(mark.len()).position(|window| window == mark),
    }
}

/// Behind the first characters that are kept, and before the last.
fn ends(body: &[u8], keep: &Keep) -> Option<(usize, usize)> {
    let (first, last) = (keep.keep_first as usize, keep.keep_last as usize);
    if body.is_ascii() {
        return Some((first.min(body.len()), body.len().saturating_sub(last)));
    }
    let body = str::from_utf8(body).ok()?;
    let place = |count: usize| body.char_indices().nth(count).map(|(place, _)| place);
    let end = match last.checked_sub(1) {
        None => body.len(),
        Some(before) => body.char_indices().nth_back(before).map_or(0, |(place, _)| place),
    };
    Some((place(first).unwrap_or(body.len()), end))
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
    let (triples, _) = words.as_chunks::<3>();
    let filled = triples
        .iter()
        .map(|[row, start, end]| (*row as usize, *start as usize..*end as usize, fill.as_slice()));
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
        cells.ends.push(word(cells.data.len()));
    }
    Masked::Replaced(cells)
}
