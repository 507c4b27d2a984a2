//! Texts without their literals: what the ledger shows, and what facts are cached under.

use portcullis_policy::Opaque;
use xxhash_rust::xxh3::xxh3_64;

use crate::lexer::{Kind, Lexer, Token, Uncut};
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

impl Shape {
    /// A stable hash of the text, 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        format!("{:016x}", xxh3_64(self.text.as_bytes()))
    }
}

/// Cuts a text by a lexer that agrees with PostgreSQL's: literals out.
pub fn shape(text: &str, standard_conforming_strings: bool) -> Result<Shape, Opaque> {
    cut(text, standard_conforming_strings)
        .map(|(shape, _)| shape)
        .map_err(|Uncut(why)| Opaque::Unparsed(why.to_owned()))
}

/// The shape of a text, and the text from its first token to its last.
pub(crate) fn cut(text: &str, standard_conforming_strings: bool) -> Result<(Shape, &str), Uncut> {
    let parameters = last_parameter(text, standard_conforming_strings)?;
    let mut cutter = Cutter::new(text, parameters, false);
    cutter.run(standard_conforming_strings)?;
    if cutter.writes && cutter.alternatives {
        // Whether `a = 1 OR a <> 1` holds always is a fact of both literals together.
        cutter = Cutter::new(text, parameters, true);
        cutter.run(standard_conforming_strings)?;
    }
    let written = text.get(cutter.start..cutter.end).unwrap_or_default();
    Ok((cutter.shape, written))
}

/// The shape of the first tokens, for a text too large to be kept whole.
pub(crate) fn cut_front(
    text: &str,
    standard_conforming_strings: bool,
    tokens_max: usize,
) -> Result<Shape, Uncut> {
    let mut cutter = Cutter::new(text, 0, true);
    let mut lexer = Lexer::new(text, standard_conforming_strings);
    for _ in 0..tokens_max {
        let Some(token) = lexer.next()? else { return Ok(cutter.shape) };
        cutter.take(token);
    }
    cutter.write(" ...");
    Ok(cutter.shape)
}

/// The highest parameter number in the text, so that no literal gets a parameter's name.
fn last_parameter(text: &str, standard_conforming_strings: bool) -> Result<usize, Uncut> {
    let mut last = 0;
    if !text.as_bytes().contains(&b'$') {
        return Ok(last);
    }
    let mut lexer = Lexer::new(text, standard_conforming_strings);
    while let Some(token) = lexer.next()? {
        if token.kind == Kind::Parameter {
            let digits = text.get(token.start + 1..token.end).unwrap_or_default();
            // A number that does not fit is refused by the server.
            last = last.max(digits.parse().unwrap_or(0));
        }
    }
    Ok(last)
}

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
            between: false,
            list_next: false,
        }
    }
}

struct Cutter<'a> {
    text: &'a str,
    /// Where the first token begins and the last one ends.
    start: usize,
    end: usize,
    shape: Shape,
    literals: usize,
    keep_all: bool,
    level: Level,
    outer: Vec<Level>,
    /// At the first word of a statement.
    opening: bool,
    before: Before,
    before_that: Before,
    /// `column` as it was before the last word, in case that word turns out a function.
    column_before: bool,
    /// Names UPDATE, DELETE or MERGE.
    writes: bool,
    /// Has an OR or a negated group.
    alternatives: bool,
}

impl<'a> Cutter<'a> {
    fn new(text: &'a str, parameters: usize, keep_all: bool) -> Cutter<'a> {
        let room = || String::with_capacity(text.len().min(1 << 16));
        Cutter {
            text,
            start: 0,
            end: 0,
            shape: Shape { text: room(), key: room() },
            literals: parameters,
            keep_all,
            level: Level::new(keep_all, false),
            outer: Vec::new(),
            opening: true,
            before: Before::Other,
            before_that: Before::Other,
            column_before: false,
            writes: false,
            alternatives: false,
        }
    }

    fn run(&mut self, standard_conforming_strings: bool) -> Result<(), Uncut> {
        let mut lexer = Lexer::new(self.text, standard_conforming_strings);
        while let Some(token) = lexer.next()? {
            self.take(token);
        }
        Ok(())
    }

    fn take(&mut self, token: Token) {
        if self.end == 0 {
            self.start = token.start;
        } else if token.start > self.end {
            self.write(" ");
        }
        self.end = token.end;
        let written = self.text.get(token.start..token.end).unwrap_or_default();
        let now = self.step(token, written);
        self.before_that = self.before;
        self.before = now;
    }

    fn write(&mut self, written: &str) {
        self.shape.text.push_str(written);
        self.shape.key.push_str(written);
    }

    /// Writes a token and says what it is to the next.
    fn step(&mut self, token: Token, written: &str) -> Before {
        match token.kind {
            Kind::Text | Kind::Number => self.literal(written, true),
            Kind::SpecialText | Kind::SpecialNumber => self.literal(written, false),
            Kind::Word => {
                self.write(written);
                self.word(written)
            }
            Kind::QuotedName => {
                self.write(written);
                self.name();
                Before::Name
            }
            Kind::Parameter => {
                self.write(written);
                Before::Other
            }
            Kind::Operator => {
                self.write(written);
                match written {
                    "+" | "-" => Before::Sign,
                    // Whether a pattern matches everything is a fact.
                    _ if written.contains('~') => Before::Other,
                    _ => Before::Operator,
                }
            }
            Kind::Symbol => {
                self.write(written);
                self.symbol(written)
            }
        }
    }

    fn literal(&mut self, written: &str, plain: bool) -> Before {
        self.literals += 1;
        let number = format_number(self.literals);
        self.shape.text.push_str(&number);
        if plain && self.droppable() && !written.contains('\\') {
            self.shape.key.push_str(&number);
        } else {
            self.shape.key.push_str(written);
        }
        Before::Other
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
            | Before::Other => self.before,
        };
        match place {
            Before::Open | Before::Comma => self.level.list,
            Before::Operator | Before::Between => self.level.column,
            // A sign after a name or a literal is an operator.
            Before::Name | Before::Other | Before::Sign => {
                self.before == Before::Sign && self.level.column
            }
            Before::Not => false,
        }
    }

    fn name(&mut self) {
        self.column_before = self.level.column;
        self.level.column = true;
        self.level.list_next = false;
    }

    fn word(&mut self, written: &str) -> Before {
        let role = role(written);
        if self.opening {
            self.opening = false;
            self.level.keep = self.keep_all || !role.opens_query();
        }
        let level = &mut self.level;
        level.list_next = false;
        match role {
            Role::Name => {
                self.name();
                return Before::Name;
            }
            Role::Between => {
                level.between = true;
                return Before::Between;
            }
            Role::And if level.between => {
                level.between = false;
                return Before::Between;
            }
            Role::In => {
                level.list_next = level.column;
                return Before::Other;
            }
            Role::Update | Role::Delete | Role::Merge => self.writes = true,
            Role::Or => self.alternatives = true,
            Role::Values => level.values = true,
            Role::Limit => level.limit = true,
            Role::Not => {
                level.column = false;
                return Before::Not;
            }
            Role::And | Role::Insert | Role::Select | Role::Table | Role::With | Role::Reserved => {
            }
        }
        level.column = false;
        level.limit &= role == Role::Limit;
        level.values &= role == Role::Values;
        Before::Other
    }

    fn symbol(&mut self, written: &str) -> Before {
        match written {
            "(" => {
                let function = self.before == Before::Name;
                if function {
                    self.level.column = self.column_before;
                }
                self.alternatives |= self.before == Before::Not;
                let list = self.level.list_next || self.level.values;
                self.open(self.level.keep || function, list);
                return Before::Open;
            }
            "[" => {
                self.open(true, false);
                return Before::Open;
            }
            ")" | "]" => {
                if let Some(outer) = self.outer.pop() {
                    self.level = outer;
                }
            }
            "," => {
                self.level.column = false;
                return Before::Comma;
            }
            ";" if self.outer.is_empty() => {
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

fn format_number(number: usize) -> String {
    format!("${number}")
}
