//! The text and the binary form of a value.

use crate::array::Array;
use crate::bits;
use crate::datetime::{
    Clock, DATE_DAYS, DAY, Moment, SECOND, TIMESTAMP_MICROS, ZONE_SECONDS_END, parse_date,
    parse_time, parse_timestamp, write_date, write_time, write_timestamp,
};
use crate::interval::{self, Interval};
use crate::json::is_json;
use crate::kind::{Kind, Number, Temporal};
use crate::network;
use crate::number::{
    FLOAT4_EXPONENT_MIN, FLOAT8_EXPONENT_MIN, parse_float4, parse_float8, write_float,
};
use crate::numeric;
use crate::reader::Reader;

/// The version of the binary form of `jsonb`.
const JSONB_VERSION: u8 = 1;

/// Text of a binary value, as PostgreSQL prints it with `DateStyle = ISO`, `TimeZone = UTC`
/// and `bytea_output = hex`. `None` where the type's binary form is not known, or the bytes
/// are not of that form.
pub fn binary_to_text(type_oid: u32, bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    decode(Kind::of(type_oid), bytes, &mut text)?;
    Some(text)
}

/// The binary form of a value given as text, in the forms `binary_to_text` gives. `None`
/// where the type is not known or the text is not a value of it.
pub fn text_to_binary(type_oid: u32, text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    encode(Kind::of(type_oid), text, &mut bytes)?;
    Some(bytes)
}

/// Appends the text of a binary value. On `None`, `out` may hold part of it.
pub(crate) fn decode(kind: Kind, bytes: &[u8], out: &mut String) -> Option<()> {
    match kind {
        Kind::Text | Kind::Bpchar | Kind::Json | Kind::Xml => {
            out.push_str(std::str::from_utf8(bytes).ok()?);
        }
        Kind::Jsonb => {
            let (version, text) = bytes.split_first()?;
            if *version != JSONB_VERSION {
                return None;
            }
            out.push_str(std::str::from_utf8(text).ok()?);
        }
        Kind::Bool => match bytes {
            [0] => out.push('f'),
            [1] => out.push('t'),
            _ => return None,
        },
        Kind::Char => match bytes {
            [0] => (),
            [byte] if byte.is_ascii() => out.push(char::from(*byte)),
            _ => return None,
        },
        Kind::Number(number) => decode_number(number, bytes, out)?,
        Kind::Bytea => {
            out.push_str("\\x");
            bits::write_hex(bytes, out);
        }
        Kind::Uuid => bits::decode_uuid(bytes, out)?,
        Kind::Bits => bits::decode_bits(bytes, out)?,
        Kind::Temporal(temporal) => decode_temporal(temporal, bytes, out)?,
        Kind::Inet => network::decode_address(false, bytes, out)?,
        Kind::Cidr => network::decode_address(true, bytes, out)?,
        Kind::Macaddr => network::decode_mac(6, bytes, out)?,
        Kind::Macaddr8 => network::decode_mac(8, bytes, out)?,
        Kind::Array(element) => decode_array(element, bytes, out)?,
        // The text of money depends on the server's locale.
        Kind::Money | Kind::Unknown => return None,
    }
    Some(())
}

/// Appends the binary form of a text. On `None`, `out` is as it was.
pub(crate) fn encode(kind: Kind, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let written = encode_partly(kind, text, out);
    if written.is_none() {
        out.truncate(start);
    }
    written
}

fn encode_partly(kind: Kind, text: &str, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        // No text in PostgreSQL holds a NUL, and C clients would stop reading at it.
        Kind::Text | Kind::Bpchar | Kind::Xml if !text.contains('\0') => {
            out.extend_from_slice(text.as_bytes());
        }
        Kind::Json if is_json(text) => out.extend_from_slice(text.as_bytes()),
        Kind::Jsonb if is_json(text) => {
            out.push(JSONB_VERSION);
            out.extend_from_slice(text.as_bytes());
        }
        Kind::Bool => out.push(match text {
            "t" | "true" | "yes" | "on" | "1" => 1,
            "f" | "false" | "no" | "off" | "0" => 0,
            _ => return None,
        }),
        Kind::Char => match text.as_bytes() {
            [] => out.push(0),
            [byte] => out.push(*byte),
            _ => return None,
        },
        Kind::Number(number) => encode_number(number, text, out)?,
        Kind::Bytea => bits::encode_bytea(text, out)?,
        Kind::Uuid => bits::encode_uuid(text, out)?,
        Kind::Bits => bits::encode_bits(text, out)?,
        Kind::Temporal(temporal) => encode_temporal(temporal, text, out)?,
        Kind::Inet => network::encode_address(false, text, out)?,
        Kind::Cidr => network::encode_address(true, text, out)?,
        Kind::Macaddr => network::encode_mac(6, text, out)?,
        Kind::Macaddr8 => network::encode_mac(8, text, out)?,
        Kind::Array(element) => encode_array(element, text, out)?,
        Kind::Text
        | Kind::Bpchar
        | Kind::Xml
        | Kind::Json
        | Kind::Jsonb
        | Kind::Money
        | Kind::Unknown => return None,
    }
    Some(())
}

fn decode_number(number: Number, bytes: &[u8], out: &mut String) -> Option<()> {
    let mut reader = Reader::new(bytes);
    match number {
        Number::Int2 => push(reader.i16()?, out),
        Number::Int4 => push(reader.i32()?, out),
        Number::Int8 => push(reader.i64()?, out),
        Number::Oid => push(u32::from_be_bytes(reader.array()?), out),
        Number::Float4 => {
            let value = f32::from_be_bytes(reader.array()?);
            write_float(&format!("{value:e}"), &format!("{value}"), FLOAT4_EXPONENT_MIN, out);
        }
        Number::Float8 => {
            let value = f64::from_be_bytes(reader.array()?);
            write_float(&format!("{value:e}"), &format!("{value}"), FLOAT8_EXPONENT_MIN, out);
        }
        Number::Numeric => return numeric::decode(bytes, out),
    }
    reader.end()
}

fn encode_number(number: Number, text: &str, out: &mut Vec<u8>) -> Option<()> {
    match number {
        Number::Int2 => out.extend_from_slice(&text.parse::<i16>().ok()?.to_be_bytes()),
        Number::Int4 => out.extend_from_slice(&text.parse::<i32>().ok()?.to_be_bytes()),
        Number::Int8 => out.extend_from_slice(&text.parse::<i64>().ok()?.to_be_bytes()),
        Number::Oid => out.extend_from_slice(&text.parse::<u32>().ok()?.to_be_bytes()),
        Number::Float4 => out.extend_from_slice(&parse_float4(text)?.to_be_bytes()),
        Number::Float8 => out.extend_from_slice(&parse_float8(text)?.to_be_bytes()),
        Number::Numeric => numeric::encode(text, out)?,
    }
    Some(())
}

fn push(value: impl std::fmt::Display, out: &mut String) {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

fn decode_temporal(temporal: Temporal, bytes: &[u8], out: &mut String) -> Option<()> {
    let mut reader = Reader::new(bytes);
    match temporal {
        Temporal::Date => {
            let date = match reader.i32()? {
                i32::MIN => Moment::MinusInfinity,
                i32::MAX => Moment::Infinity,
                days => Moment::At(Some(days).filter(|days| DATE_DAYS.contains(&(*days).into()))?),
            };
            write_date(date, out);
        }
        Temporal::Time => {
            write_time(Clock { micros: day_micros(&mut reader)?, zone_seconds: None }, out)
        }
        Temporal::TimeTz => {
            let micros = day_micros(&mut reader)?;
            // The zone is sent as seconds west of Greenwich.
            let west = reader.i32().filter(|west| west.unsigned_abs() < ZONE_SECONDS_END)?;
            write_time(Clock { micros, zone_seconds: Some(-west) }, out);
        }
        Temporal::Timestamp => write_timestamp(timestamp(reader.i64()?, None)?, out),
        Temporal::TimestampTz => write_timestamp(timestamp(reader.i64()?, Some(0))?, out),
        Temporal::Interval => {
            let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
            interval::write(Interval { months, days, micros }, out)?;
        }
    }
    reader.end()
}

fn day_micros(reader: &mut Reader<'_>) -> Option<i64> {
    reader.i64().filter(|micros| (0..=DAY).contains(micros))
}

fn timestamp(micros: i64, zone_seconds: Option<i32>) -> Option<Moment<Clock>> {
    match micros {
        i64::MIN => Some(Moment::MinusInfinity),
        i64::MAX => Some(Moment::Infinity),
        micros if TIMESTAMP_MICROS.contains(&micros) => {
            Some(Moment::At(Clock { micros, zone_seconds }))
        }
        _ => None,
    }
}

fn encode_temporal(temporal: Temporal, text: &str, out: &mut Vec<u8>) -> Option<()> {
    match temporal {
        Temporal::Date => {
            let days = match parse_date(text)? {
                Moment::MinusInfinity => i32::MIN,
                Moment::Infinity => i32::MAX,
                Moment::At(days) => days,
            };
            out.extend_from_slice(&days.to_be_bytes());
        }
        Temporal::Time => {
            let clock = parse_time(text).filter(|clock| clock.zone_seconds.is_none())?;
            out.extend_from_slice(&clock.micros.to_be_bytes());
        }
        Temporal::TimeTz => {
            let clock = parse_time(text)?;
            out.extend_from_slice(&clock.micros.to_be_bytes());
            out.extend_from_slice(&(-clock.zone_seconds.unwrap_or(0)).to_be_bytes());
        }
        Temporal::Timestamp => {
            let moment = parse_timestamp(text)?
                .try_map(|clock| clock.zone_seconds.is_none().then_some(clock))?;
            out.extend_from_slice(&utc_micros(moment)?.to_be_bytes());
        }
        Temporal::TimestampTz => {
            out.extend_from_slice(&utc_micros(parse_timestamp(text)?)?.to_be_bytes());
        }
        Temporal::Interval => {
            let Interval { months, days, micros } = interval::parse(text)?;
            out.extend_from_slice(&micros.to_be_bytes());
            out.extend_from_slice(&days.to_be_bytes());
            out.extend_from_slice(&months.to_be_bytes());
        }
    }
    Some(())
}

fn utc_micros(moment: Moment<Clock>) -> Option<i64> {
    match moment {
        Moment::MinusInfinity => Some(i64::MIN),
        Moment::Infinity => Some(i64::MAX),
        Moment::At(Clock { micros, zone_seconds }) => {
            let micros = micros.checked_sub(i64::from(zone_seconds.unwrap_or(0)) * SECOND)?;
            TIMESTAMP_MICROS.contains(&micros).then_some(micros)
        }
    }
}

fn decode_array(element_oid: u32, bytes: &[u8], out: &mut String) -> Option<()> {
    let element = Kind::of(element_oid);
    let mut scratch = String::new();
    let array = Array::from_binary(element_oid, bytes)?.map(|bytes, out| {
        scratch.clear();
        decode(element, bytes, &mut scratch)?;
        out.extend_from_slice(scratch.as_bytes());
        Some(())
    })?;
    let mut text = Vec::new();
    array.write_text(&mut text);
    out.push_str(std::str::from_utf8(&text).ok()?);
    Some(())
}

fn encode_array(element_oid: u32, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let element = Kind::of(element_oid);
    let array = Array::from_text(text)?
        .map(|bytes, out| encode(element, std::str::from_utf8(bytes).ok()?, out))?;
    array.write_binary(element_oid, out)
}

#[cfg(test)]
mod tests;
