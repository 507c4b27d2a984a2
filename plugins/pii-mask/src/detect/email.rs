//! Mail addresses.

use super::place::{Place, add, at, before};
use crate::kind::Kind;

pub(crate) fn find(text: &[u8], places: &mut Vec<Place>) {
    let mut from = 0;
    while let Some(sign) = text.get(from..).and_then(|rest| rest.iter().position(|b| *b == b'@')) {
        let sign = from + sign;
        if let Some((start, end)) = address_around(text, sign) {
            add(places, Kind::Email, start..end);
        }
        from = sign + 1;
    }
}

fn address_around(text: &[u8], sign: usize) -> Option<(usize, usize)> {
    let mut start = sign;
    while is_local(before(text, start)) && sign - start < 64 {
        start -= 1;
    }
    // A quote or a dot belongs to what stands before the address.
    while start < sign && matches!(at(text, start), b'\'' | b'.' | b'-') {
        start += 1;
    }
    let mut end = sign + 1;
    while is_domain(at(text, end)) {
        end += 1;
    }
    while end > sign && matches!(before(text, end), b'.' | b'-') {
        end -= 1;
    }
    let domain = text.get(sign + 1..end)?;
    let is_remote = text.get(start..sign) == Some(b"git") && at(text, end) == b':';
    (start < sign && is_mail_domain(domain) && !is_remote).then_some((start, end))
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'-')
}

/// Endings of files and versions that stand behind an "@" without being domains.
const NOT_DOMAINS: [&[u8]; 16] = [
    b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"bmp", b"ico", b"pdf", b"js", b"css",
    b"html", b"json", b"xml", b"txt", b"zip",
];

fn is_mail_domain(domain: &[u8]) -> bool {
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let Some(last) = labels.next() else { return false };
    let is_top = last.len() >= 2
        && (last.starts_with(b"xn--")
            || last.iter().all(|b| b.is_ascii_alphabetic() || *b >= 0x80));
    let mut others = 0;
    let labelled = labels.all(|label| {
        others += 1;
        !label.is_empty() && label.len() <= 63
    });
    is_top && labelled && others > 0 && !NOT_DOMAINS.contains(&last.to_ascii_lowercase().as_slice())
}
