//! `numeric`: decimal digits in groups of four.

use std::fmt::Write;

use crate::reader::Reader;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;
/// What PostgreSQL sends as scale of an infinity.
const INFINITY_SCALE: u16 = 0x20;
/// Digits before and behind the point that the type can hold.
const INTEGER_DIGITS_MAX: usize = 131_072;
const SCALE_MAX: usize = 16_383;

/// Writes the text of a binary value.
pub(crate) fn decode(bytes: &[u8], out: &mut String) -> Option<()> {
    let mut reader = Reader::new(bytes);
    let count = usize::try_from(reader.i16()?).ok()?;
    let weight = i32::from(reader.i16()?);
    let sign = u16::from_be_bytes(reader.array()?);
    let scale = usize::try_from(reader.i16()?).ok().filter(|scale| *scale <= SCALE_MAX)?;
    let groups = reader.take(count.checked_mul(2)?)?;
    reader.end()?;
    match sign {
        0 => (),
        NEGATIVE => out.push('-'),
        NAN => return write_name("NaN", count, out),
        INFINITY => return write_name("Infinity", count, out),
        MINUS_INFINITY => return write_name("-Infinity", count, out),
        _ => return None,
    }
    let group = |position: i32| -> Option<u16> {
        let Ok(index) = usize::try_from(weight - position) else { return Some(0) };
        let Some(pair) = groups.chunks_exact(2).nth(index) else { return Some(0) };
        let value = u16::from_be_bytes(pair.try_into().ok()?);
        (value < 10_000).then_some(value)
    };
    let start = out.len();
    write_integer_part(weight, group, out)?;
    write_fraction(scale, group, out)?;
    // What is zero to its last place has no sign.
    let digits = out.get(start..)?;
    if sign == NEGATIVE && !digits.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        out.remove(start - 1);
    }
    Some(())
}

fn write_name(name: &str, groups: usize, out: &mut String) -> Option<()> {
    out.push_str(name);
    (groups == 0).then_some(())
}

/// `group` gives the group of weight `position`, 0 where none was sent.
fn write_integer_part(
    weight: i32,
    group: impl Fn(i32) -> Option<u16>,
    out: &mut String,
) -> Option<()> {
    let mut leading = true;
    for position in (0..=weight).rev() {
        let value = group(position)?;
        // Writing to a String cannot fail.
        let _ = match (leading, value) {
            (true, 0) => continue,
            (true, _) => write!(out, "{value}"),
            (false, _) => write!(out, "{value:04}"),
        };
        leading = false;
    }
    if leading {
        out.push('0');
    }
    Some(())
}

fn write_fraction(
    scale: usize,
    group: impl Fn(i32) -> Option<u16>,
    out: &mut String,
) -> Option<()> {
    if scale == 0 {
        return Some(());
    }
    out.push('.');
    let end = out.len() + scale;
    for position in 1..=i32::try_from(scale.div_ceil(4)).ok()? {
        let _ = write!(out, "{:04}", group(-position)?);
    }
    out.truncate(end);
    Some(())
}

/// Writes the binary form of a text.
pub(crate) fn encode(text: &str, out: &mut Vec<u8>) -> Option<()> {
    match text {
        "NaN" => return header(0, 0, NAN, 0, out),
        "Infinity" | "inf" => return header(0, 0, INFINITY, INFINITY_SCALE, out),
        "-Infinity" | "-inf" => return header(0, 0, MINUS_INFINITY, INFINITY_SCALE, out),
        _ => (),
    }
    let decimal = Decimal::parse(text)?;
    let mut digits = vec![b'0'; (4 - decimal.integer.len() % 4) % 4];
    digits.extend_from_slice(&decimal.integer);
    let weight = i32::try_from(digits.len() / 4).ok()? - 1;
    digits.extend_from_slice(&decimal.fraction);
    digits.resize(digits.len().next_multiple_of(4), b'0');
    let groups: Vec<u16> = digits
        .chunks_exact(4)
        .map(|four| four.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        .collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let used = groups.len() - groups.iter().rev().take_while(|group| **group == 0).count();
    let Some(groups) = groups.get(leading..used).filter(|groups| !groups.is_empty()) else {
        // Zero has neither digits nor a sign.
        return header(0, 0, 0, u16::try_from(decimal.fraction.len()).ok()?, out);
    };
    let weight = i16::try_from(weight - i32::try_from(leading).ok()?).ok()?;
    let sign = if decimal.negative { NEGATIVE } else { 0 };
    let scale = u16::try_from(decimal.fraction.len()).ok()?;
    header(i16::try_from(groups.len()).ok()?, weight, sign, scale, out)?;
    out.extend(groups.iter().flat_map(|group| group.to_be_bytes()));
    Some(())
}

fn header(count: i16, weight: i16, sign: u16, scale: u16, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    Some(())
}

/// ASCII digits before and behind the point, the exponent already applied.
struct Decimal {
    negative: bool,
    integer: Vec<u8>,
    fraction: Vec<u8>,
}

impl Decimal {
    fn parse(text: &str) -> Option<Decimal> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = integer.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Decimal::shifted(negative, digits, i64::try_from(integer.len()).ok()? + i64::from(exponent))
    }

    /// `point` digits stand before the point; negative: that many zeros follow it.
    fn shifted(negative: bool, mut digits: Vec<u8>, point: i64) -> Option<Decimal> {
        let (before_max, behind_max) = (INTEGER_DIGITS_MAX as i64, -(SCALE_MAX as i64));
        if !(behind_max..=before_max).contains(&point) {
            return None;
        }
        if let Ok(zeros) = usize::try_from(-point) {
            digits.splice(0..0, std::iter::repeat_n(b'0', zeros));
        }
        let point = usize::try_from(point).unwrap_or(0);
        if digits.len() < point {
            digits.resize(point, b'0');
        }
        let fraction = digits.split_off(point);
        (fraction.len() <= SCALE_MAX).then_some(Decimal { negative, integer: digits, fraction })
    }
}
