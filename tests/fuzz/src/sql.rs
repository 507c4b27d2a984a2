//! Texts that clients send.

use std::sync::OnceLock;

use pg_query::protobuf::Token;
use portcullis_policy::{Outputs, Statement};
use portcullis_sql::{Catalog, Function, Limits, Relation, RelationKind, Scope};

fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| {
        let table = |oid, schema: &str, name: &str, columns: &[&str]| {
            Relation::table(oid, schema, name, columns.iter().copied())
        };
        let mut view = table(105, "public", "people", &["id", "email"]);
        view.kind = RelationKind::View;
        view.definition = Some("SELECT users.id, users.email FROM public.users;".into());
        let relations = [
            table(101, "public", "users", &["id", "email", "name"]),
            table(102, "public", "orders", &["id", "user_id", "amount"]),
            table(103, "other", "users", &["id", "secret"]),
            view,
        ];
        let function = Function { schema: "public".into(), name: "purge".into() };
        Catalog::new(1, relations, [function])
    })
}

fn facts(text: &str, strings: Option<bool>) -> Vec<Statement> {
    facts_by(portcullis_sql::analyze, text, strings)
}

type Reader = fn(&str, &Scope<'_>, &Limits) -> Vec<Statement>;

fn facts_by(reader: Reader, text: &str, strings: Option<bool>) -> Vec<Statement> {
    let scope = Scope {
        catalog: Some(catalog()),
        search_path: Some(&["public".to_owned()]),
        standard_conforming_strings: strings,
        trusted_functions: &[],
    };
    reader(text, &scope, &Limits::default())
}

/// A text of the client's: what comes before its NUL.
fn text(data: &[u8]) -> Option<&str> {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    std::str::from_utf8(&data[..end]).ok()
}

/// Facts are made of any text, and asking the second reader about all of it adds none. What PostgreSQL's grammar does not read is said to be unread,
/// and what it reads as so many statements are so many.
pub fn analyze(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for strings in [Some(true), Some(false), None] {
        for statement in facts(text, strings) {
            assert!(!statement.actions.is_empty(), "it does something");
            assert_eq!(statement.fingerprint.len(), 16);
            if let Outputs::Columns(columns) = &statement.outputs {
                assert!(columns.len() <= text.len() * 4 + 8);
            }
        }
    }
    let found = facts(text, Some(true));
    let by_both = facts_by(portcullis_sql::analyze_by_both, text, Some(true));
    assert_eq!(found, by_both, "the second reader sees something that the first did not");
    let is_opaque = |statement: &Statement| !statement.opaque.is_empty();
    match pg_query::parse(text, 0) {
        Ok(parsed) => {
            let count = parsed.protobuf.stmts.len();
            // Over a limit a text is one statement of which nothing is known.
            let over = found.len() == 1 && found.iter().all(is_opaque);
            assert!(found.len() == count || over, "{} of {count}", found.len());
        }
        Err(_) => assert!(found.iter().any(is_opaque), "what nobody reads is said to be read"),
    }
}

/// Our lexer cuts where PostgreSQL's does, literals that are left out of the key change no fact,
/// and what is taken for the same text with other values has the same key.
pub fn shape(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let Some(text) = text(data) else { return };
    let cut = portcullis_sql::shape(text, true);
    let Ok(scanned) = pg_query::scan(text) else { return };
    let Ok(cut) = cut else {
        // What we refuse to cut is refused whole, whoever could read it.
        assert!(facts(text, Some(true)).iter().any(|found| !found.opaque.is_empty()));
        return;
    };
    let tokens: Vec<Found> = scanned.tokens.iter().filter_map(|token| found(text, token)).collect();
    assert_eq!(cut.text, rebuilt(&tokens), "{text:?}");
    let other = with_other_literals(text, &tokens, *choice);
    let mut cutter = portcullis_sql::KeyCutter::default();
    assert_eq!(cutter.cut(text, true).ok(), Some(&*cut.key));
    let template = cutter.template(text);
    assert!(template.fits(text), "{text:?} is as itself");
    if template.fits(&other) {
        assert_eq!(cutter.cut(&other, true).ok(), Some(&*cut.key), "{other:?} fits {text:?}");
    }
    if let Ok(again) = portcullis_sql::shape(&other, true)
        && again.key == cut.key
    {
        assert_eq!(again.text, cut.text);
        let (these, those) = (facts(text, Some(true)), facts(&other, Some(true)));
        let bare = |statements: Vec<Statement>| -> Vec<Statement> {
            let without = |statement| Statement { text: String::new(), ..statement };
            statements.into_iter().map(without).collect()
        };
        // A text of several statements is not kept under its key.
        if these.len() == 1 && those.len() == 1 {
            assert_eq!(bare(these), bare(those), "{text:?} has the key of {other:?}");
        }
    }
}

/// A token of PostgreSQL's.
struct Found<'t> {
    start: usize,
    end: usize,
    kind: Kind,
    text: &'t str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    /// A literal of another sort.
    Literal,
    Parameter,
    Other,
}

fn found<'t>(text: &'t str, token: &pg_query::protobuf::ScanToken) -> Option<Found<'t>> {
    let (start, end) = (token.start as usize, token.end as usize);
    let written = text.get(start..end)?;
    let kind = match Token::try_from(token.token) {
        Ok(Token::SqlComment | Token::CComment) => return None,
        Ok(Token::Iconst | Token::Fconst) => Kind::Number,
        Ok(Token::Sconst) if written.starts_with('\'') => Kind::Text,
        Ok(Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst) => Kind::Literal,
        Ok(Token::Param) => Kind::Parameter,
        // A character that begins nothing has no name there.
        Ok(_) | Err(_) => Kind::Other,
    };
    Some(Found { start, end, kind, text: written })
}

/// The shape's text, made of PostgreSQL's tokens.
fn rebuilt(tokens: &[Found<'_>]) -> String {
    let parameter = |token: &&Found<'_>| token.kind == Kind::Parameter;
    let numbers = tokens.iter().filter(parameter);
    let mut number: usize =
        numbers.filter_map(|token| token.text[1..].parse().ok()).max().unwrap_or(0);
    let mut text = String::new();
    let mut end = None;
    for token in tokens {
        if end.is_some_and(|end| end < token.start) {
            text.push(' ');
        }
        match token.kind {
            Kind::Number | Kind::Text | Kind::Literal => {
                number += 1;
                text.push_str(&format!("${number}"));
            }
            Kind::Parameter | Kind::Other => text.push_str(token.text),
        }
        end = Some(token.end);
    }
    text
}

/// The same text with other plain literals.
fn with_other_literals(text: &str, tokens: &[Found<'_>], choice: u8) -> String {
    const NUMBERS: [&str; 4] = ["0", "1", "2", "7.5"];
    const TEXTS: [&str; 5] = ["''", "'a'", "'%'", "'role'", "'delete from users'"];
    let mut other = String::new();
    let mut copied = 0;
    for (place, token) in tokens.iter().enumerate() {
        let choice = usize::from(choice) + place * (1 + usize::from(choice) / 16);
        let written = match token.kind {
            Kind::Number => NUMBERS[choice % NUMBERS.len()],
            Kind::Text => TEXTS[choice % TEXTS.len()],
            Kind::Literal | Kind::Parameter | Kind::Other => continue,
        };
        other.push_str(&text[copied..token.start]);
        other.push_str(written);
        copied = token.end;
    }
    other.push_str(&text[copied..]);
    other
}
