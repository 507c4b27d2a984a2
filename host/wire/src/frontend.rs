//! Messages from the client, after login.

use crate::frame::{Frame, Malformed};
use crate::reader::Reader;

/// A statement or a portal, in Describe and Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Statement,
    Portal,
}

/// Bind, as far as it is looked at.
#[derive(Clone, Debug)]
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    pub parameter_formats: Formats<'a>,
    parameters: &'a [u8],
    pub parameter_count: usize,
    pub result_formats: Formats<'a>,
}

impl<'a> Bind<'a> {
    /// The values bound, in order; `None` is NULL.
    pub fn parameters(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut reader = Reader::new(self.parameters);
        // Checked when the message was read, so that it cannot fail here.
        (0..self.parameter_count).map(move |_| reader.cell().unwrap_or_default())
    }
}

/// Format codes: none means text for all, one means that one for all.
#[derive(Clone, Copy, Debug)]
pub struct Formats<'a> {
    codes: &'a [u8],
}

impl Formats<'_> {
    /// True when the value at `index` is in binary form.
    pub fn is_binary(&self, index: usize) -> bool {
        let code = match self.codes.len() / 2 {
            0 => return false,
            1 => self.codes.get(..2),
            _ => self.codes.get(index * 2..index * 2 + 2),
        };
        code == Some(&[0, 1])
    }

    fn read<'a>(reader: &mut Reader<'a>) -> Result<Formats<'a>, Malformed> {
        let count = reader.count()?;
        let codes = reader.bytes(count * 2)?;
        if codes.chunks_exact(2).any(|code| code != [0, 0] && code != [0, 1]) {
            return Err(Malformed::Form("format code other than text and binary"));
        }
        Ok(Formats { codes })
    }
}

/// A message from the client. Texts and names are bytes in the session's encoding.
#[derive(Clone, Debug)]
pub enum Frontend<'a> {
    Query {
        text: &'a [u8],
    },
    Parse {
        statement: &'a [u8],
        text: &'a [u8],
        /// Four bytes each, big-endian type OIDs.
        parameter_types: &'a [u8],
    },
    Bind(Bind<'a>),
    Describe {
        target: Target,
        name: &'a [u8],
    },
    Execute {
        portal: &'a [u8],
        /// 0 or below: no limit.
        rows_max: i32,
    },
    Close {
        target: Target,
        name: &'a [u8],
    },
    Sync,
    Flush,
    FunctionCall {
        function_oid: u32,
    },
    CopyData,
    CopyDone,
    CopyFail,
    Terminate,
    /// Password, SASL messages: only during login.
    Password,
}

impl<'a> Frontend<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// When the tag is not one of a client's, or the body is not exactly of its form: bytes
    /// after a text's NUL, for instance, which some readers take for another message.
    pub fn read(frame: Frame<'a>) -> Result<Frontend<'a>, Malformed> {
        let mut reader = Reader::new(frame.body);
        let message = match frame.tag {
            b'Q' => Frontend::Query { text: reader.cstr()? },
            b'P' => {
                let statement = reader.cstr()?;
                let text = reader.cstr()?;
                let count = reader.count()?;
                Frontend::Parse { statement, text, parameter_types: reader.bytes(count * 4)? }
            }
            b'B' => Frontend::Bind(bind(&mut reader, frame.body)?),
            b'D' => {
                let (target, name) = target(&mut reader)?;
                Frontend::Describe { target, name }
            }
            b'C' => {
                let (target, name) = target(&mut reader)?;
                Frontend::Close { target, name }
            }
            b'E' => Frontend::Execute { portal: reader.cstr()?, rows_max: reader.i32()? },
            b'S' => Frontend::Sync,
            b'H' => Frontend::Flush,
            b'F' => {
                let function_oid = reader.u32()?;
                reader.bytes(reader.remaining())?;
                Frontend::FunctionCall { function_oid }
            }
            b'd' => {
                reader.bytes(reader.remaining())?;
                Frontend::CopyData
            }
            b'c' => Frontend::CopyDone,
            b'f' => {
                reader.cstr()?;
                Frontend::CopyFail
            }
            b'X' => Frontend::Terminate,
            b'p' => {
                reader.bytes(reader.remaining())?;
                Frontend::Password
            }
            tag => return Err(Malformed::Unexpected { tag, state: "from a client" }),
        };
        reader.end()?;
        Ok(message)
    }
}

fn target<'a>(reader: &mut Reader<'a>) -> Result<(Target, &'a [u8]), Malformed> {
    let target = match reader.u8()? {
        b'S' => Target::Statement,
        b'P' => Target::Portal,
        _ => return Err(Malformed::Form("neither a statement nor a portal")),
    };
    Ok((target, reader.cstr()?))
}

fn bind<'a>(reader: &mut Reader<'a>, body: &'a [u8]) -> Result<Bind<'a>, Malformed> {
    let portal = reader.cstr()?;
    let statement = reader.cstr()?;
    let parameter_formats = Formats::read(reader)?;
    let parameter_count = reader.count()?;
    let start = body.len() - reader.remaining();
    for _ in 0..parameter_count {
        reader.cell()?;
    }
    let end = body.len() - reader.remaining();
    let parameters = body.get(start..end).unwrap_or_default();
    let result_formats = Formats::read(reader)?;
    Ok(Bind { portal, statement, parameter_formats, parameters, parameter_count, result_formats })
}

/// Reads the SASLInitialResponse inside a password message: mechanism and first message.
pub fn sasl_initial(body: &[u8]) -> Result<(&[u8], Option<&[u8]>), Malformed> {
    let mut reader = Reader::new(body);
    let mechanism = reader.cstr()?;
    let first = reader.cell()?;
    reader.end()?;
    Ok((mechanism, first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::cut;
    use proptest::prelude::*;

    fn read(tag: u8, body: &[u8]) -> Result<String, Malformed> {
        let mut bytes = vec![tag];
        bytes.extend((body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        Frontend::read(cut(&bytes, 1 << 20)?.unwrap()).map(|message| format!("{message:?}"))
    }

    #[test]
    fn a_text_ends_its_message() {
        assert!(read(b'Q', b"select 1\0").is_ok());
        assert!(read(b'Q', b"select 1\0drop table t\0").is_err());
        assert!(read(b'Q', b"select 1").is_err());
        assert!(read(b'S', b"x").is_err());
        assert!(read(b'D', b"Xname\0").is_err());
        assert!(read(b'!', b"").is_err());
    }

    #[test]
    fn bind_is_read_whole_or_not_at_all() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0";
        let mut bytes = vec![b'B'];
        bytes.extend((body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        let Ok(Frontend::Bind(bind)) = Frontend::read(cut(&bytes, 1024).unwrap().unwrap()) else {
            panic!("a whole Bind is read");
        };
        assert_eq!(bind.parameters().collect::<Vec<_>>(), [Some(&b"x"[..]), None]);
        assert!(bind.parameter_formats.is_binary(1) && !bind.result_formats.is_binary(0));
        for cut in 0..body.len() {
            assert!(read(b'B', &body[..cut]).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tag: u8, body: Vec<u8>) {
            let _ = read(tag, &body);
            let _ = sasl_initial(&body);
            let _ = crate::startup::parse(&body);
        }
    }
}
