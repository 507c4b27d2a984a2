//! Views that are not followed, and what others do when they are read.

use portcullis_policy::lineage::{ColumnRef, Outputs};

use super::{can_show, catalog, traced, view};
use crate::catalog::{Catalog, Relation};

/// A view that is not followed can be one of anything.
#[test]
fn views_that_are_not_read() {
    let mut views = vec![view(50, "e0", "s", "SELECT users.email AS s FROM public.users;")];
    for number in 1..40 {
        let below = number - 1;
        let query = format!("SELECT e{below}.s FROM public.e{below};");
        views.push(view(50 + number, &format!("e{number}"), "s", &query));
    }
    let newer = "SELECT system_user.email AS s FROM public.users system_user;";
    views.push(view(100, "newer", "s", newer));
    let relations: Vec<Relation> = catalog().relations().cloned().chain(views).collect();
    let catalog = Catalog::new(1, relations, []);
    for sql in ["SELECT s FROM e39", "SELECT upper(s) FROM e39", "TABLE newer"] {
        let traced = traced(sql, Some(&catalog));
        let Outputs::Columns(columns) = &traced.outputs else { panic!("{sql}") };
        let anything = |source: &ColumnRef| source.is_of_nobody_known();
        assert!(columns[0].sources.iter().any(anything), "{sql}: {columns:?}");
        assert!(!traced.carriers.is_empty() && traced.columns.iter().any(anything), "{sql}");
    }
    let traced = traced("SELECT s FROM e9", Some(&catalog));
    assert!(can_show(&traced.outputs, "users.email") && traced.carriers.is_empty());
}

/// What hands a value on in a view does so whenever it is read.
#[test]
fn what_views_hand_on() {
    let notifies = view(
        40,
        "notifies",
        "z",
        "SELECT pg_notify('c'::text, v.mail)::text AS z FROM public.v_users v;",
    );
    let chooses = view(
        41,
        "chooses",
        "id z",
        "SELECT v.id, CASE ascii(v.mail) WHEN 90 THEN pg_notify('c'::text, 'Z'::text)::text END AS z \
         FROM public.v_users v;",
    );
    let own = [notifies, chooses];
    let relations: Vec<Relation> = catalog().relations().cloned().chain(own).collect();
    let catalog = Catalog::new(1, relations, []);
    for sql in [
        "SELECT 1 FROM notifies",
        "SELECT count(z) FROM notifies",
        "TABLE notifies",
        "SELECT id FROM chooses",
        "SELECT count(*) FROM chooses",
    ] {
        let traced = traced(sql, Some(&catalog));
        assert!(traced.carriers.iter().eq(["pg_notify"]), "{sql}");
        assert!(traced.columns.iter().any(|column| column.column == "email"), "{sql}");
    }
    assert!(traced("SELECT mail FROM v_users", Some(&catalog)).carriers.is_empty());
}
