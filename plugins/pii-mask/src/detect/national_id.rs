//! National identity, insurance and tax numbers: the form they are written in and their
//! check digits. Forms whose check is weak count only with their separators.

use smallvec::SmallVec;

use super::checksums::{ean_13, is_date, luhn, mod_11_10, modulo, verhoeff, weighted};
use super::number_run::{DIGITS_MIN, GAP_BYTES_MAX};
use super::place::{Place, add, at, ends_clean, follows_word, is_word, starts_clean};
use crate::kind::Kind;

/// How a number is written: `d` a digit, `L` a capital letter, `x` either; else itself.
struct Form {
    pattern: &'static str,
    /// The length of its first word.
    word: usize,
    /// Judges the letters and digits.
    check: fn(&[u8]) -> bool,
}

const fn form(pattern: &'static str, check: fn(&[u8]) -> bool) -> Form {
    let bytes = pattern.as_bytes();
    let mut word = 0;
    while word < bytes.len() && bytes[word].is_ascii_alphanumeric() {
        word += 1;
    }
    Form { pattern, word, check }
}

const FORMS: [Form; 30] = [
    form("ddd-dd-dddd", us_social_security),
    form("ddd dd dddd", us_social_security),
    form("LLddddddL", uk_insurance),
    form("LL dd dd dd L", uk_insurance),
    form("ddddddddL", spain),
    form("dddddddd-L", spain),
    form("LdddddddL", spain_or_singapore),
    form("L-ddddddd-L", spain_or_singapore),
    form("ddddddddddddddd", france),
    form("d dd dd dd ddd ddd dd", france),
    form("ddddddddddd", germany_or_norway),
    form("dd ddd ddd ddd", germany),
    form("LLLLLLddLddLdddL", italy),
    form("ddd.ddd.ddd-dd", brazil),
    form("dddd dddd dddd", india_aadhaar),
    form("dddd-dddd-dddd", india_aadhaar),
    form("LLLLLddddL", india_pan),
    form("dddddd-dddd", sweden),
    form("dddddd+dddd", sweden),
    form("dddddddd-dddd", sweden_with_century),
    form("dddddd-dddx", finland),
    form("ddddddAdddx", finland),
    form("ddd.dddd.dddd.dd", switzerland),
    form("756dddddddddd", switzerland),
    form("dd.dd.dd-ddd.dd", belgium),
    form("dddddddddddddddddx", china),
    form("LLLLddddddLLLLLLxd", mexico),
    form("dddddd-ddddddd", korea),
    form("ddd-ddd-ddd", canada),
    form("dddddd ddddd", norway),
];

/// The longest form that begins with a letter.
pub(crate) const LETTERED_BYTES_MAX: u32 = 18;

/// The fewest digits of a form that begins with a letter.
pub(crate) const LETTERED_DIGITS_MIN: u32 = 4;

// What is passed over before any form is tried is none of them: those that begin with a digit are
// written with as many digits as any number, and no more between two of them than between groups.
const _: () = {
    let mut index = 0;
    while index < FORMS.len() {
        let pattern = FORMS[index].pattern.as_bytes();
        let (mut place, mut digits, mut gap) = (0, 0, 0);
        while place < pattern.len() {
            if matches!(pattern[place], b'd' | b'0'..=b'9') {
                assert!(pattern[0] == b'L' || gap <= GAP_BYTES_MAX);
                digits += 1;
                gap = 0;
            } else {
                gap += 1;
            }
            place += 1;
        }
        if pattern[0] == b'L' {
            assert!(digits >= LETTERED_DIGITS_MIN && place <= LETTERED_BYTES_MAX as usize);
        } else {
            assert!(digits >= DIGITS_MIN);
        }
        index += 1;
    }
};

pub(crate) fn find(text: &[u8], places: &mut Vec<Place>) {
    let mut index = 0;
    while index < text.len() {
        if !at(text, index).is_ascii_alphanumeric() {
            index += 1;
            continue;
        }
        let mut end = index + 1;
        while is_word(at(text, end)) {
            end += 1;
        }
        if starts_clean(text, index)
            && let Some(behind) = end_of_number(text, index, end - index)
        {
            add(places, Kind::NationalId, index..behind);
        }
        index = end;
    }
}

/// Whether a number begins at `start`.
pub(crate) fn is_at(text: &[u8], start: usize) -> bool {
    let first = at(text, start);
    if !(first.is_ascii_digit() || first.is_ascii_uppercase()) || !starts_clean(text, start) {
        return false;
    }
    let word = text.get(start..).unwrap_or_default().iter().take(BY_WORD.len());
    let word = word.take_while(|byte| is_word(**byte)).count();
    word < BY_WORD.len() && end_of_number(text, start, word).is_some()
}

/// Tries the forms whose first word is as long as the one that begins at `start`.
fn end_of_number(text: &[u8], start: usize, word: usize) -> Option<usize> {
    for form in forms(word) {
        let end = start + form.pattern.len();
        if let Some(number) = matched(text, start, form.pattern)
            && ends_clean(text, end)
            && (form.check)(&number)
        {
            return Some(end);
        }
    }
    let whole = text.get(start..start + word).unwrap_or_default();
    let said = || follows_word(text, start, &["ssn", "social", "security"]);
    let is_bare = word == 9 && whole.iter().all(u8::is_ascii_digit) && us_social_security(whole);
    (is_bare && said()).then_some(start + word)
}

/// The forms whose first word is of this length.
fn forms(word: usize) -> impl Iterator<Item = &'static Form> {
    let mut bits: u32 = BY_WORD.get(word).copied().unwrap_or(0);
    std::iter::from_fn(move || {
        let form = FORMS.get(bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(form)
    })
}

/// Of the forms whose first word is as long as the index, one bit each.
const BY_WORD: [u32; 20] = {
    let mut forms = [0; 20];
    let mut index = 0;
    while index < FORMS.len() {
        forms[FORMS[index].word] |= 1 << index;
        index += 1;
    }
    forms
};

/// The letters and digits at `start`, if they are written as `pattern` says.
fn matched(text: &[u8], start: usize, pattern: &str) -> Option<SmallVec<[u8; 24]>> {
    let written = text.get(start..start + pattern.len())?;
    let is_right = |(byte, expected): (&u8, u8)| match expected {
        b'd' => byte.is_ascii_digit(),
        b'L' => byte.is_ascii_uppercase(),
        b'x' => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
        literal => *byte == literal,
    };
    let matches = written.iter().zip(pattern.bytes()).all(is_right);
    matches.then(|| written.iter().filter(|byte| byte.is_ascii_alphanumeric()).copied().collect())
}

/// The digits from `start` on as a number.
fn number(digits: &[u8], start: usize, count: usize) -> u32 {
    let digits = digits.get(start..start + count).unwrap_or_default();
    digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit.wrapping_sub(b'0')))
}

/// Social security numbers, and tax numbers in their place, whose area begins with 9.
fn us_social_security(digits: &[u8]) -> bool {
    let (area, group, serial) = (number(digits, 0, 3), number(digits, 3, 2), number(digits, 5, 4));
    let is_tax_number = area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99);
    let is_example =
        (area, group, serial) == (78, 5, 1120) || (area, group, serial) == (219, 9, 9999);
    let is_social = !matches!(area, 0 | 666 | 900..);
    (is_social || is_tax_number) && group != 0 && serial != 0 && !is_example
}

fn uk_insurance(number: &[u8]) -> bool {
    let ([one, two, ..], Some(last)) = (number, number.last()) else { return false };
    let unused: [&[u8]; 7] = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"];
    !b"DFIQUV".contains(one)
        && !b"DFIOQUV".contains(two)
        && !unused.contains(&[*one, *two].as_slice())
        && (b'A'..=b'D').contains(last)
}

const SPANISH_LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

fn spain(id: &[u8]) -> bool {
    let letter = SPANISH_LETTERS.get((number(id, 0, 8) % 23) as usize);
    letter == id.last() && number(id, 0, 8) > 0
}

fn spain_or_singapore(id: &[u8]) -> bool {
    let ([first, digits @ .., last], Some(body)) = (id, id.get(1..8)) else { return false };
    let spanish = |lead: u32| {
        let place = (lead * 10_000_000 + number(body, 0, 7)) % 23;
        SPANISH_LETTERS.get(place as usize) == Some(last)
    };
    let sum = weighted(digits, &[2, 7, 6, 5, 4, 3, 2]);
    let singaporean =
        |offset: u32, letters: &[u8; 11]| letters.get(((sum + offset) % 11) as usize) == Some(last);
    match first {
        b'X' => spanish(0),
        b'Y' => spanish(1),
        b'Z' => spanish(2),
        b'S' => singaporean(0, b"JZIHGFEDCBA"),
        b'T' => singaporean(4, b"JZIHGFEDCBA"),
        b'F' => singaporean(0, b"XWUTRQPNMLK"),
        b'G' => singaporean(4, b"XWUTRQPNMLK"),
        _ => false,
    }
}

fn france(digits: &[u8]) -> bool {
    let Some((body, _)) = digits.split_at_checked(13) else { return false };
    matches!(digits.first(), Some(b'1' | b'2'))
        && matches!(number(digits, 3, 2), 1..=12 | 20..=42 | 50..=99)
        && number(digits, 13, 2) == 97 - modulo(body, 97)
}

/// One digit occurs twice or thrice among the first ten, the others at most once.
fn germany(digits: &[u8]) -> bool {
    let body = digits.get(..10).unwrap_or_default();
    let count = |digit: u8| body.iter().filter(|other| **other == digit).count();
    let repeated = (b'0'..=b'9').filter(|digit| count(*digit) > 1).count();
    let is_spread = repeated == 1 && (b'0'..=b'9').all(|digit| count(digit) <= 3);
    digits.first() != Some(&b'0') && is_spread && mod_11_10(digits)
}

fn norway(digits: &[u8]) -> bool {
    is_date(number(digits, 2, 2) % 40, number(digits, 0, 2) % 40)
        && weighted(digits, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighted(digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

fn germany_or_norway(digits: &[u8]) -> bool {
    germany(digits) || norway(digits)
}

/// The check letter of a codice fiscale.
fn italy(code: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let Some((last, body)) = code.split_last() else { return false };
    let value = |(index, byte): (usize, &u8)| {
        let value = if byte.is_ascii_digit() { byte - b'0' } else { byte.wrapping_sub(b'A') };
        let odd = || ODD.get(usize::from(value)).copied().unwrap_or(0);
        if index % 2 == 0 { odd() } else { u32::from(value) }
    };
    let sum: u32 = body.iter().enumerate().map(value).sum();
    u32::from(*last) == u32::from(b'A') + sum % 26
}

fn brazil(digits: &[u8]) -> bool {
    let check = |weights: &[u32]| weighted(digits, weights) * 10 % 11 % 10;
    let is_varied = digits.iter().any(|digit| Some(digit) != digits.first());
    is_varied
        && check(&[10, 9, 8, 7, 6, 5, 4, 3, 2]) == number(digits, 9, 1)
        && check(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == number(digits, 10, 1)
}

fn india_aadhaar(digits: &[u8]) -> bool {
    matches!(digits.first(), Some(b'2'..=b'9')) && verhoeff(digits)
}

fn india_pan(code: &[u8]) -> bool {
    code.get(3).is_some_and(|holder| b"ABCFGHLJPT".contains(holder))
}

fn sweden(digits: &[u8]) -> bool {
    // A coordination number adds sixty to the day.
    is_date(number(digits, 2, 2), number(digits, 4, 2) % 60) && luhn(digits)
}

fn sweden_with_century(digits: &[u8]) -> bool {
    matches!(number(digits, 0, 2), 18..=20) && digits.get(2..).is_some_and(sweden)
}

fn finland(id: &[u8]) -> bool {
    const LETTERS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let digits: Vec<u8> =
        id.iter().filter(|byte| **byte != b'A' || id.last() == Some(byte)).copied().collect();
    let Some((last, body)) = digits.split_last() else { return false };
    let body: Vec<u8> = body.iter().filter(|byte| byte.is_ascii_digit()).copied().collect();
    is_date(number(&body, 2, 2), number(&body, 0, 2))
        && LETTERS.get(modulo(&body, 31) as usize) == Some(last)
}

fn switzerland(digits: &[u8]) -> bool {
    digits.starts_with(b"756") && ean_13(digits)
}

fn belgium(digits: &[u8]) -> bool {
    let body = number(digits, 0, 9);
    let check = number(digits, 9, 2);
    // Those born in or after 2000 have a 2 before the number.
    check == 97 - body % 97 || check == 97 - (2_000_000_000 + body) % 97
}

fn china(id: &[u8]) -> bool {
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let body = id.get(..17).unwrap_or_default();
    matches!(number(id, 6, 2), 19 | 20)
        && is_date(number(id, 10, 2), number(id, 12, 2))
        && b"10X98765432".get((weighted(body, &weights) % 11) as usize) == id.last()
}

fn mexico(code: &[u8]) -> bool {
    is_date(number(code, 6, 2), number(code, 8, 2))
        && matches!(code.get(10), Some(b'H' | b'M' | b'X'))
}

fn korea(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    is_date(number(digits, 2, 2), number(digits, 4, 2))
        && matches!(digits.get(6), Some(b'1'..=b'8'))
        && (11 - sum % 11) % 10 == number(digits, 12, 1)
}

fn canada(digits: &[u8]) -> bool {
    !matches!(digits.first(), Some(b'0' | b'8')) && luhn(digits)
}
