//! Appending bytes of which there mostly are few: calling for a copy of any length takes longer
//! than such a copy.

/// From this many on a call is worth it.
const MANY: usize = 64;

/// Appends `bytes[start..end]`. Where as much stands behind it, a piece of constant length is copied
/// and cut: what is too much lies behind the end of `out`, where nobody reads.
#[inline(always)] // A few times for each row.
pub(crate) fn append_part(bytes: &[u8], start: usize, end: usize, out: &mut Vec<u8>) {
    let rest = bytes.get(start..).unwrap_or_default();
    let length = end.saturating_sub(start);
    match rest.first_chunk::<MANY>() {
        Some(chunk) if length <= MANY => {
            let begin = out.len();
            out.extend_from_slice(chunk);
            out.truncate(begin + length);
        }
        Some(_) | None => out.extend_from_slice(rest.get(..length).unwrap_or(rest)),
    }
}

/// Appends a few bytes, such as a part of a cell.
#[inline(always)] // A few times for each row.
pub(crate) fn append_few(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes {
        [] => {}
        [one] => out.push(*one),
        [one, other] => out.extend_from_slice(&[*one, *other]),
        [one, other, third] => out.extend_from_slice(&[*one, *other, *third]),
        few if few.len() <= 8 => append_ends::<4>(few, out),
        few if few.len() <= 16 => append_ends::<8>(few, out),
        few if few.len() <= 32 => append_ends::<16>(few, out),
        many => out.extend_from_slice(many),
    }
}

/// Of `N` to twice as many bytes the first and the last `N` are all.
#[inline(always)] // Part of the above.
fn append_ends<const N: usize>(bytes: &[u8], out: &mut Vec<u8>) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) {
        let begin = out.len();
        out.extend_from_slice(first);
        out.truncate(begin + bytes.len() - N);
        out.extend_from_slice(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_length_are_appended_as_they_are() {
        let bytes: Vec<u8> = (0..200).collect();
        for start in 0..bytes.len() {
            for end in start..=bytes.len() {
                let expected = [b"ahead", &bytes[start..end]].concat();
                let mut out = b"ahead".to_vec();
                append_part(&bytes, start, end, &mut out);
                assert_eq!(out, expected, "{start}..{end}");
                let mut out = b"ahead".to_vec();
                append_few(&bytes[start..end], &mut out);
                assert_eq!(out, expected, "{start}..{end}");
            }
        }
    }
}
