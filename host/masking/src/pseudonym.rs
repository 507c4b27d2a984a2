//! Keyed, deterministic replacement that keeps the form.

use std::fmt::Write;

use hmac::{Hmac, Mac};
use portcullis_policy::mask;
use sha2::{Digest, Sha256};

use crate::calendar::{civil_from_days, days_from_civil};
use crate::datetime::{
    Clock, DAY, SECOND, parse_date, parse_timestamp, write_date, write_timestamp,
};
use crate::keys::Keys;
use crate::kind::{Kind, Number, Temporal};
use crate::permute::{Symbol, permute};

/// What names this use of a key, so that no other use of it gives the same bytes.
const CONTEXT: &[u8] = b"portcullis pseudonym 1";
/// Letters that stay among their own: first of the alphabet and how many.
const ALPHABETS: [(char, u16); 18] = [
    ('0', 10),
    ('a', 26),
    ('A', 26),
    ('à', 23),
    ('ø', 7),
    ('À', 23),
    ('Ø', 7),
    ('α', 17),
    ('σ', 7),
    ('Α', 17),
    ('Σ', 7),
    ('а', 32),
    ('А', 32),
    ('א', 27),
    ('ぁ', 86),
    ('ァ', 90),
    ('一', 20_992),
    ('가', 11_172),
];

/// Makes pseudonyms under one key and domain.
#[derive(Clone)]
pub(crate) struct Pseudonyms {
    mac: Hmac<Sha256>,
}

/// The state of the key stays out of every log.
impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms")
    }
}

impl Pseudonyms {
    /// `None` when the key does not exist.
    pub(crate) fn new(pseudonym: &mask::Pseudonym, keys: &Keys) -> Option<Pseudonyms> {
        let mut mac = Hmac::<Sha256>::new_from_slice(keys.secret(&pseudonym.key_name)?).ok()?;
        mac.update(CONTEXT);
        mac.update(&u64::try_from(pseudonym.domain.len()).ok()?.to_be_bytes());
        mac.update(pseudonym.domain.as_bytes());
        Some(Pseudonyms { mac })
    }

    /// Appends the pseudonym of a text: digits stay digits, letters letters of their case,
    /// and what is neither stays as it is.
    pub(crate) fn write_text(&self, text: &str, out: &mut Vec<u8>) {
        let mut symbols = Vec::new();
        let mut form = String::new();
        for letter in text.chars() {
            match alphabet(letter) {
                Some((first, radix)) => {
                    form.push(first);
                    let value = (u32::from(letter) - u32::from(first)) as u16;
                    symbols.push(Symbol { value, radix });
                }
                None => form.push(letter),
            }
        }
        let key = self.key(b"text", form.as_bytes());
        permute(&key, &mut symbols);
        let mut symbols = symbols.into_iter();
        for (place, letter) in (0_u32..).zip(form.chars()) {
            let replaced = match alphabet(letter) {
                Some((first, _)) => symbols
                    .next()
                    .and_then(|symbol| char::from_u32(u32::from(first) + u32::from(symbol.value))),
                // A letter of an alphabet that is not listed must not stay.
                None if letter.is_alphanumeric() => Some(any_letter(&key, place, letter)),
                None => Some(letter),
            };
            out.extend_from_slice(replaced.unwrap_or('x').encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// Appends the pseudonym of a value that is not text, given in text form. `None` where
    /// the type has none.
    pub(crate) fn write_typed(&self, kind: Kind, text: &str, out: &mut String) -> Option<()> {
        match kind {
            Kind::Number(number) => self.write_number(number, text, out),
            Kind::Uuid => self.write_uuid(text, out),
            Kind::Temporal(Temporal::Date) => {
                let image = |days| i32::try_from(self.day(i64::from(days))?).ok();
                write_date(parse_date(text)?.try_map(image)?, out);
                Some(())
            }
            Kind::Temporal(Temporal::Timestamp | Temporal::TimestampTz) => {
                write_timestamp(parse_timestamp(text)?.try_map(|clock| self.clock(clock))?, out);
                Some(())
            }
            Kind::Temporal(Temporal::Time | Temporal::TimeTz | Temporal::Interval)
            | Kind::Bool
            | Kind::Money
            | Kind::Text
            | Kind::Bpchar
            | Kind::Char
            | Kind::Bytea
            | Kind::Inet
            | Kind::Cidr
            | Kind::Macaddr
            | Kind::Macaddr8
            | Kind::Json
            | Kind::Jsonb
            | Kind::Xml
            | Kind::Bits
            | Kind::Array(_)
            | Kind::Unknown => None,
        }
    }

    fn write_number(&self, number: Number, text: &str, out: &mut String) -> Option<()> {
        let (max, min) = match number {
            Number::Int2 => ("32767", "32768"),
            Number::Int4 => ("2147483647", "2147483648"),
            Number::Int8 => ("9223372036854775807", "9223372036854775808"),
            Number::Oid => ("4294967295", "0"),
            Number::Float4 | Number::Float8 | Number::Numeric => {
                return self.write_decimal(text, out);
            }
        };
        self.write_integer(text, max, min, out)
    }

    fn key(&self, class: &[u8], form: &[u8]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(&[0]);
        mac.update(class);
        mac.update(&[0]);
        mac.update(form);
        mac.finalize().into_bytes().into()
    }

    /// Of the same sign and number of digits, and no further from zero than the type allows.
    fn write_integer(&self, text: &str, max: &str, min: &str, out: &mut String) -> Option<()> {
        let (sign, digits) = split_sign(text);
        let limit = if sign.is_empty() { max } else { min };
        let image = self.number(digits, "", |image| !is_greater(image, limit), limit)?;
        out.push_str(sign);
        out.push_str(&image);
        Some(())
    }

    fn write_decimal(&self, text: &str, out: &mut String) -> Option<()> {
        let (sign, digits) = split_sign(text);
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let image = self.number(integer, fraction, |_| true, "")?;
        let (integer, fraction) = image.split_at_checked(integer.len())?;
        let point = if fraction.is_empty() { "" } else { "." };
        // Writing to a String cannot fail.
        let _ = write!(out, "{sign}{integer}{point}{fraction}");
        Some(())
    }

    /// Permutes the digits of a number until the image is `allowed`. It ends, because the
    /// number itself is allowed and a permutation comes back to it. Equal numbers have one
    /// image, whatever their types, unless a type's limit stands in the way.
    fn number(
        &self,
        integer: &str,
        fraction: &str,
        allowed: impl Fn(&str) -> bool,
        limit: &str,
    ) -> Option<String> {
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if integer.is_empty() || !plain(integer) || !plain(fraction) || !allowed(integer) {
            return None;
        }
        let form = format!("{}.{}", integer.len(), fraction.len());
        let key = self.key(b"number", form.as_bytes());
        // A number of several digits does not begin with 0, nor, at the limit's length,
        // with more than the limit does.
        let several = u8::from(integer.len() > 1);
        let top = match limit.as_bytes().first() {
            Some(first) if limit.len() == integer.len() => first - b'0',
            _ => 9,
        };
        let mut symbols: Vec<Symbol> = Vec::new();
        for byte in integer.bytes().chain(fraction.bytes()) {
            let (lowest, highest) = if symbols.is_empty() { (several, top) } else { (0, 9) };
            let value = (byte - b'0').checked_sub(lowest)?;
            let radix = highest.checked_sub(lowest)? + 1;
            symbols.push(Symbol { value: value.into(), radix: radix.into() });
        }
        if symbols.iter().any(|symbol| symbol.value >= symbol.radix) {
            return None;
        }
        loop {
            permute(&key, &mut symbols);
            let mut image = String::with_capacity(symbols.len());
            for symbol in &symbols {
                let lowest = if image.is_empty() { u16::from(several) } else { 0 };
                image.push(char::from_digit(u32::from(symbol.value + lowest), 10)?);
            }
            if allowed(image.get(..integer.len())?) {
                return Some(image);
            }
        }
    }

    /// Below `end`, and one of its own for each index.
    fn index(&self, class: &[u8], form: &[u8], index: u64, end: u64) -> Option<u64> {
        if index >= end {
            return None;
        }
        let key = self.key(class, form);
        let width = usize::try_from((end - 1).checked_ilog10().unwrap_or(0) + 1).ok()?;
        let mut digits = format!("{index:0width$}");
        // The first digit is limited to that of the end, so that few rounds are lost.
        let top = (end - 1) / 10_u64.pow(u32::try_from(width).ok()? - 1);
        loop {
            let mut symbols: Vec<Symbol> = digits
                .bytes()
                .map(|byte| Symbol { value: u16::from(byte - b'0'), radix: 10 })
                .collect();
            symbols.first_mut()?.radix = u16::try_from(top + 1).ok()?;
            permute(&key, &mut symbols);
            let image = symbols.iter().fold(0, |sum, symbol| sum * 10 + u64::from(symbol.value));
            if image < end {
                return Some(image);
            }
            digits = format!("{image:0width$}");
        }
    }

    /// Version 4 in form; 122 bits of the value's code.
    fn write_uuid(&self, text: &str, out: &mut String) -> Option<()> {
        let mut value = Vec::new();
        crate::bits::encode_uuid(text, &mut value)?;
        let code = self.key(b"uuid", &value);
        let mut image: [u8; 16] = *code.first_chunk()?;
        image[6] = image[6] & 0x0F | 0x40;
        image[8] = image[8] & 0x3F | 0x80;
        crate::bits::decode_uuid(&image, out)
    }

    /// A day of the same decade.
    fn day(&self, days: i64) -> Option<i64> {
        let (year, _, _) = civil_from_days(days);
        let decade = year.div_euclid(10) * 10;
        let start = days_from_civil(decade, 1, 1);
        let end = days_from_civil(decade + 10, 1, 1);
        let index = u64::try_from(days - start).ok()?;
        let image =
            self.index(b"day", &decade.to_be_bytes(), index, u64::try_from(end - start).ok()?)?;
        Some(start + i64::try_from(image).ok()?)
    }

    /// A day of the same decade and a time of day; whole seconds stay whole.
    fn clock(&self, clock: Clock) -> Option<Clock> {
        let day = self.day(clock.micros.div_euclid(DAY))?;
        let time = clock.micros.rem_euclid(DAY);
        let unit = if time % SECOND == 0 { SECOND } else { 1 };
        let count = u64::try_from(DAY / unit).ok()?;
        let form = unit.to_be_bytes();
        let image = self.index(b"time", &form, u64::try_from(time / unit).ok()?, count)?;
        let time = i64::try_from(image).ok()?.checked_mul(unit)?;
        Some(Clock { micros: day.checked_mul(DAY)?.checked_add(time)?, ..clock })
    }
}

fn split_sign(text: &str) -> (&str, &str) {
    match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    }
}

/// Compares numbers without leading zeros.
fn is_greater(digits: &str, limit: &str) -> bool {
    (digits.len(), digits) > (limit.len(), limit)
}

fn alphabet(letter: char) -> Option<(char, u16)> {
    let number = u32::from(letter);
    ALPHABETS.into_iter().find(|(first, count)| {
        let first = u32::from(*first);
        (first..first + u32::from(*count)).contains(&number)
    })
}

/// In place of a letter or digit whose alphabet is not listed: one of ASCII.
fn any_letter(key: &[u8; 32], place: u32, letter: char) -> char {
    let (first, radix) = match letter {
        _ if letter.is_numeric() => (b'0', 10),
        _ if letter.is_uppercase() => (b'A', 26),
        _ => (b'a', 26),
    };
    let code = Sha256::new().chain_update(key).chain_update(place.to_be_bytes()).finalize();
    let number = code.iter().fold(0_u32, |sum, byte| (sum << 8 | u32::from(*byte)) % radix);
    char::from(first + number as u8)
}

#[cfg(test)]
mod tests;
