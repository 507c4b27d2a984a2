//! An explanation for people.

use portcullis_policy::lineage::WrittenColumn;
use portcullis_policy::{
    ColumnRef, Decision, Derivation, MaskAction, Outputs, RelationUse, Ruling, Statement,
    ValueForm, VerdictAnswer,
};

use crate::terminal::{line, section};

use super::masks::PlannedColumn;
use super::{Explained, Explanation, Judged};

pub(super) fn render(explanation: &Explanation) -> String {
    let mut text = String::new();
    if explanation.statements.is_empty() {
        text.push_str("no statement\n");
    }
    for (number, explained) in (1..).zip(&explanation.statements) {
        let command = match explained.statement.command.as_str() {
            "" => "not understood",
            command => command,
        };
        text.push_str(&format!("statement {number}: {command}\n"));
        text.push_str(&facts(&explained.statement));
        text.push_str(&answers(explained));
    }
    if let Some(judged) = &explanation.judged {
        text.push_str(&decision(judged));
    }
    text
}

/// What the statement is, whoever asks.
pub(super) fn facts(statement: &Statement) -> String {
    let actions: Vec<&str> = statement.actions.iter().map(|action| action.as_str()).collect();
    let relations: Vec<Vec<String>> = statement.relations.iter().map(relation).collect();
    let opaque: Vec<Vec<String>> =
        statement.opaque.iter().map(|reason| vec![reason.to_string()]).collect();
    let written: Vec<Vec<String>> = statement.written.iter().map(written).collect();
    let mut text = [
        line("shape", &statement.shape),
        line("fingerprint", &statement.fingerprint),
        line("actions", actions.join(", ")),
        section("relations", &relations),
    ]
    .concat();
    for (label, words) in [("functions", &statement.functions), ("sets", &statement.parameters_set)]
    {
        if !words.is_empty() {
            text.push_str(&line(label, words.join(", ")));
        }
    }
    for (holds, what) in [
        (statement.unbounded_write, "write: no WHERE limits what is changed"),
        (statement.unbounded_read, "read: nothing limits the rows"),
    ] {
        if holds {
            text.push_str(&line("unbounded", what));
        }
    }
    text.push_str(&section("opaque", &opaque));
    text.push_str(&section("outputs", &outputs(&statement.outputs)));
    text.push_str(&section("written", &written));
    text
}

fn relation(relation: &RelationUse) -> Vec<String> {
    let columns = match (relation.all_columns, relation.columns.is_empty()) {
        (true, _) => "all columns".to_owned(),
        (false, true) => "no column by name".to_owned(),
        (false, false) => relation.columns.join(", "),
    };
    let mut cells = vec![relation.access.as_str().to_owned(), relation.name.clone(), columns];
    if !relation.labels.is_empty() {
        cells.push(format!("labels {}", relation.labels.join(", ")));
    }
    cells
}

fn outputs(outputs: &Outputs) -> Vec<Vec<String>> {
    let numbered = |(number, lineage): (usize, &portcullis_policy::lineage::Lineage)| {
        vec![number.to_string(), lineage.derivation.as_str().to_owned(), columns(&lineage.sources)]
    };
    match outputs {
        Outputs::Nothing => Vec::new(),
        Outputs::Columns(lineages) => (1..).zip(lineages).map(numbered).collect(),
        Outputs::Unknown(sources) => {
            vec![vec!["any".to_owned(), "unknown".to_owned(), columns(sources)]]
        }
        Outputs::Anything => {
            vec![vec![
                "any".to_owned(),
                "unknown".to_owned(),
                "anything it can read: only the database knows its columns".to_owned(),
            ]]
        }
    }
}

fn written(written: &WrittenColumn) -> Vec<String> {
    let target = column(&written.target);
    match written.sources.is_empty() {
        true => vec![target],
        false => vec![target, format!("from {}", columns(&written.sources))],
    }
}

fn column(column: &ColumnRef) -> String {
    format!("{}.{}", column.relation, column.column)
}

fn columns(list: &[ColumnRef]) -> String {
    list.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// What policies said.
fn answers(explained: &Explained) -> String {
    let verdicts: Vec<Vec<String>> = explained.verdicts.iter().map(verdict).collect();
    let mut text = section("verdicts", &verdicts);
    let masks: Vec<Vec<String>> = (1..)
        .zip(explained.columns.iter().flatten())
        .flat_map(|(number, column)| mask(number, column))
        .collect();
    text.push_str(&section("masks", &masks));
    let open = match &explained.statement.outputs {
        Outputs::Unknown(_) | Outputs::Anything => explained.is_judged,
        Outputs::Nothing | Outputs::Columns(_) => false,
    };
    if open {
        text.push_str(&line("masks", "column by column, as the database names them"));
    }
    text
}

fn verdict(given: &VerdictAnswer) -> Vec<String> {
    let mut parts = Vec::new();
    match &given.answer {
        Err(fault) => parts.push(format!("fault ({}): {}", fault.kind.as_str(), fault.message)),
        Ok(verdict) => {
            parts.push(match &verdict.decision {
                Decision::Allow => "allow".to_owned(),
                Decision::Deny(denial) => format!("deny: {}", denial.reason),
                Decision::RequireApproval(approval) => {
                    format!("require-approval: {}", approval.reason)
                }
            });
            parts.extend(verdict.limit_rows.map(|rows| format!("at most {rows} rows")));
            parts.extend(verdict.notice.as_ref().map(|notice| format!("notice: {notice}")));
            if !verdict.tags.is_empty() {
                parts.push(format!("tags {}", verdict.tags.join(", ")));
            }
        }
    }
    vec![given.policy.to_string(), given.mode.as_str().to_owned(), parts.join("; ")]
}

/// One row per masker.
fn mask(number: usize, column: &PlannedColumn) -> Vec<Vec<String>> {
    let of = match (column.output.derivation, column.output.sources.as_slice()) {
        (Derivation::Direct, [source]) => source.column.clone(),
        (derivation, _) => derivation.as_str().to_owned(),
    };
    let row = |plan: &super::masks::ColumnPlan| {
        let wanted = match &plan.answer {
            Ok(action) => action_words(action),
            Err(fault) => format!("fault ({}): {}", fault.kind.as_str(), fault.message),
        };
        let (policy, mode) = (plan.policy.to_string(), plan.mode.as_str().to_owned());
        vec![number.to_string(), of.clone(), policy, mode, wanted]
    };
    column.plans.iter().map(row).collect()
}

fn action_words(action: &MaskAction) -> String {
    match action {
        MaskAction::Pass => "pass".to_owned(),
        MaskAction::Nullify => "nullify".to_owned(),
        MaskAction::Constant(text) => format!("constant {text:?}"),
        MaskAction::Partial(partial) => {
            let from = match partial.keep_from.as_str() {
                "" => String::new(),
                from => format!(" and all from {from:?}"),
            };
            let only = match partial.only {
                ValueForm::Any => "",
                ValueForm::Email => ", of a mail address only",
            };
            format!(
                "partial: keep {} first, {} last{from}, fill {:?}{only}",
                partial.keep_first, partial.keep_last, partial.fill
            )
        }
        MaskAction::Pseudonym(pseudonym) => {
            format!("pseudonym: key {}, domain {}", pseudonym.key_name, pseudonym.domain)
        }
        MaskAction::Generalize(step) => format!("generalize: {step}"),
        MaskAction::Call { .. } => "call: it sees the values and decides".to_owned(),
    }
}

fn decision(judged: &Judged) -> String {
    let principal = &judged.asker.principal;
    let groups = match principal.groups.is_empty() {
        true => "in no group".to_owned(),
        false => format!("in {}", principal.groups.join(", ")),
    };
    let mut text = format!(
        "for {} ({}, {groups}) on {}\n",
        principal.subject,
        principal.kind.as_str(),
        judged.asker.database.name
    );
    let broken: Vec<Vec<String>> =
        judged.failures.iter().map(|failure| vec![failure.to_string()]).collect();
    text.push_str(&section("failures", &broken));
    if !judged.may_connect {
        text.push_str(&line("connection", "refused: this user may not use this database"));
    }
    text.push_str(&ruling(&judged.ruling));
    text
}

fn ruling(ruling: &Ruling<()>) -> String {
    match ruling {
        Ruling::Permitted(permitted) => {
            let limit = permitted.limit_rows.map(|rows| format!(", at most {rows} rows"));
            line("decision", format!("permitted{}", limit.unwrap_or_default()))
        }
        Ruling::Denied(denied) => {
            let by = denied.policy.as_ref().map(|policy| format!(" by {policy}"));
            let reason = &denied.denial.reason;
            let mut text = line("decision", format!("denied{}: {reason}", by.unwrap_or_default()));
            if let Some(hint) = &denied.denial.hint {
                text.push_str(&line("hint", hint));
            }
            text
        }
        Ruling::Held(held) => {
            let rows: Vec<Vec<String>> = held
                .approvals
                .iter()
                .map(|(policy, approval)| vec![format!("held by {policy}: {}", approval.reason)])
                .collect();
            section("decision", &rows)
        }
    }
}
