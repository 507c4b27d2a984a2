//! Distinguished names, written in one way only, so that equal texts are equal names.
//!
//! The text is that of RFC 4514: the last component first, commas between.

use x509_parser::asn1_rs::{Any, Tag, ToDer};
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

pub(crate) const COMMON_NAME: &str = "2.5.4.3";

/// Short names of attribute types: RFC 4514's table, and three that are in common use.
const TYPES: [(&str, &str); 11] = [
    ("CN", COMMON_NAME),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("serialNumber", "2.5.4.5"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
];

/// The text of a name in a certificate; `None` where it cannot be read.
pub(crate) fn written(name: &X509Name<'_>) -> Option<String> {
    let components: Vec<&RelativeDistinguishedName<'_>> = name.iter_rdn().collect();
    let components = components.into_iter().rev().map(|component| {
        let attributes: Option<Vec<String>> = component.iter().map(attribute).collect();
        Some(joined(attributes?))
    });
    Some(components.collect::<Option<Vec<String>>>()?.join(","))
}

/// The text that an operator wrote, in the one way; `None` where it is no name.
pub(crate) fn rewritten(text: &str) -> Option<String> {
    let bytes = unescaped(text)?;
    let components = bytes.split(|byte| *byte == Byte::Bare(b',')).map(|component| {
        let attributes = component.split(|byte| *byte == Byte::Bare(b'+')).map(assignment);
        Some(joined(attributes.collect::<Option<Vec<String>>>()?))
    });
    Some(components.collect::<Option<Vec<String>>>()?.join(","))
}

/// The text of a value, where it is of a sort whose bytes mean the same to everybody.
pub(crate) fn text<'a>(value: &'a Any<'_>) -> Option<&'a str> {
    let text = std::str::from_utf8(value.data).ok()?;
    match value.tag() {
        Tag::Utf8String => Some(text),
        Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            text.is_ascii().then_some(text)
        }
        _ => None,
    }
}

/// The parts of a component have no order.
fn joined(mut attributes: Vec<String>) -> String {
    attributes.sort_unstable();
    attributes.join("+")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let oid = attribute.attr_type().to_id_string();
    let value = match text(attribute.attr_value()) {
        Some(text) => escaped(text),
        None => {
            let der = attribute.attr_value().to_der_vec().ok()?;
            der.iter().fold("#".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
        }
    };
    Some(format!("{}={value}", short(&oid)))
}

fn short(oid: &str) -> &str {
    TYPES.iter().find(|(_, known)| *known == oid).map_or(oid, |(name, _)| name)
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (place, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            ' ' if place == 0 || place == last => text.extend(['\\', c]),
            '#' if place == 0 => text.extend(['\\', c]),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                let bytes = c.encode_utf8(&mut bytes).bytes();
                text.extend(bytes.map(|byte| format!("\\{byte:02x}")));
            }
            c => text.push(c),
        }
    }
    text
}

/// A byte that means itself, or what it stands for in the notation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Byte {
    Bare(u8),
    Escaped(u8),
}

impl Byte {
    fn value(self) -> u8 {
        match self {
            Byte::Bare(byte) | Byte::Escaped(byte) => byte,
        }
    }
}

fn unescaped(text: &str) -> Option<Vec<Byte>> {
    let mut bytes = text.bytes();
    let mut result = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            result.push(Byte::Bare(byte));
            continue;
        }
        let first = bytes.next()?;
        let escaped = match hex_digit(first) {
            Some(high) => high << 4 | hex_digit(bytes.next()?)?,
            None if first.is_ascii_graphic() || first == b' ' => first,
            None => return None,
        };
        result.push(Byte::Escaped(escaped));
    }
    Some(result)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// `type=value`, spaces around both passed over.
fn assignment(bytes: &[Byte]) -> Option<String> {
    let equals = bytes.iter().position(|byte| *byte == Byte::Bare(b'='))?;
    let (kind, value) = bytes.split_at_checked(equals)?;
    let value = trimmed(value.get(1..)?);
    let kind: Option<Vec<u8>> = trimmed(kind)
        .iter()
        .map(|byte| matches!(byte, Byte::Bare(_)).then(|| byte.value()))
        .collect();
    let kind = String::from_utf8(kind?).ok()?;
    let kind = attribute_type(&kind)?;
    let reserved =
        |byte: &Byte| matches!(byte, Byte::Bare(b'"' | b';' | b'<' | b'>')) || byte.value() == 0;
    if value.is_empty() || value.first() == Some(&Byte::Bare(b'#')) || value.iter().any(reserved) {
        return None;
    }
    let value = String::from_utf8(value.iter().map(|byte| byte.value()).collect()).ok()?;
    Some(format!("{kind}={}", escaped(&value)))
}

fn trimmed(mut bytes: &[Byte]) -> &[Byte] {
    while let Some((Byte::Bare(b' '), rest)) = bytes.split_first() {
        bytes = rest;
    }
    while let Some((Byte::Bare(b' '), rest)) = bytes.split_last() {
        bytes = rest;
    }
    bytes
}

/// A short name or a dotted number, as the short name where there is one.
fn attribute_type(text: &str) -> Option<&str> {
    if let Some((name, _)) = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Some(name);
    }
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (text.contains('.') && text.split('.').all(number)).then(|| short(text))
}
