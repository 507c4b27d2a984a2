//! International bank account numbers: country, length and mod 97.

use super::checksums::mod_97;
use super::place::{Place, add, at, ends_clean, starts_clean};
use crate::kind::Kind;

pub(crate) fn find(text: &[u8], places: &mut Vec<Place>) {
    let mut index = 0;
    while index + 15 <= text.len() {
        if let Some(end) = end_of_iban(text, index) {
            add(places, Kind::Iban, index..end);
            index = end;
        }
        index += 1;
    }
}

/// Whether an account number begins at `start`.
pub(crate) fn is_at(text: &[u8], start: usize) -> bool {
    end_of_iban(text, start).is_some()
}

fn end_of_iban(text: &[u8], start: usize) -> Option<usize> {
    let looks = at(text, start).is_ascii_alphabetic()
        && at(text, start + 1).is_ascii_alphabetic()
        && at(text, start + 2).is_ascii_digit()
        && at(text, start + 3).is_ascii_digit();
    if !looks || !starts_clean(text, start) {
        return None;
    }
    let country = [at(text, start), at(text, start + 1)].map(|byte| byte.to_ascii_uppercase());
    let place = LENGTHS.binary_search_by_key(&country, |(code, _)| **code).ok()?;
    let length = LENGTHS.get(place)?.1;
    let mut iban = Vec::with_capacity(length);
    let mut index = start;
    while iban.len() < length {
        match at(text, index) {
            byte if byte.is_ascii_alphanumeric() => iban.push(byte.to_ascii_uppercase()),
            // Printed in groups of four.
            b' ' | b'-' if iban.len() % 4 == 0 => {}
            _ => return None,
        }
        index += 1;
    }
    let (head, body) = iban.split_at_checked(4)?;
    let checks = mod_97(body.iter().chain(head).copied()) == 1;
    (checks && ends_clean(text, index)).then_some(index)
}

const LENGTHS: [(&[u8; 2], usize); 84] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
];

// Looked up by halves.
const _: () = {
    let mut index = 1;
    while index < LENGTHS.len() {
        let (one, other) = (LENGTHS[index - 1].0, LENGTHS[index].0);
        assert!(one[0] < other[0] || (one[0] == other[0] && one[1] < other[1]));
        index += 1;
    }
};
