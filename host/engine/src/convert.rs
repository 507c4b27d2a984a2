//! The vocabulary's words in the contract's, and back.
//!
//! Requests are lent, not copied: what is made here are slices over what the caller holds.

use portcullis_policy::set::{Request, ResultShape};
use portcullis_policy::{
    Access, Action, Approval, Cells, ColumnSample, Database, Decision, Denial, Derivation, Edits,
    Label, MaskAction, Masked, OutputColumn, Principal, PrincipalKind, Verdict, WireFormat, mask,
};

use crate::bindings::kinds::{classifier, guardrail, masker};
use crate::bindings::types;

/// Hands `call` the contract's form of a request.
pub(crate) fn with_request<R>(
    request: &Request<'_>,
    call: impl FnOnce(&types::Request<'_>) -> R,
) -> R {
    let statement = request.statement;
    let asker = Asker::of(request.principal, request.database);
    let attributes = pairs(request.attributes);
    let actions: Vec<types::Action> = statement.actions.iter().map(|one| action(*one)).collect();
    let functions = strs(&statement.functions);
    let parameters_set = strs(&statement.parameters_set);
    let opaque: Vec<String> = statement.opaque.iter().map(ToString::to_string).collect();
    let opaque = strs(&opaque);
    // The words of all relations in one allocation, cut up below.
    let words: Vec<&str> = statement
        .relations
        .iter()
        .flat_map(|relation| relation.columns.iter().chain(&relation.labels))
        .map(String::as_str)
        .collect();
    let mut rest = words.as_slice();
    let relations: Vec<types::RelationUse<'_>> = statement
        .relations
        .iter()
        .map(|relation| types::RelationUse {
            name: &relation.name,
            resolved: relation.resolved,
            access: access(relation.access),
            columns: take(&mut rest, relation.columns.len()),
            all_columns: relation.all_columns,
            labels: take(&mut rest, relation.labels.len()),
        })
        .collect();
    call(&types::Request {
        principal: asker.principal(),
        database: asker.database(),
        statement: types::Statement {
            shape: &statement.shape,
            fingerprint: &statement.fingerprint,
            actions: &actions,
            command: &statement.command,
            relations: &relations,
            functions: &functions,
            parameters_set: &parameters_set,
            unbounded_write: statement.unbounded_write,
            unbounded_read: statement.unbounded_read,
            in_transaction: request.in_transaction,
            opaque: &opaque,
        },
        now: request.now,
        attributes: &attributes,
    })
}

/// Hands `call` the contract's form of a result's shape.
pub(crate) fn with_shape<R>(
    shape: &ResultShape<'_>,
    call: impl FnOnce(&masker::ResultShape<'_>) -> R,
) -> R {
    let asker = Asker::of(shape.principal, shape.database);
    let attributes = pairs(shape.attributes);
    let labels: Vec<Vec<Vec<&str>>> = shape
        .columns
        .iter()
        .map(|column| column.sources.iter().map(|source| strs(&source.labels)).collect())
        .collect();
    let sources: Vec<Vec<masker::SourceColumn<'_>>> = shape
        .columns
        .iter()
        .zip(&labels)
        .map(|(column, labels)| {
            let sources = column.sources.iter().zip(labels);
            sources.map(|(source, labels)| source_column(source, labels)).collect()
        })
        .collect();
    let columns: Vec<masker::OutputColumn<'_>> = shape
        .columns
        .iter()
        .zip(&sources)
        .map(|(column, sources)| output_column(column, sources))
        .collect();
    call(&masker::ResultShape {
        principal: asker.principal(),
        database: asker.database(),
        shape: shape.shape,
        columns: &columns,
        attributes: &attributes,
    })
}

fn source_column<'a>(
    source: &'a portcullis_policy::SourceColumn,
    labels: &'a [&'a str],
) -> masker::SourceColumn<'a> {
    masker::SourceColumn { relation: &source.relation, column: &source.column, labels }
}

fn output_column<'a>(
    column: &'a OutputColumn,
    sources: &'a [masker::SourceColumn<'a>],
) -> masker::OutputColumn<'a> {
    masker::OutputColumn {
        name: &column.name,
        type_name: &column.type_name,
        type_oid: column.type_oid,
        format: match column.format {
            WireFormat::Text => masker::WireFormat::Text,
            WireFormat::Binary => masker::WireFormat::Binary,
        },
        derivation: match column.derivation {
            Derivation::Direct => masker::Derivation::Direct,
            Derivation::Derived => masker::Derivation::Derived,
            Derivation::None => masker::Derivation::None,
            Derivation::Count => masker::Derivation::Count,
            Derivation::Unknown => masker::Derivation::Unknown,
        },
        sources,
    }
}

pub(crate) fn cells(cells: &Cells) -> masker::CellsParam<'_> {
    masker::CellsParam { data: &cells.data, ends: &cells.ends, nulls: &cells.nulls }
}

/// Hands `call` the contract's form of samples of columns.
pub(crate) fn with_samples<R>(
    samples: &[ColumnSample],
    call: impl FnOnce(&[classifier::Sample<'_>]) -> R,
) -> R {
    let values: Vec<Vec<&str>> = samples.iter().map(|sample| strs(&sample.values)).collect();
    let samples: Vec<classifier::Sample<'_>> = samples
        .iter()
        .zip(&values)
        .map(|(sample, values)| classifier::Sample {
            relation: &sample.relation,
            column: &sample.column,
            type_name: &sample.type_name,
            comment: sample.comment.as_deref(),
            values,
        })
        .collect();
    call(&samples)
}

/// Who asks of what, with its lists lent.
struct Asker<'a> {
    principal: &'a Principal,
    groups: Vec<&'a str>,
    claims: Vec<(&'a str, &'a str)>,
    database: &'a Database,
    labels: Vec<(&'a str, &'a str)>,
}

impl<'a> Asker<'a> {
    fn of(principal: &'a Principal, database: &'a Database) -> Asker<'a> {
        Asker {
            principal,
            groups: strs(&principal.groups),
            claims: pairs(&principal.claims),
            database,
            labels: pairs(&database.labels),
        }
    }

    fn principal(&self) -> types::Principal<'_> {
        types::Principal {
            subject: &self.principal.subject,
            kind: match self.principal.kind {
                PrincipalKind::Human => types::PrincipalKind::Human,
                PrincipalKind::Service => types::PrincipalKind::Service,
                PrincipalKind::Agent => types::PrincipalKind::Agent,
            },
            groups: &self.groups,
            proof: &self.principal.proof,
            on_behalf_of: self.principal.on_behalf_of.as_deref(),
            claims: &self.claims,
            client_address: self.principal.client_host(),
            application: &self.principal.application,
            role: &self.principal.role,
        }
    }

    fn database(&self) -> types::Database<'_> {
        types::Database { name: &self.database.name, labels: &self.labels }
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn pairs(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// Cuts `count` items off the front; there are always as many.
fn take<'a, T>(rest: &mut &'a [T], count: usize) -> &'a [T] {
    let (front, back) = rest.split_at_checked(count).unwrap_or((rest, &[]));
    *rest = back;
    front
}

fn access(access: Access) -> types::Access {
    match access {
        Access::Read => types::Access::Read,
        Access::Write => types::Access::Write,
        Access::Define => types::Access::Define,
    }
}

fn action(action: Action) -> types::Action {
    match action {
        Action::Select => types::Action::Select,
        Action::Insert => types::Action::Insert,
        Action::Update => types::Action::Update,
        Action::Delete => types::Action::Delete,
        Action::Merge => types::Action::Merge,
        Action::Truncate => types::Action::Truncate,
        Action::CopyIn => types::Action::CopyIn,
        Action::CopyOut => types::Action::CopyOut,
        Action::CopyFile => types::Action::CopyFile,
        Action::CopyProgram => types::Action::CopyProgram,
        Action::Create => types::Action::Create,
        Action::Alter => types::Action::Alter,
        Action::Drop => types::Action::Drop,
        Action::Grant => types::Action::Grant,
        Action::Call => types::Action::Call,
        Action::DoBlock => types::Action::DoBlock,
        Action::ExecuteDynamic => types::Action::ExecuteDynamic,
        Action::Explain => types::Action::Explain,
        Action::Set => types::Action::Set,
        Action::Show => types::Action::Show,
        Action::Transaction => types::Action::Transaction,
        Action::Discard => types::Action::Discard,
        Action::ListenNotify => types::Action::ListenNotify,
        Action::Lock => types::Action::Lock,
        Action::Vacuum => types::Action::Vacuum,
        Action::Load => types::Action::Load,
        Action::Other => types::Action::Other,
    }
}

pub(crate) fn verdict(verdict: guardrail::Verdict) -> Verdict {
    Verdict {
        decision: match verdict.decision {
            guardrail::Decision::Allow => Decision::Allow,
            guardrail::Decision::Deny(denial) => {
                Decision::Deny(Denial { reason: denial.reason, hint: denial.hint })
            }
            guardrail::Decision::RequireApproval(approval) => Decision::RequireApproval(Approval {
                reason: approval.reason,
                approvers: approval.approvers,
                approvals_needed: approval.approvals_needed,
                expires_in_seconds: approval.expires_in_seconds,
            }),
        },
        limit_rows: verdict.limit_rows,
        notice: verdict.notice,
        tags: verdict.tags,
    }
}

pub(crate) fn mask_action(action: masker::MaskAction) -> MaskAction {
    match action {
        masker::MaskAction::Pass => MaskAction::Pass,
        masker::MaskAction::Nullify => MaskAction::Nullify,
        masker::MaskAction::Constant(text) => MaskAction::Constant(text),
        masker::MaskAction::Partial(partial) => MaskAction::Partial(mask::Partial {
            keep_first: partial.keep_first,
            keep_last: partial.keep_last,
            fill: partial.fill,
            keep_from: partial.keep_from,
            only: match partial.only {
                masker::ValueForm::Any => mask::ValueForm::Any,
                masker::ValueForm::Email => mask::ValueForm::Email,
            },
        }),
        masker::MaskAction::Pseudonym(pseudonym) => MaskAction::Pseudonym(mask::Pseudonym {
            key_name: pseudonym.key_name,
            domain: pseudonym.domain,
        }),
        masker::MaskAction::Generalize(step) => MaskAction::Generalize(step),
        masker::MaskAction::Call(call) => MaskAction::Call { handle: call.handle, also: call.also },
    }
}

pub(crate) fn masked(masked: masker::Masked) -> Masked {
    match masked {
        masker::Masked::Unchanged => Masked::Unchanged,
        masker::Masked::Edits(edits) => {
            Masked::Edits(Edits { spans: edits.spans, fill: edits.fill })
        }
        masker::Masked::Replaced(cells) => {
            Masked::Replaced(Cells { data: cells.data, ends: cells.ends, nulls: cells.nulls })
        }
    }
}

pub(crate) fn label(label: classifier::Label) -> Label {
    Label { name: label.name, confidence: label.confidence }
}

/// What a plugin says went wrong.
pub(crate) fn plugin_error(error: types::PluginError) -> String {
    match error {
        types::PluginError::InvalidSettings(why) => format!("invalid settings: {why}"),
        types::PluginError::Unsupported(why) => format!("unsupported: {why}"),
        types::PluginError::Internal(why) => format!("internal: {why}"),
    }
}
