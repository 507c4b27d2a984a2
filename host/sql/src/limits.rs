//! Limits that hold before any parser sees a text.

use crate::lexer::{Kind, Lexer, Token, Uncut};
use crate::word::Words;

/// What is analysed at most. Over a limit a statement is opaque.
///
/// The parsers recurse; these are chosen so that neither overflows a stack of 2 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text that is parsed.
    pub statement_bytes_max: usize,
    /// Most tokens of a text that is parsed.
    pub tokens_max: usize,
    /// Deepest nesting: parentheses, CASE, and chains that parse into nested expressions.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { statement_bytes_max: 1 << 20, tokens_max: 200_000, depth_max: 500 }
    }
}

/// A text in tokens, and how much it asks of a parser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    pub tokens: Vec<Token>,
    /// An upper bound of the tree's depth for a reader that nests AND and OR too.
    pub depth_binary: usize,
    /// A plain text constant holds a backslash: where it ends depends on a setting.
    pub backslash: bool,
}

/// Why a text was not measured to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Over(&'static str),
    Uncut(&'static str),
}

impl From<Uncut> for Excess {
    fn from(Uncut(why): Uncut) -> Excess {
        Excess::Uncut(why)
    }
}

/// One level of parentheses or CASE.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Operators since the last comma, AND or OR: each may nest what came before.
    chain: usize,
    /// Operators since the last comma, AND and OR among them.
    chain_binary: usize,
    /// Deepest child since the last comma, AND or OR.
    child: usize,
    child_binary: usize,
    /// Joins and set operations: they nest over commas too.
    joins: usize,
    deepest: usize,
    deepest_binary: usize,
    /// Opened by CASE, closed by END.
    case: bool,
}

impl Level {
    fn new(case: bool) -> Level {
        Level { case, ..Level::default() }
    }

    fn end_segment(&mut self) {
        self.deepest = self.deepest.max(self.chain + self.child);
        self.chain = 0;
        self.child = 0;
    }

    fn end_item(&mut self) {
        self.end_segment();
        self.deepest_binary = self.deepest_binary.max(self.chain_binary + self.child_binary);
        self.chain_binary = 0;
        self.child_binary = 0;
    }

    fn operator(&mut self) {
        self.chain += 1;
        self.chain_binary += 1;
    }

    /// Both depths of the level as a whole.
    fn close(mut self) -> (usize, usize) {
        self.end_item();
        (1 + self.deepest + self.joins, 1 + self.deepest_binary + self.joins)
    }

    fn enclose(&mut self, (depth, binary): (usize, usize)) {
        self.child = self.child.max(depth);
        self.child_binary = self.child_binary.max(binary);
    }
}

/// Measures a text without recursion.
pub(crate) fn measure(
    text: &str,
    standard_conforming_strings: bool,
    limits: &Limits,
) -> Result<Measure, Excess> {
    if text.len() > limits.statement_bytes_max {
        return Err(Excess::Over("longer than is analysed"));
    }
    let mut lexer = Lexer::new(text, standard_conforming_strings);
    let mut tokens = Vec::with_capacity(text.len().min(4_096) / 4);
    let mut backslash = false;
    let mut after_dot = false;
    let mut levels = Levels::default();
    while let Some(token) = lexer.next()? {
        if tokens.len() >= limits.tokens_max {
            return Err(Excess::Over("more tokens than are analysed"));
        }
        tokens.push(token);
        let written = lexer.written(token);
        match place(token.kind, written) {
            Place::Open => levels.open(false),
            Place::Case => levels.open(true),
            Place::Close => levels.close_parenthesis(),
            // A name after a point may be any word.
            Place::End if !after_dot => levels.close_case(),
            Place::End => {}
            Place::Operator => levels.level.operator(),
            Place::Join => levels.level.joins += 1,
            Place::Logic => {
                levels.level.end_segment();
                levels.level.chain_binary += 1;
            }
            Place::Separator => levels.level.end_item(),
            Place::Leaf => backslash |= token.kind == Kind::Text && written.contains(&b'\\'),
        }
        if levels.outer.len() > limits.depth_max {
            return Err(Excess::Over("nested deeper than is analysed"));
        }
        after_dot = written == b".";
    }
    let (depth, depth_binary) = levels.finish();
    if depth > limits.depth_max {
        return Err(Excess::Over("nested deeper than is analysed"));
    }
    Ok(Measure { tokens, depth_binary, backslash })
}

/// The levels that are open, innermost apart.
#[derive(Default)]
struct Levels {
    level: Level,
    outer: Vec<Level>,
}

impl Levels {
    fn open(&mut self, case: bool) {
        self.outer.push(std::mem::replace(&mut self.level, Level::new(case)));
    }

    fn close(&mut self) {
        if let Some(enclosing) = self.outer.pop() {
            let depth = std::mem::replace(&mut self.level, enclosing).close();
            self.level.enclose(depth);
        }
    }

    /// `END` closes a CASE and nothing else: elsewhere it is a label.
    fn close_case(&mut self) {
        if self.level.case {
            self.close();
        }
    }

    /// A parenthesis closes what was left open inside of it, where `case` was but a label.
    fn close_parenthesis(&mut self) {
        while self.level.case && !self.outer.is_empty() {
            self.close();
        }
        self.close();
    }

    fn finish(mut self) -> (usize, usize) {
        while !self.outer.is_empty() {
            self.close();
        }
        self.level.close()
    }
}

/// What a token does to nesting.
#[derive(Clone, Copy)]
enum Place {
    Open,
    Case,
    Close,
    End,
    Operator,
    Join,
    /// AND and OR, whose operands PostgreSQL keeps in one flat list.
    Logic,
    Separator,
    Leaf,
}

fn place(kind: Kind, written: &[u8]) -> Place {
    match kind {
        Kind::Operator => Place::Operator,
        Kind::Symbol => match written {
            b"(" | b"[" => Place::Open,
            b")" | b"]" => Place::Close,
            b"," | b";" => Place::Separator,
            _ => Place::Leaf,
        },
        Kind::Word => word_place(written),
        Kind::QuotedName
        | Kind::Text
        | Kind::SpecialText
        | Kind::Number
        | Kind::SpecialNumber
        | Kind::Parameter => Place::Leaf,
    }
}

/// Every word with which a production of the grammar can hold itself.
fn word_place(word: &[u8]) -> Place {
    static PLACES: Words<Place> = Words::new(&[
        ("and or", Place::Logic),
        ("case", Place::Case),
        ("end", Place::End),
        ("join union intersect except", Place::Join),
        (
            "at between collate distinct escape ilike in is isnull like not notnull operator \
             overlaps similar",
            Place::Operator,
        ),
    ]);
    PLACES.of(word).unwrap_or(Place::Leaf)
}
