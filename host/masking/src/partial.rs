//! The ends of a value kept, the rest filled.

use portcullis_policy::mask::{Partial, ValueForm};

use crate::email::sign_of_email;
use crate::few::append_few;

/// Appends the masked form of a text; `None` when it is not UTF-8. The fill stands once, whatever
/// it stands for, so that the length is not told.
pub(crate) fn write_partial(partial: &Partial, cell: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (cell, sign) = match partial.only {
        ValueForm::Any => (cell, None),
        ValueForm::Email => {
            let address = cell.trim_ascii();
            let Some(sign) = sign_of_email(address) else {
                out.extend_from_slice(partial.fill.as_bytes());
                return Some(());
            };
            (address, Some(sign))
        }
    };
    let (first_end, last_start) = ends(partial, cell)?;
    let mark = match partial.keep_from.as_bytes() {
        [] => None,
        b"@" if sign.is_some() => sign,
        mark => find(cell, mark),
    };
    let tail_start = mark.map_or(last_start, |mark| mark.min(last_start));
    let (first, tail) = match (first_end < tail_start, partial.only) {
        (true, _) => (cell.get(..first_end), cell.get(tail_start..)),
        // What is kept would be the whole value: then nothing is.
        (false, ValueForm::Any) => (None, None),
        // A mailbox is short, and a domain is not what names somebody.
        (false, ValueForm::Email) => {
            let mark = mark.filter(|mark| *mark > 0);
            (None, mark.and_then(|mark| cell.get(mark..)))
        }
    };
    append_few(first.unwrap_or_default(), out);
    append_few(partial.fill.as_bytes(), out);
    append_few(tail.unwrap_or_default(), out);
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
                only: ValueForm::Any,
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

    #[test]
    fn of_what_is_no_address_nothing_is_kept() {
        let only = |keep_first: u32| Partial {
            keep_first,
            keep_from: "@".into(),
            only: ValueForm::Email,
            ..partial_of_one()
        };
        let check = |partial: &Partial, text: &[u8], expected: Option<&str>| {
            let mut out = Vec::new();
            let written = write_partial(partial, text, &mut out);
            let out = String::from_utf8(out).expect("UTF-8");
            assert_eq!(written.map(|()| out.as_str()), expected, "{text:?}");
        };
        check(&only(1), b"anna@example.com", Some("a***@example.com"));
        check(&only(1), b" \tanna@example.com\n", Some("a***@example.com"));
        check(&only(1), b"a@example.com", Some("***@example.com"));
        check(&only(4), b"anna@example.com", Some("***@example.com"));
        check(&only(1), "jörg@bücher.example".as_bytes(), Some("j***@bücher.example"));
        for other in ["", "  ", "anna", "call me @ four", "anna@example.com 4111 1111 1111 1111"] {
            check(&only(1), other.as_bytes(), Some("***"));
        }
        check(&only(1), b"j\xf6rg@example.com", Some("***"));
        // Without a mark the domain is no more than the rest of the value.
        let last = Partial { keep_last: u32::MAX, ..only(0) };
        check(&last, b"anna@example.com", Some("***@example.com"));
        for (mark, partial) in [("", only(u32::MAX)), ("", last), ("a", only(1))] {
            let marked = Partial { keep_from: mark.into(), ..partial };
            check(&marked, b"anna@example.com", Some("***"));
        }
    }

    fn partial_of_one() -> Partial {
        Partial {
            keep_first: 1,
            keep_last: 0,
            fill: "***".into(),
            keep_from: String::new(),
            only: ValueForm::Any,
        }
    }
}
