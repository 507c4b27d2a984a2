//! Labels from comments, names and samples.

use portcullis_plugin_sdk::{Classifier, Sample};

use super::policy;

fn check(column: &str, comment: Option<&str>, values: &[&str], expected: &[&str]) {
    check_typed("text", column, comment, values, expected);
}

fn check_typed(
    type_name: &str,
    column: &str,
    comment: Option<&str>,
    values: &[&str],
    expected: &[&str],
) {
    let sample = Sample {
        relation: "public.t".into(),
        column: column.into(),
        type_name: type_name.into(),
        comment: comment.map(str::to_owned),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let labels = policy("{}").classify(&sample);
    assert!(labels.iter().all(|label| (0.0..=1.0).contains(&label.confidence)));
    let names: Vec<&str> = labels.iter().map(|label| &*label.name).collect();
    assert_eq!(names, expected, "{column} {comment:?} {values:?}");
}

#[test]
fn columns_are_labelled_by_comment_name_and_content() {
    check("c", None, &[], &[]);
    check("c", None, &["a", "b"], &[]);
    check("email", None, &[], &["pii.email"]);
    check("c", Some("the customer, pii.name"), &[], &["pii.name"]);
    check("c", Some("[pii:email] [secret]"), &[], &["pii.email", "secret"]);
    check("c", Some("no secret here"), &[], &[]);
    check("note", None, &["call back", "ana@example.com wrote", "paid"], &["pii.text"]);
    check("c", None, &["ana@example.com", " bob@example.com\n", "", "-"], &["pii.email"]);
    let addresses = "Write to a@x.org, card 4111 1111 1111 1111 please";
    check("c", None, &[addresses], &["pii.text"]);
    check("email", None, &[addresses], &["pii.email", "pii.text"]);
    check("c", None, &["ana@example.com", "b@x.org", addresses], &["pii.email", "pii.text"]);
    check("c", None, &["ana@example.com", "4111111111111111"], &["pii.text"]);
    check("c", None, &["{a@x.org,b@x.org}", r#"{"to": "a@x.org"}"#], &["pii.text"]);
    check("c", None, &["4111111111111111", "5500000000000004"], &["pii.card"]);
    let orders = ["1234567890", "4000000000000002", "4000000000000011", "15", "17", "18", "19"];
    check("c", None, &orders, &[]);
    check("c", None, &["+14155552671", "", "415-555-2671"], &["pii.phone"]);
    check("email", Some("pii.email"), &["ana@example.com"], &["pii.email"]);
}

#[test]
fn bytes_are_looked_into_where_they_are_text() {
    let check = |values: &[&str], expected: &[&str]| {
        check_typed("bytea", "c", None, values, expected);
    };
    // "ana@example.com", and "to ana@example.com é" without the last byte.
    let address = r"\x616e61406578616d706c652e636f6d";
    check(&[address], &["pii.email"]);
    check(&[r"\x746f20616e61406578616d706c652e636f6d20c3"], &["pii.text"]);
    check(&[r"\x616e61406578616d706c652e636f6dff00", r"\x", r"\xzz", "", r"\x7"], &[]);
    check_typed("text", "c", None, &[address], &[]);
}
