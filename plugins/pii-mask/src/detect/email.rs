//! Mail addresses.

use super::place::{Place, add, at, before};
use super::secret;
use crate::classes::{BLOCK_BYTES, Classes};
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

/// Whether there is an address around the "@" at `sign`.
pub(crate) fn is_at(text: &[u8], sign: usize) -> bool {
    address_around(text, sign).is_some()
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
const NOT_DOMAINS: [u32; 16] = {
    let endings: [&[u8]; 16] = [
        b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"bmp", b"ico", b"pdf", b"js", b"css",
        b"html", b"json", b"xml", b"txt", b"zip",
    ];
    let (mut words, mut index) = ([0; 16], 0);
    while index < endings.len() {
        words[index] = word(endings[index]);
        index += 1;
    }
    words
};

fn is_no_domain(last: &[u8]) -> bool {
    last.len() <= 4 && NOT_DOMAINS.contains(&word(last))
}

/// Four bytes at most as one number, capitals as small letters. No other byte becomes a letter, and
/// no shorter text is like a longer one.
const fn word(bytes: &[u8]) -> u32 {
    let (mut word, mut rest) = (0, bytes);
    while let [first, behind @ ..] = rest {
        word = word << 8 | (*first | 0x20) as u32;
        rest = behind;
    }
    word
}

/// Whether the whole text is a mail address as most are written, by the classes of its bytes.
/// Of any other it says no, and the finders have to look.
pub(crate) fn is_plainly_one(text: &[u8], classes: Classes) -> bool {
    let Classes { names, digits, lowers, dots, signs, .. } = classes;
    let length = text.len();
    if !(6..=BLOCK_BYTES).contains(&length) || !signs.is_power_of_two() {
        return false;
    }
    let sign = signs.trailing_zeros() as usize;
    let all = u64::MAX >> (BLOCK_BYTES - length);
    let domain = all & !(signs | (signs - 1));
    let dots = dots & domain;
    if at(text, sign) != b'@' || classes.tokens() != all & !signs || names & 1 == 0 || dots == 0 {
        return false;
    }
    let last_dot = 63 - dots.leading_zeros();
    let top = domain & (u64::MAX << last_dot << 1);
    let is_domain = names & domain & !(lowers | digits) == 0
        && dots & (signs << 1 | dots << 1) == 0
        && top & !lowers == 0
        && top.count_ones() >= 2
        && !is_no_domain(text.get(last_dot as usize + 1..).unwrap_or_default());
    let is_secret = |start: usize, end: usize| {
        end - start >= secret::TOKEN_BYTES_MIN && secret::may_begin(text, start)
    };
    is_domain && !is_secret(0, sign) && !is_secret(sign + 1, length)
}

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
    is_top && labelled && others > 0 && !is_no_domain(last)
}
