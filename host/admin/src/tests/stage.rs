//! A control surface with everything real behind it but the databases.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_approvals::{Announcer, Approvals, Kept, Links, Recorder, Store, View};
use portcullis_engine::{Engine, EngineConfig};
use portcullis_identity::{
    Credentials, Disabled, Issuers, Methods, MockSecret, Revocations, Throttle, UserConfig, Users,
    Verifier,
};
use portcullis_ledger::{Ledger, Options};
use portcullis_masking::Keys;
use portcullis_policy::PrincipalKind;
use portcullis_policy::approval::{Lease, Standing};
use portcullis_policy::event::{ApprovalStep, Notable};
use portcullis_proxy::settings::Directory;
use portcullis_proxy::{Limits, ListenSettings, Proxy, Settings};
use tempfile::TempDir;

use super::http::{Answer, Ask};
use crate::{Admin, AdminLimits, AdminSettings, Lags, Parts, Roles, SinkLag};

/// Users of the stage and their groups; each has the role that its group says.
pub const USERS: [(&str, &str); 8] = [
    ("nobody", "others"),
    ("viewer", "viewers"),
    ("operator", "operators"),
    ("approver", "approvers"),
    ("second", "approvers"),
    ("stranger", "strangers"),
    ("root", "administrators"),
    ("ana", "others"),
];

pub fn password(name: &str) -> String {
    format!("{name}'s own secret")
}

pub struct Stage {
    pub admin: Admin,
    pub settings: AdminSettings,
    pub approvals: Approvals,
    pub links: Links,
    pub credentials: Credentials,
    pub heard: Heard,
    pub reloads: Arc<AtomicUsize>,
    proxy: Option<Proxy>,
    _engine: Engine,
    _directory: TempDir,
}

/// What the ledger was told.
#[derive(Clone, Default)]
pub struct Heard {
    notables: Arc<Mutex<Vec<Notable>>>,
    steps: Arc<Mutex<Vec<ApprovalStep>>>,
    pub is_full: Arc<AtomicBool>,
}

impl Heard {
    pub fn take(&self) -> Vec<Notable> {
        std::mem::take(&mut self.notables.lock().unwrap())
    }

    pub fn take_steps(&self) -> Vec<ApprovalStep> {
        std::mem::take(&mut self.steps.lock().unwrap())
    }

    /// Changes, as "who action target" and why not.
    pub fn changes(&self) -> Vec<String> {
        let line = |notable: Notable| {
            let Notable::Administered { by, action, target, refused } = notable else {
                panic!("{notable:?} is no change");
            };
            let refused = refused.map(|why| format!(": {why}")).unwrap_or_default();
            format!("{} {action} {target}{refused}", by.subject)
        };
        self.take().into_iter().map(line).collect()
    }

    fn record(&self, notable: Notable) -> io::Result<()> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::Error::other("disk full"));
        }
        self.notables.lock().unwrap().push(notable);
        Ok(())
    }
}

impl Recorder for Heard {
    fn record(&mut self, step: ApprovalStep) -> io::Result<()> {
        self.steps.lock().unwrap().push(step);
        Ok(())
    }
}

impl Announcer for Heard {
    fn announce(&self, _: &View) {}
}

impl Stage {
    pub fn new() -> Stage {
        Stage::with(|_| {})
    }

    /// A stage whose settings `change` has changed.
    pub fn with(change: impl FnOnce(&mut AdminSettings)) -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let credentials = Credentials::in_memory();
        let known = directory_of(&credentials);
        let heard = Heard::default();
        let approvals = Approvals::start(
            Box::new(Memory::default()),
            Box::new(heard.clone()),
            Box::new(heard.clone()),
            portcullis_approvals::Limits::default(),
        );
        let approvals = approvals.unwrap();
        let (proxy, engine) = running(&directory, known.clone(), approvals.clone());
        let links = Links::new().unwrap();
        let reloads = Arc::new(AtomicUsize::new(0));
        let (reloading, recording) = (reloads.clone(), heard.clone());
        let parts = Parts {
            control: proxy.control(),
            sets: engine.subscribe(),
            approvals: approvals.clone(),
            links: links.clone(),
            credentials: credentials.clone(),
            reload: Arc::new(move || match reloading.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(()),
                _ => Err("portcullis.toml has a mistake".to_owned()),
            }),
            record: Arc::new(move |notable| recording.record(notable)),
            lags: Arc::new(|| Lags {
                ledger: Duration::from_millis(250),
                sinks: vec![SinkLag { policy: "90-webhook".into(), behind: Duration::ZERO }],
            }),
            population: engine.population(),
        };
        let mut settings = AdminSettings::new(SocketAddr::from(([127, 0, 0, 1], 0)), known);
        settings.roles = roles();
        settings.limits = AdminLimits { connections_max: 64, ..AdminLimits::default() };
        change(&mut settings);
        let admin = Admin::start(settings.clone(), parts).unwrap();
        let proxy = Some(proxy);
        Stage {
            admin,
            settings,
            approvals,
            links,
            credentials,
            heard,
            reloads,
            proxy,
            _engine: engine,
            _directory: directory,
        }
    }

    pub fn ask(&self, ask: Ask) -> Answer {
        ask.send(self.admin.address())
    }

    /// Logs a browser in by the form; the cookie it then has.
    pub fn log_in(&self, name: &str, next: &str) -> Vec<String> {
        let form = self.ask(Ask::get(&format!("/sign-in?next={next}")));
        let secret = password(name);
        let mark = form.mark();
        let fields =
            [("mark", mark.as_str()), ("name", name), ("password", &secret), ("next", next)];
        let done = self.ask(Ask::post("/sign-in").cookies(&form.cookies()).form(&fields));
        assert_eq!(done.status, 200, "{}", done.body);
        done.cookies()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.approvals.shut_down();
        if let Some(proxy) = self.proxy.take() {
            proxy.shut_down();
        }
    }
}

fn roles() -> Roles {
    let group = |name: &str| vec![name.to_owned()];
    Roles {
        viewer: group("viewers"),
        operator: group("operators"),
        // Strangers may approve in general, but no policy names them.
        approver: vec!["approvers".to_owned(), "strangers".to_owned()],
        administrator: group("administrators"),
    }
}

fn directory_of(credentials: &Credentials) -> Directory {
    let user = |(name, group): (&str, &str)| UserConfig {
        name: name.to_owned(),
        // One iteration: these passwords protect nothing, and there are many logins.
        verifier: Some(Verifier::derive(&password(name), b"salt", 1)),
        certificates: Vec::new(),
        groups: vec![group.to_owned()],
        kind: PrincipalKind::Human,
        databases: Some(vec!["shop".to_owned()]),
        acts_for: None,
    };
    let users = Users::new(USERS.map(user), MockSecret::generate().unwrap());
    Directory {
        users: Arc::new(users.with_credentials(credentials.clone())),
        methods: Arc::new(Methods::new(Vec::new())),
        issuers: Issuers::start(Vec::new()).unwrap(),
        revocations: Arc::new(Revocations::default()),
        disabled: Disabled::in_memory(),
        throttle: Throttle::new(),
    }
}

fn running(directory: &TempDir, known: Directory, approvals: Approvals) -> (Proxy, Engine) {
    let plugins = directory.path().join("plugins.d");
    std::fs::create_dir(&plugins).unwrap();
    let engine = Engine::open(EngineConfig::new(&plugins)).unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger"), Options::default()).unwrap();
    let listener = ListenSettings {
        name: "default".to_owned(),
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        tls_required: false,
        balancers: Vec::new(),
    };
    let settings = Settings {
        listeners: vec![listener],
        databases: Vec::new(),
        directory: known,
        browser: None,
        keys: Arc::new(Keys::new(Vec::<(String, Vec<u8>)>::new())),
        limits: Limits { drain: Duration::ZERO, ..Limits::default() },
    };
    let proxy = Proxy::start(settings, engine.hub(), (ledger, approvals), 1).unwrap();
    (proxy, engine)
}

/// A store that outlives nothing.
#[derive(Default)]
struct Memory {
    cases: BTreeMap<String, View>,
}

impl Store for Memory {
    fn load(&mut self) -> io::Result<Kept> {
        Ok(Kept::default())
    }

    fn keep(&mut self, view: &View, _: Option<&Lease>) -> io::Result<()> {
        self.cases.insert(view.id.clone(), view.clone());
        Ok(())
    }

    fn remove_lease(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn case(&mut self, id: &str) -> io::Result<Option<View>> {
        Ok(self.cases.get(id).cloned())
    }

    fn ended(&mut self, count_max: usize) -> io::Result<Vec<View>> {
        let ended = self.cases.values().filter(|view| view.standing != Standing::Pending);
        Ok(ended.take(count_max).cloned().collect())
    }

    fn forget(&mut self, _: usize, _: u64) -> io::Result<()> {
        Ok(())
    }
}
