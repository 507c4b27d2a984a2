//! Texts without their literals: what the ledger shows, and what facts are cached under.

use portcullis_policy::Opaque;
use xxhash_rust::xxh3::xxh3_64;

use crate::lexer::{Kind, Lexer, Token, Uncut, tokens};
use crate::template::{Gap, Template};
use crate::word::{Role, role};

/// A text with its literals cut out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The text with literals replaced by `$n`, without comments and with single spaces.
    /// Numbers go on after the text's own parameters.
    pub text: String,
    /// Like `text`, but with the literals that can change a fact: statements of equal key have
    /// equal facts under one scope. Holds secrets; never to be shown.
    pub key: String,
}

/// Cuts a text by a lexer that agrees with PostgreSQL's: literals out.
///
/// # Errors
/// Where the text cannot be cut into tokens.
pub fn shape(text: &str, standard_conforming_strings: bool) -> Result<Shape, Opaque> {
    let mut cutter = KeyCutter::default();
    let key = cutter.cut(text, standard_conforming_strings)?.to_owned();
    let tokens = tokens(text, standard_conforming_strings)?;
    Ok(Shape { text: without_literals(text, &tokens), key })
}

/// Cuts keys, one after another, into the same memory.
#[derive(Default)]
pub struct KeyCutter {
    key: String,
    /// What was left out of it.
    gaps: Vec<Gap>,
    outer: Vec<Level>,
}

impl KeyCutter {
    /// The `key` of a text's shape.
    ///
    /// # Errors
    /// Where the text cannot be cut into tokens.
    pub fn cut(&mut self, text: &str, standard_conforming_strings: bool) -> Result<&str, Opaque> {
        let lexer = Lexer::new(text, standard_conforming_strings);
        if Cutter::new(lexer.clone(), false, self).run()? == Literals::Together {
            Cutter::new(lexer, true, self).run()?;
        }
        Ok(&self.key)
    }

    /// What has the same key as `text`, which was cut last.
    pub fn template(&self, text: &str) -> Template {
        Template::new(text, &self.gaps)
    }
}

impl From<Uncut> for Opaque {
    fn from(Uncut(why): Uncut) -> Opaque {
        Opaque::Unparsed(why.to_owned())
    }
}

/// A stable hash of a shape's text, 16 hexadecimal digits.
pub(crate) fn fingerprint(shape: &str) -> String {
    format!("{:016x}", xxh3_64(shape.as_bytes()))
}

/// The text of the shape of these tokens.
pub(crate) fn without_literals(text: &str, tokens: &[Token]) -> String {
    let parameters = tokens.iter().filter(|token| token.kind == Kind::Parameter);
    numbered(text, tokens, parameters.map(|token| number_of(text, *token)).max().unwrap_or(0))
}

/// The shape of the first tokens, for a text too large to be kept whole.
pub(crate) fn front(
    text: &str,
    standard_conforming_strings: bool,
    tokens_max: usize,
) -> Result<String, Uncut> {
    let mut lexer = Lexer::new(text, standard_conforming_strings);
    let mut tokens = Vec::new();
    while tokens.len() < tokens_max {
        let Some(token) = lexer.next()? else { return Ok(numbered(text, &tokens, 0)) };
        tokens.push(token);
    }
    Ok(numbered(text, &tokens, 0) + " ...")
}

fn numbered(text: &str, tokens: &[Token], parameters: usize) -> String {
    let mut shape = String::with_capacity(text.len().min(1 << 16));
    let mut runs = Runs::new(text, &mut shape);
    let mut literals = parameters;
    for token in tokens {
        runs.go_on_to(*token);
        if token.kind.is_literal() {
            literals += 1;
            runs.replace(*token, literals);
        }
    }
    runs.flush();
    shape
}

/// A parameter's number. One that does not fit is refused by the server.
fn number_of(text: &str, parameter: Token) -> usize {
    let digits = text.get(parameter.start + 1..parameter.end).unwrap_or_default();
    digits.parse::<u32>().map_or(0, |number| number as usize)
}

/// Copies tokens with at most one space between them. What stands in the text as it is to be
/// written is copied at once.
struct Runs<'a> {
    text: &'a str,
    out: &'a mut String,
    /// Where what is not yet written begins.
    from: usize,
    /// Where the last token ends.
    end: usize,
}

impl<'a> Runs<'a> {
    fn new(text: &'a str, out: &'a mut String) -> Runs<'a> {
        Runs { text, out, from: 0, end: 0 }
    }

    #[inline]
    fn go_on_to(&mut self, token: Token) {
        if self.end == 0 {
            self.from = token.start;
        } else if token.start > self.end {
            let gap = self.text.as_bytes().get(self.end..token.start);
            if gap != Some(b" ") {
                self.flush();
                self.out.push(' ');
                self.from = token.start;
            }
        }
        self.end = token.end;
    }

    /// Leaves the last token out; what stands in its place is written next.
    fn leave_out(&mut self, token: Token) -> &mut String {
        self.out.push_str(self.text.get(self.from..token.start).unwrap_or_default());
        self.from = token.end;
        self.out
    }

    /// Writes a parameter in the place of the last token.
    fn replace(&mut self, token: Token, number: usize) {
        self.leave_out(token).push('$');
        let mut place = 1;
        while number / place >= 10 {
            place *= 10;
        }
        while place > 0 {
            self.out.push(char::from(b'0' + (number / place % 10) as u8));
            place /= 10;
        }
    }

    fn flush(&mut self) {
        self.out.push_str(self.text.get(self.from..self.end).unwrap_or_default());
        self.from = self.end;
    }
}

/// Stands in a key for a literal that no fact depends on. No parameter is written like that.
const LEFT_OUT: &str = "$?";

/// What stands before a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Open,
    Comma,
    Operator,
    /// `+` or `-`, which may be the literal's sign.
    Sign,
    /// BETWEEN, or the AND that belongs to one.
    Between,
    Not,
    Name,
    Literal,
    Other,
}

/// A level of parentheses.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// Inside a function's arguments, a subscript or a statement whose literals all count.
    keep: bool,
    /// A row of VALUES or a list after IN: its plain literals never count.
    list: bool,
    /// VALUES came: the next parentheses are its rows.
    values: bool,
    /// After LIMIT, OFFSET or FETCH.
    limit: bool,
    /// A column was named since the last AND, OR, comma or reserved word.
    column: bool,
    /// After `::`, where names are those of types.
    typed: bool,
    /// A literal stands on this side of IN or BETWEEN: what is compared can be equal by it.
    literal: bool,
    between: bool,
    /// IN came, after a column.
    list_next: bool,
}

impl Level {
    fn new(keep: bool, list: bool) -> Level {
        Level {
            keep,
            list,
            values: false,
            limit: false,
            column: false,
            typed: false,
            literal: false,
            between: false,
            list_next: false,
        }
    }
}

/// Which literals of a text count, as far as was found out by cutting it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literals {
    Apart,
    /// Whether `a = 1 OR a <> 1` holds always is a fact of both literals together.
    Together,
}

struct Cutter<'a> {
    lexer: Lexer<'a>,
    runs: Runs<'a>,
    gaps: &'a mut Vec<Gap>,
    keep_all: bool,
    level: Level,
    outer: &'a mut Vec<Level>,
    /// At the first word of a statement.
    opening: bool,
    before: Before,
    before_that: Before,
    /// `column` as it was before the last word, in case that word turns out a function.
    column_before: bool,
    /// Names UPDATE, DELETE or MERGE.
    writes: bool,
    /// Has an OR, a negated group, or IN or BETWEEN behind a literal.
    alternatives: bool,
}

impl<'a> Cutter<'a> {
    fn new(lexer: Lexer<'a>, keep_all: bool, memory: &'a mut KeyCutter) -> Cutter<'a> {
        memory.key.clear();
        memory.gaps.clear();
        memory.outer.clear();
        Cutter {
            runs: Runs::new(lexer.text(), &mut memory.key),
            lexer,
            gaps: &mut memory.gaps,
            keep_all,
            level: Level::new(keep_all, false),
            outer: &mut memory.outer,
            opening: true,
            before: Before::Other,
            before_that: Before::Other,
            column_before: false,
            writes: false,
            alternatives: false,
        }
    }

    fn run(mut self) -> Result<Literals, Uncut> {
        while let Some(token) = self.lexer.next()? {
            self.runs.go_on_to(token);
            let now = self.step(token)?;
            self.before_that = self.before;
            self.before = now;
        }
        self.runs.flush();
        let together = self.writes && self.alternatives && !self.keep_all;
        Ok(if together { Literals::Together } else { Literals::Apart })
    }

    /// Says what a token is to the next.
    #[inline]
    fn step(&mut self, token: Token) -> Result<Before, Uncut> {
        let written = self.lexer.written(token);
        Ok(match token.kind {
            Kind::Word => self.word(written),
            Kind::Symbol => self.symbol(written),
            Kind::Text | Kind::Number => self.literal(token, written, !written.contains(&b'\\')),
            Kind::SpecialText | Kind::SpecialNumber => self.literal(token, written, false),
            Kind::QuotedName => {
                self.name();
                Before::Name
            }
            Kind::Parameter => Before::Other,
            Kind::Operator => {
                self.level.typed = written == b"::";
                match written {
                    b"+" | b"-" => Before::Sign,
                    b"::" => Before::Other,
                    // Whether a pattern matches everything is a fact.
                    _ if written.contains(&b'~') => Before::Other,
                    _ => Before::Operator,
                }
            }
        })
    }

    fn literal(&mut self, token: Token, written: &[u8], plain: bool) -> Before {
        self.level.typed = false;
        self.level.literal = true;
        if self.before == Before::Name {
            // That was a type: `date '2030-01-01'`.
            self.level.column = false;
        }
        if plain && self.droppable() {
            self.runs.leave_out(token).push_str(LEFT_OUT);
            self.gaps.extend(Gap::of(token, written));
        }
        Before::Literal
    }

    /// True where no fact can depend on a literal's value.
    fn droppable(&self) -> bool {
        if self.level.keep || self.level.limit {
            return false;
        }
        let place = match self.before {
            Before::Sign => self.before_that,
            Before::Open
            | Before::Comma
            | Before::Operator
            | Before::Between
            | Before::Not
            | Before::Name
            | Before::Literal
            | Before::Other => self.before,
        };
        match place {
            Before::Open | Before::Comma => self.level.list,
            Before::Operator | Before::Between => self.level.column,
            // A sign after a name or a literal is an operator.
            Before::Name | Before::Literal | Before::Other | Before::Sign => {
                self.before == Before::Sign && self.level.column
            }
            Before::Not => false,
        }
    }

    fn name(&mut self) {
        self.column_before = self.level.column;
        // Behind a literal stands its unit, as in `interval '1' day`.
        self.level.column |= !self.level.typed && self.before != Before::Literal;
        self.level.list_next = false;
    }

    fn word(&mut self, written: &[u8]) -> Before {
        let role = role(written);
        if self.opening {
            self.opening = false;
            self.level.keep = self.keep_all || !role.opens_query();
        }
        let level = &mut self.level;
        level.list_next = false;
        if role != Role::Name {
            level.typed = false;
        }
        match role {
            Role::Name => {
                self.name();
                return Before::Name;
            }
            Role::Between => {
                self.alternatives |= level.literal;
                level.between = true;
                return Before::Between;
            }
            Role::And if level.between => {
                level.between = false;
                return Before::Between;
            }
            Role::In => {
                self.alternatives |= level.literal;
                level.list_next = level.column;
                return Before::Other;
            }
            Role::And => level.literal = false,
            Role::Or => {
                level.literal = false;
                self.alternatives = true;
            }
            Role::Update | Role::Delete | Role::Merge => self.writes = true,
            Role::Values => level.values = true,
            Role::Limit => level.limit = true,
            Role::Not => {
                level.column = false;
                return Before::Not;
            }
            Role::Reserved if written.eq_ignore_ascii_case(b"where") => level.literal = false,
            Role::Insert | Role::Select | Role::Table | Role::With | Role::Reserved => {}
        }
        level.column = false;
        level.limit &= role == Role::Limit;
        level.values &= role == Role::Values;
        Before::Other
    }

    fn symbol(&mut self, written: &[u8]) -> Before {
        match written {
            b"(" => {
                let function = self.before == Before::Name;
                if function {
                    self.level.column = self.column_before;
                }
                self.alternatives |= self.before == Before::Not;
                let list = self.level.list_next || self.level.values;
                self.open(self.level.keep || function, list);
                return Before::Open;
            }
            b"[" => {
                self.open(true, false);
                return Before::Open;
            }
            b")" | b"]" => {
                if let Some(outer) = self.outer.pop() {
                    // What a function makes of a literal is kept whole.
                    let literal = self.level.literal && !self.level.keep;
                    self.level = outer;
                    self.level.literal |= literal;
                }
            }
            b"," => {
                self.level.column = false;
                self.level.typed = false;
                self.level.literal = false;
                return Before::Comma;
            }
            b";" if self.outer.is_empty() => {
                self.level = Level::new(self.keep_all, false);
                self.opening = true;
            }
            _ => {}
        }
        Before::Other
    }

    fn open(&mut self, keep: bool, list: bool) {
        self.level.list_next = false;
        self.outer.push(self.level);
        self.level = Level::new(keep, list);
    }
}
