//! PostgreSQL's own functions and relations, by name.

use std::sync::LazyLock;

/// Names of the functions of `pg_catalog` and `information_schema`, PostgreSQL 15 to 18, in
/// byte order, one a line.
static NAMES: &str = include_str!("builtins.txt");

/// The tables and views of `pg_catalog`, in the same form.
static RELATIONS: &str = include_str!("system_relations.txt");

/// True for the bare name of one of PostgreSQL's own functions.
pub(crate) fn is_builtin(name: &str) -> bool {
    static SORTED: LazyLock<Vec<&'static str>> = LazyLock::new(|| NAMES.lines().collect());
    SORTED.binary_search(&name).is_ok()
}

/// Functions that are conversions, and names of columns everywhere: `c.oid` calls nothing that
/// matters.
pub(crate) fn is_conversion(name: &str) -> bool {
    matches!(name, "name" | "oid" | "text")
}

/// True for the bare name of a table or view of `pg_catalog`.
pub(crate) fn is_system_relation(name: &str) -> bool {
    static SORTED: LazyLock<Vec<&'static str>> = LazyLock::new(|| RELATIONS.lines().collect());
    SORTED.binary_search(&name).is_ok()
}

/// The names under which a node of the grammar of version 18 is a call of an ordinary function to
/// an earlier version.
pub(crate) fn functions_before(kind: &str) -> &'static [&'static str] {
    match kind {
        "JsonObjectConstructor" => &["json_object"],
        "JsonArrayConstructor" => &["json_array"],
        "JsonObjectAgg" => &["json_objectagg"],
        "JsonArrayAgg" => &["json_arrayagg"],
        "JsonParseExpr" => &["json"],
        "JsonScalarExpr" => &["json_scalar"],
        "JsonSerializeExpr" => &["json_serialize"],
        "JsonFuncExpr" => &["json_exists", "json_query", "json_value"],
        "MergeSupportFunc" => &["merge_action"],
        _ => &[],
    }
}

/// Functions of PostgreSQL that read files, large objects or the log of changes.
pub(crate) fn reads_files(name: &str) -> bool {
    matches!(
        name,
        "lo_get"
            | "loread"
            | "pg_logical_slot_get_binary_changes"
            | "pg_logical_slot_get_changes"
            | "pg_logical_slot_peek_binary_changes"
            | "pg_logical_slot_peek_changes"
            | "pg_read_binary_file"
            | "pg_read_file"
    )
}

/// Functions of PostgreSQL that give texts of other sessions' statements, as the view does.
pub(crate) fn reads_activity(name: &str) -> bool {
    matches!(name, "pg_stat_get_activity" | "pg_stat_get_backend_activity")
}

/// Functions of PostgreSQL, with a schema or without, whose value is neither made of their arguments
/// nor of columns: contents of files and large objects, the log of changes, others' statements.
pub fn reads_elsewhere(function: &str) -> bool {
    let name = bare(function);
    reads_files(name) || reads_activity(name)
}

/// A function's name without its schema.
pub(crate) fn bare(function: &str) -> &str {
    function.rsplit('.').next().unwrap_or(function)
}

/// Functions that put a value they are given where it can be read again, or show by what they do
/// which value that was.
pub(crate) fn is_carrier(name: &str) -> bool {
    CARRIERS.contains(&name)
        || CARRIER_FAMILIES.iter().any(|prefix| name.starts_with(prefix))
            && !FAMILIES_WITHOUT_VALUES.contains(&name)
}

/// The carriers among functions that are named with a schema or without.
pub(crate) fn carriers(functions: &[String]) -> Vec<String> {
    functions.iter().filter(|function| is_carrier(bare(function))).cloned().collect()
}

/// What writes a value it is given, or shows by what it does which value that was.
const CARRIERS: [&str; 19] = [
    "loread",
    "lowrite",
    "nextval",
    "pg_backup_start",
    "pg_cancel_backend",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_create_restore_point",
    "pg_drop_replication_slot",
    "pg_log_backend_memory_contexts",
    "pg_notify",
    "pg_replication_slot_advance",
    "pg_start_backup",
    "pg_terminate_backend",
    "set_config",
    "setseed",
    "setval",
];

/// Beginnings of the names of further ones: locks and large objects by number, messages in the
/// log, statistics by hand, time.
const CARRIER_FAMILIES: [&str; 9] = [
    "lo_",
    "pg_advisory_",
    "pg_clear_",
    "pg_logical_",
    "pg_replication_origin_",
    "pg_restore_",
    "pg_sleep",
    "pg_stat_reset",
    "pg_try_advisory_",
];

const FAMILIES_WITHOUT_VALUES: [&str; 1] = ["lo_get"];

/// Functions that run SQL held in strings, or on another server, whichever schema they are in.
pub(crate) fn runs_strings(name: &str, arguments: usize) -> bool {
    match name {
        "cursor_to_xml" | "cursor_to_xmlschema" | "ts_stat" | "xpath_table" => true,
        // With three arguments the rules are given; with two they come from a query.
        "ts_rewrite" => arguments == 2,
        _ => ["query_to_xml", "table_to_xml", "schema_to_xml", "database_to_xml"]
            .iter()
            .chain(&["dblink", "crosstab", "connectby", "pgxml_xpath"])
            .any(|prefix| name.starts_with(prefix)),
    }
}

/// Aggregates: without GROUP BY they give one row.
pub(crate) fn is_aggregate(name: &str) -> bool {
    matches!(
        name,
        "any_value"
            | "array_agg"
            | "avg"
            | "bit_and"
            | "bit_or"
            | "bit_xor"
            | "bool_and"
            | "bool_or"
            | "corr"
            | "count"
            | "covar_pop"
            | "covar_samp"
            | "every"
            | "json_agg"
            | "json_agg_strict"
            | "json_object_agg"
            | "json_object_agg_strict"
            | "json_object_agg_unique"
            | "json_object_agg_unique_strict"
            | "jsonb_agg"
            | "jsonb_agg_strict"
            | "jsonb_object_agg"
            | "jsonb_object_agg_strict"
            | "jsonb_object_agg_unique"
            | "jsonb_object_agg_unique_strict"
            | "max"
            | "min"
            | "mode"
            | "percentile_cont"
            | "percentile_disc"
            | "range_agg"
            | "range_intersect_agg"
            | "regr_avgx"
            | "regr_avgy"
            | "regr_count"
            | "regr_intercept"
            | "regr_r2"
            | "regr_slope"
            | "regr_sxx"
            | "regr_sxy"
            | "regr_syy"
            | "stddev"
            | "stddev_pop"
            | "stddev_samp"
            | "string_agg"
            | "sum"
            | "var_pop"
            | "var_samp"
            | "variance"
            | "xmlagg"
    )
}
