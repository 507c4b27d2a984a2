//! What is known of the database on which scripts play.

use std::collections::HashMap;

use portcullis_sql::{Catalog, Relation, TEXT_OID};

use crate::database::DatabaseState;
use crate::settings::DatabaseSettings;

use super::rules::CLASSIFIERS;

const INT4: u32 = 23;

/// `public.people`, with `id`, `name` and `email`, which is labelled.
pub const PEOPLE: u32 = 20_001;
/// The origin of `people.email`.
pub const EMAIL: (u32, i16) = (PEOPLE, 3);
/// The origin of `notes.note`, in which nothing is labelled.
pub const NOTE: (u32, i16) = (20_002, 2);

pub fn database(settings: DatabaseSettings) -> DatabaseState {
    let tables = [
        table(PEOPLE, "people", &[("id", INT4), ("name", TEXT_OID), ("email", TEXT_OID)]),
        table(NOTE.0, "notes", &[("id", INT4), ("note", TEXT_OID)]),
        table(20_003, "forbidden", &[("id", INT4)]),
    ];
    let catalog = Catalog::new(1, tables, []);
    let types = HashMap::from([(INT4, "integer".to_owned()), (TEXT_OID, "text".to_owned())]);
    DatabaseState::known(settings, catalog, types, &["pg_catalog", "public"], CLASSIFIERS)
}

fn table(oid: u32, name: &str, columns: &[(&str, u32)]) -> Relation {
    let names = columns.iter().map(|(name, _)| *name);
    let mut table = Relation::table(oid, "public", name, names);
    for (column, (_, type_oid)) in table.columns.iter_mut().zip(columns) {
        column.type_oid = *type_oid;
        if *type_oid == INT4 {
            "integer".clone_into(&mut column.type_name);
        }
    }
    table
}
