//! Browsers: who is logged in by cookie, and who is on the way to an issuer and back.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_identity::Proven;

use crate::secret;

/// Logins that were sent to an issuer and may still come back.
const FLOWS_MAX: usize = 1_000;
/// How long somebody may take at the issuer.
const FLOW: Duration = Duration::from_secs(600);
/// How often one person may be logged in at once.
const BROWSERS_PER_SUBJECT_MAX: usize = 10;

/// All browsers that are logged in, by what their cookie hashes to: whoever reads this
/// memory finds no cookie.
pub(crate) struct Browsers {
    entries: Mutex<HashMap<String, Browser>>,
    browsers_max: usize,
    lifetime: Duration,
}

struct Browser {
    proven: Proven,
    until: Instant,
}

impl Browsers {
    pub fn new(browsers_max: usize, lifetime: Duration) -> Browsers {
        Browsers { entries: Mutex::default(), browsers_max, lifetime }
    }

    /// Logs one in; the cookie it shall carry, `None` where no more may be.
    pub fn log_in(&self, proven: Proven, now: Instant) -> Option<String> {
        let cookie = secret::random()?;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, browser| browser.until > now);
        let own = entries.values().filter(|browser| browser.proven.subject == proven.subject);
        if own.count() >= BROWSERS_PER_SUBJECT_MAX {
            let subject = proven.subject.clone();
            drop_soonest(&mut entries, |b| (b.proven.subject == subject).then_some(b.until));
        }
        if entries.len() >= self.browsers_max {
            return None;
        }
        let until = now.checked_add(self.lifetime)?;
        entries.insert(secret::digest(&cookie), Browser { proven, until });
        Some(cookie)
    }

    /// Who carries `cookie`.
    pub fn who(&self, cookie: &str, now: Instant) -> Option<Proven> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let browser = entries.get(&secret::digest(cookie))?;
        (browser.until > now).then(|| browser.proven.clone())
    }

    pub fn log_out(&self, cookie: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&secret::digest(cookie));
    }
}

/// Logins on the way to an issuer and back, by the state that names them there.
#[derive(Default)]
pub(crate) struct Flows {
    entries: Mutex<HashMap<String, Flow>>,
}

/// One of them.
pub(crate) struct Flow {
    /// Digest of the cookie of the browser that began it: nobody else may finish it.
    pub browser: String,
    pub issuer: String,
    pub nonce: String,
    pub pkce_verifier: String,
    /// Where the browser goes then: a path of ours.
    pub next: String,
    until: Instant,
}

/// What an issuer is told of a new one.
pub(crate) struct Begun {
    pub state: String,
    pub nonce: String,
    pub pkce_challenge: String,
}

impl Flows {
    /// Begins one for the browser that carries `cookie`; `None` where the system has no
    /// randomness. Of too many the oldest is forgotten.
    pub fn begin(&self, cookie: &str, issuer: &str, next: &str, now: Instant) -> Option<Begun> {
        let (state, nonce, verifier) = (secret::random()?, secret::random()?, secret::random()?);
        let begun = Begun {
            state: state.clone(),
            nonce: nonce.clone(),
            pkce_challenge: secret::digest(&verifier),
        };
        let flow = Flow {
            browser: secret::digest(cookie),
            issuer: issuer.to_owned(),
            nonce,
            pkce_verifier: verifier,
            next: next.to_owned(),
            until: now.checked_add(FLOW)?,
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, flow| flow.until > now);
        if entries.len() >= FLOWS_MAX {
            drop_soonest(&mut entries, |flow| Some(flow.until));
        }
        entries.insert(state, flow);
        Some(begun)
    }

    /// Takes out the one that `state` names, if the browser that carries `cookie` began it.
    /// It is gone then, whatever comes of it.
    pub fn finish(&self, state: &str, cookie: &str, now: Instant) -> Option<Flow> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let flow = entries.remove(state)?;
        let its_own = secret::same(&flow.browser, &secret::digest(cookie));
        (its_own && flow.until > now).then_some(flow)
    }
}

/// Forgets the entry that would end first.
fn drop_soonest<K: Clone + Eq + Hash, V>(
    entries: &mut HashMap<K, V>,
    until: impl Fn(&V) -> Option<Instant>,
) {
    let ends = entries.iter().filter_map(|(key, entry)| Some((until(entry)?, key)));
    let soonest = ends.min_by_key(|(until, _)| *until).map(|(_, key)| key.clone());
    if let Some(key) = soonest {
        entries.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_identity::Basis;
    use portcullis_policy::PrincipalKind;

    fn proven(subject: &str) -> Proven {
        Proven {
            subject: subject.to_owned(),
            kind: PrincipalKind::Human,
            groups: Vec::new(),
            proof: "scram",
            on_behalf_of: None,
            claims: Vec::new(),
            names: Vec::new(),
            databases: None,
            expires_at: None,
            basis: Basis::Credential { id: "1".to_owned() },
        }
    }

    #[test]
    fn a_browser_is_known_until_it_logs_out_or_its_time_is_over() {
        let browsers = Browsers::new(2, Duration::from_secs(60));
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let ana = browsers.log_in(proven("ana"), now).unwrap();
        let ben = browsers.log_in(proven("ben"), now).unwrap();
        assert!(browsers.log_in(proven("eva"), now).is_none(), "no more than two");
        let who = |cookie: &str, at| browsers.who(cookie, at).map(|proven| proven.subject);
        assert_eq!(who(&ana, now).as_deref(), Some("ana"));
        assert_eq!(who(&ana, later), None);
        assert_eq!(who("", now), None);
        assert_eq!(who(&secret::digest(&ana), now), None, "what is kept is no cookie");
        browsers.log_out(&ben);
        assert_eq!(who(&ben, now), None);
        assert!(browsers.log_in(proven("eva"), now).is_some());
    }

    #[test]
    fn one_person_takes_only_so_many_places() {
        let browsers = Browsers::new(100, Duration::from_secs(60));
        let now = Instant::now();
        let log_in = |n: u64| browsers.log_in(proven("ana"), now + Duration::from_secs(n)).unwrap();
        let cookies: Vec<String> = (0..11).map(log_in).collect();
        assert!(browsers.who(&cookies[0], now).is_none(), "the oldest made room");
        assert!(cookies[1..].iter().all(|cookie| browsers.who(cookie, now).is_some()));
    }

    #[test]
    fn a_login_comes_back_once_to_the_browser_that_began_it() {
        let now = Instant::now();
        let check = |cookie: &str, after: u64, expected: bool| {
            let flows = Flows::default();
            let begun = flows.begin("cookie", "corp", "/", now).unwrap();
            let at = now + Duration::from_secs(after);
            assert_eq!(flows.finish(&begun.state, cookie, at).is_some(), expected, "{cookie}");
            assert!(flows.finish(&begun.state, "cookie", at).is_none(), "a second time");
        };
        check("cookie", 0, true);
        check("cookie", 599, true);
        check("cookie", 600, false);
        check("another", 0, false);
    }

    #[test]
    fn of_too_many_logins_on_the_way_the_oldest_is_forgotten() {
        let flows = Flows::default();
        let now = Instant::now();
        let begin = |n: u64| {
            let at = now + Duration::from_millis(n);
            flows.begin("cookie", "corp", "/", at).unwrap().state
        };
        let states: Vec<String> = (0..1_001).map(begin).collect();
        assert!(flows.finish(&states[0], "cookie", now).is_none());
        assert!(flows.finish(&states[1_000], "cookie", now).is_some());
    }
}
