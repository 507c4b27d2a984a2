//! Columns of the system catalogs that hold other people's values or secrets.

use portcullis_plugin_sdk::SourceColumn;
use portcullis_plugin_sdk::request::unqualified;

const SENSITIVE: [(&str, &[&str]); 19] = [
    ("pg_authid", &["rolpassword"]),
    ("pg_shadow", &["passwd"]),
    ("pg_user", &["passwd"]),
    ("pg_stats", STATISTICS),
    ("pg_stats_ext", STATISTICS),
    ("pg_stats_ext_exprs", STATISTICS),
    ("pg_statistic", &["stavalues1", "stavalues2", "stavalues3", "stavalues4", "stavalues5"]),
    ("pg_statistic_ext_data", &["stxdmcv", "stxdexpr", "stxddependencies"]),
    ("pg_stat_activity", &["query"]),
    ("pg_stat_statements", &["query"]),
    ("pg_prepared_statements", &["statement"]),
    ("pg_cursors", &["statement"]),
    ("pg_user_mapping", &["umoptions"]),
    ("pg_user_mappings", &["umoptions"]),
    ("pg_foreign_server", &["srvoptions"]),
    ("pg_subscription", &["subconninfo"]),
    ("pg_largeobject", &["data"]),
    ("pg_hba_file_rules", &["options"]),
    ("user_mapping_options", &["option_value"]),
];

const STATISTICS: &[&str] = &[
    "most_common_vals",
    "histogram_bounds",
    "most_common_elems",
    "most_common_val_nulls",
    "range_bounds_histogram",
    "range_length_histogram",
];

/// Whether a column belongs to the system catalogs. Only PostgreSQL itself can define
/// relations there.
pub(crate) fn is_system(source: &SourceColumn) -> bool {
    source.relation.starts_with("pg_catalog.") || source.relation.starts_with("information_schema.")
}

/// Whether a column shows values of tables, texts of statements or secrets. Extensions put
/// theirs into any schema, so the relation's own name counts.
pub(crate) fn is_sensitive(source: &SourceColumn) -> bool {
    let relation = unqualified(&source.relation);
    SENSITIVE.iter().any(|(name, columns)| {
        *name == relation && (source.column == "*" || columns.contains(&&*source.column))
    })
}
