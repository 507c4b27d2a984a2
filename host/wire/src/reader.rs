//! A cursor over a body that never reads past its end.

use crate::frame::Malformed;

/// Reads big-endian integers, strings and counted bytes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Reader<'a> {
        Reader { rest: body }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) =
            self.rest.split_first_chunk::<N>().ok_or(Malformed::Form("message too short"))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Malformed> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    /// A count of things: PostgreSQL reads these as unsigned.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) =
            self.rest.split_at_checked(count).ok_or(Malformed::Form("message too short"))?;
        self.rest = rest;
        Ok(head)
    }

    /// A value with a length of four bytes; -1 is NULL, other negatives are errors.
    pub(crate) fn cell(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| Malformed::Form("negative length"))?;
                self.bytes(length).map(Some)
            }
        }
    }

    /// Bytes up to a NUL, which is read too.
    pub(crate) fn cstr(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self
            .rest
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(Malformed::Form("string without its end"))?;
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    /// The message must end here: what follows would be read by nobody.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Form("bytes after the message")) }
    }
}
