//! A plugin directory with an engine over it, and the guests that tests put there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_engine::{Engine, EngineConfig, SetSummary, componentize};
use portcullis_policy::lineage::Outputs;
use portcullis_policy::set::{NoParameters, PolicySet, PolicySource};
use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{
    Action, Cells, ColumnSample, Database, Derivation, Fault, OutputColumn, Principal,
    PrincipalKind, Request, ResultShape, Statement, Verdict, VerdictAnswer, WireFormat,
};
use tokio::sync::watch;

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hostile guest as a component.
pub(crate) fn hostile() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| componentize(&build(&[]), None).unwrap())
}

/// The same, importing WASI.
pub(crate) fn hostile_with_wasi() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| componentize(&build(&["--features", "wasi"]), None).unwrap())
}

/// The hostile guest before it is made a component.
pub(crate) fn core_module() -> Vec<u8> {
    build(&[])
}

/// Another component that does the same.
pub(crate) fn variant(number: u32) -> Vec<u8> {
    replaced(hostile(), "hostile-marker-0000", &format!("hostile-marker-{number:04}"))
}

/// The bytes with every occurrence of a text replaced by another of the same length.
pub(crate) fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for start in 0..bytes.len() - old.len() {
        if &bytes[start..start + old.len()] == old.as_bytes() {
            bytes[start..start + old.len()].copy_from_slice(new.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{old} is in the guest");
    bytes
}

fn build(features: &[&str]) -> Vec<u8> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "portcullis-hostile-guests"])
        .args(["--target", "wasm32-unknown-unknown", "--profile", "plugin", "--target-dir"])
        .arg(&directory)
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "the hostile guest is built");
    std::fs::read(directory.join("wasm32-unknown-unknown/plugin/portcullis_hostile_guests.wasm"))
        .unwrap()
}

/// Small limits, and compiled code shared by all tests.
pub(crate) fn config(directory: &Path) -> EngineConfig {
    let mut config = EngineConfig::new(directory);
    config.cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("code"));
    config.workers = 2;
    config.policies_max = 8;
    // Much longer than needed, since a busy machine must not fail a test.
    config.defaults.deadline_ms = 100;
    config.poll_interval = Duration::from_millis(300);
    config
}

/// A plugin directory and what is in force.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) engine: Engine,
    pub(crate) summary: watch::Receiver<Arc<SetSummary>>,
    pub(crate) source: Box<dyn PolicySource>,
}

impl Bench {
    pub(crate) fn open(files: &[(&str, &[u8])]) -> Bench {
        Bench::open_with(files, |_| {})
    }

    pub(crate) fn open_with(
        files: &[(&str, &[u8])],
        change: impl FnOnce(&mut EngineConfig),
    ) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let mut config = config(directory.path());
        change(&mut config);
        let engine = Engine::open(config).unwrap();
        let summary = engine.subscribe();
        let source = engine.hub().worker();
        Bench { directory, engine, summary, source }
    }

    /// The hostile guest as policy "10-hostile" with one line of settings.
    pub(crate) fn hostile(settings: &str) -> Bench {
        Bench::open(&[("h.wasm", hostile()), ("10-hostile.toml", policy(settings).as_bytes())])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes in place, as a careless copy does.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Writes beside and renames, as a careful one does.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(".new"), bytes).unwrap();
        std::fs::rename(self.path(".new"), self.path(name)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    /// Waits until the summary is as told.
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &str, holds: impl Fn(&SetSummary) -> bool) -> SetSummary {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let waited = runtime.block_on(async {
            let wait = self.summary.wait_for(|summary| holds(summary));
            tokio::time::timeout(PATIENCE, wait).await.map(|seen| SetSummary::clone(&seen.unwrap()))
        });
        waited.unwrap_or_else(|_| panic!("{what}: {:#?}", self.now()))
    }

    pub(crate) fn now(&self) -> SetSummary {
        SetSummary::clone(&self.summary.borrow())
    }

    pub(crate) fn set(&self) -> Rc<dyn PolicySet> {
        self.source.current()
    }

    /// What the only policy says about a text.
    #[track_caller]
    pub(crate) fn judge(&self, text: &str) -> Result<Verdict, Fault> {
        only(judge(&*self.set(), text))
    }
}

#[track_caller]
pub(crate) fn only(mut answers: Vec<VerdictAnswer>) -> Result<Verdict, Fault> {
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0).answer
}

/// A policy file for "h.wasm" with one line of settings.
pub(crate) fn policy(settings: &str) -> String {
    format!("plugin = \"h.wasm\"\n[settings]\n{settings}\n")
}

pub(crate) fn principal() -> Arc<Principal> {
    Arc::new(Principal {
        subject: "ana".into(),
        kind: PrincipalKind::Human,
        groups: vec!["analysts".into(), "staff".into()],
        proof: "scram".into(),
        on_behalf_of: None,
        claims: vec![("team".into(), "growth".into())],
        client_address: "127.0.0.1:50000".into(),
        application: "psql".into(),
        role: "ana".into(),
    })
}

pub(crate) fn database(name: &str) -> Arc<Database> {
    Arc::new(Database { name: name.into(), labels: vec![("env".into(), "prod".into())] })
}

pub(crate) fn statement(text: &str) -> Statement {
    Statement {
        text: text.into(),
        shape: text.into(),
        fingerprint: "0123456789abcdef".into(),
        actions: vec![Action::Select],
        command: "SELECT".into(),
        relations: Vec::new(),
        functions: Vec::new(),
        parameters_set: Vec::new(),
        unbounded_write: false,
        unbounded_read: true,
        opaque: Vec::new(),
        outputs: Outputs::Nothing,
        written: Vec::new(),
        columns: Vec::new(),
        redefined: Vec::new(),
        carriers: Vec::new(),
        effect: SessionEffect::None,
        copy: None,
    }
}

pub(crate) fn judge(set: &dyn PolicySet, text: &str) -> Vec<VerdictAnswer> {
    judge_on(set, text, "shop")
}

pub(crate) fn judge_on(set: &dyn PolicySet, text: &str, on: &str) -> Vec<VerdictAnswer> {
    let (principal, database, statement) = (principal(), database(on), statement(text));
    let request = Request {
        principal: &principal,
        database: &database,
        statement: &statement,
        text: &statement.text,
        in_transaction: false,
        now: 1,
        attributes: &[],
    };
    set.judge(&request, &NoParameters)
}

pub(crate) fn plan(set: &dyn PolicySet, columns: usize) -> Vec<portcullis_policy::PlanAnswer> {
    let (principal, database) = (principal(), database("shop"));
    let column = OutputColumn {
        name: "email".into(),
        type_name: "text".into(),
        type_oid: 25,
        format: WireFormat::Text,
        derivation: Derivation::Direct,
        sources: Vec::new(),
    };
    let columns = vec![column; columns];
    let shape = ResultShape {
        principal: &principal,
        database: &database,
        shape: "select email from t",
        columns: &columns,
        attributes: &[],
    };
    set.plan(&shape)
}

pub(crate) fn cells(values: &[Option<&str>]) -> Cells {
    let mut cells = Cells::default();
    values.iter().for_each(|value| cells.push(value.map(str::as_bytes)));
    cells
}

/// One value of a column.
pub(crate) fn sample(value: &str) -> ColumnSample {
    ColumnSample {
        relation: "public.t".into(),
        column: "c".into(),
        type_name: "text".into(),
        comment: None,
        values: vec![value.into()],
    }
}
