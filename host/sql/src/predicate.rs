//! Does a condition bound the rows that a write touches?
//!
//! Conservative: a condition bounds only if it says something about the written relation that
//! is not true by its form. What is not understood but names a column of it is believed.

use crate::catalog::{Relation, Scope};
use crate::tree::{Node, Value};

/// The relation a write touches, as conditions name it.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Its alias, or its name where it has none.
    pub name: &'a str,
    /// Its own name.
    pub table: &'a str,
    pub relation: Option<&'a Relation>,
    pub scope: &'a Scope<'a>,
}

/// True if fewer rows than all may pass.
pub(crate) fn bounds(condition: Node<'_>, target: &Target<'_>) -> bool {
    verdict(condition, target, false)
}

/// `negated`: the condition stands below a NOT.
fn verdict(condition: Node<'_>, target: &Target<'_>, negated: bool) -> bool {
    match condition.kind {
        "BoolExpr" => match (condition.number("boolop"), negated) {
            (3, _) => all(condition, "args", |arg| verdict(arg, target, !negated)),
            (1, false) | (2, true) => any(condition, "args", |arg| verdict(arg, target, negated)),
            _ => {
                all(condition, "args", |arg| verdict(arg, target, negated))
                    && !exhaustive(condition, negated)
            }
        },
        "AConst" => condition.has("isnull") || truth(condition) == Some(negated),
        "TypeCast" => match condition.node("arg") {
            Some(inner) if inner.kind == "AConst" => verdict(inner, target, negated),
            Some(_) | None => names_target(condition, target),
        },
        "AExpr" => comparison(condition, target, negated),
        "NullTest" => null_test(condition, target, negated),
        "BooleanTest" => boolean_test(condition, target, negated),
        "CaseExpr" => case(condition, target, negated),
        "CoalesceExpr" => all(condition, "args", |arg| verdict(arg, target, negated)),
        "SubLink" => sublink(condition, target, negated),
        "CurrentOfExpr" => true,
        _ => names_target(condition, target),
    }
}

fn any(node: Node<'_>, field: &str, test: impl Fn(Node<'_>) -> bool) -> bool {
    node.nodes(field).any(test)
}

fn all(node: Node<'_>, field: &str, test: impl Fn(Node<'_>) -> bool) -> bool {
    node.nodes(field).all(test)
}

/// The value of a constant as a condition. PostgreSQL reads `'t'` as true.
fn truth(constant: Node<'_>) -> Option<bool> {
    let value = constant.node("val")?;
    match value.kind {
        "Boolean" => Some(value.has("boolval")),
        "String" => match value.text("sval").trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
            "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The operator below any number of NOTs.
fn operator(expression: Node<'_>, negated: bool) -> &str {
    let name = expression.last_name("name").unwrap_or_default();
    let kind = match expression.number("kind") {
        1 => name,
        4 => "<>",
        5 => "=",
        7 | 11 | 13 if name == "=" || name.contains("BETWEEN") => "in",
        7 | 12 | 14 => "not in",
        8 | 9 if !name.starts_with('!') => "like",
        8 | 9 => "not like",
        _ => "",
    };
    match (kind, negated) {
        ("!=", false) => "<>",
        ("=", true) | ("!=", true) if kind == "=" => "<>",
        ("<>" | "!=", true) => "=",
        ("<", true) => ">=",
        (">", true) => "<=",
        ("<=", true) => ">",
        (">=", true) => "<",
        ("in", true) => "not in",
        ("not in", true) => "in",
        ("like", true) => "not like",
        ("not like", true) => "like",
        (other, _) => other,
    }
}

fn comparison(expression: Node<'_>, target: &Target<'_>, negated: bool) -> bool {
    let (left, right) = (expression.get("lexpr"), expression.get("rexpr"));
    if let (Some(left), Some(right)) = (constant(left), constant(right)) {
        return constants(operator(expression, negated), left, right);
    }
    // A comparison with NULL is never true.
    let operator = operator(expression, negated);
    let null = |side: Value<'_>| side.node().is_some_and(|node| node.has("isnull"));
    if (null(left) || null(right)) && expression.number("kind") == 1 {
        return true;
    }
    if (null(left) || null(right)) && operator == "<>" {
        return nullable(left, target) || nullable(right, target);
    }
    if !names_target(expression, target) {
        return false;
    }
    match operator {
        "=" | "<=" | ">=" => !same_columns(left, right),
        "in" | "" => !right
            .node()
            .is_some_and(|list| list.list("items").iter().any(|item| equal(left, item))),
        "like" | "~" | "~*" | "~~" | "~~*" => !matches_all(right) && !same_columns(left, right),
        _ => true,
    }
}

/// A constant, also with a cast around it.
fn constant(side: Value<'_>) -> Option<Node<'_>> {
    let node = side.node()?;
    match node.kind {
        "AConst" if !node.has("isnull") => node.node("val"),
        "TypeCast" => constant(node.get("arg")),
        _ => None,
    }
}

/// True if a comparison of two constants can fail. Only what surely fails does.
fn constants(operator: &str, left: Node<'_>, right: Node<'_>) -> bool {
    if left.kind != right.kind || !matches!(left.kind, "Integer" | "String" | "Boolean") {
        return false;
    }
    // Texts that differ may still be equal numbers, dates or blank-padded texts.
    let equal = left.same(right);
    let differ = left.kind == "Integer" && !equal;
    match operator {
        "=" => differ,
        "<>" | "<" | ">" => equal,
        _ => false,
    }
}

/// `LIKE '%'`, `~ '.*'`: patterns that every text matches.
fn matches_all(pattern: Value<'_>) -> bool {
    let Some(pattern) = constant(pattern) else { return false };
    let text = pattern.text("sval");
    text.chars().all(|letter| letter == '%')
        || text.chars().all(|letter| matches!(letter, '.' | '*' | '^' | '$' | '(' | ')' | '|'))
}

fn equal(left: Value<'_>, right: Value<'_>) -> bool {
    match (left.node(), right.node()) {
        (Some(left), Some(right)) => left.same(right),
        _ => false,
    }
}

/// `id = id`, `id + 0 = id`: both sides are of the same columns and no others.
fn same_columns(left: Value<'_>, right: Value<'_>) -> bool {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    columns(left, &mut here);
    columns(right, &mut there);
    here.sort_unstable();
    here.dedup();
    there.sort_unstable();
    there.dedup();
    !here.is_empty() && here == there
}

fn columns<'t>(value: Value<'t>, found: &mut Vec<&'t str>) {
    match value {
        Value::Node(node) if node.kind == "ColumnRef" => {
            found.extend(node.last_name("fields"));
        }
        Value::Node(node) => {
            for (_, value) in node.fields() {
                columns(value, found);
            }
        }
        Value::List(list) => {
            for value in list.iter() {
                columns(value, found);
            }
        }
        Value::Empty | Value::Number(_) | Value::Text(_) => {}
    }
}

/// Two alternatives of which one always holds: `a = 1 OR a <> 1`, `a IS NULL OR a IS NOT NULL`.
fn exhaustive(condition: Node<'_>, negated: bool) -> bool {
    let args: Vec<Node<'_>> = condition.nodes("args").collect();
    args.iter().enumerate().any(|(index, one)| {
        args.iter().skip(index + 1).any(|other| complements(*one, *other, negated))
    })
}

fn complements(one: Node<'_>, other: Node<'_>, negated: bool) -> bool {
    let negation = |node: Node<'_>| node.kind == "BoolExpr" && node.number("boolop") == 3;
    let denies =
        |no: Node<'_>, yes: Node<'_>| negation(no) && no.nodes("args").any(|arg| arg.same(yes));
    if denies(one, other) || denies(other, one) {
        return true;
    }
    if one.kind != other.kind {
        return false;
    }
    match one.kind {
        "NullTest" => {
            equal(one.get("arg"), other.get("arg"))
                && one.number("nulltesttype") != other.number("nulltesttype")
        }
        "AExpr" => complementary_comparisons(one, other, negated),
        _ => false,
    }
}

fn complementary_comparisons(one: Node<'_>, other: Node<'_>, negated: bool) -> bool {
    if !equal(one.get("lexpr"), other.get("lexpr")) {
        return false;
    }
    let alike = equal(one.get("rexpr"), other.get("rexpr"));
    match (operator(one, negated), operator(other, negated)) {
        // Different from one value or different from another: everything is.
        ("<>", "<>") => !alike,
        ("=", "<>")
        | ("<>", "=")
        | ("<", ">=")
        | (">=", "<")
        | (">", "<=")
        | ("<=", ">")
        | ("<=", ">=")
        | (">=", "<=")
        | ("like", "not like")
        | ("not like", "like")
        | ("in", "not in")
        | ("not in", "in") => alike,
        _ => false,
    }
}

fn null_test(test: Node<'_>, target: &Target<'_>, negated: bool) -> bool {
    if !names_target(test, target) {
        return false;
    }
    let not_null = (test.number("nulltesttype") == 2) != negated;
    !not_null || nullable(test.get("arg"), target)
}

/// False for a column that cannot be NULL, or of which that is not known.
fn nullable(value: Value<'_>, target: &Target<'_>) -> bool {
    let Some(node) = value.node() else { return false };
    let names = node.names("fields");
    if node.kind != "ColumnRef" {
        return false;
    }
    let column = names.last().and_then(|name| target.relation?.column(name));
    column.is_some_and(|column| !column.not_null)
}

fn boolean_test(test: Node<'_>, target: &Target<'_>, negated: bool) -> bool {
    let Some(arg) = test.node("arg") else { return false };
    match (test.number("booltesttype"), negated) {
        // IS TRUE and IS NOT FALSE hold where the argument does.
        (1 | 4, false) | (2 | 3, true) => verdict(arg, target, false),
        (2 | 3, false) | (1 | 4, true) => verdict(arg, target, true),
        (5, false) | (6, true) => names_target(arg, target),
        // IS NOT UNKNOWN holds for nearly everything.
        _ => false,
    }
}

/// Bounds if every branch that may hold does.
fn case(case: Node<'_>, target: &Target<'_>, negated: bool) -> bool {
    let branches = all(case, "args", |when| {
        let condition = when.node("expr").is_some_and(|expr| verdict(expr, target, false));
        let compared = case.has("arg") && names_target(case, target);
        let result = when.node("result").is_some_and(|result| verdict(result, target, negated));
        condition || compared || result
    });
    branches && case.node("defresult").is_none_or(|result| verdict(result, target, negated))
}

fn sublink(link: Node<'_>, target: &Target<'_>, negated: bool) -> bool {
    let Some(select) = link.node("subselect") else { return false };
    let test = link.node("testexpr").is_some_and(|test| names_target(test, target));
    if !test {
        return names_target_inside(select, target);
    }
    // `id IN (SELECT id FROM t)` is every row of t.
    negated || !reads_whole(select, target)
}

/// True for a select of the target itself that nothing bounds.
fn reads_whole(select: Node<'_>, target: &Target<'_>) -> bool {
    let of_target =
        |item: &Node<'_>| item.kind == "RangeVar" && item.text("relname") == target.table;
    let Some(item) = select.nodes("from_clause").find(of_target) else {
        return false;
    };
    if has_limit(select) || select.has("group_clause") || select.has("having_clause") {
        return false;
    }
    let alias = item.node("alias").map_or(target.table, |alias| alias.text("aliasname"));
    let inner = Target { name: alias, ..*target };
    !select.node("where_clause").is_some_and(|condition| bounds(condition, &inner))
}

/// True where LIMIT or FETCH FIRST bounds the rows; LIMIT ALL and LIMIT NULL do not.
pub(crate) fn has_limit(select: Node<'_>) -> bool {
    select.node("limit_count").is_some_and(|count| !count.has("isnull"))
}

/// True if the expression names a column that can be the target's.
fn names_target(expression: Node<'_>, target: &Target<'_>) -> bool {
    match expression.kind {
        "ColumnRef" => {
            let names = expression.names("fields");
            match names.as_slice() {
                [] => false,
                [column] => target
                    .relation
                    .is_none_or(|relation| *column == target.name || is_column(relation, column)),
                [.., qualifier, _] => {
                    *qualifier == target.name || names.first() == Some(&target.name)
                }
            }
        }
        "SubLink" => {
            expression.node("testexpr").is_some_and(|test| names_target(test, target))
                || expression
                    .node("subselect")
                    .is_some_and(|select| names_target_inside(select, target))
        }
        _ => expression.children().any(|child| names_target(child, target)),
    }
}

fn is_column(relation: &Relation, name: &str) -> bool {
    let system = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];
    relation.column(name).is_some() || system.contains(&name)
}

/// The same within a sub-select, where names mean its own relations first.
fn names_target_inside(select: Node<'_>, target: &Target<'_>) -> bool {
    let mut sources = Vec::new();
    ranges(select, &mut sources);
    let name_of = |range: &Node<'_>| {
        range
            .node("alias")
            .map_or(range.text("relname"), |alias| alias.text("aliasname"))
            .to_owned()
    };
    let hidden = sources.iter().any(|range| name_of(range) == target.name);
    refers(select, &|names| match names {
        [] => false,
        [column] => {
            target.relation.is_some_and(|relation| is_column(relation, column))
                && sources.iter().all(|range| lacks(*range, column, target))
        }
        [first, ..] => !hidden && *first == target.name,
    })
}

/// True if a relation of the sub-select is known not to have a column.
fn lacks(range: Node<'_>, column: &str, target: &Target<'_>) -> bool {
    let schema = Some(range.text("schemaname")).filter(|schema| !schema.is_empty());
    let relation = target.scope.resolve(schema, range.text("relname"));
    relation.is_some_and(|relation| relation.column(column).is_none())
}

/// What stands in FROM anywhere inside.
fn ranges<'t>(node: Node<'t>, found: &mut Vec<Node<'t>>) {
    match node.kind {
        "RangeVar" | "RangeSubselect" | "RangeFunction" => found.push(node),
        _ => {}
    }
    for child in node.children() {
        ranges(child, found);
    }
}

fn refers(node: Node<'_>, test: &impl Fn(&[&str]) -> bool) -> bool {
    if node.kind == "ColumnRef" {
        return test(&node.names("fields"));
    }
    node.children().any(|child| refers(child, test))
}
