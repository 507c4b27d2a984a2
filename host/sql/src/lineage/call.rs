//! Function calls.

use pg_query::protobuf::{CoercionForm, FuncCall};
use pg_query::{Node, NodeEnum};

use super::Tracer;
use super::flow::{Flow, How};
use super::space::{Env, Rows, names};
use crate::builtins::{
    is_aggregate, is_builtin, is_carrier, reads_activity, reads_files, runs_strings,
};

/// Window functions that tell a position, not a value, unless an argument says which.
const POSITIONS: &[&str] =
    &["cume_dist", "dense_rank", "ntile", "percent_rank", "rank", "row_number"];

/// Functions of PostgreSQL that give several rows: how many tells of their arguments.
const SPREADERS: &[&str] = &[
    "_pg_expandarray",
    "aclexplode",
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "json_populate_recordset",
    "json_to_recordset",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_path_query",
    "jsonb_path_query_tz",
    "jsonb_populate_recordset",
    "jsonb_to_recordset",
    "pg_extension_update_paths",
    "pg_get_multixact_members",
    "pg_get_publication_tables",
    "pg_input_error_info",
    "pg_ls_dir",
    "pg_ls_replslotdir",
    "pg_ls_tmpdir",
    "pg_mcv_list_items",
    "pg_options_to_table",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_snapshot_xip",
    "pg_stat_get_activity",
    "pg_stat_get_progress_info",
    "pg_stat_get_subscription",
    "pg_tablespace_databases",
    "pg_wal_summary_contents",
    "regexp_matches",
    "regexp_split_to_table",
    "string_to_table",
    "ts_debug",
    "ts_parse",
    "ts_token_type",
    "txid_snapshot_xip",
    "unnest",
];

impl Tracer<'_> {
    pub(super) fn call(&mut self, call: &FuncCall, env: &Env<'_>) -> Flow {
        let path = names(&call.funcname);
        let (schema, name) = match path.as_slice() {
            [name] => (None, name.as_str()),
            [.., schema, name] => (Some(schema.as_str()), name.as_str()),
            [] => return Flow::opaque(),
        };
        self.visit(call.location);
        if path == ["pg_catalog", "system_user"]
            && call.funcformat() == CoercionForm::CoerceSqlSyntax
            && let Some(column) = self.bare("system_user", env)
        {
            // Before version 16 it is a name like any other.
            return column;
        }
        let mut filter = self.computed(call.agg_filter.as_deref(), env);
        if let Some(window) = &call.over {
            self.windows = true;
            // Which rows a frame has decides what is made of them, as a filter does.
            let frame = self.window(window, env);
            filter = Flow::mix([&filter, &frame, &self.framing]);
        }
        let own = self.is_user_function(schema, name)
            || (self.scope.catalog.is_none() && schema.is_none() && !is_builtin(name));
        if !own && name == "count" && (call.agg_star || !call.args.is_empty()) {
            let count = self.counted(&call.args, env);
            self.order_by(&call.agg_order, &Rows::default(), env);
            let tells = Flow::mix([&number_of(env), &filter]);
            return Flow::mix([&count.counting(&tells)]);
        }
        if !own
            && schema.is_none()
            && !is_builtin(name)
            && let [arg] = call.args.as_slice()
            && let Some(NodeEnum::ColumnRef(row)) = &arg.node
            && let Some(flow) = self.projected(row, name, env)
        {
            // `column(t)` is another way to write `t.column`.
            return flow;
        }
        let args = self.arguments(call, env);
        let number = number_of(env);
        if !own && call.over.is_some() && POSITIONS.contains(&name) && args.reads_nothing() {
            return Flow::new(How::Count, Vec::new()).steered(&number);
        }
        let value = self.applied(schema, name, call.args.len(), args);
        // A filter decides which values count, as a CASE would; of how many rows an aggregate or a
        // window is made tells what makes the rows.
        let aggregates = is_aggregate(name) || call.agg_within_group || call.over.is_some();
        let number = if aggregates { number } else { Flow::none() };
        let steers = Flow::mix([&filter, &number]);
        if steers.reads_nothing() { value } else { Flow::mix([&value, &steers]) }
    }

    /// All arguments; for an ordered-set aggregate what it orders is one of them.
    fn arguments(&mut self, call: &FuncCall, env: &Env<'_>) -> Flow {
        let args = self.computed(&call.args, env);
        let mut order = Vec::new();
        for node in &call.agg_order {
            match &node.node {
                Some(NodeEnum::SortBy(sort)) => {
                    order.push(self.computed(sort.node.as_deref(), env));
                }
                _ => order.push(Flow::opaque()),
            }
        }
        if call.agg_within_group {
            order.push(args);
            return Flow::mix(&order);
        }
        args
    }

    /// A function of this name applied to arguments already traced.
    pub(super) fn applied(
        &mut self,
        schema: Option<&str>,
        name: &str,
        count: usize,
        args: Flow,
    ) -> Flow {
        if is_carrier(name) {
            let behind = self.view_depth > 0;
            self.hand_on(behind.then_some(name), &args);
        }
        if self.is_user_function(schema, name) {
            // It may give several rows.
            self.spreading = Flow::mix([&self.spreading, &args]);
            if self.is_trusted(schema, name) {
                return Flow { how: args.how.max(How::Derived), sources: args.sources };
            }
            self.blind = true;
            return Flow::mix([&args, &self.anything()]);
        }
        if SPREADERS.contains(&name) {
            self.spreading = Flow::mix([&self.spreading, &args]);
        }
        if reads_activity(name) {
            let query = self.columns.as_written("pg_catalog.pg_stat_activity", "query");
            return Flow::mix([&args, &Flow::new(How::Derived, vec![query])]);
        }
        if reads_files(name) || runs_strings(name, count) {
            self.reads_anything = true;
            return Flow { how: How::Opaque, sources: args.sources };
        }
        let unknown = self.scope.catalog.is_none() && schema != Some("pg_catalog");
        if unknown || !is_builtin(name) {
            // Nobody knows whose function this is.
            self.blind = true;
            return Flow { how: args.how.max(How::Opaque), sources: args.sources };
        }
        Flow::mix([&args])
    }

    /// Notes that this is put where it can be read again, and by what where the text does not say so.
    pub(super) fn hand_on(&mut self, unsaid: Option<&str>, given: &Flow) {
        self.carried = Flow::mix([&self.carried, given]);
        self.carrying = self.carrying.saturating_add(1);
        self.carriers.extend(unsaid.map(str::to_owned));
    }

    /// The rows of a function in FROM.
    pub(super) fn function_rows(&mut self, node: &Node, env: &Env<'_>) -> (Rows, Option<String>) {
        let Some(NodeEnum::FuncCall(call)) = &node.node else {
            let flow = self.expression(node, env);
            return (Rows::open(flow), super::label::label(node));
        };
        let flow = self.call(call, env);
        let name = names(&call.funcname).pop();
        let number = flow.clone().into_number();
        (Rows { number, ..Rows::open(flow) }, name)
    }

    pub(super) fn is_user_function(&self, schema: Option<&str>, name: &str) -> bool {
        if schema == Some("pg_catalog") {
            return false;
        }
        let functions = self.scope.catalog.map_or(&[][..], |catalog| catalog.functions(name));
        match schema {
            None => !functions.is_empty(),
            // A schema nobody knows a function of may still hold one.
            Some(_) => true,
        }
    }

    fn is_trusted(&self, schema: Option<&str>, name: &str) -> bool {
        let Some(catalog) = self.scope.catalog else { return false };
        let trusted = self.scope.trusted_functions;
        let mut candidates = catalog
            .functions(name)
            .iter()
            .filter(|function| schema.is_none_or(|schema| function.schema == schema))
            .peekable();
        candidates.peek().is_some()
            && candidates.all(|function| {
                let full = format!("{}.{}", function.schema, function.name);
                trusted.iter().any(|entry| *entry == full || *entry == function.name)
            })
    }
}

/// What the number of rows tells of, of whichever level it is that an aggregate belongs to.
pub(super) fn number_of(env: &Env<'_>) -> Flow {
    let items = env.levels().flat_map(|(_, items)| items).filter(|item| item.by_column);
    Flow::mix(items.filter_map(|item| item.rows.number.as_ref()))
}
