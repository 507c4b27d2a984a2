//! An explanation for programs. The field names are those of the ledger and the contract,
//! and stay.

use portcullis_engine::Failure;
use portcullis_policy::lineage::Lineage;
use portcullis_policy::{
    ColumnRef, Decision, Fault, MaskAction, Outputs, Ruling, Statement, ValueForm, VerdictAnswer,
};
use serde_json::{Map, Value, json};

use super::masks::{ColumnPlan, PlannedColumn};
use super::{Explained, Explanation, Judged};

pub(super) fn render(explanation: &Explanation) -> String {
    let statements: Vec<Value> = explanation.statements.iter().map(explained).collect();
    let mut whole = Map::from_iter([("statements".to_owned(), Value::from(statements))]);
    if let Some(judged) = &explanation.judged {
        add(&mut whole, self::judged(judged));
    }
    format!("{}\n", Value::Object(whole))
}

fn add(object: &mut Map<String, Value>, fields: Value) {
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
}

fn explained(explained: &Explained) -> Value {
    let mut object = Map::new();
    add(&mut object, facts(&explained.statement));
    let verdicts: Vec<Value> = explained.verdicts.iter().map(verdict).collect();
    let columns = explained.columns.as_ref();
    let columns = columns.map(|columns| columns.iter().map(column).collect::<Vec<_>>());
    add(&mut object, json!({ "verdicts": verdicts, "masks": columns }));
    Value::Object(object)
}

fn facts(statement: &Statement) -> Value {
    let actions: Vec<&str> = statement.actions.iter().map(|action| action.as_str()).collect();
    let relation = |relation: &portcullis_policy::RelationUse| {
        json!({
            "name": relation.name,
            "access": relation.access.as_str(),
            "columns": relation.columns,
            "all_columns": relation.all_columns,
            "labels": relation.labels,
        })
    };
    let relations: Vec<Value> = statement.relations.iter().map(relation).collect();
    let opaque: Vec<String> = statement.opaque.iter().map(ToString::to_string).collect();
    let written: Vec<Value> = statement
        .written
        .iter()
        .map(|one| json!({ "target": source(&one.target), "sources": sources(&one.sources) }))
        .collect();
    json!({
        "text": statement.text,
        "shape": statement.shape,
        "fingerprint": statement.fingerprint,
        "command": statement.command,
        "actions": actions,
        "relations": relations,
        "functions": statement.functions,
        "parameters_set": statement.parameters_set,
        "unbounded_write": statement.unbounded_write,
        "unbounded_read": statement.unbounded_read,
        "opaque": opaque,
        "outputs": outputs(&statement.outputs),
        "written": written,
    })
}

/// `columns` are "known" with one entry each, "unknown" with the sources of any, "none".
fn outputs(outputs: &Outputs) -> Value {
    let lineage = |one: &Lineage| json!({ "derivation": one.derivation.as_str(), "sources": sources(&one.sources) });
    match outputs {
        Outputs::Nothing => json!({ "columns": "none" }),
        Outputs::Columns(lineages) => {
            let list: Vec<Value> = lineages.iter().map(lineage).collect();
            json!({ "columns": "known", "list": list })
        }
        Outputs::Unknown(of) => json!({ "columns": "unknown", "sources": sources(of) }),
        Outputs::Anything => json!({ "columns": "unknown", "sources": ["*.*"] }),
    }
}

fn source(column: &ColumnRef) -> String {
    format!("{}.{}", column.relation, column.column)
}

fn sources(columns: &[ColumnRef]) -> Vec<String> {
    columns.iter().map(source).collect()
}

fn fault(fault: &Fault) -> Value {
    json!({ "kind": fault.kind.as_str(), "message": fault.message })
}

fn verdict(given: &VerdictAnswer) -> Value {
    let mut object = Map::new();
    add(&mut object, json!({ "policy": &*given.policy, "mode": given.mode.as_str() }));
    match &given.answer {
        Err(error) => add(&mut object, json!({ "fault": fault(error) })),
        Ok(verdict) => {
            let decision = match &verdict.decision {
                Decision::Allow => json!({}),
                Decision::Deny(denial) => json!({ "reason": denial.reason, "hint": denial.hint }),
                Decision::RequireApproval(approval) => json!({
                    "reason": approval.reason,
                    "approvers": approval.approvers,
                    "approvals_needed": approval.approvals_needed,
                    "expires_in_seconds": approval.expires_in_seconds,
                }),
            };
            let answer = json!({
                "decision": verdict.decision.as_str(),
                "limit_rows": verdict.limit_rows,
                "notice": verdict.notice,
                "tags": verdict.tags,
            });
            add(&mut object, answer);
            add(&mut object, decision);
        }
    }
    Value::Object(object)
}

fn column(column: &PlannedColumn) -> Value {
    let output = &column.output;
    let source = |source: &portcullis_policy::SourceColumn| {
        json!({
            "relation": source.relation,
            "column": source.column,
            "labels": source.labels,
        })
    };
    json!({
        "name": output.name,
        "derivation": output.derivation.as_str(),
        "sources": output.sources.iter().map(source).collect::<Vec<_>>(),
        "action": column.action.as_str(),
        "plans": column.plans.iter().map(plan).collect::<Vec<_>>(),
    })
}

fn plan(plan: &ColumnPlan) -> Value {
    let mut object = Map::new();
    add(&mut object, json!({ "policy": &*plan.policy, "mode": plan.mode.as_str() }));
    add(
        &mut object,
        match &plan.answer {
            Err(error) => json!({ "fault": fault(error) }),
            Ok(wanted) => action(wanted),
        },
    );
    Value::Object(object)
}

fn action(action: &MaskAction) -> Value {
    match action {
        MaskAction::Pass => json!({ "action": "pass" }),
        MaskAction::Nullify => json!({ "action": "nullify" }),
        MaskAction::Constant(text) => json!({ "action": "constant", "text": text }),
        MaskAction::Partial(partial) => json!({
            "action": "partial",
            "keep_first": partial.keep_first,
            "keep_last": partial.keep_last,
            "fill": partial.fill,
            "keep_from": partial.keep_from,
            "only": match partial.only {
                ValueForm::Any => "any",
                ValueForm::Email => "email",
            },
        }),
        MaskAction::Pseudonym(pseudonym) => json!({
            "action": "pseudonym",
            "key_name": pseudonym.key_name,
            "domain": pseudonym.domain,
        }),
        MaskAction::Generalize(step) => json!({ "action": "generalize", "step": step }),
        MaskAction::Call { handle, also } => {
            json!({ "action": "call", "handle": handle, "also": also })
        }
    }
}

fn judged(judged: &Judged) -> Value {
    let principal = &judged.asker.principal;
    let failures: Vec<String> = judged.failures.iter().map(Failure::to_string).collect();
    let mut object = Map::new();
    let about = json!({
        "principal": {
            "subject": principal.subject,
            "kind": principal.kind.as_str(),
            "groups": principal.groups,
        },
        "database": judged.asker.database.name,
        "revision": judged.revision,
        "failures": failures,
        "may_connect": judged.may_connect,
    });
    add(&mut object, about);
    add(
        &mut object,
        match &judged.ruling {
            Ruling::Permitted(permitted) => {
                json!({ "decision": "permitted", "limit_rows": permitted.limit_rows })
            }
            Ruling::Denied(denied) => json!({
                "decision": "denied",
                "policy": denied.policy.as_deref(),
                "reason": denied.denial.reason,
                "hint": denied.denial.hint,
                "fault": denied.fault,
            }),
            Ruling::Held(held) => {
                let approval = |(policy, approval): &(
                    portcullis_policy::PolicyName,
                    portcullis_policy::Approval,
                )| {
                    json!({ "policy": &**policy, "reason": approval.reason })
                };
                let approvals: Vec<Value> = held.approvals.iter().map(approval).collect();
                json!({ "decision": "held", "approvals": approvals })
            }
        },
    );
    Value::Object(object)
}
