//! Everything the API does: one table that routes, roles, records and documentation follow.

use crate::role::{Need, Role};

/// One thing that the API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    WhoAmI,
    Document,
    ListSessions,
    EndSession,
    ListApprovals,
    ShowApproval,
    GrantApproval,
    RefuseApproval,
    ListLeases,
    RevokeLease,
    ShowPolicies,
    Reload,
    IssueCredential,
    ListCredentials,
    RevokeCredential,
    ListDisabled,
    DisablePrincipal,
    EnablePrincipal,
}

/// What a request says is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// How one is asked for, and by whom it may be.
pub(crate) struct Route {
    pub verb: Verb,
    pub path: &'static str,
    pub need: Need,
    /// The word in the ledger for what changes something.
    pub change: Option<&'static str>,
}

const VIEWER: Need = Need::Role(&[Role::Viewer]);
const OPERATOR: Need = Need::Role(&[Role::Operator]);
const APPROVER: Need = Need::Role(&[Role::Approver]);
const ADMINISTRATOR: Need = Need::Role(&[Role::Administrator]);

impl Operation {
    pub const ALL: [Operation; 18] = [
        Operation::WhoAmI,
        Operation::Document,
        Operation::ListSessions,
        Operation::EndSession,
        Operation::ListApprovals,
        Operation::ShowApproval,
        Operation::GrantApproval,
        Operation::RefuseApproval,
        Operation::ListLeases,
        Operation::RevokeLease,
        Operation::ShowPolicies,
        Operation::Reload,
        Operation::IssueCredential,
        Operation::ListCredentials,
        Operation::RevokeCredential,
        Operation::ListDisabled,
        Operation::DisablePrincipal,
        Operation::EnablePrincipal,
    ];

    pub fn route(self) -> Route {
        let read = |path, need| Route { verb: Verb::Get, path, need, change: None };
        let change = |verb, path, need, word| Route { verb, path, need, change: Some(word) };
        let (post, put, delete) = (Verb::Post, Verb::Put, Verb::Delete);
        match self {
            Operation::WhoAmI => read("/v1/whoami", Need::Login),
            Operation::Document => read("/v1/openapi.json", Need::Login),
            Operation::ListSessions => read("/v1/sessions", VIEWER),
            Operation::EndSession => change(delete, "/v1/sessions/{id}", OPERATOR, "end-session"),
            Operation::ListApprovals => read("/v1/approvals", APPROVER),
            Operation::ShowApproval => read("/v1/approvals/{id}", APPROVER),
            Operation::GrantApproval => {
                change(post, "/v1/approvals/{id}/grant", APPROVER, "grant-approval")
            }
            Operation::RefuseApproval => {
                change(post, "/v1/approvals/{id}/refuse", APPROVER, "refuse-approval")
            }
            Operation::ListLeases => {
                read("/v1/leases", Need::Role(&[Role::Viewer, Role::Approver]))
            }
            // To take a lease back is the safe direction, so that who may give one may, too.
            Operation::RevokeLease => change(
                delete,
                "/v1/leases/{id}",
                Need::Role(&[Role::Operator, Role::Approver]),
                "revoke-lease",
            ),
            Operation::ShowPolicies => read("/v1/policies", VIEWER),
            Operation::Reload => change(post, "/v1/reload", OPERATOR, "reload"),
            // For oneself only; the handlers see to it.
            Operation::IssueCredential => {
                change(post, "/v1/credentials", Need::Login, "issue-credential")
            }
            Operation::ListCredentials => read("/v1/credentials", Need::Login),
            Operation::RevokeCredential => {
                change(delete, "/v1/credentials/{id}", Need::Login, "revoke-credential")
            }
            Operation::ListDisabled => read("/v1/principals/disabled", ADMINISTRATOR),
            Operation::DisablePrincipal => {
                change(put, "/v1/principals/{subject}/disabled", ADMINISTRATOR, "disable-principal")
            }
            Operation::EnablePrincipal => change(
                delete,
                "/v1/principals/{subject}/disabled",
                ADMINISTRATOR,
                "enable-principal",
            ),
        }
    }
}
