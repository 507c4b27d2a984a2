//! The ends of a value kept, the rest filled.

use portcullis_policy::mask::Partial;

/// Appends the masked form of `text`. The fill stands once, whatever it stands for, so that
/// the length is not told.
pub(crate) fn write_partial(partial: &Partial, text: &str, out: &mut Vec<u8>) {
    let first_end = nth_char(text, partial.keep_first);
    let last_start = nth_char_from_end(text, partial.keep_last);
    let tail_start = match partial.keep_from.as_str() {
        "" => last_start,
        mark => find(text, mark).map_or(last_start, |found| found.min(last_start)),
    };
    // What is kept would be the whole value: then nothing is.
    let (first, tail) = match first_end < tail_start {
        true => (text.get(..first_end), text.get(tail_start..)),
        false => (None, None),
    };
    out.extend_from_slice(first.unwrap_or_default().as_bytes());
    out.extend_from_slice(partial.fill.as_bytes());
    out.extend_from_slice(tail.unwrap_or_default().as_bytes());
}

/// A mark is one byte nearly always, and a search for that needs no preparation.
fn find(text: &str, mark: &str) -> Option<usize> {
    match mark.as_bytes() {
        [byte] => text.bytes().position(|other| other == *byte),
        _ => text.find(mark),
    }
}

/// Where the character behind the first `count` begins.
fn nth_char(text: &str, count: u32) -> usize {
    text.char_indices().nth(count as usize).map_or(text.len(), |(at, _)| at)
}

/// Where the last `count` characters begin.
fn nth_char_from_end(text: &str, count: u32) -> usize {
    match (count as usize).checked_sub(1) {
        None => text.len(),
        Some(before) => text.char_indices().nth_back(before).map_or(0, |(at, _)| at),
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
            write_partial(&partial, text, &mut out);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(expected), "{text}");
        };
        check((1, 0, "@"), "anna@example.com", "a***@example.com");
        check((0, 4, ""), "4111111111111111", "***1111");
        check((2, 2, ""), "abcde", "ab***de");
        check((0, 0, ""), "abc", "***");
        check((1, 0, "."), "anna", "a***");
        check((2, 1, ""), "héüñé", "hé***é");
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
}
