//! `bytea`, `uuid`, `bit` and `varbit`: bytes printed digit by digit.

use std::fmt::Write;

use crate::reader::Reader;

pub(crate) fn write_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

pub(crate) fn read_hex(digits: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = digits.as_chunks::<2>();
    for [high, low] in pairs {
        let high = char::from(*high).to_digit(16)?;
        let low = char::from(*low).to_digit(16)?;
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    rest.is_empty().then_some(())
}

/// Hexadecimal behind `\x`. A text without a backslash stands for its own bytes, as it does
/// in PostgreSQL; the older form with escapes is not read.
pub(crate) fn encode_bytea(text: &str, out: &mut Vec<u8>) -> Option<()> {
    match text.strip_prefix("\\x") {
        Some(digits) => read_hex(digits.as_bytes(), out),
        None if text.contains('\\') => None,
        None => {
            out.extend_from_slice(text.as_bytes());
            Some(())
        }
    }
}

pub(crate) fn decode_uuid(bytes: &[u8], out: &mut String) -> Option<()> {
    let bytes: &[u8; 16] = bytes.try_into().ok()?;
    for (position, byte) in bytes.iter().enumerate() {
        let separator = if matches!(position, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(out, "{separator}{byte:02x}");
    }
    Some(())
}

pub(crate) fn encode_uuid(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let mut lengths = [8, 4, 4, 4, 12].into_iter();
    for part in text.split('-') {
        if lengths.next() != Some(part.len()) {
            return None;
        }
        read_hex(part.as_bytes(), out)?;
    }
    (out.len() - start == 16).then_some(())
}

pub(crate) fn decode_bits(bytes: &[u8], out: &mut String) -> Option<()> {
    let mut reader = Reader::new(bytes);
    let count = usize::try_from(reader.i32()?).ok()?;
    let packed = reader.take(count.div_ceil(8))?;
    reader.end()?;
    let bits = packed.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    out.extend(bits.take(count).map(|bit| if bit == 1 { '1' } else { '0' }));
    Some(())
}

pub(crate) fn encode_bits(text: &str, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&i32::try_from(text.len()).ok()?.to_be_bytes());
    for eight in text.as_bytes().chunks(8) {
        let mut byte = 0;
        for (position, digit) in eight.iter().enumerate() {
            match digit {
                b'0' => (),
                b'1' => byte |= 0x80 >> position,
                _ => return None,
            }
        }
        out.push(byte);
    }
    Some(())
}
