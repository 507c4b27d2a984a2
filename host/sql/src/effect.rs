//! What a statement does to the names that a session keeps.

use portcullis_policy::statement::SessionEffect;

use crate::lexer::{Kind, Lexer};
use crate::tree::Node;

/// `WITH HOLD`, as PostgreSQL's `nodes/parsenodes.h` has it.
const CURSOR_OPT_HOLD: i64 = 0x20;

/// The effect of a statement whose own text is `text`.
pub(crate) fn effect(
    statement: Node<'_>,
    text: &str,
    standard_conforming_strings: bool,
) -> SessionEffect {
    let name = |field: &str| statement.text(field).to_owned();
    let some = |field: &str| Some(name(field)).filter(|name| !name.is_empty());
    let body = |word: &str| after_word(text, word, standard_conforming_strings).to_owned();
    match statement.kind {
        "PrepareStmt" => SessionEffect::Prepare { name: name("name"), body: body("as") },
        "DeclareCursorStmt" => SessionEffect::Declare {
            name: name("portalname"),
            body: body("for"),
            holds: statement.number("options") & CURSOR_OPT_HOLD != 0,
        },
        "ExecuteStmt" => SessionEffect::Execute { name: name("name") },
        "ExplainStmt" | "CreateTableAsStmt" => statement
            .node("query")
            .filter(|query| query.kind == "ExecuteStmt" || query.kind == "CreateTableAsStmt")
            .map_or(SessionEffect::None, |query| effect(query, text, standard_conforming_strings)),
        "DeallocateStmt" => SessionEffect::Deallocate { name: some("name") },
        "FetchStmt" => SessionEffect::Fetch { name: name("portalname") },
        "ClosePortalStmt" => SessionEffect::CloseCursor { name: some("portalname") },
        "DiscardStmt" if statement.number("target") == 1 => SessionEffect::DiscardAll,
        _ => SessionEffect::None,
    }
}

/// The text behind the first use of a reserved word outside parentheses.
fn after_word<'t>(text: &'t str, word: &str, standard_conforming_strings: bool) -> &'t str {
    let mut lexer = Lexer::new(text, standard_conforming_strings);
    let mut depth = 0_usize;
    while let Ok(Some(token)) = lexer.next() {
        let written = text.get(token.start..token.end).unwrap_or_default();
        match token.kind {
            Kind::Symbol if written == "(" => depth = depth.saturating_add(1),
            Kind::Symbol if written == ")" => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 && written.eq_ignore_ascii_case(word) => {
                let start = match lexer.next() {
                    Ok(Some(token)) => token.start,
                    Ok(None) | Err(_) => return "",
                };
                return text.get(start..).unwrap_or_default();
            }
            Kind::Word
            | Kind::QuotedName
            | Kind::Text
            | Kind::SpecialText
            | Kind::Number
            | Kind::SpecialNumber
            | Kind::Parameter
            | Kind::Operator
            | Kind::Symbol => {}
        }
    }
    ""
}
