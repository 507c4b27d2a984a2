//! `portcullis explain`: what a statement is, and what would become of it.

mod policies;
mod masks;
mod text;
mod json;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::process::ExitCode;

use miette::{IntoDiagnostic, Result, WrapErr};
use portcullis_engine::Failure;
use portcullis_policy::principal::Asker;
use portcullis_policy::{Ruling, Statement, VerdictAnswer};
use portcullis_sql::{Limits, Scope, analyze};

use crate::cli::Explain;
use crate::terminal::print;

use masks::PlannedColumn;
use policies::Policies;

pub fn run(arguments: &Explain) -> Result<ExitCode> {
    let sql = match arguments.sql.as_str() {
        "-" => {
            let mut sql = String::new();
            let read = std::io::stdin().read_to_string(&mut sql);
            read.into_diagnostic().wrap_err("standard input cannot be read as UTF-8")?;
            sql
        }
        sql => sql.to_owned(),
    };
    let policies = Policies::of(arguments)?;
    let explanation = explain(&sql, policies.as_ref());
    print(&if arguments.json { json::render(&explanation) } else { text::render(&explanation) })?;
    Ok(ExitCode::SUCCESS)
}

/// All that is told about a text.
struct Explanation {
    statements: Vec<Explained>,
    /// None without policies.
    judged: Option<Judged>,
}

struct Explained {
    statement: Statement,
    is_judged: bool,
    verdicts: Vec<VerdictAnswer>,
    /// None where only the database knows the columns, or where nobody was asked.
    columns: Option<Vec<PlannedColumn>>,
}

/// What becomes of the text: all its statements run, or none.
struct Judged {
    asker: Asker,
    revision: u64,
    failures: Vec<Failure>,
    /// False where the configuration keeps this user from this database.
    may_connect: bool,
    ruling: Ruling<()>,
}

fn explain(sql: &str, policies: Option<&Policies>) -> Explanation {
    let trusted = policies.map_or(&[][..], |policies| &policies.trusted_functions);
    let limits = policies.map_or_else(Limits::default, |policies| policies.limits);
    let path = ["public".to_owned()];
    let scope = Scope {
        catalog: None,
        search_path: Some(&path),
        standard_conforming_strings: Some(true),
        trusted_functions: trusted,
    };
    let mut statements: Vec<Explained> = analyze(sql, &scope, &limits)
        .into_iter()
        .map(|statement| Explained {
            statement,
            is_judged: policies.is_some(),
            verdicts: Vec::new(),
            columns: None,
        })
        .collect();
    let judged = policies.map(|policies| {
        for explained in &mut statements {
            policies.label(&mut explained.statement);
            explained.verdicts = policies.verdicts(&explained.statement);
            explained.columns = masks::plan(policies, &explained.statement, &scope, &limits);
        }
        policies.judge(&statements)
    });
    Explanation { statements, judged }
}
