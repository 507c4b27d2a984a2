//! Waiting as ordinary clients see it: psql in a terminal, psycopg, node-postgres. None of them
//! knows of approvals.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use end_to_end::driver::{Target, with_target};
use end_to_end::portcullis::{DATABASE, DEVELOPER};
use end_to_end::process::tied;
use end_to_end::waiting::SOON;
use end_to_end::{Portcullis, Terminal, artefacts, cluster};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    HOLD, HOLD_BRIEFLY, LEA, RAN_ONCE, REASON, RISKY, UNTOUCHED, approval, decide, ended, grant,
    holding, pending, total,
};

const PROMPT: &str = "shop=> ";

async fn briefly_held() -> Portcullis {
    let database = cluster().await.database().await;
    holding(&database, HOLD).policy("20-brief.toml", "sql_guard.wasm", HOLD_BRIEFLY).start().await
}

/// What the notice on the screen calls it.
async fn shown_id(terminal: &mut Terminal) -> String {
    terminal.wait_for("NOTICE:  this statement waits for approval ").await;
    let id = terminal.wait_for(":").await;
    id.trim_end_matches(':').to_owned()
}

#[tokio::test]
async fn psql_waits_until_somebody_decides() {
    let portcullis = briefly_held().await;
    let mut psql = portcullis.psql(DEVELOPER);
    psql.wait_for(PROMPT).await;

    psql.type_line(&format!("{RISKY};"));
    let id = shown_id(&mut psql).await;
    let rest = psql.wait_for("to withdraw it.").await;
    assert!(rest.contains(REASON), "{rest}");
    assert!(rest.contains("DETAIL:  Members of leads may release it within "), "{rest}");
    assert!(rest.contains(&format!("HINT:  They run: portcullis approval grant {id}.")), "{rest}");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
    // From a second terminal, with the line that the notice shows.
    let mut lead = portcullis.cli_in_terminal(LEA, &["approval", "grant", &id]);
    lead.wait_for(&format!("{id}: granted; it runs now")).await;
    assert_eq!(lead.exit_code().await, 0);
    psql.wait_for("UPDATE 20").await;
    psql.wait_for(PROMPT).await;
    assert_eq!(total(portcullis.database()).await, RAN_ONCE);

    psql.type_line(&format!("{RISKY};"));
    let id = shown_id(&mut psql).await;
    let output = portcullis.cli_as(LEA, &["approval", "refuse", &id, "--comment", "no"]).await;
    assert!(output.status.success(), "{output:?}");
    psql.wait_for("ERROR:  the statement was not released").await;
    psql.wait_for(&format!("DETAIL:  approval {id}: refused by lea: no")).await;
    psql.wait_for(PROMPT).await;

    psql.type_line("TRUNCATE scratch;");
    let id = shown_id(&mut psql).await;
    psql.wait_for("ERROR:  nobody released the statement in time").await;
    psql.wait_for(PROMPT).await;
    ended(&portcullis, &id, "expired").await;

    psql.type_line("SELECT 'still here';");
    psql.wait_for("(1 row)").await;
    psql.wait_for(PROMPT).await;
    assert_eq!(total(portcullis.database()).await, RAN_ONCE);
}

#[tokio::test]
async fn control_c_withdraws_and_the_session_goes_on() {
    let portcullis = briefly_held().await;
    let mut psql = portcullis.psql(DEVELOPER);
    psql.wait_for(PROMPT).await;
    psql.type_line(&format!("{RISKY};"));
    let id = shown_id(&mut psql).await;
    psql.wait_for("to withdraw it.").await;
    psql.interrupt();
    psql.wait_for("ERROR:  canceling statement due to user request").await;
    psql.wait_for(PROMPT).await;
    let view = ended(&portcullis, &id, "withdrawn").await;
    assert_eq!(view["ended_because"], "cancelled by the client");
    let (status, _) = decide(&portcullis, LEA, &id, "grant", json!({})).await;
    assert_eq!(status, 409);
    // The same, asked again, is asked for anew, and can be granted.
    psql.type_line("\\set VERBOSITY sqlstate");
    psql.type_line(&format!("{RISKY};"));
    psql.wait_for("NOTICE:  00000").await;
    let waits = pending(&portcullis).await;
    let [one] = waits.as_slice() else { panic!("one waits: {waits:#?}") };
    assert_ne!(one["id"], json!(id));
    psql.interrupt();
    psql.wait_for("ERROR:  57014").await;
    psql.type_line("\\set VERBOSITY default");
    psql.type_line(&format!("{RISKY};"));
    let id = shown_id(&mut psql).await;
    grant(&portcullis, &id).await;
    psql.wait_for("UPDATE 20").await;
    assert_eq!(total(portcullis.database()).await, RAN_ONCE);
}

/// Whoever leaves withdraws, however they leave.
#[tokio::test]
async fn a_client_that_goes_withdraws() {
    let portcullis = briefly_held().await;
    let mut psql = portcullis.psql(DEVELOPER);
    psql.wait_for(PROMPT).await;
    psql.type_line(&format!("{RISKY};"));
    let id = shown_id(&mut psql).await;
    drop(psql);
    let view = ended(&portcullis, &id, "withdrawn").await;
    assert_eq!(view["ended_because"], "the client disconnected");
    let (status, _) = decide(&portcullis, LEA, &id, "grant", json!({})).await;
    assert_eq!(status, 409);
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
}

/// A script that runs, and what it prints.
struct Script {
    child: Child,
    lines: mpsc::UnboundedReceiver<(String, Value)>,
}

impl Script {
    fn start(program: PathBuf, script: &str, portcullis: &Portcullis) -> Script {
        let mut command = tied(&program);
        command.arg(artefacts::drivers().join(script)).stdin(Stdio::null()).stdout(Stdio::piped());
        let target = Target {
            address: portcullis.address(),
            user: DEVELOPER.name.to_owned(),
            database: DATABASE.to_owned(),
            authority: None,
        };
        let mut child = with_target(&mut command, &target).spawn().expect("the script runs");
        let printed = BufReader::new(child.stdout.take().expect("it is piped"));
        let (send, lines) = mpsc::unbounded_channel();
        // It ends with the script.
        std::thread::spawn(move || {
            for line in printed.lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).expect("a line of JSON");
                let check = line["check"].as_str().unwrap_or_default().to_owned();
                if send.send((check, line["value"].clone())).is_err() {
                    return;
                }
            }
        });
        Script { child, lines }
    }

    /// The next line; none when it has ended.
    async fn line(&mut self) -> Option<(String, Value)> {
        let line = tokio::time::timeout(SOON, self.lines.recv()).await;
        line.unwrap_or_else(|_| panic!("the script says nothing more"))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Decides as the names of the steps say, and gives what came of them.
async fn drive(portcullis: &Portcullis, mut script: Script) -> (Vec<(String, Value)>, Vec<String>) {
    let (mut step, mut seen, mut ids) = (String::new(), Vec::new(), Vec::new());
    while let Some((check, value)) = script.line().await {
        match check.as_str() {
            "step" => step = value.as_str().unwrap_or_default().to_owned(),
            "notice" => {
                let text = value[1].as_str().unwrap_or_default();
                let id = text.strip_prefix("this statement waits for approval ");
                let id = id.and_then(|rest| rest.split(':').next()).expect("a notice of ours");
                assert_eq!(value[0], "NOTICE");
                let told = |index: usize| value[index].as_str().unwrap_or_default();
                assert!(told(2).starts_with("Members of leads may release it"), "{value}");
                assert!(told(3).contains(&format!("portcullis approval grant {id}.")), "{value}");
                ids.push(id.to_owned());
                if step.starts_with("granted") {
                    grant(portcullis, id).await;
                } else if step == "refused" {
                    let (status, _) = decide(portcullis, LEA, id, "refuse", json!({})).await;
                    assert_eq!(status, 200);
                }
            }
            _ => seen.push((check, value)),
        }
    }
    (seen, ids)
}

async fn check_script(program: PathBuf, script: &str, pipelines: bool) {
    let portcullis = briefly_held().await;
    let running = Script::start(program, script, &portcullis);
    let (seen, ids) = drive(&portcullis, running).await;
    let mut expected = vec![
        ("granted", json!(20)),
        ("granted as text", json!(20)),
        ("refused", json!(["42501", "the statement was not released"])),
        ("expired", json!(["57014", "nobody released the statement in time"])),
        ("cancelled", json!(["57014", "canceling statement due to user request"])),
        ("granted in a transaction", json!(20)),
        ("granted in a pipeline", json!(["before", 20, "after"])),
        ("alive", json!("yes")),
    ];
    expected.retain(|(step, _)| pipelines || *step != "granted in a pipeline");
    let expected: Vec<_> = expected.into_iter().map(|(step, v)| (step.to_owned(), v)).collect();
    assert_eq!(seen, expected);
    let runs = expected.iter().filter(|(step, _)| step.starts_with("granted")).count();
    let runs = i32::try_from(runs).expect("few");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED + 20 * runs);
    // The last one: its client was gone.
    let last = ids.last().expect("several waited");
    let view = ended(&portcullis, last, "withdrawn").await;
    assert_eq!(view["ended_because"], "the client disconnected");
    let cancelled = &ids[4];
    assert_eq!(approval(&portcullis, cancelled).await["ended_because"], "cancelled by the client");
    assert_eq!(pending(&portcullis).await, Vec::<Value>::new());
}

#[tokio::test]
async fn psycopg_waits_like_psql() {
    check_script(artefacts::tool("venv/bin/python"), "approvals.py", true).await;
}

#[tokio::test]
async fn node_postgres_waits_like_psql() {
    artefacts::tool("node_modules/pg");
    check_script("node".into(), "approvals.js", false).await;
}
