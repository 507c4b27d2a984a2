//! One value through all finders that could find something in it.

use smallvec::SmallVec;

use crate::detect::number_run::{NumberRun, RUN_BYTES_MIN};
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
        // Each count has twelve bits of a sum, and none overflows them within a part.
        for part in text.chunks(4095) {
            let sum: u64 = part.iter().map(|byte| COUNTS[usize::from(*byte)]).sum();
            let count = |field: u32| (sum >> (12 * field) & 0xfff) as usize;
            profile.digits += count(0);
            profile.at_signs += count(1);
            profile.colons += count(2);
            profile.equals += count(3);
            profile.dots += count(4);
        }
        profile
    }
}

/// One in the field that counts the byte.
const COUNTS: [u64; 256] = {
    let mut counts = [0; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        counts[digit as usize] = 1;
        digit += 1;
    }
    counts[b'@' as usize] = 1 << 12;
    counts[b':' as usize] = 1 << 24;
    counts[b'=' as usize] = 1 << 36;
    counts[b'.' as usize] = 1 << 48;
    counts
};

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
        // What fills the whole value leaves no room for anything else.
        if let [place] = places.as_slice()
            && place.bytes == (0..text.len())
        {
            return;
        }
    }
    if digits >= 8 && text.len() >= 15 {
        iban::find(text, places);
    }
    if digits >= 7 {
        let mut from = 0;
        let mut runs: SmallVec<[NumberRun<'_>; 2]> = SmallVec::new();
        while let Some((run, next)) = NumberRun::next(text, from) {
            runs.extend(run.filter(|run| run.bytes.len() >= RUN_BYTES_MIN));
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
