//! How every record begins, and the small texts that records are full of. Statements make most
//! of a ledger, and what they have in common is written without a formatter.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// Version of the layout, the `v` of every record.
pub const LAYOUT: u32 = 1;

/// Where and when a record stands.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub seq: u64,
    pub now: SystemTime,
}

/// Writes times: RFC 3339 in UTC with microseconds, of fixed width, so that text sorts as time
/// does. The text of a second is kept, as most records share it with the one before.
#[derive(Default)]
pub(crate) struct Clock {
    second: Option<u64>,
    text: Vec<u8>,
}

impl Clock {
    pub(crate) fn write(&mut self, buffer: &mut Vec<u8>, now: SystemTime) {
        // A clock that stands before the epoch says nothing.
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            self.text.clear();
            let now = OffsetDateTime::from(UNIX_EPOCH + Duration::from_secs(since.as_secs()));
            // Writing to a Vec cannot fail.
            let _ = write!(
                self.text,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.",
                now.year(),
                u8::from(now.month()),
                now.day(),
                now.hour(),
                now.minute(),
                now.second(),
            );
        }
        buffer.extend_from_slice(&self.text);
        let mut digits = *b"000000Z";
        let mut rest = since.subsec_micros();
        for digit in digits.iter_mut().take(6).rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        buffer.extend_from_slice(&digits);
    }
}

/// The beginning of a stream's records, as far as it is the same for all of them.
pub(crate) struct Head {
    before_seq: Vec<u8>,
    before_time: Vec<u8>,
    clock: Clock,
}

impl Head {
    pub(crate) fn of(stream: &str) -> Head {
        let mut before_seq = b"{\"v\":".to_vec();
        decimal(&mut before_seq, u64::from(LAYOUT));
        member!(before_seq, "seq");
        let mut before_time = Vec::new();
        member!(before_time, "stream");
        quoted(&mut before_time, stream);
        member!(before_time, "time");
        before_time.push(b'"');
        Head { before_seq, before_time, clock: Clock::default() }
    }

    /// Begins a record up to the quote that ends its time. `rest` is that quote, the kind and
    /// what else is always the same; members follow, and `}` with a line feed ends it.
    pub(crate) fn begin(&mut self, buffer: &mut Vec<u8>, place: Place, rest: &[u8]) {
        buffer.extend_from_slice(&self.before_seq);
        decimal(buffer, place.seq);
        buffer.extend_from_slice(&self.before_time);
        self.clock.write(buffer, place.now);
        buffer.extend_from_slice(rest);
    }
}

/// The name of a member behind others, written in one piece; its value follows.
macro_rules! member {
    ($buffer:expr, $name:literal) => {
        $buffer.extend_from_slice(concat!(",\"", $name, "\":").as_bytes())
    };
}
pub(crate) use member;

/// The same for a name that is not known here.
pub(crate) fn named(buffer: &mut Vec<u8>, name: &'static str) {
    buffer.extend_from_slice(b",\"");
    buffer.extend_from_slice(name.as_bytes());
    buffer.extend_from_slice(b"\":");
}

/// A text that needs no escape.
pub(crate) fn quoted(buffer: &mut Vec<u8>, word: &str) {
    buffer.push(b'"');
    buffer.extend_from_slice(word.as_bytes());
    buffer.push(b'"');
}

/// Anybody's text.
pub(crate) fn text(buffer: &mut Vec<u8>, text: &str) {
    // RFC 8259, section 7: nothing else needs an escape.
    let is_plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if text.len() <= SHORT_BYTES && is_plain {
        return quoted(buffer, text);
    }
    let written = serde_json::to_writer(&mut *buffer, text);
    debug_assert!(written.is_ok(), "a Vec takes all");
}

/// Longer texts are not looked through twice.
const SHORT_BYTES: usize = 64;

/// A list of anybody's texts.
pub(crate) fn texts<'t>(buffer: &mut Vec<u8>, texts: impl IntoIterator<Item = &'t str>) {
    buffer.push(b'[');
    for (index, one) in texts.into_iter().enumerate() {
        if index > 0 {
            buffer.push(b',');
        }
        text(buffer, one);
    }
    buffer.push(b']');
}

pub(crate) fn decimal(buffer: &mut Vec<u8>, mut number: u64) {
    if number < 10 {
        return buffer.push(b'0' + number as u8);
    }
    // As many digits as the largest number has.
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first = index;
        if number == 0 {
            break;
        }
    }
    buffer.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// 32 hexadecimal digits in quotes.
pub(crate) fn hexadecimal(buffer: &mut Vec<u8>, number: u128) {
    let mut text = [b'"'; 34];
    for place in 0..4 {
        let digits = eight_digits((number >> (96 - 32 * place)) as u32);
        text[1 + 8 * place..9 + 8 * place].copy_from_slice(&digits);
    }
    buffer.extend_from_slice(&text);
}

/// The hexadecimal digits of a number, all at once.
fn eight_digits(number: u32) -> [u8; 8] {
    // One digit per byte, the first in the highest.
    let mut digits = u64::from(number);
    digits = (digits << 16 | digits) & 0x0000_ffff_0000_ffff;
    digits = (digits << 8 | digits) & 0x00ff_00ff_00ff_00ff;
    digits = (digits << 4 | digits) & 0x0f0f_0f0f_0f0f_0f0f;
    // Sixteen and more only where a digit is above nine.
    let above_nine = ((digits + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    let letter = u64::from(b'a' - b'0' - 10);
    (digits + 0x3030_3030_3030_3030 + above_nine * letter).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_formatter_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, 1_234_567_890, u64::MAX] {
            let mut buffer = Vec::new();
            decimal(&mut buffer, number);
            assert_eq!(buffer, number.to_string().as_bytes());
        }
        for number in [0, 0x0123_4567_89ab_cdef, u128::MAX] {
            let mut buffer = Vec::new();
            hexadecimal(&mut buffer, number);
            assert_eq!(buffer, format!("\"{number:032x}\"").as_bytes());
        }
    }

    #[test]
    fn a_second_is_written_anew_when_it_is_another() {
        let mut clock = Clock::default();
        let mut buffer = Vec::new();
        for nanos in [999_999_999, 1_000_000_000, 1_000_007_000, 0] {
            let since = Duration::from_nanos(1_800_000_000_000_000_000 + nanos);
            clock.write(&mut buffer, UNIX_EPOCH + since);
            buffer.push(b' ');
        }
        let expected = "2027-01-15T08:00:00.999999Z 2027-01-15T08:00:01.000000Z \
                        2027-01-15T08:00:01.000007Z 2027-01-15T08:00:00.000000Z ";
        assert_eq!(String::from_utf8(buffer).unwrap(), expected);
    }
}
