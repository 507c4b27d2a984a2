//! The first look at a batch: which sixteen-byte blocks hold a byte that any finder needs.

/// One bit per byte of the block, the first byte's lowest: digits, "@", ":", "=" and the
/// "_" and "-" of keys with prefixes.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) fn marks(block: &[u8; 16]) -> u16 {
    use core::arch::wasm32::{
        i8x16_bitmask, u8x16, u8x16_eq, u8x16_le, u8x16_splat, u8x16_sub, v128_or,
    };
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *block;
    let bytes = u8x16(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
    // The colon follows the nine.
    let digits = u8x16_le(u8x16_sub(bytes, u8x16_splat(b'0')), u8x16_splat(10));
    let signs = v128_or(u8x16_eq(bytes, u8x16_splat(b'@')), u8x16_eq(bytes, u8x16_splat(b'=')));
    i8x16_bitmask(v128_or(digits, signs))
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) fn marks(block: &[u8; 16]) -> u16 {
    block.iter().rev().fold(0, |bits, byte| bits << 1 | u16::from(is_mark(*byte)))
}

/// A byte without which nothing is found: a digit, ":", "=" or "@".
pub(crate) fn is_mark(byte: u8) -> bool {
    byte.wrapping_sub(b'0') <= 10 || byte == b'@' || byte == b'='
}

/// Calls `visit` with the place of a marked byte; it answers where to go on.
pub(crate) fn for_each_mark(data: &[u8], mut visit: impl FnMut(usize) -> usize) {
    let mut resume = 0;
    let (blocks, rest) = data.as_chunks::<16>();
    for (index, block) in blocks.iter().enumerate() {
        let base = index * 16;
        if resume >= base + 16 {
            continue;
        }
        let mut bits = marks(block);
        while bits != 0 {
            let place = base + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if place >= resume {
                resume = visit(place);
            }
        }
    }
    let base = data.len() - rest.len();
    for (index, byte) in rest.iter().enumerate() {
        if base + index >= resume && is_mark(*byte) {
            resume = visit(base + index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_visited_wherever_it_stands() {
        for length in 1..50 {
            for place in 0..length {
                let mut data = vec![b'a'; length];
                data[place] = b'7';
                let mut visited = Vec::new();
                for_each_mark(&data, |at| {
                    visited.push(at);
                    at + 1
                });
                assert_eq!(visited, [place], "{length}");
            }
        }
    }

    #[test]
    fn what_was_dealt_with_is_not_visited_again() {
        let mut visited = Vec::new();
        for_each_mark(&[b'1'; 40], |at| {
            visited.push(at);
            at + 18
        });
        assert_eq!(visited, [0, 18, 36]);
    }
}
