//! One value through all finders that could find something in it.

use crate::detect::number_run::NumberRun;
use crate::detect::{Place, card, email, iban, ip, national_id, phone, secret};
use crate::plain::is_plain;

/// What a value is made of, to know which finders to ask.
#[derive(Default)]
struct Profile {
    digits: usize,
    at_signs: usize,
    colons: usize,
    equals: usize,
    dots: usize,
}

impl Profile {
    fn of(text: &[u8]) -> Profile {
        let mut profile = Profile::default();
        for byte in text {
            match byte {
                b'0'..=b'9' => profile.digits += 1,
                b'@' => profile.at_signs += 1,
                b':' => profile.colons += 1,
                b'=' => profile.equals += 1,
                b'.' => profile.dots += 1,
                _ => {}
            }
        }
        profile
    }
}

/// Adds everything found in `text` to `places`, in no order.
pub(crate) fn scan(text: &[u8], places: &mut Vec<Place>) {
    if is_plain(text) {
        return;
    }
    let Profile { digits, at_signs, colons, equals, dots } = Profile::of(text);
    let may_hold_secret = colons + equals > 0 || (digits > 0 && text.len() >= 15);
    if may_hold_secret {
        secret::find(text, places);
    }
    if at_signs > 0 {
        email::find(text, places);
    }
    if digits >= 8 && text.len() >= 15 {
        iban::find(text, places);
    }
    if digits >= 7 {
        let mut from = 0;
        let mut runs = Vec::new();
        while let Some((run, next)) = NumberRun::next(text, from) {
            runs.extend(run.filter(|run| run.bytes.len() >= 7));
            from = next;
        }
        runs.iter().for_each(|run| card::find(run, places));
        national_id::find(text, places);
        runs.iter().for_each(|run| phone::find(text, run, places));
    } else if digits >= 4 && text.len() >= 9 {
        national_id::find(text, places);
    }
    if (digits >= 4 && dots >= 3) || colons >= 3 {
        ip::find(text, places);
    }
}
