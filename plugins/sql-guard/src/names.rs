//! Functions and parameters by what they reach.

use portcullis_plugin_sdk::request::unqualified;

/// A set of names: whole ones, and beginnings.
pub(crate) struct Names {
    whole: &'static [&'static str],
    beginnings: &'static [&'static str],
}

impl Names {
    /// Whether `name` is in the set, whatever schema it is written with: an extension may
    /// have been installed into any.
    pub(crate) fn has(&self, name: &str) -> bool {
        let name = unqualified(name);
        self.whole.contains(&name) || self.beginnings.iter().any(|start| name.starts_with(start))
    }

    /// The first of `names` in the set.
    pub(crate) fn first<'a>(&self, names: &'a [String]) -> Option<&'a str> {
        names.iter().map(|name| &**name).find(|name| self.has(name))
    }
}

/// Functions that read or write files of the server, or its raw pages.
pub(crate) const FILE_FUNCTIONS: Names = Names {
    whole: &[
        "lo_export",
        "lo_import",
        "pg_current_logfile",
        "pg_execute_server_program",
        "pg_hba_file_rules",
        "pg_ident_file_mappings",
        "pg_logdir_ls",
        "pg_show_all_file_settings",
        "pg_stat_file",
    ],
    beginnings: &[
        "bt_page_",
        "fsm_page_",
        "get_raw_page",
        "heap_page_item",
        "pg_file_",
        "pg_get_wal_",
        "pg_ls_",
        "pg_read_binary_file",
        "pg_read_file",
    ],
};

/// Functions that act on the server as a whole or on other sessions.
pub(crate) const CONTROL_FUNCTIONS: Names = Names {
    whole: &[
        "pg_backup_start",
        "pg_backup_stop",
        "pg_cancel_backend",
        "pg_create_restore_point",
        "pg_drop_replication_slot",
        "pg_export_snapshot",
        "pg_log_backend_memory_contexts",
        "pg_log_standby_snapshot",
        "pg_nextoid",
        "pg_promote",
        "pg_reload_conf",
        "pg_replication_slot_advance",
        "pg_rotate_logfile",
        "pg_rotate_logfile_old",
        "pg_start_backup",
        "pg_stop_backup",
        "pg_stop_making_pinned_objects",
        "pg_switch_wal",
        "pg_switch_xlog",
        "pg_sync_replication_slots",
        "pg_terminate_backend",
    ],
    beginnings: &[
        "binary_upgrade_",
        "pg_copy_logical_",
        "pg_copy_physical_",
        "pg_create_logical_",
        "pg_create_physical_",
        "pg_logical_",
        "pg_replication_origin_",
        "pg_stat_reset",
        "pg_wal_replay_",
    ],
};

/// Functions that connect to elsewhere.
pub(crate) const OUTBOUND_FUNCTIONS: Names = Names {
    whole: &["http", "http_get", "http_post", "http_put", "http_delete"],
    beginnings: &["dblink"],
};

/// Functions that run SQL given as text.
pub(crate) const DYNAMIC_FUNCTIONS: Names = Names {
    whole: &["connectby", "ts_rewrite", "ts_stat", "xpath_table"],
    beginnings: &[
        "crosstab",
        "cursor_to_xml",
        "database_to_xml",
        "query_to_xml",
        "schema_to_xml",
        "table_to_xml",
    ],
};

/// Functions that write, in statements that look like reads.
pub(crate) const WRITE_FUNCTIONS: Names = Names {
    whole: &[
        "lo_creat",
        "lo_create",
        "lo_from_bytea",
        "lo_put",
        "lo_truncate",
        "lo_truncate64",
        "lo_unlink",
        "lowrite",
        "nextval",
        "setval",
    ],
    beginnings: &[],
};

/// Parameters that change who somebody is, what applies to them, what is recorded of them or
/// which code the server loads. Those that drivers send are not among them.
const PARAMETERS: Names = Names {
    whole: &[
        "?",
        "allow_in_place_tablespaces",
        "allow_system_table_mods",
        "archive_cleanup_command",
        "archive_command",
        "archive_library",
        "createrole_self_grant",
        "dynamic_library_path",
        "event_triggers",
        "extension_control_path",
        "ignore_checksum_failure",
        "ignore_system_indexes",
        "jit_provider",
        "lo_compat_privileges",
        "local_preload_libraries",
        "recovery_end_command",
        "restore_command",
        "restrict_nonsystem_relation_kind",
        "role",
        "row_security",
        "session_authorization",
        "session_preload_libraries",
        "session_replication_role",
        "shared_preload_libraries",
        "ssl_passphrase_command",
        "zero_damaged_pages",
    ],
    beginnings: &["debug_", "log_", "trace_", "track_"],
};

/// Extensions whose parameters are guards themselves.
const PARAMETER_PREFIXES: [&str; 5] =
    ["anon.", "auto_explain.", "pgaudit.", "sepgsql.", "supautils."];

/// Whether setting this parameter matters.
pub(crate) fn parameter_matters(name: &str) -> bool {
    // The whole name counts: "myapp.role" is somebody's own.
    let is_custom = name.contains('.');
    (!is_custom && PARAMETERS.has(name))
        || PARAMETER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
