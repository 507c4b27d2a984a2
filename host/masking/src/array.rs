//! Arrays: their text and binary frames around elements that somebody else reads.

use std::ops::Range;

use crate::reader::Reader;

/// PostgreSQL's own limit on dimensions.
const DIMENSIONS_MAX: usize = 6;
/// How much longer rewritten elements may be together: a number of 8 bytes can have a text
/// of 128 KiB.
const GROWTH_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dimension {
    length: i32,
    lower_bound: i32,
}

/// An array whose elements are in one form, text or binary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Array {
    dimensions: Vec<Dimension>,
    data: Vec<u8>,
    /// Where each element stands in `data`; `None` for NULL.
    elements: Vec<Option<Range<usize>>>,
}

impl Array {
    /// Reads the binary frame of an array whose elements must be of `element_oid`.
    pub(crate) fn from_binary(element_oid: u32, bytes: &[u8]) -> Option<Array> {
        let mut reader = Reader::new(bytes);
        let mut array = Array::default();
        let count = usize::try_from(reader.i32()?).ok().filter(|n| *n <= DIMENSIONS_MAX)?;
        let _has_nulls = reader.i32()?;
        if u32::from_be_bytes(reader.array()?) != element_oid {
            return None;
        }
        let mut total: usize = usize::from(count > 0);
        for _ in 0..count {
            let dimension = Dimension { length: reader.i32()?, lower_bound: reader.i32()? };
            // The server has no bound behind the last.
            dimension.lower_bound.checked_add(dimension.length)?;
            total = total.checked_mul(usize::try_from(dimension.length).ok()?)?;
            array.dimensions.push(dimension);
        }
        // There is one empty array, whatever its bounds were.
        if total == 0 {
            array.dimensions.clear();
        }
        // Each element takes at least its length word, so a false total ends early.
        for _ in 0..total {
            array.push(reader.cell()?);
        }
        reader.end()?;
        Some(array)
    }

    pub(crate) fn write_binary(&self, element_oid: u32, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&i32::try_from(self.dimensions.len()).ok()?.to_be_bytes());
        let has_nulls = self.elements.iter().any(Option::is_none);
        out.extend_from_slice(&i32::from(has_nulls).to_be_bytes());
        out.extend_from_slice(&element_oid.to_be_bytes());
        for dimension in &self.dimensions {
            out.extend_from_slice(&dimension.length.to_be_bytes());
            out.extend_from_slice(&dimension.lower_bound.to_be_bytes());
        }
        for element in self.iter() {
            match element {
                None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(bytes) => {
                    out.extend_from_slice(&i32::try_from(bytes.len()).ok()?.to_be_bytes());
                    out.extend_from_slice(bytes);
                }
            }
        }
        Some(())
    }

    /// Reads `{a,"b c",NULL}`, nested, with bounds before it where they are not 1.
    pub(crate) fn from_text(text: &str) -> Option<Array> {
        let mut literal = Literal { rest: text.as_bytes(), array: Array::default() };
        let bounds = literal.bounds()?;
        literal.list(0)?;
        let Literal { rest, mut array } = literal;
        if !rest.is_empty() {
            return None;
        }
        if array.elements.is_empty() {
            array.dimensions.clear();
        }
        if let Some(bounds) = bounds {
            let fits = bounds.len() == array.dimensions.len()
                && bounds.iter().zip(&array.dimensions).all(|(a, b)| a.length == b.length);
            array.dimensions = fits.then_some(bounds)?;
        }
        Some(array)
    }

    /// The elements must be in text form.
    pub(crate) fn write_text(&self, out: &mut Vec<u8>) {
        if self.dimensions.iter().any(|dimension| dimension.lower_bound != 1) {
            for Dimension { length, lower_bound } in &self.dimensions {
                let upper = i64::from(*lower_bound) + i64::from(*length) - 1;
                out.extend_from_slice(format!("[{lower_bound}:{upper}]").as_bytes());
            }
            out.push(b'=');
        }
        let mut elements = self.iter();
        match self.elements.is_empty() {
            true => out.extend_from_slice(b"{}"),
            false => write_level(&self.dimensions, &mut elements, out),
        }
    }

    /// The same array with each element that is not NULL read and written anew. `None` where
    /// `rewrite` gives up, or the elements grow too long.
    pub(crate) fn map(
        &self,
        mut rewrite: impl FnMut(&[u8], &mut Vec<u8>) -> Option<()>,
    ) -> Option<Array> {
        let mut mapped = Array { dimensions: self.dimensions.clone(), ..Array::default() };
        for element in self.iter() {
            let start = mapped.data.len();
            match element {
                None => mapped.elements.push(None),
                Some(bytes) => {
                    rewrite(bytes, &mut mapped.data)?;
                    if mapped.data.len() > self.data.len() + GROWTH_BYTES_MAX {
                        return None;
                    }
                    mapped.elements.push(Some(start..mapped.data.len()));
                }
            }
        }
        Some(mapped)
    }

    fn push(&mut self, element: Option<&[u8]>) {
        let start = self.data.len();
        self.data.extend_from_slice(element.unwrap_or_default());
        self.elements.push(element.map(|_| start..self.data.len()));
    }

    fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.elements.iter().map(|element| {
            element.as_ref().map(|range| self.data.get(range.clone()).unwrap_or_default())
        })
    }
}

fn write_level<'a>(
    dimensions: &[Dimension],
    elements: &mut impl Iterator<Item = Option<&'a [u8]>>,
    out: &mut Vec<u8>,
) {
    let Some((first, deeper)) = dimensions.split_first() else {
        match elements.next().flatten() {
            None => out.extend_from_slice(b"NULL"),
            Some(bytes) => write_element(bytes, out),
        }
        return;
    };
    out.push(b'{');
    for position in 0..first.length {
        if position > 0 {
            out.push(b',');
        }
        write_level(deeper, elements, out);
    }
    out.push(b'}');
}

fn write_element(bytes: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(*byte);
    let quoted =
        bytes.is_empty() || bytes.eq_ignore_ascii_case(b"NULL") || bytes.iter().any(special);
    if !quoted {
        return out.extend_from_slice(bytes);
    }
    out.push(b'"');
    for byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// An array literal being read.
struct Literal<'a> {
    rest: &'a [u8],
    array: Array,
}

impl Literal<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip_space(&mut self) {
        while self.rest.first().copied().is_some_and(is_space) {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
    }

    /// `[1:2][0:3]=` where there is one.
    fn bounds(&mut self) -> Option<Option<Vec<Dimension>>> {
        if self.rest.first() != Some(&b'[') {
            return Some(None);
        }
        let end = self.rest.iter().position(|byte| *byte == b'=')?;
        let (head, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..)?;
        let inner = std::str::from_utf8(head).ok()?.strip_prefix('[')?.strip_suffix(']')?;
        let mut bounds = Vec::new();
        for part in inner.split("][") {
            let (lower, upper) = part.split_once(':')?;
            let (lower_bound, upper) = (lower.parse::<i32>().ok()?, upper.parse::<i32>().ok()?);
            let length = upper.checked_add(1)?.checked_sub(lower_bound)?;
            bounds.push(Dimension { length, lower_bound });
        }
        (bounds.len() <= DIMENSIONS_MAX).then_some(Some(bounds))
    }

    /// One `{...}`; `depth` counts those around it.
    fn list(&mut self, depth: usize) -> Option<()> {
        if depth >= DIMENSIONS_MAX || self.next()? != b'{' {
            return None;
        }
        self.skip_space();
        let mut length = 0_i32;
        if depth == 0 && self.rest.first() == Some(&b'}') {
            self.next()?;
            return Some(());
        }
        let is_new = self.array.dimensions.len() == depth;
        if is_new {
            if !self.array.elements.is_empty() {
                return None;
            }
            self.array.dimensions.push(Dimension { length: 0, lower_bound: 1 });
        }
        loop {
            self.member(depth)?;
            length = length.checked_add(1)?;
            match self.next()? {
                b',' => self.skip_space(),
                b'}' => break,
                _ => return None,
            }
        }
        let dimension = self.array.dimensions.get_mut(depth)?;
        if is_new {
            dimension.length = length;
        }
        (dimension.length == length).then_some(())
    }

    /// A list or an element, and the white space behind it.
    fn member(&mut self, depth: usize) -> Option<()> {
        if self.rest.first() == Some(&b'{') {
            self.list(depth + 1)?;
        } else if self.array.dimensions.len() == depth + 1 {
            self.element()?;
        } else {
            // Elements and lists at one level.
            return None;
        }
        self.skip_space();
        Some(())
    }

    fn element(&mut self) -> Option<()> {
        let start = self.array.data.len();
        if self.rest.first() == Some(&b'"') {
            self.next()?;
            loop {
                match self.next()? {
                    b'"' => break,
                    b'\\' => {
                        let escaped = self.next()?;
                        self.array.data.push(escaped);
                    }
                    byte => self.array.data.push(byte),
                }
            }
            self.array.elements.push(Some(start..self.array.data.len()));
            return Some(());
        }
        self.bare_element(start)
    }

    fn bare_element(&mut self, start: usize) -> Option<()> {
        let end = self.rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
        let (bare, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        let bare = bare.trim_ascii_end();
        if bare.is_empty() || bare.iter().any(|byte| matches!(byte, b'"' | b'\\' | b'{')) {
            return None;
        }
        if bare.eq_ignore_ascii_case(b"NULL") {
            self.array.elements.push(None);
            return Some(());
        }
        self.array.data.extend_from_slice(bare);
        self.array.elements.push(Some(start..self.array.data.len()));
        Some(())
    }
}

#[cfg(test)]
impl Array {
    /// One element more, in one dimension.
    pub(crate) fn with(mut self, element: &[u8]) -> Array {
        self.push(Some(element));
        self.lengthened()
    }

    pub(crate) fn with_null(mut self) -> Array {
        self.push(None);
        self.lengthened()
    }

    fn lengthened(mut self) -> Array {
        let length = self.elements.len() as i32;
        self.dimensions = vec![Dimension { length, lower_bound: 1 }];
        self
    }
}
