//! Reads a database's catalog into plain data.
//!
//! Once all of it is known, only what has changed since is read again. A row of the catalog
//! carries the transaction that wrote it; a reading notes the oldest transaction that had not
//! ended by then, and the next one looks at what that one or a later one wrote. What takes rows
//! away and writes none is small, and always read whole.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_sql::{Catalog, Column, Function, Relation, RelationKind};

use crate::asking::{Asking, Row, Seen};

/// All of the catalog is read again after this time. It bounds how far transaction numbers
/// can have come round.
const WHOLE_AGE_MAX: Duration = Duration::from_secs(600);
/// Something dropped in the middle of the reading makes it fail.
const ATTEMPTS_MAX: u32 = 3;

const BEGIN: &str = "begin isolation level repeatable read read only";

/// A subtransaction's number is higher than its transaction's.
const HORIZON: &str =
    "select (pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot()) % 4294967296)";

const SCHEMAS: &str =
    "select n.oid, n.nspname, n.nspacl from pg_catalog.pg_namespace n order by n.oid";

const FUNCTIONS: &str = "
select n.nspname, p.proname
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
 where n.nspname not in ('pg_catalog', 'information_schema') order by p.oid";

/// A foreign key whose action changes the rows that refer counts as a trigger: those can be
/// refused. What inherits, or is a partition, is written with its parent.
const TRIGGERS: &str = "
with recursive triggered (oid) as (
  (select t.tgrelid from pg_catalog.pg_trigger t where not t.tgisinternal
   union
   select c.confrelid from pg_catalog.pg_constraint c
    where c.contype = 'f' and (c.confdeltype in ('c', 'n', 'd') or c.confupdtype in ('c', 'n', 'd')))
  union
  select i.inhparent from triggered t join pg_catalog.pg_inherits i on i.inhrelid = t.oid)
select t.oid from triggered t";

const SEARCH_PATH: &str = "select pg_catalog.unnest(pg_catalog.current_schemas(true))";

const PARENTS: &str = "select i.inhrelid, i.inhparent from pg_catalog.pg_inherits i
 order by i.inhrelid, i.inhseqno";

const RULES: &str = "select r.ev_class, r.rulename from pg_catalog.pg_rewrite r
 where r.rulename <> '_RETURN' order by r.ev_class, r.rulename";

const COMMENTS: &str = "
select d.objoid, d.objsubid, d.description from pg_catalog.pg_description d
 where d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objsubid > 0";

/// Every relation there is now.
const PRESENT: &str = "
select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
   and c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')";

/// Relations written since, or with a column of a type written since; and views over something
/// written since, since a view's text names what it uses as that is called now.
const CHANGED: &str = "
with recent as materialized (
  select 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid as class, c.oid
    from pg_catalog.pg_class c where {recent c} union all
  select 'pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid
    from pg_catalog.pg_attribute a where {recent a} union all
  select 'pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid
    from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
   where {recent t} union all
  select 'pg_catalog.pg_class'::pg_catalog.regclass, r.ev_class
    from pg_catalog.pg_rewrite r where {recent r} union all
  select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid
    from pg_catalog.pg_type t where {recent t} union all
  select 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid
    from pg_catalog.pg_proc p where {recent p} union all
  select 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid
    from pg_catalog.pg_operator o where {recent o})
select e.oid from recent e where e.class = 'pg_catalog.pg_class'::pg_catalog.regclass union
select r.ev_class from recent e
  join pg_catalog.pg_depend d on d.refclassid = e.class and d.refobjid = e.oid
   and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  join pg_catalog.pg_rewrite r on r.oid = d.objid";

const TYPES: &str = "
select t.oid, pg_catalog.format_type(t.oid, null) from pg_catalog.pg_type t
 where t.typtype in ('b', 'e', 'd', 'r', 'm', 'p') and {recent t}";

const COLUMNS: &str = "
select a.attrelid, a.attnum, a.attname, a.atttypid,
       pg_catalog.format_type(a.atttypid, null), a.attnotnull
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
 where a.attrelid = any ({oids}) and a.attnum > 0 and not a.attisdropped and c.relkind <> 'S'
 order by a.attrelid, a.attnum";

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
            then pg_catalog.pg_get_viewdef(c.oid) end
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.oid = any ({oids})";

/// What a database looks like at one moment.
pub struct Snapshot {
    pub catalog: Catalog,
    pub type_names: Arc<HashMap<u32, String>>,
    /// The schemas a new session of the proxy's login searches, `pg_catalog` included.
    pub search_path: Vec<String>,
    /// Stands for the schemas that there are, and who may use them: what a search path comes to
    /// depends on it. Those of temporary tables are each session's own.
    pub schemas: u64,
    /// Relations with triggers of somebody's own.
    pub triggered: HashSet<u32>,
    /// Every view could be read; those that could not are left out, and so are unknown.
    pub complete: bool,
}

/// What was read before, over whichever connection.
pub struct Known<'a> {
    pub catalog: &'a Catalog,
    pub type_names: &'a Arc<HashMap<u32, String>>,
}

/// Reads in one transaction, so that all fits together. `version` becomes the catalog's.
///
/// # Errors
/// As those of [`Asking::ask`]; what was read before stands.
pub async fn read(asking: &mut Asking, known: &Known<'_>, version: u64) -> io::Result<Snapshot> {
    let before = asking.seen.take().filter(|seen| seen.whole_at.elapsed() < WHOLE_AGE_MAX);
    let mut attempts = 0;
    loop {
        attempts += 1;
        match read_once(asking, before.as_ref(), known, version).await {
            Ok((snapshot, seen)) => {
                asking.seen = Some(seen);
                return Ok(snapshot);
            }
            Err(error) if error.kind() == io::ErrorKind::Other => {
                asking.ask("rollback").await?;
                if attempts == ATTEMPTS_MAX {
                    asking.seen = before;
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

async fn read_once(
    asking: &mut Asking,
    mut before: Option<&Seen>,
    known: &Known<'_>,
    version: u64,
) -> io::Result<(Snapshot, Seen)> {
    let mut general = General::read(asking, before).await?;
    if before.is_some_and(|seen| general.renames(&seen.schemas)) {
        // A schema's name is part of the name of all that is in it.
        asking.ask("commit").await?;
        before = None;
        general = General::read(asking, None).await?;
    }
    let wanted = general.wanted(known.catalog, before);
    let (read, unread) = read_relations(asking, &wanted, &general).await?;
    let kept = general.present.iter().filter(|oid| !wanted.contains(oid));
    let kept = kept.filter_map(|oid| Some(general.applied(known.catalog.shared(*oid)?)));
    let relations: Vec<Arc<Relation>> = kept.chain(read).collect();
    let type_names = general.type_names(before.map(|_| known.type_names));
    let mut catalog = Catalog::new(version, relations, general.functions);
    catalog.cuts_names_elsewhere = !asking.is_utf8();
    let snapshot = Snapshot {
        catalog,
        type_names,
        complete: unread.is_empty(),
        search_path: general.search_path,
        schemas: general.schemas_number,
        triggered: general.triggered,
    };
    let whole_at = before.map_or_else(Instant::now, |seen| seen.whole_at);
    let (horizon, schemas) = (general.horizon, general.schemas);
    Ok((snapshot, Seen { horizon, schemas, unread, whole_at }))
}

/// What is read each time: what is small, and what says which relations to read.
struct General {
    horizon: String,
    schemas: HashMap<u32, String>,
    schemas_number: u64,
    functions: Vec<Function>,
    triggered: HashSet<u32>,
    search_path: Vec<String>,
    parents: HashMap<u32, Vec<u32>>,
    rules: HashMap<u32, Vec<String>>,
    comments: HashMap<(u32, i16), String>,
    /// Every relation there is.
    present: BTreeSet<u32>,
    types: Vec<(u32, String)>,
    changed: Vec<u32>,
}

impl General {
    /// Begins the transaction. Types and changes are those since `before`.
    async fn read(asking: &mut Asking, before: Option<&Seen>) -> io::Result<General> {
        let since = before.map(|seen| seen.horizon.as_str());
        let (types, changed) = (recent(TYPES, since), recent(CHANGED, since));
        let questions = [
            BEGIN,
            HORIZON,
            SCHEMAS,
            FUNCTIONS,
            TRIGGERS,
            SEARCH_PATH,
            PARENTS,
            RULES,
            COMMENTS,
            PRESENT,
            &types,
            &changed,
        ];
        let mut answers = asking.ask_all(&questions).await?.into_iter().skip(1);
        let mut next = || answers.next().unwrap_or_default();
        let horizon = next().first().and_then(|row| text(row, 0));
        let schemas = next();
        let mut general = General {
            horizon: horizon.ok_or(io::ErrorKind::InvalidData)?,
            schemas: numbered(&schemas).collect(),
            schemas_number: number_of_schemas(&schemas),
            functions: next().iter().filter_map(function).collect(),
            triggered: next().iter().filter_map(|row| number(row, 0)).collect(),
            search_path: next().iter().filter_map(|row| text(row, 0)).collect(),
            parents: HashMap::new(),
            rules: HashMap::new(),
            comments: HashMap::new(),
            present: BTreeSet::new(),
            types: Vec::new(),
            changed: Vec::new(),
        };
        for (child, parent) in numbered(&next()) {
            general.parents.entry(child).or_default().extend(parent.parse::<u32>());
        }
        for (relation, rule) in numbered(&next()) {
            general.rules.entry(relation).or_default().push(rule);
        }
        let comments = next();
        let comment = |row| Some(((number(row, 0)?, number(row, 1)?), text(row, 2)?));
        general.comments.extend(comments.iter().filter_map(comment));
        general.present.extend(next().iter().filter_map(|row| number::<u32>(row, 0)));
        general.types.extend(numbered(&next()));
        general.changed.extend(next().iter().filter_map(|row| number::<u32>(row, 0)));
        Ok(general)
    }

    /// Is any of these called otherwise now?
    fn renames(&self, schemas: &HashMap<u32, String>) -> bool {
        schemas.iter().any(|(oid, name)| self.schemas.get(oid).is_some_and(|now| now != name))
    }

    /// The relations to read: those of which not everything is known.
    fn wanted(&self, known: &Catalog, before: Option<&Seen>) -> BTreeSet<u32> {
        let Some(seen) = before else { return self.present.clone() };
        let again: BTreeSet<u32> = self.changed.iter().chain(&seen.unread).copied().collect();
        let is_wanted = |oid: &&u32| again.contains(oid) || known.relation(**oid).is_none();
        self.present.iter().filter(is_wanted).copied().collect()
    }

    /// A relation that is known, with what is read each time.
    fn applied(&self, relation: Arc<Relation>) -> Arc<Relation> {
        let oid = relation.oid;
        let comment = |column: &Column| self.comments.get(&(oid, column.attribute));
        let same = relation.parents == self.parents_of(oid)
            && relation.rewrites == self.rules_of(oid)
            && relation.columns.iter().all(|column| column.comment.as_ref() == comment(column));
        if same {
            return relation;
        }
        let mut relation = Arc::unwrap_or_clone(relation);
        for column in &mut relation.columns {
            column.comment = comment(column).cloned();
        }
        relation.parents = self.parents_of(oid).to_vec();
        relation.rewrites = self.rules_of(oid).to_vec();
        Arc::new(relation)
    }

    fn parents_of(&self, oid: u32) -> &[u32] {
        self.parents.get(&oid).map_or(&[], Vec::as_slice)
    }

    fn rules_of(&self, oid: u32) -> &[String] {
        self.rules.get(&oid).map_or(&[], Vec::as_slice)
    }

    /// The names of types: those read, and where not all were those known besides.
    fn type_names(&self, known: Option<&Arc<HashMap<u32, String>>>) -> Arc<HashMap<u32, String>> {
        let mut names = known.cloned().unwrap_or_default();
        if !self.types.is_empty() {
            Arc::make_mut(&mut names).extend(self.types.iter().cloned());
        }
        names
    }
}

/// Reads relations and ends the transaction. Those that cannot be explained are left out, and
/// told apart.
async fn read_relations(
    asking: &mut Asking,
    wanted: &BTreeSet<u32>,
    general: &General,
) -> io::Result<(Vec<Arc<Relation>>, Vec<u32>)> {
    if wanted.is_empty() {
        asking.ask("commit").await?;
        return Ok((Vec::new(), Vec::new()));
    }
    let oids: Vec<String> = wanted.iter().map(u32::to_string).collect();
    let oids = format!("'{{{}}}'::pg_catalog.oid[]", oids.join(","));
    let (columns, relations) =
        (COLUMNS.replace("{oids}", &oids), RELATIONS.replace("{oids}", &oids));
    // A view's definition names a relation with its schema only where that is not searched.
    let questions = [&columns, "set local search_path = ''", &relations, "commit"];
    let mut answers = asking.ask_all(&questions).await?.into_iter();
    let mut columns_of: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in answers.next().unwrap_or_default() {
        if let Some((oid, column)) = column(&row) {
            columns_of.entry(oid).or_default().push(column);
        }
    }
    let relations = answers.nth(1).unwrap_or_default();
    let relations = relations.iter().filter_map(|row| relation(row, &mut columns_of));
    let (read, unread): (Vec<Relation>, Vec<Relation>) = relations.partition(is_explained);
    let read = read.into_iter().map(|relation| general.applied(Arc::new(relation)));
    Ok((read.collect(), unread.iter().map(|relation| relation.oid).collect()))
}

fn is_explained(relation: &Relation) -> bool {
    let views = [RelationKind::View, RelationKind::MaterializedView];
    relation.definition.is_some() || !views.contains(&relation.kind)
}

/// A question about rows written by `since` or later, or about all rows. The age of what the
/// system itself wrote is more than any other's.
fn recent(question: &str, since: Option<&str>) -> String {
    let mut parts = question.split("{recent ");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (row, rest) = part.split_once('}').unwrap_or((part, ""));
        match since {
            Some(since) => whole.push_str(&format!(
                "pg_catalog.age({row}.xmin) <= pg_catalog.age('{since}'::pg_catalog.xid)"
            )),
            None => whole.push_str("true"),
        }
        whole.push_str(rest);
    }
    whole
}

fn number_of_schemas(rows: &[Row]) -> u64 {
    let temporary = ["pg_temp_", "pg_toast_temp_"];
    let lasts = |row: &&Row| {
        let name = row.get(1).and_then(Option::as_deref).unwrap_or_default();
        !temporary.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut hasher = DefaultHasher::new();
    rows.iter().filter(lasts).for_each(|row| row.hash(&mut hasher));
    hasher.finish()
}

/// Rows of a number and a text.
fn numbered(rows: &[Row]) -> impl Iterator<Item = (u32, String)> + '_ {
    rows.iter().filter_map(|row| Some((number(row, 0)?, text(row, 1)?)))
}

fn text(row: &Row, index: usize) -> Option<String> {
    row.get(index)?.clone()
}

fn number<T: std::str::FromStr>(row: &Row, index: usize) -> Option<T> {
    row.get(index)?.as_deref()?.parse().ok()
}

fn function(row: &Row) -> Option<Function> {
    Some(Function { schema: text(row, 0)?, name: text(row, 1)? })
}

fn column(row: &Row) -> Option<(u32, Column)> {
    let column = Column {
        attribute: number(row, 1)?,
        name: text(row, 2)?,
        type_oid: number(row, 3)?,
        type_name: text(row, 4)?,
        not_null: text(row, 5)? == "t",
        comment: None,
    };
    Some((number(row, 0)?, column))
}

fn relation(row: &Row, columns: &mut HashMap<u32, Vec<Column>>) -> Option<Relation> {
    let oid = number(row, 0)?;
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
        parents: Vec::new(),
        rewrites: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
