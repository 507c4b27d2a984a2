//! Text to statements.

use pg_query::protobuf::RawStmt;
use portcullis_policy::lineage::Outputs;
use portcullis_policy::statement::{Access, Action, Opaque, RelationUse, Statement};

use crate::builtins::{bare, carriers, is_conversion, runs_strings};
use crate::catalog::Scope;
use crate::command::{actions, add, defines, object, tag};
use crate::copy;
use crate::deep;
use crate::effect::effect;
use crate::lexer::{Token, has_unread_name};
use crate::limits::{Excess, Limits, measure};
use crate::lineage::{Traced, trace};
use crate::names::{Author, author};
use crate::opinion::{Opinion, is_in_doubt, opinions};
use crate::relations::{every_column, moves_what_is_kept, redefined, resolve, rewritten};
use crate::shape::{fingerprint, without_literals};
use crate::tree::{Node, Tree};
use crate::unread::{options, unread};
use crate::walk::{Facts, Named, reads_unbounded, walk};

/// The second reader nests what PostgreSQL's keeps flat, and drops its tree by recursion.
const OPINION_DEPTH_MAX: usize = 200;

/// Reads a text: one entry per statement, in order; none for an empty text.
///
/// Never fails: what cannot be read is a statement that says so in `opaque`.
pub fn analyze(text: &str, scope: &Scope<'_>, limits: &Limits) -> Vec<Statement> {
    analyzed(text, scope, limits, Asked::InDoubt)
}

/// The same, with the second reader asked about every text: what tests hold `analyze` against.
pub fn analyze_by_both(text: &str, scope: &Scope<'_>, limits: &Limits) -> Vec<Statement> {
    analyzed(text, scope, limits, Asked::Always)
}

/// When the second reader is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Where it could see something that the first reader did not.
    InDoubt,
    Always,
}

fn analyzed(text: &str, scope: &Scope<'_>, limits: &Limits, asked: Asked) -> Vec<Statement> {
    let strings = scope.standard_conforming_strings.unwrap_or(true);
    let measure = match measure(text, strings, limits) {
        Ok(measure) => measure,
        Err(Excess::Uncut(why)) => return vec![unread(text, None, Opaque::Unparsed(why.into()))],
        Err(Excess::Over(why)) => {
            return vec![unread(text, Some(strings), Opaque::TooComplex(why.into()))];
        }
    };
    let elsewhere = scope.catalog.is_some_and(|catalog| catalog.cuts_names_elsewhere);
    if has_unread_name(text, &measure.tokens, elsewhere) {
        let why = "a name beyond ASCII in an encoding that is not read";
        return vec![unread(text, Some(strings), Opaque::Unparsed(why.to_owned()))];
    }
    let parsed = pg_query::parse(text, options(strings));
    let mut statements = match parsed {
        Ok(parsed) => {
            let parsed = parsed.protobuf.stmts;
            let tree = Tree::of(&parsed, measure.tokens.len());
            let in_doubt = asked == Asked::Always || tree.as_ref().is_none_or(is_in_doubt);
            // The second reader knows one reading of backslashes only.
            let asked = in_doubt
                && measure.depth_binary <= OPINION_DEPTH_MAX
                && (strings || !measure.backslash);
            let source = Source { text, tokens: &measure.tokens };
            let opinions = if asked { opinions_of_all(source, &parsed) } else { None };
            read(source, &parsed, tree, opinions, scope)
        }
        // The tree is deeper than its encoding allows.
        Err(pg_query::Error::Decode(_)) => {
            let parts = deep::split(text, strings);
            match parts.as_slice() {
                [] | [_] => vec![deep::summarise(text, scope, strings)],
                // One statement that is too deep does not hide the others.
                parts => {
                    parts.iter().flat_map(|part| analyzed(part, scope, limits, asked)).collect()
                }
            }
        }
        Err(error) => {
            let what = error.to_string();
            let reason = if what.contains("stack depth") || what.contains("memory exhausted") {
                Opaque::TooComplex("nested deeper than is analysed".to_owned())
            } else {
                // The parser's own message quotes the text, which may hold a secret.
                Opaque::Unparsed("not in PostgreSQL's grammar".to_owned())
            };
            vec![unread(text, Some(strings), reason)]
        }
    };
    if measure.backslash && scope.standard_conforming_strings.is_none() {
        for statement in &mut statements {
            let why = "a backslash, and standard_conforming_strings is not known";
            statement.opaque.push(Opaque::Unparsed(why.to_owned()));
        }
    }
    statements
}

/// What the second reader says of a text, and by itself of each statement that it took for data.
fn opinions_of_all(source: Source<'_>, parsed: &[RawStmt]) -> Option<Vec<Option<Opinion>>> {
    let of_text = opinions(source.text)?;
    let takes_rest = of_text.last().is_some_and(|last| last.takes_rest);
    let mut all: Vec<Option<Opinion>> = of_text.into_iter().map(Some).collect();
    if takes_rest {
        for raw in parsed.get(all.len()..).unwrap_or_default() {
            match source.part(raw).and_then(|part| opinions(part.text)) {
                Some(of_part) => all.extend(of_part.into_iter().map(Some)),
                // Of one that it cannot read it says nothing, and of the others all the same.
                None => all.push(None),
            }
        }
    }
    Some(all)
}

/// Reads the statements of a text that parsed.
fn read(
    source: Source<'_>,
    parsed: &[RawStmt],
    tree: Option<Tree>,
    opinions: Option<Vec<Option<Opinion>>>,
    scope: &Scope<'_>,
) -> Vec<Statement> {
    let count = opinions.as_ref().map_or(parsed.len(), Vec::len);
    let opinions = opinions.filter(|_| count == parsed.len());
    let mut nodes = tree.iter().flat_map(Tree::roots);
    let mut statements: Vec<Statement> = Vec::with_capacity(parsed.len());
    for (index, raw) in parsed.iter().enumerate() {
        let opinion = opinions.as_ref().and_then(|all| all.get(index)?.as_ref());
        let node = nodes.next().and_then(|node| node.node("stmt"));
        statements.push(read_one(source, raw, node, opinion, scope));
    }
    if count != parsed.len() {
        let why = format!("{} statements or {count}", parsed.len());
        for statement in &mut statements {
            statement.opaque.push(Opaque::Disagreement(why.clone()));
        }
    }
    statements
}

/// A text and its tokens.
#[derive(Clone, Copy)]
struct Source<'t> {
    text: &'t str,
    tokens: &'t [Token],
}

impl<'t> Source<'t> {
    /// The part of one statement, from its first token to its last.
    fn part(self, raw: &RawStmt) -> Option<Source<'t>> {
        let start = usize::try_from(raw.stmt_location).unwrap_or_default();
        let end = match usize::try_from(raw.stmt_len) {
            Ok(0) | Err(_) => self.text.len(),
            Ok(length) => start.saturating_add(length),
        };
        let first = self.tokens.partition_point(|token| token.start < start);
        let behind = self.tokens.partition_point(|token| token.end <= end);
        let tokens = self.tokens.get(first..behind)?;
        let text = self.text.get(tokens.first()?.start..tokens.last()?.end)?;
        Some(Source { text, tokens })
    }
}

fn read_one(
    source: Source<'_>,
    raw: &RawStmt,
    tree: Option<Node<'_>>,
    opinion: Option<&Opinion>,
    scope: &Scope<'_>,
) -> Statement {
    let strings = scope.standard_conforming_strings.unwrap_or(true);
    let Some(part) = source.part(raw) else {
        return unread(source.text, None, Opaque::Unparsed("cannot be cut".to_owned()));
    };
    let node = raw.stmt.as_ref().and_then(|node| node.node.as_ref());
    let (Some(node), Some(tree)) = (node, tree) else {
        return unread(part.text, Some(strings), Opaque::Unparsed("no tree".to_owned()));
    };
    let shape = without_literals(source.text, part.tokens);
    let facts = walk(tree, scope);
    let traced = trace(node, scope);
    let relations = resolve(&facts.relations, scope, &traced);
    let mut statement = Statement {
        text: part.text.to_owned(),
        fingerprint: fingerprint(&shape),
        shape,
        actions: all_actions(tree, &facts),
        command: tag(tree),
        unbounded_read: unbounded_read(tree),
        opaque: facts.opaque.clone(),
        functions: facts.functions.clone(),
        parameters_set: facts.parameters.clone(),
        unbounded_write: facts.unbounded_write,
        effect: effect(tree, part.text, strings),
        copy: copy::form(tree),
        relations,
        outputs: Outputs::Nothing,
        written: Vec::new(),
        columns: Vec::new(),
        redefined: Vec::new(),
        carriers: Vec::new(),
    };
    if redefines(tree, &statement.actions) {
        statement.redefined = redefined(&facts.relations, scope);
        let replaces = tree.kind == "ViewStmt" && tree.has("replace");
        let unnamed = moves_unnamed(tree) || moves_what_is_kept(&facts.relations, replaces, scope);
        statement.redefined.extend(unnamed.then_some(None));
    }
    statement.opaque.extend(rewritten(&facts.relations, scope));
    if stores(tree) && sets(&facts) {
        // Whoever uses what is made here sets something, and does not say so.
        statement.opaque.push(Opaque::Body("set_config".to_owned()));
    }
    notice_columns(&mut statement, &facts, scope);
    if traced.gave_up {
        let why = "too deep or too long for lineage to follow";
        statement.opaque.push(Opaque::TooComplex(why.to_owned()));
    }
    let is_told = is_traced(tree) && !traced.gave_up;
    let as_attributes = if is_told { &traced.called } else { &facts.attributes };
    notice_attributes(&mut statement, as_attributes, scope);
    statement.carriers = carriers(&statement.functions);
    statement.carriers.extend(traced.carriers.iter().cloned());
    if let Some(opinion) = opinion {
        weigh(&mut statement, &facts, opinion);
    }
    if is_told {
        // What was not come by would count as not used.
        let missed = facts.places.iter().filter(|place| !traced.has_visited(**place));
        let why = |place: &i64| Opaque::Disagreement(format!("an expression at {place}"));
        statement.opaque.extend(missed.take(1).map(why));
    }
    give_lineage(&mut statement, traced, scope);
    statement
}

/// Lineage follows what such a statement computes. Of others it says nothing.
fn is_traced(tree: Node<'_>) -> bool {
    matches!(
        tree.kind,
        "SelectStmt"
            | "InsertStmt"
            | "UpdateStmt"
            | "DeleteStmt"
            | "MergeStmt"
            | "CopyStmt"
            | "CreateTableAsStmt"
            | "DeclareCursorStmt"
            | "PrepareStmt"
            | "ExplainStmt"
            | "ViewStmt"
            | "CallStmt"
            | "ExecuteStmt"
    )
}

/// What it makes or changes has expressions that run later: a view, a default, a policy. Those of a
/// materialised view run now, and at a REFRESH, which takes back what they set.
fn stores(tree: Node<'_>) -> bool {
    let runs_now = matches!(tree.kind, "CreateTableAsStmt" | "SelectStmt");
    !runs_now && defines(&actions(tree))
}

/// It makes or changes definitions, also of what was there before.
fn redefines(tree: Node<'_>, actions: &[Action]) -> bool {
    tree.kind != "RefreshMatViewStmt" && defines(actions)
}

/// It gives another name or type to relations or columns that it does not name: those of a schema, of
/// an extension, or of tables that are of a type.
fn moves_unnamed(tree: Node<'_>) -> bool {
    match tree.kind {
        "RenameStmt" => {
            matches!(object(tree, "rename_type"), "OBJECT_SCHEMA" | "OBJECT_ATTRIBUTE")
        }
        "AlterTableStmt" => object(tree, "objtype") == "OBJECT_TYPE",
        "AlterObjectSchemaStmt" => object(tree, "object_type") == "OBJECT_EXTENSION",
        _ => false,
    }
}

/// It sets something by a call, or by a view through which it can be set.
fn sets(facts: &Facts) -> bool {
    let calls = |function: &String| bare(function) == "set_config";
    facts.functions.iter().any(calls)
        || facts.relations.iter().any(|named| named.name == "pg_settings")
}

fn all_actions(tree: Node<'_>, facts: &Facts) -> Vec<Action> {
    let mut all = actions(tree);
    for action in &facts.actions {
        add(&mut all, *action);
    }
    all
}

/// Only what comes back to the client counts, at once or by FETCH and EXECUTE.
fn unbounded_read(statement: Node<'_>) -> bool {
    match statement.kind {
        "SelectStmt" => !statement.has("into_clause") && reads_unbounded(statement, &[]),
        "PrepareStmt" | "DeclareCursorStmt" => statement.node("query").is_some_and(unbounded_read),
        "CopyStmt" if statement.has("is_from") => false,
        "CopyStmt" => statement.node("query").is_none_or(unbounded_read),
        _ => false,
    }
}

/// A name that may be a column or a function is a function unless the relations say otherwise.
fn notice_columns(statement: &mut Statement, facts: &Facts, scope: &Scope<'_>) {
    let relations: Vec<_> = statement
        .relations
        .iter()
        .map(|entry| scope.catalog.and_then(|catalog| catalog.relation(entry.oid?)))
        .collect();
    let is_column =
        |name: &str| relations.iter().flatten().any(|relation| relation.column(name).is_some());
    for name in &facts.perhaps_columns {
        if is_column(name) {
            statement.functions.retain(|function| function != name);
        } else {
            statement.opaque.push(Opaque::Body(name.clone()));
        }
    }
}

/// Functions that are called as attributes.
fn notice_attributes(statement: &mut Statement, names: &[String], scope: &Scope<'_>) {
    for name in names {
        let author = author(scope, None, name);
        let calls_nothing = author == Author::PostgreSql && is_conversion(name);
        if author == Author::Nobody || calls_nothing || statement.functions.contains(name) {
            continue;
        }
        if runs_strings(name, 1) {
            statement.opaque.push(Opaque::DynamicSql(name.clone()));
        }
        if author == Author::Unseen {
            statement.opaque.push(Opaque::Body(name.clone()));
        }
        statement.functions.push(name.clone());
    }
}

/// Adds what the second reader saw and the first did not.
fn weigh(statement: &mut Statement, facts: &Facts, opinion: &Opinion) {
    let Some(action) = opinion.action else { return };
    if !statement.actions.contains(&action) {
        statement.actions.push(action);
        statement.opaque.push(Opaque::Disagreement(action.as_str().to_owned()));
    }
    for parts in &opinion.relations {
        let Some(name) = parts.last() else { continue };
        if is_known(facts, name) {
            continue;
        }
        let name = parts.join(".");
        statement.opaque.push(Opaque::Disagreement(name.clone()));
        statement.relations.push(RelationUse {
            name,
            resolved: false,
            oid: None,
            access: Access::Read,
            columns: Vec::new(),
            all_columns: true,
            labels: Vec::new(),
        });
    }
}

/// A relation, or what the second reader is known to take for one.
fn is_known(facts: &Facts, name: &str) -> bool {
    let last = |function: &String| bare(function) == name;
    name == "only"
        || facts.relations.iter().any(|known: &Named| known.name == name)
        || facts.local_names.iter().any(|known| known == name)
        || facts.functions.iter().any(last)
        || name.to_lowercase() != name && facts.functions.contains(&name.to_lowercase())
}

fn give_lineage(statement: &mut Statement, traced: Traced, scope: &Scope<'_>) {
    let Traced { outputs, written, columns, .. } = traced;
    let disagreed = statement.opaque.iter().any(|reason| matches!(reason, Opaque::Disagreement(_)));
    statement.outputs = match outputs {
        // What the readers do not agree on is not explained.
        Outputs::Columns(_) | Outputs::Unknown(_) if disagreed => {
            every_column(&statement.relations, scope).map_or(Outputs::Anything, Outputs::Unknown)
        }
        Outputs::Nothing | Outputs::Columns(_) | Outputs::Unknown(_) | Outputs::Anything => outputs,
    };
    statement.written = written;
    statement.columns = columns;
}
