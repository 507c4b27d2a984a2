//! What a policy's calls cost: `cargo run --release -p portcullis-engine --example cost -- DIRECTORY`
//!
//! Puts a plugin directory into force and calls whatever is in it.

// A program for a terminal.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use portcullis_engine::{Engine, EngineConfig};
use portcullis_policy::lineage::Outputs;
use portcullis_policy::set::NoParameters;
use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{
    Access, Action, Cells, Database, Derivation, MaskAction, OutputColumn, Principal,
    PrincipalKind, RelationUse, Request, ResultShape, SourceColumn, Statement, WireFormat,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("which plugin directory?")?;
    let engine = Engine::open(EngineConfig::new(directory))?;
    let summary = Arc::clone(&engine.subscribe().borrow());
    summary.policies.iter().for_each(|policy| println!("{policy}"));
    summary.failures.iter().for_each(|failure| println!("{failure}"));
    let source = engine.hub().worker();
    let (principal, database) = (Arc::new(principal()), Arc::new(database()));
    let statement = statement();
    measure("current", || {
        source.current();
    });
    let set = source.current();
    let request = Request {
        principal: &principal,
        database: &database,
        statement: &statement,
        text: &statement.text,
        in_transaction: false,
        now: 1_700_000_000,
        attributes: &[],
    };
    measure("judge", || {
        set.judge(&request, &NoParameters);
    });
    let columns: Vec<OutputColumn> = (0..8).map(column).collect();
    let shape = ResultShape {
        principal: &principal,
        database: &database,
        shape: &statement.shape,
        columns: &columns,
        attributes: &[],
    };
    measure("plan of 8 columns", || {
        set.plan(&shape);
    });
    for plan in set.plan(&shape) {
        let call = plan.answer.iter().flatten().find_map(|action| match action {
            MaskAction::Call { handle, also } => Some((*handle, also.len())),
            MaskAction::Pass
            | MaskAction::Nullify
            | MaskAction::Constant(_)
            | MaskAction::Partial(_)
            | MaskAction::Pseudonym(_)
            | MaskAction::Generalize(_) => None,
        });
        let Some((handle, also)) = call else { continue };
        for rows in [1, 16, 128, 1024] {
            let batch = cells(rows);
            let companions = vec![batch.clone(); also];
            let nanos = measure(&format!("mask of {rows} rows"), || {
                let _ = set.mask(&plan.policy, handle, &batch, &companions);
            });
            println!("{:>30.0} ns per value", nanos / rows as f64);
        }
    }
    Ok(())
}

/// The best of five runs, in nanoseconds per call.
fn measure(what: &str, mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 20_000;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        (0..CALLS).for_each(|_| call());
        best = best.min(started.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    println!("{what:>20}: {best:>8.0} ns");
    best
}

fn principal() -> Principal {
    Principal {
        subject: "ana".into(),
        kind: PrincipalKind::Human,
        groups: vec!["analysts".into(), "staff".into()],
        proof: "scram".into(),
        on_behalf_of: None,
        claims: vec![("team".into(), "growth".into())],
        client_address: "127.0.0.1:50000".into(),
        application: "psql".into(),
        role: "ana".into(),
    }
}

fn database() -> Database {
    Database { name: "shop".into(), labels: vec![("env".into(), "prod".into())] }
}

fn statement() -> Statement {
    let relation = |name: &str, access| RelationUse {
        name: name.into(),
        resolved: true,
        oid: Some(16_384),
        access,
        columns: vec!["id".into(), "email".into(), "name".into()],
        all_columns: false,
        labels: vec!["pii.email".into()],
    };
    Statement {
        text: "select c.id, c.email, c.name, o.total from customers c join orders o on o.customer = c.id where c.id = 42".into(),
        shape: "select c.id, c.email, c.name, o.total from customers c join orders o on o.customer = c.id where c.id = $1".into(),
        fingerprint: "0123456789abcdef".into(),
        actions: vec![Action::Select],
        command: "SELECT".into(),
        relations: vec![
            relation("public.customers", Access::Read),
            relation("public.orders", Access::Read),
        ],
        functions: vec!["lower".into()],
        parameters_set: Vec::new(),
        unbounded_write: false,
        unbounded_read: true,
        opaque: Vec::new(),
        outputs: Outputs::Nothing,
        written: Vec::new(),
        columns: Vec::new(),
        redefined: Vec::new(),
        carriers: Vec::new(),
        effect: SessionEffect::None,
        copy: None,
    }
}

fn column(index: u32) -> OutputColumn {
    let source = SourceColumn {
        relation: "public.customers".into(),
        column: format!("column_{index}"),
        labels: Vec::new(),
    };
    OutputColumn {
        name: format!("column_{index}"),
        type_name: "text".into(),
        type_oid: 25,
        format: WireFormat::Text,
        derivation: Derivation::Direct,
        sources: vec![source],
    }
}

fn cells(rows: usize) -> Cells {
    let mut cells = Cells::default();
    (0..rows).for_each(|row| cells.push(Some(format!("customer{row}@example.com").as_bytes())));
    cells
}
