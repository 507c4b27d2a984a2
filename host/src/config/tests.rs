//! What a configuration means, and what is said of one that cannot be used.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use expect_test::{Expect, expect};
use miette::{GraphicalReportHandler, GraphicalTheme};

use super::{Config, Report};

mod administration;
mod identity;

const SHOP: &str = "[[database]]\nname = \"shop\"\nupstream = \"postgresql://app@localhost\"\n";
const ANA: &str = "[[user]]\nname = \"ana\"\nscram = \"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\"\n";

/// A directory with the files that the texts below name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("secrets")).unwrap();
    for (name, contents, mode) in [
        ("server.crt", "certificate", 0o644),
        ("server.key", "key", 0o600),
        ("ca.crt", "certificate", 0o644),
        ("clients.crt", "certificate", 0o644),
        ("clients.crl", "list", 0o644),
        ("secrets/shop", "sesame\n", 0o600),
        ("secrets/reporting-agent", "pencil\r\n", 0o600),
        ("secrets/pseudonyms", "0123456789abcdef0123456789abcdef", 0o600),
        ("secrets/open", "sesame", 0o644),
        ("secrets/corp", "open sesame\n", 0o600),
        ("secrets/webhook", "fedcba9876543210", 0o600),
        ("secrets/slack", "https://hooks.slack.example/services/T0/B0/hush\n", 0o600),
        ("secrets/short", "0123456789", 0o600),
        ("secrets/empty", "\n", 0o600),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, contents).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    directory
}

fn resolve(directory: &Path, text: &str) -> Result<Config, Report> {
    let environment =
        |name: &str| (name == "SHOP_PASSWORD").then(|| "from the environment".to_owned());
    Config::resolve(&directory.join("portcullis.toml"), text, &environment)
}

/// What is said of `text`: its errors or, where it can be used, its warnings; one a line.
fn said(text: &str) -> String {
    let directory = directory();
    let place = format!("{}/", directory.path().display());
    let report = match resolve(directory.path(), text) {
        Ok(config) => config.warnings,
        Err(report) => report,
    };
    format!("{report:#}").replace(&place, "")
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&said(text));
}

/// Checks a file that is right but for `wrong`, which comes first.
fn check_top(wrong: &str, expected: Expect) {
    check(&format!("{wrong}\n{SHOP}{ANA}"), expected);
}

/// Checks lines within `[[database]]`.
fn check_database(wrong: &str, expected: Expect) {
    check(&format!("{ANA}{SHOP}{wrong}\n"), expected);
}

/// Checks the address of a database.
fn check_upstream(url: &str, expected: Expect) {
    let database = format!("[[database]]\nname = \"shop\"\nupstream = \"{url}\"\n");
    let text = format!("{ANA}{database}");
    let directory = directory();
    let found = match resolve(directory.path(), &text) {
        Ok(config) => format!("{:?}", config.databases[0].upstream),
        Err(report) => report.lines().map(|(_, message)| message.to_owned()).collect(),
    };
    expected.assert_eq(&found.replace(&format!("{}/", directory.path().display()), ""));
}

#[test]
fn the_example_can_be_used() {
    let directory = directory();
    let config = resolve(directory.path(), include_str!("../../../examples/portcullis.toml"));
    let config = config.map_err(|report| format!("{report:#}")).unwrap();
    assert!(config.warnings.is_empty(), "{:#}", config.warnings);
    assert_eq!(config.plugin_dir, directory.path().join("plugins.d"));
    let database = &config.databases[0];
    assert_eq!(database.password.as_ref().unwrap().reveal(), b"sesame");
    assert_eq!(config.keys[0].1.reveal().len(), 32);
    assert_eq!(config.users.len(), 3);
    assert_eq!(config.users[2].databases.as_deref(), Some(["shop".to_owned()].as_slice()));
}

#[test]
fn the_example_names_every_key() {
    // With the comment signs before its defaults taken away, the example is still right and
    // says the same as without them.
    let example = include_str!("../../../examples/portcullis.toml");
    let uncomment = |line: &str| {
        let key = line.strip_prefix("# ").filter(|rest| {
            rest.split_once(" = ").is_some_and(|(key, _)| {
                key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            })
        });
        key.unwrap_or(line).to_owned() + "\n"
    };
    let full: String = example.lines().map(uncomment).collect();
    let directory = directory();
    let of = |text: &str| {
        let config = resolve(directory.path(), text).map_err(|report| format!("{report:#}"));
        format!("{config:?}")
    };
    assert_eq!(of(&full), of(example));
    assert!(
        full.lines()
            .filter(|line| !line.starts_with('#'))
            .any(|line| line.starts_with("names_max"))
    );
}

#[test]
fn little_is_needed() {
    let directory = directory();
    let config = resolve(directory.path(), &format!("{SHOP}{ANA}")).unwrap();
    assert!(config.warnings.is_empty());
    let identity = (config.listeners, config.logins, config.browser_login, config.credentials);
    let facts = (identity, config.approvals, config.limits, config.ledger, config.log);
    assert!(config.admin.is_none() && config.issuers.is_empty());
    expect![[r#"
        (
            (
                [
                    Listen {
                        name: "default",
                        address: 127.0.0.1:6432,
                        tls: None,
                        client_authority: None,
                        tls_required: false,
                        proxy_protocol_from: [],
                    },
                ],
                [],
                BrowserLogin {
                    wait_max: 300s,
                    waiting_max: 100,
                },
                Credentials {
                    lifetime_max: 43200s,
                },
            ),
            ApprovalsConfig {
                waiting_max: 1000,
                wait_max: 3600s,
                in_transaction_max: 300s,
                webhooks: [],
            },
            Limits {
                connections_max: 10000,
                frame_bytes_max: 67108864,
                statement_bytes_max: 1048576,
                names_max: 10000,
                names_bytes_max: 67108864,
                startup: 10s,
                drain: 30s,
            },
            LedgerConfig {
                segment_bytes_max: 67108864,
                sync_interval: 200ms,
            },
            Log {
                level: Info,
                format: Text,
            },
        )
    "#]]
    .assert_debug_eq(&facts);
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let directory = directory();
    let text = format!(
        "{ANA}{SHOP}password_file = \"secrets/shop\"\n[keys]\npseudonyms = {{ file = \"secrets/pseudonyms\" }}\n"
    );
    let printed = format!("{:?}", resolve(directory.path(), &text).unwrap());
    for secret in ["sesame", "0123456789abcdef", "WG5d8oPm3"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn all_errors_come_at_once_with_their_places() {
    check(
        "plugin_dri = \"x\"\nworkers = \"two\"\n[listen]\naddress = \"localhost\"\ntls_require = true\n\
         [limits]\nstartup_ms = 5\n[[database]]\nname = \"shop\"\nupstream = \"mysql://x\"\n\
         [[user]]\nname = \"ana\"\nscram = \"md5abc\"\ndatabases = [\"shpo\"]\nkind = \"humn\"\n",
        expect![[r#"
            portcullis.toml:1: unknown key `plugin_dri` in the configuration; did you mean `plugin_dir`?
            portcullis.toml:2: `workers` must be a whole number, not string
            portcullis.toml:4: `localhost` is not an address: write it as 127.0.0.1:6432
            portcullis.toml:5: unknown key `tls_require` in [listen]; did you mean `tls_required`?
            portcullis.toml:7: `startup_ms` must be between 100 and 600000
            portcullis.toml:10: an upstream is written postgresql://user@host:port/database
            portcullis.toml:13: a verifier begins with SCRAM-SHA-256$
            portcullis.toml:14: there is no database `shpo`; did you mean `shop`?
            portcullis.toml:15: `humn` is not a value of `kind`: human, service or agent; did you mean `human`?"#]],
    );
}

#[test]
fn words() {
    check_top(
        "stat_dir = \"x\"",
        expect![
            "portcullis.toml:1: unknown key `stat_dir` in the configuration; did you mean `state_dir`?"
        ],
    );
    check_top("zebra = 1", expect!["portcullis.toml:1: unknown key `zebra` in the configuration"]);
    check_top(
        "[oidc]\nissuer = \"https://id.example.com\"",
        expect!["portcullis.toml:1: unknown key `oidc` in the configuration"],
    );
    check_top(
        "[listen]\nadress = \"127.0.0.1:1\"",
        expect!["portcullis.toml:2: unknown key `adress` in [listen]; did you mean `address`?"],
    );
    check_top(
        "[log]\nlevel = \"inof\"",
        expect![
            "portcullis.toml:2: `inof` is not a value of `level`: error, warn, info, debug or trace; did you mean `info`?"
        ],
    );
    check_top(
        "[log]\nformat = \"xml\"",
        expect!["portcullis.toml:2: `xml` is not a value of `format`: text or json"],
    );
    check_database(
        "audit = \"strikt\"",
        expect![
            "portcullis.toml:7: `strikt` is not a value of `audit`: strict, relaxed or default; did you mean `strict`?"
        ],
    );
    check_database(
        "unmatched = \"permit\"",
        expect!["portcullis.toml:7: `permit` is not a value of `unmatched`: deny or allow"],
    );
    check_database(
        "rol = \"app\"",
        expect!["portcullis.toml:7: unknown key `rol` in [[database]]; did you mean `role`?"],
    );
}

#[test]
fn values() {
    check_top("state_dir = \"\"", expect!["portcullis.toml:1: `state_dir` is empty"]);
    check_top(
        "state_dir = 3",
        expect!["portcullis.toml:1: `state_dir` must be a string, not integer"],
    );
    check_top("workers = -1", expect!["portcullis.toml:1: `workers` must be between 0 and 1024"]);
    check_top(
        "workers = 1.5",
        expect!["portcullis.toml:1: `workers` must be a whole number, not float"],
    );
    check_top(
        "listen = \"127.0.0.1:6432\"",
        expect!["portcullis.toml:1: `listen` must be a table, not string"],
    );
    check_top(
        "[listen]\ntls_required = true",
        expect!["portcullis.toml:1: `tls_required` needs `tls`, or nobody could connect"],
    );
    check_top(
        "[listen]\ntls = { certificate = \"server.crt\" }",
        expect!["portcullis.toml:2: [tls] needs `key`"],
    );
    check_top(
        "[listen]\ntls = { certificate = \"no.crt\", key = \"no.key\" }",
        expect![[r#"
        portcullis.toml:2: there is no file no.crt
        portcullis.toml:2: no.key cannot be read: No such file or directory (os error 2)"#]],
    );
    check_top(
        "[limits]\nframe_bytes_max = 65_536",
        expect!["portcullis.toml:1: `statement_bytes_max` cannot be more than `frame_bytes_max`"],
    );
    check_top(
        "[limits]\nconnections_max = 0",
        expect!["portcullis.toml:2: `connections_max` must be between 1 and 1000000"],
    );
    check_top(
        "[keys]\nmine = \"secret\"",
        expect![[r#"portcullis.toml:2: `mine` must be a table: { file = "…" }, not string"#]],
    );
    check_top(
        "[keys]\nmine = { file = \"secrets/short\" }",
        expect!["portcullis.toml:2: a key needs at least 16 bytes"],
    );
    check_top(
        "[keys]\nmine = { fil = \"secrets/short\" }",
        expect![[r#"
        portcullis.toml:2: [keys] mine needs `file`
        portcullis.toml:2: unknown key `fil` in [keys] mine; did you mean `file`?"#]],
    );
    check_top(
        "a = ",
        expect!["portcullis.toml:1: string values must be quoted, expected literal string"],
    );
    check_top("[listen]\n[listen]", expect!["portcullis.toml:2: duplicate key"]);
}

#[test]
fn databases_and_users() {
    check(
        ANA,
        expect!["portcullis.toml:1: there is no [[database]]: clients would have nowhere to go"],
    );
    check(SHOP, expect!["portcullis.toml:1: there is no [[user]]: nobody can log in"]);
    check(
        &format!("{SHOP}{SHOP}{ANA}{ANA}"),
        expect![[r#"
        portcullis.toml:5: there is a database `shop` already
        portcullis.toml:11: there is a user `ana` already"#]],
    );
    check(
        &format!("{SHOP}[[user]]\nname = \"ana\"\n"),
        expect!["portcullis.toml:4: [[user]] needs `scram`, `password_file` or `certificates`"],
    );
    check(
        &format!("{SHOP}[[user]]\nscram = \"x\"\n"),
        expect![[r#"
        portcullis.toml:4: [[user]] needs `name`
        portcullis.toml:5: a verifier begins with SCRAM-SHA-256$"#]],
    );
    check(
        &format!("{SHOP}{ANA}groups = \"analysts\"\n"),
        expect!["portcullis.toml:7: `groups` must be a list of strings, not string"],
    );
    check(
        &format!("{SHOP}{ANA}groups = [1]\n"),
        expect!["portcullis.toml:7: `groups` must be a list of strings, not integer"],
    );
    check(
        &format!("{SHOP}{ANA}password_file = \"secrets/shop\"\n"),
        expect!["portcullis.toml:7: `scram` is given already: keep one of them"],
    );
    check(
        &format!("{SHOP}[user]\nname = \"ana\"\n"),
        expect!["portcullis.toml:4: `user` must be written as [[user]]: there may be several"],
    );
    check_database(
        "password_file = \"secrets/missing\"",
        expect![
            "portcullis.toml:7: secrets/missing cannot be read: No such file or directory (os error 2)"
        ],
    );
    check_database(
        "password_file = \"secrets\"",
        expect!["portcullis.toml:7: secrets is not a file"],
    );
    check_database(
        "password_file = \"secrets/empty\"",
        expect!["portcullis.toml:7: secrets/empty is empty"],
    );
    check_database(
        "password_env = \"NOT_SET\"",
        expect!["portcullis.toml:7: the environment has no variable NOT_SET"],
    );
    check_database("password_env = \"SHOP_PASSWORD\"", expect![[""]]);
    check_database(
        "password_env = \"SHOP_PASSWORD\"\npassword_file = \"secrets/shop\"",
        expect!["portcullis.toml:7: `password_file` is given already: keep one of them"],
    );
    check_database(
        "column_labels = { \"users.email\" = \"pii.email\" }",
        expect![[r#"portcullis.toml:7: `users.email` must be "schema.table.column""#]],
    );
    check_database(
        "column_labels = { \"public.users.email\" = \"\" }",
        expect!["portcullis.toml:7: a label is empty"],
    );
    check_database(
        "labels = { env = 1 }",
        expect!["portcullis.toml:7: `env` must be a string, not integer"],
    );
}

#[test]
fn what_is_unwise_is_said_and_done() {
    check_top(
        "[listen]\naddress = \"0.0.0.0:6432\"",
        expect!["portcullis.toml:2: clients from elsewhere connect in plaintext: set `tls`"],
    );
    check_top(
        "[admin]\naddress = \"0.0.0.0:6480\"",
        expect![
            "portcullis.toml:2: passwords would cross the network in plaintext: set `tls` or a loopback address"
        ],
    );
    check_database(
        "password_file = \"secrets/open\"",
        expect!["portcullis.toml:7: secrets/open is open to others (644): chmod 600 secrets/open"],
    );
    check(
        &format!(
            "{ANA}[[database]]\nname = \"shop\"\nupstream = \"postgresql://app@db.example.com\"\n"
        ),
        expect![
            "portcullis.toml:6: the way to the database is not proven: use sslmode=verify-full"
        ],
    );
}

#[test]
fn upstreams() {
    check_upstream(
        "postgresql://app@127.0.0.1:5433/other?sslmode=disable",
        expect![[
            r#"Upstream { endpoint: Tcp { host: "127.0.0.1", port: 5433 }, user: "app", database: "other", ssl: Disable, root_certificates: None }"#
        ]],
    );
    check_upstream(
        "postgres://a%40b@db.example.com",
        expect![[
            r#"Upstream { endpoint: Tcp { host: "db.example.com", port: 5432 }, user: "a@b", database: "shop", ssl: Prefer, root_certificates: None }"#
        ]],
    );
    check_upstream(
        "postgresql://app@[::1]:5433/shop",
        expect![[
            r#"Upstream { endpoint: Tcp { host: "::1", port: 5433 }, user: "app", database: "shop", ssl: Prefer, root_certificates: None }"#
        ]],
    );
    check_upstream(
        "postgresql://app@%2Fvar%2Frun%2Fpostgresql/shop",
        expect![[
            r#"Upstream { endpoint: Unix("/var/run/postgresql/.s.PGSQL.5432"), user: "app", database: "shop", ssl: Prefer, root_certificates: None }"#
        ]],
    );
    check_upstream(
        "postgresql://app@/shop?host=/tmp",
        expect![[
            r#"Upstream { endpoint: Unix("/tmp/.s.PGSQL.5432"), user: "app", database: "shop", ssl: Prefer, root_certificates: None }"#
        ]],
    );
    check_upstream(
        "postgresql://app@db/shop?sslmode=verify-full&sslrootcert=ca.crt",
        expect![[
            r#"Upstream { endpoint: Tcp { host: "db", port: 5432 }, user: "app", database: "shop", ssl: VerifyFull, root_certificates: Some("ca.crt") }"#
        ]],
    );
    check_upstream(
        "postgresql://app@db/shop?sslmode=require&sslrootcert=ca.crt",
        expect![[
            r#"Upstream { endpoint: Tcp { host: "db", port: 5432 }, user: "app", database: "shop", ssl: VerifyCa, root_certificates: Some("ca.crt") }"#
        ]],
    );
    check_upstream(
        "postgresql://app@db/shop?sslmode=verify-full&sslrootcert=system",
        expect![[
            r#"Upstream { endpoint: Tcp { host: "db", port: 5432 }, user: "app", database: "shop", ssl: VerifyFull, root_certificates: None }"#
        ]],
    );
}

#[test]
fn upstreams_that_cannot_be() {
    check_upstream(
        "db.example.com",
        expect!["an upstream is written postgresql://user@host:port/database"],
    );
    check_upstream(
        "postgresql://app:sesame@db/shop",
        expect!["a password does not belong into the URL: use `password_file` or `password_env`"],
    );
    check_upstream(
        "postgresql://db/shop",
        expect!["the URL names no user: postgresql://user@host/database"],
    );
    check_upstream("postgresql://app@/shop", expect!["the URL names no host"]);
    check_upstream(
        "postgresql://app@a,b/shop",
        expect!["an upstream is one server: the URL names several hosts"],
    );
    check_upstream("postgresql://app@db:0/shop", expect!["`0` is not a port"]);
    check_upstream("postgresql://app@db:99999/shop", expect!["`99999` is not a port"]);
    check_upstream("postgresql://app@[::1/shop", expect!["the URL lacks a `]`"]);
    check_upstream("postgresql://app@db/%zz", expect!["`%zz` is not percent-encoded UTF-8"]);
    check_upstream("postgresql://app@db/%+1x", expect!["`%+1x` is not percent-encoded UTF-8"]);
    check_upstream(
        "postgresql://app@db/shop?sslmode=allow",
        expect!["sslmode=allow prefers plaintext and is not offered: use prefer"],
    );
    check_upstream(
        "postgresql://app@db/shop?sslmode=verify_full",
        expect!["`verify_full` is not an sslmode; did you mean `verify-full`?"],
    );
    check_upstream(
        "postgresql://app@db/shop?ssl_mode=require",
        expect!["unknown parameter `ssl_mode` in the URL; did you mean `sslmode`?"],
    );
    check_upstream(
        "postgresql://app@db/shop?sslmode=require&sslmode=disable",
        expect!["`sslmode` is given twice in the URL"],
    );
    check_upstream(
        "postgresql://app@db/shop?sslmode=verify-full&sslrootcert=no.crt",
        expect!["sslrootcert: there is no file no.crt"],
    );
    check_upstream(
        "postgresql://app@db/shop?sslmode=prefer&sslrootcert=ca.crt",
        expect!["sslrootcert needs sslmode=verify-ca or verify-full"],
    );
    check_upstream(
        "postgresql://app@db/shop?sslmode=require&sslrootcert=system",
        expect!["sslrootcert=system needs sslmode=verify-full"],
    );
}

#[test]
fn a_report_shows_the_lines_it_is_about() {
    let directory = directory();
    let text = format!("plugin_dri = \"x\"\n{SHOP}audit = \"strikt\"\n{ANA}");
    let report = resolve(directory.path(), &text).unwrap_err();
    let mut printed = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .render_report(&mut printed, &report)
        .unwrap();
    let place = format!("{}/", directory.path().display());
    expect![[r#"
        Printed:
          × the configuration cannot be used, for 2 reasons
           ╭─[portcullis.toml:1:1]
         1 │ plugin_dri = "x"
           · ─────┬────
           ·      ╰── unknown key `plugin_dri` in the configuration; did you mean `plugin_dir`?
         2 │ [[database]]
           ╰────
           ╭─[portcullis.toml:5:9]
         4 │ upstream = "postgresql://app@localhost"
         5 │ audit = "strikt"
           ·         ────┬───
           ·             ╰── `strikt` is not a value of `audit`: strict, relaxed or default; did you mean `strict`?
         6 │ [[user]]
           ╰────
    "#]]
    // A first line without indentation, so that the others keep theirs.
    .assert_eq(&format!("Printed:\n{}", printed.replace(&place, "")));
}

#[test]
fn a_missing_file_is_said_to_be_missing() {
    let report = Config::load(Path::new("/nonexistent/portcullis.toml")).unwrap_err();
    expect!["/nonexistent/portcullis.toml:1: the file cannot be read: No such file or directory (os error 2)"].assert_eq(&format!("{report:#}"));
}
