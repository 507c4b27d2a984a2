//! What is allowed to whom.

use std::num::NonZeroU32;

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

/// How many rows one read may give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "limit_rows is a number of rows from 1 on, or \"none\"")]
pub(crate) enum RowLimit {
    Rows(NonZeroU32),
    Unlimited(Unlimited),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unlimited {
    None,
}

impl RowLimit {
    const NONE: RowLimit = RowLimit::Unlimited(Unlimited::None);

    fn rows(self) -> Option<u32> {
        match self {
            RowLimit::Rows(rows) => Some(rows.get()),
            RowLimit::Unlimited(Unlimited::None) => None,
        }
    }
}

/// The limit for agents, unless the settings say another.
const AGENT_ROWS: u32 = 1_000;

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
            /// The row after this many ends a read with an error.
            limit_rows: RowLimit,
            /// What holds for agents in place of the above.
            agents: Agents,
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
                    limit_rows: RowLimit::NONE,
                    agents: Agents::default(),
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

        /// What agents may do. A rule that is not named here denies, with the exception of
        /// `writes` where somebody may approve them.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct Agents {
            $($field: Option<Outcome>,)+
            limit_rows: Option<RowLimit>,
        }

        impl Agents {
            fn outcome(&self, rule: Rule) -> Option<Outcome> {
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
            limit_rows: Option<RowLimit>,
        }

        impl Exception {
            fn outcome(&self, rule: Rule) -> Option<Outcome> {
                match rule {
                    $(Rule::$case => self.$field,)+
                }
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
    /// Every change of data, INSERT, UPDATE, DELETE, MERGE and COPY FROM; and locks, sequences
    /// and maintenance, which hinder or outlast others' work.
    Writes writes Allow,
    /// SELECT of a table with neither WHERE nor LIMIT nor an aggregate, and COPY of it without
    /// LIMIT.
    UnboundedReads unbounded_reads Allow,
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
    /// the rule; for an agent what holds for agents; else the rule's own.
    pub(crate) fn outcome(&self, rule: Rule, request: &Request) -> Outcome {
        let excepted = self.exceptions(request).find_map(|exception| exception.outcome(rule));
        excepted.unwrap_or_else(|| match request.principal.kind {
            PrincipalKind::Agent => self.outcome_for_agents(rule),
            PrincipalKind::Human | PrincipalKind::Service => self.standing(rule),
        })
    }

    /// How many rows a read of the request's principal may give back, found in the same way.
    pub(crate) fn limit_rows(&self, request: &Request) -> Option<u32> {
        let excepted = self.exceptions(request).find_map(|exception| exception.limit_rows);
        let limit = excepted.map(RowLimit::rows);
        limit.unwrap_or_else(|| match request.principal.kind {
            PrincipalKind::Agent => self.limit_rows_for_agents(),
            PrincipalKind::Human | PrincipalKind::Service => self.limit_rows.rows(),
        })
    }

    fn exceptions(&self, request: &Request) -> impl Iterator<Item = &Exception> {
        self.exception.iter().filter(|exception| exception.matches(request))
    }

    /// What an operator allows to everybody was not thought of for programs that decide by
    /// themselves.
    fn outcome_for_agents(&self, rule: Rule) -> Outcome {
        let released = rule == Rule::Writes
            && !self.approval.approvers.is_empty()
            && self.standing(rule) != Outcome::Deny;
        let careful = if released { Outcome::Approve } else { Outcome::Deny };
        self.agents.outcome(rule).unwrap_or(careful)
    }

    fn limit_rows_for_agents(&self) -> Option<u32> {
        let careful = self.limit_rows.rows().map_or(AGENT_ROWS, |rows| rows.min(AGENT_ROWS));
        self.agents.limit_rows.map_or(Some(careful), RowLimit::rows)
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
            let names_rule = Rule::ALL.iter().any(|rule| exception.outcome(*rule).is_some());
            if !names_rule && exception.limit_rows.is_none() {
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
        Rule::ALL.iter().any(|rule| {
            let excepted = self.exception.iter().map(|exception| exception.outcome(*rule));
            let named = [Some(self.standing(*rule)), self.agents.outcome(*rule)];
            excepted.chain(named).any(|outcome| outcome == Some(Outcome::Approve))
        })
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
