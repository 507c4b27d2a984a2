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

impl Kind {
    pub(crate) fn is_literal(self) -> bool {
        match self {
            Kind::Text | Kind::SpecialText | Kind::Number | Kind::SpecialNumber => true,
            Kind::Word | Kind::QuotedName | Kind::Parameter | Kind::Operator | Kind::Symbol => {
                false
            }
        }
    }
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

/// What stands in a text for a byte from 128 on, where the text is in an encoding of one byte per
/// character and nobody knows which character that is: one of a private area of Unicode. A literal
/// may hold it; a name with it could be any, and is cut elsewhere than the server cuts it.
pub fn unread_character(byte: u8) -> char {
    let character = char::from_u32(0xF700 + u32::from(byte));
    character.filter(is_unread).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn is_unread(character: &char) -> bool {
    ('\u{F780}'..='\u{F7FF}').contains(character)
}

/// All tokens of a text.
pub(crate) fn tokens(text: &str, standard_conforming_strings: bool) -> Result<Vec<Token>, Uncut> {
    let mut lexer = Lexer::new(text, standard_conforming_strings);
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

/// What a name is to the server is not known: it holds a character that nobody knows or, where the
/// server cuts names `elsewhere`, any beyond ASCII.
pub(crate) fn has_unread_name(text: &str, tokens: &[Token], elsewhere: bool) -> bool {
    let names = tokens.iter().filter(|token| !token.kind.is_literal());
    let mut names = names.filter_map(|token| text.get(token.start..token.end));
    if elsewhere {
        // An escape in it may stand for any.
        let escapes = |name: &str| name.starts_with("U&\"") || name.starts_with("u&\"");
        names.any(|name| !name.is_ascii() || escapes(name))
    } else {
        !text.is_ascii() && names.any(|name| name.chars().any(|character| is_unread(&character)))
    }
}

/// Tokens of a text, comments and white space left out.
#[derive(Clone)]
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

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The bytes of a token.
    #[inline]
    pub(crate) fn written(&self, token: Token) -> &'a [u8] {
        self.bytes.get(token.start..token.end).unwrap_or_default()
    }

    /// The next token, or None at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Token>, Uncut> {
        self.skip_blank()?;
        let start = self.position;
        let Some(first) = self.peek(0) else { return Ok(None) };
        let kind = match class(first) {
            Class::Word => {
                self.take_while(is_word);
                Kind::Word
            }
            Class::Prefix => self.word(first)?,
            Class::Mark => self.take(1, Kind::Symbol),
            Class::Digit => self.number()?,
            Class::Operator => self.operator()?,
            Class::Quote if self.standard_conforming_strings => {
                self.text_from(start, Quotes::Doubled, Kind::Text)?
            }
            Class::Quote => self.text_from(start, Quotes::DoubledOrEscaped, Kind::Text)?,
            Class::DoubleQuote => self.quoted_name(start)?,
            Class::Dollar => self.dollar()?,
            Class::Dot => match self.peek(1) {
                Some(b'0'..=b'9') => self.number()?,
                Some(b'.') => self.take(2, Kind::Operator),
                Some(_) | None => self.take(1, Kind::Symbol),
            },
            Class::Colon => match self.peek(1) {
                Some(b':' | b'=') => self.take(2, Kind::Operator),
                Some(_) | None => self.take(1, Kind::Symbol),
            },
            // White space was skipped.
            Class::Space => self.take(1, Kind::Symbol),
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
                return self.text_from(start + 1, Quotes::DoubledOrEscaped, Kind::SpecialText);
            }
            (b'b' | b'B' | b'x' | b'X', Some(b'\''), _) => {
                return self.text_from(start + 1, Quotes::Nowhere, Kind::SpecialText);
            }
            (b'u' | b'U', Some(b'&'), Some(b'\'')) => {
                // With the setting off the server refuses these; so do we.
                if !self.standard_conforming_strings {
                    return Err(Uncut("U& string without standard_conforming_strings"));
                }
                return self.text_from(start + 2, Quotes::Doubled, Kind::SpecialText);
            }
            (b'u' | b'U', Some(b'&'), Some(b'"')) => return self.quoted_name(start + 2),
            _ => {}
        }
        self.take_while(is_word);
        Ok(Kind::Word)
    }

    /// A quoted text whose opening quote is at `quote`, with what continues it on later lines.
    fn text_from(&mut self, quote: usize, quotes: Quotes, kind: Kind) -> Result<Kind, Uncut> {
        self.position = quote + 1;
        loop {
            match self.peek(0) {
                Some(b'\'') if quotes != Quotes::Nowhere && self.peek(1) == Some(b'\'') => {
                    self.position += 2;
                }
                Some(b'\'') => {
                    self.position += 1;
                    match self.continuation() {
                        Some(next) => self.position = next,
                        None => return Ok(kind),
                    }
                }
                Some(b'\\') if quotes == Quotes::DoubledOrEscaped => self.position += 2,
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

    #[inline]
    fn number(&mut self) -> Result<Kind, Uncut> {
        let start = self.position;
        self.take_while(|byte| byte.is_ascii_digit());
        match self.peek(0) {
            Some(b'.' | b'_') => {}
            Some(byte) if is_word_start(byte) => {}
            Some(_) | None => return Ok(Kind::Number),
        }
        self.position = start;
        self.special_number()
    }

    /// A number that is not digits alone.
    fn special_number(&mut self) -> Result<Kind, Uncut> {
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

/// What a byte begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Space,
    Word,
    /// A letter that may stand before a quote: `E'`, `B'`, `X'`, `U&'`.
    Prefix,
    Digit,
    Operator,
    Quote,
    DoubleQuote,
    Dollar,
    Dot,
    Colon,
    /// Any other: a token of its own.
    Mark,
}

/// One look instead of a dozen comparisons: the cutter of keys reads every byte of every
/// statement.
const CLASSES: [Class; 256] = {
    let mut classes = [Class::Mark; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = classify(byte as u8);
        byte += 1;
    }
    classes
};

const fn classify(byte: u8) -> Class {
    match byte {
        b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Class::Space,
        b'b' | b'B' | b'e' | b'E' | b'u' | b'U' | b'x' | b'X' => Class::Prefix,
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Word,
        b'0'..=b'9' => Class::Digit,
        b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'%'
        | b'^' | b'&' | b'|' | b'`' | b'?' => Class::Operator,
        b'\'' => Class::Quote,
        b'"' => Class::DoubleQuote,
        b'$' => Class::Dollar,
        b'.' => Class::Dot,
        b':' => Class::Colon,
        _ => Class::Mark,
    }
}

#[inline]
fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// How a quote stands within a quoted text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Doubled,
    /// Or behind a backslash.
    DoubledOrEscaped,
    /// Not at all: the digits of `B'…'` and `X'…'` end at the first.
    Nowhere,
}

#[inline]
fn is_space(byte: u8) -> bool {
    class(byte) == Class::Space
}

#[inline]
fn is_word_start(byte: u8) -> bool {
    matches!(class(byte), Class::Word | Class::Prefix)
}

#[inline]
fn is_word(byte: u8) -> bool {
    matches!(class(byte), Class::Word | Class::Prefix | Class::Digit | Class::Dollar)
}

#[inline]
fn is_operator(byte: u8) -> bool {
    class(byte) == Class::Operator
}
