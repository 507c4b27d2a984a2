//! The policies that judge, and who asks.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use miette::{IntoDiagnostic, Result, miette};
use portcullis_engine::{Engine, EngineConfig};
use portcullis_policy::principal::Asker;
use portcullis_policy::{
    Database, NoParameters, PolicySet, Principal, PrincipalKind, Request, Statement, Unmatched,
    VerdictAnswer, judge,
};
use portcullis_sql::Limits;

use crate::check::{may_use, principal, untouching};
use crate::cli::{Explain, Kind};
use crate::config::{Config, DatabaseConfig};

use super::{Explained, Judged};

/// Policies in force, for one principal and one database.
pub(super) struct Policies {
    engine: Engine,
    pub(super) set: Rc<dyn PolicySet>,
    pub(super) asker: Asker,
    unmatched: Unmatched,
    may_connect: bool,
    pub(super) trusted_functions: Vec<String>,
    /// Configured labels by `schema.table.column`.
    column_labels: Vec<(String, String)>,
    pub(super) limits: Limits,
}

impl Policies {
    /// None where the command line names none.
    pub(super) fn of(arguments: &Explain) -> Result<Option<Policies>> {
        let config = arguments.config.as_deref().map(Config::load).transpose()?;
        match (&config, &arguments.plugins) {
            (Some(config), _) => Policies::of_config(arguments, config).map(Some),
            (None, Some(directory)) => {
                let engine = EngineConfig { workers: 1, ..EngineConfig::new(directory) };
                let name = arguments.database.clone().unwrap_or_else(|| "database".to_owned());
                let database = Database { name, labels: Vec::new() };
                Policies::open(engine, asked_by(arguments, None), database).map(Some)
            }
            (None, None) => Ok(None),
        }
    }

    fn of_config(arguments: &Explain, config: &Config) -> Result<Policies> {
        let configured = database(arguments, config)?;
        let user = config.users.iter().find(|user| user.name == arguments.user);
        let asking = asked_by(arguments, user.map(principal));
        let database =
            Database { name: configured.name.clone(), labels: configured.labels.clone() };
        let engine = EngineConfig { workers: 1, ..untouching(config) };
        Ok(Policies {
            unmatched: configured.unmatched,
            may_connect: user.is_none_or(|user| may_use(user, &configured.name)),
            trusted_functions: configured.trusted_functions.clone(),
            column_labels: configured.column_labels.clone(),
            limits: Limits {
                statement_bytes_max: config.limits.statement_bytes_max,
                ..Limits::default()
            },
            ..Policies::open(engine, asking, database)?
        })
    }

    fn open(engine: EngineConfig, principal: Principal, database: Database) -> Result<Policies> {
        let engine = Engine::open(engine).into_diagnostic()?;
        Ok(Policies {
            set: engine.hub().worker().current(),
            engine,
            asker: Asker { principal: Arc::new(principal), database: Arc::new(database) },
            unmatched: Unmatched::Deny,
            may_connect: true,
            trusted_functions: Vec::new(),
            column_labels: Vec::new(),
            limits: Limits::default(),
        })
    }

    pub(super) fn verdicts(&self, statement: &Statement) -> Vec<VerdictAnswer> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let request = Request {
            principal: &self.asker.principal,
            database: &self.asker.database,
            statement,
            text: &statement.text,
            in_transaction: false,
            now: u32::try_from(since.as_secs()).unwrap_or(u32::MAX),
            attributes: &[],
        };
        self.set.judge(&request, &NoParameters)
    }

    pub(super) fn judge(&self, statements: &[Explained]) -> Judged {
        let verdicts = statements.iter().flat_map(|explained| &explained.verdicts);
        let coverage = self.set.coverage(&self.asker.principal, &self.asker.database);
        Judged {
            asker: self.asker.clone(),
            revision: self.set.revision(),
            failures: self.engine.subscribe().borrow().failures.clone(),
            may_connect: self.may_connect,
            ruling: judge((), verdicts, coverage, self.unmatched),
        }
    }

    /// Gives relations the configured labels of the columns they are used by.
    pub(super) fn label(&self, statement: &mut Statement) {
        for relation in &mut statement.relations {
            let mut labels: Vec<String> = match relation.all_columns || relation.columns.is_empty()
            {
                true => self.labels(&relation.name, None),
                false => relation
                    .columns
                    .iter()
                    .flat_map(|column| self.labels(&relation.name, Some(column)))
                    .collect(),
            };
            labels.sort_unstable();
            labels.dedup();
            relation.labels = labels;
        }
    }

    /// The configured labels of a column, or of all columns of a relation.
    pub(super) fn labels(&self, relation: &str, column: Option<&str>) -> Vec<String> {
        let table = qualified(relation);
        let is_meant = |path: &str| match path.rsplit_once('.') {
            Some((labelled, own)) => {
                qualified(labelled) == table && column.is_none_or(|column| column == own)
            }
            None => false,
        };
        let meant = self.column_labels.iter().filter(|(path, _)| is_meant(path));
        meant.map(|(_, label)| label.clone()).collect()
    }
}

/// Without a database, what has no schema is taken to be in `public`.
pub(super) fn qualified(relation: &str) -> String {
    if relation.contains('.') { relation.to_owned() } else { format!("public.{relation}") }
}

/// The database that is asked, or the first.
fn database<'c>(arguments: &Explain, config: &'c Config) -> Result<&'c DatabaseConfig> {
    let wanted = arguments.database.as_deref();
    let is_meant = |known: &&DatabaseConfig| wanted.is_none_or(|name| known.name == name);
    config.databases.iter().find(is_meant).ok_or_else(|| {
        let known: Vec<&str> = config.databases.iter().map(|known| known.name.as_str()).collect();
        miette!(
            help = format!("it names: {}", known.join(", ")),
            "the configuration names no database {:?}",
            wanted.unwrap_or_default()
        )
    })
}

/// The principal of a configured user, or one made up by the command line.
fn asked_by(arguments: &Explain, configured: Option<Principal>) -> Principal {
    let mut principal = configured.unwrap_or_else(|| Principal {
        subject: arguments.user.clone(),
        kind: PrincipalKind::Human,
        groups: Vec::new(),
        proof: "scram".to_owned(),
        on_behalf_of: None,
        claims: Vec::new(),
        client_address: "127.0.0.1:0".to_owned(),
        application: "portcullis".to_owned(),
        role: arguments.user.clone(),
    });
    for group in &arguments.group {
        if !principal.groups.contains(group) {
            principal.groups.push(group.clone());
        }
    }
    match arguments.kind {
        None => {}
        Some(Kind::Human) => principal.kind = PrincipalKind::Human,
        Some(Kind::Service) => principal.kind = PrincipalKind::Service,
        Some(Kind::Agent) => principal.kind = PrincipalKind::Agent,
    }
    principal
}
