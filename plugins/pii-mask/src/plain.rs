//! Values in which nothing can be found, told by their form alone: most columns of most tables
//! are numbers, times and identifiers.

/// Whether the whole value is a number, a date, a timestamp or a UUID that no finder takes
/// for anything.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let Some(first) = unsigned.first() else { return true };
    if text.len() == 36 && is_uuid(text) {
        return true;
    }
    if !first.is_ascii_digit() {
        return false;
    }
    is_number(unsigned) || is_time(text)
}

/// A decimal, or an integer as long as no card and no national number is.
fn is_number(unsigned: &[u8]) -> bool {
    let digits = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match unsigned.get(digits..).unwrap_or_default() {
        [] => !matches!(digits, 11 | 13..=19),
        // With a zero before it, a point may stand between an area code and a number.
        [b'.', fraction @ ..] => {
            (digits == 1 || unsigned.first() != Some(&b'0'))
                && fraction.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// "2026-11-22", alone or with a time, its fraction and its zone behind it.
fn is_time(text: &[u8]) -> bool {
    let Some((date, rest)) = text.split_at_checked(10) else { return false };
    if !is_written(date, b"dddd-dd-dd") {
        return false;
    }
    let [b' ' | b'T', rest @ ..] = rest else { return rest.is_empty() };
    let Some((time, rest)) = rest.split_at_checked(8) else { return false };
    if !is_written(time, b"dd:dd:dd") {
        return false;
    }
    let rest = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
            fraction.get(digits..).unwrap_or_default()
        }
        whole => whole,
    };
    match rest {
        [] | b"Z" => true,
        [b'+' | b'-', zone @ ..] => {
            [&b"dd"[..], b"dd:dd", b"dddd"].iter().any(|form| is_written(zone, form))
        }
        _ => false,
    }
}

fn is_uuid(text: &[u8]) -> bool {
    is_written(text, b"hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh")
}

/// Whether `text` is written as `form` says: `d` a digit, `h` a hexadecimal one; else itself.
fn is_written(text: &[u8], form: &[u8]) -> bool {
    let is_right = |(byte, expected): (&u8, &u8)| match expected {
        b'd' => byte.is_ascii_digit(),
        b'h' => byte.is_ascii_hexdigit(),
        literal => byte == literal,
    };
    text.len() == form.len() && text.iter().zip(form).all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_say_that_nothing_is_there() {
        let check = |values: &[&str], expected: bool| {
            for value in values {
                assert_eq!(is_plain(value.as_bytes()), expected, "{value}");
            }
        };
        check(&["", "7", "-7", "1234567890", "123456789012", "-3.14159265358979"], true);
        check(&["0.0123456789", "12345.67890", "1700000000.123456"], true);
        check(&["2026-11-22", "2026-11-22 05:22:48", "2026-11-22T05:22:48.123Z"], true);
        check(&["2026-11-22 05:22:48.123456+00", "2026-11-22 05:22:48-03:30"], true);
        check(&["550e8400-e29b-41d4-a716-446655440000"], true);
        check(&["4111111111111111", "86095742719", "185057800608491", "-4111111111111111"], false);
        check(&["0171.1234567", "415.555.2671", "203.0.113.77", "1e5", "12 345", "a7"], false);
        check(&["2026-11-2", "2026-11-22 at noon", "2026-11-22 05:22:48.1234567"], false);
        check(&["2026-11-22 05:22:48 4111111111111111", "811218-9876", "+14155552671"], false);
        check(&["550e8400-e29b-41d4-a716-44665544000g"], false);
    }
}
