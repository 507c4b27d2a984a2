//! Rules that keep a principal to reading, and reading within bounds.

use portcullis_plugin_sdk::{Access, Action, Request, Statement};

use crate::finding::{Finding, command, is_temporary, list};
use crate::names::WRITE_FUNCTIONS;
use crate::settings::{Outcome, Rule, Settings};
use crate::words::narrows;

/// Most principals may do all of this, so it is looked for only where somebody may not.
pub(crate) fn find(request: &Request, settings: &Settings, findings: &mut Vec<Finding>) {
    let statement = &request.statement;
    let matters = |rule| settings.outcome(rule, request) != Outcome::Allow;
    if matters(Rule::Writes) {
        findings.extend(write(statement));
    }
    if matters(Rule::UnboundedReads) {
        findings.extend(unbounded_read(statement));
    }
    if settings.limit_rows(request).is_some() {
        findings.extend(uncounted(statement));
    }
}

/// The limit of a statement that only reads. One that writes has done so by the time its rows
/// come back, and ending it would not undo that.
pub(crate) fn limit_rows(request: &Request, settings: &Settings) -> Option<u32> {
    let changes = |action: &Action| change(*action).is_some();
    let writes = request.statement.actions.iter().any(changes);
    settings.limit_rows(request).filter(|_| !writes)
}

/// What an action does to data that others have.
fn change(action: Action) -> Option<&'static str> {
    match action {
        Action::Insert => Some("INSERT would add rows to"),
        Action::Update => Some("UPDATE would change rows of"),
        Action::Delete => Some("DELETE would delete rows of"),
        Action::Merge => Some("MERGE would change rows of"),
        Action::Truncate => Some("TRUNCATE would delete every row of"),
        Action::CopyIn => Some("COPY would add rows to"),
        Action::Lock => Some("it would lock others out of"),
        Action::Vacuum => Some("it would rework the storage of"),
        Action::Call => Some("CALL runs a procedure, which may write to"),
        Action::Select
        | Action::CopyOut
        | Action::CopyFile
        | Action::CopyProgram
        | Action::Create
        | Action::Alter
        | Action::Drop
        | Action::Grant
        | Action::DoBlock
        | Action::ExecuteDynamic
        | Action::Explain
        | Action::Set
        | Action::Show
        | Action::Transaction
        | Action::Discard
        | Action::ListenNotify
        | Action::Load
        | Action::Other => None,
    }
}

fn write(statement: &Statement) -> Option<Finding> {
    let finding = |reason: String| {
        let advice = "Leave the change to a person, or have one approve it: where the policy's \
                      approval.approvers names a group, an agent's writes wait for its members.";
        Some(Finding::new(Rule::Writes, reason, advice))
    };
    if let Some(function) = WRITE_FUNCTIONS.first(&statement.functions) {
        return finding(format!("the function {function} writes"));
    }
    let change = statement.actions.iter().find_map(|action| change(*action))?;
    let touched = || {
        let written = statement.relations.iter().filter(|used| used.access != Access::Read);
        written.map(|used| &*used.name)
    };
    if touched().next().is_some() && touched().all(is_temporary) {
        return None;
    }
    let what = list(touched()).or_else(|| list(statement.relations_with(Access::Read)));
    finding(format!("{change} {}", what.as_deref().unwrap_or("a table")))
}

fn unbounded_read(statement: &Statement) -> Option<Finding> {
    // What these name was judged when it was defined; the shape here does not show it.
    let names_another = matches!(command(statement), "EXECUTE" | "FETCH" | "MOVE");
    let bounded = !statement.unbounded_read
        || names_another
        || (!statement.does(Action::CopyOut) && narrows(&statement.shape));
    if bounded {
        return None;
    }
    let what = list(statement.relations_with(Access::Read));
    let what = what.as_deref().unwrap_or("a table");
    Some(Finding::new(
        Rule::UnboundedReads,
        format!("{} without WHERE or LIMIT would read every row of {what}", command(statement)),
        "Say which rows, or how many: add a WHERE or a LIMIT.",
    ))
}

/// The proxy counts rows of results, and not those inside COPY's data.
fn uncounted(statement: &Statement) -> Option<Finding> {
    statement.does(Action::CopyOut).then(|| {
        let reason = "COPY would send rows that the row limit does not count";
        Finding::new(Rule::UnboundedReads, reason, "Use SELECT.").lifted_by("limit_rows")
    })
}
