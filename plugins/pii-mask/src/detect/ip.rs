//! IP addresses, version 4 and 6.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::place::{Place, add, at, before, follows_word, is_word};
use crate::kind::Kind;

const WORDS: [&str; 8] = ["ip", "addr", "address", "host", "from", "client", "peer", "remote"];

pub(crate) fn find(text: &[u8], places: &mut Vec<Place>) {
    let mut index = 0;
    while index < text.len() {
        if !is_part(at(text, index)) {
            index += 1;
            continue;
        }
        let start = index;
        while is_part(at(text, index)) {
            index += 1;
        }
        // Behind a product's name and a slash stands its version.
        let is_version =
            before(text, start) == b'/' && is_word(before(text, start.saturating_sub(1)));
        let is_apart = !is_word(before(text, start)) && !is_word(at(text, index));
        if is_apart && !is_version && index - start >= 7 {
            find_in(text, start, index, places);
        }
    }
}

/// Whether the digits and dots at `start` can be an address of version 4.
pub(crate) fn may_begin(text: &[u8], start: usize) -> bool {
    let is_part = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let part = text.get(start..).unwrap_or_default().iter().take_while(is_part);
    part.filter(|byte| **byte == b'.').count() >= 3
}

/// Whether there are colons enough for an address of version 6.
pub(crate) fn has_colons(text: &[u8]) -> bool {
    text.iter().filter(|byte| **byte == b':').count() >= 3
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'.' || byte == b':'
}

/// Looks at one run of hexadecimal digits, dots and colons.
fn find_in(text: &[u8], start: usize, end: usize, places: &mut Vec<Place>) {
    let run = text.get(start..end).unwrap_or_default();
    let run = run.trim_ascii_end();
    let run = run.strip_suffix(b".").or(run.strip_suffix(b":")).unwrap_or(run);
    let Ok(run) = str::from_utf8(run) else { return };
    // "10.1.2.3:5432" is an address and a port.
    let host = match run.split_once(':') {
        Some((host, port)) if host.contains('.') && !port.contains(':') => host,
        Some(_) | None => run,
    };
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        let known = follows_word(text, start, &WORDS) || host.len() < run.len();
        if is_somebodys(address, known) {
            add(places, Kind::Ip, start..start + host.len());
        }
        return;
    }
    let is_long = run.matches(':').count() >= 3 && run.bytes().any(|byte| byte.is_ascii_digit());
    if is_long && run.parse::<Ipv6Addr>().is_ok() {
        add(places, Kind::Ip, start..start + run.len());
    }
}

/// Not a loopback address, a net mask or, unless it is `known` to be an address, a version
/// number, whose parts are small.
fn is_somebodys(address: Ipv4Addr, known: bool) -> bool {
    let octets = address.octets();
    let is_version = octets.iter().all(|octet| *octet < 32) && !address.is_private();
    !address.is_loopback()
        && !address.is_unspecified()
        && !matches!(octets, [255, 255, ..] | [0, ..])
        && (known || !is_version)
}
