//! The users of the configuration, and who else may come with a password.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_policy::{Principal, PrincipalKind};
use subtle::{Choice, ConstantTimeEq};

use crate::certificate::{Certificate, CertificateError, CertificateName};
use crate::credential::{CREDENTIAL_PREFIX, Credential, Credentials};
use crate::hash::{Key, hmac_sha256};
use crate::proven::{Basis, Proven};
use crate::verifier::{ITERATIONS_DEFAULT, Verifier};

const MOCK_SALT_BYTES: usize = 16;
/// A password longer than this is not tried.
const PASSWORD_BYTES_MAX: usize = 1024;

/// One user, as configured.
#[derive(Clone, Debug)]
pub struct UserConfig {
    pub name: String,
    /// What the password is checked against; `None` where there is none, and then nobody can
    /// tell that there is such a user by trying one.
    pub verifier: Option<Verifier>,
    /// Names in client certificates that are this user's.
    pub certificates: Vec<CertificateName>,
    pub groups: Vec<String>,
    pub kind: PrincipalKind,
    /// The human on whose behalf this user, an agent, acts.
    pub acts_for: Option<String>,
    /// The databases this user may name; `None` for all.
    pub databases: Option<Vec<String>>,
}

/// A user who may prove to be one.
pub type User = UserConfig;

impl UserConfig {
    /// May this user name `database`?
    pub fn may_use(&self, database: &str) -> bool {
        let named = |databases: &Vec<String>| databases.iter().any(|allowed| allowed == database);
        self.databases.as_ref().is_none_or(named)
    }

    /// This user, where the password has been proved.
    fn proven(&self, verifier: &Verifier) -> Proven {
        let basis = Basis::User { name: self.name.clone(), password: verifier.mark() };
        self.proven_by("scram", basis)
    }

    fn proven_by(&self, proof: &'static str, basis: Basis) -> Proven {
        Proven {
            subject: self.name.clone(),
            kind: self.kind,
            groups: self.groups.clone(),
            proof,
            on_behalf_of: self.acts_for.clone(),
            claims: Vec::new(),
            names: vec![self.name.clone()],
            databases: self.databases.clone(),
            expires_at: None,
            basis,
        }
    }
}

/// Drawn once per process, and kept when the configuration is read again: makes the salts of
/// users who do not exist.
#[derive(Clone)]
pub struct MockSecret(Key);

impl MockSecret {
    /// `None` where the system has no randomness.
    pub fn generate() -> Option<MockSecret> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).ok()?;
        Some(MockSecret(secret))
    }
}

impl fmt::Debug for MockSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MockSecret")
    }
}

/// All users, by name, and the short-lived passwords beside them.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: HashMap<String, Arc<User>>,
    /// The users that have a name in a certificate; more than one is a mistake.
    by_certificate: HashMap<CertificateName, BTreeSet<String>>,
    credentials: Credentials,
    /// What the salts of existing users look like, in a stable order: those of others look
    /// the same.
    forms: Vec<SaltForm>,
    mock: MockSecret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SaltForm {
    iterations: u32,
    salt_bytes: usize,
}

/// What a short-lived password's salt looks like.
const USUAL_FORM: SaltForm =
    SaltForm { iterations: ITERATIONS_DEFAULT, salt_bytes: MOCK_SALT_BYTES };

impl Users {
    /// Of two users with the same name the later one counts; the configuration refuses that.
    pub fn new(users: impl IntoIterator<Item = UserConfig>, mock: MockSecret) -> Users {
        let by_name: HashMap<String, Arc<User>> =
            users.into_iter().map(|user| (user.name.clone(), Arc::new(user))).collect();
        let form = |verifier: &Verifier| SaltForm {
            iterations: verifier.iterations,
            salt_bytes: verifier.salt.len(),
        };
        let verifiers = by_name.values().filter_map(|user| user.verifier.as_ref());
        let mut forms: Vec<SaltForm> = verifiers.map(form).collect();
        forms.sort_unstable();
        let mut by_certificate: HashMap<CertificateName, BTreeSet<String>> = HashMap::new();
        for user in by_name.values() {
            for name in &user.certificates {
                by_certificate.entry(name.clone()).or_default().insert(user.name.clone());
            }
        }
        Users { by_name, by_certificate, credentials: Credentials::in_memory(), forms, mock }
    }

    /// Lets those in too who have one of these short-lived passwords. They live on when the
    /// configuration is read again: the next [`Users`] are given the same.
    pub fn with_credentials(self, credentials: Credentials) -> Users {
        Users { credentials, ..self }
    }

    /// The user called `name`.
    pub fn named(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// Who comes as `name` with this password at `now`. It takes milliseconds of computing,
    /// and as long for a name that nobody has.
    pub fn by_password(&self, name: &str, password: &str, now: SystemTime) -> Option<Proven> {
        if password.len() > PASSWORD_BYTES_MAX {
            return None;
        }
        let (kept, matched) = self.asked(name, now);
        let derived = Verifier::derive(password, &kept.salt, kept.iterations);
        let proven =
            derived.stored_key.ct_eq(&kept.stored_key) & Choice::from(u8::from(matched.is_some()));
        matched.filter(|_| bool::from(proven)).map(|matched| matched.proven(&kept))
    }

    /// Whom a verified client certificate names, if they are who the client came as.
    ///
    /// A certificate with the names of several users is refused: otherwise the client's own
    /// word would choose among them.
    pub fn by_certificate(
        &self,
        certificate: &Arc<Certificate>,
        startup_user: &str,
        now: SystemTime,
    ) -> Result<Proven, CertificateError> {
        certificate.valid_at(now)?;
        let known = certificate.names().iter().filter_map(|name| self.by_certificate.get(name));
        let users: BTreeSet<&String> = known.flatten().collect();
        let mut users = users.into_iter();
        let user = users.next().ok_or(CertificateError::Nobody)?;
        if users.next().is_some() {
            return Err(CertificateError::Ambiguous);
        }
        if user != startup_user {
            return Err(CertificateError::OtherUser);
        }
        let user = self.named(user).ok_or(CertificateError::Nobody)?;
        let basis =
            Basis::Certificate { user: user.name.clone(), certificate: Arc::clone(certificate) };
        let mut proven = user.proven_by("certificate", basis);
        proven.expires_at = Some(certificate.not_after);
        proven.claims = vec![
            ("certificate_subject".to_owned(), certificate.subject.clone()),
            ("certificate_issuer".to_owned(), certificate.id.issuer.clone()),
            ("certificate_serial".to_owned(), certificate.id.serial.clone()),
        ];
        Ok(proven)
    }

    /// The user as they would be if they logged in with their password now.
    pub(crate) fn as_now(&self, name: &str) -> Option<Proven> {
        let user = self.named(name)?;
        user.verifier.as_ref().map(|verifier| user.proven(verifier))
    }

    /// The short-lived password with this id, if it is still good.
    pub(crate) fn credential(&self, id: &str, now: SystemTime) -> Option<Proven> {
        let credential = self.credentials.with_id(id, now)?;
        self.upholds(&credential).then(|| credential.proven())
    }

    /// What an exchange with `name` is checked against, and who it proves: for a name that
    /// nobody has, a verifier that nothing fits and that is the same each time.
    pub(crate) fn asked(&self, name: &str, now: SystemTime) -> (Verifier, Option<Matched>) {
        // All three are done for every name, so that none takes longer than another.
        let mock = self.mock_verifier(name);
        let credential = self.credentials.of(name, now);
        let user = self.named(name);
        if let Some(user) = user {
            return match &user.verifier {
                Some(verifier) => (verifier.clone(), Some(Matched::User(Arc::clone(user)))),
                None => (mock, None),
            };
        }
        match credential.filter(|credential| self.upholds(credential)) {
            Some(credential) => {
                (credential.verifier.clone(), Some(Matched::Credential(credential)))
            }
            None => (mock, None),
        }
    }

    /// A user's short-lived password stands and falls with the user.
    fn upholds(&self, credential: &Credential) -> bool {
        let Some(name) = &credential.of_user else { return true };
        let mark = |user: &User| user.verifier.as_ref().map(|verifier| verifier.mark().text());
        self.named(name).is_some_and(|user| {
            (credential.of_password.is_none() || credential.of_password == mark(user))
                && user.kind == credential.kind
                && user.groups == credential.groups
                && user.acts_for == credential.on_behalf_of
                && user.may_use(&credential.database)
        })
    }

    fn mock_verifier(&self, name: &str) -> Verifier {
        let drawn = hmac_sha256(&self.mock.0, &[b"form", name.as_bytes()]);
        let form = match name.starts_with(CREDENTIAL_PREFIX) {
            true => USUAL_FORM,
            false => self.mock_form(&drawn),
        };
        let mut salt = Vec::with_capacity(form.salt_bytes);
        for block in 0..form.salt_bytes.div_ceil(32) {
            let number = (block as u64).to_le_bytes();
            salt.extend(hmac_sha256(&self.mock.0, &[b"salt", &number, name.as_bytes()]));
        }
        salt.truncate(form.salt_bytes);
        let stored_key = hmac_sha256(&self.mock.0, &[b"stored", name.as_bytes()]);
        let server_key = hmac_sha256(&self.mock.0, &[b"server", name.as_bytes()]);
        Verifier { iterations: form.iterations, salt, stored_key, server_key }
    }

    fn mock_form(&self, drawn: &Key) -> SaltForm {
        let number = drawn.iter().take(4).fold(0, |number, byte| number << 8 | usize::from(*byte));
        let index = number.checked_rem(self.forms.len()).unwrap_or_default();
        self.forms.get(index).copied().unwrap_or(USUAL_FORM)
    }
}

/// Whom a finished exchange would prove.
#[derive(Clone, Debug)]
pub(crate) enum Matched {
    User(Arc<User>),
    Credential(Arc<Credential>),
}

impl Matched {
    /// `verifier` is what the proof was checked against.
    pub(crate) fn proven(&self, verifier: &Verifier) -> Proven {
        match self {
            Matched::User(user) => user.proven(verifier),
            Matched::Credential(credential) => credential.proven(),
        }
    }
}

/// Proof that a client is who it came as. Only a finished exchange makes one.
#[derive(Clone, Debug)]
pub struct UserMatched {
    proven: Proven,
}

impl UserMatched {
    pub(crate) fn new(proven: Proven) -> UserMatched {
        UserMatched { proven }
    }

    pub fn proven(&self) -> &Proven {
        &self.proven
    }

    pub fn into_proven(self) -> Proven {
        self.proven
    }

    /// May this user name `database`?
    pub fn may_use(&self, database: &str) -> bool {
        self.proven.may_use(database)
    }

    /// The principal of a session; the last two are the client's own word.
    pub fn principal(&self, client_address: &str, application: &str, role: &str) -> Principal {
        self.proven.principal(client_address, application, role)
    }
}
