//! Reads a database's catalog into plain data.

use std::collections::{HashMap, HashSet};
use std::io;

use portcullis_sql::{Catalog, Column, Function, Relation, RelationKind};

use crate::asking::{Asking, Row};

/// Printing a view locks it and what it reads. Whatever somebody has locked against that is
/// passed by: who would read such a view waits as well.
const RELATIONS: &str = "
with locked as materialized (
  select l.relation as oid from pg_catalog.pg_locks l
   where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
     and l.database = (select b.oid from pg_catalog.pg_database b
                        where b.datname = pg_catalog.current_database())
     and l.pid is distinct from pg_catalog.pg_backend_pid()),
unreadable as materialized (
  select oid from locked union
  select r.ev_class from pg_catalog.pg_rewrite r
    join pg_catalog.pg_depend d on d.objid = r.oid
     and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
     and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    join locked l on l.oid = d.refobjid)
select c.oid, n.nspname, c.relname, c.relkind::text,
       case when c.relkind in ('v', 'm') and c.oid not in (select u.oid from unreadable u)
            then pg_catalog.pg_get_viewdef(c.oid) end,
       (select pg_catalog.string_agg(i.inhparent::pg_catalog.text, ' ')
          from pg_catalog.pg_inherits i where i.inhrelid = c.oid),
       (select pg_catalog.string_agg(r.rulename::pg_catalog.text, ' ')
          from pg_catalog.pg_rewrite r where r.ev_class = c.oid and r.rulename <> '_RETURN')
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
   and c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')";

const COLUMNS: &str = "
select a.attrelid, a.attnum, a.attname, a.atttypid,
       pg_catalog.format_type(a.atttypid, null), a.attnotnull,
       pg_catalog.col_description(a.attrelid, a.attnum)
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
   and c.relkind in ('r', 'p', 'f', 'v', 'm') and a.attnum > 0 and not a.attisdropped
 order by a.attrelid, a.attnum";

const FUNCTIONS: &str = "
select n.nspname, p.proname, p.oid
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
 where n.nspname not in ('pg_catalog', 'information_schema')";

const TYPES: &str = "
select t.oid, pg_catalog.format_type(t.oid, null) from pg_catalog.pg_type t
 where t.typtype in ('b', 'e', 'd', 'r', 'm', 'p')";

const TRIGGERS: &str =
    "select distinct t.tgrelid from pg_catalog.pg_trigger t where not t.tgisinternal";

const SEARCH_PATH: &str = "select pg_catalog.unnest(pg_catalog.current_schemas(true))";

/// What a database looks like at one moment.
pub struct Snapshot {
    pub catalog: Catalog,
    pub type_names: HashMap<u32, String>,
    /// The schemas a new session of the proxy's login searches, `pg_catalog` included.
    pub search_path: Vec<String>,
    /// Relations with triggers of somebody's own.
    pub triggered: HashSet<u32>,
    /// Every view could be read; those that could not are left out, and so are unknown.
    pub complete: bool,
}

/// Reads everything in one transaction, so that it fits together. `version` becomes the
/// catalog's.
pub async fn read(asking: &mut Asking, version: u64) -> io::Result<Snapshot> {
    asking.ask("begin isolation level repeatable read read only").await?;
    let read = read_inside(asking, version).await;
    asking.ask("commit").await?;
    read
}

async fn read_inside(asking: &mut Asking, version: u64) -> io::Result<Snapshot> {
    let mut columns: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in asking.ask(COLUMNS).await? {
        if let Some((oid, column)) = column(&row) {
            columns.entry(oid).or_default().push(column);
        }
    }
    let functions = asking.ask(FUNCTIONS).await?;
    let functions = functions
        .iter()
        .filter_map(|row| Some(Function { schema: text(row, 0)?, name: text(row, 1)? }));
    let functions = functions.collect::<Vec<_>>();
    let type_names = asking.ask(TYPES).await?;
    let type_names = type_names.iter().filter_map(|row| Some((number(row, 0)?, text(row, 1)?)));
    let search_path = asking.ask(SEARCH_PATH).await?;
    let search_path = search_path.iter().filter_map(|row| text(row, 0)).collect();
    let triggered = asking.ask(TRIGGERS).await?;
    let triggered = triggered.iter().filter_map(|row| number(row, 0)).collect();
    // A view's definition names a relation with its schema only where that is not searched.
    asking.ask("set local search_path = ''").await?;
    let relations = asking.ask(RELATIONS).await?;
    let relations = relations.iter().filter_map(|row| relation(row, &mut columns));
    let (readable, unreadable): (Vec<_>, Vec<_>) = relations.partition(is_explained);
    let catalog = Catalog::new(version, readable, functions);
    let (type_names, complete) = (type_names.collect(), unreadable.is_empty());
    Ok(Snapshot { catalog, type_names, search_path, triggered, complete })
}

fn is_explained(relation: &Relation) -> bool {
    let views = [RelationKind::View, RelationKind::MaterializedView];
    relation.definition.is_some() || !views.contains(&relation.kind)
}

fn text(row: &Row, index: usize) -> Option<String> {
    row.get(index)?.clone()
}

fn number<T: std::str::FromStr>(row: &Row, index: usize) -> Option<T> {
    row.get(index)?.as_deref()?.parse().ok()
}

fn column(row: &Row) -> Option<(u32, Column)> {
    let column = Column {
        attribute: number(row, 1)?,
        name: text(row, 2)?,
        type_oid: number(row, 3)?,
        type_name: text(row, 4)?,
        not_null: text(row, 5)? == "t",
        comment: text(row, 6),
    };
    Some((number(row, 0)?, column))
}

fn relation(row: &Row, columns: &mut HashMap<u32, Vec<Column>>) -> Option<Relation> {
    let oid = number(row, 0)?;
    let words = |index| -> Vec<String> {
        text(row, index).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    Some(Relation {
        oid,
        schema: text(row, 1)?,
        name: text(row, 2)?,
        kind: match text(row, 3)?.as_str() {
            "r" => RelationKind::Table,
            "p" => RelationKind::PartitionedTable,
            "f" => RelationKind::ForeignTable,
            "v" => RelationKind::View,
            "m" => RelationKind::MaterializedView,
            "S" => RelationKind::Sequence,
            _ => RelationKind::Other,
        },
        columns: columns.remove(&oid).unwrap_or_default(),
        definition: text(row, 4),
        parents: words(5).iter().filter_map(|parent| parent.parse().ok()).collect(),
        rewrites: words(6),
    })
}
