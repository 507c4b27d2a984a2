//! A lexer that agrees with PostgreSQL's (`scan.l`): where tokens begin and end, and nothing
//! about what they mean.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or keyword without quotes.
    Word,
    /// `"…"` or `U&"…"`.
    QuotedName,
    /// `'…'` with nothing in front; the only literal whose end depends on a setting.
    Text,
    /// `E'…'`, `B'…'`, `X'…'`, `U&'…'` or `$tag$…$tag$`.
    SpecialText,
    /// Digits, with at most a point and an exponent.
    Number,
    /// A number in hexadecimal, octal or binary, or with underscores.
    SpecialNumber,
    /// `$1`.
    Parameter,
    /// A run of operator characters, `::`, `:=`, `=>` or `..`.
    Operator,
    /// One of `, ( ) [ ] . ; :` or a character that SQL does not know.
    Symbol,
}

/// A token: its bytes in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Why a text cannot be cut into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uncut(pub &'static str);

/// PostgreSQL's scanner looks ahead over a run of operator characters from every place in it,
/// and from every comment opened in one: a long run costs the square of its length.
const OPERATOR_RUN_MAX: usize = 1024;
const COMMENT_DEPTH_MAX: usize = 64;

/// Tokens of a text, comments and white space left out.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    position: usize,
    standard_conforming_strings: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, standard_conforming_strings: bool) -> Lexer<'a> {
        Lexer { text, bytes: text.as_bytes(), position: 0, standard_conforming_strings }
    }

    /// The next token, or None at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Token>, Uncut> {
        self.skip_blank()?;
        let start = self.position;
        let Some(first) = self.peek(0) else { return Ok(None) };
        let kind = match first {
            b'\'' => self.text_from(start, !self.standard_conforming_strings, Kind::Text)?,
            b'"' => self.quoted_name(start)?,
            b'$' => self.dollar()?,
            b'0'..=b'9' => self.number()?,
            b'.' => match self.peek(1) {
                Some(b'0'..=b'9') => self.number()?,
                Some(b'.') => self.take(2, Kind::Operator),
                Some(_) | None => self.take(1, Kind::Symbol),
            },
            b':' => match self.peek(1) {
                Some(b':' | b'=') => self.take(2, Kind::Operator),
                Some(_) | None => self.take(1, Kind::Symbol),
            },
            _ if is_word_start(first) => self.word(first)?,
            _ if is_operator(first) => self.operator()?,
            _ => {
                let width = self.text.get(start..).and_then(|rest| rest.chars().next());
                self.take(width.map_or(1, char::len_utf8), Kind::Symbol)
            }
        };
        Ok(Some(Token { kind, start, end: self.position }))
    }

    #[inline]
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.position.saturating_add(ahead)).copied()
    }

    #[inline]
    fn take(&mut self, count: usize, kind: Kind) -> Kind {
        self.position = self.position.saturating_add(count).min(self.bytes.len());
        kind
    }

    #[inline]
    fn take_while(&mut self, accept: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&accept) {
            self.position += 1;
        }
    }

    #[inline]
    fn skip_blank(&mut self) -> Result<(), Uncut> {
        loop {
            match self.peek(0) {
                Some(byte) if is_space(byte) => self.position += 1,
                Some(b'-') if self.peek(1) == Some(b'-') => self.skip_line_comment(),
                Some(b'/') if self.peek(1) == Some(b'*') => self.skip_block_comment()?,
                Some(_) | None => return Ok(()),
            }
        }
    }

    fn skip_line_comment(&mut self) {
        self.take_while(|byte| byte != b'\n' && byte != b'\r');
    }

    /// Block comments nest.
    fn skip_block_comment(&mut self) -> Result<(), Uncut> {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.position += 2;
                    if depth > COMMENT_DEPTH_MAX {
                        return Err(Uncut("comments nested too deep"));
                    }
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.position += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(_), _) => self.position += 1,
                (None, _) => return Err(Uncut("unterminated comment")),
            }
        }
    }

    fn word(&mut self, first: u8) -> Result<Kind, Uncut> {
        let start = self.position;
        match (first, self.peek(1), self.peek(2)) {
            (b'e' | b'E', Some(b'\''), _) => {
                return self.text_from(start + 1, true, Kind::SpecialText);
            }
            (b'b' | b'B' | b'x' | b'X', Some(b'\''), _) => {
                return self.text_from(start + 1, false, Kind::SpecialText);
            }
            (b'u' | b'U', Some(b'&'), Some(b'\'')) => {
                // With the setting off the server refuses these; so do we.
                if !self.standard_conforming_strings {
                    return Err(Uncut("U& string without standard_conforming_strings"));
                }
                return self.text_from(start + 2, false, Kind::SpecialText);
            }
            (b'u' | b'U', Some(b'&'), Some(b'"')) => return self.quoted_name(start + 2),
            _ => {}
        }
        self.take_while(is_word);
        Ok(Kind::Word)
    }

    /// A quoted text whose opening quote is at `quote`, with what continues it on later lines.
    fn text_from(&mut self, quote: usize, escapes: bool, kind: Kind) -> Result<Kind, Uncut> {
        self.position = quote + 1;
        loop {
            match self.peek(0) {
                Some(b'\'') if self.peek(1) == Some(b'\'') => self.position += 2,
                Some(b'\'') => {
                    self.position += 1;
                    match self.continuation() {
                        Some(next) => self.position = next,
                        None => return Ok(kind),
                    }
                }
                Some(b'\\') if escapes => self.position += 2,
                Some(_) => self.position += 1,
                None => return Err(Uncut("unterminated quoted string")),
            }
        }
    }

    /// Texts that only white space with a line end separates are one: where the next one's
    /// content begins.
    fn continuation(&self) -> Option<usize> {
        let mut at = self.position;
        let mut line_end = false;
        loop {
            match self.bytes.get(at).copied()? {
                b'\n' | b'\r' => {
                    line_end = true;
                    at += 1;
                }
                byte if is_space(byte) => at += 1,
                b'-' if self.bytes.get(at + 1) == Some(&b'-') => {
                    let rest = self.bytes.get(at..)?;
                    // A comment must be ended by a line end to count as white space.
                    at += rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
                }
                b'\'' if line_end => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn quoted_name(&mut self, quote: usize) -> Result<Kind, Uncut> {
        self.position = quote + 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'"'), Some(b'"')) => self.position += 2,
                (Some(b'"'), _) if self.position == quote + 1 => {
                    return Err(Uncut("zero-length name"));
                }
                (Some(b'"'), _) => {
                    self.position += 1;
                    return Ok(Kind::QuotedName);
                }
                (Some(_), _) => self.position += 1,
                (None, _) => return Err(Uncut("unterminated quoted name")),
            }
        }
    }

    fn dollar(&mut self) -> Result<Kind, Uncut> {
        let start = self.position;
        self.position += 1;
        if self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.take_while(|byte| byte.is_ascii_digit());
            return match self.peek(0) {
                Some(byte) if is_word_start(byte) => Err(Uncut("junk after a parameter")),
                Some(_) | None => Ok(Kind::Parameter),
            };
        }
        if self.peek(0).is_some_and(is_word_start) {
            self.take_while(|byte| is_word(byte) && byte != b'$');
        }
        if self.peek(0) != Some(b'$') {
            self.position = start + 1;
            return Ok(Kind::Symbol);
        }
        self.position += 1;
        let (Some(tag), Some(rest)) =
            (self.text.get(start..self.position), self.text.get(self.position..))
        else {
            return Err(Uncut("broken dollar quote"));
        };
        let found = rest.find(tag).ok_or(Uncut("unterminated dollar quote"))?;
        self.position += found + tag.len();
        Ok(Kind::SpecialText)
    }

    fn number(&mut self) -> Result<Kind, Uncut> {
        let start = self.position;
        let radix: Option<fn(u8) -> bool> = match (self.peek(0), self.peek(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => Some(|byte| byte.is_ascii_hexdigit()),
            (Some(b'0'), Some(b'o' | b'O')) => Some(|byte| matches!(byte, b'0'..=b'7')),
            (Some(b'0'), Some(b'b' | b'B')) => Some(|byte| matches!(byte, b'0' | b'1')),
            _ => None,
        };
        if let Some(digit) = radix {
            self.position += 2;
            self.digits(digit);
            return self.end_of_number(Kind::SpecialNumber);
        }
        let decimal: fn(u8) -> bool = |byte| byte.is_ascii_digit();
        self.digits(decimal);
        // `1..2` is a range of integers, not a number with a point.
        if self.peek(0) == Some(b'.') && self.peek(1) != Some(b'.') {
            self.position += 1;
            // An underscore may stand between digits but not after the point.
            if self.peek(0).is_some_and(decimal) {
                self.digits(decimal);
            }
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if !self.peek(1 + sign).is_some_and(decimal) {
                return Err(Uncut("junk after a number"));
            }
            self.position += 1 + sign;
            self.digits(decimal);
        }
        let written = self.bytes.get(start..self.position).unwrap_or_default();
        let kind = if written.contains(&b'_') { Kind::SpecialNumber } else { Kind::Number };
        self.end_of_number(kind)
    }

    fn digits(&mut self, digit: fn(u8) -> bool) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(byte), _) if digit(byte) => self.position += 1,
                (Some(b'_'), Some(next)) if digit(next) => self.position += 2,
                _ => return,
            }
        }
    }

    fn end_of_number(&self, kind: Kind) -> Result<Kind, Uncut> {
        match self.peek(0) {
            Some(byte) if is_word_start(byte) => Err(Uncut("junk after a number")),
            Some(_) | None => Ok(kind),
        }
    }

    /// A run of operator characters ends before a comment, and does not end in a sign unless
    /// it holds a character that standard operators do not have.
    fn operator(&mut self) -> Result<Kind, Uncut> {
        let start = self.position;
        while let Some(byte) = self.peek(0) {
            let comment = matches!((byte, self.peek(1)), (b'-', Some(b'-')) | (b'/', Some(b'*')));
            if !is_operator(byte) || comment {
                break;
            }
            self.position += 1;
            if self.position - start > OPERATOR_RUN_MAX {
                return Err(Uncut("operator too long"));
            }
        }
        let run = self.bytes.get(start..self.position).unwrap_or_default();
        let free = run.iter().any(|byte| b"~!@#^&|`?%".contains(byte));
        let mut length = run.len();
        while !free && length > 1 && matches!(run.get(length - 1), Some(b'+' | b'-')) {
            length -= 1;
        }
        self.position = start + length;
        Ok(Kind::Operator)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'+' | b'-'
            | b'*'
            | b'/'
            | b'<'
            | b'>'
            | b'='
            | b'~'
            | b'!'
            | b'@'
            | b'#'
            | b'%'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
    )
}
