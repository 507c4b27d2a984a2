//! The table of defaults.

use portcullis_plugin_sdk::{Derivation, MaskAction, Masker, OutputColumn, ResultShape, ValueForm};

use super::policy;

fn word(action: &MaskAction) -> String {
    match action {
        MaskAction::Pass => "pass".into(),
        MaskAction::Nullify => "null".into(),
        MaskAction::Constant(text) => format!("constant {text}"),
        MaskAction::Partial(keep) => {
            let only = match keep.only {
                ValueForm::Any => "",
                ValueForm::Email => " of an address",
            };
            format!("partial {} {} {}{only}", keep.keep_first, keep.keep_last, keep.keep_from)
                .trim_end()
                .into()
        }
        MaskAction::Pseudonym(pseudonym) => format!("pseudonym {}", pseudonym.domain),
        MaskAction::Generalize(step) => format!("generalize {step}"),
        MaskAction::Call(call) => format!("call {}", call.handle),
    }
}

fn check_with(settings: &str, column: OutputColumn, expected: &str) {
    let result = ResultShape::of(Vec::new());
    assert_eq!(word(&policy(settings).plan(&column, &result)), expected, "{column:?}");
}

fn check(column: OutputColumn, expected: &str) {
    check_with("{}", column, expected);
}

fn column() -> OutputColumn {
    OutputColumn::of("c")
}

#[test]
fn direct_columns_follow_label_and_name_and_else_content() {
    let direct = |name: &str, labels: &[&str]| column().from_column("public.t", name, labels);
    check(direct("note", &[]), "call 0");
    check(direct("note", &["pii.email"]), "partial 1 0 @ of an address");
    check(direct("note", &["pii.card"]), "partial 0 4");
    check(direct("note", &["pii.text"]), "call 0");
    check(direct("note", &["pii.text"]).typed("jsonb", 3802), "call 1");
    check(direct("note", &["pii.text"]).typed("text[]", 1009), "call 0");
    check(direct("note", &["pii.text"]).typed("tsvector", 3614), "null");
    check(direct("note", &["pii.text", "pii.email"]), "partial 1 0 @ of an address");
    check(direct("note", &["pii.email", "pii.text"]), "partial 1 0 @ of an address");
    check(direct("note", &["pii.text", "secret"]), "constant ***");
    check(direct("note", &["secret"]), "constant ***");
    check(direct("note", &["pii.phone", "secret"]), "constant ***");
    check(direct("note", &["company.confidential"]), "constant ***");
    check(direct("email", &[]), "partial 1 0 @ of an address");
    check(direct("email", &[]).typed("citext", 70_123), "call 2");
    check(direct("email", &[]).typed("xml", 142), "call 2");
    check(direct("password", &[]), "constant ***");
    check(direct("email_verified", &[]), "call 0");
    check(direct("email", &["pii.name"]), "partial 1 0");
    check(direct("n", &[]).typed("jsonb", 3802), "call 1");
    check(direct("n", &[]).typed("text[]", 1009), "call 0");
    check(direct("n", &[]).typed("citext", 70_123), "call 0");
    check(direct("n", &[]).typed("integer", 23), "pass");
    check(direct("n", &[]).typed("name", 19), "pass");
    check(direct("email", &[]).typed("boolean", 16), "pass");
    check(direct("phone", &[]).typed("bigint", 20), "null");
    check(direct("token", &[]).typed("integer", 23), "pass");
    check(direct("token", &["secret"]).typed("integer", 23), "null");
    check(direct("born", &["pii.birth_date"]).typed("date", 1082), "generalize year");
    check(direct("n", &["pii.email"]).typed("jsonb", 3802), "null");
}

#[test]
fn what_is_computed_follows_its_sources() {
    let of = |derivation, name: &str, labels: &[&str]| {
        column().derived(derivation).from_column("public.t", name, labels)
    };
    use Derivation::{Count, Derived, Unknown};
    check(column(), "call 0");
    check(column().typed("integer", 23), "pass");
    check(of(Count, "email", &["pii.email"]), "pass");
    check(of(Derived, "amount", &[]), "call 0");
    check(of(Derived, "amount", &[]).typed("numeric", 1700), "pass");
    check(of(Derived, "note", &["pii.email"]), "constant ***");
    check(of(Derived, "note", &["pii.email"]).typed("integer", 23), "null");
    check(of(Derived, "email", &[]), "constant ***");
    check(of(Derived, "note", &["pii.text"]), "constant ***");
    check(of(Unknown, "note", &["pii.text"]), "null");
    check(of(Derived, "note", &["pii.email"]).typed("json", 114), "null");
    check(of(Unknown, "amount", &[]), "call 0");
    check(of(Unknown, "amount", &[]).typed("integer", 23), "pass");
    check(of(Unknown, "note", &["secret"]), "null");
    check(of(Unknown, "amount", &[]).from_column("public.u", "email", &[]), "null");
}

#[test]
fn catalogs_pass_but_for_what_shows_values() {
    let of = |relation: &str, name: &str| column().from_column(relation, name, &[]);
    check(of("pg_catalog.pg_class", "relname"), "pass");
    check(of("information_schema.columns", "column_name"), "pass");
    check(of("pg_catalog.pg_class", "relname").derived(Derivation::Derived), "pass");
    check(of("pg_catalog.pg_authid", "rolpassword"), "constant ***");
    check(of("pg_catalog.pg_shadow", "passwd"), "constant ***");
    check(of("pg_catalog.pg_stats", "most_common_vals").typed("anyarray", 2277), "null");
    check(of("pg_catalog.pg_stat_activity", "query"), "constant ***");
    check(of("pg_catalog.pg_stat_activity", "state"), "pass");
    check(of("public.pg_stat_statements", "query"), "constant ***");
    check(of("pg_catalog.pg_user_mappings", "umoptions").typed("text[]", 1009), "null");
    check(of("pg_catalog.pg_largeobject", "data").typed("bytea", 17), "null");
    let mixed = of("pg_catalog.pg_class", "relname").derived(Derivation::Derived);
    check(mixed.from_column("public.t", "note", &[]), "call 0");
    let shown = of("pg_catalog.pg_stat_activity", "query").derived(Derivation::Unknown);
    check(shown, "null");
}

#[test]
fn parts_of_one_kind_are_not_those_of_another() {
    let email = || column().from_column("public.t", "email", &[]);
    check(email().from_column("public.u", "email", &[]), "partial 1 0 @ of an address");
    check(email().from_column("public.u", "ip_address", &[]), "constant ***");
    check(email().from_column("public.u", "card_number", &["pii.card"]), "constant ***");
    check(email().from_column("public.u", "id", &[]), "partial 1 0 @ of an address");
    let pass = r#"{"ip": "pass"}"#;
    check_with(
        pass,
        email().from_column("public.u", "ip_address", &[]),
        "partial 1 0 @ of an address",
    );
    check_with(r#"{"ip": "null"}"#, email().from_column("public.u", "ip_address", &[]), "null");
    check_with(r#"{"ip": "pseudonym", "email": "pseudonym"}"#, email(), "pseudonym pii.email");
}

#[test]
fn settings_change_the_plan() {
    let email = || column().from_column("public.t", "email", &[]);
    let kontakt = || column().from_column("public.t", "Kontakt", &[]);
    let pay = || column().from_column("public.t", "pay", &["hr.pay"]);
    check_with(r#"{"email": "pseudonym"}"#, email(), "pseudonym pii.email");
    check_with(r#"{"email": "null"}"#, email(), "null");
    check_with(r#"{"email": "pass"}"#, email(), "pass");
    check_with(r#"{"email": "pass"}"#, email().derived(Derivation::Derived), "call 0");
    check_with(r#"{"email": {"keep_last": 3}}"#, email(), "partial 0 3");
    check_with(r#"{"names": {"kontakt": "phone"}}"#, kontakt(), "partial 0 2");
    check_with(r#"{"labels": {"hr.pay": "name"}}"#, pay(), "partial 1 0");
    check_with(r#"{"inspect": false}"#, kontakt(), "pass");
    check_with(r#"{"inspect": false}"#, column(), "pass");
    let note = || column().from_column("public.t", "note", &["pii.text"]);
    check_with(r#"{"inspect": false}"#, note(), "call 0");
    check_with(r#"{"email": "pass"}"#, note(), "call 0");
    let both = || column().from_column("public.t", "note", &["pii.email", "pii.text"]);
    check_with(r#"{"email": "pass"}"#, both(), "call 0");
    check_with(r#"{"labels": {"hr.pay": "text"}}"#, pay(), "call 0");
    let all = r#"{"email": "pass", "phone": "pass", "card": "pass", "iban": "pass",
        "national_id": "pass", "ip": "pass", "secret": "pass"}"#;
    check_with(all, note(), "pass");
    check_with(all, note().derived(Derivation::Derived), "call 0");
    check_with(r#"{"email": {"keep_first": 2}}"#, email(), "partial 2 0");
    check_with(r#"{"email": {"keep_last": 1, "keep_from": "@"}}"#, email(), "call 2");
    check_with(r#"{"email": {"keep_from": "."}}"#, email(), "call 2");
    check_with(r#"{"email": {"keep_from": "@"}}"#, email(), "partial 0 0 @ of an address");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |settings: &str, part: &str| {
        let error =
            portcullis_plugin_sdk::testing::policy::<crate::PiiMask>(settings).err().unwrap();
        assert!(error.contains(part), "{settings}: {error}");
    };
    check(r#"{"emial": "partial"}"#, "unknown field `emial`");
    check(r#"{"email": "partly"}"#, "expected");
    check(r#"{"fill": "\""}"#, "fill must be");
    check(r#"{"fill": ""}"#, "fill must be");
    check(r#"{"names": {"Kontakt": "phone"}}"#, "lower case");
}
