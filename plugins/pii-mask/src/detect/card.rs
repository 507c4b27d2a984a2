//! Payment card numbers: issuer ranges, lengths, grouping and Luhn.

use super::checksums::{ean_13, luhn};
use super::number_run::NumberRun;
use super::place::{Place, add};
use crate::kind::Kind;

/// No card's number is shorter,
pub(crate) const DIGITS_MIN: usize = 13;
/// and none longer.
const DIGITS_MAX: usize = 19;

pub(crate) fn find(run: &NumberRun<'_>, places: &mut Vec<Place>) {
    let lengths = run.lengths();
    if lengths.iter().sum::<usize>() < DIGITS_MIN {
        return;
    }
    for first in 0..run.groups.len() {
        for grouping in GROUPINGS {
            let last = first + grouping.len();
            if lengths.get(first..last) != Some(grouping) || !is_even(run, first, last) {
                continue;
            }
            let Some(groups) = run.groups.get(first..last) else { continue };
            if let ([head, ..], [.., tail]) = (groups, groups)
                && is_card(&run.digits(groups))
            {
                add(places, Kind::Card, head.start..tail.end);
            }
        }
    }
    if let [whole] = run.groups.as_slice()
        && (DIGITS_MIN..=DIGITS_MAX).contains(&(whole.end - whole.start))
        && !run.has_plus
        && is_card(&run.digits(&run.groups))
    {
        add(places, Kind::Card, whole.clone());
    }
}

/// How cards print their numbers.
const GROUPINGS: [&[usize]; 6] =
    [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 1], &[4, 3, 3, 3]];

/// Whether the same blank or hyphen stands between all groups.
fn is_even(run: &NumberRun<'_>, first: usize, last: usize) -> bool {
    let separator = run.separator(first);
    matches!(separator, b" " | b"-")
        && (first..last.saturating_sub(1)).all(|index| run.separator(index) == separator)
}

fn is_card(digits: &[u8]) -> bool {
    let lengths = issuer_lengths(prefix(digits));
    let is_barcode = ean_13(digits);
    let is_varied = digits.iter().any(|digit| Some(digit) != digits.first());
    lengths.contains(&digits.len()) && is_varied && !is_barcode && luhn(digits)
}

/// The first six digits as a number.
fn prefix(digits: &[u8]) -> u32 {
    digits.iter().take(6).fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// How long the numbers of the issuer of this prefix are.
fn issuer_lengths(prefix: u32) -> &'static [usize] {
    match prefix {
        // Visa, Mastercard and its 2-series, American Express.
        400_000..=499_999 => &[13, 16, 19],
        510_000..=559_999 | 222_100..=272_099 => &[16],
        340_000..=349_999 | 370_000..=379_999 => &[15],
        // Discover, JCB, Diners Club.
        601_100..=601_199 | 644_000..=659_999 => &[16, 17, 18, 19],
        352_800..=358_999 => &[16, 17, 18, 19],
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => {
            &[14, 16, 19]
        }
        // Maestro.
        501_800..=501_899
        | 502_000..=502_099
        | 503_800..=503_899
        | 589_300..=589_399
        | 630_400..=630_499
        | 675_900..=675_999
        | 676_100..=676_399 => &[13, 14, 15, 16, 17, 18, 19],
        // UnionPay, Mir, RuPay.
        620_000..=629_999 => &[16, 17, 18, 19],
        220_000..=220_499 => &[16, 17, 18, 19],
        508_500..=508_999 | 606_985..=608_500 | 817_200..=820_199 => &[16],
        _ => &[],
    }
}
