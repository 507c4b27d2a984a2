//! What is known of the database on which scripts play.

use std::collections::HashMap;

use portcullis_sql::{Catalog, Column, Relation, RelationKind};

use crate::database::DatabaseState;
use crate::settings::DatabaseSettings;

use super::rules::CLASSIFIERS;

const INT4: u32 = 23;
const TEXT: u32 = 25;

/// `public.people`, with `id`, `name` and `email`, which is labelled.
pub const PEOPLE: u32 = 20_001;
/// The origin of `people.email`.
pub const EMAIL: (u32, i16) = (PEOPLE, 3);
/// The origin of `notes.note`, in which nothing is labelled.
pub const NOTE: (u32, i16) = (20_002, 2);

pub fn database(settings: DatabaseSettings) -> DatabaseState {
    let tables = [
        table(PEOPLE, "people", &[("id", INT4), ("name", TEXT), ("email", TEXT)]),
        table(NOTE.0, "notes", &[("id", INT4), ("note", TEXT)]),
        table(20_003, "forbidden", &[("id", INT4)]),
    ];
    let catalog = Catalog::new(1, tables, []);
    let types = HashMap::from([(INT4, "integer".to_owned()), (TEXT, "text".to_owned())]);
    DatabaseState::known(settings, catalog, types, &["pg_catalog", "public"], CLASSIFIERS)
}

fn table(oid: u32, name: &str, columns: &[(&str, u32)]) -> Relation {
    let column = |(attribute, (name, type_oid)): (i16, &(&str, u32))| Column {
        name: (*name).to_owned(),
        attribute,
        type_oid: *type_oid,
        type_name: if *type_oid == INT4 { "integer" } else { "text" }.to_owned(),
        not_null: false,
        comment: None,
    };
    Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        columns: (1..).zip(columns).map(column).collect(),
        definition: None,
        parents: Vec::new(),
        rewrites: Vec::new(),
    }
}
