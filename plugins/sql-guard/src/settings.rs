//! What is allowed to whom.

use portcullis_plugin_sdk::{PrincipalKind, Request};
use serde::Deserialize;

/// What becomes of a statement that a rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Allow,
    Deny,
    Approve,
}

/// One line per rule gives the case, the setting's name and the default.
macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $case:ident $field:ident $default:ident,)+) => {
        /// The rules, by the names of their settings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Rule {
            $($(#[doc = $doc])+ $case,)+
        }

        impl Rule {
            pub(crate) const ALL: &[Rule] = &[$(Rule::$case),+];

            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Rule::$case => stringify!($field),)+
                }
            }
        }

        /// The `[settings]` table.
        #[derive(Clone, Debug, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            $($field: Outcome,)+
            pub(crate) approval: Approval,
            /// Parameters that may be set although the rule `session_changes` knows them.
            pub(crate) parameters_allowed: Vec<String>,
            /// Further parameters that the rule `session_changes` covers.
            pub(crate) parameters_denied: Vec<String>,
            /// Beginnings of reasons that do not make a statement opaque, as the proxy
            /// states them ("body not seen: public.add_tax").
            pub(crate) opaque_allowed: Vec<String>,
            pub(crate) exception: Vec<Exception>,
        }

        impl Default for Settings {
            fn default() -> Settings {
                Settings {
                    $($field: Outcome::$default,)+
                    approval: Approval::default(),
                    parameters_allowed: Vec::new(),
                    parameters_denied: Vec::new(),
                    opaque_allowed: Vec::new(),
                    exception: Vec::new(),
                }
            }
        }

        impl Settings {
            fn standing(&self, rule: Rule) -> Outcome {
                match rule {
                    $(Rule::$case => self.$field,)+
                }
            }
        }

        /// Other outcomes for some principals. All of what it names must match.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct Exception {
            groups: Vec<String>,
            subjects: Vec<String>,
            kinds: Vec<Kind>,
            databases: Vec<String>,
            $($field: Option<Outcome>,)+
        }

        impl Exception {
            fn outcome(&self, rule: Rule) -> Option<Outcome> {
                match rule {
                    $(Rule::$case => self.$field,)+
                }
            }

            fn outcomes(&self) -> impl Iterator<Item = Outcome> {
                [$(self.$field),+].into_iter().flatten()
            }
        }
    };
}

rules! {
    /// DROP, TRUNCATE, and ALTER that drops or rewrites what is there.
    DestructiveDdl destructive_ddl Deny,
    /// Every other CREATE and ALTER of tables, indexes, views, sequences, types and schemas.
    Ddl ddl Allow,
    /// UPDATE and DELETE without a WHERE that limits them.
    UnboundedWrites unbounded_writes Deny,
    /// GRANT, REVOKE, roles, ownership, row security.
    Privileges privileges Deny,
    /// Files and programs on the server.
    ServerFiles server_files Deny,
    /// The server's configuration, other sessions, replication, system catalogs.
    ServerControl server_control Deny,
    /// Connections from the server to elsewhere: dblink, foreign servers, subscriptions.
    Outbound outbound Deny,
    /// Role and those session parameters that change what is allowed or recorded.
    SessionChanges session_changes Deny,
    /// Functions, triggers, rules, extensions, libraries: code that runs later, unseen.
    Code code Deny,
    /// SQL that is only known when it runs.
    Dynamic dynamic Deny,
    /// What the proxy could not see into.
    Opaque opaque Deny,
}

impl Settings {
    /// The outcome for the request's principal: the first exception that matches and names
    /// the rule, else the rule's own.
    pub(crate) fn outcome(&self, rule: Rule, request: &Request) -> Outcome {
        let excepted = |exception: &&Exception| exception.matches(request);
        self.exception
            .iter()
            .filter(excepted)
            .find_map(|exception| exception.outcome(rule))
            .unwrap_or_else(|| self.standing(rule))
    }

    /// Settings that could not work are refused when they are made, not when they are needed.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (index, exception) in self.exception.iter().enumerate() {
            let number = index + 1;
            if exception.is_for_everyone() {
                return Err(format!(
                    "exception {number} names no groups, subjects, kinds or databases"
                ));
            }
            if exception.outcomes().next().is_none() {
                return Err(format!("exception {number} names no rule"));
            }
        }
        let approval = &self.approval;
        if self.asks_for_approval() && approval.approvers.is_empty() {
            return Err("a rule says \"approve\", but approval.approvers names no group".to_owned());
        }
        if approval.approvals_needed == 0 {
            return Err("approval.approvals_needed must be at least 1".to_owned());
        }
        Ok(())
    }

    fn asks_for_approval(&self) -> bool {
        Rule::ALL.iter().any(|rule| self.standing(*rule) == Outcome::Approve)
            || self
                .exception
                .iter()
                .flat_map(Exception::outcomes)
                .any(|outcome| outcome == Outcome::Approve)
    }
}

/// Who releases held statements.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Approval {
    pub(crate) approvers: Vec<String>,
    pub(crate) approvals_needed: u32,
    pub(crate) expires_in_seconds: u32,
}

impl Default for Approval {
    fn default() -> Approval {
        Approval { approvers: Vec::new(), approvals_needed: 1, expires_in_seconds: 3600 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Human,
    Service,
    Agent,
}

impl Kind {
    fn is(self, kind: PrincipalKind) -> bool {
        match self {
            Kind::Human => kind == PrincipalKind::Human,
            Kind::Service => kind == PrincipalKind::Service,
            Kind::Agent => kind == PrincipalKind::Agent,
        }
    }
}

impl Exception {
    fn matches(&self, request: &Request) -> bool {
        let principal = &request.principal;
        let any = |names: &[String], is: &dyn Fn(&str) -> bool| {
            names.is_empty() || names.iter().any(|name| is(name))
        };
        any(&self.groups, &|group| principal.is_in(group))
            && any(&self.subjects, &|subject| principal.subject == subject)
            && any(&self.databases, &|database| request.database.name == database)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.is(principal.kind)))
    }

    fn is_for_everyone(&self) -> bool {
        self.groups.is_empty()
            && self.subjects.is_empty()
            && self.kinds.is_empty()
            && self.databases.is_empty()
    }
}
