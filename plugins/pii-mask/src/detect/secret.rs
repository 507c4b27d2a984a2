//! Keys, tokens and passwords: by the prefixes their issuers gave them, and by what stands
//! before them.

use super::place::{Place, add, at, before, is_word};
use crate::kind::Kind;

pub(crate) fn find(text: &[u8], places: &mut Vec<Place>) {
    let mut index = 0;
    while index < text.len() {
        if !is_token(at(text, index)) {
            index += 1;
            continue;
        }
        let start = index;
        while is_token(at(text, index)) {
            index += 1;
        }
        if let Some(end) = end_of_secret(text, start, index) {
            add(places, Kind::Secret, start..end);
            index = end.max(index);
        }
    }
    if text.iter().any(|byte| matches!(byte, b'=' | b':')) {
        assignments(text, places);
        user_information(text, places);
    }
}

/// Whether what begins at `start` begins as a secret does.
pub(crate) fn may_begin(text: &[u8], start: usize) -> bool {
    let token = text.get(start..).unwrap_or_default();
    prefix_of(token).is_some() || (at(text, start) == b'-' && token.starts_with(PEM))
}

/// Whether the token that begins at `start` is a secret.
pub(crate) fn is_at(text: &[u8], start: usize) -> bool {
    if !may_begin(text, start) {
        return false;
    }
    let mut end = start;
    while is_token(at(text, end)) {
        end += 1;
    }
    end_of_secret(text, start, end).is_some()
}

/// Whether there may be a password in an address of the network.
pub(crate) fn has_user_information(text: &[u8]) -> bool {
    text.windows(3).any(|window| window == b"://")
}

/// The prefix of an issuer that the token has, and how much there is behind it at least.
fn prefix_of(token: &[u8]) -> Option<&'static (&'static [u8], usize)> {
    let mut bits = BY_FIRST.get(usize::from(*token.first()?)).copied()?;
    while bits != 0 {
        let known = PREFIXES.get(bits.trailing_zeros() as usize)?;
        if token.starts_with(known.0) {
            return Some(known);
        }
        bits &= bits - 1;
    }
    None
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// No secret that is known by its prefix is shorter.
pub(crate) const TOKEN_BYTES_MIN: usize = 14;

/// A private key's first line.
const PEM: &[u8] = b"-----BEGIN";

/// Prefixes, and how many further characters there are at least.
const PREFIXES: [(&[u8], usize); 35] = [
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"AIza", 35),
    (b"ya29.", 20),
    (b"GOCSPX-", 20),
    (b"ghp_", 36),
    (b"gho_", 36),
    (b"ghu_", 36),
    (b"ghs_", 36),
    (b"ghr_", 36),
    (b"github_pat_", 22),
    (b"glpat-", 20),
    (b"xoxb-", 10),
    (b"xoxp-", 10),
    (b"xoxa-", 10),
    (b"xoxr-", 10),
    (b"xoxs-", 10),
    (b"xapp-", 10),
    (b"sk_live_", 16),
    (b"sk_test_", 16),
    (b"rk_live_", 16),
    (b"rk_test_", 16),
    (b"whsec_", 24),
    (b"sk-ant-", 20),
    (b"sk-proj-", 20),
    (b"sk-", 40),
    (b"hf_", 30),
    (b"npm_", 36),
    (b"pypi-", 50),
    (b"dop_v1_", 40),
    (b"shpat_", 32),
    (b"SG.", 40),
    (b"hvs.", 20),
    (b"AGE-SECRET-KEY-", 50),
    (b"eyJ", 30),
];

/// Of the prefixes that begin with the byte of the index, one bit each.
const BY_FIRST: [u64; 128] = {
    let mut prefixes = [0; 128];
    let mut index = 0;
    while index < PREFIXES.len() {
        prefixes[PREFIXES[index].0[0] as usize] |= 1 << index;
        index += 1;
    }
    prefixes
};

/// Where the secret ends that begins with the token `start..end`, if it is one.
fn end_of_secret(text: &[u8], start: usize, end: usize) -> Option<usize> {
    let token = text.get(start..end)?;
    // A full stop ends the sentence, not the key.
    let token = token.strip_suffix(b".").unwrap_or(token);
    let end = start + token.len();
    if token.starts_with(PEM) {
        return end_of_pem(text, start);
    }
    if token.len() < TOKEN_BYTES_MIN {
        return None;
    }
    let (prefix, rest) = prefix_of(token)?;
    let is_whole = match *prefix {
        b"eyJ" => token.split(|byte| *byte == b'.').filter(|part| part.len() >= 8).count() >= 2,
        b"AKIA" | b"ASIA" => token.len() == 20 && token.iter().all(u8::is_ascii_alphanumeric),
        _ => token.len() >= prefix.len() + rest,
    };
    // Words of a sentence do not mix letters and digits; keys do.
    (is_whole && token.iter().any(u8::is_ascii_digit)).then_some(end)
}

/// Behind a private key's last line, or at the value's end where that line is missing.
fn end_of_pem(text: &[u8], start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let head = rest.get(..rest.len().min(64))?;
    let line = b"PRIVATE KEY-----";
    let is_private = head.windows(line.len()).any(|window| window == line);
    let end_line = b"-----END";
    let footer = rest.windows(end_line.len()).position(|window| window == end_line);
    let end = footer.and_then(|footer| {
        let behind = rest.get(footer..)?;
        let end = behind.windows(line.len()).position(|window| window == line)?;
        Some(start + footer + end + line.len())
    });
    is_private.then_some(end.unwrap_or(text.len()))
}

/// Ends of names whose values are secret.
const NAMES: [&str; 16] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "secret_key",
    "private_key",
    "authorization",
    "auth",
    "credential",
    "credentials",
];

/// `password=…`, `"api_key": "…"`, `Authorization: Bearer …`.
fn assignments(text: &[u8], places: &mut Vec<Place>) {
    for (sign, byte) in text.iter().enumerate() {
        if (*byte == b'=' || *byte == b':') && is_secret_name(text, sign) {
            let range = value_behind(text, sign + 1);
            if is_value(text.get(range.clone()).unwrap_or_default()) {
                add(places, Kind::Secret, range);
            }
        }
    }
}

/// Whether what stands before the sign names a secret.
pub(crate) fn is_secret_name(text: &[u8], sign: usize) -> bool {
    let skipped = |byte: u8| byte == b' ' || byte == b'"' || byte == b'\'' || byte == b'\\';
    let mut end = sign;
    while end > 0 && skipped(before(text, end)) {
        end -= 1;
    }
    let mut start = end;
    while is_word(before(text, start)) || before(text, start) == b'-' {
        start -= 1;
    }
    if end - start < 3 || !before(text, end).is_ascii_alphabetic() {
        return false;
    }
    let name = text.get(start..end).unwrap_or_default();
    let ends_with = |word: &&str| {
        let rest = name.len().checked_sub(word.len()).and_then(|at| name.split_at_checked(at));
        rest.is_some_and(|(rest, end)| {
            end.eq_ignore_ascii_case(word.as_bytes())
                && (!rest.last().is_some_and(|last| last.eq_ignore_ascii_case(&b'e'))
                    || rest.len() > 6)
        })
    };
    NAMES.iter().any(ends_with)
}

/// The value behind an equals sign or colon, without blanks, quotes and a scheme's name.
fn value_behind(text: &[u8], from: usize) -> std::ops::Range<usize> {
    let skipped =
        |byte: u8| byte == b' ' || byte == b'"' || byte == b'\'' || byte == b'\\' || byte == b'=';
    let mut start = from;
    while skipped(at(text, start)) {
        start += 1;
    }
    for scheme in [&b"Bearer "[..], b"Basic ", b"bearer ", b"basic "] {
        if text.get(start..).is_some_and(|rest| rest.starts_with(scheme)) {
            start += scheme.len();
        }
    }
    let ends =
        |byte: u8| byte.is_ascii_whitespace() || b"\"'\\,;&<>(){}[]".contains(&byte) || byte == 0;
    let mut end = start;
    while !ends(at(text, end)) {
        end += 1;
    }
    start..end
}

/// Whether this can be a secret: not a placeholder, a word of prose or a short number.
fn is_value(value: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| value.iter().any(is);
    let mixes = has(u8::is_ascii_digit) || has(|byte| !byte.is_ascii_alphanumeric());
    let is_placeholder = value.iter().all(|byte| b"*.xX-_$?".contains(byte));
    let has_letter = has(u8::is_ascii_alphabetic);
    value.len() >= 6 && mixes && !is_placeholder && (has_letter || value.len() >= 8)
}

/// The password of `scheme://user:password@host`.
fn user_information(text: &[u8], places: &mut Vec<Place>) {
    let mut from = 0;
    while let Some(found) =
        text.get(from..).and_then(|rest| rest.windows(3).position(|w| w == b"://"))
    {
        let start = from + found + 3;
        let rest = text.get(start..).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/\"'<>?#".contains(byte);
        let authority = rest.split(ends).next().unwrap_or_default();
        if let Some(sign) = authority.iter().rposition(|byte| *byte == b'@')
            && let Some(colon) = authority.iter().position(|byte| *byte == b':')
            && colon + 1 < sign
        {
            places.retain(|place| place.bytes.end <= start || place.bytes.start > start + sign);
            add(places, Kind::Secret, start + colon + 1..start + sign);
        }
        from = start;
    }
}
