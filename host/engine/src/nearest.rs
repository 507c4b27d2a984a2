//! The nearest right word for a wrong one.

/// The candidate that differs least from `word`, if it is near enough to be a slip.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, one row at a time.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, a) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        let mut next = vec![before];
        for (b, above) in right.iter().zip(row.iter().skip(1)) {
            let changed = diagonal + usize::from(a != *b);
            before = changed.min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let keys = ["plugin", "mode", "match", "deadline_ms", "memory_bytes_max"];
        for (word, expected) in [
            ("mdoe", Some("mode")),
            ("plugins", Some("plugin")),
            ("deadline", Some("deadline_ms")),
            ("memory_byte_max", Some("memory_bytes_max")),
            ("zzzzzzzzzzz", None),
        ] {
            assert_eq!(nearest(word, &keys), expected, "{word}");
        }
    }
}
