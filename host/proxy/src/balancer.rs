//! The true address of a client that comes through a balancer: the PROXY protocol.
//!
//! Only what a trusted peer says is read here; that it is one is for the caller to know.
//! Such a peer must say something: without a header the connection is refused, or whoever
//! reached the port past the balancer would come with its address.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest header of version 1, its line end included.
const TEXT_BYTES_MAX: usize = 107;
/// The longest of version 2: addresses take 216 bytes at most, the rest are extras that no
/// decision rests on.
const BINARY_BYTES_MAX: usize = 4096;
/// Up to and with the length.
const BINARY_HEAD_BYTES: usize = 16;
const TEXT_PREFIX: &[u8] = b"PROXY ";

/// Reads the header that a balancer sends first, and says who its client is: the peer itself
/// where the balancer speaks for itself (a health check) or does not know.
///
/// Exactly the header is consumed. Not cancel safe: what has been read is lost, so the
/// connection must be given up.
pub async fn true_address<S>(stream: &mut S, peer: SocketAddr) -> io::Result<SocketAddr>
where
    S: AsyncRead + Unpin,
{
    let header = read(stream).await?;
    address(&header, peer).ok_or_else(garbled)
}

fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no valid PROXY protocol header")
}

/// Reads one header and nothing behind it.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut header = vec![stream.read_u8().await?];
    // Nothing else begins like one or the other, so a client without a header need not send
    // more before it is refused.
    let binary = match header.first() {
        Some(first) if v2::PROTOCOL_PREFIX.first() == Some(first) => true,
        Some(first) if TEXT_PREFIX.first() == Some(first) => false,
        Some(_) | None => return Err(garbled()),
    };
    if binary {
        read_to(stream, &mut header, BINARY_HEAD_BYTES).await?;
        let length = match header.as_slice() {
            [prefix @ .., _, _, high, low] if prefix == v2::PROTOCOL_PREFIX => {
                usize::from(u16::from_be_bytes([*high, *low]))
            }
            _ => return Err(garbled()),
        };
        let whole = BINARY_HEAD_BYTES.saturating_add(length);
        if whole > BINARY_BYTES_MAX {
            return Err(garbled());
        }
        read_to(stream, &mut header, whole).await?;
    } else {
        read_to(stream, &mut header, TEXT_PREFIX.len()).await?;
        while header.starts_with(TEXT_PREFIX) && !header.ends_with(b"\n") {
            if header.len() >= TEXT_BYTES_MAX {
                return Err(garbled());
            }
            // One byte at a time: where the line ends is where the client's own bytes begin.
            header.push(stream.read_u8().await?);
        }
    }
    Ok(header)
}

async fn read_to<S: AsyncRead + Unpin>(
    stream: &mut S,
    header: &mut Vec<u8>,
    length: usize,
) -> io::Result<()> {
    let read = header.len();
    header.resize(length.max(read), 0);
    stream.read_exact(header.get_mut(read..).unwrap_or_default()).await.map(drop)
}

/// Whom a whole header names; `None` where it is none.
fn address(header: &[u8], peer: SocketAddr) -> Option<SocketAddr> {
    match header.starts_with(v2::PROTOCOL_PREFIX) {
        true => binary_address(header, peer),
        false => text_address(header, peer),
    }
}

fn text_address(header: &[u8], peer: SocketAddr) -> Option<SocketAddr> {
    let parsed = v1::Header::try_from(header).ok()?;
    // A sign before a port would be read as well; a carriage return inside the line would
    // end what is parsed.
    if parsed.header.len() != header.len() || header.contains(&b'+') {
        return None;
    }
    Some(match parsed.addresses {
        v1::Addresses::Tcp4(ip) => named(ip.source_address.into(), ip.source_port),
        v1::Addresses::Tcp6(ip) => named(ip.source_address.into(), ip.source_port),
        v1::Addresses::Unknown => peer,
    })
}

fn binary_address(header: &[u8], peer: SocketAddr) -> Option<SocketAddr> {
    let parsed = v2::Header::try_from(header).ok()?;
    if parsed.header.len() != header.len() {
        return None;
    }
    match (parsed.command, parsed.protocol) {
        (v2::Command::Local, _) => return Some(peer),
        (v2::Command::Proxy, v2::Protocol::Stream | v2::Protocol::Unspecified) => {}
        (v2::Command::Proxy, v2::Protocol::Datagram) => return None,
    }
    match (parsed.addresses, parsed.protocol) {
        (v2::Addresses::IPv4(ip), v2::Protocol::Stream) => {
            Some(named(ip.source_address.into(), ip.source_port))
        }
        (v2::Addresses::IPv6(ip), v2::Protocol::Stream) => {
            Some(named(ip.source_address.into(), ip.source_port))
        }
        // An address without a transport, or a transport without an address, is unknown.
        (v2::Addresses::IPv4(_) | v2::Addresses::IPv6(_), _)
        | (v2::Addresses::Unspecified | v2::Addresses::Unix(_), _) => Some(peer),
    }
}

/// An IPv4 address in IPv6's clothes is the IPv4 address, for rules and records.
fn named(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "192.0.2.7:4711";
    const PEER: &str = "10.0.0.1:9";

    /// What a header says of the client, and what is left in the stream behind it.
    fn received(bytes: &[u8]) -> Result<(String, Vec<u8>), io::ErrorKind> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut stream = bytes;
        let address = runtime.block_on(true_address(&mut stream, PEER.parse().unwrap()));
        address.map(|address| (address.to_string(), stream.to_vec())).map_err(|error| error.kind())
    }

    fn check(header: &[u8], expected: Option<&str>) {
        let followed = [header, b"\0\0\0\x08"].concat();
        match (received(&followed), expected) {
            (Ok((address, rest)), Some(expected)) => {
                assert_eq!(address, expected, "{header:?}");
                assert_eq!(rest, b"\0\0\0\x08", "{header:?}");
            }
            (Err(kind), None) => assert_eq!(kind, io::ErrorKind::InvalidData, "{header:?}"),
            (outcome, expected) => panic!("{header:?}: {outcome:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn text() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(9000));
        assert_eq!(long.len(), TEXT_BYTES_MAX);
        for (header, expected) in [
            ("PROXY TCP4 192.0.2.7 10.0.0.2 4711 5432\r\n", Some(CLIENT)),
            ("PROXY TCP6 2001:db8::7 2001:db8::1 4711 5432\r\n", Some("[2001:db8::7]:4711")),
            ("PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 5432\r\n", Some(CLIENT)),
            ("PROXY UNKNOWN\r\n", Some(PEER)),
            ("PROXY UNKNOWN 192.0.2.7 10.0.0.2 4711 5432\r\n", Some(PEER)),
            (&long, Some(PEER)),
            // Too long, or no end at all.
            (&longer, None),
            (&endless, None),
            // Not quite a header.
            ("PROXY TCP4 192.0.2.7 10.0.0.2 4711 5432\n", None),
            ("PROXY TCP4 192.0.2.7\r 10.0.0.2 4711 5432\r\n", None),
            ("PROXY TCP4 192.0.2.7 10.0.0.2 +4711 5432\r\n", None),
            ("PROXY TCP4 192.0.2.7 10.0.0.2 04711 5432\r\n", None),
            ("PROXY TCP4 192.0.2.7 10.0.0.2 70000 5432\r\n", None),
            ("PROXY TCP4 192.0.2.7 10.0.0.2 4711 5432 \r\n", None),
            ("PROXY TCP4 192.0.2.7  10.0.0.2 4711 5432\r\n", None),
            ("PROXY TCP4 192.0.2.007 10.0.0.2 4711 5432\r\n", None),
            ("PROXY TCP4 2001:db8::7 10.0.0.2 4711 5432\r\n", None),
            ("PROXY TCP6 192.0.2.7 10.0.0.2 4711 5432\r\n", None),
            ("PROXY UDP4 192.0.2.7 10.0.0.2 4711 5432\r\n", None),
            ("PROXY tcp4 192.0.2.7 10.0.0.2 4711 5432\r\n", None),
            ("PROXY TCP4\r\n", None),
            ("PROXYTCP4 192.0.2.7 10.0.0.2 4711 5432\r\n", None),
            ("PROXY TCP4 host.example 10.0.0.2 4711 5432\r\n", None),
            ("proxy TCP4 192.0.2.7 10.0.0.2 4711 5432\r\n", None),
            // A client that comes past the balancer.
            ("\0\0\0\x08\x04\u{d2}\x16/", None),
            ("\x16\x03\x01", None),
        ] {
            check(header.as_bytes(), expected);
        }
    }

    /// A header of version 2.
    fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, payload].concat()
    }

    #[test]
    fn bytes() {
        let four = [192, 0, 2, 7, 10, 0, 0, 2, 0x12, 0x67, 0x15, 0x38];
        let extras = |bytes: usize| [four.as_slice(), &[4, 0, 0], &vec![0; bytes]].concat();
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six[15] = 7;
        six[32..34].copy_from_slice(&[0x12, 0x67]);
        let mut mapped = [0; 36];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 7]);
        mapped[32..34].copy_from_slice(&[0x12, 0x67]);
        for (name, header, expected) in [
            ("v4", binary(0x21, 0x11, &four), Some(CLIENT)),
            ("v6", binary(0x21, 0x21, &six), Some("[2001:db8::7]:4711")),
            ("v4 in v6", binary(0x21, 0x21, &mapped), Some(CLIENT)),
            ("extras", binary(0x21, 0x11, &extras(300)), Some(CLIENT)),
            ("a health check", binary(0x20, 0x00, &[]), Some(PEER)),
            ("a health check with addresses", binary(0x20, 0x11, &four), Some(PEER)),
            ("unknown", binary(0x21, 0x00, &four), Some(PEER)),
            ("a local socket", binary(0x21, 0x31, &[0; 216]), Some(PEER)),
            ("the longest", binary(0x21, 0x11, &extras(4096 - 16 - 15)), Some(CLIENT)),
            ("too long", binary(0x21, 0x11, &extras(4096 - 16 - 14)), None),
            ("as long as it goes", binary(0x21, 0x11, &vec![0; 65535]), None),
            ("datagrams", binary(0x21, 0x12, &four), None),
            ("another version", binary(0x11, 0x11, &four), None),
            ("another command", binary(0x22, 0x11, &four), None),
            ("another family", binary(0x21, 0x41, &four), None),
            ("another transport", binary(0x21, 0x13, &four), None),
            ("half an address", binary(0x21, 0x11, &four[..8]), None),
            ("v4 called v6", binary(0x21, 0x21, &four), None),
            ("another prefix", [b"\r\n\r\n\0\r\nQUIX\n", four.as_slice()].concat(), None),
        ] {
            let followed = [header.as_slice(), b"rest"].concat();
            match (received(&followed), expected) {
                (Ok(found), Some(expected)) => {
                    assert_eq!(found, (expected.to_owned(), b"rest".to_vec()), "{name}");
                }
                (Err(kind), None) => assert_eq!(kind, io::ErrorKind::InvalidData, "{name}"),
                (outcome, expected) => panic!("{name}: {outcome:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn a_header_cut_anywhere_is_none() {
        let text = b"PROXY TCP4 192.0.2.7 10.0.0.2 4711 5432\r\n".to_vec();
        let bytes = binary(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 2, 0x12, 0x67, 0x15, 0x38]);
        for whole in [text, bytes] {
            assert!(received(&whole).is_ok());
            for length in 0..whole.len() {
                let outcome = received(&whole[..length]);
                assert_eq!(outcome, Err(io::ErrorKind::UnexpectedEof), "{length}");
            }
        }
    }
}
