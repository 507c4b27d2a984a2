//! The ends of a value kept, the rest filled.

use portcullis_policy::mask::Partial;

/// Appends the masked form of a text; `None` when it is not UTF-8. The fill stands once, whatever
/// it stands for, so that the length is not told.
pub(crate) fn write_partial(partial: &Partial, cell: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (first_end, last_start) = ends(partial, cell)?;
    let tail_start = match partial.keep_from.as_bytes() {
        [] => last_start,
        mark => find(cell, mark).map_or(last_start, |found| found.min(last_start)),
    };
    // What is kept would be the whole value: then nothing is.
    let (first, tail) = match first_end < tail_start {
        true => (cell.get(..first_end), cell.get(tail_start..)),
        false => (None, None),
    };
    out.extend_from_slice(first.unwrap_or_default());
    out.extend_from_slice(partial.fill.as_bytes());
    out.extend_from_slice(tail.unwrap_or_default());
    Some(())
}

/// Behind the first characters that are kept, and before the last.
fn ends(partial: &Partial, cell: &[u8]) -> Option<(usize, usize)> {
    let (first, last) = (partial.keep_first as usize, partial.keep_last as usize);
    if cell.is_ascii() {
        return Some((first.min(cell.len()), cell.len().saturating_sub(last)));
    }
    let text = std::str::from_utf8(cell).ok()?;
    let first_end = text.char_indices().nth(first).map_or(text.len(), |(at, _)| at);
    let last_start = match last.checked_sub(1) {
        None => text.len(),
        Some(before) => text.char_indices().nth_back(before).map_or(0, |(at, _)| at),
    };
    Some((first_end, last_start))
}

/// A mark is one byte nearly always, and a search for that needs no preparation. Characters of
/// UTF-8 are found where their bytes are.
fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    match mark {
        [byte] => text.iter().position(|other| other == byte),
        _ => text.windows(mark.len()).position(|window| window == mark),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_kept_and_the_rest_is_filled() {
        let check = |(first, last, from): (u32, u32, &str), text: &str, expected: &str| {
            let partial = Partial {
                keep_first: first,
                keep_last: last,
                fill: "***".into(),
                keep_from: from.into(),
            };
            let mut out = Vec::new();
            write_partial(&partial, text.as_bytes(), &mut out).expect("UTF-8");
            assert_eq!(String::from_utf8(out).as_deref(), Ok(expected), "{text}");
        };
        check((1, 0, "@"), "anna@example.com", "a***@example.com");
        check((0, 4, ""), "4111111111111111", "***1111");
        check((2, 2, ""), "abcde", "ab***de");
        check((0, 0, ""), "abc", "***");
        check((1, 0, "."), "anna", "a***");
        check((2, 1, ""), "héüñé", "hé***é");
        check((1, 0, "ñé"), "héüñé", "h***ñé");
        check((1, 1, "@"), "é@example.com", "***");
        assert_eq!(write_partial(&partial_of_one(), b"caf\xe9", &mut Vec::new()), None);
        // The whole value would be kept.
        check((2, 2, ""), "abcd", "***");
        check((2, 2, ""), "abc", "***");
        check((1, 0, "@"), "a@example.com", "***");
        check((0, 0, "@"), "@example.com", "***");
        check((0, 0, ""), "", "***");
        check((u32::MAX, u32::MAX, ""), "abc", "***");
        // The last characters reach further than the mark.
        check((1, 6, "@"), "anna@x.y", "a***na@x.y");
    }

    fn partial_of_one() -> Partial {
        Partial { keep_first: 1, keep_last: 0, fill: "***".into(), keep_from: String::new() }
    }
}
