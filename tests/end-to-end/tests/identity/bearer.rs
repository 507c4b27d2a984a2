//! SASL OAUTHBEARER: byte by byte as libpq 18 speaks it, and by libpq 18 itself.

use std::process::Command;
use std::time::{Duration, Instant};

use end_to_end::driver::{Target, with_target};
use end_to_end::portcullis::DATABASE;
use end_to_end::provider::CLIENT;
use end_to_end::{Account, Database, Provider, Setup, Wanted, artefacts, cluster};
use serde_json::{Value, json};

use super::arrival::{Answer, Arrival, Proof};
use super::{principal, provider, record};

const MECHANISM: &str = "OAUTHBEARER";
/// Between the parts of a message, and the whole of the last one.
const SEPARATOR: &[u8] = b"\x01";

fn by_bearer(database: &Database, provider: &Provider) -> Setup {
    let setup = Setup::new(database).unmatched("allow").tls();
    let lines = "scopes = [\"openid\", \"groups\"]";
    let rule = "method = \"oauthbearer\"\nissuer = \"corp\"";
    setup.issuer("corp", provider, lines).login_rule(rule)
}

/// What libpq sends for a token.
fn initial(token: &str) -> Vec<u8> {
    format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}").into_bytes()
}

async fn shown(arrival: &Arrival, first: &[u8]) -> Answer {
    arrival.arrive(Proof::Sasl(MECHANISM, first, SEPARATOR)).await
}

#[tokio::test]
async fn a_token_opens_a_session_in_one_message() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_bearer(&database, &provider).start().await;
    let arrival = Arrival::of(&portcullis, "ana");
    let token = provider.issue(&Wanted::by("ana")).await.access;
    for first in [
        initial(&token),
        format!("y,,\u{1}auth=Bearer {token}\u{1}\u{1}").into_bytes(),
        format!("n,,\u{1}auth=bEARER  {token}\u{1}\u{1}").into_bytes(),
        format!("n,,\u{1}host=db\u{1}port=5432\u{1}auth=Bearer {token}\u{1}\u{1}").into_bytes(),
    ] {
        let answer = shown(&arrival, &first).await;
        assert_eq!(answer.verdict(), "in", "{}", String::from_utf8_lossy(&first));
        assert_eq!(answer.asked, [MECHANISM]);
        let who = principal(&portcullis, answer.address()).await;
        assert_eq!((&who["subject"], &who["proof"]), (&json!("ana"), &json!("oidc")));
        assert_eq!(who["groups"], json!(["analysts"]));
    }
}

/// Without a token, and with any that is refused, the client hears where to get one; and then
/// the same error that every failed login gets.
#[tokio::test]
async fn who_has_no_good_token_hears_where_to_get_one() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_bearer(&database, &provider).start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    let expired = provider.issue(&Wanted::by("ana").claim("exp", 0)).await.access;
    let bo = provider.issue(&Wanted::by("bo")).await.access;
    let expected = json!({
        "status": "invalid_token",
        "scope": "openid groups",
        "openid-configuration": format!("{}/.well-known/openid-configuration", provider.issuer()),
    });
    let told = "out: 28P01 authentication failed for user \"ana\"";
    for (name, first) in [
        ("discovery", b"n,,\x01auth=\x01\x01".to_vec()),
        ("garbage", initial("garbage")),
        ("expired", initial(&expired)),
        ("a letter more", initial(&format!("{token}A"))),
    ] {
        let answer = shown(&Arrival::of(&portcullis, "ana").newly_come(), &first).await;
        assert_eq!(answer.verdict(), told, "{name}");
        let challenge = answer.asked.get(1).expect("a challenge");
        let challenge: Value = serde_json::from_str(challenge).expect("JSON");
        assert_eq!(challenge, expected, "{name}");
    }
    // Somebody else's is good, so there is nothing to get anew: it is not hers.
    let answer = shown(&Arrival::of(&portcullis, "ana").newly_come(), &initial(&bo)).await;
    assert_eq!(answer.verdict(), told);
    let refused = record(&portcullis, "login-refused", answer.address()).await;
    let reason = refused["reason"].as_str().unwrap_or_default();
    assert!(reason.ends_with("bo may not come as ana"), "{reason}");
    assert_eq!(shown(&Arrival::of(&portcullis, "bo"), &initial(&bo)).await.verdict(), "in");
}

#[tokio::test]
async fn what_is_no_such_message_is_refused() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_bearer(&database, &provider).start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    let with = |text: &str| text.replace('|', "\u{1}").replace("TOKEN", &token).into_bytes();
    let malformed = [
        "",
        "|",
        "n,,",
        "n,,|",
        "n,,||",
        "n,,|auth|",
        "n,,|auth=Bearer TOKEN",
        "n,,|auth=Bearer TOKEN|",
        "n,,|auth=Bearer TOKEN||x",
        "n,,auth=Bearer TOKEN||",
        "|auth=Bearer TOKEN||",
        "auth=Bearer TOKEN",
        // To act for somebody, or to bind the channel, for which there are no means.
        "n,a=admin,|auth=Bearer TOKEN||",
        "p=tls-server-end-point,,|auth=Bearer TOKEN||",
        "n,,|auth=Bearer TOKEN|auth=Bearer TOKEN||",
        "n,,|auth=|auth=Bearer TOKEN||",
        "n,,|auth=Basic TOKEN||",
        "n,,|auth=TOKEN||",
        "n,,|auth=BearerTOKEN||",
        "n,,|auth=Bearer ||",
        "n,,|auth=Bearer TOKEN TOKEN||",
        "n,,|auth=Bearer TOKEN,TOKEN||",
        "n,,|user=admin|=x|auth=Bearer TOKEN||",
        "n,,|AUTH=Bearer TOKEN||",
        "n,,|auth=Bearer TOKEN|\u{0}|",
        "n,,|auth=Bearer TOK\u{e9}N||",
    ];
    for (number, first) in malformed.into_iter().enumerate() {
        // A name of its own for each: failures are slowed by it.
        let user = format!("user-{number}");
        let answer = shown(&Arrival::of(&portcullis, &user).newly_come(), &with(first)).await;
        let told = format!("out: 28P01 authentication failed for user \"{user}\"");
        assert_eq!(answer.verdict(), told, "{first:?}");
        assert_eq!(answer.asked, [MECHANISM], "{first:?}");
    }
    assert_eq!(shown(&Arrival::of(&portcullis, "ana"), &initial(&token)).await.verdict(), "in");
}

#[tokio::test]
async fn only_that_mechanism_is_offered_and_only_over_tls() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_bearer(&database, &provider).start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    let first = initial(&token);
    let told = "out: 28P01 authentication failed for user \"ana\"";
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "oauthbearer", "PLAIN", ""] {
        let proof = Proof::Sasl(mechanism, &first, SEPARATOR);
        let answer = Arrival::of(&portcullis, "ana").newly_come().arrive(proof).await;
        assert_eq!(answer.verdict(), told, "{mechanism}");
        assert_eq!(answer.asked, [MECHANISM]);
    }
    let answer = shown(&Arrival::of(&portcullis, "ana").in_plaintext(), &first).await;
    assert!(answer.asked.is_empty(), "{:?}", answer.asked);
    assert!(answer.verdict().starts_with("out: 28000 "), "{}", answer.verdict());
    // What the client says after the challenge must be what the standard has it say.
    for last in [&b""[..], b"\x01\x01", b"n", &first] {
        let proof = Proof::Sasl(MECHANISM, b"n,,\x01auth=\x01\x01", last);
        let answer = Arrival::of(&portcullis, "bo").newly_come().arrive(proof).await;
        let told = "out: 28P01 authentication failed for user \"bo\"";
        assert_eq!(answer.verdict(), told, "{last:?}");
    }
    assert_eq!(shown(&Arrival::of(&portcullis, "ana"), &first).await.verdict(), "in");
}

/// libpq asks first at each connection: that is no failure, so nobody is slowed by it.
#[tokio::test]
async fn asking_where_to_get_a_token_costs_nothing() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_bearer(&database, &provider).start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    let arrival = Arrival::of(&portcullis, "ana");
    for _ in 0..12 {
        let answer = shown(&arrival, b"n,,\x01auth=\x01\x01").await;
        assert_eq!(answer.verdict(), "out: 28P01 authentication failed for user \"ana\"");
    }
    // Of several tries the shortest counts: the machine may be busy.
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(shown(&arrival, &initial(&token)).await.verdict(), "in");
        shortest = shortest.min(began.elapsed());
    }
    assert!(shortest < Duration::from_secs(3), "{shortest:?}");
    let refused = portcullis.ledger().of_kind("login-refused");
    assert_eq!(refused.len(), 0, "nobody tried to log in: {refused:?}");
}

/// libpq 18 in psycopg's wheel: it asks where to get a token, is given one by a hook in place
/// of its own browser, and comes again with it.
const LIBPQ: &str = r#"
import ctypes, glob, os, psycopg, psycopg_binary

class Request(ctypes.Structure):
    pass

Request._fields_ = [
    ("configuration", ctypes.c_char_p), ("scope", ctypes.c_char_p), ("poll", ctypes.c_void_p),
    ("cleanup", ctypes.c_void_p), ("token", ctypes.c_char_p), ("user", ctypes.c_void_p)]
asked, token = [], ctypes.create_string_buffer(os.environ["TOKEN"].encode())

@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
def hook(kind, connection, request):
    if kind != 1:
        return 0
    asked.append([request[0].configuration.decode(), (request[0].scope or b"").decode()])
    request[0].token = ctypes.cast(token, ctypes.c_char_p)
    return 1

libraries = os.path.join(os.path.dirname(psycopg_binary.__file__), "..", "psycopg_binary.libs")
ctypes.CDLL(glob.glob(libraries + "/libpq-*")[0]).PQsetAuthDataHook(hook)
for user in ("ana", "bo"):
    try:
        with psycopg.connect(user=user, oauth_issuer=os.environ["ISSUER"],
                oauth_client_id=os.environ["CLIENT"], require_auth="oauth") as connection:
            print(connection.execute("SELECT 6 * 7").fetchone()[0])
    except psycopg.OperationalError as error:
        print(str(error).strip().splitlines()[-1])
print(asked)
"#;

#[tokio::test]
async fn libpq_18_finds_its_way_by_itself() {
    let database = cluster().await.database().await;
    // It goes to providers over HTTPS only.
    let provider = Provider::start_tls(&cluster().await.certificates).await;
    provider.put(&Account::new("ana").groups(&["analysts"])).await;
    let portcullis = by_bearer(&database, &provider).start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    let target = Target {
        address: portcullis.address(),
        user: "ana".to_owned(),
        database: DATABASE.to_owned(),
        authority: Some(portcullis.authority_file()),
    };
    let mut command = Command::new(artefacts::tool("venv/bin/python"));
    with_target(&mut command, &target).env_remove("PGPASSWORD").args(["-c", LIBPQ]);
    command.env("TOKEN", &token).env("ISSUER", provider.issuer()).env("CLIENT", CLIENT);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.expect("waiting does not panic").expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    let configuration = format!("{}/.well-known/openid-configuration", provider.issuer());
    let asked = format!("['{configuration}', 'openid groups']");
    assert_eq!(lines.first(), Some(&"42"), "{output:?}");
    assert!(lines.get(1).is_some_and(|line| line.contains("authentication failed")), "{said}");
    assert_eq!(lines.get(2), Some(&format!("[{asked}, {asked}]").as_str()), "{output:?}");
}
