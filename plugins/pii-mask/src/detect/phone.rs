//! Telephone numbers: international form, and national forms that their grouping gives away.
//! Plain integers are not taken for telephone numbers unless a word before them says so.

use super::card;
use super::number_run::NumberRun;
use super::place::{Place, add, follows_word};
use crate::kind::Kind;

const WORDS: [&str; 12] = [
    "tel",
    "phone",
    "telephone",
    "mobile",
    "cell",
    "fax",
    "call",
    "whatsapp",
    "sms",
    "telefon",
    "handy",
    "ph",
];

pub(crate) fn find(text: &[u8], run: &NumberRun<'_>, places: &mut Vec<Place>) {
    let said = || follows_word(text, run.bytes.start, &WORDS);
    if !run.has_plus && run.groups.len() == 1 && !said() {
        return;
    }
    let digits = run.digits(&run.groups);
    if !(7..=16).contains(&digits.len()) {
        return;
    }
    let is_phone = if run.has_plus {
        is_international(&digits)
    } else {
        is_national(run, &digits) || (!is_date(run) && digits.len() <= 15 && said())
    };
    if is_phone {
        add(places, Kind::Phone, run.bytes.clone());
    }
}

/// Whether the whole text is an international number as most are written: a plus, digits, and
/// hyphens between them. It has too few digits for a card, and no other number begins behind a
/// plus, or behind a hyphen with a digit before it. Of any other text this says no, and the finders
/// have to look.
pub(crate) fn is_plainly_one(text: &[u8]) -> bool {
    let [b'+', number @ ..] = text else { return false };
    let (mut digits, mut count, mut last) = ([0; card::DIGITS_MIN - 1], 0, b'-');
    for byte in number {
        match byte {
            b'0'..=b'9' => {
                let Some(place) = digits.get_mut(count) else { return false };
                *place = *byte;
                count += 1;
            }
            b'-' if last != b'-' => {}
            _ => return false,
        }
        last = *byte;
    }
    last != b'-' && is_international(digits.get(..count).unwrap_or_default())
}

/// E.164 behind a plus; no country code begins with 0, 28, 83 or 89.
fn is_international(digits: &[u8]) -> bool {
    let unassigned = [&b"0"[..], b"28", b"83", b"89"];
    (8..=16).contains(&digits.len()) && !unassigned.iter().any(|code| digits.starts_with(code))
}

fn is_national(run: &NumberRun<'_>, digits: &[u8]) -> bool {
    let lengths = run.lengths();
    if run.groups.len() < 2 || is_date(run) {
        return false;
    }
    let is_area = |area: &[u8]| matches!(area, [b'2'..=b'9', ..]) && !area.ends_with(b"11");
    match (lengths.as_slice(), digits) {
        // Written as a social security number, valid or not.
        ([3, 2, 4], _) => false,
        // North America, with or without its country code.
        ([3, 3, 4], [area @ .., _, _, _, _]) if is_area(area) => {
            let (area, exchange) = area.split_at(3);
            is_area(area) && is_area(exchange)
        }
        ([1, 3, 3, 4], [b'1', area, ..]) => (b'2'..=b'9').contains(area),
        // An area code in parentheses.
        ([2..=5, rest @ ..], _) if run.has_parenthesis() => {
            let total: usize = rest.iter().sum();
            (6..=9).contains(&total) && !digits.starts_with(b"19") && !digits.starts_with(b"20")
        }
        // India, China.
        ([5, 5], [b'6'..=b'9', ..]) => matches!(run.separator(0), b" " | b"-"),
        ([3, 4, 4], [b'1', b'3'..=b'9', ..]) => true,
        // 00 and a country code.
        (_, [b'0', b'0', b'1'..=b'9', ..]) => (10..=16).contains(&digits.len()),
        // France: five pairs.
        ([2, 2, 2, 2, 2], [b'0', b'1'..=b'9', ..]) => true,
        // A trunk 0, an area code and a subscriber's number.
        ([3..=6, rest @ ..], [b'0', b'1'..=b'9', ..]) => {
            (9..=12).contains(&digits.len())
                && rest.len() <= 4
                && rest.last().is_some_and(|last| *last >= 2)
                && rest.iter().all(|length| *length >= 2)
        }
        ([2, rest @ ..], [b'0', b'1'..=b'9', ..]) => {
            (9..=12).contains(&digits.len()) && rest.last().is_some_and(|last| *last >= 4)
        }
        (_, _) => false,
    }
}

/// Whether the run begins or ends as a date does: years, months and days with one separator.
fn is_date(run: &NumberRun<'_>) -> bool {
    let lengths = run.lengths();
    let is_dated = |lengths: &[usize]| {
        matches!(lengths, [4, 1..=2, 1..=2, ..] | [1..=2, 1..=2, 4, ..])
            && run.separator(0) == run.separator(1)
            && matches!(run.separator(0), b"-" | b"." | b"/")
    };
    is_dated(&lengths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan;

    #[test]
    fn what_is_plainly_a_number_is_found_as_one() {
        let parts = ["+", "-", "--", " ", "1", "49", "200", "555", "0123", "4111", "86095742719"];
        let count = parts.len();
        let mut plain = 0;
        for number in 0..count.pow(6) {
            let part = |index: u32| parts[number / count.pow(index) % count];
            let text: String = (0..6).map(part).collect();
            for text in [text.clone(), format!("+{text}")] {
                if !is_plainly_one(text.as_bytes()) {
                    continue;
                }
                plain += 1;
                let mut places = Vec::new();
                scan(text.as_bytes(), &mut places);
                let whole = Place { kind: Kind::Phone, bytes: 0..text.len() };
                assert_eq!(places, [whole], "{text}");
            }
        }
        assert!(plain > 10_000, "{plain}");
        for text in ["", "+", "+1-", "+-1-200-555-0123", "+1-200--555-0123", "1-200-555-0123"] {
            assert!(!is_plainly_one(text.as_bytes()), "{text}");
        }
    }
}
