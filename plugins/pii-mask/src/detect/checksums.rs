//! Check digits.

/// The values of decimal digits; other bytes have none.
fn values(digits: &[u8]) -> impl DoubleEndedIterator<Item = u32> + '_ {
    digits.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'))
}

/// Luhn: cards, Swedish and Canadian numbers.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let double = |(index, value): (usize, u32)| match (index % 2, value * 2) {
        (0, _) => value,
        (_, doubled) => doubled / 10 + doubled % 10,
    };
    values(digits).rev().enumerate().map(double).sum::<u32>() % 10 == 0
}

/// The sum of digits times weights.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    values(digits).zip(weights).map(|(value, weight)| value * weight).sum()
}

/// The digits as a number, modulo something small.
pub(crate) fn modulo(digits: &[u8], modulus: u32) -> u32 {
    values(digits).fold(0, |rest, value| (rest * 10 + value) % modulus)
}

/// ISO 7064 mod 97-10 over letters and digits: IBAN.
pub(crate) fn mod_97(text: impl Iterator<Item = u8>) -> u32 {
    text.fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        b'A'..=b'Z' => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
        _ => rest,
    })
}

/// ISO 7064 mod 11,10: German tax numbers.
pub(crate) fn mod_11_10(digits: &[u8]) -> bool {
    let mut product = 10;
    let Some((check, body)) = digits.split_last() else { return false };
    for value in values(body) {
        let sum = match (value + product) % 10 {
            0 => 10,
            sum => sum,
        };
        product = (sum * 2) % 11;
    }
    values(&[*check]).next() == Some((11 - product) % 10)
}

/// EAN-13: Swiss insurance numbers, and the barcodes that must not be taken for cards.
pub(crate) fn ean_13(digits: &[u8]) -> bool {
    digits.len() == 13
        && weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// Verhoeff: Indian Aadhaar numbers.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTE: [[u32; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let permuted = |(index, value): (usize, u32)| {
        PERMUTE.get(index % 8).and_then(|row| row.get(value as usize)).copied().unwrap_or(0)
    };
    values(digits).rev().enumerate().map(permuted).fold(0, dihedral) == 0
}

/// Multiplication in the dihedral group of the pentagon.
fn dihedral(one: u32, other: u32) -> u32 {
    match (one < 5, other < 5) {
        (true, true) => (one + other) % 5,
        (true, false) => 5 + (one + other) % 5,
        (false, true) => 5 + (one - other) % 5,
        (false, false) => (one + 5 - other) % 5,
    }
}

/// Whether two digits each of month and day can be those of a date.
pub(crate) fn is_date(month: u32, day: u32) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_check_and_their_neighbours_do_not() {
        let check = |is_valid: fn(&[u8]) -> bool, number: &str| {
            assert!(is_valid(number.as_bytes()), "{number}");
            let mut wrong = number.as_bytes().to_vec();
            let last = wrong.last_mut().unwrap();
            *last = if *last == b'9' { b'0' } else { *last + 1 };
            assert!(!is_valid(&wrong), "{number} with another check digit");
        };
        check(luhn, "4111111111111111");
        check(mod_11_10, "86095742719");
        check(ean_13, "7569217076985");
        check(verhoeff, "2363");
        check(verhoeff, "234123412346");
        check(|iban| mod_97(iban.iter().copied()) == 1, "370400440532013000DE89");
    }
}
