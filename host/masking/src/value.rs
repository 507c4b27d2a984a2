//! A text put into a cell: in the cell's format, and only if it is a value of its type.

use portcullis_policy::WireFormat;

use crate::codec::{decode, encode};
use crate::json::{is_json, write_string};
use crate::kind::{Kind, Temporal};

/// Appends the cell of a text. On `None`, which says that the text is no value of the type,
/// `out` is as it was.
pub(crate) fn write_value(
    kind: Kind,
    format: WireFormat,
    text: &str,
    out: &mut Vec<u8>,
) -> Option<()> {
    match (format, kind) {
        (WireFormat::Binary, _) => encode(kind, text, out),
        (WireFormat::Text, Kind::Text | Kind::Bpchar | Kind::Xml | Kind::Json) => {
            encode(kind, text, out)
        }
        (WireFormat::Text, Kind::Jsonb) => encode(Kind::Json, text, out),
        (WireFormat::Text, Kind::Money) => {
            is_money(text).then(|| out.extend_from_slice(text.as_bytes()))
        }
        // What the server would have printed: a client's reader may know nothing else.
        (WireFormat::Text, _) => {
            let (mut binary, mut printed) = (Vec::new(), String::new());
            encode(kind, text, &mut binary)?;
            decode(kind, &binary, &mut printed)?;
            out.extend_from_slice(printed.as_bytes());
            Some(())
        }
    }
}

/// The cell of a constant that a masker asked for, bent to the type where that loses nothing
/// the masker meant.
pub(crate) fn constant(kind: Kind, format: WireFormat, text: &str) -> Option<Vec<u8>> {
    let mut bent = String::new();
    match kind {
        Kind::Json | Kind::Jsonb if !is_json(text) => write_string(text, &mut bent),
        Kind::Xml => text.chars().for_each(|letter| match letter {
            '<' => bent.push_str("&lt;"),
            '>' => bent.push_str("&gt;"),
            '&' => bent.push_str("&amp;"),
            _ => bent.push(letter),
        }),
        Kind::Char => bent.extend(text.chars().next()),
        Kind::Json
        | Kind::Jsonb
        | Kind::Bool
        | Kind::Number(_)
        | Kind::Money
        | Kind::Text
        | Kind::Bpchar
        | Kind::Bytea
        | Kind::Temporal(_)
        | Kind::Uuid
        | Kind::Inet
        | Kind::Cidr
        | Kind::Macaddr
        | Kind::Macaddr8
        | Kind::Bits
        | Kind::Array(_)
        | Kind::Unknown => bent.push_str(text),
    }
    let mut out = Vec::new();
    write_value(kind, format, &bent, &mut out)?;
    Some(out)
}

/// The cell that stands for "no value" where NULL must not: `None` for unknown types.
pub(crate) fn neutral(kind: Kind, format: WireFormat) -> Option<Vec<u8>> {
    let text = match kind {
        Kind::Bool => "f",
        Kind::Number(_) | Kind::Bits => "0",
        Kind::Money if format == WireFormat::Binary => return Some(vec![0; 8]),
        Kind::Money => "0.00",
        Kind::Text | Kind::Bpchar => portcullis_policy::mask::FILL,
        Kind::Char => "*",
        Kind::Bytea => "\\x",
        Kind::Temporal(Temporal::Date | Temporal::Timestamp | Temporal::TimestampTz) => {
            "2000-01-01"
        }
        Kind::Temporal(Temporal::Time | Temporal::TimeTz | Temporal::Interval) => "00:00:00",
        Kind::Uuid => "00000000-0000-0000-0000-000000000000",
        Kind::Inet | Kind::Cidr => "0.0.0.0",
        Kind::Macaddr => "00:00:00:00:00:00",
        Kind::Macaddr8 => "00:00:00:00:00:00:00:00",
        Kind::Json | Kind::Jsonb | Kind::Array(_) => "{}",
        Kind::Xml => "<masked/>",
        Kind::Unknown => return None,
    };
    let mut out = Vec::new();
    write_value(kind, format, text, &mut out)?;
    Some(out)
}

/// An amount as the usual locales print it; which one the server has is not known.
fn is_money(text: &str) -> bool {
    let amount = text.strip_prefix('-').unwrap_or(text);
    let digits = amount.strip_prefix('$').unwrap_or(amount);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Number;

    const OIDS: [u32; 29] = [
        16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 650, 700, 701, 774, 829, 869, 1042, 1082,
        1083, 1114, 1184, 1186, 1266, 1560, 1562, 1700, 2950, 3802,
    ];

    #[test]
    fn every_known_type_has_a_neutral_value_of_its_own() {
        for oid in OIDS.into_iter().chain([1007, 1009]) {
            let kind = Kind::of(oid);
            let text = neutral(kind, WireFormat::Text).expect("a neutral text");
            let binary = neutral(kind, WireFormat::Binary).expect("a neutral binary value");
            let mut printed = String::new();
            decode(kind, &binary, &mut printed).expect("it decodes as its type");
            assert_eq!(String::from_utf8(text).as_deref(), Ok(printed.as_str()), "{kind:?}");
        }
        assert!(neutral(Kind::Money, WireFormat::Text).is_some());
        assert_eq!(neutral(Kind::Unknown, WireFormat::Text), None);
    }

    #[test]
    fn constants_become_values_of_the_type_or_nothing() {
        let check = |kind: Kind, text: &str, expected: Option<&str>| {
            let cell = constant(kind, WireFormat::Text, text);
            let cell = cell.map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
            assert_eq!(cell.as_deref(), expected, "{kind:?} {text}");
            let binary = constant(kind, WireFormat::Binary, text);
            assert_eq!(binary.is_some(), expected.is_some() && kind != Kind::Money);
        };
        check(Kind::Text, "***", Some("***"));
        check(Kind::Text, "a\0b", None);
        check(Kind::Bpchar, "x", Some("x"));
        check(Kind::Char, "***", Some("*"));
        check(Kind::Number(Number::Int4), "7", Some("7"));
        check(Kind::Number(Number::Int4), "+7", Some("7"));
        check(Kind::Number(Number::Int4), "***", None);
        check(Kind::Number(Number::Int2), "40000", None);
        check(Kind::Bool, "yes", Some("t"));
        check(Kind::Number(Number::Numeric), "1.50", Some("1.50"));
        check(Kind::Number(Number::Float8), "1e20", Some("1e+20"));
        check(Kind::Number(Number::Float8), "1e400", None);
        check(Kind::Temporal(Temporal::Date), "1970-01-01", Some("1970-01-01"));
        check(Kind::Temporal(Temporal::Date), "1970-02-30", None);
        check(Kind::Temporal(Temporal::Timestamp), "1970-01-01", Some("1970-01-01 00:00:00"));
        check(
            Kind::Temporal(Temporal::TimestampTz),
            "1970-01-01 01:00+01",
            Some("1970-01-01 00:00:00+00"),
        );
        check(Kind::Json, "***", Some("\"***\""));
        check(Kind::Jsonb, "{\"a\": 1}", Some("{\"a\": 1}"));
        check(Kind::Xml, "<&>", Some("&lt;&amp;&gt;"));
        check(Kind::Inet, "10.0.0.1", Some("10.0.0.1"));
        check(Kind::Cidr, "10.0.0.1/8", None);
        check(Kind::Money, "$1,234.50", Some("$1,234.50"));
        check(Kind::Money, "***", None);
        check(Kind::Array(23), "{1,2}", Some("{1,2}"));
        check(Kind::Array(23), "***", None);
        check(Kind::Unknown, "***", None);
    }
}
