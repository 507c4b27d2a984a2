//! The commands against an API that answers from a script.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use clap::Parser;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::access::Surroundings;
use super::done;
use super::failure::{Failure, Kind};
use crate::cli::{Cli, Command};

mod logins;

/// When the tests take place: 2026-11-22 09:00 UTC.
const NOW: i64 = 1_795_338_000;

/// Answers requests, one after another, and keeps what was asked.
struct Script {
    address: SocketAddr,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
    home: tempfile::TempDir,
}

impl Script {
    fn new(answers: &[(u16, Value)]) -> Script {
        // What main does; it is an error only the second time.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let script = Script {
            address: listener.local_addr().unwrap(),
            answers: Arc::default(),
            asked: Arc::default(),
            home: tempfile::tempdir().unwrap(),
        };
        script.then(answers);
        let (answers, asked) = (script.answers.clone(), script.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &answers, &asked);
            }
        });
        script
    }

    fn then(&self, answers: &[(u16, Value)]) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let answers = answers.iter().map(|(status, value)| (*status, text(value)));
        self.answers.lock().unwrap().extend(answers);
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> String {
        std::mem::take(&mut *self.asked.lock().unwrap()).join("\n").replace(&self.url(), "API")
    }

    fn run(&self, arguments: &[&str]) -> Result<String, Failure> {
        run(arguments, &|name| match name {
            "PORTCULLIS_ADMIN" => Some(self.url()),
            "XDG_STATE_HOME" => Some(self.home.path().display().to_string()),
            _ => None,
        })
    }
}

fn run(
    arguments: &[&str],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Failure> {
    let around = Surroundings {
        environment,
        prompt: &|user| Ok(format!("{user}'s secret")),
        pause: &|_| {},
    };
    let cli = Cli::try_parse_from(std::iter::once(&"portcullis").chain(arguments)).unwrap();
    let Command::Client(command) = cli.command else { panic!("not a client's command") };
    let said = std::cell::RefCell::new(String::new());
    let say = |text: &str| {
        said.borrow_mut().push_str(text);
        Ok(())
    };
    let shown = done(&command, &around, &say, NOW)?;
    Ok(said.into_inner() + &shown)
}

fn serve(
    mut stream: TcpStream,
    answers: &Mutex<VecDeque<(u16, String)>>,
    asked: &Mutex<Vec<String>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let mut line = request.trim_end_matches(" HTTP/1.1\r\n").to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name {
            "authorization" => line.push_str(&format!(" [{value}]")),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    if !body.is_empty() {
        line.push_str(&format!(" {}", String::from_utf8(body).unwrap()));
    }
    asked.lock().unwrap().push(line);
    let (status, body) = answers.lock().unwrap().pop_front().unwrap_or((500, "{}".to_owned()));
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} So\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).unwrap();
}

/// What was asked of the API, and what is printed.
fn check(arguments: &[&str], answer: Value, expected: Expect) {
    check_status(arguments, 200, answer, expected);
}

fn check_status(arguments: &[&str], status: u16, answer: Value, expected: Expect) {
    let script = Script::new(&[(status, answer)]);
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--user", "dora"]).collect();
    let printed = match script.run(&arguments) {
        Ok(shown) => shown,
        Err(failure) => format!("{failure}\n{:?}\n", failure.kind),
    };
    let printed = printed.replace(&script.url(), "API");
    expected.assert_eq(&format!("{}\n{printed}", script.asked()));
}

fn approval() -> Value {
    json!({
        "id": "K7Q2M9XA", "state": "pending", "subject": "bot", "kind": "agent",
        "on_behalf_of": "ana", "database": "shop", "session": 17, "command": "UPDATE",
        "reason": "an agent writes", "approvers": ["leads", "dba"], "approvals_needed": 2,
        "granted": 1, "asked_at": "2026-11-22T08:59:00Z", "expires_at": "2026-11-22T09:04:10Z",
        "ended_at": null, "ended_because": null, "groups": ["agents"], "proof": "scram",
        "client_address": "10.0.0.5:41234", "application": "psql\u{1b}[2J", "role": "bot",
        "text": "update orders\n  set status = $1 --\u{202e}\n  granted by  everybody",
        "relations": [{ "name": "public.orders", "access": "write", "columns": ["status"],
            "labels": ["pii.note"] }],
        "rows_estimated": 3, "earlier": ["begin", "select\n1"], "in_transaction": true,
        "policies": ["10-guard"], "lease_seconds_max": 1800,
        "granted_by": [{ "by": "dora", "proof": "oidc", "comment": "fine\nby me",
            "at": "2026-11-22T08:59:30Z" }],
    })
}

#[test]
fn approvals() {
    let mut over = approval();
    over["state"] = json!("granted");
    over["ended_at"] = json!("2026-11-22T08:00:00Z");
    let all = json!({ "approvals": [approval(), over.clone()] });
    check(
        &["approval", "list"],
        all.clone(),
        expect![[r#"
        GET /v1/approvals [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        ID        WHO          DATABASE  COMMAND  EXPIRES    APPROVERS   WHY IT WAITS
        K7Q2M9XA  bot for ana  shop      UPDATE   in 4m 10s  leads, dba  an agent writes
    "#]],
    );
    check(
        &["approval", "list", "--all"],
        all,
        expect![[r#"
        GET /v1/approvals [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        ID        WHO          DATABASE  COMMAND  EXPIRES         APPROVERS   WHY IT WAITS
        K7Q2M9XA  bot for ana  shop      UPDATE   in 4m 10s       leads, dba  an agent writes
        K7Q2M9XA  bot for ana  shop      UPDATE   granted 1h ago  leads, dba  an agent writes
    "#]],
    );
    check(
        &["approval", "list"],
        json!({ "approvals": [] }),
        expect![[r#"
        GET /v1/approvals [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        nothing waits for a decision
    "#]],
    );
    check(
        &["approval", "show", "K7Q2M9XA"],
        approval(),
        expect![[r#"
        GET /v1/approvals/K7Q2M9XA [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        K7Q2M9XA: pending
          who           bot, agent, acting for ana, proved by scram
          groups        agents
          from          10.0.0.5:41234
          application   psql [2J
          database      shop
          session       17
          command       UPDATE
          statement     │ update orders
                        │   set status = $1 --�
                        │   granted by  everybody
          touches       write public.orders (status), labelled pii.note
          rows          about 3, by the plan
          transaction   open: its locks are held while this waits
          before it     │ begin
                        │ select
                        │ 1
          held by       10-guard
          because       │ an agent writes
          needs         2 of leads, dba
          granted by    dora, proved by oidc, 30s ago
          comment       │ fine
                        │ by me
          asked         2026-11-22 08:59:00 UTC (1m ago)
          expires       2026-11-22 09:04:10 UTC (in 4m 10s)

          portcullis approval grant K7Q2M9XA   (--lease-minutes, up to 30: also for its like)
          portcullis approval refuse K7Q2M9XA --comment "…"
    "#]],
    );
    check(
        &["approval", "grant", "K7Q2M9XA"],
        over,
        expect![[r#"
        POST /v1/approvals/K7Q2M9XA/grant [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {}
        K7Q2M9XA: granted; it runs now
    "#]],
    );
    let comment = ["approval", "grant", "K7Q2M9XA", "--comment", "ok", "--lease-minutes", "30"];
    check(
        &comment,
        approval(),
        expect![[r#"
        POST /v1/approvals/K7Q2M9XA/grant [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {"comment":"ok","lease_seconds":1800}
        K7Q2M9XA: your grant counts, 1 of 2; others must grant it too
    "#]],
    );
    check(
        &["approval", "refuse", "K7Q2M9XA", "--comment", "no"],
        approval(),
        expect![[r#"
        POST /v1/approvals/K7Q2M9XA/refuse [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {"comment":"no"}
        K7Q2M9XA: refused; it will not run
    "#]],
    );
    let lease = json!({ "id": "L1", "subject": "bot", "database": "shop", "fingerprint": "9f",
        "until": "2026-11-22T09:30:00Z", "granted_by": ["dora"], "policies": ["10-guard"] });
    check(
        &["approval", "leases"],
        json!({ "leases": [lease] }),
        expect![[r#"
        GET /v1/leases [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        LEASE  WHO  DATABASE  EXPIRES  GRANTED BY  SHAPE
        L1     bot  shop      in 30m   dora        9f
    "#]],
    );
    check(
        &["approval", "revoke", "L1"],
        json!({ "id": "L1", "revoked": true }),
        expect![[r#"
        DELETE /v1/leases/L1 [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        the lease L1 is taken back
    "#]],
    );
}

#[test]
fn sessions_principals_and_passwords() {
    let session = json!({ "id": 17, "subject": "bot", "kind": "agent", "groups": [],
        "proof": "scram", "on_behalf_of": "ana", "database": "shop",
        "client_address": "10.0.0.5:41234", "application": "psql", "since": "2026-11-22T08:00:00Z",
        "expires_at": null, "statements": 4, "state": "waiting", "approval": "K7Q2M9XA" });
    check(
        &["session", "list"],
        json!({ "sessions": [session] }),
        expect![[r#"
        GET /v1/sessions [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        ID  WHO          KIND   PROOF  DATABASE  FROM            APPLICATION  SINCE   STATE             STATEMENTS
        17  bot for ana  agent  scram  shop      10.0.0.5:41234  psql         1h ago  waiting K7Q2M9XA  4
    "#]],
    );
    check(
        &["session", "end", "17", "--reason", "lunch"],
        json!({ "ended": true }),
        expect![[r#"
        DELETE /v1/sessions/17 [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {"reason":"lunch"}
        session 17 is ended
    "#]],
    );
    // A subject is one segment of the path, whatever is in it.
    check(
        &["principal", "disable", "corp|../a b?c", "--reason", "left"],
        json!({ "disabled": true }),
        expect![[r#"
            PUT /v1/principals/corp|..%2Fa%20b%3Fc/disabled [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {"reason":"left"}
            corp|../a b?c is shut out: sessions end within seconds, logins fail
        "#]],
    );
    check(
        &["principal", "enable", "ana"],
        json!({ "disabled": false }),
        expect![[r#"
        DELETE /v1/principals/ana/disabled [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        ana may log in again
    "#]],
    );
    let entry =
        json!({ "subject": "ana", "by": "dora", "reason": "left", "at": "2026-11-21T09:00:00Z" });
    check(
        &["principal", "list"],
        json!({ "principals": [entry] }),
        expect![[r#"
        GET /v1/principals/disabled [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        WHO  BY    SINCE   REASON
        ana  dora  1d ago  left
    "#]],
    );
    let issued = json!({ "id": "abc", "user": "pc_abc", "password": "K3YK3Y", "database": "shop",
        "expires_at": "2026-11-22T10:00:00Z" });
    check_status(
        &["credential", "issue", "--database", "shop"],
        201,
        issued,
        expect![[r#"
        POST /v1/credentials [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {"database":"shop","minutes":60}
          user          pc_abc
          password      K3YK3Y
          until         2026-11-22 10:00:00 UTC (in 1h)

        The password is not shown again. Where the proxy listens as usual:
          PGPASSWORD=K3YK3Y psql 'host=127.0.0.1 port=6432 dbname=shop user=pc_abc'
    "#]],
    );
    let entry = json!({ "id": "abc", "user": "pc_abc", "subject": "ana", "database": "shop",
        "expires_at": "2026-11-22T09:30:00Z" });
    check(
        &["credential", "list"],
        json!({ "credentials": [entry] }),
        expect![[r#"
        GET /v1/credentials [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        ID   USER    WHO  DATABASE  EXPIRES
        abc  pc_abc  ana  shop      in 30m
    "#]],
    );
    check(
        &["credential", "revoke", "abc"],
        json!({ "revoked": true }),
        expect![[r#"
        DELETE /v1/credentials/abc [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        the password abc is taken back
    "#]],
    );
}

#[test]
fn the_state_of_things() {
    let who = json!({ "subject": "dora", "kind": "human", "groups": ["dba"], "proof": "scram",
        "on_behalf_of": null, "expires_at": null, "roles": ["approver"] });
    check(
        &["whoami"],
        who.clone(),
        expect![[r#"
        GET /v1/whoami [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
          subject       dora
          kind          human
          groups        dba
          roles         approver
          proof         scram
    "#]],
    );
    check(
        &["whoami", "--json"],
        who,
        expect![[r#"
        GET /v1/whoami [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        {
          "expires_at": null,
          "groups": [
            "dba"
          ],
          "kind": "human",
          "on_behalf_of": null,
          "proof": "scram",
          "roles": [
            "approver"
          ],
          "subject": "dora"
        }
    "#]],
    );
    check(
        &["reload"],
        json!({ "reloaded": true }),
        expect![[r#"
        POST /v1/reload [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        read again; `portcullis status` says what is in force
    "#]],
    );
    check(
        &["metrics"],
        json!("# HELP a b\na{b=\"\u{1b}c\"} 1\n"),
        expect![[r#"
        GET /metrics [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        # HELP a b
        a{b=" c"} 1
    "#]],
    );
    let policies = json!({
        "revision": 7,
        "policies": [{ "name": "10-guard", "plugin": "sql_guard.wasm", "kinds": ["guardrail"],
            "mode": "enforce", "match": "everybody" }],
        "failures": [{ "policy": "50-pii", "file": "plugins.d/50-pii.toml", "line": 3,
            "reason": "unknown key\n`modee`", "last_good_in_force": true }],
    });
    let script = Script::new(&[(200, json!("ready\n")), (200, policies)]);
    expect![[r#"
        ready
        revision 7, 1 policy in force

        POLICY    PLUGIN          KINDS      MODE     FOR
        10-guard  sql_guard.wasm  guardrail  enforce  everybody

        not in force: 50-pii
          file          plugins.d/50-pii.toml
          line          3
          reason        │ unknown key
                        │ `modee`
          meanwhile     its last good form is in force
    "#]]
    .assert_eq(&script.run(&["status", "--user", "dora"]).unwrap());
}

#[test]
fn refusals_say_what_to_do() {
    let refused = |status, detail: &str, expected| {
        let problem = json!({ "title": "x", "status": status, "detail": detail });
        check_status(&["approval", "grant", "K7Q2M9XA"], status, problem, expected);
    };
    refused(
        401,
        "this needs a login",
        expect![[r#"
        POST /v1/approvals/K7Q2M9XA/grant [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {}
        error: this needs a login
          name or password are wrong, or the password is not yet or no longer good
        LoginNeeded
    "#]],
    );
    refused(
        403,
        "you are in none of the groups that may release it",
        expect![[r#"
        POST /v1/approvals/K7Q2M9XA/grant [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {}
        error: you are in none of the groups that may release it
          `portcullis whoami` says what you may do
        NotAllowed
    "#]],
    );
    refused(
        404,
        "there is no approval of that name\u{1b}[2J",
        expect![[r#"
        POST /v1/approvals/K7Q2M9XA/grant [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {}
        error: there is no approval of that name [2J
        Gone
    "#]],
    );
    refused(
        409,
        "it is over: nothing waits for a decision",
        expect![[r#"
        POST /v1/approvals/K7Q2M9XA/grant [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {}
        error: it is over: nothing waits for a decision
        Gone
    "#]],
    );
    refused(
        503,
        "the ledger cannot be written",
        expect![[r#"
        POST /v1/approvals/K7Q2M9XA/grant [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0] {}
        error: the ledger cannot be written
        Failed
    "#]],
    );
    check_status(
        &["whoami"],
        502,
        json!("<html>"),
        expect![[r#"
        GET /v1/whoami [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        error: the admin API answered 502 Bad Gateway
        Failed
    "#]],
    );
    check_status(
        &["whoami"],
        200,
        json!("<html>"),
        expect![[r#"
        GET /v1/whoami [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        error: what answers at API/ is not the admin API: it is no JSON
          name the API with --admin or PORTCULLIS_ADMIN
        Failed
    "#]],
    );
    check(
        &["approval", "show", ".."],
        json!({}),
        expect![[r#"

        error: there is no `..`
        Gone
    "#]],
    );
    // Nobody is followed elsewhere.
    check_status(
        &["whoami"],
        302,
        json!("{}"),
        expect![[r#"
        GET /v1/whoami [Basic ZG9yYTpkb3JhJ3Mgc2VjcmV0]
        error: the admin API answered 302 Found
        Failed
    "#]],
    );
}

#[test]
fn nothing_answers() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let failure = run(&["whoami", "--admin", &format!("http://{free}")], &|_| None).unwrap_err();
    assert_eq!(failure.kind, Kind::Unreachable);
    let said = failure.to_string().replace(&free.to_string(), "ADDRESS");
    expect![[r#"
        error: http://ADDRESS/ does not answer: Connection refused (os error 111)
          is it running, with [admin] in its configuration? --admin names another place"#]]
    .assert_eq(&said);
}
