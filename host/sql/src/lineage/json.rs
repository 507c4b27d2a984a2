//! The XML and SQL/JSON expressions, and the tables made of them.

use pg_query::protobuf::{
    JsonAggConstructor, JsonBehavior, JsonTable, JsonTableColumn, JsonTableColumnType,
    JsonTablePathSpec, JsonValueExpr, RangeTableFunc,
};
use pg_query::{Node, NodeEnum};

use super::Tracer;
use super::flow::{Flow, How};
use super::space::{Env, Field, Rows};
use crate::builtins::functions_before;

impl Tracer<'_> {
    /// The value of an XML or SQL/JSON expression; None for any other node.
    pub(super) fn structured(&mut self, node: &NodeEnum, env: &Env<'_>) -> Option<Flow> {
        let flow = self.by_grammar(node, env)?;
        Some(self.unless_defined(kind(node), flow))
    }

    /// The value of a node of this kind, unless it is a call of a function that somebody has defined.
    pub(super) fn unless_defined(&mut self, kind: &str, flow: Flow) -> Flow {
        if !functions_before(kind).iter().any(|name| self.is_user_function(None, name)) {
            return flow;
        }
        self.blind = true;
        Flow { how: flow.how.max(How::Opaque), sources: flow.sources }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the caller takes None as not explained")]
    fn by_grammar(&mut self, node: &NodeEnum, env: &Env<'_>) -> Option<Flow> {
        Some(match node {
            NodeEnum::XmlExpr(xml) => self.computed(xml.args.iter().chain(&xml.named_args), env),
            NodeEnum::XmlSerialize(xml) => self.computed(xml.expr.as_deref(), env),
            NodeEnum::ResTarget(target) => self.computed(target.val.as_deref(), env),
            NodeEnum::JsonObjectConstructor(json) => self.computed(&json.exprs, env),
            NodeEnum::JsonArrayConstructor(json) => self.computed(&json.exprs, env),
            NodeEnum::JsonArrayQueryConstructor(json) => {
                match json.query.as_deref()?.node.as_ref()? {
                    NodeEnum::SelectStmt(select) => {
                        let rows = self.query(select, env);
                        Flow::mix([&rows.whole()].into_iter().chain(&rows.number))
                    }
                    _ => return None,
                }
            }
            NodeEnum::JsonKeyValue(pair) => {
                let key = self.computed(pair.key.as_deref(), env);
                let value = self.json_value(pair.value.as_deref(), env);
                Flow::mix([&key, &value])
            }
            NodeEnum::JsonObjectAgg(json) => {
                let pair = json.arg.as_ref()?;
                let key = self.computed(pair.key.as_deref(), env);
                let value = self.json_value(pair.value.as_deref(), env);
                let rest = self.aggregation(json.constructor.as_deref(), env);
                Flow::mix([&key, &value, &rest])
            }
            NodeEnum::JsonArrayAgg(json) => {
                let value = self.json_value(json.arg.as_deref(), env);
                let rest = self.aggregation(json.constructor.as_deref(), env);
                Flow::mix([&value, &rest])
            }
            NodeEnum::JsonParseExpr(json) => self.json_value(json.expr.as_deref(), env),
            NodeEnum::JsonScalarExpr(json) => self.computed(json.expr.as_deref(), env),
            NodeEnum::JsonSerializeExpr(json) => self.json_value(json.expr.as_deref(), env),
            NodeEnum::JsonIsPredicate(json) => self.computed(json.expr.as_deref(), env),
            NodeEnum::JsonValueExpr(json) => self.json_value(Some(json), env),
            NodeEnum::JsonArgument(json) => self.json_value(json.val.as_deref(), env),
            NodeEnum::JsonFuncExpr(json) => {
                let item = self.json_value(json.context_item.as_deref(), env);
                let path = self.computed(json.pathspec.as_deref(), env);
                let passing = self.computed(&json.passing, env);
                let empty = self.behavior(json.on_empty.as_deref(), env);
                let error = self.behavior(json.on_error.as_deref(), env);
                Flow::mix([&item, &path, &passing, &empty, &error])
            }
            _ => return None,
        })
    }

    fn json_value(&mut self, value: Option<&JsonValueExpr>, env: &Env<'_>) -> Flow {
        let Some(value) = value else { return Flow::opaque() };
        let parts = value.raw_expr.iter().chain(&value.formatted_expr);
        self.computed(parts.map(|part| &**part), env)
    }

    fn behavior(&mut self, behavior: Option<&JsonBehavior>, env: &Env<'_>) -> Flow {
        self.computed(behavior.and_then(|behavior| behavior.expr.as_deref()), env)
    }

    /// What beside its argument decides an aggregate: its filter, its frame, and what makes the
    /// rows. Its order is referred to only.
    fn aggregation(&mut self, json: Option<&JsonAggConstructor>, env: &Env<'_>) -> Flow {
        let Some(json) = json else { return Flow::opaque() };
        self.order_by(&json.agg_order, &Rows::default(), env);
        let frame = match &json.over {
            Some(window) => Flow::mix([&self.window(window, env), &self.framing]),
            None => Flow::none(),
        };
        let filter = self.computed(json.agg_filter.as_deref(), env);
        Flow::mix([&filter, &frame, &super::call::number_of(env)])
    }

    /// XMLTABLE: every column may come from the document and from any column's path.
    pub(super) fn xml_table(&mut self, table: &RangeTableFunc, env: &Env<'_>) -> Rows {
        let parts = table.docexpr.iter().chain(&table.rowexpr).map(|part| &**part);
        let document = self.computed(parts, env);
        let spaces = self.computed(&table.namespaces, env);
        let mut rows = Rows::default();
        for node in &table.columns {
            let Some(NodeEnum::RangeTableFuncCol(column)) = &node.node else {
                return Rows::open(Flow::opaque());
            };
            let parts = column.colexpr.iter().chain(&column.coldefexpr).map(|part| &**part);
            let own = self.computed(parts, env);
            let flow = match column.for_ordinality {
                true => Flow::new(How::Count, Vec::new()).steered(&document),
                false => Flow::mix([&document, &spaces, &own]),
            };
            rows.fields.push(Field::new(Some(column.colname.clone()), flow));
        }
        rows.number = document.into_number();
        rows
    }

    /// JSON_TABLE: nested columns come behind all others of their level, wherever they stand
    /// (`transformJsonTableColumns` in `parse_jsontable.c`).
    pub(super) fn json_table(&mut self, table: &JsonTable, env: &Env<'_>) -> Rows {
        let item = self.json_value(table.context_item.as_deref(), env);
        let path = self.path(table.pathspec.as_deref(), env);
        let passing = self.computed(&table.passing, env);
        let error = self.behavior(table.on_error.as_deref(), env);
        let document = Flow::mix([&item, &path, &passing, &error]);
        let mut rows = Rows::default();
        self.json_columns(&table.columns, &document, env, &mut rows);
        rows.number = document.into_number();
        rows
    }

    fn json_columns(&mut self, nodes: &[Node], document: &Flow, env: &Env<'_>, rows: &mut Rows) {
        let mut nested = Vec::new();
        for node in nodes {
            let Some(NodeEnum::JsonTableColumn(column)) = &node.node else {
                super::query::extend(rows, &Rows::opaque());
                continue;
            };
            let flow = match column.coltype() {
                JsonTableColumnType::JtcNested => {
                    nested.push(column);
                    continue;
                }
                JsonTableColumnType::JtcForOrdinality => {
                    Flow::new(How::Count, Vec::new()).steered(document)
                }
                JsonTableColumnType::JtcRegular
                | JsonTableColumnType::JtcExists
                | JsonTableColumnType::JtcFormatted => self.json_column(column, document, env),
                JsonTableColumnType::Undefined => Flow::opaque(),
            };
            rows.fields.push(Field::new(Some(column.name.clone()), flow));
        }
        for column in nested {
            self.json_columns(&column.columns, document, env, rows);
        }
    }

    fn json_column(&mut self, column: &JsonTableColumn, document: &Flow, env: &Env<'_>) -> Flow {
        let path = self.path(column.pathspec.as_deref(), env);
        let empty = self.behavior(column.on_empty.as_deref(), env);
        let error = self.behavior(column.on_error.as_deref(), env);
        Flow::mix([document, &path, &empty, &error])
    }

    fn path(&mut self, path: Option<&JsonTablePathSpec>, env: &Env<'_>) -> Flow {
        self.computed(path.and_then(|path| path.string.as_deref()), env)
    }
}

/// The name of those that `functions_before` has.
#[allow(clippy::wildcard_enum_match_arm, reason = "the grammar has always had the others")]
fn kind(node: &NodeEnum) -> &'static str {
    match node {
        NodeEnum::JsonObjectConstructor(_) => "JsonObjectConstructor",
        NodeEnum::JsonArrayConstructor(_) => "JsonArrayConstructor",
        NodeEnum::JsonObjectAgg(_) => "JsonObjectAgg",
        NodeEnum::JsonArrayAgg(_) => "JsonArrayAgg",
        NodeEnum::JsonParseExpr(_) => "JsonParseExpr",
        NodeEnum::JsonScalarExpr(_) => "JsonScalarExpr",
        NodeEnum::JsonSerializeExpr(_) => "JsonSerializeExpr",
        NodeEnum::JsonFuncExpr(_) => "JsonFuncExpr",
        _ => "",
    }
}
