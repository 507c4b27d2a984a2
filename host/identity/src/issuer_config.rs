//! An issuer, as configured.

use std::fmt;
use std::time::Duration;

use portcullis_policy::PrincipalKind;
use url::{Host, Url};

use crate::algorithm::Algorithm;
use crate::jwks::KeyTimes;
use crate::secret::Secret;

/// No clocks differ more than this.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);
/// Asking an issuer again about a session is not done more often.
pub const RECHECK_MIN: Duration = Duration::from_secs(1);

/// An issuer of tokens, as configured.
///
/// A claim is named by its name, or, where it is inside of others, by a JSON pointer that
/// begins with `/` (`/realm_access/roles`).
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The issuer's name here.
    pub name: String,
    /// What tokens have as `iss`, to the letter.
    pub url: String,
    /// Tokens are for one of these (`aud`).
    pub audiences: Vec<String>,
    /// Tokens are signed by one of these.
    pub algorithms: Vec<Algorithm>,
    /// Clients that tokens may have been issued to (`azp`, or `client_id` where there is no
    /// `azp`); empty: the audiences and our own client id.
    pub authorized_parties: Vec<String>,
    pub clock_skew: Duration,
    /// The claim that is the principal's subject.
    pub subject_claim: String,
    /// Put before the subject, so that nobody of one issuer is taken for somebody of another.
    pub subject_prefix: String,
    /// The claim with the startup user name, or several, that this one may come as.
    pub user_claim: String,
    pub groups_claim: String,
    /// The first that fits says what sort of caller this is; without one it is a human.
    pub kinds: Vec<KindRule>,
    /// A claim with the subject of the human for whom an agent acts, for issuers that do not
    /// write `act`.
    pub on_behalf_of_claim: Option<String>,
    /// Claims that rules may see.
    pub claims: Vec<String>,
    /// Databases that may be named; `None` for all.
    pub databases: Option<Vec<String>>,
    /// Our own id at the issuer, for browser logins.
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
    pub scopes: Vec<String>,
    /// Ask the issuer for what the identity token of a browser login leaves out.
    pub userinfo: bool,
    /// How often the issuer is asked whether a session still holds.
    pub recheck: Option<Duration>,
    /// A browser login is good for no longer than this.
    pub login_lifetime_max: Duration,
    /// The only certificates, in PEM, that the issuer's HTTPS may rest on.
    pub root_ca_pem: Option<Vec<u8>>,
    pub key_times: KeyTimes,
}

/// Who has `value` in `claim` is of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindRule {
    pub claim: String,
    pub value: String,
    pub kind: PrincipalKind,
}

/// What is wrong with an issuer's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerFault {
    /// The setting, by its name in [`IssuerConfig`].
    pub setting: &'static str,
    pub message: String,
}

impl IssuerConfig {
    /// An issuer with the usual settings: RS256, `sub`, `groups`, everybody a human.
    pub fn new(name: &str, url: &str, audiences: Vec<String>) -> IssuerConfig {
        IssuerConfig {
            name: name.to_owned(),
            url: url.to_owned(),
            audiences,
            algorithms: vec![Algorithm::Rs256],
            authorized_parties: Vec::new(),
            clock_skew: Duration::from_secs(30),
            subject_claim: "sub".to_owned(),
            subject_prefix: String::new(),
            user_claim: "sub".to_owned(),
            groups_claim: "groups".to_owned(),
            kinds: Vec::new(),
            on_behalf_of_claim: None,
            claims: Vec::new(),
            databases: None,
            client_id: None,
            client_secret: None,
            scopes: vec!["openid".to_owned()],
            userinfo: true,
            recheck: None,
            login_lifetime_max: Duration::from_secs(12 * 3600),
            root_ca_pem: None,
            key_times: KeyTimes::default(),
        }
    }

    /// Says what is wrong, if something is.
    pub fn check(&self) -> Result<(), IssuerFault> {
        self.check_url()?;
        let no_audience = self.audiences.is_empty() && self.client_id.is_none();
        if no_audience || self.audiences.iter().any(String::is_empty) {
            return fault(
                "audiences",
                "name at least one audience; without one, a token for anybody would do",
            );
        }
        if self.algorithms.is_empty() {
            return fault("algorithms", "name at least one algorithm");
        }
        if self.clock_skew > CLOCK_SKEW_MAX {
            return fault("clock_skew", "clocks may differ by at most 300 seconds");
        }
        if self.recheck.is_some_and(|every| every < RECHECK_MIN) {
            return fault("recheck", "the issuer is asked at most once a second");
        }
        if self.login_lifetime_max.is_zero() {
            return fault("login_lifetime_max", "a login must last for some time");
        }
        if self.client_secret.is_some() && self.client_id.is_none() {
            return fault("client_id", "a client secret is of no use without a client id");
        }
        if self.scopes.iter().any(|scope| !is_scope(scope)) {
            return fault("scopes", "a scope has no spaces, quotes or backslashes");
        }
        self.check_claims()
    }

    /// Where the issuer publishes its metadata (OpenID Connect Discovery, section 4).
    pub fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.url.trim_end_matches('/'))
    }

    /// The scopes as OAuth writes them.
    pub fn scope(&self) -> String {
        self.scopes.join(" ")
    }

    /// True for an issuer on this machine without TLS.
    pub(crate) fn is_plain_loopback(&self) -> bool {
        Url::parse(&self.url).is_ok_and(|url| url.scheme() == "http" && is_loopback(&url))
    }

    fn check_url(&self) -> Result<(), IssuerFault> {
        let Ok(url) = Url::parse(&self.url) else {
            return fault("url", "the issuer must be a URL");
        };
        if url.query().is_some() || url.fragment().is_some() || has_credentials(&url) {
            return fault("url", "an issuer has no query, fragment or password");
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_loopback(&url) => Ok(()),
            _ => fault("url", "an issuer is asked over https; http is for loopback only"),
        }
    }

    fn check_claims(&self) -> Result<(), IssuerFault> {
        let named = [
            ("subject_claim", &self.subject_claim),
            ("user_claim", &self.user_claim),
            ("groups_claim", &self.groups_claim),
        ];
        let rules = self.kinds.iter().map(|rule| ("kinds", &rule.claim));
        let carried = self.claims.iter().map(|claim| ("claims", claim));
        let human = self.on_behalf_of_claim.iter().map(|claim| ("on_behalf_of_claim", claim));
        for (setting, claim) in named.into_iter().chain(rules).chain(carried).chain(human) {
            if claim.is_empty() || claim == "/" {
                return fault(setting, "a claim has a name");
            }
        }
        Ok(())
    }
}

/// May the issuer at `config` name `url` as a place to go to?
pub(crate) fn may_go_to(config: &IssuerConfig, url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    // An issuer on the network must not be able to make us talk to this machine in clear.
    let plain = || url.scheme() == "http" && is_loopback(&url) && config.is_plain_loopback();
    !has_credentials(&url) && url.fragment().is_none() && (url.scheme() == "https" || plain())
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// RFC 6749, section 3.3.
fn is_scope(scope: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !scope.is_empty() && scope.bytes().all(allowed)
}

fn fault(setting: &'static str, message: &str) -> Result<(), IssuerFault> {
    Err(IssuerFault { setting, message: message.to_owned() })
}

impl fmt::Display for IssuerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

impl std::error::Error for IssuerFault {}
