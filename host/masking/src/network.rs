//! `inet`, `cidr` and the two `macaddr` types.

use core::net::IpAddr;
use std::fmt::Write;

use crate::reader::Reader;

/// The server's own number of the family of version 4 addresses.
const FAMILY_V4: u8 = 2;
/// One more, whatever the server's system calls version 6.
const FAMILY_V6: u8 = 3;

pub(crate) fn decode_address(is_cidr: bool, bytes: &[u8], out: &mut String) -> Option<()> {
    let mut reader = Reader::new(bytes);
    let (family, bits) = (reader.u8()?, reader.u8()?);
    let (_is_cidr, length) = (reader.u8()?, reader.u8()?);
    let address = match (family, length) {
        (FAMILY_V4, 4) => IpAddr::from(reader.array::<4>()?),
        (FAMILY_V6, 16) => IpAddr::from(reader.array::<16>()?),
        _ => return None,
    };
    reader.end()?;
    if bits > bits_max(address) || (is_cidr && has_host_bits(address, bits)) {
        return None;
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "{address}");
    if is_cidr || bits < bits_max(address) {
        let _ = write!(out, "/{bits}");
    }
    Some(())
}

pub(crate) fn encode_address(is_cidr: bool, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits)),
        None => (text.parse().ok()?, None),
    };
    let bits = match bits {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= bits_max(address))?,
        None => bits_max(address),
    };
    if is_cidr && has_host_bits(address, bits) {
        return None;
    }
    match address {
        IpAddr::V4(address) => {
            out.extend_from_slice(&[FAMILY_V4, bits, u8::from(is_cidr), 4]);
            out.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            out.extend_from_slice(&[FAMILY_V6, bits, u8::from(is_cidr), 16]);
            out.extend_from_slice(&address.octets());
        }
    }
    Some(())
}

fn bits_max(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn has_host_bits(address: IpAddr, bits: u8) -> bool {
    let mask = |width: u32| u128::MAX.checked_shl(width - u32::from(bits)).unwrap_or(0);
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) & !mask(32) != 0,
        IpAddr::V6(address) => address.to_bits() & !mask(128) != 0,
    }
}

/// An address of `length` bytes, 6 or 8.
pub(crate) fn decode_mac(length: usize, bytes: &[u8], out: &mut String) -> Option<()> {
    if bytes.len() != length {
        return None;
    }
    for (position, byte) in bytes.iter().enumerate() {
        let separator = if position == 0 { "" } else { ":" };
        let _ = write!(out, "{separator}{byte:02x}");
    }
    Some(())
}

pub(crate) fn encode_mac(length: usize, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    for part in text.split(':') {
        let hex = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        out.push(u8::from_str_radix(part, 16).ok().filter(|_| hex)?);
    }
    (out.len() - start == length).then_some(())
}
