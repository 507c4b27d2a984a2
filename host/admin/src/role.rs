//! Roles: what somebody may do here, by the groups they are in.

use std::collections::BTreeSet;
use std::fmt;

/// What the configuration gives to members of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees sessions, leases and metrics.
    Viewer,
    /// A viewer who may end sessions and leases and have the configuration read again.
    Operator,
    /// Sees what waits, and decides it where a policy names one of their groups.
    Approver,
    /// All of it, and who may log in at all.
    Administrator,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Operator, Role::Approver, Role::Administrator];

    /// The word used in configuration and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Approver => "approver",
            Role::Administrator => "administrator",
        }
    }

    /// Who has `self` has what `other` may, too.
    fn includes(self, other: Role) -> bool {
        match self {
            Role::Administrator => true,
            Role::Operator => matches!(other, Role::Operator | Role::Viewer),
            Role::Viewer | Role::Approver => self == other,
        }
    }
}

/// Which groups have which role. A role without groups is nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    pub viewer: Vec<String>,
    pub operator: Vec<String>,
    pub approver: Vec<String>,
    pub administrator: Vec<String>,
}

impl Roles {
    /// Has no group any role?
    pub fn is_empty(&self) -> bool {
        Role::ALL.iter().all(|role| self.groups(*role).is_empty())
    }

    /// What a member of `groups` holds.
    pub(crate) fn of(&self, groups: &[String]) -> Held {
        let holds = |role: &Role| groups.iter().any(|group| self.groups(*role).contains(group));
        Held(Role::ALL.into_iter().filter(holds).collect())
    }

    fn groups(&self, role: Role) -> &[String] {
        match role {
            Role::Viewer => &self.viewer,
            Role::Operator => &self.operator,
            Role::Approver => &self.approver,
            Role::Administrator => &self.administrator,
        }
    }
}

/// The roles of one who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held(BTreeSet<Role>);

impl Held {
    pub fn includes(&self, role: Role) -> bool {
        self.0.iter().any(|held| held.includes(role))
    }

    /// What was given, without what it includes.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|role| role.as_str()).collect()
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To be somebody.
    Login,
    /// Any one of these.
    Role(&'static [Role]),
}

impl Need {
    pub fn is_met_by(self, held: &Held) -> bool {
        match self {
            Need::Login => true,
            Need::Role(any) => any.iter().any(|role| held.includes(*role)),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Login => f.write_str("a login"),
            Need::Role(any) => {
                let names: Vec<&str> = any.iter().map(|role| role.as_str()).collect();
                write!(f, "the role {}", names.join(" or "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_come_from_groups_and_include_others() {
        let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let roles = Roles {
            viewer: groups(&["staff"]),
            operator: groups(&["ops", "oncall"]),
            approver: groups(&["dba"]),
            administrator: groups(&["root"]),
        };
        let check = |members: &[&str], expected: &[&str]| {
            let held = roles.of(&groups(members));
            let may = |role: &Role| held.includes(*role);
            let names: Vec<&str> = Role::ALL.into_iter().filter(may).map(Role::as_str).collect();
            assert_eq!(names, expected, "{members:?}");
        };
        check(&[], &[]);
        check(&["viewer", "administrator"], &[]);
        check(&["staff"], &["viewer"]);
        check(&["oncall"], &["viewer", "operator"]);
        check(&["dba"], &["approver"]);
        check(&["dba", "staff"], &["viewer", "approver"]);
        check(&["root"], &["viewer", "operator", "approver", "administrator"]);
        let nobody = Roles::default().of(&groups(&["root", ""]));
        assert!(nobody.names().is_empty());
    }
}
