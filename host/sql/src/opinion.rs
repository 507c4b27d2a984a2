//! The second reader's opinion: count of statements, kind of action, relations.
//!
//! It only ever adds. Where it cannot read a text, or saw less, the first reader's facts
//! stand as they are. So it is asked where it could see something that the first did not.

use std::ops::ControlFlow;

use portcullis_policy::statement::Action;
use sqlparser::ast::{CopyTarget, Ident, ObjectName, SetExpr, Statement, visit_relations};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::tree::Tree;
use crate::word::Words;

/// What the second reader saw of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opinion {
    /// None where the kinds of the two readers cannot be compared.
    pub action: Option<Action>,
    /// Folded names, schema first where one was written.
    pub relations: Vec<Vec<String>>,
    /// COPY FROM STDIN: all that followed was taken for its data, as a script has it.
    pub takes_rest: bool,
}

/// Kinds of nodes of which ordinary queries and changes are made. A relation in them is a
/// `RangeVar`, and the walk has a case for each place of one; all else is an expression.
///
/// Where a text has no other kinds, what the second reader adds would be its own mistake: on
/// the statements of PostgreSQL's regression tests it adds nothing, which a test checks.
static SETTLED: Words<()> = Words::new(&[(
    "rawstmt selectstmt insertstmt updatestmt deletestmt transactionstmt variablesetstmt \
     variableshowstmt restarget columnref astar aconst integer float boolean string bitstring \
     paramref aexpr boolexpr nulltest booleantest funccall typecast typename rangevar alias \
     joinexpr sublink rangesubselect sortby caseexpr casewhen coalesceexpr minmaxexpr \
     aarrayexpr rowexpr list withclause commontableexpr onconflictclause inferclause indexelem \
     returningclause settodefault sqlvaluefunction aindices aindirection collateclause \
     windowdef multiassignref namedargexpr lockingclause groupingset",
    (),
)]);

/// True where the second reader is to be asked.
pub(crate) fn is_in_doubt(tree: &Tree) -> bool {
    tree.kinds().any(|kind| SETTLED.of(kind.as_bytes()).is_none())
}

/// Reads a text; None where the second reader cannot.
pub(crate) fn opinions(text: &str) -> Option<Vec<Opinion>> {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?;
    Some(statements.iter().map(opinion).collect())
}

fn opinion(statement: &Statement) -> Opinion {
    let action = action(statement);
    let mut relations = Vec::new();
    if action.is_some() {
        let _: ControlFlow<()> = visit_relations(statement, |name: &ObjectName| {
            relations.push(fold(name));
            ControlFlow::Continue(())
        });
    }
    let takes_rest = matches!(statement, Statement::Copy { target: CopyTarget::Stdin, .. });
    Opinion { action, relations, takes_rest }
}

fn action(statement: &Statement) -> Option<Action> {
    if let Statement::Query(query) = statement {
        return set_action(&query.body);
    }
    [
        (matches!(statement, Statement::Insert(_)), Action::Insert),
        (matches!(statement, Statement::Update(_)), Action::Update),
        (matches!(statement, Statement::Delete(_)), Action::Delete),
        (matches!(statement, Statement::Merge(_)), Action::Merge),
        (matches!(statement, Statement::Truncate(_)), Action::Truncate),
    ]
    .into_iter()
    .find_map(|(is, action)| is.then_some(action))
}

/// `WITH … INSERT` is a query whose body inserts.
fn set_action(body: &SetExpr) -> Option<Action> {
    match body {
        SetExpr::Insert(inner)
        | SetExpr::Update(inner)
        | SetExpr::Delete(inner)
        | SetExpr::Merge(inner) => action(inner),
        SetExpr::Query(query) => set_action(&query.body),
        SetExpr::Select(_)
        | SetExpr::SetOperation { .. }
        | SetExpr::Values(_)
        | SetExpr::Table(_) => Some(Action::Select),
    }
}

/// A name's parts as PostgreSQL folds them. A part that is an expression stays empty.
fn fold(name: &ObjectName) -> Vec<String> {
    name.0.iter().map(|part| part.as_ident().map(fold_part).unwrap_or_default()).collect()
}

fn fold_part(part: &Ident) -> String {
    let mut name = match part.quote_style {
        Some(_) => part.value.clone(),
        None => part.value.to_ascii_lowercase(),
    };
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name
}

/// PostgreSQL cuts longer names (`NAMEDATALEN` less its terminating zero).
const NAME_BYTES_MAX: usize = 63;
