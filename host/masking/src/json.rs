//! Is this text still JSON? An edit inside a document must leave a document.

/// Deeper than this is refused: the check must not need more stack than a session has.
const DEPTH_MAX: u32 = 256;

/// True for one JSON value with nothing but white space around it.
pub(crate) fn is_json(text: &str) -> bool {
    let mut scan = Scan { rest: text.as_bytes() };
    scan.value(DEPTH_MAX).is_some() && scan.skip_space().is_empty()
}

/// Writes a text as a JSON string.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            control if u32::from(control) < 0x20 => out.push(' '),
            _ => out.push(letter),
        }
    }
    out.push('"');
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn skip_space(&mut self) -> &'a [u8] {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest
    }

    fn eat(&mut self, expected: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        match self.skip_space().first()? {
            b'{' => self.list(b'}', depth.checked_sub(1)?),
            b'[' => self.list(b']', depth.checked_sub(1)?),
            b'"' => self.string(),
            b't' => self.eat(b"true"),
            b'f' => self.eat(b"false"),
            b'n' => self.eat(b"null"),
            _ => self.number(),
        }
    }

    /// An object or an array, as its closing byte says.
    fn list(&mut self, close: u8, depth: u32) -> Option<()> {
        self.rest = self.rest.get(1..)?;
        if self.skip_space().first() == Some(&close) {
            return self.eat(&[close]);
        }
        loop {
            if close == b'}' {
                self.skip_space();
                self.string()?;
                self.skip_space();
                self.eat(b":")?;
            }
            self.value(depth)?;
            match self.skip_space().first()? {
                b',' => self.eat(b",")?,
                byte if *byte == close => return self.eat(&[close]),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.eat(b"\"")?;
        loop {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            match first {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => (),
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        match first {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let (digits, rest) = rest.split_at_checked(4)?;
                self.rest = rest;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<()> {
        // The sign is optional, and so are fraction and exponent below.
        let _ = self.eat(b"-");
        match self.eat(b"0") {
            Some(()) => (),
            None => self.digits()?,
        }
        if self.eat(b".").is_some() {
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = match rest {
                [b'+' | b'-', rest @ ..] => rest,
                _ => rest,
            };
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let before = self.rest.len();
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        (self.rest.len() < before).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_and_what_is_not() {
        let check = |text: &str, expected: bool| assert_eq!(is_json(text), expected, "{text}");
        for text in
            ["0", "-1.5e+3", "\"a\\u00e9\\n\"", " [ ] ", "{\"a\": [1, {\"b\": null}], \"c\": true}"]
        {
            check(text, true);
        }
        for text in [
            "",
            "01",
            "1.",
            "***",
            "\"a",
            "[1,]",
            "{\"a\"}",
            "{a: 1}",
            "1 2",
            "\"\u{1}\"",
            "\"\\x\"",
        ] {
            check(text, false);
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        check(&nested(256), true);
        check(&nested(257), false);
    }

    #[test]
    fn a_written_string_is_json() {
        let mut out = String::new();
        write_string("a\"b\\c\nd", &mut out);
        assert!(is_json(&out), "{out}");
    }
}
