//! What PostgreSQL says that a view depends on is what we say that its query reads: over the
//! files of PostgreSQL's own regression tests.
//!
//! Each file gets a schema of its own, with what the file makes in it; every SELECT of the
//! file that PostgreSQL takes as a view is compared. And of every statement the facts are the
//! same whether the second reader is asked about it or not.

mod catalog;
mod files;

use std::collections::{BTreeMap, BTreeSet};

use end_to_end::{artefacts, cluster};
use portcullis_policy::lineage::{Derivation, Outputs};
use portcullis_policy::{RelationUse, Statement};
use portcullis_sql::{Catalog, Limits, Scope, analyze, analyze_by_both};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement as Prepared};

/// Files that make what the others use. They come first, and without a schema of their own.
const FOUNDATIONS: [&str; 6] =
    ["test_setup", "create_type", "create_misc", "create_table", "create_view", "create_index"];

const EXPLAINED_MIN: usize = 500;
const VIEW: &str = "view_under_test";

/// What a view's rule depends on: relations that it reads, and their columns but those that the
/// system adds to every row. PostgreSQL also notes relations that are only named, in strings
/// as in `'t'::regclass` or as the type of a row; what is read has an entry in the rule's tree.
const DEPENDENCIES: &str = "
select distinct n.nspname, c.relname, a.attname
  from pg_depend d
  join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
  join pg_class v on v.oid = r.ev_class and v.relname = $1
  join pg_class c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid and a.attnum > 0
 where d.deptype = 'n' and c.oid <> v.oid and c.relkind <> 'c'
   and r.ev_action::text like '%:relid ' || c.oid || ' %'";

/// Columns by relation.
type Dependencies = BTreeMap<(String, String), BTreeSet<String>>;

#[derive(Default)]
struct Tally {
    /// Views that read a relation.
    compared: usize,
    /// Of these: every result column was explained, so nothing was named just in case.
    explained: usize,
    /// Views that read none.
    constant: usize,
    missed: Vec<String>,
    /// Statements of which the second reader, who was not asked, would have said more.
    unasked: Vec<String>,
}

#[tokio::test]
async fn what_a_query_reads_contains_what_its_view_depends_on() {
    let files = files::in_order(&artefacts::regress(), &FOUNDATIONS);
    let database = cluster().await.database().await;
    let client = database.superuser().await;
    // The shop is not what these files are about, and some of its names are theirs.
    let emptied = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;
                   SET statement_timeout = '5s'; SET synchronous_commit = off";
    client.batch_execute(emptied).await.expect("an empty database");
    let asking = client.prepare(DEPENDENCIES).await.expect("a good query");
    let mut tally = Tally::default();
    for (name, text) in files {
        compare_file(&client, &asking, &name, &files::statements(&text), &mut tally).await;
    }
    let Tally { compared, explained, constant, missed, unasked } = tally;
    assert!(unasked.is_empty(), "the second reader was not asked:\n{}", unasked.join("\n"));
    let counts = format!(
        "{compared} statements compared, {explained} of them with every result column explained, \
         and besides {constant} that read no relation"
    );
    println!("{counts}");
    assert!(
        missed.is_empty(),
        "{counts}; {} read what they do not name:\n{}",
        missed.len(),
        missed.join("\n")
    );
    assert!(explained >= EXPLAINED_MIN, "{counts}: {EXPLAINED_MIN} should be explained at least");
}

async fn compare_file(
    client: &Client,
    asking: &Prepared,
    name: &str,
    statements: &[String],
    tally: &mut Tally,
) {
    let own = (!FOUNDATIONS.contains(&name)).then(|| format!("file_{}", name.replace('.', "_")));
    if let Some(schema) = &own {
        let enter = format!("CREATE SCHEMA {schema}; SET search_path = {schema}, public");
        client.batch_execute(&enter).await.expect("a new schema");
    }
    for statement in statements.iter().filter(|statement| files::makes(statement)) {
        // Some are wrong on purpose, and some need what is not loaded.
        let _ = client.batch_execute(statement).await;
    }
    let catalog = catalog::read(client).await;
    let search_path = catalog::search_path(client).await;
    let scope = Scope {
        catalog: Some(&catalog),
        search_path: Some(&search_path),
        standard_conforming_strings: Some(true),
        trusted_functions: &[],
    };
    let limits = Limits::default();
    let differs =
        |text: &&String| analyze(text, &scope, &limits) != analyze_by_both(text, &scope, &limits);
    tally.unasked.extend(statements.iter().filter(differs).map(|text| format!("{name}: {text}")));
    let selects: BTreeSet<&String> =
        statements.iter().filter(|statement| files::is_select(statement)).collect();
    for select in selects {
        if let Some(dependencies) = dependencies(client, asking, select).await {
            tally.compare(name, select, &dependencies, &scope);
        }
    }
    let leave = own.map(|schema| format!("DROP SCHEMA {schema} CASCADE; RESET search_path"));
    let leave = format!("ROLLBACK; {}; DISCARD TEMP", leave.unwrap_or_default());
    client.batch_execute(&leave).await.expect("what a file made goes away with its schema");
}

impl Tally {
    fn compare(&mut self, file: &str, select: &str, found: &Dependencies, scope: &Scope<'_>) {
        if found.is_empty() {
            self.constant += 1;
            return;
        }
        self.compared += 1;
        let statements = analyze(select, scope, &Limits::default());
        let [statement] = statements.as_slice() else {
            return self.missed.push(format!("{file}: {select}\n    not one statement"));
        };
        self.explained += usize::from(is_explained(&statement.outputs));
        let catalog = scope.catalog.expect("a catalog was read");
        let missing: Vec<String> = found
            .iter()
            .flat_map(|(relation, columns)| missing_of(relation, columns, statement, catalog))
            .collect();
        if !missing.is_empty() {
            self.missed.push(format!("{file}: {select}\n    {missing:?}"));
        }
    }
}

fn is_explained(outputs: &Outputs) -> bool {
    match outputs {
        Outputs::Columns(columns) => {
            columns.iter().all(|column| column.derivation != Derivation::Unknown)
        }
        Outputs::Nothing | Outputs::Unknown(_) | Outputs::Anything => false,
    }
}

/// What PostgreSQL notes for the view of a query; none where it makes no view of it.
async fn dependencies(client: &Client, asking: &Prepared, select: &str) -> Option<Dependencies> {
    make_view(client, select).await.ok()?;
    let rows = client.query(asking, &[&VIEW]).await.expect("what the view depends on");
    let mut dependencies = Dependencies::new();
    for row in rows {
        let columns = dependencies.entry((row.get(0), row.get(1))).or_default();
        columns.extend(row.get::<_, Option<String>>(2));
    }
    Some(dependencies)
}

/// Makes the view in a transaction that the next one, or the end of the file, takes back.
async fn make_view(client: &Client, select: &str) -> Result<(), tokio_postgres::Error> {
    let make =
        |names: &str| format!("ROLLBACK; BEGIN; CREATE TEMP VIEW {VIEW}{names} AS {select}\n");
    let Err(error) = client.batch_execute(&make("")).await else { return Ok(()) };
    if error.code() != Some(&SqlState::DUPLICATE_COLUMN) {
        return Err(error);
    }
    // A query may name two columns alike, a view may not.
    client.batch_execute("ROLLBACK").await?;
    let count = client.prepare(select).await?.columns().len();
    let names: Vec<String> = (0..count).map(|number| format!("column_{number}")).collect();
    client.batch_execute(&make(&format!("({})", names.join(", ")))).await
}

/// What of one relation a statement does not name.
fn missing_of(
    (schema, name): &(String, String),
    columns: &BTreeSet<String>,
    statement: &Statement,
    catalog: &Catalog,
) -> Vec<String> {
    let known = catalog.find(schema, name);
    let qualified = format!("{schema}.{name}");
    // Relations of PostgreSQL itself are not in the catalog, and named as they are written.
    let is_this = |used: &RelationUse| match known {
        Some(relation) => used.oid == Some(relation.oid),
        None => used.name == *name || used.name == qualified,
    };
    let uses: Vec<&RelationUse> = statement.relations.iter().filter(|used| is_this(used)).collect();
    if uses.is_empty() {
        return vec![qualified];
    }
    let named = |column: &str| {
        uses.iter().any(|used| used.all_columns || used.columns.iter().any(|name| name == column))
            || sources(&statement.outputs)
                .any(|(relation, source)| source == column && relation == qualified)
    };
    let unnamed = columns.iter().filter(|column| !named(column));
    unnamed.map(|column| format!("{qualified}.{column}")).collect()
}

/// The columns behind a result.
fn sources(outputs: &Outputs) -> impl Iterator<Item = (&str, &str)> {
    let (by_column, of_all) = match outputs {
        Outputs::Nothing | Outputs::Anything => (&[][..], &[][..]),
        Outputs::Columns(columns) => (columns.as_slice(), &[][..]),
        Outputs::Unknown(sources) => (&[][..], sources.as_slice()),
    };
    let sources = by_column.iter().flat_map(|column| &column.sources).chain(of_all);
    sources.map(|source| (source.relation.as_str(), source.column.as_str()))
}
