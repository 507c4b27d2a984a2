//! The first look at a batch: which cells may hold anything at all.
//!
//! Everything a finder finds begins in a way that shows in the classes of a few bytes. Where
//! nothing in a cell begins like that, no finder needs to see it; most cells are done with a
//! few instructions for sixty-four bytes.

use portcullis_plugin_sdk::Cells;

use crate::classes::{BLOCK_BYTES, Blocks, Classes};
use crate::detect::national_id::{LETTERED_BYTES_MAX, LETTERED_DIGITS_MIN};
use crate::detect::number_run::{DIGITS_MIN, GAP_BYTES_MAX, NumberRun};
use crate::detect::{card, email, iban, ip, national_id, phone, place, secret};
use crate::plain::is_plain;

/// Calls `visit` with each cell in which some finder could find something.
pub(crate) fn for_each_candidate(batch: &Cells, mut visit: impl FnMut(usize, &[u8])) {
    let data = batch.data.as_slice();
    let blocks = Blocks::of(data);
    let mut starts = Starts::of(&batch.ends);
    let end_of = |row: usize| batch.ends.get(row).map_or(data.len(), |end| *end as usize);
    let (mut row, mut resume, mut looked_at) = (0, 0, usize::MAX);
    let mut block = |index: usize| Block {
        classes: blocks.get(index).map(Classes::of).unwrap_or_default(),
        starts: starts.in_block(index * BLOCK_BYTES),
    };
    let (mut before, mut now) = (Block::default(), block(0));
    for index in 0..blocks.len() {
        let next = block(index + 1);
        let beginnings = Beginnings::of(&before, &now, &next);
        (before, now) = (now, next);
        let mut places = beginnings.all();
        while places != 0 {
            let place = index * BLOCK_BYTES + places.trailing_zeros() as usize;
            let bit = places & places.wrapping_neg();
            places ^= bit;
            if place < resume || place >= data.len() {
                continue;
            }
            while end_of(row) <= place {
                row += 1;
            }
            let (start, end) = (row.checked_sub(1).map_or(0, end_of), end_of(row));
            let cell = data.get(start..end).unwrap_or_default();
            let is_first = looked_at != row;
            looked_at = row;
            if is_first && (batch.is_null(row) || is_plain(cell)) {
                resume = end;
            } else if beginnings.is_found(bit, cell, place - start) {
                visit(row, cell);
                resume = end;
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Block {
    classes: Classes,
    /// Where cells begin.
    starts: u64,
}

/// Where cells begin.
struct Starts<'a> {
    next: usize,
    ends: std::slice::Iter<'a, u32>,
}

impl Starts<'_> {
    fn of(ends: &[u32]) -> Starts<'_> {
        Starts { next: 0, ends: ends.iter() }
    }

    /// The bits of the block at `base`; blocks come in order.
    fn in_block(&mut self, base: usize) -> u64 {
        let mut bits = 0;
        while let Some(place) = self.next.checked_sub(base).filter(|place| *place < BLOCK_BYTES) {
            bits |= 1 << place;
            self.next = self.ends.next().map_or(usize::MAX, |end| *end as usize);
        }
        bits
    }
}

/// Places at which something may begin, by what it may be.
#[derive(Clone, Copy, Default)]
struct Beginnings {
    signs: u64,
    numbers: u64,
    accounts: u64,
    addresses: u64,
    keys: u64,
}

impl Beginnings {
    /// Of the block `now`, by the classes of the bytes around each place. A place too many costs
    /// a closer look, one too few would cost a finding.
    #[inline(always)]
    fn of(before: &Block, now: &Block, next: &Block) -> Beginnings {
        let behind = |bits: u64, before: u64, count: u32| bits << count | before >> (64 - count);
        let two = |now: u64, next: u64| u128::from(next) << 64 | u128::from(now);
        let low = |bits: u128| bits as u64;
        let (starts, starts_before, starts_ahead) = (now.starts, before.starts, next.starts);
        let (before, now, next) = (&before.classes, &now.classes, &next.classes);
        // What stands before a cell belongs to another value.
        let inside = !starts;
        let inside_by_two = inside & !behind(starts, starts_before, 1);
        let words = now.words();
        let word_before = behind(words, before.words(), 1) & inside;
        let word_before_that = behind(words, before.words(), 2) & inside_by_two;
        let mark_before = behind(now.marks, before.marks, 1) & inside;
        let first = words & !word_before;
        // No identifier begins behind "ORD-" or in "a.1".
        let clean = first & !(mark_before & word_before_that);

        // A digit within the first seven bytes: all numbers that a form is known of have one.
        let digits = two(now.digits, next.digits);
        let near = digits | digits >> 1;
        let near = near | near >> 2;
        let near = low(near | near >> 3);
        // Two letters and two digits.
        let letters = two(now.names, next.names) & !digits;
        let account = low(letters & letters >> 1 & digits >> 2 & digits >> 3);
        // Up to three digits and a dot; what stands before is for the address's finder to judge.
        let dots = two(now.dots, next.dots);
        let dot = low(dots >> 1 | dots >> 2 | dots >> 3);

        // Fourteen characters of a key in a row, or ten that begin as a private key's first line:
        // the first, and so many more that no other cell begins with.
        let tokens = now.tokens();
        let more = two(tokens & !starts, next.tokens() & !starts_ahead) >> 1;
        let pair = more & more >> 1;
        let four = pair & pair >> 2;
        let eight = four & four >> 4;
        let (nine, thirteen) = (low(eight & more >> 8), low(eight & four >> 8 & more >> 12));
        let first_of_token = tokens & !(behind(tokens, before.tokens(), 1) & inside);

        Beginnings {
            signs: now.signs,
            numbers: with_digits_enough(clean & !now.lowers & near, digits),
            accounts: clean & account,
            addresses: first & now.digits & dot,
            keys: first_of_token & (thirteen | nine & now.marks),
        }
    }

    fn all(&self) -> u64 {
        self.signs | self.numbers | self.accounts | self.addresses | self.keys
    }

    /// Whether a finder finds what begins at the place of this bit, which is `at` of the cell.
    fn is_found(&self, bit: u64, cell: &[u8], at: usize) -> bool {
        let has = |places: u64| places & bit != 0;
        (has(self.keys) && secret::is_at(cell, at))
            || (has(self.numbers) && (is_number(cell, at) || national_id::is_at(cell, at)))
            || (has(self.addresses) && ip::may_begin(cell, at))
            || (has(self.accounts) && iban::is_at(cell, at))
            || (has(self.signs) && is_sign(cell, at))
    }
}

/// Of the places at which a word begins, those behind which stand as many digits as the shortest
/// number has.
#[inline(always)]
fn with_digits_enough(places: u64, digits: u128) -> u64 {
    let (mut left, mut enough) = (places, 0);
    while left != 0 {
        let place = left.trailing_zeros();
        let bit = left & left.wrapping_neg();
        left ^= bit;
        let here = (digits >> place) as u64;
        let is_enough = if here & 1 == 1 {
            const { assert!(GAP_BYTES_MAX == 2) };
            let gaps = !(here | here >> 1 | here >> 2);
            let end = gaps.trailing_zeros().min(u64::BITS - 1);
            (here & !(u64::MAX << end)).count_ones() >= DIGITS_MIN
        } else {
            // A number that begins with letters may have letters and blanks all through.
            const { assert!(LETTERED_BYTES_MAX < u64::BITS) };
            (here & !(u64::MAX << LETTERED_BYTES_MAX)).count_ones() >= LETTERED_DIGITS_MIN
        };
        if is_enough {
            enough |= bit;
        }
    }
    enough
}

/// Whether a finder finds something by its sign.
fn is_sign(cell: &[u8], at: usize) -> bool {
    match place::at(cell, at) {
        // Behind a backslash words begin where none seem to.
        b'\\' => true,
        b'@' => email::is_at(cell, at) || secret::has_user_information(cell),
        b'=' | b':' => secret::is_secret_name(cell, at) || ip::has_colons(cell),
        _ => false,
    }
}

/// Whether the digits that begin at `first`, if there are any, are a card's or a telephone's.
fn is_number(cell: &[u8], first: usize) -> bool {
    let mut places = Vec::new();
    if let Some(run) = NumberRun::at(cell, first) {
        card::find(&run, &mut places);
        phone::find(cell, &run, &mut places);
    }
    !places.is_empty()
}

#[cfg(test)]
mod tests;
