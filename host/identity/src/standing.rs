//! Does a login still hold? Asked at the login itself, and of every session again and again.

use std::fmt;
use std::time::SystemTime;

use crate::certificate::Revocations;
use crate::disabled::Disabled;
use crate::proven::{Basis, Proven};
use crate::users::Users;

/// Why a login no longer holds. As text, it is what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapsed {
    /// The password, the certificate or the token was good until now.
    Expired,
    /// An administrator has shut the principal out, or whom it acts for.
    Disabled,
    /// The user is not in the configuration any more, or has no password any more.
    UserGone,
    /// The user has another password now.
    PasswordChanged,
    /// Groups, kind, databases or whom it acts for are not what they were.
    UserChanged,
    /// The short-lived password was taken back.
    CredentialRevoked,
    /// The authority has taken the certificate back.
    CertificateRevoked,
    /// The certificate is not this user's any more.
    CertificateUnmapped,
}

impl fmt::Display for Lapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lapsed::Expired => "your login has expired",
            Lapsed::Disabled => "an administrator has disabled your access",
            Lapsed::UserGone => "your user is no longer known here",
            Lapsed::PasswordChanged => "your password has been changed",
            Lapsed::UserChanged => "your groups or rights have changed",
            Lapsed::CredentialRevoked => "your short-lived password has been revoked",
            Lapsed::CertificateRevoked => "your certificate has been revoked",
            Lapsed::CertificateUnmapped => "your certificate is no longer your user's",
        })
    }
}

impl std::error::Error for Lapsed {}

/// What logins are held against, as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub users: &'a Users,
    pub disabled: &'a Disabled,
    pub revocations: &'a Revocations,
}

impl Standing<'_> {
    /// Does this login hold at `now`? What an issuer says of a token by then is for its
    /// issuer to be asked.
    pub fn holds(&self, proven: &Proven, now: SystemTime) -> Result<(), Lapsed> {
        if proven.expires_at.is_some_and(|until| until <= now) {
            return Err(Lapsed::Expired);
        }
        let acts_for = proven.on_behalf_of.as_deref();
        if self.disabled.contains(&proven.subject)
            || acts_for.is_some_and(|human| self.disabled.contains(human))
        {
            return Err(Lapsed::Disabled);
        }
        match &proven.basis {
            Basis::User { name, password } => {
                let today = self.users.as_now(name).ok_or(Lapsed::UserGone)?;
                match today.basis {
                    Basis::User { password: today, .. } if today != *password => {
                        return Err(Lapsed::PasswordChanged);
                    }
                    Basis::User { .. }
                    | Basis::Credential { .. }
                    | Basis::Certificate { .. }
                    | Basis::Token(_) => {}
                }
                unchanged(proven, &today)
            }
            Basis::Credential { id } => {
                let today = self.users.credential(id, now).ok_or(Lapsed::CredentialRevoked)?;
                unchanged(proven, &today)
            }
            Basis::Certificate { user, certificate } => {
                if self.revocations.contains(&certificate.id) {
                    return Err(Lapsed::CertificateRevoked);
                }
                let today = self.users.by_certificate(certificate, user, now);
                unchanged(proven, &today.map_err(|_| Lapsed::CertificateUnmapped)?)
            }
            Basis::Token(_) => Ok(()),
        }
    }
}

fn unchanged(then: &Proven, today: &Proven) -> Result<(), Lapsed> {
    let same = then.subject == today.subject
        && then.kind == today.kind
        && then.groups == today.groups
        && then.on_behalf_of == today.on_behalf_of
        && then.databases == today.databases;
    if same { Ok(()) } else { Err(Lapsed::UserChanged) }
}
