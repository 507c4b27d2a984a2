//! Frames: tag, length, body.

use std::fmt;

/// Bytes that break the protocol, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The message does not have the form its tag promises.
    Form(&'static str),
    /// The length field exceeds what is accepted here.
    Oversized { tag: u8, bytes: usize, bytes_max: usize },
    /// A message that may not come at this point.
    Unexpected { tag: u8, state: &'static str },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Form(what) => write!(f, "malformed message: {what}"),
            Malformed::Oversized { tag, bytes, bytes_max } => write!(
                f,
                "message '{}' of {bytes} bytes exceeds the limit of {bytes_max}",
                tag.escape_ascii()
            ),
            Malformed::Unexpected { tag, state } => {
                write!(f, "unexpected message '{}' {state}", tag.escape_ascii())
            }
        }
    }
}

impl std::error::Error for Malformed {}

/// One whole message.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub tag: u8,
    /// What follows the length field.
    pub body: &'a [u8],
    /// The message as it came: tag, length, body.
    pub bytes: &'a [u8],
}

/// The tag and the length field.
pub const HEADER_BYTES: usize = 5;

/// Cuts the first frame off `buffer`: `None` when it is not whole yet.
///
/// # Errors
/// When the length field is below 4 (it counts itself), or the frame exceeds `bytes_max`;
/// said as soon as the header is there, so that nothing oversized is ever buffered.
pub fn cut(buffer: &[u8], bytes_max: usize) -> Result<Option<Frame<'_>>, Malformed> {
    let Some((&[tag, a, b, c, d], rest)) = buffer.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let Some(body_bytes) = length.checked_sub(4) else {
        return Err(Malformed::Form("length below 4"));
    };
    if length >= bytes_max {
        return Err(Malformed::Oversized { tag, bytes: length, bytes_max });
    }
    let Some(body) = rest.get(..body_bytes) else { return Ok(None) };
    let bytes = buffer.get(..HEADER_BYTES + body_bytes).unwrap_or_default();
    Ok(Some(Frame { tag, body, bytes }))
}

/// Whole frames of one tag, one behind another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    pub frames: u64,
    /// Of all of them, with their headers.
    pub bytes: usize,
}

/// The stretch of frames with `tag` that `buffer` begins with, `frames_max` of them at most.
/// It ends before whatever is not such a frame, whole and within the limit; what that is,
/// [`cut`] says.
pub fn stretch(buffer: &[u8], tag: u8, frames_max: u64, bytes_max: usize) -> Stretch {
    let mut found = Stretch::default();
    while found.frames < frames_max {
        let rest = buffer.get(found.bytes..).unwrap_or_default();
        let Some(&[own, a, b, c, d]) = rest.first_chunk::<HEADER_BYTES>() else { break };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if own != tag || length < 4 || length >= bytes_max || length >= rest.len() {
            break;
        }
        found.frames += 1;
        found.bytes += 1 + length;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_when_it_is_whole() {
        let bytes = b"Q\0\0\0\x06a\0Z\0\0\0\x05I";
        for short in 0..7 {
            assert!(cut(&bytes[..short], 64).unwrap().is_none());
        }
        let frame = cut(bytes, 64).unwrap().unwrap();
        assert_eq!((frame.tag, frame.body, frame.bytes), (b'Q', &b"a\0"[..], &bytes[..7]));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_at_the_header() {
        assert_eq!(cut(b"Q\0\0\0\x03", 64).unwrap_err(), Malformed::Form("length below 4"));
        for length in [64u32, 65, u32::MAX] {
            let mut bytes = vec![b'Q'];
            bytes.extend(length.to_be_bytes());
            assert!(matches!(cut(&bytes, 64), Err(Malformed::Oversized { .. })));
        }
        assert!(cut(b"Q\0\0\0\x3f", 64).unwrap().is_none());
    }

    #[test]
    fn a_stretch_ends_where_something_else_begins() {
        let check = |bytes: &[u8], frames_max: u64, frames: u64, length: usize| {
            let expected = Stretch { frames, bytes: length };
            assert_eq!(stretch(bytes, b'D', frames_max, 64), expected, "{bytes:?}");
        };
        let rows = b"D\0\0\0\x06abD\0\0\0\x04D\0\0\0\x05x";
        check(rows, u64::MAX, 3, 18);
        check(rows, 2, 2, 12);
        check(rows, 0, 0, 0);
        for end in 13..rows.len() {
            check(&rows[..end], 9, 2, 12);
        }
        check(b"", 9, 0, 0);
        check(b"C\0\0\0\x05x", 9, 0, 0);
        check(b"D\0\0\0\x04C\0\0\0\x04", 9, 1, 5);
        // What `cut` refuses is left for it to refuse.
        check(b"D\0\0\0\x04D\0\0\0\x03D\0\0\0\x04", 9, 1, 5);
        check(&[&b"D\0\0\0\x40"[..], &[0; 64]].concat(), 9, 0, 0);
        check(&[&b"D\0\0\0\x3f"[..], &[0; 64]].concat(), 9, 1, 64);
        check(b"D\xff\xff\xff\xff", 9, 0, 0);
    }
}
