//! What the bytes of a text are, one bit for each: sixty-four at a time.

pub(crate) const BLOCK_BYTES: usize = 64;

/// The bytes of one block, the first byte's bits lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Classes {
    /// Letters and digits of ASCII, and "_".
    pub(crate) names: u64,
    /// Everything beyond ASCII.
    pub(crate) beyond: u64,
    pub(crate) digits: u64,
    /// Lower-case letters.
    pub(crate) lowers: u64,
    /// "-" and ".".
    pub(crate) marks: u64,
    pub(crate) dots: u64,
    /// From ":" to "@", and the backslash.
    pub(crate) signs: u64,
}

impl Classes {
    /// What keys are made of.
    pub(crate) fn tokens(&self) -> u64 {
        self.names | self.marks
    }

    /// What words are made of: bytes beyond ASCII are letters of some script.
    pub(crate) fn words(&self) -> u64 {
        self.names | self.beyond
    }

    // A call would bring what it finds through memory, which costs as much as finding it.
    #[inline(always)]
    pub(crate) fn of(block: &[u8; BLOCK_BYTES]) -> Classes {
        let (parts, _) = block.as_chunks::<16>();
        let mut classes = Classes::default();
        for (index, part) in parts.iter().enumerate() {
            let [names, beyond, digits, lowers, marks, dots, signs] = bits(part);
            let put = |bits: u16| u64::from(bits) << (16 * index);
            classes.names |= put(names);
            classes.beyond |= put(beyond);
            classes.digits |= put(digits);
            classes.lowers |= put(lowers);
            classes.marks |= put(marks);
            classes.dots |= put(dots);
            classes.signs |= put(signs);
        }
        classes
    }

    /// Of `length` bytes from `start` on; `None` when they are more than a block.
    pub(crate) fn window(blocks: &[Classes], start: usize, length: usize) -> Option<Classes> {
        let all = u64::MAX >> BLOCK_BYTES.checked_sub(length).filter(|rest| *rest < BLOCK_BYTES)?;
        let now = blocks.get(start / BLOCK_BYTES)?;
        let next = blocks.get(start / BLOCK_BYTES + 1).copied().unwrap_or_default();
        let shift = (start % BLOCK_BYTES) as u32;
        // By one and the rest, since a shift by sixty-four is none.
        let join = |now: u64, next: u64| (now >> shift | next << 1 << (63 - shift)) & all;
        Some(Classes {
            names: join(now.names, next.names),
            beyond: join(now.beyond, next.beyond),
            digits: join(now.digits, next.digits),
            lowers: join(now.lowers, next.lowers),
            marks: join(now.marks, next.marks),
            dots: join(now.dots, next.dots),
            signs: join(now.signs, next.signs),
        })
    }
}

/// The blocks of a batch, the last filled up with zeros, which belong to no class.
pub(crate) struct Blocks<'a> {
    whole: &'a [[u8; BLOCK_BYTES]],
    rest: [u8; BLOCK_BYTES],
}

impl Blocks<'_> {
    pub(crate) fn of(data: &[u8]) -> Blocks<'_> {
        let (whole, behind) = data.as_chunks::<BLOCK_BYTES>();
        let mut rest = [0; BLOCK_BYTES];
        // Sixteen at a time: a sandbox copies few bytes one by one, or by a call out of it.
        let ((from, last), (to, _)) = (behind.as_chunks::<16>(), rest.as_chunks_mut::<16>());
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        if let Some(to) = to.get_mut(from.len()) {
            to.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
        }
        Blocks { whole, rest }
    }

    pub(crate) fn len(&self) -> usize {
        self.whole.len() + 1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8; BLOCK_BYTES]> {
        self.whole.iter().chain([&self.rest])
    }

    /// The block of this index, as long as there is one.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&[u8; BLOCK_BYTES]> {
        let last = || (index == self.whole.len()).then_some(&self.rest);
        self.whole.get(index).or_else(last)
    }
}

/// Bits in the order of the fields above.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn bits(part: &[u8; 16]) -> [u16; 7] {
    use core::arch::wasm32::{
        i8x16_bitmask, u8x16, u8x16_eq, u8x16_le, u8x16_splat, u8x16_sub, v128, v128_or,
    };
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *part;
    let bytes = u8x16(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
    let is = |byte: u8| u8x16_eq(bytes, u8x16_splat(byte));
    let within = |bytes: v128, first: u8, last: u8| {
        u8x16_le(u8x16_sub(bytes, u8x16_splat(first)), u8x16_splat(last - first))
    };
    let digits = within(bytes, b'0', b'9');
    let letters = within(v128_or(bytes, u8x16_splat(0x20)), b'a', b'z');
    let names = v128_or(v128_or(digits, letters), is(b'_'));
    let lowers = within(bytes, b'a', b'z');
    let marks = within(bytes, b'-', b'.');
    let signs = v128_or(within(bytes, b':', b'@'), is(b'\\'));
    // Of what is beyond ASCII the highest bit says so.
    [names, bytes, digits, lowers, marks, is(b'.'), signs].map(|lanes| i8x16_bitmask(lanes))
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn bits(part: &[u8; 16]) -> [u16; 7] {
    let of = |is: &dyn Fn(u8) -> bool| {
        part.iter().rev().fold(0, |bits, byte| bits << 1 | u16::from(is(*byte)))
    };
    [
        of(&|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        of(&|byte| !byte.is_ascii()),
        of(&|byte| byte.is_ascii_digit()),
        of(&|byte| byte.is_ascii_lowercase()),
        of(&|byte| byte == b'-' || byte == b'.'),
        of(&|byte| byte == b'.'),
        of(&|byte| matches!(byte, b':'..=b'@' | b'\\')),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_of_its_classes_wherever_it_stands() {
        let has = |bits: u64, place: usize| bits == 1 << place;
        for byte in 0..=u8::MAX {
            for place in [0, 1, 15, 16, 47, 63] {
                let mut block = [b' '; BLOCK_BYTES];
                block[place] = byte;
                let found = Classes::of(&block);
                let name = byte.is_ascii_alphanumeric() || byte == b'_';
                for (bits, expected) in [
                    (found.names, name),
                    (found.beyond, byte >= 0x80),
                    (found.digits, byte.is_ascii_digit()),
                    (found.lowers, byte.is_ascii_lowercase()),
                    (found.marks, byte == b'.' || byte == b'-'),
                    (found.dots, byte == b'.'),
                    (found.signs, b":;<=>?@\\".contains(&byte)),
                ] {
                    assert_eq!((has(bits, place), bits == 0), (expected, !expected), "{byte}");
                }
            }
        }
    }

    #[test]
    fn a_window_shows_what_stands_there() {
        let data: Vec<u8> = (0..400_usize).map(|place| b"a7-.@_ Z"[place * place % 8]).collect();
        let of = |data: &[u8]| {
            let blocks = Blocks::of(data);
            blocks.iter().map(Classes::of).collect::<Vec<_>>()
        };
        let blocks = of(&data);
        for start in 0..data.len() {
            for length in [1, 2, 31, 63, 64] {
                let Some(text) = data.get(start..start + length) else { continue };
                let window = Classes::window(&blocks, start, length);
                assert_eq!(window.as_ref(), of(text).first(), "{start}");
            }
            assert_eq!(Classes::window(&blocks, start, 65), None);
            assert_eq!(Classes::window(&blocks, start, 0), None);
        }
    }
}
