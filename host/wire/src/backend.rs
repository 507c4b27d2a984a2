//! Messages from the server, as far as the proxy looks into them.

use crate::frame::Malformed;
use crate::reader::Reader;

/// Where the session stands between two statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

impl TransactionStatus {
    /// Reads the body of ReadyForQuery.
    pub fn read(body: &[u8]) -> Result<TransactionStatus, Malformed> {
        match body {
            b"I" => Ok(TransactionStatus::Idle),
            b"T" => Ok(TransactionStatus::InTransaction),
            b"E" => Ok(TransactionStatus::Failed),
            _ => Err(Malformed::Form("transaction status other than I, T and E")),
        }
    }

    pub fn byte(self) -> u8 {
        match self {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        }
    }
}

/// One column of RowDescription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a [u8],
    /// 0 where the column is not simply one of a table's.
    pub table_oid: u32,
    /// 0 for none and for a whole row.
    pub attribute: i16,
    pub type_oid: u32,
    /// True for binary.
    pub binary: bool,
}

/// Reads RowDescription.
pub fn row_description(body: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
    let mut reader = Reader::new(body);
    let count = reader.count()?;
    let mut fields = Vec::with_capacity(count.min(reader.remaining() / 19));
    for _ in 0..count {
        let name = reader.cstr()?;
        let table_oid = reader.u32()?;
        let attribute = reader.i16()?;
        let type_oid = reader.u32()?;
        reader.i16()?; // type size
        reader.i32()?; // type modifier
        let binary = match reader.i16()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed::Form("format code other than text and binary")),
        };
        fields.push(Field { name, table_oid, attribute, type_oid, binary });
    }
    reader.end()?;
    Ok(fields)
}

/// Reads DataRow: one entry per column, `None` for NULL.
pub fn data_row(body: &[u8]) -> Result<Vec<Option<&[u8]>>, Malformed> {
    let mut reader = Reader::new(body);
    let count = reader.count()?;
    let cells = (0..count).map(|_| reader.cell()).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(cells)
}

/// Reads ParameterDescription: type OIDs.
pub fn parameter_description(body: &[u8]) -> Result<Vec<u32>, Malformed> {
    let mut reader = Reader::new(body);
    let count = reader.count()?;
    let types = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(types)
}

/// Reads ErrorResponse and NoticeResponse: field code and value, in order.
pub fn notice_fields(body: &[u8]) -> Result<Vec<(u8, &[u8])>, Malformed> {
    let mut reader = Reader::new(body);
    let mut fields = Vec::new();
    loop {
        match reader.u8()? {
            0 => {
                reader.end()?;
                return Ok(fields);
            }
            code => fields.push((code, reader.cstr()?)),
        }
    }
}

/// True of an error behind which the server closes the connection.
pub fn is_fatal(body: &[u8]) -> Result<bool, Malformed> {
    let fields = notice_fields(body)?;
    Ok(matches!(field(&fields, b'V'), Some(b"FATAL" | b"PANIC")))
}

/// The value of one field of an error or notice.
pub fn field<'a>(fields: &[(u8, &'a [u8])], code: u8) -> Option<&'a [u8]> {
    fields.iter().find(|(found, _)| *found == code).map(|(_, value)| *value)
}

/// Reads CommandComplete: the tag ("SELECT 3").
pub fn command_tag(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let tag = reader.cstr()?;
    reader.end()?;
    Ok(tag)
}

/// The number of rows a command tag names: its last word, where that is a number.
pub fn tag_rows(tag: &[u8]) -> Option<u64> {
    let last = tag.rsplit(|&byte| byte == b' ').next()?;
    std::str::from_utf8(last).ok()?.parse().ok()
}

/// CopyInResponse and CopyOutResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyResponse {
    /// True when the whole COPY is in binary form.
    pub binary: bool,
    pub columns: usize,
}

/// Reads CopyInResponse and CopyOutResponse.
pub fn copy_response(body: &[u8]) -> Result<CopyResponse, Malformed> {
    let mut reader = Reader::new(body);
    let binary = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed::Form("copy format other than text and binary")),
    };
    let columns = reader.count()?;
    reader.bytes(columns * 2)?;
    reader.end()?;
    Ok(CopyResponse { binary, columns })
}

/// Reads ParameterStatus: name and value.
pub fn parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(body);
    let name = reader.cstr()?;
    let value = reader.cstr()?;
    reader.end()?;
    Ok((name, value))
}

/// Reads BackendKeyData: process id and secret key.
pub fn backend_key(body: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let mut reader = Reader::new(body);
    let process_id = reader.u32()?;
    let key = reader.bytes(reader.remaining())?;
    if !(4..=256).contains(&key.len()) {
        return Err(Malformed::Form("cancel key of an impossible length"));
    }
    Ok((process_id, key))
}

/// Reads NotificationResponse: process id, channel, payload.
pub fn notification(body: &[u8]) -> Result<(u32, &[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(body);
    let notification = (reader.u32()?, reader.cstr()?, reader.cstr()?);
    reader.end()?;
    Ok(notification)
}

/// What the server asks for at login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    Ok,
    CleartextPassword,
    Md5Password {
        salt: [u8; 4],
    },
    Sasl {
        mechanisms: Vec<&'a [u8]>,
    },
    SaslContinue(&'a [u8]),
    SaslFinal(&'a [u8]),
    /// Kerberos, GSSAPI, SSPI: not spoken.
    Other(u32),
}

/// Reads an Authentication message.
pub fn authentication(body: &[u8]) -> Result<Authentication<'_>, Malformed> {
    let mut reader = Reader::new(body);
    let request = match reader.u32()? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => {
            let salt = reader.bytes(4)?;
            Authentication::Md5Password { salt: salt.try_into().unwrap_or_default() }
        }
        10 => {
            let mut mechanisms = Vec::new();
            loop {
                match reader.cstr()? {
                    b"" => break,
                    mechanism => mechanisms.push(mechanism),
                }
            }
            Authentication::Sasl { mechanisms }
        }
        11 => Authentication::SaslContinue(reader.bytes(reader.remaining())?),
        12 => Authentication::SaslFinal(reader.bytes(reader.remaining())?),
        other => {
            reader.bytes(reader.remaining())?;
            Authentication::Other(other)
        }
    };
    reader.end()?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(body: Vec<u8>) {
            let _ = row_description(&body);
            let _ = data_row(&body);
            let _ = parameter_description(&body);
            let _ = notice_fields(&body);
            let _ = command_tag(&body);
            let _ = copy_response(&body);
            let _ = parameter_status(&body);
            let _ = backend_key(&body);
            let _ = notification(&body);
            let _ = authentication(&body);
        }
    }

    #[test]
    fn a_row_description_is_read_exactly() {
        let mut body = b"\0\x01email\0".to_vec();
        body.extend(7u32.to_be_bytes());
        body.extend(2i16.to_be_bytes());
        body.extend(25u32.to_be_bytes());
        body.extend((-1i16).to_be_bytes());
        body.extend((-1i32).to_be_bytes());
        body.extend(1i16.to_be_bytes());
        let fields = row_description(&body).unwrap();
        let expected =
            Field { name: b"email", table_oid: 7, attribute: 2, type_oid: 25, binary: true };
        assert_eq!(fields, [expected]);
        for cut in 0..body.len() {
            assert!(row_description(&body[..cut]).is_err());
        }
    }

    #[test]
    fn rows_are_read_off_a_tag() {
        assert_eq!(tag_rows(b"SELECT 3"), Some(3));
        assert_eq!(tag_rows(b"INSERT 0 12"), Some(12));
        assert_eq!(tag_rows(b"BEGIN"), None);
    }
}
