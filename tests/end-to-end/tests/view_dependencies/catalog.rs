//! A database's catalog as the proxy sees it.

use std::collections::HashMap;

use portcullis_sql::{Catalog, Column, Function, Relation, RelationKind};
use tokio_postgres::Client;

const RELATIONS: &str = "
select c.oid, n.nspname, c.relname, c.relkind,
       case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
       array(select i.inhparent from pg_inherits i where i.inhrelid = c.oid),
       array(select r.rulename from pg_rewrite r
              where r.ev_class = c.oid and r.rulename <> '_RETURN')
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
   and c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')";

const COLUMNS: &str = "
select a.attrelid, a.attnum, a.attname, a.atttypid, format_type(a.atttypid, null), a.attnotnull
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
   and c.relkind in ('r', 'p', 'f', 'v', 'm') and a.attnum > 0 and not a.attisdropped
 order by a.attrelid, a.attnum";

const FUNCTIONS: &str = "
select n.nspname, p.proname
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.nspname not in ('pg_catalog', 'information_schema')";

/// A snapshot. The path is empty meanwhile, so that definitions of views name schemas.
pub async fn read(client: &Client) -> Catalog {
    client.batch_execute("BEGIN; SET LOCAL search_path = ''").await.expect("a transaction");
    let columns = client.query(COLUMNS, &[]).await.expect("the columns");
    let relations = client.query(RELATIONS, &[]).await.expect("the relations");
    let functions = client.query(FUNCTIONS, &[]).await.expect("the functions");
    client.batch_execute("COMMIT").await.expect("the transaction ends");
    let mut of_relation: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in columns {
        of_relation.entry(row.get(0)).or_default().push(Column {
            attribute: row.get(1),
            name: row.get(2),
            type_oid: row.get(3),
            type_name: row.get(4),
            not_null: row.get(5),
            comment: None,
        });
    }
    let relations = relations.iter().map(|row| Relation {
        oid: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        kind: kind(row.get(3)),
        columns: of_relation.remove(&row.get(0)).unwrap_or_default(),
        definition: row.get(4),
        parents: row.get(5),
        rewrites: row.get(6),
    });
    let relations: Vec<Relation> = relations.collect();
    let functions = functions.iter().map(|row| Function { schema: row.get(0), name: row.get(1) });
    Catalog::new(1, relations, functions)
}

fn kind(letter: i8) -> RelationKind {
    match u8::try_from(letter) {
        Ok(b'r') => RelationKind::Table,
        Ok(b'p') => RelationKind::PartitionedTable,
        Ok(b'f') => RelationKind::ForeignTable,
        Ok(b'v') => RelationKind::View,
        Ok(b'm') => RelationKind::MaterializedView,
        Ok(b'S') => RelationKind::Sequence,
        _ => RelationKind::Other,
    }
}

pub async fn search_path(client: &Client) -> Vec<String> {
    let path = client.query_one("SELECT current_schemas(true)::text[]", &[]).await;
    path.expect("the schemas that are searched").get(0)
}
