//! Integers and floats.

use std::fmt::Write;

/// From this decimal exponent on PostgreSQL prints a `real` with an exponent.
pub(crate) const FLOAT4_EXPONENT_MIN: i32 = 6;
/// The same for `double precision`.
pub(crate) const FLOAT8_EXPONENT_MIN: i32 = 15;

/// Writes a float as PostgreSQL does: shortest digits that read back as the same value.
/// `scientific` is Rust's `{:e}` form and `plain` its `{}` form of it.
pub(crate) fn write_float(scientific: &str, plain: &str, exponent_min: i32, out: &mut String) {
    match scientific {
        "NaN" => return out.push_str("NaN"),
        "inf" => return out.push_str("Infinity"),
        "-inf" => return out.push_str("-Infinity"),
        _ => (),
    }
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..exponent_min).contains(&exponent) {
        return out.push_str(plain);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    // Writing to a String cannot fail.
    let _ = write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs());
}

/// Reads a float; what is finite in the text must be finite in the type.
pub(crate) fn parse_float4(text: &str) -> Option<f32> {
    let value: f32 = text.parse().ok()?;
    (value.is_finite() || names_no_number(text)).then_some(value)
}

/// Reads a float; what is finite in the text must be finite in the type.
pub(crate) fn parse_float8(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (value.is_finite() || names_no_number(text)).then_some(value)
}

fn names_no_number(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_digit())
}
