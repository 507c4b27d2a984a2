//! `[[user]]`: who is known to the proxy itself.

use std::collections::HashMap;

use portcullis_identity::{CREDENTIAL_PREFIX, Verifier};
use portcullis_policy::PrincipalKind;

use super::issuer;
use super::secret;
use super::table::{Placed, Problems, Table, nearest};
use super::values::{self, Context, Names};

/// What of a certificate may name a user.
const CERTIFICATE_FIELDS: [&str; 4] = ["cn", "dns", "email", "uri"];

/// Somebody whom the proxy knows by itself.
#[derive(Clone, Debug)]
pub struct UserConfig {
    pub name: String,
    /// `None`: no password, so certificates alone.
    pub verifier: Option<Verifier>,
    /// A whole distinguished name, or "cn:…", "dns:…", "email:…", "uri:…". No two users share
    /// one.
    pub certificates: Vec<String>,
    pub groups: Vec<String>,
    pub kind: PrincipalKind,
    /// Whose agent this is. Only agents have one.
    pub acts_for: Option<String>,
    /// The databases this user may name; `None` for all.
    pub databases: Option<Vec<String>>,
}

pub(super) fn users(
    root: &mut Table<'_, '_>,
    databases: &[&str],
    has_issuers: bool,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Vec<UserConfig> {
    let mut reader = Reader {
        databases,
        context,
        names: Names::new("a user"),
        certificates: HashMap::new(),
        acted_for: Vec::new(),
    };
    let tables = root.tables("user", problems);
    if tables.is_empty() && !has_issuers {
        problems.warn(&(0..0), "there is no [[user]]: nobody can log in");
    }
    let mut users = Vec::new();
    let mut known = Vec::new();
    for table in tables {
        let user = reader.user(table, &mut known, problems);
        users.extend(user);
    }
    // Somebody of an issuer's is known once they log in.
    if !has_issuers {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        values::check_known("user", &reader.acted_for, &known, problems);
    }
    users
}

struct Reader<'r> {
    databases: &'r [&'r str],
    context: &'r Context<'r>,
    names: Names,
    /// Whose each is.
    certificates: HashMap<String, String>,
    acted_for: Vec<Placed<String>>,
}

impl Reader<'_> {
    fn user(
        &mut self,
        mut table: Table<'_, '_>,
        known: &mut Vec<String>,
        problems: &mut Problems,
    ) -> Option<UserConfig> {
        let name = table.required("name", problems);
        let certificates = table.strings("certificates", problems);
        let has_certificates = certificates.as_ref().is_some_and(|names| !names.is_empty());
        let plain = name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        let verifier = self.verifier(&plain, &mut table, has_certificates, problems);
        let groups = table.strings("groups", problems).unwrap_or_default();
        let kind = issuer::kind(&mut table, problems);
        let acts_for = table.string("acts_for", problems);
        let allowed = table.strings("databases", problems);
        table.finish(problems);
        values::check_known("database", allowed.iter().flatten(), self.databases, problems);
        let name = name?;
        if name.value.starts_with(CREDENTIAL_PREFIX) {
            let message = format!(
                "names that begin with {CREDENTIAL_PREFIX} are those of short-lived passwords"
            );
            problems.add(&name.span, message);
        }
        self.names.enter(&name, problems);
        known.push(name.value.clone());
        if let Some(human) = &acts_for {
            self.acts_for(&name.value, kind, human, problems);
        }
        let certificates = certificates.unwrap_or_default();
        let read = |text| self.certificate(&name.value, text, problems);
        Some(UserConfig {
            certificates: certificates.into_iter().filter_map(read).collect(),
            name: name.value,
            verifier: verifier?,
            groups: values::plain(groups),
            kind,
            acts_for: acts_for.map(|human| human.value),
            databases: allowed.map(values::plain),
        })
    }

    /// None where it is wrong; Some(None) where there is none and need not be.
    fn verifier(
        &self,
        name: &str,
        table: &mut Table<'_, '_>,
        has_certificates: bool,
        problems: &mut Problems,
    ) -> Option<Option<Verifier>> {
        let scram = table.string("scram", problems);
        let file = table.string("password_file", problems);
        let (made, span) = match (scram, file) {
            (Some(scram), None) => (scram.value.parse(), scram.span),
            (None, Some(file)) => {
                let password = secret::read_text(&self.context.base, &file, problems)?;
                (Verifier::steady(name, &password), file.span)
            }
            (Some(_), Some(file)) => {
                problems.add(&file.span, "`scram` is given already: keep one of them");
                return None;
            }
            (None, None) if has_certificates => return Some(None),
            (None, None) => {
                table.missing("scram`, `password_file` or `certificates", problems);
                return None;
            }
        };
        made.map(Some).map_err(|error| problems.add(&span, error.to_string())).ok()
    }

    fn acts_for(
        &mut self,
        name: &str,
        kind: PrincipalKind,
        human: &Placed<String>,
        problems: &mut Problems,
    ) {
        if kind != PrincipalKind::Agent {
            problems.add(&human.span, "`acts_for` is for agents: set kind = \"agent\"");
        } else if human.value == name {
            problems.add(&human.span, "an agent acts for somebody else");
        } else {
            self.acted_for.push(human.clone());
        }
    }

    fn certificate(
        &mut self,
        user: &str,
        text: Placed<String>,
        problems: &mut Problems,
    ) -> Option<String> {
        if let Err(message) = check_certificate(&text.value) {
            problems.add(&text.span, message);
            return None;
        }
        match self.certificates.insert(text.value.clone(), user.to_owned()) {
            Some(other) => {
                let message = format!("`{}` is user `{other}` already", text.value);
                problems.add(&text.span, message);
                None
            }
            None => Some(text.value),
        }
    }
}

fn check_certificate(text: &str) -> Result<(), String> {
    let field = text.split_once(':').map(|(field, value)| (field, value.trim()));
    let is_name = text.split_once('=').is_some_and(|(attribute, value)| {
        !attribute.is_empty()
            && attribute.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
            && !value.is_empty()
    });
    if text.contains('\0') {
        return Err("a certificate's name has no zero byte".to_owned());
    }
    match field {
        _ if is_name => Ok(()),
        Some((field, value)) if CERTIFICATE_FIELDS.contains(&field) => match value {
            "" => Err(format!("`{field}:` names nobody")),
            // One certificate is one user's.
            _ if field != "uri" && value.contains('*') => {
                Err(format!("`{text}` is no pattern: write the name whole"))
            }
            _ => Ok(()),
        },
        Some((field, _)) => {
            let near = nearest(field, CERTIFICATE_FIELDS.into_iter());
            Err(format!("`{field}:` is not cn:, dns:, email: or uri:{near}"))
        }
        None => Err(format!(
            "`{text}` is neither a whole name such as CN=ana,O=Example nor cn:, dns:, email: \
             or uri: and a value"
        )),
    }
}
