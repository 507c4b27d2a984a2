//! What is read of the changes is what is read of the whole, before a real server.
#![allow(clippy::unwrap_used)] // A test may end where it fails.

use std::sync::Arc;

use end_to_end::Cluster;
use portcullis_identity::UpstreamKeys;

use super::*;
use crate::settings::{Endpoint, SslMode, UpstreamSettings};
use crate::upstream;

/// What the changes are made to.
const BEGINNING: &str = "
create schema s; create schema gone;
create type mood as enum ('good', 'bad'); create type pair as (a int, b text);
create domain positive as int check (value > 0);
create table t (id int primary key, email text not null, feeling mood, two pair);
create table parent (id int); create table child () inherits (parent);
create table parts (id int) partition by range (id);
create table part partition of parts for values from (0) to (10);
create table s.other (id int, t_id int); create table gone.last (id int);
create function shout(text) returns text language sql immutable as 'select upper($1)';
create function audit() returns trigger language plpgsql as 'begin return new; end';
create view plain as select id, email from t;
create view over as select email as mail from plain;
create view shouted as select shout(email) as loud, feeling::text from t;
create materialized view kept as select id, email from t;
create rule quiet as on delete to parent do instead nothing;
comment on column t.email is 'pii:email'";

/// Each is followed by a reading.
const CHANGES: [&str; 38] = [
    "select 1",
    "create table added (id int, note text)",
    "alter table added add column more positive",
    "alter table added drop column note",
    "alter table added rename to renamed",
    "alter table t rename column email to address",
    "alter table t alter column address drop not null",
    "alter table parent alter column id type bigint",
    "alter type mood rename to humour",
    "alter type pair rename to couple",
    "alter type positive set schema s",
    "alter function shout(text) rename to cry",
    "create or replace view plain as select id, address as email, feeling from t",
    "alter view over rename column mail to post",
    "alter view plain rename to simple",
    "alter view over set schema s",
    "refresh materialized view kept",
    "alter table child no inherit parent",
    "alter table parts detach partition part",
    "alter table parts attach partition part for values from (0) to (10)",
    "drop rule quiet on parent",
    "create rule loud as on update to parent do also delete from child",
    "alter rule loud on parent rename to louder",
    "comment on column t.address is 'pii:address'",
    "comment on column t.address is null",
    "create trigger seen before insert on t for each row execute function audit()",
    "drop trigger seen on t",
    "drop function audit()",
    "alter schema s rename to s2",
    "drop schema gone cascade",
    "drop view s2.over",
    "create sequence numbers; create index on t (address); analyze t",
    "begin; create table unborn (id int); rollback",
    "begin; savepoint a; create table twice (id int); savepoint b; alter table twice add v text; \
     rollback to b; commit",
    "vacuum full pg_catalog.pg_class",
    "vacuum freeze",
    "drop materialized view kept; drop table t cascade",
    "create table t (id int)",
];

/// The server, and who asks it.
struct Stage {
    settings: UpstreamSettings,
    client: Asking,
    reader: Asking,
    last: Snapshot,
    _cluster: Cluster,
}

impl Stage {
    async fn new() -> Stage {
        let directory = format!("portcullis-snapshot-{}", std::process::id());
        let cluster = Cluster::bare(&std::env::temp_dir().join(directory), &[], &[]);
        let postgres = &cluster.postgres;
        let settings = UpstreamSettings {
            endpoint: Endpoint::Tcp { host: "127.0.0.1".into(), port: postgres.port() },
            user: "postgres".into(),
            database: "postgres".into(),
            password: Some(Arc::new(UpstreamKeys::new(postgres.password().to_owned()))),
            ssl: SslMode::Disable,
            roots: None,
        };
        let mut client = connect(&settings).await;
        client.ask(BEGINNING).await.unwrap();
        let mut reader = connect(&settings).await;
        let last = first(&mut reader).await;
        Stage { settings, client, reader, last, _cluster: cluster }
    }

    /// Reads what has changed, and compares it with a reading of all.
    async fn check(&mut self, what: &str) {
        let whole_at = self.reader.seen.as_ref().unwrap().whole_at;
        let known = Known { catalog: &self.last.catalog, type_names: &self.last.type_names };
        let changes = read(&mut self.reader, &known, 1).await.unwrap();
        let renames_schema = what.starts_with("alter schema");
        assert_eq!(
            self.reader.seen.as_ref().unwrap().whole_at != whole_at,
            renames_schema,
            "{what}"
        );
        let whole = first(&mut connect(&self.settings).await).await;
        for relation in whole.catalog.relations() {
            assert_eq!(changes.catalog.relation(relation.oid), Some(relation), "{what}");
        }
        assert!(changes.catalog.is_like(&whole.catalog), "{what}");
        for (oid, name) in &*whole.type_names {
            assert_eq!(changes.type_names.get(oid), Some(name), "{what}");
        }
        assert_eq!(changes.triggered, whole.triggered, "{what}");
        assert_eq!(changes.search_path, whole.search_path, "{what}");
        assert_eq!(changes.complete, whole.complete, "{what}");
        self.last = changes;
    }
}

async fn connect(settings: &UpstreamSettings) -> Asking {
    Asking::new(upstream::connect(settings, &[]).await.unwrap())
}

async fn first(asking: &mut Asking) -> Snapshot {
    let nothing = Known { catalog: &Catalog::default(), type_names: &Arc::default() };
    read(asking, &nothing, 1).await.unwrap()
}

#[tokio::test]
async fn changes_lead_to_what_a_reading_of_all_gives() {
    let mut stage = Stage::new().await;
    for change in CHANGES {
        // Some may not stand in a transaction, which several in one message are.
        for part in change.split("; ") {
            stage.client.ask(part).await.unwrap_or_else(|error| panic!("{part}: {error}"));
        }
        stage.check(change).await;
    }
    what_others_do_meanwhile(&mut stage).await;
    a_locked_view(&mut stage).await;
}

/// Transactions that end after others that began later.
async fn what_others_do_meanwhile(stage: &mut Stage) {
    let mut slow = connect(&stage.settings).await;
    slow.ask("begin").await.unwrap();
    slow.ask("create table slow (id int)").await.unwrap();
    slow.ask("savepoint deeper; alter table parent add column late text").await.unwrap();
    stage.client.ask("create table quick (id int)").await.unwrap();
    stage.check("while a transaction is open").await;
    stage.client.ask("create table quicker (id int)").await.unwrap();
    stage.check("and again").await;
    slow.ask("commit").await.unwrap();
    stage.check("after it has ended").await;
    let found = stage.last.catalog.find("public", "parent").unwrap();
    assert!(found.column("late").is_some(), "what it made is seen");
}

/// A view that is locked is left out, and read once it is not.
async fn a_locked_view(stage: &mut Stage) {
    stage.client.ask("create table under (id int)").await.unwrap();
    stage.client.ask("create view above as select id from under").await.unwrap();
    let mut locker = connect(&stage.settings).await;
    locker.ask("begin; lock table under in access exclusive mode").await.unwrap();
    stage.check("while a view's table is locked").await;
    assert!(!stage.last.complete && stage.last.catalog.find("public", "above").is_none());
    locker.ask("commit").await.unwrap();
    stage.check("when it is not any more").await;
    assert!(stage.last.complete && stage.last.catalog.find("public", "above").is_some());
}
