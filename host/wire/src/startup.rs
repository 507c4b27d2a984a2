//! The packets before login, which have no tag.

use crate::frame::Malformed;
use crate::reader::Reader;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// PostgreSQL accepts startup packets up to this size; so do we.
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// Length of SSLRequest and GSSENCRequest, and of the head of the others.
pub const HEAD_BYTES: usize = 8;
/// CVE-2024-10979-class games need many variables; no client sends this many parameters.
const PARAMETERS_MAX: usize = 128;

/// A packet sent before login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartupPacket {
    SslRequest,
    GssEncRequest,
    CancelRequest {
        process_id: u32,
        /// 4 bytes in protocol 3.0, up to 256 in 3.2.
        secret_key: Vec<u8>,
    },
    Startup(Startup),
}

/// What a client asks for at startup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    pub major: u16,
    pub minor: u16,
    /// In the order sent.
    pub parameters: Vec<(String, String)>,
}

impl Startup {
    /// The last value of a parameter: PostgreSQL lets the last one win.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The length of the packet that starts with these bytes: `None` until four are there.
///
/// # Errors
/// When the length is not possible, or above [`STARTUP_BYTES_MAX`].
pub fn packet_bytes(buffer: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some((head, _)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length < HEAD_BYTES {
        return Err(Malformed::Form("startup packet below 8 bytes"));
    }
    if length > STARTUP_BYTES_MAX {
        return Err(Malformed::Oversized {
            tag: b'0',
            bytes: length,
            bytes_max: STARTUP_BYTES_MAX,
        });
    }
    Ok(Some(length))
}

/// Reads one whole packet, of exactly the length [`packet_bytes`] gave.
pub fn parse(packet: &[u8]) -> Result<StartupPacket, Malformed> {
    let mut reader = Reader::new(packet);
    let length = reader.u32()? as usize;
    if length != packet.len() {
        return Err(Malformed::Form("startup packet of another length than it says"));
    }
    match reader.u32()? {
        SSL_REQUEST => reader.end().map(|()| StartupPacket::SslRequest),
        GSSENC_REQUEST => reader.end().map(|()| StartupPacket::GssEncRequest),
        CANCEL_REQUEST => {
            let process_id = reader.u32()?;
            let key_bytes = reader.remaining();
            if !(4..=256).contains(&key_bytes) {
                return Err(Malformed::Form("cancel key of an impossible length"));
            }
            let secret_key = reader.bytes(key_bytes)?.to_vec();
            Ok(StartupPacket::CancelRequest { process_id, secret_key })
        }
        version => parameters(reader).map(|parameters| {
            let (major, minor) = ((version >> 16) as u16, (version & 0xffff) as u16);
            StartupPacket::Startup(Startup { major, minor, parameters })
        }),
    }
}

fn parameters(mut reader: Reader<'_>) -> Result<Vec<(String, String)>, Malformed> {
    let mut parameters = Vec::new();
    loop {
        let name = text(reader.cstr()?)?;
        if name.is_empty() {
            reader.end()?;
            return Ok(parameters);
        }
        if parameters.len() == PARAMETERS_MAX {
            return Err(Malformed::Form("too many startup parameters"));
        }
        parameters.push((name, text(reader.cstr()?)?));
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::Form("startup text is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Vec<u8> {
        let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
        packet.extend_from_slice(body);
        packet
    }

    #[test]
    fn packets_are_read_or_refused() {
        let ssl = packet(&SSL_REQUEST.to_be_bytes());
        assert_eq!(parse(&ssl).unwrap(), StartupPacket::SslRequest);
        let mut startup = 196_610u32.to_be_bytes().to_vec();
        startup.extend_from_slice(b"user\0ana\0database\0shop\0\0");
        let StartupPacket::Startup(read) = parse(&packet(&startup)).unwrap() else { panic!() };
        assert_eq!((read.major, read.minor, read.parameter("user")), (3, 2, Some("ana")));
        for cut in 4..startup.len() {
            assert!(parse(&packet(&startup[..cut])).is_err(), "{cut}");
        }
        startup.push(b'x');
        assert!(parse(&packet(&startup)).is_err());
    }

    #[test]
    fn impossible_lengths_are_refused_at_once() {
        assert_eq!(packet_bytes(&[0, 0, 0]).unwrap(), None);
        assert!(packet_bytes(&[0, 0, 0, 7]).is_err());
        assert!(packet_bytes(&[0, 1, 0, 0]).is_err());
        assert_eq!(packet_bytes(&[0, 0, 0, 8]).unwrap(), Some(8));
    }
}
