//! What people call a case: short enough to read out, from an alphabet without look-alikes.

/// Crockford's base 32: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of an id, five bits each.
pub const LENGTH: usize = 8;

/// A new id, from the system's randomness.
///
/// # Errors
/// When the system has none to give.
pub fn draw() -> Result<String, getrandom::Error> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    let letter = |byte: &u8| ALPHABET.get(usize::from(byte & 31)).map_or('0', |c| char::from(*c));
    Ok(bytes.iter().map(letter).collect())
}

/// An id as somebody typed it; `None` for what is none.
pub fn read(typed: &str) -> Option<String> {
    let plain = typed.trim().bytes().filter(|byte| *byte != b'-').take(LENGTH + 1);
    let id: String = plain.map(|byte| char::from(meant(byte.to_ascii_uppercase()))).collect();
    let known = id.len() == LENGTH && id.bytes().all(|byte| ALPHABET.contains(&byte));
    known.then_some(id)
}

/// What a letter that looks like another was meant to be.
fn meant(byte: u8) -> u8 {
    match byte {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_people_type_them() {
        let check = |typed: &str, read_as: Option<&str>| {
            assert_eq!(read(typed).as_deref(), read_as, "{typed:?}");
        };
        check("7Q2M9KXA", Some("7Q2M9KXA"));
        check(" 7q2m-9kxa\n", Some("7Q2M9KXA"));
        check("O0iIlL1z", Some("0011111Z"));
        check("7Q2M9KX", None);
        check("7Q2M9KXAA", None);
        check("7Q2M9KXU", None);
        check("7Q2M9K\u{e9}", None);
        check("' or 1=1", None);
        check("", None);
    }

    #[test]
    fn what_is_drawn_can_be_read() {
        let drawn: std::collections::BTreeSet<String> =
            (0..1_000).map(|_| draw().unwrap()).collect();
        assert_eq!(drawn.len(), 1_000);
        assert!(drawn.iter().all(|id| read(id).as_ref() == Some(id)));
    }
}
