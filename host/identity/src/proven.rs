//! Somebody, as proved, whatever the method was.

use std::sync::Arc;
use std::time::SystemTime;

use portcullis_policy::{Principal, PrincipalKind};

use crate::certificate::Certificate;
use crate::token::TokenBasis;
use crate::verifier::PasswordMark;

/// Somebody, as proved: all of a principal but what belongs to one connection.
#[derive(Clone, Debug)]
pub struct Proven {
    pub subject: String,
    pub kind: PrincipalKind,
    pub groups: Vec<String>,
    /// "scram", "credential", "certificate", "oidc", "device".
    pub proof: &'static str,
    pub on_behalf_of: Option<String>,
    pub claims: Vec<(String, String)>,
    /// Startup user names that this one may come as.
    pub names: Vec<String>,
    /// Databases this one may name; `None` for all.
    pub databases: Option<Vec<String>>,
    /// Good until then; sessions end with it.
    pub expires_at: Option<SystemTime>,
    /// What it rests on: when that is taken back, its sessions end.
    pub basis: Basis,
}

/// What a proof rests on.
#[derive(Clone, Debug)]
pub enum Basis {
    /// A user of the configuration, and the password they had.
    User { name: String, password: PasswordMark },
    /// A short-lived password, by its id.
    Credential { id: String },
    /// A client certificate that maps to a user of the configuration.
    Certificate { user: String, certificate: Arc<Certificate> },
    /// A token of an issuer.
    Token(TokenBasis),
}

impl Proven {
    /// May this one name `database`?
    pub fn may_use(&self, database: &str) -> bool {
        let named = |databases: &Vec<String>| databases.iter().any(|allowed| allowed == database);
        self.databases.as_ref().is_none_or(named)
    }

    /// May this one come as `startup_user`?
    pub fn answers_to(&self, startup_user: &str) -> bool {
        self.names.iter().any(|name| name == startup_user)
    }

    /// The principal of a session; the last two are the client's own word.
    pub fn principal(&self, client_address: &str, application: &str, role: &str) -> Principal {
        Principal {
            subject: self.subject.clone(),
            kind: self.kind,
            groups: self.groups.clone(),
            proof: self.proof.to_owned(),
            on_behalf_of: self.on_behalf_of.clone(),
            claims: self.claims.clone(),
            client_address: client_address.to_owned(),
            application: application.to_owned(),
            role: role.to_owned(),
        }
    }
}
