//! A keyed permutation of symbols, each in an alphabet of its own.
//!
//! A Feistel network over the two halves, added symbol by symbol within each alphabet, as
//! format-preserving encryption does it: so two different values of one form never become
//! the same pseudonym, however few values the form has.

use sha2::{Digest, Sha256};

const ROUNDS: u8 = 10;

/// A value below its radix; a radix is never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) value: u16,
    pub(crate) radix: u16,
}

/// `key` is secret, and bound to everything that is not to be comparable.
pub(crate) fn permute(key: &[u8; 32], symbols: &mut [Symbol]) {
    let (left, right) = symbols.split_at_mut(symbols.len() / 2);
    for round in 0..ROUNDS {
        match round % 2 {
            0 => add_round(key, round, left, right),
            _ => add_round(key, round, right, left),
        }
    }
}

/// Adds to `changed` what `key`, `round` and `other` determine. Linear in the length of
/// both: `other` is hashed once, and that hash stretched.
fn add_round(key: &[u8; 32], round: u8, other: &[Symbol], changed: &mut [Symbol]) {
    let mut hash = Sha256::new_with_prefix(key);
    hash.update([round]);
    for symbol in other {
        hash.update(symbol.value.to_be_bytes());
    }
    let digest = hash.finalize();
    let mut stream = digest;
    for (block, chunk) in (0_u32..).zip(changed.chunks_mut(16)) {
        if block > 0 {
            let hash = Sha256::new_with_prefix(key).chain_update(digest);
            stream = hash.chain_update(block.to_be_bytes()).finalize();
        }
        for (symbol, pair) in chunk.iter_mut().zip(stream.as_chunks::<2>().0) {
            let sum = u32::from(symbol.value) + u32::from(u16::from_be_bytes(*pair));
            symbol.value = (sum % u32::from(symbol.radix)) as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_value_of_a_form_has_its_own_image() {
        let check = |radixes: &[u16]| {
            let total: u32 = radixes.iter().map(|radix| u32::from(*radix)).product();
            let mut images = HashSet::new();
            for number in 0..total {
                let mut rest = number;
                let mut symbols = Vec::new();
                for radix in radixes {
                    symbols
                        .push(Symbol { value: (rest % u32::from(*radix)) as u16, radix: *radix });
                    rest /= u32::from(*radix);
                }
                permute(&[7; 32], &mut symbols);
                assert!(symbols.iter().all(|symbol| symbol.value < symbol.radix));
                images.insert(symbols.iter().map(|symbol| symbol.value).collect::<Vec<_>>());
            }
            assert_eq!(images.len(), total as usize, "{radixes:?}");
        };
        check(&[10]);
        check(&[9, 10]);
        check(&[3, 10, 26]);
        check(&[26, 2, 5, 10]);
    }
}
