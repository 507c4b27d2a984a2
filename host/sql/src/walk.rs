//! One walk over a statement's tree that collects its facts.
//!
//! Every node is visited: what has no case of its own is walked through, and a relation met
//! in a place that has no case is one that the statement defines or reads.

use portcullis_policy::statement::{Access, Action, Opaque};

use crate::builtins::{functions_before, is_aggregate, is_system_relation, runs_strings};
use crate::catalog::Scope;
use crate::command::{add, is_analyze, object};
use crate::names::{Author, Names, author};
use crate::predicate::{Target, bounds, has_limit};
use crate::tree::{List, Node, Value};

/// A relation as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub schema: Option<String>,
    pub name: String,
    pub access: Access,
    pub stands: Stands,
}

/// What a name in a statement has to do with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    There,
    /// It means no relation that is there already: the statement makes it.
    Made,
    /// It means one that stays what it is: a foreign key refers to it.
    Referred,
}

/// What a walk collects.
#[derive(Default)]
pub(crate) struct Facts {
    pub relations: Vec<Named>,
    pub functions: Vec<String>,
    pub parameters: Vec<String>,
    /// Actions of parts: data-modifying CTEs, locks, branches of MERGE.
    pub actions: Vec<Action>,
    pub unbounded_write: bool,
    pub opaque: Vec<Opaque>,
    /// Names of CTEs and aliases, wherever they are: a reader that does not know scopes may
    /// take them for relations.
    pub local_names: Vec<String>,
    /// Last parts of qualified column names, and what follows a value: each may be a function.
    pub attributes: Vec<String>,
    /// Functions of one argument that neither PostgreSQL nor the catalog knows: `email(t)`
    /// is a column.
    pub perhaps_columns: Vec<String>,
    /// Where in the text columns and functions are named: what lineage has to come by.
    pub places: Vec<i64>,
}

/// Collects the facts of one statement.
pub(crate) fn walk(statement: Node<'_>, scope: &Scope<'_>) -> Facts {
    let mut walker = Walker { scope, facts: Facts::default() };
    let place = Place { names: &Names::NONE, access: Access::Define, runs: true };
    walker.visit(statement, place);
    walker.facts
}

/// Where in a statement a node stands.
#[derive(Clone, Copy)]
struct Place<'p> {
    names: &'p Names<'p>,
    /// How relations are used here unless their place says otherwise.
    access: Access,
    /// False in what is only stored or explained.
    runs: bool,
}

impl<'p> Place<'p> {
    fn with(self, access: Access) -> Place<'p> {
        Place { access, ..self }
    }

    fn stored(self) -> Place<'p> {
        Place { runs: false, ..self }
    }
}

struct Walker<'a> {
    scope: &'a Scope<'a>,
    facts: Facts,
}

impl Walker<'_> {
    fn visit(&mut self, node: Node<'_>, place: Place<'_>) {
        let read = place.with(Access::Read);
        match node.kind {
            "RangeVar" => self.relation(node, place),
            "SelectStmt" => {
                self.with_ctes(node, read, &mut |walker, place| walker.rest(node, place, &[]));
            }
            "InsertStmt" => self.write(node, Action::Insert, place),
            "UpdateStmt" => self.write(node, Action::Update, place),
            "DeleteStmt" => self.write(node, Action::Delete, place),
            "MergeStmt" => self.write(node, Action::Merge, place),
            "FuncCall" => self.function(node, place),
            "Alias" => {
                self.facts.local_names.push(node.text("aliasname").to_owned());
                self.rest(node, place, &[]);
            }
            "ColumnRef" => {
                self.facts.places.push(node.number("location"));
                if let [_, .., name] = node.names("fields").as_slice() {
                    self.attribute(name);
                }
            }
            "TypeName" => {
                // What its modifiers name are no columns.
                let places = self.facts.places.len();
                self.rest(node, place, &[]);
                self.facts.places.truncate(places);
            }
            "AIndirection" => {
                node.names("indirection").into_iter().for_each(|name| self.attribute(name));
                self.rest(node, place, &[]);
            }
            "VariableSetStmt" => {
                self.parameter(node);
                self.rest(node, place, &[]);
            }
            "DiscardStmt" if node.number("target") == 1 => self.set("all"),
            // The names after OF are aliases.
            "LockingClause" if place.runs => add(&mut self.facts.actions, Action::Lock),
            "LockingClause" => {}
            "DoStmt" => self.opaque(Opaque::Body("DO".to_owned())),
            "CopyStmt" => {
                let access = if node.has("is_from") { Access::Write } else { Access::Read };
                self.field(node, "relation", place.with(access));
                self.rest(node, read, &["relation"]);
            }
            "ExplainStmt" => {
                let place = if is_analyze(node) { place } else { place.stored() };
                self.rest(node, place, &[]);
            }
            "TruncateStmt" => self.rest(node, place.with(Access::Write), &[]),
            // They change nothing of what it is.
            "LockStmt" | "TableLikeClause" | "VacuumStmt" => self.rest(node, read, &[]),
            "IntoClause" => {
                self.made(node.node("rel"), place);
                self.rest(node, place, &["rel"]);
            }
            "CreateStmt" => {
                self.made(node.node("relation"), place);
                self.rest(node, place.with(Access::Define), &["relation"]);
            }
            "ViewStmt" => {
                self.made(node.node("view"), place);
                self.rest(node, place.stored(), &["view"]);
            }
            "CreateSeqStmt" => {
                self.made(node.node("sequence"), place);
                self.rest(node, place, &["sequence"]);
            }
            // Without ON UPDATE CASCADE a foreign key leaves the other table what it is; with it what
            // changes there is written here.
            "Constraint" if node.text("fk_upd_action") != "c" => {
                if let Some(range) = node.node("pktable") {
                    let name = range.text("relname");
                    self.named(schema_of(range), name, Access::Define, Stands::Referred);
                }
                self.rest(node, place, &["pktable"]);
            }
            "CompositeTypeStmt" => self.rest(node, place, &["typevar"]),
            "RuleStmt" | "CreateFunctionStmt" | "CreatePolicyStmt" | "AlterPolicyStmt" => {
                self.rest(node, place.stored(), &[]);
            }
            "DropStmt" => self.dropped(node),
            "CommentStmt" | "SecLabelStmt" => {
                self.object(object(node, "objtype"), node.get("object"));
            }
            "AlterExtensionContentsStmt" | "AlterObjectSchemaStmt" | "AlterOwnerStmt" => {
                let field = if node.kind.contains("Contents") { "objtype" } else { "object_type" };
                self.object(object(node, field), node.get("object"));
                self.rest(node, place, &[]);
            }
            "DefElem" => {
                if node.text("defname") == "owned_by" {
                    self.owned_by(node);
                }
                self.rest(node, place, &[]);
            }
            kind => {
                self.perhaps_functions(functions_before(kind));
                self.rest(node, place, &[]);
            }
        }
    }

    /// What the grammar has a node for is a call where somebody has made such a function, and the
    /// server is of an earlier version.
    fn perhaps_functions(&mut self, names: &[&str]) {
        for name in names {
            if author(self.scope, None, name) == Author::Unseen {
                self.opaque(Opaque::Body((*name).to_owned()));
                self.facts.functions.push((*name).to_owned());
            }
        }
    }

    /// Visits every field but those already dealt with.
    fn rest(&mut self, node: Node<'_>, place: Place<'_>, done: &[&str]) {
        for (name, value) in node.fields() {
            if name != "with_clause" && !done.contains(&name) {
                self.value(value, place);
            }
        }
    }

    fn field(&mut self, node: Node<'_>, name: &str, place: Place<'_>) {
        self.value(node.get(name), place);
    }

    fn value(&mut self, value: Value<'_>, place: Place<'_>) {
        match value {
            Value::Node(node) => self.visit(node, place),
            Value::List(list) => list.iter().for_each(|value| self.value(value, place)),
            Value::Empty | Value::Number(_) | Value::Text(_) => {}
        }
    }

    /// Visits the CTEs of a statement, each with those in sight of it, then the statement.
    fn with_ctes(
        &mut self,
        node: Node<'_>,
        place: Place<'_>,
        then: &mut dyn FnMut(&mut Self, Place<'_>),
    ) {
        let Some(clause) = node.node("with_clause") else { return then(self, place) };
        let ctes: Vec<Node<'_>> = clause.nodes("ctes").collect();
        let names: Vec<String> = ctes.iter().map(|cte| cte.text("ctename").to_owned()).collect();
        for (index, cte) in ctes.into_iter().enumerate() {
            // Without RECURSIVE a CTE sees those before it; its own name means a relation.
            let seen = if clause.has("recursive") { names.len() } else { index };
            let here = names.get(..seen).unwrap_or_default();
            let names = Names { here, outer: Some(place.names) };
            self.visit(cte, Place { names: &names, ..place });
        }
        then(self, Place { names: &Names { here: &names, outer: Some(place.names) }, ..place });
        self.facts.local_names.extend(names);
    }

    fn relation(&mut self, range: Node<'_>, place: Place<'_>) {
        let schema = schema_of(range);
        let name = range.text("relname");
        if schema.is_some() || place.access != Access::Read || !place.names.knows(name) {
            self.named(schema, name, place.access, Stands::There);
        }
        self.rest(range, place, &[]);
    }

    fn named(&mut self, schema: Option<&str>, name: &str, access: Access, stands: Stands) {
        let named =
            Named { schema: schema.map(str::to_owned), name: name.to_owned(), access, stands };
        if !name.is_empty() && !self.facts.relations.contains(&named) {
            self.facts.relations.push(named);
        }
    }

    fn made(&mut self, range: Option<Node<'_>>, place: Place<'_>) {
        let Some(range) = range else { return };
        if range.text("relpersistence") == "t" && !range.has("schemaname") {
            let name = range.text("relname");
            return self.named(Some("pg_temp"), name, Access::Define, Stands::Made);
        }
        self.named(schema_of(range), range.text("relname"), Access::Define, Stands::Made);
        self.rest(range, place, &[]);
    }

    /// INSERT, UPDATE, DELETE and MERGE. What they write is never a CTE.
    fn write(&mut self, node: Node<'_>, action: Action, place: Place<'_>) {
        if place.runs {
            add(&mut self.facts.actions, action);
        }
        let none = Place { names: &Names::NONE, ..place }.with(Access::Write);
        self.field(node, "relation", none);
        self.with_ctes(node, place.with(Access::Read), &mut |walker, place| {
            walker.rest(node, place, &["relation"]);
        });
        let Some(range) = node.node("relation") else { return };
        if range.text("relname") == "pg_settings" && action == Action::Update {
            // The view's rule calls set_config.
            self.set("?");
        }
        if place.runs {
            self.judge_write(node, range, action);
        }
    }

    fn judge_write(&mut self, node: Node<'_>, range: Node<'_>, action: Action) {
        let schema = schema_of(range);
        let table = range.text("relname");
        let scope = self.scope;
        let target = Target {
            name: range.node("alias").map_or(table, |alias| alias.text("aliasname")),
            table,
            relation: scope.resolve(schema, table),
            scope,
        };
        let unbounded = if action == Action::Merge {
            self.judge_merge(node, &target)
        } else {
            let changes = action == Action::Update || action == Action::Delete;
            changes
                && !node.node("where_clause").is_some_and(|condition| bounds(condition, &target))
        };
        self.facts.unbounded_write |= unbounded;
    }

    /// A branch that changes rows of the target is bounded by its own condition, or where it
    /// is of matched rows by that of the join.
    fn judge_merge(&mut self, node: Node<'_>, target: &Target<'_>) -> bool {
        let joined = node.node("join_condition").is_some_and(|on| bounds(on, target));
        let mut unbounded = false;
        for branch in node.nodes("merge_when_clauses") {
            let own = branch.node("condition").is_some_and(|condition| bounds(condition, target));
            let action = match branch.number("command_type") {
                3 => Action::Update,
                4 => Action::Insert,
                5 => Action::Delete,
                _ => continue,
            };
            add(&mut self.facts.actions, action);
            let by_source = branch.number("match_kind") == 2;
            unbounded |= action != Action::Insert && !own && (by_source || !joined);
        }
        unbounded
    }

    fn function(&mut self, call: Node<'_>, place: Place<'_>) {
        let written = call.names("funcname");
        let (name, schema) = match written.as_slice() {
            [] => return self.rest(call, place, &[]),
            [name] => (*name, None),
            [.., schema, name] => (*name, Some(*schema)),
        };
        let arguments = call.list("args");
        // `substring(a FROM 1)` is written without a schema, whatever the grammar adds.
        let by_syntax = call.number("funcformat") == 4;
        let shown = match schema {
            Some(schema) if !by_syntax => format!("{schema}.{name}").to_lowercase(),
            Some(_) | None => name.to_lowercase(),
        };
        if name == "set_config" {
            let parameter = set_config_name(arguments);
            self.set(&parameter);
        }
        if runs_strings(name, arguments.len()) {
            self.opaque(Opaque::DynamicSql(shown.clone()));
        }
        match author(self.scope, schema, name) {
            Author::PostgreSql | Author::Trusted => {}
            Author::Nobody if schema.is_none() && arguments.len() == 1 => {
                self.facts.perhaps_columns.push(shown.clone());
            }
            Author::Unseen | Author::Nobody => self.opaque(Opaque::Body(shown.clone())),
        }
        if !self.facts.functions.contains(&shown) {
            self.facts.functions.push(shown);
        }
        if by_syntax && name == "system_user" && !place.names.knows(name) {
            // Before version 16 it is a name like any other.
            self.named(None, name, Access::Read, Stands::There);
        }
        self.facts.places.push(call.number("location"));
        self.rest(call, place, &[]);
    }

    /// `t.f` is `f(t)` where no column has that name.
    fn attribute(&mut self, name: &str) {
        if !self.facts.attributes.iter().any(|known| known == name) {
            self.facts.attributes.push(name.to_owned());
        }
    }

    fn parameter(&mut self, set: Node<'_>) {
        let name = set.text("name").to_ascii_lowercase();
        match (set.number("kind"), name.as_str()) {
            (6, _) => self.set("all"),
            (4, multi) => {
                let prefix = if multi.contains("session") { "default_" } else { "" };
                for option in set.nodes("args") {
                    let option = option.text("defname");
                    if !option.is_empty() {
                        self.set(&format!("{prefix}{option}"));
                    }
                }
            }
            (_, "") => self.set("?"),
            (_, name) => self.set(name),
        }
    }

    fn set(&mut self, name: &str) {
        if !self.facts.parameters.iter().any(|known| known == name) {
            self.facts.parameters.push(name.to_owned());
        }
    }

    fn opaque(&mut self, reason: Opaque) {
        if !self.facts.opaque.contains(&reason) {
            self.facts.opaque.push(reason);
        }
    }

    fn dropped(&mut self, node: Node<'_>) {
        let kind = object(node, "remove_type");
        for value in node.list("objects").iter() {
            self.object(kind, value);
        }
    }

    /// An object that a list of names stands for.
    fn object(&mut self, kind: &str, value: Value<'_>) {
        let Some(node) = value.node().filter(|node| node.kind == "List") else { return };
        let names = node.names("items");
        let names = match kind {
            "OBJECT_TABLE"
            | "OBJECT_VIEW"
            | "OBJECT_MATVIEW"
            | "OBJECT_SEQUENCE"
            | "OBJECT_INDEX"
            | "OBJECT_FOREIGN_TABLE" => names.as_slice(),
            // The last name is that of a part of the relation.
            "OBJECT_COLUMN"
            | "OBJECT_TRIGGER"
            | "OBJECT_RULE"
            | "OBJECT_POLICY"
            | "OBJECT_TABCONSTRAINT" => names.split_last().map_or(&[][..], |(_, rest)| rest),
            _ => return,
        };
        self.by_names(names);
    }

    fn owned_by(&mut self, option: Node<'_>) {
        let names = option.node("arg").map(|arg| arg.names("items")).unwrap_or_default();
        if let Some((_, relation)) = names.split_last() {
            self.by_names(relation);
        }
    }

    fn by_names(&mut self, names: &[&str]) {
        match names {
            [] => {}
            [name] => self.named(None, name, Access::Define, Stands::There),
            [.., schema, name] => {
                self.named(Some(schema), name, Access::Define, Stands::There);
            }
        }
    }
}

/// The schema that a relation is written with.
fn schema_of<'t>(range: Node<'t>) -> Option<&'t str> {
    Some(range.text("schemaname")).filter(|schema| !schema.is_empty())
}

/// The parameter that a call of set_config names; "?" where it is computed.
fn set_config_name(arguments: List<'_>) -> String {
    let named = |node: &Node<'_>| {
        node.kind == "NamedArgExpr" && node.text("name").eq_ignore_ascii_case("setting_name")
    };
    let by_name = arguments.nodes().find(named).and_then(|node| node.node("arg"));
    let first = arguments.nodes().next().filter(|node| node.kind != "NamedArgExpr");
    let mut value = by_name.or(first);
    while let Some(node) = value.filter(|node| node.kind == "TypeCast") {
        value = node.node("arg");
    }
    let constant = value.filter(|node| node.kind == "AConst").and_then(|node| node.node("val"));
    match constant.filter(|constant| constant.kind == "String") {
        Some(text) => text.text("sval").to_ascii_lowercase(),
        None => "?".to_owned(),
    }
}

/// True if nothing limits the rows that a query gives back. `ctes` holds those in sight.
pub(crate) fn reads_unbounded(select: Node<'_>, ctes: &[Node<'_>]) -> bool {
    let mut ctes = ctes.to_vec();
    if let Some(clause) = select.node("with_clause") {
        ctes.extend(clause.nodes("ctes"));
    }
    if select.kind != "SelectStmt" || has_limit(select) {
        return false;
    }
    if let (Some(left), Some(right)) = (select.node("larg"), select.node("rarg")) {
        return reads_unbounded(left, &ctes) || reads_unbounded(right, &ctes);
    }
    let one_row = !select.has("group_clause")
        && (select.has("having_clause") || select.nodes("target_list").any(aggregates));
    !one_row && select.nodes("from_clause").any(|item| item_unbounded(item, &ctes))
}

fn item_unbounded(item: Node<'_>, ctes: &[Node<'_>]) -> bool {
    match item.kind {
        "RangeVar" => {
            let name = item.text("relname");
            let cte = ctes.iter().rposition(|cte| cte.text("ctename") == name);
            match cte.filter(|_| !item.has("schemaname")) {
                Some(index) => {
                    // What a CTE sees ends before itself, so this ends.
                    let seen = ctes.get(..index).unwrap_or_default();
                    let query = ctes.get(index).and_then(|cte| cte.node("ctequery"));
                    query.is_some_and(|query| {
                        query.kind != "SelectStmt" || reads_unbounded(query, seen)
                    })
                }
                None => !is_catalog(item.text("schemaname"), name),
            }
        }
        "RangeSubselect" => {
            item.node("subquery").is_some_and(|select| reads_unbounded(select, ctes))
        }
        "JoinExpr" => {
            let side = |field| item.node(field).is_some_and(|side| item_unbounded(side, ctes));
            side("larg") || side("rarg")
        }
        "RangeTableSample" => {
            item.node("relation").is_some_and(|relation| item_unbounded(relation, ctes))
        }
        _ => false,
    }
}

pub(crate) fn is_catalog(schema: &str, name: &str) -> bool {
    match schema {
        "" => is_system_relation(name),
        _ => matches!(schema, "pg_catalog" | "information_schema"),
    }
}

fn aggregates(expression: Node<'_>) -> bool {
    match expression.kind {
        "SubLink" => false,
        "FuncCall" if !expression.has("over") => {
            let name = expression.last_name("funcname").unwrap_or_default();
            let marked =
                ["agg_star", "agg_within_group", "agg_filter", "agg_order", "agg_distinct"];
            is_aggregate(name)
                || marked.iter().any(|mark| expression.has(mark))
                || expression.children().any(aggregates)
        }
        "JsonArrayAgg" | "JsonObjectAgg" => true,
        _ => expression.children().any(aggregates),
    }
}
